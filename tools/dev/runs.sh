# runs.sh: runs of ./dev run, the end-to-end tests, benchmarks and fuzzers: what belongs to one, and how all of it goes
# away, also when the run was killed. Sourced by scripts, never run.
# A run is a folder /tmp/kayak-KIND.XXXXXX. Its file `runner` says which process it lives and dies with; every process
# that it starts has KAYAK_RUN=<folder> in its environment. The next run, of whatever kind, ends what dead ones left. A
# folder without `runner` was kept for a look: nothing of it runs, and nobody removes it but a person.

# identity PID: which process that is, also when its number is used again. "": there is none, or only what its parent has
# not asked for.
identity() {
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
  # shellcheck disable=SC2086
  set -- "$1" ${stat##*) } # from the third field on, as the second may hold blanks; the 22nd is when it began
  [ "$2" != Z ] || return 0
  printf '%s %s %s\n' "$1" "${21}" "$(readlink /proc/self/ns/pid)"
}

# begin_run KIND ARGS...: gives the script that calls it with its own arguments a folder, $work, and a range of pod
# addresses that nobody else has, $cluster_cidr. For that the script begins anew, once, in an environment that says
# nothing of whose machine this is: no proxies, locale, kubeconfigs, settings of etcd, kubectl and kayak.
begin_run() {
  local kind="$1" name kept=()
  shift
  if [ -n "${KAYAK_RUN:-}" ]; then
    work="$KAYAK_RUN"
    cluster_cidr="$(cat "$work/cluster-cidr")"
    return
  fi
  exec {runs_lock}>>"/tmp/kayak-runs-$(id -u).lock"
  flock -w 300 "$runs_lock" || fail "somebody holds /tmp/kayak-runs-$(id -u).lock"
  end_dead_runs || true # not what it was asked for
  work="$(mktemp -d "/tmp/kayak-$kind.XXXXXX")"
  free_cluster_cidr >"$work/cluster-cidr"
  mkdir "$work/home"
  identity $$ >"$work/runner"
  exec {runs_lock}>&-
  for name in KAYAK KAYAK_CRASH_ROUNDS KAYAK_CRASH_SEED ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS LD_LIBRARY_PATH TERM; do
    [ -z "${!name:-}" ] || kept+=("$name=${!name}")
  done
  exec env -i "${kept[@]}" PATH="$PATH:/usr/sbin:/sbin" HOME="$work/home" LC_ALL=C PYTHONDONTWRITEBYTECODE=1 \
    KAYAK_RUN="$work" bash "$0" "$@"
}

# A range that no run uses and that no route of this machine leads to.
free_cluster_cidr() {
  local taken first="$RANDOM" i range
  taken=" $(cat /tmp/kayak-*.??????/cluster-cidr 2>/dev/null) $(ip -4 -o route 2>/dev/null) " || true
  for i in $(seq 128); do
    range="10.$((64 + (first + i) % 128))."
    [[ "$taken" == *" $range"* || "$taken" == *$'\n'"$range"* ]] || break
  done
  echo "${range}0.0/16"
}

end_dead_runs() {
  local folder runner now
  for folder in /tmp/kayak-*.??????; do
    [ -O "$folder" ] && [ ! -L "$folder" ] && [ -f "$folder/runner" ] || continue
    runner="$(cat "$folder/runner")"
    # A process of another PID namespace cannot be seen from here.
    [ "${runner##* }" = "$(readlink /proc/self/ns/pid)" ] || continue
    now="$(identity "${runner%% *}")"
    [ "$now" != "$runner" ] || continue
    echo "clearing what a run that was killed left: $folder" >&2
    end_run "$folder"
    rm -rf --one-file-system "$folder"
  done
}

# end_run FOLDER: nothing of it is left on the machine but the folder, with its pods' logs in it.
end_run() {
  local folder="$1" instance instances
  instances="$(instances_of "$folder")"
  kill_all run_processes "$folder"
  if [ "$(id -u)" = 0 ]; then
    for instance in $instances; do kill_all instance_processes "$instance"; done
    take_pods "$folder" "$instances"
    unmount_below "$folder"
    for instance in $instances; do end_instance "$instance"; done
  fi
  rm -f "$folder/runner" "$folder/cluster-cidr"
}

# The names that servers of a run go by (ServerOptions::instance): one for each data directory.
instances_of() {
  local data
  { echo "$1/data/server"; find "$1" -maxdepth 3 -xdev -type d -name server 2>/dev/null; } | sort -u |
    while read -r data; do printf %s "${data%/server}" | sha256sum | cut -c1-6; done
}
# run_processes FOLDER: all that carry its mark.
run_processes() {
  local path
  for path in $(grep -lszxF -- "KAYAK_RUN=$1" /proc/[0-9]*/environ); do
    path="${path#/proc/}"
    echo "${path%%/*}"
  done
}
# instance_processes NAME: those in its control groups, and its shims, which have no environment.
instance_processes() {
  find /sys/fs/cgroup -maxdepth 2 -type d -name "kayak-$1" -exec find {} -name cgroup.procs ';' 2>/dev/null |
    xargs -r cat 2>/dev/null
  pgrep -f "kayak-shim run /run/kayak-$1/"
}
# kill_all COMMAND...: the processes that it prints, until there are none but this one.
kill_all() {
  local pids pid try
  for try in $(seq 100); do
    pids=""
    for pid in $("$@" | sort -u); do
      [ "$pid" = $$ ] || [ "$pid" = "$BASHPID" ] || ! kill -9 "$pid" 2>/dev/null || pids="$pids $pid"
    done
    [ -n "$pids" ] || return 0
    sleep 0.05
  done
  echo "still there: $pids" >&2
}
# pods_of FOLDER INSTANCES: the UIDs of its pods that may have left something: those that its stores know, those that run.
pods_of() {
  local instance stores=()
  mapfile -t stores < <(find "$1" -maxdepth 5 -xdev -path '*/server/db/state.db*' -type f ! -name '*-lock' 2>/dev/null)
  find /var/log/pods /var/lib/kubelet/pods -mindepth 1 -maxdepth 1 2>/dev/null | grep -oE '[0-9a-f-]{36}$' |
    grep -hsoaFf - -- "${stores[@]}" /dev/null
  for instance in $2; do ls "/run/kayak-$instance/pods" "/run/kayak-$instance/shim" 2>/dev/null | grep -v :; done
}
# take_pods FOLDER INSTANCES: the logs move into the folder; what else the node agent keeps of them goes.
take_pods() {
  local uid
  for uid in $(pods_of "$@" | sort -u); do
    unmount_below "/var/lib/kubelet/pods/$uid"
    rm -rf --one-file-system "/var/lib/kubelet/pods/$uid"
    take_logs "$1" "$uid"
  done
}
take_logs() {  # FOLDER UID
  find /var/log/containers -maxdepth 1 -lname "/var/log/pods/*_$2/*" -delete 2>/dev/null
  mkdir -p "$1/pod-logs"
  mv /var/log/pods/*_"$2" "$1/pod-logs/" 2>/dev/null
}
unmount_below() {
  awk -v below="$1" '$5 == below || index($5, below "/") == 1 {print $5}' /proc/self/mountinfo | sort -r | xargs -r umount -l
}
end_instance() {
  local group table
  unmount_below "/run/kayak-$1"
  ip -o link show master "kayak$1" 2>/dev/null | sed 's/^[0-9]*: \([^:@]*\).*/\1/' | xargs -r -n 1 ip link delete
  ip link delete "kayak$1" 2>/dev/null
  nft list tables 2>/dev/null | grep "kayak$1\$" | while read -r table; do
    # shellcheck disable=SC2086
    nft delete $table
  done
  find /sys/fs/cgroup -maxdepth 2 -type d -name "kayak-$1" 2>/dev/null | while read -r group; do
    find "$group" -depth -type d -exec rmdir {} ';' 2>/dev/null
  done
  rm -rf --one-file-system "/run/kayak-$1"
}
