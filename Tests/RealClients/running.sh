#!/usr/bin/env bash
# Follows docs/running.md: a user without rights, a read-only root, few descriptors, a drain, an upgrade with an open stream.
#
# usage: running.sh PROGRAM    as root
set -euo pipefail
program=$(readlink -f "$1")
folder=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2> /dev/null || true; done
  wait
  rm -rf "$folder"
}
trap finish EXIT
fail() {
  echo "failed: $*" >&2
  tail -n 5 "$folder"/*.log >&2 || true
  exit 1
}

# What the process reads belongs to root; it may write to its state alone.
install -d -m 755 "$folder/etc" "$folder/bin"
install -d -m 700 -o 65532 -g 65532 "$folder/state"
chmod 755 "$folder"
cp "$program" "$folder/bin/fermata"
program=$folder/bin/fermata
# The backend ends with this script: nobody else holds its input open.
mkfifo "$folder/input"
exec 9<> "$folder/input"
"$program" backend --until-input-ends < "$folder/input" > "$folder/backend" 2> "$folder/backend.log" 9>&- &
pids+=($!)
for _ in $(seq 100); do [ -s "$folder/backend" ] && break; sleep 0.05; done
backend=$(sed -E 's/.*"listening":"([^"]+)".*/\1/' "$folder/backend")
cat > "$folder/etc/fermata.json5" << SETTINGS
{ upstream: "http://$backend", listen: "127.0.0.1:0", admin: { listen: "127.0.0.1:0" }, workers: 2,
  flags: { file: "$folder/etc/flags.json" }, drainDelay: "1s", drain: "20s" }
SETTINGS
cat > "$folder/etc/flags.json" << FLAGS
{ "flags": { "stream-closing": { "state": "ENABLED", "defaultVariant": "graceful",
  "variants": { "legacy": "legacy", "shield": "shield", "graceful": "graceful" } } } }
FLAGS

"$program" check --quiet --config "$folder/etc/fermata.json5" || fail "check refuses the settings"
[ -z "$(ls "$folder/state")" ] || fail "check has written something"

# Starts a gateway as the unit does: another user, no capability, a root that can't be written, its state directory.
start() { # name
  # shellcheck disable=SC2016
  unshare -m bash -c '
    mount --bind "$1/state" "$1/state"
    mount -o remount,bind,ro / || exit 1
    exec setpriv --reuid 65532 --regid 65532 --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs \
      env -i LLVM_PROFILE_FILE=/dev/null STATE_DIRECTORY="$1/state" "$2" serve --config "$1/etc/fermata.json5"
  ' - "$folder" "$program" 2> "$folder/$1.log" &
  pids+=($!)
  started=$!
  for _ in $(seq 200); do grep -q '"event":"started"' "$folder/$1.log" && break; sleep 0.05; done
  grep -q '"event":"started"' "$folder/$1.log" || fail "$1 did not start"
  listen=$(sed -nE 's/.*"event":"started".*"listen":"([^"]+)".*/\1/p' "$folder/$1.log")
  admin=$(sed -nE 's/.*"event":"started".*"admin":"([^"]+)".*/\1/p' "$folder/$1.log")
}

start old
[ "$(stat -c %u "/proc/$started")" = 65532 ] || fail "it runs as $(stat -c %u "/proc/$started")"
grep -q '^CapEff:.*0000000000000000$' "/proc/$started/status" || fail "it has capabilities"
"$program" health --admin "http://$admin" > /dev/null || fail "not alive"
"$program" health --ready --admin "http://$admin" > /dev/null || fail "not ready"
[ "$(curl -s "http://$admin/metrics" | sed -nE 's/^fermata_guard_state_writable //p')" = 1 ] || fail "its state can't be kept"
[ "$(stat -c %U:%a "$folder/etc/flags.json")" = root:644 ] || fail "the flags are not root's"
old=$started old_admin=$admin

# An upgrade: a stream is open, the new process starts, the old one drains, and the stream comes to its end.
curl -sN -m 60 -H 'Prefer: stream-end' -H 'Accept: text/event-stream' \
  "http://$listen/?events=30&interval=100&complete=done" > "$folder/stream" &
stream=$!
for _ in $(seq 100); do grep -q '^data:' "$folder/stream" && break; sleep 0.05; done
start new
kill -TERM "$old"
sleep 0.3
code=$(curl -s -o /dev/null -w '%{http_code}' "http://$old_admin/readyz")
[ "$code" = 503 ] || fail "/readyz of a process that drains is $code"
"$program" health --ready --admin "http://$admin" > /dev/null || fail "the new one is not ready"
wait "$stream" || fail "the stream was cut"
grep -q '^event: stream_end' "$folder/stream" || fail "the stream has no end"
[ "$(grep -c '"n":' "$folder/stream")" -ge 30 ] || fail "events are missing"
wait "$old" || fail "the old process ended with $?"
kill -TERM "$started"
wait "$started" || fail "the new process ended with $?"

# Few descriptors are told.
(ulimit -n 200; exec "$program" serve --config "$folder/etc/fermata.json5" 2> "$folder/few.log") &
few=$!
pids+=("$few")
for _ in $(seq 200); do grep -q few_descriptors "$folder/few.log" && break; sleep 0.05; done
grep -q few_descriptors "$folder/few.log" || fail "nothing tells of few descriptors"
kill -TERM "$few"
wait "$few" || true
echo "all as docs/running.md says"
