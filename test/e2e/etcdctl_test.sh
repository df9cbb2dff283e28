#!/usr/bin/env bash
# etcdctl_test.sh: Debian's etcdctl on the server's etcd endpoint, and what a person's hand in the store does to the API.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
for tool in etcdctl strings; do command -v "$tool" >/dev/null || skip "$tool is not installed (./dev deps)"; done
etcd_port="$(free_port)"
start_server --disable-agent --etcd-listen "127.0.0.1:$etcd_port"
wait_ready 30
export ETCDCTL_API=3
endpoint="unix://$work/data/server/etcd.sock"
etcd() { etcdctl --endpoints="$endpoint" --command-timeout=10s "$@"; }
revision() { etcd get --write-out=json x | jq .header.revision; }

check_output "the socket is for its owner alone" '^600$' stat -c %a "$work/data/server/etcd.sock"
check_output "put" '^OK$' etcd put a 1
check_output "put, with the pair before" '^1$' etcd put --prev-kv a 2
check_output "get" '^2$' etcd get --print-value-only a
etcd put b 1 >/dev/null
etcd put c 1 >/dev/null
check_output "get by prefix, limit and order" '^c$' etcd get --prefix --keys-only --order=DESCEND --limit=1 ""
check_output "get from a key on" '^b$' etcd get --from-key --keys-only --limit=1 b
check_output "the API's objects are there" '^/registry/namespaces/default$' etcd get --prefix --keys-only /registry/namespaces
before="$(revision)"
check_output "txn" '^SUCCESS$' etcd txn <<<$'value("a") = "2"\n\nput a 3\nget b\n\nput a 4\n\n'
check_output "txn took its branch" '^3$' etcd get --print-value-only a
check_output "get at a revision" '^2$' etcd get --print-value-only --rev="$before" a
check_output "del" '^2$' etcd del b d

# watch: from the past, then live.
etcdctl --endpoints="$endpoint" watch --rev="$((before + 1))" --prev-kv a >"$work/watch.txt" 2>&1 &
watch_pid=$!
eventually 10 "watch shows the past" '^PUT a 2 a 3 $' bash -c "tr '\n' ' ' <'$work/watch.txt'"
etcd put a live >/dev/null
eventually 10 "watch shows the present" '^PUT a 2 a 3 PUT a 3 a live $' bash -c "tr '\n' ' ' <'$work/watch.txt'"
kill "$watch_pid"

check_output "endpoint health" 'is healthy' etcd endpoint health
check_output "endpoint status" '3\.5\.[0-9]+.*true' etcd endpoint status --write-out=table
check_output "endpoint hashkv" ', [0-9]+$' etcd endpoint hashkv
check_output "member list" 'started' etcd member list
check_output "defrag" 'Finished' etcd defrag
now="$(revision)"
check_output "compaction" "^compacted revision $now$" etcd compaction "$now"
check_output "compaction twice" 'required revision has been compacted' etcd compaction "$now"
check_output "get before the compaction" 'required revision has been compacted' etcd get --rev="$before" a
check_output "watch before the compaction" 'compacted' timeout 10 etcdctl --endpoints="$endpoint" watch --rev="$before" a
check_output "get of the future" 'required revision is a future revision' etcd get --rev=999999999 a

# Leases.
granted="$(etcd lease grant 600)"
lease="$(sed -nE 's/^lease ([0-9a-f]+) granted with TTL\(600s\)$/\1/p' <<<"$granted")"
check_output "lease grant" '^[0-9a-f]{2,16}$' echo "$lease"
check_output "lease list" "^$lease$" etcd lease list
check_output "put with a lease" '^OK$' etcd put --lease="$lease" /leased/a 1
etcd put --lease="$lease" /leased/b 1 >/dev/null
check_output "put with a lease that is not there" 'requested lease not found' etcd put --lease=123 /leased/c 1
check_output "lease timetolive" "^lease $lease granted with TTL\(600s\), remaining\((5[0-9]{2}|600)s\), attached keys\(\[/leased/a /leased/b\]\)$" etcd lease timetolive --keys "$lease"
check_output "lease timetolive of none" 'already expired|not found' etcd lease timetolive 123
check_output "lease keep-alive" "^lease $lease keepalived with TTL\(600\)$" etcd lease keep-alive --once "$lease"
check_output "a put may keep the lease" '^OK$' etcd put --ignore-lease /leased/b 2
check_output "it is still there" "/leased/b\]" etcd lease timetolive --keys "$lease"
etcd put /leased/b 3 >/dev/null
check_output "a put without a lease takes the key from it" 'attached keys\(\[/leased/a\]\)' etcd lease timetolive --keys "$lease"
check_output "lease revoke" "^lease $lease revoked$" etcd lease revoke "$lease"
check_output "its keys go with it" '^/leased/b$' bash -c "ETCDCTL_API=3 etcdctl --endpoints='$endpoint' get --prefix --keys-only /leased/ | grep ."
check_output "lease revoke of none" 'requested lease not found' etcd lease revoke "$lease"
short="$(etcd lease grant 5 | cut -d' ' -f2)"
etcd put --lease="$short" /leased/short 1 >/dev/null
check_output "a key lives with its lease" '^1$' etcd get --print-value-only /leased/short
eventually 15 "and vanishes with it" '^$' etcd get --print-value-only /leased/short
check_output "the lease is gone, too" 'already expired' etcd lease timetolive "$short"
kept="$(etcd lease grant 5 | cut -d' ' -f2)"
etcd put --lease="$kept" /leased/kept 1 >/dev/null
etcdctl --endpoints="$endpoint" lease keep-alive "$kept" >"$work/keep.txt" 2>&1 &
keep_pid=$!
sleep 8
check_output "a lease that is kept alive stays" '^1$' etcd get --print-value-only /leased/kept
kill "$keep_pid"
eventually 15 "until nobody does so" '^$' etcd get --print-value-only /leased/kept
long="$(etcd lease grant 9000 | cut -d' ' -f2)"
etcd put --lease="$long" /leased/long 1 >/dev/null

# Transactions over ranges, and in one another: etcdctl has no words for these.
txn() { python3 "$(dirname "${BASH_SOURCE[0]}")/etcd_txn.py" "$1" | curl -sS --http2-prior-knowledge --unix-socket "$work/data/server/etcd.sock" \
  -H 'content-type: application/grpc' -H 'te: trailers' --data-binary @- -o - -D - http://etcd/etcdserverpb.KV/Txn | tr -d '\0' | strings; }
etcd put /range/a 1 >/dev/null
etcd put /range/b 1 >/dev/null
check_output "a compare over a range holds" 'grpc-status: 0' txn all-equal
check_output "and took its branch, in a transaction inside" '^all were one$' etcd get --print-value-only /range-answer
etcd put /range/b 2 >/dev/null
check_output "a compare over a range does not hold" 'grpc-status: 0' txn all-equal
check_output "and took the other" '^not all were one$' etcd get --print-value-only /range-answer
check_output "a key written twice, at different depths" 'duplicate key given in txn request' txn twice

# The same over TLS, for who has a certificate of the etcd client CA.
tls="$work/data/server/tls"
remote() { etcdctl --endpoints="https://127.0.0.1:$etcd_port" --command-timeout=5s --dial-timeout=2s "$@"; }
known() { remote --cacert="$tls/etcd-client-ca.crt" --cert="$tls/etcd-client.crt" --key="$tls/etcd-client.key" "$@"; }
check_output "over TLS: get" '^3$' known get --print-value-only /leased/b
check_output "over TLS: put" '^OK$' known put over-tls 1
check_output "over TLS: lease" "^$long$" known lease list
check_output "over TLS: status" '3\.5\.[0-9]+.*true' known endpoint status --write-out=table
check_output "over TLS: txn" '^SUCCESS$' known txn <<<$'value("over-tls") = "1"\n\nput over-tls 2\n\n\n'
timeout 120 etcdctl --endpoints="https://127.0.0.1:$etcd_port" --cacert="$tls/etcd-client-ca.crt" --cert="$tls/etcd-client.crt" --key="$tls/etcd-client.key" \
  watch over-tls >"$work/watch-tls.txt" 2>&1 &
watch_pid=$!
for i in $(seq 100); do
  etcd put over-tls "live-$i" >/dev/null
  grep -q live "$work/watch-tls.txt" && break
  sleep 0.2
done
check_output "over TLS: watch" '^live-' cat "$work/watch-tls.txt"
kill "$watch_pid"
check_output "both addresses are told" "unix://.*etcd.sock,https://127.0.0.1:$etcd_port" etcd member list
refused_word='authentication handshake|bad certificate|handshake failure|deadline exceeded|remote error|unknown authority'
check_output "over TLS without a certificate" "$refused_word" remote --cacert="$tls/etcd-client-ca.crt" get a
check_output "with the API's admin certificate" "$refused_word" remote --cacert="$tls/etcd-client-ca.crt" --cert="$tls/client-admin.crt" --key="$tls/client-admin.key" get a
check_output "with the recovery certificate" "$refused_word" remote --cacert="$tls/etcd-client-ca.crt" --cert="$tls/client-recovery.crt" --key="$tls/client-recovery.key" get a
check_output "with the server's own certificate" "$refused_word" remote --cacert="$tls/etcd-client-ca.crt" --cert="$tls/etcd-server.crt" --key="$tls/etcd-server.key" get a
check_output "without TLS" 'deadline exceeded|closed|transport' etcdctl --endpoints="http://127.0.0.1:$etcd_port" --command-timeout=3s --dial-timeout=2s get a
check_output "curl without a certificate gets no HTTP" 'alert|error|SSL' curl -sSk "https://127.0.0.1:$etcd_port/"
check_output "the etcd client certificate does not open the API" 'alert|error|SSL|401' curl -sSk --cert "$tls/etcd-client.crt" --key "$tls/etcd-client.key" "https://127.0.0.1:$port/api/v1/pods"
check_output "the endpoint's certificate names where it is" 'IP Address:127.0.0.1' openssl x509 -in "$tls/etcd-server.crt" -noout -ext subjectAltName
check_output "and is not the API's" '^1$' bash -c "openssl verify -CAfile '$tls/server-ca.crt' '$tls/etcd-server.crt' 2>&1 | grep -c failed"

# What was written, deleted and compacted gives its space back when it is asked for.
size() { etcd endpoint status --write-out=json | jq ".[0].Status.dbSize"; }
in_use() { etcd endpoint status --write-out=json | jq ".[0].Status.dbSizeInUse"; }
head -c 700000 /dev/zero | tr '\0' v >"$work/large"
for i in $(seq 30); do etcd put "/large/$i" <"$work/large" >/dev/null; done
check_output "large values are deleted" '^30$' etcd del --prefix /large/
etcd put /large/none 1 >/dev/null
etcd compaction "$(revision)" >/dev/null
check "the file is as large as it was" [ "$(size)" -gt 20000000 ]
# The compaction drops what it may bit by bit.
defragmented() { etcd defrag && [ "$(size)" -lt 10000000 ] && echo small; }
eventually 20 "defrag gives it back" '^small$' defragmented
check "what is left is in use" [ "$(size)" -eq "$(in_use)" ]
check_output "as it says itself" 'the store was defragmented.*bytes_before' grep -h 'the store was defragmented' "$work/server.log"
check_output "what stood there stands there" '^live$' etcd get --print-value-only a
check "the API writes" kubectl create configmap after-defrag --from-literal=k=v

# Foreign bytes where objects belong: left out, logged, and no harm to anything else.
kubectl create configmap mine --from-literal=k=v >/dev/null
etcd put /registry/configmaps/default/garbage '{ not json' >/dev/null
etcd put /registry/configmaps/default/empty '' >/dev/null
etcd put /registry/configmaps '{}' >/dev/null
etcd put /registry/configmaps/default/liar '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"other","namespace":"default"}}' >/dev/null
head -c 3000 /dev/urandom | etcd put /registry/namespaces/noise >/dev/null
etcd put /registry/pods/default/broken '{"metadata":{"name":"broken","namespace":"default"},"spec":[]}' >/dev/null
# JSON with the right name and nonsense elsewhere is an object until somebody needs the nonsense.
count=0
for body in '{"spec":5}' '{"spec":[],"status":[]}' '{"spec":{"containers":5,"nodeName":{},"replicas":"x","selector":7,"template":[]}}' \
  '{"spec":{"containers":[5,null,{"name":7}],"nodeName":"here"}}' '{"data":[1]}' '{"metadata":{"ownerReferences":[5],"labels":7}}' \
  '{"metadata":{"creationTimestamp":"never","finalizers":{}}}'; do
  count=$((count + 1))
  for kind in pods deployments configmaps; do
    jq -c --arg name "nonsense-$count" '.metadata += {name: $name, namespace: "default", uid: $name}' <<<"$body" |
      etcd put "/registry/$kind/default/nonsense-$count" >/dev/null
  done
done
eventually 10 "garbage is logged" 'unreadable object left out' grep -h 'configmaps/default/garbage' "$work/server.log"
check_output "objects beside it are as before" '^v$' kubectl get configmap mine -o 'jsonpath={.data.k}'
check_absent "a list leaves it out" 'garbage|empty|liar|other' kubectl get configmaps -o name
check_output "garbage is no object" 'NotFound|not found' kubectl get configmap garbage
check "the API still writes" kubectl create configmap after --from-literal=k=v
etcd del --prefix /registry/configmaps/default/garbage >/dev/null
check "the name is free again" kubectl create configmap garbage --from-literal=k=v

for kind in pods deployments configmaps; do
  check_output "$kind of nonsense are listed" "name: nonsense-1$" kubectl get "$kind" -o yaml
  check_output "$kind of nonsense are listed in protobuf" '^200$' curl -sk --cert "$work/data/server/tls/client-admin.crt" \
    --key "$work/data/server/tls/client-admin.key" -H 'Accept: application/vnd.kubernetes.protobuf' -o /dev/null -w '%{http_code}' \
    "https://127.0.0.1:$port/$([ "$kind" = deployments ] && echo apis/apps/v1 || echo api/v1)/namespaces/default/$kind"
  for ((i = 1; i <= count; i++)); do
    kubectl label "$kind" "nonsense-$i" a=b >/dev/null 2>&1
    kubectl delete "$kind" "nonsense-$i" --wait=false >/dev/null 2>&1
  done
  etcd del --prefix "/registry/$kind/default/nonsense-" >/dev/null
  eventually 10 "$kind of nonsense are gone" '^$' without nonsense kubectl get "$kind" -o name
done
check "the server runs still" kill -0 "$server_pid"

# A good object that comes this way is an object; one that is deleted this way is gone.
etcd get --print-value-only /registry/configmaps/default/mine | sed 's/"mine"/"copy"/' | etcd put /registry/configmaps/default/copy >/dev/null
eventually 10 "an object put by hand is there" '^v$' kubectl get configmap copy -o 'jsonpath={.data.k}'
etcd del /registry/configmaps/default/copy >/dev/null
eventually 10 "an object deleted by hand is gone" 'not found' kubectl get configmap copy

# Garbage is no reason not to start.
kill "$server_pid"
wait "$server_pid"
start_server --disable-agent
wait_ready 30
check_output "after a restart objects are as before" '^v$' kubectl get configmap mine -o 'jsonpath={.data.k}'
check "after a restart the API writes" kubectl create configmap later --from-literal=k=v
check_output "after a restart the endpoint answers" '^live$' etcd get --print-value-only a
check_output "after a restart leases and their keys are there" 'granted with TTL\(9000s\), remaining\([78][0-9]{3}s\), attached keys\(\[/leased/long\]\)' etcd lease timetolive --keys "$long"
check_output "without --etcd-listen nothing listens there" "^127\.0\.0\.1:$port \$" bash -c "ss -ltnpH | grep 'pid=$server_pid,' | awk '{print \$4}' | tr '\n' ' '"
finish
