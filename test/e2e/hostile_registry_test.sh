#!/usr/bin/env bash
# hostile_registry_test.sh: a registry that lies (hostile_registry.py): each pull fails and says why, on the command line
# and in the pod's events; nothing outside the store is touched, nothing half is left in it.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

k() { kubectl --request-timeout=30s "$@"; }
outside="$work/outside"
mkdir -p "$outside"
echo untouched >"$outside/secret"
registry="127.0.0.1:$(free_port)"
python3 -B "$root/test/e2e/hostile_registry.py" --port "${registry#*:}" --outside "$outside" >"$work/registry.log" 2>&1 &
registry_pid=$!
wait_for 20 curl -fsS "http://$registry/v2/"
printf 'mirrors:\n  "%s":\n    endpoint: ["http://%s"]\n' "$registry" "$registry" >"$work/registries.yaml"
start_server --stop-pods-on-exit
wait_ready 30
lies="$(python3 -B "$root/test/e2e/hostile_registry.py" --list)"

image() { timeout 120 "$kayak" image "$@" --data-dir "$work/data" --private-registry "$work/registries.yaml"; }
# What a pull may not change: the world outside, and the store's names and files beside the locks.
world() {
  ls -lR --time-style=full-iso "$outside"
  cat "$outside/secret"
  find "$work/data/agent/image-store" -type f ! -name '*lock*' -printf '%P %s\n' | sort
}
check "an honest image is pulled" image pull "$registry/good:1"
world >"$work/honest"
refused() {  # refused NAME WORDS: the pull fails with one line that matches, and leaves nothing
  local out status before
  before="$(world)"
  out="$(image pull "$registry/$1:1" 2>&1)"
  status=$?
  if [ "$status" = 1 ] && matches "$2" "$out" && [ "$(world)" = "$before" ]; then return 0; fi
  printf 'status %s: %.300s\n' "$status" "$out"
  diff <(printf '%s\n' "$before") <(world)
  return 1
}
while IFS=$'\t' read -r name words; do
  check "image pull refuses $name" refused "$name" "$words"
done <<<"$lies"
check_output "only the honest image is there" "^2$" bash -c "'$kayak' image ls --data-dir '$work/data' | wc -l"
check_output "by another digest it is refused" 'the registry sent content with digest' \
  image pull "$registry/good@sha256:$(printf '0%.0s' $(seq 64))"

# The same from pods, all at once.
check "the node becomes ready" kubectl wait --for=condition=Ready node --all --timeout=90s
while IFS=$'\t' read -r name _; do
  cat <<YAML
---
apiVersion: v1
kind: Pod
metadata: {name: $name}
spec:
  automountServiceAccountToken: false
  containers: [{name: c, image: "$registry/$name:1"}]
YAML
done <<<"$lies" >"$work/pods.yaml"
check "a pod for each lie is created" k create -f "$work/pods.yaml"
eventually 60 "all of them back off" "^$(wc -l <<<"$lies")$" bash -c "kubectl get pods --no-headers | grep -cE ' 0/1 +(ErrImagePull|ImagePullBackOff) '"
# Events are written behind the status.
explained() {
  kubectl get events --field-selector reason=Failed -o json >"$work/events.json"
  jq '[.items[] | select(.message | startswith("Failed to pull image")) | .involvedObject.name] | unique | length' "$work/events.json"
}
eventually 60 "all of them have an event" "^$(wc -l <<<"$lies")$" explained
while IFS=$'\t' read -r name words; do
  check_output "the pod $name says why" "^Failed to pull image \"$registry/$name:1\": .*($words)" \
    jq -r ".items[] | select(.involvedObject.name == \"$name\" and .reason == \"Failed\" and .type == \"Warning\") | .message" "$work/events.json"
done <<<"$lies"
check_output "and that it backs off" '^Back-off pulling image ".*": ErrImagePull: ' \
  k get pods -o 'jsonpath={range .items[*]}{.status.containerStatuses[0].state.waiting.message}{"\n"}{end}'
world >"$work/now"
check "the world is as it was" diff "$work/honest" "$work/now"
check "the pods can be deleted" kubectl delete pods --all --timeout=120s

while IFS=$'\t' read -r name _; do
  image pull "$registry/$name:1" >"$work/pull.log" 2>&1
  check_output "$name touches nothing outside" '^untouched 1$' bash -c "echo \$(cat '$outside/secret') \$(ls '$outside' | wc -l)"
done < <(python3 -B "$root/test/e2e/hostile_registry.py" --list --inside)
check_output "the server lives" '^ok$' curl -sk "https://127.0.0.1:$port/healthz"
clean_up
check_output "nothing is left on the machine" '^$' leftovers
finish
