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

# Several to one name: one gets it, and is whole.
for i in 1 2 3 4; do
  (snapshot save --output "$work/same" >>"$work/same.txt" 2>&1; echo "$?" >>"$work/same-status") &
  savers[i]=$!
done
wait "${savers[@]}"
check_output "four saves to one name: one succeeds" '^0 1 1 1 $' bash -c "sort '$work/same-status' | tr '\n' ' '"
check_output "the others say so" '^3$' grep -c 'exists$' "$work/same.txt"
check_output "what they saved is whole" '^whole$' snapshot check "$work/same"

# One that is ended half-way, by a signal it can hear and by one that it cannot.
saving() {  # SIGNAL: the status of a save that gets it, and what is left in the folder
  local pid
  kill -STOP "$server_pid"
  "$kayak" snapshot --data-dir "$work/data" --snapshot-dir "$work/broken-off" save >"$work/broken-off.txt" 2>&1 &
  pid=$!
  eventually 10 "a save begins" '^.kayak-snapshot-.*part$' ls -A "$work/broken-off"
  kill "-$1" "$pid"
  wait "$pid"
  broken_status=$?
  kill -CONT "$server_pid"
}
for signal in INT TERM; do
  saving "$signal"
  check_output "SIG$signal ends it with a status" '^1$' echo "$broken_status"
  check_output "SIG$signal: it says so" '^kayak: interrupted: no snapshot was saved$' cat "$work/broken-off.txt"
  check_output "SIG$signal leaves nothing" '^$' ls -A "$work/broken-off"
done
saving KILL
check_output "SIGKILL leaves a half" '^.kayak-snapshot-.*part$' ls -A "$work/broken-off"
check "the next save removes it" snapshot --snapshot-dir "$work/broken-off" save
check_output "and leaves a whole" '^on-demand-[^ ]+$' ls -A "$work/broken-off"
check_output "ls of a folder that is missing" "^kayak: listing $work/none: No such file or directory" snapshot ls --snapshot-dir "$work/none"
check_output "ls of what is no folder" "^kayak: listing $work/same: Not a directory" snapshot ls --snapshot-dir "$work/same"
check_output "ls fails then" '^1$' bash -c "'$kayak' snapshot ls --snapshot-dir '$work/none' 2>/dev/null; echo \$?"

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
check_output "restore over a store" "there is a store already: .*move $work/data/server/db/state.db\* to another folder" snapshot restore "$work/snapshot"
mv "$work/data" "$work/lost"
check_output "restore without a passphrase" 'a snapshot is encrypted: name a file with its passphrase' snapshot restore "$work/snapshot"
check_output "restore with a wrong passphrase" 'the passphrase is wrong' snapshot restore --passphrase-file "$work/passphrase" "$work/snapshot"
head -c -1 "$work/snapshot" >"$work/cut"
check_output "restore of a cut file" 'damaged at byte [0-9]+: it is cut short' snapshot restore --passphrase-file "$work/token" "$work/cut"
check_output "restore of what is none" 'this is not a snapshot that kayak made' snapshot restore --passphrase-file "$work/token" "$kayak"
check_output "none of it left anything" '^$' bash -c "find '$work/data' 2>/dev/null"
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

# A damaged database: what is to be done is one line that can be pasted.
damaged_start() {
  printf 'damage' | dd of="$work/data/server/db/state.db" bs=1 seek=9000 conv=notrunc status=none
  cp "$work/data/server/db/state.db" "$work/damaged.db"
  timeout 30 "$kayak" server --data-dir "$work/data" --disable-agent --bind-address 127.0.0.1 --https-listen-port "$port" \
    --write-kubeconfig "$work/damaged.yaml" 2>"$work/damaged.txt"
}
# Without a log beside it, that would have newer pages.
start_server --disable-agent
wait_ready 30
stop_server
cp -a "$work/data/server/db" "$work/whole-db"
damaged_start
check_output "damage: what and where, once" '^kayak: opening the store: .*/state.db is damaged at byte [0-9]+: ' grep -v '^kayak: opening the store: opening' "$work/damaged.txt"
check_output "damage without a snapshot: it says what is left" 'There is no snapshot of this cluster in .*/server/db/snapshots' cat "$work/damaged.txt"
check "nothing was changed" cmp "$work/damaged.db" "$work/data/server/db/state.db"
cp -a "$work/whole-db/." "$work/data/server/db/"
start_server --disable-agent
wait_ready 30
check "a snapshot" snapshot save
stop_server
damaged_start
command="$(grep -A 1 'Go back to the newest snapshot' "$work/damaged.txt" | tail -n 1)"
check_output "damage: the command that goes back" 'kayak snapshot restore --data-dir' echo "$command"
check_output "it works as it stands" '^restored revision' env PATH="$(dirname "$kayak"):$PATH" bash -c "$command"
start_server --disable-agent
wait_ready 30
check_output "and everything is there" '^configmap/again$' k get configmap again -o name
check "the token as well" cmp "$work/token" "$work/data/server/token"
check_output "and the snapshot" '^on-demand-' ls "$work/data/server/db/snapshots"
stop_server

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
# Another token: the older one still opens what it encrypted.
older="$work/scheduled/$(ls "$work/scheduled" | head -n 1)"
start_server --disable-agent --token another-secret-of-the-cluster
wait_ready 30
check_output "a changed token is warned of" 'warn server: the token was changed: snapshots .*old-tokens' cat "$work/server.log"
check "a snapshot with it" snapshot save --output "$work/newer"
stop_server
check "the older one is kept" cmp "$work/token" "$work/data/server/old-tokens"
check_output "for its owner alone" '^600$' stat -c %a "$work/data/server/old-tokens"
check_output "a snapshot from before opens" '^whole$' snapshot check "$older"
check_output "so does one from after" '^whole$' snapshot check "$work/newer"
check_output "also from a pipe" '^whole$' bash -c "'$kayak' snapshot --data-dir '$work/data' check - <'$older'"
rm "$work/data/server/old-tokens"
check_output "with the newer one alone it does not" 'the passphrase is wrong.*server/token was tried; name another' snapshot check "$older"

# A start that could never save says so.
start_wrong() { timeout 20 "$kayak" server --data-dir "$work/data" --disable-agent --snapshot-schedule-cron @daily "$@"; echo "status $?"; }
check_output "a passphrase that is not there" '^kayak: --snapshot-passphrase-file: .*opening /none: ' start_wrong --snapshot-passphrase-file /none
check_output "a folder that is a file" "^kayak: --snapshot-dir $work/token is not a folder" start_wrong --snapshot-dir "$work/token"
check_output "both end the start" '^status 1$' start_wrong --snapshot-dir "$work/token"
check_output "a schedule that is none is refused" 'snapshot-schedule-cron "often" is no schedule' "$kayak" server --data-dir "$work/data" --snapshot-schedule-cron often
finish
