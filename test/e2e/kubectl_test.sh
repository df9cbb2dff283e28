#!/usr/bin/env bash
# kubectl_test.sh: what a newcomer does with kubectl, against a real server, registry and runc; once with the oldest and
# once with the newest kubectl on this machine.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

kubectls() {
  local path
  path="$(command -v kubectl)"
  { find "$(dirname "$(readlink -f "$path")")" /usr/lib/google-cloud-sdk/bin -maxdepth 1 -name 'kubectl.1.*' 2>/dev/null; } | sort -V | uniq
}
mapfile -t found < <(kubectls)
if [ "${#found[@]}" -ge 2 ]; then versions=("${found[0]}" "${found[-1]}"); else versions=("$(command -v kubectl)"); fi

start_registry
make_image app:1
make_image app:2
start_server --stop-pods-on-exit
wait_ready 30

manifest() {
  cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      terminationGracePeriodSeconds: 1
      containers:
      - name: web
        image: $registry/app:1
        command: [sh, -c, 'echo started; i=0; while true; do i=\$((i+1)); echo "line \$i"; sleep 1; done']
YAML
}

for kubectl in "${versions[@]}"; do
  echo "--- $($kubectl version --client 2>/dev/null | head -n 1)"
  k() { "$kubectl" --request-timeout=30s "$@"; }
  kw() { "$kubectl" "$@"; }
  manifest >"$work/web.yaml"
  check "the node becomes ready" kw wait --for=condition=Ready node --all --timeout=90s
  check_output "api-resources lists kinds" '^deployments +deploy +apps/v1 +true +Deployment' k api-resources
  check_output "api-versions" '^apps/v1$' k api-versions
  check_output "explain a field" 'strategy' k explain deployment.spec.strategy
  check "apply" k apply -f "$work/web.yaml"
  check "rollout status" kw rollout status deployment/web --timeout=120s
  check_output "apply again changes nothing" 'unchanged' k apply -f "$work/web.yaml"
  check_output "get deployments" 'web +2/2 +2 +2' k get deployments
  check_output "get pods -o wide shows addresses and the node" "1/1 +Running +0 .* $pod_prefix\\." k get pods -o wide
  check_output "get -o yaml" 'replicas: 2' k get deployment web -o yaml
  check_output "get -o jsonpath" '^2$' k get deployment web -o 'jsonpath={.status.readyReplicas}'
  check_output "describe a pod shows its events" 'Started' k describe pod -l app=web
  check_output "describe the node" 'Allocatable' k describe node
  pod="$(k get pods -l app=web -o 'jsonpath={.items[0].metadata.name}')"
  eventually 10 "logs" 'line 1' k logs "$pod"
  check_output "logs --tail" '^line [0-9]+$' k logs "$pod" --tail=1
  check_output "logs --timestamps" '^20[0-9-]+T[0-9:.]+Z started' k logs "$pod" --timestamps
  check_output "logs -f goes on" 'line [0-9]+' bash -c "timeout 30 '$kubectl' logs -f --tail=0 '$pod' | head -n 1"
  check "scale" k scale deployment/web --replicas=3
  check "rollout status after scaling" kw rollout status deployment/web --timeout=120s
  eventually 30 "three pods run" '^3$' k get deployment web -o 'jsonpath={.status.readyReplicas}'
  check "set image" k set image deployment/web "web=$registry/app:2"
  check "rollout to the new image" kw rollout status deployment/web --timeout=120s
  check_output "rollout history" '^2 ' k rollout history deployment/web
  check "rollout undo" k rollout undo deployment/web
  check "rollout back" kw rollout status deployment/web --timeout=120s
  check_output "the old image is back" "app:1" k get deployment web -o 'jsonpath={.spec.template.spec.containers[0].image}'
  check "label" k label deployment/web tier=front --overwrite
  check_output "selector by label" 'deployment.apps/web' k get deployments -l tier=front -o name
  check "annotate" k annotate deployment/web note=hello --overwrite
  check "merge patch" k patch deployment web --type=merge -p '{"spec":{"replicas":1}}'
  check "json patch" k patch deployment web --type=json -p '[{"op":"replace","path":"/spec/replicas","value":2}]'
  check "strategic patch" k patch deployment web -p '{"spec":{"template":{"spec":{"containers":[{"name":"web","env":[{"name":"A","value":"b"}]}]}}}}'
  check "rollout after the patch" kw rollout status deployment/web --timeout=120s
  # Before 1.25 kubectl compared fields itself, with what the server publishes of its schemas.
  strict=true unknown='unknown field "replicaz" in io.k8s.api.apps.v1.DeploymentSpec'
  if matches "validate='strict'" "$("$kubectl" create --help)"; then strict=strict unknown='unknown field "spec.replicaz"'; fi
  check_output "strict validation refuses unknown fields" "$unknown" \
    bash -c "sed 's/replicas: 2/replicaz: 2/' '$work/web.yaml' | '$kubectl' create --validate=$strict -f -"
  check_output "a stale write is a conflict" 'the object has been modified' \
    bash -c "'$kubectl' get deployment web -o json | jq '.metadata.resourceVersion=\"1\"' | '$kubectl' replace -f -"
  check_output "not found" 'Error from server \(NotFound\): pods "nope" not found' k get pod nope
  check "create a namespace" k create namespace "shop"
  check "create a config map there" k -n shop create configmap settings --from-literal=a=1
  check_output "get all config maps" 'shop +settings' k get configmaps -A
  check "delete the namespace with its content" kw delete namespace shop --wait --timeout=90s
  check_output "its content is gone" 'NotFound|not found' k -n shop get configmap settings
  check "delete --wait" kw delete deployment web --wait --cascade=foreground --timeout=120s
  eventually 30 "its pods are gone" 'No resources found' k get pods
done

clean_up
check_output "nothing is left on the machine" '^$' leftovers
finish
