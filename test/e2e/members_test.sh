#!/usr/bin/env bash
# members_test.sh: servers come together, move, leave and come back; two servers and a witness survive the loss of one.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

declare -A ports pids
# run NAME ARGS...: a server of that name on its own port and folder, again on the same ones when it was stopped.
run() {
  local name="$1"
  ports[$name]="${ports[$name]:-$(free_port)}"
  "$kayak" server --data-dir "$work/$name" --bind-address 127.0.0.1 --https-listen-port "${ports[$name]}" --node-name "${node_name:-$name}" \
    --write-kubeconfig "$work/$name.yaml" --disable-agent --peer-address "${at:-127.0.0.1:${ports[$name]}}" "${@:2}" >>"$work/$name.log" 2>&1 &
  pids[$name]=$!
}
halt() { kill "-${2:-TERM}" "${pids[$1]}" 2>/dev/null; wait "${pids[$1]}" 2>/dev/null; unset "pids[$1]"; }
member() { "$kayak" member "${@:2}" --data-dir "$work/$1"; }
roles() { member "$1" list -o json 2>/dev/null | jq -r '[.members[] | "\(.name)=\(.role)"] | sort | join(" ")'; }
id_of() { member "$1" list -o json | jq -r --arg name "$2" '.members[] | select(.name == $name) | .id'; }
k() { kubectl --kubeconfig "$work/$1.yaml" --request-timeout=10s "${@:2}"; }
ready() { eventually 60 "$1 is ready" '^ok$' curl -sk "https://127.0.0.1:${ports[$1]}/readyz"; }

run a
ready a
joining=(--server "https://127.0.0.1:${ports[a]}" --token-file "$work/a/server/token")
run b "${joining[@]}"
eventually 60 "a second server becomes a voter by itself" '^a=voter b=voter$' roles a
check_output "two votes are warned of" 'warning: 2 votes' member a list
ready b
check "a write at the second" k b create configmap one --from-literal=k=v
check_output "is read at the first" '^v$' k a get configmap one -o 'jsonpath={.data.k}'
run c "${joining[@]}"
eventually 60 "a third server becomes a voter" '^a=voter b=voter c=voter$' roles b
check_output "every server says the same" '^a=voter b=voter c=voter$' roles c
check_output "one leads" '^1$' bash -c "'$kayak' member list --data-dir '$work/c' -o json | jq '[.members[] | select(.leader)] | length'"

# A name that is taken, at another machine.
node_name=b run twin "${joining[@]}"
eventually 30 "a name can be had once" 'called b is in the cluster already' cat "$work/twin.log"
halt twin

# One that the others cannot reach where it says it is.
at="127.0.0.1:$(free_port)" run lost "${joining[@]}"
eventually 60 "a server that is not reached says so" 'leader does not reach it.*looked_for_at=127.0.0.1:' cat "$work/lost.log"
check_output "and knows no members" 'no member of its cluster yet' member lost list
check_output "it can be removed" ' removed$' member a remove lost
eventually 60 "and hears of that" 'no member of its cluster any more' cat "$work/lost.log"
halt lost

# Another address, known by its key.
halt b
unset "ports[b]"
run b
eventually 60 "a server that moved is found again" "127.0.0.1:${ports[b]}" member a list
ready b
check_output "and serves what it had" '^v$' k b get configmap one -o 'jsonpath={.data.k}'

# Loss of one of three.
leader="$(member a list -o json | jq -r '.members[] | select(.leader) | .name')"
rest=(a b c)
rest=("${rest[@]/$leader/}")
for one in "${rest[@]}"; do [ -n "$one" ] && left="$one"; done
halt "$leader" KILL
eventually 15 "writes go on when the leader is lost" 'created|already exists' k "$left" create configmap "after-$RANDOM" --from-literal=k=v
run "$leader"
ready "$leader"
eventually 60 "it comes back as what it was" '^a=voter b=voter c=voter$' roles "$leader"

# Leaving, and coming back as another member.
old="$(id_of a c)"
check_output "remove by name" "^member $old removed$" member a remove c
check_output "it is gone" '^a=voter b=voter$' roles a
halt c
rm -r "$work/c"
run c "${joining[@]}"
eventually 60 "with a new disk it joins as another member" '^a=voter b=voter c=voter$' roles a
check_output "under another id" '^different$' bash -c "[ '$old' != '$(id_of a c)' ] && echo different"
check_output "the last of a name is refused when it is not there" 'no member has the id' member a remove nobody

# An older copy of a disk in the place of the newer: nothing in the files tells, the leader's heartbeat does.
leader="$(member a list -o json | jq -r '.members[] | select(.leader) | .name')"
for one in a b c; do [ "$one" != "$leader" ] && left="$one"; done
old="$(id_of "$leader" "$left")"
halt "$left" KILL
cp -a "$work/$left" "$work/older"
run "$left"
ready "$left"
for i in 1 2 3 4 5; do k "$left" create configmap "newer-$i" --from-literal=k=v >/dev/null; done
halt "$left" KILL
rm -r "${work:?}/$left"
mv "$work/older" "$work/$left"
run "$left"
check "the next write" k "$leader" create configmap "newer-6" --from-literal=k=v
eventually 20 "a disk that went back is told of" 'lacks what this server had acknowledged to the others' cat "$work/$left.log"
eventually 20 "and ends its server" '^ended$' bash -c "grep -qs '^State:[[:space:]]*[^Z[:space:]]' /proc/${pids[$left]}/status || echo ended"
halt "$left"
run "$left"
has_new_id() { local id; id="$(id_of "$leader" "$left")"; [ -n "$id" ] && [ "$id" != "$old" ] && echo different; }
eventually 60 "which comes back as another member" '^different$' has_new_id
ready "$left"
eventually 60 "and votes again" '^a=voter b=voter c=voter$' roles "$left"
check_output "it has all that was written" '^v$' k "$left" get configmap newer-5 -o 'jsonpath={.data.k}'
check_output "and in no loop" '^[0-9]{1,2}$' bash -c "grep -c 'acknowledged' '$work/$left.log'"

# Two servers and a witness.
id="$(id_of a c)"
halt c
check "remove by id" member a remove "$id"
run c
eventually 90 "who was away when it was removed says so" 'no member of its cluster any more.*member='"$id" cat "$work/c.log"
check_output "and does not say so over and over" '^[0-3]$' bash -c "grep -c 'member reached again' '$work/c.log'"
halt c
run w "${joining[@]}" --witness
eventually 60 "a witness joins two servers" '^a=voter b=voter w=witness$' roles a
check_output "it has no API" 'serves no API' curl -sk "https://127.0.0.1:${ports[w]}/readyz"
rm -r "${work:?}/c"
run c "${joining[@]}"
eventually 60 "a third server has no vote beside a witness" '^a=voter b=voter c=learner w=witness$' roles a
ready c # it knows that it is one
id="$(id_of a c)"
halt c
check "it is removed while it is away" member a remove "$id"
: >"$work/c.log"
run c
eventually 90 "which says so though it has no vote" 'no member of its cluster any more.*member='"$id"'.*said_by=' cat "$work/c.log"
eventually 10 "and that it is not ready" 'was removed from its cluster' curl -sk "https://127.0.0.1:${ports[c]}/readyz/etcd"
halt c
sleep 3
halt a KILL
eventually 20 "with the witness one of two goes on" 'created|already exists' k b create configmap "alone-$RANDOM" --from-literal=k=v
halt w
eventually 30 "without a majority it is not ready" 'no server leads' curl -sk "https://127.0.0.1:${ports[b]}/readyz/etcd"
check_output "and alive" '^ok$' curl -sk "https://127.0.0.1:${ports[b]}/livez"
run w "${joining[@]}" --witness
run a
ready a
eventually 60 "the other one catches up" '^v$' k a get configmap one -o 'jsonpath={.data.k}'

# The last resort.
for name in a b w; do halt "$name" KILL; done
run b
eventually 30 "one of three finds no leader, and says what is left" 'warning: this cluster has no leader now: .*kayak server --cluster-reset --data-dir' member b list
started=$SECONDS
check_output "nothing is changed then" 'kayak: this cluster has no leader now: .*--cluster-reset' member b remove a
check_output "and nobody waits for long" '^yes$' bash -c "[ $((SECONDS - started)) -lt 10 ] && echo yes"
halt b
check_output "a reset" 'only member' "$kayak" server --cluster-reset --data-dir "$work/b"
run b
ready b
eventually 30 "one is left" '^b=voter$' roles b
check_output "with the data" '^v$' k b get configmap one -o 'jsonpath={.data.k}'
finish
