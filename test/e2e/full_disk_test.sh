#!/usr/bin/env bash
# full_disk_test.sh: the disk below the data directory fills up: writes fail and say why, reads go on, nothing that was
# acknowledged is lost; with space again, writes work without a restart.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

disk="$work/data"
mkdir "$disk"
mount -t tmpfs -o size=16m kayak-full-disk "$disk" || skip "a tmpfs cannot be mounted here"
k() { kubectl --request-timeout=10s "$@"; }

printf '{}\n' >"$work/registries.yaml"
start_server --disable-agent
wait_ready 30
head -c 100000 /dev/zero | tr '\0' x >"$work/value"
check "a write with space" k create configmap before --from-file="$work/value"
head -c 64M /dev/zero >"$disk/ballast" 2>/dev/null
check_output "the disk is full" '^0$' bash -c "df --output=avail '$disk' | tail -n 1 | tr -d ' '"

# What the log has reserved already is still written to: the writes go on until one fails.
made=0 refused=""
for i in $(seq 100); do
  if out="$(k create configmap "full-$i" --from-file="$work/value" 2>&1)"; then made=$((made + 1)); else refused="$out"; break; fi
done
check_output "a write fails and says why" 'no space left on device' echo "$refused"
check_output "again" 'no space left on device' k create configmap again --from-file="$work/value"
check_output "reads go on" '^before ' k get configmaps before --no-headers
check_output "lists show what was acknowledged, and nothing else" "^$((made + 1))$" bash -c "kubectl get configmaps --no-headers | grep -cE '^(before|full-|again)'"
check_output "the server is alive" '^ok$' curl -sk "https://127.0.0.1:$port/livez"
kubectl get configmaps --watch -o name >"$work/watch" 2>/dev/null &
watch_pid=$!
eventually 10 "a watch starts on a full disk" 'configmap/before' cat "$work/watch"

rm "$disk/ballast"
eventually 10 "with space again, writes work" 'created|already exists' k create configmap after --from-file="$work/value"
check "and deletions" k delete configmap before
eventually 10 "a watch lasted over it" 'configmap/after' cat "$work/watch"
kill "$watch_pid"
wait "$watch_pid" 2>/dev/null
k get configmaps -o yaml >"$work/live.yaml"
kill -9 "$server_pid"
wait "$server_pid" 2>/dev/null
start_server --disable-agent
wait_ready 30
k get configmaps -o yaml >"$work/restarted.yaml"
same() { diff <(grep -v "^  resourceVersion" "$work/live.yaml") <(grep -v "^  resourceVersion" "$work/restarted.yaml"); }
check "the same after kill -9" same

# A start on a full disk says so, and harms nothing.
head -c 64M /dev/zero >"$disk/ballast" 2>/dev/null
stop_server
start_server --disable-agent
sleep 3
if kill -0 "$server_pid" 2>/dev/null; then
  check_output "started on a full disk, it reads" '^after ' k get configmaps
else
  check_output "a start on a full disk says why it ends" '[Nn]o space left on device|disk is full' tail -n 1 "$work/server.log"
fi
rm "$disk/ballast"
stop_server
start_server --disable-agent
wait_ready 30
k get configmaps -o yaml >"$work/restarted.yaml"
check "the same after a full disk" same
check "it writes again" k create configmap last --from-file="$work/value"
stop_server

# An error that is no full disk ends the server, with a status and in words. The disk is asked for a file that is larger
# than it may be.
head -c 400k /dev/zero | base64 -w 0 >"$work/large"
trap '' XFSZ
ulimit -Sf "$(($(stat -c %s "$work/data/server/db/state.db") / 1024 + 300))"
start_server --disable-agent
wait_ready 30
ulimit -Sf unlimited
for i in 1 2 3 4 5 6 7 8; do k create configmap "large-$i" --from-file="$work/large" >/dev/null 2>&1; done
eventually 10 "a write that fails ends the server" gone bash -c "kill -0 $server_pid || echo gone"
wait "$server_pid"
check_output "with a status" '^1$' echo $?
check_output "that says why" '^kayak: the store stops, as nothing written after this could be trusted: .*File too large \(EFBIG\)' tail -n 1 "$work/server.log"
server_pid=""
finish
