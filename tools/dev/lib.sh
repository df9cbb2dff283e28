# lib.sh: what ./dev run, the end-to-end tests and the benchmarks share: a server and a registry of their own, an image
# made on the spot, and a clean-up that leaves nothing. Sourced, never run. Needs $root (the checkout).
# Everything lives below $work (runs.sh); ports are free ones, so that several runs can stand side by side.
# shellcheck source=runs.sh
. "$root/tools/dev/runs.sh"

say() { if [ -t 1 ]; then printf '\033[1m==> %s\033[0m\n' "$*"; else printf '==> %s\n' "$*"; fi; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

# A port that nobody listens on, and that this run was not given before. Below those that the kernel hands out by itself:
# one of these could be the near end of somebody's connection when the server starts, or starts again.
free_port() {
  python3 - "$work/ports" <<'PYTHON'
import random, socket, sys
with open(sys.argv[1], "a+") as file:
    file.seek(0)
    given = file.read().split()
    while True:
        port = random.SystemRandom().randrange(11000, 29000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        if str(port) not in given:
            break
    print(port, file=file)
print(port)
PYTHON
}

need_root() {
  [ "$(id -u)" = 0 ] || fail "containers, namespaces and bridges need root: run it with sudo"
}

kayak="$root/build/release/kayak"
server_pid="" registry_pid=""

# start_registry: Debian's docker-registry on loopback; sets $registry (host:port).
start_registry() {
  registry="127.0.0.1:$(free_port)"
  mkdir -p "$work/registry"
  cat >"$work/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}, delete: {enabled: true}}
http: {addr: $registry}
YAML
  docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
  registry_pid=$!
  cat >"$work/registries.yaml" <<YAML
mirrors:
  "$registry":
    endpoint: ["http://$registry"]
YAML
  for _ in $(seq 100); do
    curl -fsS "http://$registry/v2/" >/dev/null 2>&1 && return
    sleep 0.05
  done
  fail "docker-registry did not start; its log is $work/registry.log"
}

# start_server ARGS: a server on $work/data; sets $server_pid and exports KUBECONFIG. Returns at once. Pods get addresses of
# $cluster_cidr when that is set.
start_server() {
  [ -n "${port:-}" ] || port="$(free_port)"
  export KUBECONFIG="$work/kubeconfig.yaml"
  "$kayak" server --data-dir "$work/data" --bind-address 127.0.0.1 --https-listen-port "$port" \
    --write-kubeconfig "$KUBECONFIG" --private-registry "$work/registries.yaml" ${cluster_cidr:+--cluster-cidr "$cluster_cidr"} "$@" >>"$work/server.log" 2>&1 &
  server_pid=$!
}

# wait_ready SECONDS: until /readyz says ok; a busy machine has three times as long. Prints dots when someone watches.
wait_ready() {
  local deadline=$((SECONDS + 3 * ${1:-30}))
  until curl -fsSk "https://127.0.0.1:$port/readyz" >/dev/null 2>&1; do
    kill -0 "$server_pid" 2>/dev/null || { tail -n 20 "$work/server.log" >&2; fail "the server ended; its log is $work/server.log"; }
    [ "$SECONDS" -lt "$deadline" ] || { tail -n 20 "$work/server.log" >&2; fail "the server is not ready; its log is $work/server.log"; }
    [ -t 1 ] && printf .
    sleep 0.05
  done
  [ -t 1 ] && printf '\n'
  return 0
}

stop_server() {
  [ -n "$server_pid" ] || return 0
  kill -TERM "$server_pid" 2>/dev/null || true
  wait "$server_pid" 2>/dev/null || true
  server_pid=""
}

# make_image NAME:TAG [FILE...]: busybox with its applets (and the files given, in /) pushed to $registry.
make_image() {
  local name="$1" build
  shift
  build="$(mktemp -d "$work/image.XXXXXX")"
  mkdir -p "$build/root/bin" "$build/root/etc" "$build/root/tmp" "$build/root/www"
  chmod 1777 "$build/root/tmp"
  cp "$(command -v busybox)" "$build/root/bin/busybox"
  # The list names busybox itself: linking it to itself would break the image.
  "$build/root/bin/busybox" --list | grep -v '^busybox$' | while read -r applet; do ln -s busybox "$build/root/bin/$applet"; done
  printf 'root:x:0:0:root:/:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$build/root/etc/passwd"
  printf 'root:x:0:\nnogroup:x:65534:\n' >"$build/root/etc/group"
  local file
  for file in "$@"; do cp "$file" "$build/root/"; done
  tar -C "$build/root" --owner=0 --group=0 --numeric-owner -cf "$build/layer.tar" .
  local diff
  diff="$(sha256sum "$build/layer.tar" | cut -d' ' -f1)"
  local arch
  arch="$(dpkg --print-architecture)"
  printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"],"WorkingDir":"/"},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]}}' \
    "${arch/armhf/arm}" "$diff" >"$build/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":["layer.tar"]}]' "$name" >"$build/manifest.json"
  tar -C "$build" -cf "$work/image.tar" manifest.json config.json layer.tar
  skopeo copy --quiet --insecure-policy --dest-tls-verify=false "docker-archive:$work/image.tar" "docker://$registry/$name" ||
    fail "pushing the image to $registry failed"
  rm -rf "$build"
}

# What the server on $work/data may have left on the machine, and what else of this run goes on: prints it, "" for nothing.
leftovers() {
  local id pid uid command
  id="$(printf %s "$work/data" | sha256sum | cut -c1-6)"
  for pid in $({ run_processes "$work"; instance_processes "$id"; } | sort -u); do
    [ "$pid" != $$ ] && [ "$pid" != "$BASHPID" ] || continue
    command="$(tr '\0' ' ' 2>/dev/null <"/proc/$pid/cmdline")" || true
    [ -z "$command" ] || echo "process: $command"
  done
  {
    grep -F "$work" /proc/self/mountinfo | sed 's/^/mount: /'
    grep -F "/run/kayak-$id" /proc/self/mountinfo | sed 's/^/mount: /'
    ip -o link 2>/dev/null | grep "kayak$id" | sed 's/^/link: /'
    [ ! -e "/run/kayak-$id" ] || echo "folder: /run/kayak-$id"
    nft list tables 2>/dev/null | grep "kayak$id" | sed 's/^/table: /'
    find /sys/fs/cgroup -maxdepth 4 -type d -name "kayak-$id*" 2>/dev/null | sed 's/^/cgroup: /'
    for uid in $(pods_of "$work" "$id" | sort -u); do
      ls -d /var/log/pods/*_"$uid" "/var/lib/kubelet/pods/$uid" 2>/dev/null | sed 's/^/folder: /'
    done
  } || true
}

clean_up() {
  stop_server
  if [ -n "$registry_pid" ]; then
    kill "$registry_pid" 2>/dev/null || true
    wait "$registry_pid" 2>/dev/null || true
    registry_pid=""
  fi
}
