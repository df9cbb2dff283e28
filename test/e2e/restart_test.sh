#!/usr/bin/env bash
# restart_test.sh: kayak ends, by kill -9 and by SIGTERM, and starts again: containers run on and are adopted, none is
# restarted; what was deleted meanwhile goes away.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
k() { kubectl --request-timeout=30s "$@"; }

start_registry
make_image app:1
start_server
wait_ready 30
# By its last words the pods' processes are told from those of other runs.
kubectl create deployment app --image="$registry/app:1" --replicas=2 -- sh -c "while true; do date +%s; sleep 1; done # $work" >/dev/null
check "the deployment is available" kubectl rollout status deployment/app --timeout=120s

ids() { k get pods -l app=app -o 'jsonpath={range .items[*]}{.metadata.name} {.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}{"\n"}{end}' | sort; }
processes() { pgrep -f "^sh -c while true; do date.* # $work\$" | sort | tr '\n' ' '; }
before_ids="$(ids)" before_processes="$(processes)"
check_output "the containers are there" ' kayak://[0-9a-f]{64} 0' echo "$before_ids"
check_output "and their processes" '^[0-9]+ [0-9]+ $' echo "$before_processes"

for signal in KILL TERM KILL; do
  kill "-$signal" "$server_pid"
  wait "$server_pid" 2>/dev/null
  check_output "containers live on after SIG$signal" "^$before_processes$" processes
  start_server
  wait_ready 30
  kubectl wait --for=condition=Ready node --all --timeout=90s >/dev/null
  sleep 1
  check_output "the same containers, not restarted, after SIG$signal" "^yes$" bash -c "[ '$(ids)' = '$before_ids' ] && echo yes"
done
pod="$(k get pods -l app=app -o 'jsonpath={.items[0].metadata.name}')"
now="$(date +%s)"
later() { [ "$(k logs "$pod" --tail=1)" -ge "$now" ] && echo yes; }
eventually 10 "the log goes on" '^yes$' later

check "delete" kubectl delete deployment app --cascade=foreground --timeout=120s
eventually 40 "the processes are gone" '^$' processes
stop_server
start_server --stop-pods-on-exit
wait_ready 30
kubectl wait --for=condition=Ready node --all --timeout=90s >/dev/null
clean_up
check_output "nothing is left on the machine" '^$' leftovers
finish
