#!/usr/bin/env bash
# restart_test.sh: kayak ends, by kill -9 and by SIGTERM, and starts again: containers run on and are adopted, none is
# restarted; what was deleted meanwhile goes away.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
k() { kubectl --request-timeout=30s "$@"; }

start_registry
make_image app:1
start_server
wait_ready 30
kubectl create deployment app --image="$registry/app:1" --replicas=2 -- sh -c 'while true; do date +%s; sleep 1; done' >/dev/null
check "the deployment is available" kubectl rollout status deployment/app --timeout=60s

ids() { k get pods -l app=app -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort; }
processes() { pgrep -f 'while true; do date' | sort | tr '\n' ' '; }
before_ids="$(ids)" before_processes="$(processes)"
check_output "the containers are there" ' kayak://[0-9a-f]{64} 0' echo "$before_ids"

for signal in KILL TERM KILL; do
  kill "-$signal" "$server_pid"
  wait "$server_pid" 2>/dev/null
  check_output "containers live on after SIG$signal" "^$before_processes$" processes
  start_server
  wait_ready 30
  kubectl wait --for=condition=Ready node --all --timeout=30s >/dev/null
  sleep 1
  check_output "the same containers, not restarted, after SIG$signal" "^yes$" bash -c "[ '$(ids)' = '$before_ids' ] && echo yes"
done
pod="$(k get pods -l app=app -o 'jsonpath={.items[0].metadata.name}')"
check_output "the log went on meanwhile" '^[0-9]+$' k logs "$pod" --tail=1

check "delete" kubectl delete deployment app --cascade=foreground --timeout=60s
eventually 40 "the processes are gone" '^$' processes
stop_server
start_server --stop-pods-on-exit
wait_ready 30
kubectl wait --for=condition=Ready node --all --timeout=30s >/dev/null
clean_up
check_output "nothing is left on the machine" '^$' leftovers
finish
