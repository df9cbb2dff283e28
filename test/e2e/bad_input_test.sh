#!/usr/bin/env bash
# bad_input_test.sh: requests that must be refused, one by one and in bulk: see bad_input.py.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

printf '{}\n' >"$work/registries.yaml"
start_server --disable-agent
wait_ready 30
set -o pipefail
check "bad input is refused, nothing is written, the server is unhurt" \
  python3 -B "$root/test/e2e/bad_input.py" --kubeconfig "$KUBECONFIG" --pid "$server_pid"

# What an ordinary client shows of it.
printf '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"big"},"data":{"a":"%s"}}' "$(head -c 4000000 /dev/zero | tr '\0' x)" >"$work/big.json"
check_output "kubectl says that a body is too large" 'Request entity too large: limit is 3145728' kubectl create --validate=false -f "$work/big.json"
check_output "kubectl shows a name that is none" 'a lowercase RFC 1123 subdomain must consist of' kubectl create configmap UPPER
check_output "kubectl shows a selector that is none" 'unable to parse requirement|found' kubectl get configmaps -l 'a in'
check_output "kubectl shows a patch that does not apply" 'the server rejected our request|testing value' \
  kubectl patch configmap a --type=json -p '[{"op":"test","path":"/data/a","value":"2"}]'
check_output "the server lives" '^ok$' curl -sk "https://127.0.0.1:$port/healthz"
finish
