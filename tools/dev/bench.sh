# bench.sh: measures a release build: start, requests, pods, store. Figures, never verdicts: nothing here fails because
# it was slow. kayak_bench (test/bench/) measures; this file starts the servers and adds what needs a shell.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
usage="usage: ./dev bench [boot|api|pods|store] [--quick] [--json]"
what="" quick="" json=""
for arg in "$@"; do
  case "$arg" in
    boot | api | pods | store) what="$what $arg" ;;
    --quick) quick=1 ;;
    --json) json=1 ;;
    *) echo "$usage" >&2; exit 2 ;;
  esac
done
[ -n "$what" ] || what="boot api pods store"
# shellcheck source=lib.sh
. "$here/lib.sh"
kayak="${KAYAK:-$kayak}" # another build, to compare
bench="$root/build/release/kayak_bench"
begin_run bench "$@"
# Processes of ours beside the server.
others=()
end_others() {
  [ "${#others[@]}" -gt 0 ] || return 0
  kill "${others[@]}" 2>/dev/null || true
  wait "${others[@]}" 2>/dev/null || true
  others=()
}
on_exit() {
  end_others
  clean_up
  end_run "$work" || true
  rm -rf "$work"
}
trap on_exit EXIT
trap 'exit 130' INT TERM

# pick FULL QUICK
pick() { if [ -n "$quick" ]; then echo "$2"; else echo "$1"; fi; }
figures="$work/figures"
: >"$figures"
# Figures from standard input: shown, and kept for the JSON object.
record() {
  local kind key value text
  while IFS=$'\t' read -r kind key value text; do
    [ "$kind" = figure ] || continue
    printf '%s\t%s\n' "$key" "$value" >>"$figures"
    printf '  %-28s %10s  %s\n' "$key" "$value" "$text"
  done
}
figure() { printf 'figure\t%s\t%s\t%s\n' "$1" "$2" "$3" | record; }
measure() { "$bench" "$@" | record; }
# median of the numbers on standard input, one a line
median() { sort -n | awk '{v[NR] = $1} END {print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2}'; }

bench_boot() {
  say "boot: exec to /readyz"
  figure binary_kb "$(($(stat -c %s "$kayak") / 1024))" "size of the one binary"
  mkdir "$work/boot"
  measure boot --kayak "$kayak" --dir "$work/boot" --port "$(free_port)" --runs "$(pick 9 3)"
}

bench_api() {
  say "api: ConfigMaps of 1 KB over TLS, a connection for each client"
  start_server --disable-agent
  wait_ready 30
  measure api --kubeconfig "$KUBECONFIG" --pid "$server_pid" --ms "$(pick 2000 700)" --rounds "$(pick 3 1)"
  figure objects_after_load "$(kubectl get configmaps -A --chunk-size=0 -o name | wc -l)" "ConfigMaps that are left"
  measure memory --pid "$server_pid" --label after_load
  stop_server
  rm -rf "$work/data"
}

# deployment NAME REPLICAS: a manifest whose image is on the node already
deployment() {
  cat <<YAML
apiVersion: apps/v1
kind: Deployment
metadata: {name: $1}
spec:
  replicas: $2
  selector: {matchLabels: {app: $1}}
  template:
    metadata: {labels: {app: $1}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "$registry/bench:1", command: [sleep, "100000"]}]
YAML
}
# apply_once NAME REPLICAS: milliseconds from kubectl apply to available
apply_once() {
  deployment "$1" "$2" >"$work/$1.yaml"
  "$bench" apply --kubeconfig "$KUBECONFIG" --deployment "$1" --replicas "$2" -- kubectl apply -f "$work/$1.yaml" |
    awk -F '\t' '$2 == "available_ms" {print $3}'
}
remove() {
  kubectl delete deployment "$1" --cascade=foreground --wait --timeout=120s >/dev/null
  kubectl wait --for=delete pod -l "app=$1" --timeout=120s >/dev/null 2>&1 || true
}

bench_pods() {
  if [ "$(id -u)" != 0 ]; then
    say "pods: left out, as containers, namespaces and bridges need root"
    return
  fi
  say "pods: an idle node, then kubectl apply to available"
  start_registry
  start_server --stop-pods-on-exit
  wait_ready 30
  make_image bench:1
  sleep "$(pick 5 2)" # what the start left to do is over
  measure memory --pid "$server_pid" --marker "$work/data" --label idle
  measure activity --pid "$server_pid" --seconds "$(pick 60 20)"
  apply_once warm 1 >/dev/null # the image is pulled
  remove warm
  local times="$work/times" i
  for i in $(seq "$(pick 5 2)"); do
    apply_once one 1
    remove one
  done >"$times"
  figure apply_to_available_ms_1 "$(median <"$times")" "kubectl apply to available, 1 pod, image present, median"
  for i in $(seq "$(pick 3 1)"); do
    [ "$i" = 1 ] || remove thirty
    apply_once thirty 30
  done >"$times"
  figure apply_to_available_ms_30 "$(median <"$times")" "the same, 30 pods"
  sleep 1
  measure memory --pid "$server_pid" --marker "$work/data" --label 30_pods
  figure extra_pss_kb_per_pod "$(awk -F '\t' '{v[$1] = $2}
    END {printf "%.0f", (v["server_pss_kb_30_pods"] - v["server_pss_kb_idle"] + v["shims_pss_kb_30_pods"]) / 30}' "$figures")" \
    "PSS that server and shims take for each of 30 pods"
  remove thirty
  stop_server
  rm -rf "$work/data"
}

# medians FILE: each key of several runs' figures once, with its median, in order of appearance
medians() {
  awk -F '\t' '
    !($2 in n) {order[++keys] = $2; text[$2] = $4}
    {v[$2, ++n[$2]] = $3}
    END {
      for (k = 1; k <= keys; k++) {
        key = order[k]
        for (i = 2; i <= n[key]; i++)
          for (j = i; j > 1 && v[key, j - 1] + 0 > v[key, j] + 0; j--) {
            swap = v[key, j]; v[key, j] = v[key, j - 1]; v[key, j - 1] = swap
          }
        printf "figure\t%s\t%s\t%s\n", key, v[key, int((n[key] + 1) / 2)], text[key]
      }
    }' "$1"
}

# shellcheck source=bench_store.sh
. "$here/bench_store.sh"

say "$(nproc) cores, $(awk '/MemTotal/ {printf "%.0f", $2 / 1048576}' /proc/meminfo) GiB, kernel $(uname -r | cut -d- -f1), $(
  findmnt -no FSTYPE -T /tmp 2>/dev/null || echo unknown) under /tmp, load $(cut -d' ' -f1 /proc/loadavg), $(date -u +%F)"
for one in $what; do "bench_$one"; done
if [ -n "$json" ]; then
  awk -F '\t' '{line = line (NR > 1 ? "," : "") "\"" $1 "\":" $2} END {print "{" line "}"}' "$figures"
fi
