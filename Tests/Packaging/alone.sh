#!/usr/bin/env bash
# Shows that the program of the packages needs nothing but the libraries that they name: it runs in a root that has those
# files, as the image has them, and no Swift. There it serves, is asked for its health and ends, as a container does: with a
# root that can't be written, as a user without rights.
#
# usage: alone.sh PROGRAM    as root; PROGRAM is built as .ci/deb builds it
set -euo pipefail
cd "$(dirname "$0")/../.."
program=$(readlink -f "$1")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
fail() {
  echo "failed: $*" >&2
  exit 1
}

if readelf -d "$program" | grep -E 'RPATH|RUNPATH'; then fail "it looks for libraries where it was built"; fi
needed=$(readelf -d "$program" | sed -nE 's/.*\(NEEDED\).*\[(.*)\]/\1/p')
if grep -iE '^lib(swift|_|Foundation|dispatch|BlocksRuntime)' <<< "$needed"; then fail "it needs Swift's libraries"; fi

# The files themselves: what the loader finds, what each of them needs in turn, and the loader.
ldd "$program" > "$folder/libraries" || fail "the loader does not take it"
if grep 'not found' "$folder/libraries"; then fail "libraries are missing here"; fi
if grep -F "$(dirname "$(dirname "$(readlink -f "$(command -v swift)")")")" "$folder/libraries"; then
  fail "a library is the toolchain's"
fi
depends=" $(sed -n 's/^Depends: //p' .ci/deb | tr -d ',') "
for library in $needed; do
  owner=$(dpkg-query -S "*/$library" | head -n 1 | cut -d : -f 1)
  case "$depends" in
    *" $owner "*) ;;
    *) [ "$owner" = libc6 ] || fail "$library is of $owner, which the package does not name" ;;
  esac
done

root=$folder/root
mkdir -p "$root"/{usr/bin,etc/fermata,proc,tmp} "$folder/state"
install -m 755 "$program" "$root/usr/bin/fermata"
install -m 644 Sources/Packaging/container/fermata.json5 "$root/etc/fermata/fermata.json5"
install -d -m 750 -o 65532 -g 65532 "$root/var/lib/fermata"
grep -oE '/[^ ]+' "$folder/libraries" | sort -u | while read -r file; do
  install -D -m 755 "$(readlink -f "$file")" "$root$file"
done
chmod 755 "$folder" "$root"

if ! unshare -m true 2> "$folder/said"; then
  echo "*** the program without Swift is NOT tried: $(cat "$folder/said") ***"
  exit 0
fi
# shellcheck disable=SC2016
unshare -m bash -eu -c '
  folder=$1
  root=$folder/root
  pids=()
  finish() { for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null || true; done; }
  trap finish EXIT
  fail() { echo "failed: $*" >&2; tail -n 5 "$folder"/*.log >&2 || true; exit 1; }
  mount --bind "$root" "$root"
  mount --bind "$root/var/lib/fermata" "$root/var/lib/fermata"
  mount -t proc proc "$root/proc"
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  mount -o remount,bind,ro "$root"
  # Its user has no right to write anywhere but to its state.
  fermata() { env -i PATH="$PATH" chroot --userspec=65532:65532 --groups= "$root" /usr/bin/fermata "$@"; }
  if [ -e "$root$(readlink -f "$(command -v swift)")" ]; then fail "Swift is in the root"; fi
  fermata --version > "$folder/version" || fail "it does not start"
  fermata demo > "$folder/demo.log" 2>&1 || fail "the demo fails"

  mkfifo "$folder/input"
  exec 9<> "$folder/input"
  fermata backend --until-input-ends < "$folder/input" > "$folder/backend" 9>&- &
  pids+=($!)
  for _ in $(seq 100); do [ -s "$folder/backend" ] && break; sleep 0.05; done
  backend=$(sed -E "s/.*\"listening\":\"([^\"]+)\".*/\1/" "$folder/backend")
  # The words of the image.
  words=$(sed -nE "s/^CMD \[(.*)\]$/\1/p" Sources/Packaging/container/Containerfile | tr -d "\"," )
  env -i PATH="$PATH" STATE_DIRECTORY=/var/lib/fermata FERMATA_LISTEN=127.0.0.1:0 FERMATA_ADMIN_LISTEN=127.0.0.1:0 \
    FERMATA_DRAIN=5s FERMATA_UPSTREAM="http://$backend" \
    chroot --userspec=65532:65532 --groups= "$root" /usr/bin/fermata $words 2> "$folder/serve.log" 9>&- &
  gateway=$!
  pids+=("$gateway")
  for _ in $(seq 200); do grep -q "\"event\":\"started\"" "$folder/serve.log" && break; sleep 0.05; done
  value() { sed -nE "s/.*\"event\":\"started\".*\"$1\":\"([^\"]+)\".*/\1/p" "$folder/serve.log"; }
  listen=$(value listen)
  admin=$(value admin)
  [ -n "$listen" ] || fail "it does not serve"
  [ "$(stat -c %u "/proc/$gateway")" = 65532 ] || fail "it runs as $(stat -c %u "/proc/$gateway")"
  fermata health --admin "http://$admin" > /dev/null || fail "it is not alive"
  fermata health --ready --admin "http://$admin" > /dev/null || fail "it is not ready"
  curl -sN -m 60 -H "Accept: text/event-stream" "http://$listen/?events=20&interval=50&complete=done" > "$folder/stream" &
  stream=$!
  for _ in $(seq 100); do grep -q "^data:" "$folder/stream" && break; sleep 0.05; done
  kill -TERM "$gateway"
  wait "$stream" || fail "the stop has cut the stream"
  [ "$(grep -c "^data:" "$folder/stream")" -ge 20 ] || fail "the stream is not whole"
  wait "$gateway" || fail "it did not end well"
' - "$folder"
echo "it runs without Swift: $(cat "$folder/version")"
