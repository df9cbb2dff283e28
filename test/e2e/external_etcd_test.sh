#!/usr/bin/env bash
# external_etcd_test.sh: servers whose data live in an existing etcd, over TLS: kubectl's verbs, a restart, two servers
# that see each other's writes, an etcd that is killed while both write, and a cluster of three that loses members.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
for tool in etcd etcdctl openssl; do
  command -v "$tool" >/dev/null || skip "$tool is not installed (./dev deps)"
done
etcd_pid="" second_pid="" members=()

# A CA, and of it a certificate for etcd and one for its clients.
mkdir -p "$work/tls"
make_certificate() {  # NAME EXTENSIONS
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=$1" -keyout "$work/tls/$1.key" \
    -out "$work/tls/$1.csr" 2>/dev/null
  openssl x509 -req -in "$work/tls/$1.csr" -CA "$work/tls/ca.crt" -CAkey "$work/tls/ca.key" -CAcreateserial -days 2 \
    -extfile <(printf '%s\n' "$2") -out "$work/tls/$1.crt" 2>/dev/null
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=etcd-ca -days 2 \
  -keyout "$work/tls/ca.key" -out "$work/tls/ca.crt" 2>/dev/null
make_certificate etcd $'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth'
make_certificate client 'extendedKeyUsage=clientAuth'

etcd_port="$(free_port)" peer_port="$(free_port)"
start_etcd() {
  etcd --data-dir="$work/etcd" --listen-client-urls="https://127.0.0.1:$etcd_port" \
    --advertise-client-urls="https://127.0.0.1:$etcd_port" --listen-peer-urls="http://127.0.0.1:$peer_port" \
    --initial-advertise-peer-urls="http://127.0.0.1:$peer_port" --initial-cluster="default=http://127.0.0.1:$peer_port" \
    --client-cert-auth --trusted-ca-file="$work/tls/ca.crt" --cert-file="$work/tls/etcd.crt" \
    --key-file="$work/tls/etcd.key" --logger=zap --log-level=error >>"$work/etcd.log" 2>&1 &
  etcd_pid=$!
}
datastore=(--disable-agent --datastore-endpoint "https://127.0.0.1:$etcd_port" --datastore-cafile "$work/tls/ca.crt")
identity=(--datastore-certfile "$work/tls/client.crt" --datastore-keyfile "$work/tls/client.key")
export ETCDCTL_API=3
ctl() {
  etcdctl --endpoints="https://127.0.0.1:$etcd_port" --cacert="$work/tls/ca.crt" --cert="$work/tls/client.crt" \
    --key="$work/tls/client.key" "$@"
}
trial() { timeout 60 "$kayak" server --data-dir "$work/trial" --write-kubeconfig "$work/trial.yaml" --bind-address 127.0.0.1 --https-listen-port "$(free_port)" "$@"; }

check_output "a database is no datastore" '^kayak: --datastore-endpoint "postgres://db" names a database' trial --datastore-endpoint postgres://db
check_output "a certificate needs its key" 'go together' trial "${datastore[@]}" --datastore-certfile /x
# Files that cannot serve end the start at once.
openssl ecparam -name prime256v1 -genkey -noout -out "$work/tls/other.key" 2>/dev/null
printf 'no PEM\n' >"$work/tls/none.pem"
check_output "a CA file that is not there" '^kayak: --datastore-cafile: opening /none: ' \
  trial --disable-agent --datastore-endpoint https://127.0.0.1:1 --datastore-cafile /none
check_output "a CA file that is no PEM" '^kayak: --datastore-cafile .*none.pem holds no certificate' \
  trial --disable-agent --datastore-endpoint https://127.0.0.1:1 --datastore-cafile "$work/tls/none.pem"
check_output "a key that is no PEM" '^kayak: --datastore-keyfile .*none.pem holds no private key' \
  trial "${datastore[@]}" --datastore-certfile "$work/tls/client.crt" --datastore-keyfile "$work/tls/none.pem"
check_output "another certificate's key" '^kayak: --datastore-keyfile .*other.key is not the key of --datastore-certfile' \
  trial "${datastore[@]}" --datastore-certfile "$work/tls/client.crt" --datastore-keyfile "$work/tls/other.key"
check_output "a group of our own goes with our own store" 'see etcdctl member' \
  trial "${datastore[@]}" --witness --server https://127.0.0.1:1 --token 0123456789abcdef
start_etcd
eventually 20 "etcd is up" 'is healthy' ctl endpoint health
check_output "http:// where there is TLS" 'is not usable .*serves over TLS is named by https://' \
  timeout 5 "$kayak" server --data-dir "$work/trial" --write-kubeconfig "$work/trial.yaml" --bind-address 127.0.0.1 --https-listen-port "$(free_port)" --disable-agent --datastore-endpoint "http://127.0.0.1:$etcd_port"
check_output "another CA is refused at once" '^kayak: opening the store: the datastore.s TLS identity is not accepted: https://127.0.0.1:.*check --datastore-cafile' \
  trial --disable-agent --datastore-endpoint "https://127.0.0.1:$etcd_port"

start_server "${datastore[@]}" "${identity[@]}"
wait_ready 30
check "create" kubectl create configmap one --from-literal=k=v
check_output "get" '^v$' kubectl get configmap one -o 'jsonpath={.data.k}'
check_output "it lies in etcd" '^/registry/configmaps/default/one$' ctl get --keys-only /registry/configmaps/default/one
kubectl get configmaps --watch -o name >"$work/watch.txt" 2>&1 &
watch_pid=$!
eventually 10 "a watch shows what is there" 'configmap/one' cat "$work/watch.txt"
kubectl create configmap two --from-literal=k=v >/dev/null
eventually 10 "a watch shows what comes" 'configmap/two' cat "$work/watch.txt"
check "delete" kubectl delete configmap two
check_output "snapshots are etcd's" "^kayak: what is kept in an existing etcd is saved with etcd's tools: etcdctl snapshot save$" "$kayak" snapshot save --data-dir "$work/data"
for verb in list add "remove default" "promote default"; do
  # shellcheck disable=SC2086
  check_output "members are etcd's: $verb" '^kayak: this server keeps its data in an existing etcd .* use .etcdctl member. with' "$kayak" member $verb --data-dir "$work/data"
done
check_output "which is an error" '^1 0$' bash -c "'$kayak' member list --data-dir '$work/data' >'$work/list.txt' 2>/dev/null; echo \$? \$(wc -c <'$work/list.txt')"
kill "$watch_pid"
check "a deployment" kubectl create deployment web --image=web --replicas=2
eventually 20 "controllers work" '^2$' bash -c 'kubectl get pods -o name | wc -l'
eventually 20 "and have no more to do" '^2 1$' kubectl get deployment web -o 'jsonpath={.status.replicas} {.status.observedGeneration}'

# Nobody writes but who has to: no heartbeats without a node, no polling. Who leads is decided by the two Leases, which are
# renewed as upstream's are.
sleep 3
before="$(ctl get --write-out=json x | jq .header.revision)"
sleep 5
written="$(ctl get --prefix / --keys-only --write-out=json | jq -r ".kvs[] | select(.mod_revision > $before) | .key | @base64d" |
  grep -vxE '/registry/leases/kube-system/kube-(scheduler|controller-manager)')"
check_output "an idle server renews its Leases and writes nothing else" '^$' echo "$written"

kill "$server_pid"
wait "$server_pid"
start_server "${datastore[@]}" "${identity[@]}"
wait_ready 30
check_output "after a restart it is all there" '^v$' kubectl get configmap one -o 'jsonpath={.data.k}'

# A second server on the same etcd.
second_port="$(free_port)"
"$kayak" server --data-dir "$work/second" --bind-address 127.0.0.1 --https-listen-port "$second_port" \
  --write-kubeconfig "$work/second.yaml" "${datastore[@]}" "${identity[@]}" --server "https://127.0.0.1:$port" \
  --token-file "$work/data/server/token" >>"$work/second.log" 2>&1 &
second_pid=$!
second() { kubectl --kubeconfig "$work/second.yaml" "$@"; }
eventually 30 "a second server is ready" '^ok$' curl -sk "https://127.0.0.1:$second_port/readyz"
check_output "the second server takes what the first one's CA has signed" '^v$' \
  kubectl --server "https://127.0.0.1:$second_port" get configmap one -o 'jsonpath={.data.k}'
check "they sign tokens with the same key" cmp "$work/data/server/tls/service-account.key" "$work/second/server/tls/service-account.key"
check_output "the second server has what the first wrote" '^v$' second get configmap one -o 'jsonpath={.data.k}'
seen=0
for i in $(seq 20); do
  kubectl create configmap "first-$i" --from-literal=k=v >/dev/null && second get configmap "first-$i" >/dev/null && seen=$((seen + 1))
  second create configmap "second-$i" --from-literal=k=v >/dev/null && kubectl get configmap "second-$i" >/dev/null && seen=$((seen + 1))
done
check_output "each write is read from the other server at once" '^40$' echo "$seen"

# Writes on both servers while etcd is killed again and again.
write() {  # KUBECONFIG PREFIX
  local i=0
  while [ ! -e "$work/enough" ]; do
    i=$((i + 1))
    kubectl --kubeconfig "$1" create configmap "$2-$i" --from-literal=k=v >/dev/null 2>&1 && echo "$2-$i"
  done
}
write "$KUBECONFIG" a >"$work/a.txt" &
a_pid=$!
write "$work/second.yaml" b >"$work/b.txt" &
b_pid=$!
count() { cat "$work/$1.txt" | wc -l; }
both_write_on() {  # both servers: two more writes, at least
  local a b
  a="$(count a)" b="$(count b)"
  both() { [ "$(count a)" -ge $((a + 2)) ] && [ "$(count b)" -ge $((b + 2)) ]; }
  wait_for 30 both
}
for _ in 1 2 3; do
  both_write_on
  kill -9 "$etcd_pid"
  wait "$etcd_pid" 2>/dev/null
  sleep 1
  start_etcd
done
both_write_on
touch "$work/enough"
wait "$a_pid" "$b_pid"
check "the first server writes" kubectl create configmap after-the-crashes
check "the second server writes" second create configmap after-the-crashes-too
kubectl get configmaps -o name | sed 's,configmap/,,' | sort >"$work/there.txt"
lost="$(sort "$work/a.txt" "$work/b.txt" | comm -23 - "$work/there.txt" | wc -l)"
written="$(cat "$work/a.txt" "$work/b.txt" | wc -l)"
check_output "writes went on between the crashes ($written)" '^yes$' bash -c "[ $(count a) -ge 8 ] && [ $(count b) -ge 8 ] && echo yes"
check_output "nothing acknowledged is lost" '^0$' echo "$lost"
second get configmaps -o name | sed 's,configmap/,,' | sort >"$work/second-there.txt"
check "both servers show the same" diff "$work/there.txt" "$work/second-there.txt"
check "the first server runs still" kill -0 "$server_pid"
check "the second server runs still" kill -0 "$second_pid"

kill "$second_pid"
wait "$second_pid"
check_output "a server ends cleanly" '^0$' echo $?
second_pid=""
stop_server

# Three members: the one that is used is killed, then its successor hangs.
ports=("$(free_port)" "$(free_port)" "$(free_port)") peers=("$(free_port)" "$(free_port)" "$(free_port)")
initial="m0=http://127.0.0.1:${peers[0]},m1=http://127.0.0.1:${peers[1]},m2=http://127.0.0.1:${peers[2]}"
endpoints="http://127.0.0.1:${ports[0]},http://127.0.0.1:${ports[1]},http://127.0.0.1:${ports[2]}"
start_member() {
  etcd --name="m$1" --data-dir="$work/m$1" --listen-client-urls="http://127.0.0.1:${ports[$1]}" \
    --advertise-client-urls="http://127.0.0.1:${ports[$1]}" --listen-peer-urls="http://127.0.0.1:${peers[$1]}" \
    --initial-advertise-peer-urls="http://127.0.0.1:${peers[$1]}" --initial-cluster="$initial" --logger=zap \
    --log-level=error >>"$work/m$1.log" 2>&1 &
  members[$1]=$!
}
for i in 0 1 2; do start_member "$i"; done
check_output "https:// where there is none" 'is not usable .*without TLS is named by http://' \
  timeout 5 "$kayak" server --data-dir "$work/trial" --write-kubeconfig "$work/trial.yaml" --bind-address 127.0.0.1 --https-listen-port "$(free_port)" --disable-agent --datastore-endpoint "https://127.0.0.1:${ports[0]}"
start_server --disable-agent --datastore-endpoint "$endpoints"
wait_ready 30
# The member that the server is connected to, when connections that were left have ended.
in_use() {
  local deadline=$((SECONDS + 30)) found
  while [ "$SECONDS" -lt "$deadline" ]; do
    found="$(for i in 0 1 2; do
      [[ "$(ss -Htnp state established "( dport = :${ports[$i]} )")" != *"pid=$server_pid,"* ]] || echo "$i"
    done)"
    [ "${#found}" = 1 ] && break
    sleep 0.2
  done
  echo "$found"
}
check "three members: create" kubectl create configmap three --from-literal=k=v
used="$(in_use)"
kill -9 "${members[$used]}"
wait "${members[$used]}" 2>/dev/null
eventually 20 "a member that is killed: writes go on" configured bash -c "kubectl label configmap three a=\$RANDOM --overwrite -o name && echo configured"
check_output "another member is used" "^[^$used]$" in_use
start_member "$used"
eventually 20 "it is back" 'is healthy' etcdctl --endpoints="http://127.0.0.1:${ports[$used]}" endpoint health
used="$(in_use)"
kill -STOP "${members[$used]}"
eventually 60 "a member that hangs: writes go on" configured bash -c "kubectl label configmap three b=\$RANDOM --overwrite -o name && echo configured"
check_output "the one that hangs is left" "^[^$used]$" in_use
kill -CONT "${members[$used]}"
check_output "everything is there" '^v$' kubectl get configmap three -o 'jsonpath={.data.k}'
finish
