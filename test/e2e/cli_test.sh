#!/usr/bin/env bash
# cli_test.sh: flags and configuration that make no sense: one line that says which and why, exit 2, nothing touched; the
# door: who gets in and who does not.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

refused() {  # refused WANTED ARGS...: exit status 2 and one line that matches
  local wanted="$1" out status
  shift
  out="$("$kayak" "$@" --data-dir "$work/untouched" 2>&1)"
  status=$?
  [ "$status" = 2 ] && [ "$(printf '%s\n' "$out" | wc -l)" = 1 ] && matches "$wanted" "$out" && [ ! -e "$work/untouched" ] && return 0
  echo "status $status: $out"
  return 1
}
check "a bad address" refused '--bind-address "nonsense"' server --bind-address nonsense
check "a bad port" refused 'https-listen-port' server --https-listen-port 70000
check "a bad node name" refused '--node-name "UPPER"' server --node-name UPPER
check "overlapping ranges" refused 'overlap' server --cluster-cidr 10.43.0.0/16
check "a DNS address outside the services" refused 'cluster-dns' server --cluster-dns 1.2.3.4
for address in nonsense 127.0.0.1 127.0.0.1:0 127.0.0.1:70000 host:2379 ::1:2379 "[127.0.0.1]:2379" :2379; do
  check "an etcd address of $address" refused '--etcd-listen ".*" must be address:port' server --etcd-listen "$address"
done
check "an unknown flag" refused 'nonsense' server --nonsense
check "an unknown log level" refused 'log-level' server --log-level loud
check "--server beside --cluster-init" refused 'give one of them' server --cluster-init --server https://a:6443
check "a server to join that is no URL" refused 'must be like https://first:6443' server --server a:6443
check "a witness of nobody" refused 'needs --server' server --witness
check "a reset of who joins" refused 'cluster-reset' server --cluster-reset --server https://a:6443
check "a short token" refused 'fewer than 16 characters' server --token short
check "two tokens" refused 'not both' server --token 0123456789abcdef --token-file /x
check "a bad peer address" refused '--peer-address "boat"' server --peer-address boat
printf 'nodename: x\n' >"$work/bad.yaml"
check "an unknown key of the config file" refused 'nodename' server --config "$work/bad.yaml"
printf '[1,2\n' >"$work/bad.yaml"
check "a config file that is no YAML" refused 'config file' server --config "$work/bad.yaml"
check "a config file that is not there" refused 'config file' server --config "$work/none.yaml"
check "a day that never comes" refused '--snapshot-schedule-cron "0 0 31 2 \*" names no day that ever comes' server --snapshot-schedule-cron '0 0 31 2 *'
for number in -1 65536 1x ""; do
  check "a number of '$number'" refused '--snapshot-retention: ".*" is not a number from 0 to 65535' server --snapshot-retention "$number"
done
for flag in "--etcd-listen 127.0.0.1:1" "--snapshot-schedule-cron @daily" "--node-label a=b" "--node-taint a:NoSchedule" --stop-pods-on-exit; do
  # shellcheck disable=SC2086
  check "a witness with $flag" refused "${flag%% *} is of no use beside --witness" server --witness --server https://a:6443 $flag
done
check "help of a command that is none" refused 'not expected: nonsense' nonsense --help
check_output "version" '^kayak version v1\.36\.0\+kayak1$' "$kayak" version
for verb in "" server image "image pull" member "member remove" version; do
  # shellcheck disable=SC2086
  check_output "help of kayak $verb" "^Usage: kayak${verb:+ $verb} " "$kayak" $verb --help
done

start_registry
printf 'node-name: from-file\nlog-level: debug\n' >"$work/config.yaml"
start_server --disable-agent --config "$work/config.yaml" --tls-san boat.example,192.0.2.99 --node-ip 192.0.2.98
wait_ready 30
url="https://127.0.0.1:$port"
printf 'data-dir: %s\nnode-name: from-file\n' "$work/data" >"$work/tools.yaml"
check_output "member finds the server by its config file" '^[0-9a-f]{16} +from-file ' "$kayak" member list --config "$work/tools.yaml"
check_output "snapshot does, too, and names the node" '/data/server/db/snapshots/on-demand-from-file-[0-9]+: revision' env KAYAK_CONFIG="$work/tools.yaml" "$kayak" snapshot save
check_output "the only member is not removed" 'the only one of its cluster' "$kayak" member remove from-file --data-dir "$work/data"
check_output "anonymous may ask for health" '^ok$' curl -sk "$url/healthz"
check_output "anonymous may ask for the version" 'v1.36.0\+kayak1' curl -sk "$url/version"
check_output "anonymous gets nothing else" '"code": ?401' curl -sk "$url/api/v1/pods"
check_output "readyz?verbose names its checks" '^\[\+\]' curl -sk "$url/readyz?verbose"
check_output "the admin kubeconfig works" 'kube-system' kubectl get namespaces
check_output "the recovery kubeconfig works" 'kube-system' kubectl --kubeconfig "$work/data/server/cred/recovery.kubeconfig" get namespaces
check_output "kubeconfigs are for their owner alone" '^600 600$' bash -c "echo \$(stat -c %a '$KUBECONFIG' '$work/data/server/cred/recovery.kubeconfig')"
tls="$work/data/server/tls"
# The certificates: a CA for each purpose, the serving names, what the keys to the door are.
names="$(openssl x509 -in "$tls/serving-api.crt" -noout -ext subjectAltName)"
for name in DNS:localhost DNS:boat.example DNS:kubernetes.default.svc "IP Address:127.0.0.1" "IP Address:10.43.0.1" "IP Address:192.0.2.99" "IP Address:192.0.2.98"; do
  check_output "the serving certificate is good for $name" "$name(,|$)" echo "$names"
done
check_output "curl finds the name it asks for" '^ok$' curl -sS --cacert "$tls/server-ca.crt" --resolve "boat.example:$port:127.0.0.1" "https://boat.example:$port/healthz"
check_output "and no other" 'SSL|certificate' curl -sS --cacert "$tls/server-ca.crt" --resolve "other.example:$port:127.0.0.1" "https://other.example:$port/healthz"
check_output "every purpose has a CA of its own" '^0$' bash -c "cd '$tls' && sha256sum *-ca.crt | cut -d' ' -f1 | sort | uniq -d | wc -l"
check_output "there are five: servers, clients, front proxy, peers, etcd clients" '^5$' bash -c "ls '$tls'/*-ca.crt | wc -l"
check_output "private keys are for their owner alone" '^600$' bash -c "stat -c %a '$tls'/*.key | sort -u"
recovery_subject() { kubectl --kubeconfig "$work/data/server/cred/recovery.kubeconfig" config view --raw -o 'jsonpath={.users[0].user.client-certificate-data}' | base64 -d | openssl x509 -noout -subject; }
check_output "the recovery certificate is system:masters" 'O ?= ?system:masters' recovery_subject
check_output "the daily certificate is not system:masters" 'O ?= ?kayak:cluster-admins' openssl x509 -in "$tls/client-admin.crt" -noout -subject
openssl req -x509 -newkey rsa:2048 -nodes -keyout "$work/evil.key" -out "$work/evil.crt" -days 1 -subj "/O=system:masters/CN=evil" 2>/dev/null
check_output "a certificate of another CA is refused" 'alert|error|401|SSL|reset' curl -sSk --cert "$work/evil.crt" --key "$work/evil.key" "$url/api/v1/pods"
openssl req -newkey rsa:2048 -nodes -keyout "$work/user.key" -out "$work/user.csr" -subj "/O=people/CN=jane" 2>/dev/null
printf 'extendedKeyUsage=clientAuth\n' >"$work/ext"
openssl x509 -req -in "$work/user.csr" -CA "$tls/client-ca.crt" -CAkey "$tls/client-ca.key" -CAcreateserial -days 1 -extfile "$work/ext" -out "$work/user.crt" 2>/dev/null
check_output "a valid certificate without a role gets 403" 'pods is forbidden: User \\?"jane\\?" cannot list resource' \
  curl -sk --cert "$work/user.crt" --key "$work/user.key" "$url/api/v1/namespaces/default/pods"
check_output "the serving certificate is no client certificate" 'alert|error|401|SSL|reset' \
  curl -sSk --cert "$tls/serving-api.crt" --key "$tls/serving-api.key" "$url/api/v1/pods"
check_output "only the API port listens" '^1$' bash -c "ss -ltnpH | grep -c 'pid=$server_pid,'"
finish
