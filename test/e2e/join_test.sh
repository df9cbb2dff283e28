#!/usr/bin/env bash
# join_test.sh: the cluster's token, who gets its keys and who does not, and data directories that belong elsewhere.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

port="$(free_port)"
start_server --disable-agent --node-name first --peer-address "127.0.0.1:$port"
wait_ready 30
url="https://127.0.0.1:$port" dir="$work/data/server"
token="$(cat "$dir/token")" secret="${token##*:}"

# The token and the CA.
check_output "the token has k3s' form" '^K10[0-9a-f]{64}::server:[0-9a-f]{32}$' echo "$token"
check_output "it is for its owner alone" '^600$' stat -c %a "$dir/token"
check_output "node-token is the same" '^token$' readlink "$dir/node-token"
check_output "it names the CA that anybody may read" "^${token:3:64}$" bash -c "curl -sk '$url/cacerts' | sha256sum | cut -d' ' -f1"
check_output "which is the server's" '^$' bash -c "curl -sk '$url/cacerts' | diff - '$dir/tls/server-ca.crt'"
check_output "the peer certificate is of the peer CA" 'OK$' openssl verify -no_check_time -CAfile "$dir/tls/peer-ca.crt" "$dir/tls/peer.crt"

# The keys.
check_output "who proves nothing gets no keys" '^401$' curl -sk -o /dev/null -w '%{http_code}' -d '{}' "$url/v1-kayak/server-bundle"
check_output "nor who proves nonsense" '^401$' curl -sk -o /dev/null -w '%{http_code}' -H 'Authorization: Kayak-Join 00' -d '{}' "$url/v1-kayak/server-bundle"
check_output "nor by another method" '^405$' curl -sk -o /dev/null -w '%{http_code}' "$url/v1-kayak/server-bundle"
check_output "nor with half a gigabyte" '^413$|^000$' bash -c "head -c 500000000 /dev/zero | curl -sk -o /dev/null -w '%{http_code}' -H 'Expect:' --data-binary @- '$url/v1-kayak/server-bundle'"
check_output "it is written down who was turned away" 'does not know the token was turned away source=127.0.0.1' cat "$work/server.log"

# begin COMMAND...: what a joining server says until it knows how it stands with the cluster, or ends by itself.
begin() {
  local log joining
  log="$(mktemp "$work/begin.XXXXXX")"
  "$@" >"$log" 2>&1 &
  joining=$!
  decided() { grep -qE 'the cluster knows this server|not taken into the cluster yet' "$log" || ! kill -0 "$joining"; }
  wait_for 30 decided
  kill "$joining" 2>/dev/null
  wait "$joining"
  cat "$log"
}
join() {  # join DIR ARGS...
  begin "$kayak" server --data-dir "$work/$1" --disable-agent --bind-address 127.0.0.1 --https-listen-port "$(free_port)" \
    --write-kubeconfig "$work/$1.yaml" --node-name "$1" --server "$url" "${@:2}"
}
check_output "a join without a token" 'needs --token' join none
check_output "a join with a wrong token" "token is not this cluster's" join wrong --token "${secret/[0-9a-f]/g}"
check_output "a join with another CA's hash" 'another cluster, or somebody stands between' join hash --token "K10${token:4:63}0::server:$secret"
check_output "refused joins leave no keys" '^0$' bash -c "ls $work/{none,wrong,hash}/server/tls/*-ca.crt 2>/dev/null | wc -l"
check_absent "the token is in nobody's log" "$secret" bash -c "cat '$work'/*.log '$work'/begin.*"
printf '%s\n' "$token" >"$work/token"
join second --token-file "$work/token" >"$work/second.log"
check_output "a join with the token gets the CA keys" '^$' diff "$dir/tls/peer-ca.key" "$work/second/server/tls/peer-ca.key"
check_output "and a peer key of its own" 'differ' cmp "$dir/tls/peer.key" "$work/second/server/tls/peer.key"
check_output "it is written down who got them" "gave a joining server the cluster's keys name=second source=127.0.0.1" cat "$work/server.log"
check_output "a join that is not finished is no cluster of its own" 'has begun to join a cluster' \
  timeout 60 "$kayak" server --data-dir "$work/second" --disable-agent
check_output "a bare secret is enough, with a warning" 'the token names no CA' join bare --token "$secret"
check_output "and gets the same keys" '^$' diff "$dir/tls/peer-ca.key" "$work/bare/server/tls/peer-ca.key"

# Two clusters do not mix.
other_port="$(free_port)"
"$kayak" server --data-dir "$work/other" --disable-agent --bind-address 127.0.0.1 --https-listen-port "$other_port" \
  --write-kubeconfig "$work/other.yaml" --node-name other >"$work/other.log" 2>&1 &
other_pid=$!
eventually 30 "another cluster runs" '^ok$' curl -sk "https://127.0.0.1:$other_port/readyz"
check_output "a half-joined server does not go on at another cluster" 'belongs to another cluster' \
  timeout 60 "$kayak" server --data-dir "$work/second" --disable-agent --server "https://127.0.0.1:$other_port" --token-file "$work/other/server/token"
kill "$other_pid"
wait "$other_pid"
check_output "nor does a member of one become one of another" 'belongs to another cluster' join other --token "$token"
check_output "not even when it gives no token" 'belongs to another cluster' join other

# The local door.
member() { "$kayak" member "$@" --data-dir "$work/data"; }
check_output "member list" "^[0-9a-f]{16} +first +voter +true" member list
check_output "member list -o json" '"name": "first"' member list -o json
check_output "member add says how" "kayak server --server https://.* --token-file" member add
check_output "a member that is not there" 'no member has the id or the name "nobody"' member remove nobody
check_output "a server that does not run" 'no server runs on' "$kayak" member list --data-dir "$work/none"

# A witness' door.
witness() {
  begin "$kayak" server --witness --data-dir "$work/$1" --bind-address 127.0.0.1 --https-listen-port "$(free_port)" \
    --node-name "$1" --server "$url" --token-file "$work/token"
}
witness witness >"$work/witness.log"
check_output "a witness gets a certificate" 'CN ?= ?kayak-peer' openssl x509 -in "$work/witness/server/tls/peer.crt" -noout -subject
check_output "and no CA's key" '^1$' bash -c "cat $work/witness/server/tls/* | grep -c BEGIN.*PRIVATE"
check_output "its key is its own" '^peer.key$' bash -c "cd $work/witness/server/tls && ls *.key"
check_output "a server does not start on a witness' data" 'data directory of a witness' join witness --token-file "$work/token"
check_output "a witness does not start on a server's" 'data directory of a server' witness data
check_output "it answers nothing, and says so" 'data directory of a witness, which votes and answers nothing' "$kayak" member list --data-dir "$work/witness"
printf 'x' >>"$work/witness/server/witness/state"
check_output "a damaged vote ends it" 'must not vote again: run .kayak member remove [0-9a-f]{16}' witness witness
rm "$work/witness/server/witness/state"
check_output "so does a lost one" 'state is missing' witness witness

# The last resort.
check_output "a reset beside a running server" 'process' "$kayak" server --cluster-reset --data-dir "$work/data"
kubectl create configmap kept --from-literal=k=v >/dev/null
stop_server
check_output "a reset" 'only member of its cluster' "$kayak" server --cluster-reset --data-dir "$work/data"
check_output "a reset of nothing" 'no server has run on' "$kayak" server --cluster-reset --data-dir "$work/nothing"
start_server --disable-agent --node-name first --token "$secret"
wait_ready 30
check_output "the data is there" '^v$' kubectl get configmap kept -o 'jsonpath={.data.k}'
check_output "so is the token" "^$token$" cat "$dir/token"

# A lost peer key costs no data.
eventually 20 "the copy of the member list is of this server alone" '^1$' jq '.members | length' "$dir/db/members.json"
old_member="$(member list -o json | jq -r '.members[0].id')"
stop_server
rm "$dir"/tls/peer.crt "$dir"/tls/peer.key
check_output "a lost peer key: the way that keeps the data is named" \
  "peer.key is missing, .* the only member of its cluster.* run .kayak server --cluster-reset --data-dir $work/data." \
  timeout 10 "$kayak" server --data-dir "$work/data" --disable-agent --node-name first
check_output "a reset makes a new key" 'only member of its cluster' "$kayak" server --cluster-reset --data-dir "$work/data"
start_server --disable-agent --node-name first
wait_ready 30
check_output "the data are there" '^v$' kubectl get configmap kept -o 'jsonpath={.data.k}'
check_output "one member, another one" '^1 differ$' bash -c "'$kayak' member list -o json --data-dir '$work/data' | jq -r '\"\(.members | length) \(if .members[0].id == \"$old_member\" then \"same\" else \"differ\" end)\"'"
finish
