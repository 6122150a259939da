#!/usr/bin/env bash
# Shows that the Debian package is the same when it is made twice, has what its list says, and lives through its life:
# installation, an upgrade beside an open stream, removal, purge. All of it happens in a root of its own.
#
# usage: deb.sh PROGRAM    as root
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(readlink -f "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() {
  echo "failed: $*" >&2
  exit 1
}
export SOURCE_DATE_EPOCH=1767225600

package=$(.ci/deb "$program")
first=$(sha256sum < "$package")
sleep 1.1
[ "$(sha256sum < "$(.ci/deb "$program")")" = "$first" ] || fail "the same program makes another package"
cp "$package" "$folder/old.deb"

dpkg-deb -c "$folder/old.deb" | awk '$1 !~ /^d/ { print $1, $2, $6 }' | LC_ALL=C sort -k 3 > "$folder/contents"
diff Tests/Packaging/contents.txt "$folder/contents" || fail "the package does not have what Tests/Packaging/contents.txt says"

# The same with a higher version, as the next release is.
dpkg-deb -R "$folder/old.deb" "$folder/next"
sed -i 's/^Version: .*/Version: 99.0.0/' "$folder/next/DEBIAN/control"
dpkg-deb --root-owner-group --build "$folder/next" "$folder/new.deb" > /dev/null

# A container may not be allowed to mount anything.
if ! unshare -m bash -c 'mount -t tmpfs tmpfs "$1" && mkdir "$1/u" "$1/w" "$1/r" &&
  mount -t overlay overlay -o "lowerdir=/,upperdir=$1/u,workdir=$1/w" "$1/r"' - "$folder" 2> "$folder/said"; then
  echo "*** the package's installation, upgrade and removal are NOT tried: $(cat "$folder/said") ***"
  exit 0
fi

# This machine's own files below, and what is written on top. The service manager is not in it.
mkdir "$folder/top" "$folder/work" "$folder/root"
# shellcheck disable=SC2016
unshare -m bash -eu -c '
  folder=$1
  mount -t tmpfs tmpfs "$folder/top"
  mkdir "$folder/top/upper" "$folder/top/work"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/top/upper,workdir=$folder/top/work" "$folder/root"
  root=$folder/root
  mount -t proc proc "$root/proc"
  mkdir -p "$root/tmp"
  fail() { echo "failed: $*" >&2; exit 1; }
  # The libraries are there, whatever packages this machine has them from.
  install() { dpkg --root="$root" --force-depends -i "$1" > "$folder/said" 2>&1 || { cat "$folder/said"; fail "dpkg -i $1"; }; }
  within() { chroot "$root" "$@"; }
  remove() { dpkg --root="$root" "$1" fermata > "$folder/said" 2>&1 || { cat "$folder/said"; fail "dpkg $1"; }; }

  install "$folder/old.deb"
  grep -q "fermata check --config" "$folder/said" || fail "it does not say what comes next"
  within /usr/bin/fermata check --quiet --config /etc/fermata/fermata.json5 || fail "its own configuration is refused"
  grep -q "^/etc/fermata/fermata.json5" "$root/var/lib/dpkg/info/fermata.conffiles" || fail "the settings are no conffile"

  # An upgrade: the stream that is open comes to its end, and the process is the same.
  mkfifo "$folder/input"
  exec 9<> "$folder/input"
  within /usr/bin/fermata backend --until-input-ends < "$folder/input" > "$folder/backend" 9>&- &
  for _ in $(seq 100); do [ -s "$folder/backend" ] && break; sleep 0.05; done
  backend=$(sed -E "s/.*\"listening\":\"([^\"]+)\".*/\1/" "$folder/backend")
  chroot "$root" /usr/bin/fermata serve --upstream "http://$backend" --listen 127.0.0.1:0 --admin 127.0.0.1:0 \
    2> "$folder/log" 9>&- &
  gateway=$!
  trap "kill -9 $gateway 2> /dev/null || true" EXIT
  for _ in $(seq 200); do grep -q "\"event\":\"started\"" "$folder/log" && break; sleep 0.05; done
  listen=$(sed -nE "s/.*\"event\":\"started\".*\"listen\":\"([^\"]+)\".*/\1/p" "$folder/log")
  curl -sN -m 60 -H "Accept: text/event-stream" "http://$listen/?events=30&interval=100&complete=done" > "$folder/stream" &
  stream=$!
  for _ in $(seq 100); do grep -q "^data:" "$folder/stream" && break; sleep 0.05; done
  echo "# mine" >> "$root/etc/default/fermata"
  install "$folder/new.deb"
  grep -q "goes on serving" "$folder/said" || fail "the upgrade does not say that nothing was restarted"
  [ "$(within dpkg-query -W -f "\${Version}" fermata)" = 99.0.0 ] || fail "the upgrade is not in place"
  kill -0 "$gateway" || fail "the upgrade has ended the process"
  wait "$stream" || fail "the upgrade has cut the stream"
  [ "$(grep -c "^data:" "$folder/stream")" -ge 30 ] || fail "the stream is not whole"
  grep -q "^# mine" "$root/etc/default/fermata" || fail "the upgrade has taken an edit back"
  kill -TERM "$gateway"
  wait "$gateway" || fail "the gateway did not end well"
  exec 9>&-

  # A removal keeps the settings and the state, a purge does not.
  mkdir -p "$root/var/lib/private/fermata"
  touch "$root/var/lib/private/fermata/stream-closing.guard"
  ln -s private/fermata "$root/var/lib/fermata"
  remove -r
  [ ! -e "$root/usr/bin/fermata" ] || fail "the program is left"
  [ -e "$root/etc/fermata/fermata.json5" ] && [ -e "$root/var/lib/private/fermata" ] || fail "a removal takes too much"
  remove -P
  left=$(find "$root/etc" "$root/usr" "$root/lib/systemd" "$root/var/lib" -iname "*fermata*" ! -path "*/dpkg/*" 2> /dev/null | while read -r file; do
    [ -e "${file#"$root"}" ] || echo "$file"
  done)
  [ -z "$left" ] || fail "left behind: $left"
' - "$folder"
if command -v lintian > /dev/null; then lintian --fail-on error "$folder/old.deb"; fi
echo "the package is the same twice, has what it should, and comes and goes without cutting a stream"
