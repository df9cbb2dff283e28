# run.sh: a cluster in one command: starts a server, deploys a small app from a registry of its own and shows it.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
once=""
case "${1:-}" in
  "") ;;
  --once) once=1 ;;
  *) echo "usage: ./dev run [--once]" >&2; exit 2 ;;
esac
# shellcheck source=lib.sh
. "$here/lib.sh"
need_root
begin_run run "$@"
trap 'clean_up; end_run "$work" || true; [ -n "${keep:-}" ] || rm -rf "$work"' EXIT

say "starting docker-registry and kayak server in $work"
start_registry
start_server --stop-pods-on-exit
wait_ready 30
say "the API answers at https://127.0.0.1:$port"

say "making an image from busybox and pushing it to $registry"
make_image hello:1
cat >"$work/hello.yaml" <<YAML
apiVersion: apps/v1
kind: Deployment
metadata:
  name: hello
spec:
  replicas: 2
  selector: {matchLabels: {app: hello}}
  template:
    metadata: {labels: {app: hello}}
    spec:
      terminationGracePeriodSeconds: 2
      containers:
      - name: web
        image: $registry/hello:1
        command: [sh, -c]
        args:
        - echo "hello from \$(hostname)" > /www/index.html; echo "serving on port 8080"; exec httpd -f -v -p 8080 -h /www
        ports: [{containerPort: 8080}]
YAML
say "kubectl apply -f hello.yaml"
kubectl apply -f "$work/hello.yaml"
kubectl rollout status deployment/hello --timeout=60s
say "kubectl get pods -o wide"
kubectl get pods -o wide
say "kubectl logs deployment/hello"
kubectl logs deployment/hello
pod_ip="$(kubectl get pods -l app=hello -o 'jsonpath={.items[0].status.podIP}')"
say "curl http://$pod_ip:8080/"
curl -fsS --max-time 10 "http://$pod_ip:8080/"

if [ -z "$once" ]; then
  say "the cluster runs: export KUBECONFIG=$KUBECONFIG (Ctrl-C ends it)"
  interrupted=""
  trap 'interrupted=1' INT TERM
  wait "$server_pid" || true
  [ -n "$interrupted" ] || fail "the server ended; its log: $(tail -n 5 "$work/server.log")"
  trap '' INT TERM
fi
say "stopping"
# A terminal's Ctrl-C reaches the server, too, and then it is already ending its pods.
[ -n "${interrupted:-}" ] || kubectl delete -f "$work/hello.yaml" --cascade=foreground --timeout=30s  # with it go the logs in /var/log/pods
clean_up
left="$(leftovers)"
if [ -n "$left" ]; then
  keep=1
  printf '%s\n' "$left" >&2
  fail "the lines above are left on the machine; the server's log is $work/server.log"
fi
say "nothing is left"
