#!/usr/bin/env bash
# snapshot_test.sh: a cluster is saved under load, its machine lost, and brought back from the one file and its
# passphrase; and what a snapshot must refuse.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
command -v etcdctl >/dev/null || skip "etcdctl is not installed (etcd-client)"
k() { kubectl --request-timeout=30s "$@"; }
snapshot() { "$kayak" snapshot --data-dir "$work/data" "$@"; }
configmaps() { k get configmaps -o name | grep -E 'configmap/(before|load|after)' | sort; }

printf '{}\n' >"$work/registries.yaml"
start_server --disable-agent
wait_ready 30
for i in 1 2 3; do k create configmap "before-$i" --from-literal=k="$i" >/dev/null; done
k create secret generic hidden --from-literal=password=swordfish >/dev/null
cp "$KUBECONFIG" "$work/old.yaml"
cp "$work/data/server/token" "$work/token"

# Saved while writes go on: what was acknowledged before is in it, what came after it is not.
(for i in $(seq 200); do kubectl create configmap "load-$i" --from-literal=k="$i" >/dev/null 2>&1 && echo "configmap/load-$i" >>"$work/acknowledged"; done) &
load_pid=$!
eventually 20 "the load runs" '^configmap/load-5$' cat "$work/acknowledged"
cp "$work/acknowledged" "$work/before-save"
check_output "save" '^/.*/server/db/snapshots/on-demand-.*: revision [0-9]+, [0-9]+ keys' snapshot save
file="$(ls "$work/data/server/db/snapshots/"on-demand-*)"
kill "$load_pid" 2>/dev/null
wait "$load_pid" 2>/dev/null
k create configmap after-1 --from-literal=k=1 >/dev/null
check_output "it is for its owner alone" '^600$' stat -c %a "$file"
check_output "nothing of it can be read" '^0$' bash -c "grep -c -a -E 'swordfish|BEGIN|before-1' '$file'"
check_output "ls" '^on-demand-[^ ]+ +[0-9.]+kB +20..-..-..T..:..:..Z +[0-9]+$' snapshot ls
check_output "ls -o json" '^[1-9][0-9]+$' bash -c "'$kayak' snapshot --data-dir '$work/data' ls -o json | jq '.[0].keys'"
check_output "check" '^whole$' snapshot check "$file"
check_output "check by its name in the folder" '^whole$' snapshot check "$(basename "$file")"
check_output "check without the passphrase" '^not damaged' "$kayak" snapshot --data-dir "$work/nowhere" check "$file"
check_output "to standard output" '^whole$' bash -c "'$kayak' snapshot --data-dir '$work/data' save --output - 2>/dev/null | '$kayak' snapshot --data-dir '$work/data' check -"
printf 'a passphrase of its own\n' >"$work/passphrase"
check_output "with a passphrase of its own" '^whole$' bash -c "'$kayak' snapshot --data-dir '$work/data' save --passphrase-file '$work/passphrase' --output '$work/own' >/dev/null && '$kayak' snapshot check --passphrase-file '$work/passphrase' '$work/own'"
check_output "an existing file is not overwritten" 'exists$' snapshot save --output "$work/own"
check_output "restore beside the running server" 'a server runs on .* stop it first' snapshot restore "$file"
check "etcdctl snapshot save" env ETCDCTL_API=3 etcdctl --endpoints="unix://$work/data/server/etcd.sock" snapshot save "$work/etcd.db"
check_output "etcdctl's file is looked at by kayak" 'taken with etcdctl' snapshot check "$work/etcd.db"
check_output "and is whole" '^whole$' snapshot check "$work/etcd.db"

# A disk without room.
mkdir "$work/small"
mount -t tmpfs -o size=8k kayak-small-disk "$work/small" && {
  head -c 4k /dev/zero >"$work/small/ballast"
  check_output "no room: it says so" '[Nn]o space left on device' snapshot --snapshot-dir "$work/small" save
  check_output "no room: no half file" '^ballast$' ls -A "$work/small"
  umount "$work/small"
}

# The machine is lost.
newest="$(k get configmap after-1 -o 'jsonpath={.metadata.resourceVersion}')"
kill -9 "$server_pid"
wait "$server_pid" 2>/dev/null
cp "$file" "$work/snapshot"
check_output "restore over a store" "there is a store already: .*move $work/data/server away" snapshot restore "$work/snapshot"
mv "$work/data" "$work/lost"
check_output "restore without a passphrase" 'a snapshot is encrypted: name a file with its passphrase' snapshot restore "$work/snapshot"
check_output "restore with a wrong passphrase" 'the passphrase is wrong' snapshot restore --passphrase-file "$work/passphrase" "$work/snapshot"
head -c -1 "$work/snapshot" >"$work/cut"
check_output "restore of a cut file" 'damaged at byte [0-9]+: it is cut short' snapshot restore --passphrase-file "$work/token" "$work/cut"
check_output "restore of what is none" 'this is not a snapshot that kayak made' snapshot restore --passphrase-file "$work/token" "$kayak"
check_output "none of it left a store" '^$' bash -c "find '$work/data' -name 'state.db*' ! -name '*-lock'; find '$work/data' -name '*.key'"
check_output "restore" '^restored revision [0-9]+' snapshot restore --passphrase-file "$work/token" "$work/snapshot"
check_output "the token came back" '^same$' bash -c "cmp '$work/token' '$work/data/server/token' && echo same"
check_output "this server is another member" '^differ$' bash -c "cmp -s '$work/lost/server/tls/peer.key' '$work/data/server/tls/peer.key' || echo differ"

start_server --disable-agent
wait_ready 30
export KUBECONFIG="$work/old.yaml"
check_output "the old kubeconfig is valid" '^configmap/before-1$' k get configmap before-1 -o name
configmaps >"$work/restored"
missing() { sort "$work/before-save" | comm -23 - "$work/restored"; }
check_output "everything that was acknowledged before is there" '^$' missing
check_output "what came after is not" '^$' grep after "$work/restored"
check_output "secrets are there" '^swordfish$' bash -c "kubectl get secret hidden -o 'jsonpath={.data.password}' | base64 -d"
check "it can be written to" k create configmap again --from-literal=k=1
check_output "no revision is given twice" '^yes$' bash -c "[ \$(kubectl get configmap again -o 'jsonpath={.metadata.resourceVersion}') -gt $newest ] && echo yes"
kill -9 "$server_pid"
wait "$server_pid" 2>/dev/null

# The schedule.
start_server --disable-agent --snapshot-schedule-cron '@every 1s' --snapshot-retention 2 --snapshot-dir "$work/scheduled"
wait_ready 30
check_output "what was written after the restore is there" '^configmap/again$' k get configmap again -o name
eventually 20 "snapshots come by themselves" '^2$' bash -c "ls '$work/scheduled' | grep -c '^scheduled-'"
first="$(ls "$work/scheduled" | head -n 1)"
wait_for 10 test ! -e "$work/scheduled/$first"
check_output "the oldest went when another came" '^0$' bash -c "ls '$work/scheduled' | grep -cxF '$first'"
stop_server
check_output "two are kept" '^2$' bash -c "ls -A '$work/scheduled' | wc -l"
check_output "they are good" '^whole$' bash -c "'$kayak' snapshot --data-dir '$work/data' check '$work/scheduled/'\$(ls '$work/scheduled' | head -n 1)"
check_output "a schedule that is none is refused" 'snapshot-schedule-cron "often" is no schedule' "$kayak" server --data-dir "$work/data" --snapshot-schedule-cron often
finish
