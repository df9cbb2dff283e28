#!/usr/bin/env bash
# node_test.sh: what the node agent does with pods: images, pull policies, environment, restarts, confinement, network,
# status, events, logs, the image commands, the Node object, and what a stopped or killed server leaves to its successor.
# One server; all pods are applied at once and looked at by tables.
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
k() { kubectl --request-timeout=30s "$@"; }
renewed() { k -n kube-node-lease get lease -o 'jsonpath={.items[0].spec.renewTime}'; }
runtime_sum="$(sha256sum "$(command -v runc)")"

# ---- registries: the plain one, and one with TLS and passwords
tls_pid="" evil_pid=""
stop_registries() {
  [ -z "$tls_pid" ] || kill "$tls_pid" 2>/dev/null
  [ -z "$evil_pid" ] || kill "$evil_pid" 2>/dev/null
  tls_pid="" evil_pid=""
}
start_tls_registry() {
  tls_registry="127.0.0.1:$(free_port)"
  openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout "$work/reg.key" -out "$work/reg.crt" -subj "/CN=registry" \
    -addext "subjectAltName=IP:127.0.0.1" 2>/dev/null
  # The registry reads bcrypt alone.
  perl -e 'printf "boat:%s\n", crypt("anchor", q($2b$04$abcdefghijklmnopqrstuu))' >"$work/htpasswd"
  cat >"$work/tls.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $work/registry}}
auth: {htpasswd: {realm: test, path: $work/htpasswd}}
http: {addr: $tls_registry, tls: {certificate: $work/reg.crt, key: $work/reg.key}}
YAML
  docker-registry serve "$work/tls.yml" >"$work/tls.log" 2>&1 &
  tls_pid=$!
  cat >>"$work/registries.yaml" <<YAML
  mirror.example:
    endpoint: ["http://$registry"]
    rewrite: {"^team/(.*)": "\$1"}
  "$evil_registry":
    endpoint: ["http://$evil_registry"]
configs:
  "$evil_registry":
    auth: {username: boat, password: anchor}
  "$tls_registry":
    tls: {ca_file: $work/reg.crt}
YAML
}

start_evil_registry() {
  python3 "$root/test/e2e/evil_registry.py" "$work" >"$work/evil.log" 2>&1 &
  evil_pid=$!
  wait_for 10 test -s "$work/evil.log"
  evil_registry="$(head -n 1 "$work/evil.log")"
}

# Pushes a docker-archive of the layer folders given, lowest first.
push_layers() {  # push_layers NAME:TAG FOLDER...
  local name="$1" build diffs="" layers="" n=0 folder
  shift
  build="$(mktemp -d "$work/layers.XXXXXX")"
  for folder in "$@"; do
    n=$((n + 1))
    tar -C "$folder" --owner=0 --group=0 --numeric-owner -cf "$build/$n.tar" .
    diffs+="${diffs:+,}\"sha256:$(sha256sum "$build/$n.tar" | cut -d' ' -f1)\""
    layers+="${layers:+,}\"$n.tar\""
  done
  printf '{"architecture":"%s","os":"linux","config":{"Env":["PATH=/bin","FROM_IMAGE=yes"],"Entrypoint":["sh","-c"],"Cmd":["id -u; pwd"],"WorkingDir":"/work","User":"1234"},"rootfs":{"type":"layers","diff_ids":[%s]}}' \
    "$arch" "$diffs" >"$build/config.json"
  printf '[{"Config":"config.json","RepoTags":["%s"],"Layers":[%s]}]' "$name" "$layers" >"$build/manifest.json"
  tar -C "$build" -cf "$build/image.tar" -- manifest.json config.json $(cd "$build" && ls [0-9]*.tar)
  skopeo copy --quiet --insecure-policy --dest-tls-verify=false "docker-archive:$build/image.tar" "docker://$registry/$name"
}

make_images() {
  arch="$(dpkg --print-architecture)"
  arch="${arch/armhf/arm}"
  make_image app:1
  digest="$(skopeo inspect --tls-verify=false --format '{{.Digest}}' "docker://$registry/app:1")"
  skopeo copy --quiet --insecure-policy --src-tls-verify=false --dest-tls-verify=false --format oci \
    --dest-compress-format zstd --dest-compress "docker://$registry/app:1" "dir:$work/zstd"
  skopeo copy --quiet --insecure-policy --dest-tls-verify=false "dir:$work/zstd" "docker://$registry/app:zstd"
  # An index: another architecture first, whose image holds nothing, then ours.
  local type=application/vnd.docker.distribution.manifest
  mkdir "$work/empty"
  arch=s390x push_layers app:s390x "$work/empty"
  entry() {  # entry TAG ARCHITECTURE: the descriptor of a pushed image
    curl -fsS -H "Accept: $type.v2+json" "http://$registry/v2/app/manifests/$1" >"$work/manifest.json"
    jq -n --arg type "$type.v2+json" --arg digest "sha256:$(sha256sum <"$work/manifest.json" | cut -d' ' -f1)" --arg arch "$2" \
      --argjson size "$(wc -c <"$work/manifest.json")" \
      '{mediaType: $type, digest: $digest, size: $size, platform: {architecture: $arch, os: "linux"}}'
  }
  { entry s390x s390x; entry 1 "$arch"; } | jq -s --arg type "$type.list.v2+json" '{schemaVersion: 2, mediaType: $type, manifests: .}' >"$work/index.json"
  curl -fsS -X PUT -H "Content-Type: $type.list.v2+json" --data-binary "@$work/index.json" "http://$registry/v2/app/manifests/multi" ||
    fail "the registry does not take an index"
  # Whiteouts: a removed file, an opaque folder, a file over a folder; a user and a working directory of the image.
  local low="$work/low" high="$work/high"
  mkdir -p "$low/bin" "$low/work" "$low/opaque" "$low/keep" "$high/opaque" "$high/keep"
  cp "$(command -v busybox)" "$low/bin/busybox"
  for applet in sh id pwd ls cat; do ln -s busybox "$low/bin/$applet"; done
  touch "$low/gone" "$low/opaque/old" "$low/keep/a"
  touch "$high/.wh.gone" "$high/opaque/.wh..wh..opq" "$high/opaque/new" "$high/keep/b"
  push_layers layers:1 "$low" "$high"
  skopeo copy --quiet --insecure-policy --src-tls-verify=false "docker://$registry/app:1" "docker-archive:$work/started.tar:started.example/app:1"
  skopeo copy --quiet --insecure-policy --src-tls-verify=false "docker://$registry/app:1" "oci-archive:$work/running.tar:running.example/app:1"
}

# pod NAME [POD FIELDS] CONTAINER FIELDS: prints a manifest; IMAGE is app:1 unless the fields name one.
pod() {
  local name="$1" fields="$2" container="$3" image="image: $registry/app:1,"
  [[ "$container" == *image:* ]] && image=""
  printf -- '---\napiVersion: v1\nkind: Pod\nmetadata: {name: %s, labels: {app: %s}, annotations: {note: hello}}\nspec: {terminationGracePeriodSeconds: 1, %s containers: [{name: c, %s %s}]}\n' \
    "$name" "$name" "$fields" "$image" "$container"
}
never="restartPolicy: Never,"
sh() { printf 'command: [sh, -c, %s]' "$(jq -Rn --arg s "$1" '$s')"; }

start_registry
start_evil_registry
start_tls_registry
make_images
mkdir -p "$work/data/agent/images"
cp "$work/started.tar" "$work/data/agent/images/"
start_server
wait_ready 30
k create configmap settings --from-literal=k=from-map >/dev/null
k create secret generic keys --from-literal=k=from-secret >/dev/null
k create secret docker-registry pull --docker-server="$tls_registry" --docker-username=boat --docker-password=anchor >/dev/null
k create secret generic old --type=kubernetes.io/dockercfg \
  --from-literal=.dockercfg="{\"https://$tls_registry\": {\"auth\": \"$(printf boat:anchor | base64)\"}}" >/dev/null
k create secret docker-registry wrong --docker-server="$tls_registry" --docker-username=boat --docker-password=sail >/dev/null
kubectl wait --for=condition=Ready node --all --timeout=90s >/dev/null
first_renewal="$(renewed)"

look='for path in /proc/self/status; do grep -E "^(CapBnd|CapEff|Seccomp|NoNewPrivs):" $path; done
echo x 2>&1 >/sys/kernel/x; echo 1 2>&1 >/proc/sys/kernel/panic; echo "acpi $(ls /proc/acpi 2>&1 | wc -l)"; echo "firmware $(ls /sys/firmware | wc -l)"
mknod /tmp/disk b $DISK 2>&1; head -c 1 /tmp/disk 2>&1; mkdir /m; mount -t tmpfs none /m 2>&1; echo "devices $(ls /dev | tr "\n" " ")"
echo "fds $(ls /proc/self/fd | tr "\n" " ")"; ls /proc | grep -c "^[0-9]"; chroot /proc/1/root /bin/true && echo inside; ip route 2>/dev/null | head -1'
disk="$(awk '$4 !~ /loop|ram/ && NR > 2 {print $1 " " $2; exit}' /proc/partitions)"
disk="${disk:-7 0}"
env='env: [{name: GREETING, value: hi}, {name: TWICE, value: "$(GREETING) $(GREETING) $(LATER)"}, {name: LATER, value: x},
 {name: NAME, valueFrom: {fieldRef: {fieldPath: metadata.name}}}, {name: SPACE, valueFrom: {fieldRef: {fieldPath: metadata.namespace}}},
 {name: UID, valueFrom: {fieldRef: {fieldPath: metadata.uid}}}, {name: NOTE, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['"'note'"']"}}},
 {name: LABEL, valueFrom: {fieldRef: {fieldPath: "metadata.labels['"'app'"']"}}}, {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}},
 {name: ACCOUNT, valueFrom: {fieldRef: {fieldPath: spec.serviceAccountName}}}, {name: IP, valueFrom: {fieldRef: {fieldPath: status.podIP}}},
 {name: HOST, valueFrom: {fieldRef: {fieldPath: status.hostIP}}}, {name: CPU, valueFrom: {resourceFieldRef: {resource: limits.cpu, divisor: 1m}}},
 {name: MEMORY, valueFrom: {resourceFieldRef: {resource: requests.memory, divisor: 1Mi}}},
 {name: MAP, valueFrom: {configMapKeyRef: {name: settings, key: k}}}, {name: SECRET, valueFrom: {secretKeyRef: {name: keys, key: k}}},
 {name: OPTIONAL, valueFrom: {secretKeyRef: {name: none, key: k, optional: true}}}],
 envFrom: [{prefix: P_, configMapRef: {name: settings}}, {secretRef: {name: keys}}], resources: {limits: {cpu: 500m, memory: 64Mi}}'
mount='volumeMounts: [{name: v, mountPath: /v}]'
{
  # images
  pod tag "$never" "$(sh 'echo ok')"
  pod digest "$never" "image: \"$registry/app@$digest\", $(sh 'echo ok')"
  pod multi "$never" "image: \"$registry/app:multi\", $(sh 'echo ok')"
  pod zstd "$never" "image: \"$registry/app:zstd\", $(sh 'echo ok')"
  pod mirror "$never" "image: \"mirror.example/team/app:1\", $(sh 'echo ok')"
  pod pull-secret "$never imagePullSecrets: [{name: pull}]," "image: \"$tls_registry/app:1\", $(sh 'echo ok')"
  pod pull-old "$never imagePullSecrets: [{name: old}]," "image: \"$tls_registry/app:zstd\", $(sh 'echo ok')"
  pod pull-wrong "$never imagePullSecrets: [{name: wrong}]," "image: \"$tls_registry/layers:1\""
  pod imported "$never" "image: \"started.example/app:1\", imagePullPolicy: Never, $(sh 'echo ok')"
  pod whiteouts "$never" "image: \"$registry/layers:1\", args: [\"ls -a / /opaque /keep\"]"
  pod image-config "$never" "image: \"$registry/layers:1\""
  pod never-there "" "image: \"$registry/none:1\", imagePullPolicy: Never"
  pod not-there "" "image: \"$registry/none:1\""
  pod bad-name "" "image: \"UPPER/Case:1\""
  pod present "$never" "image: \"$registry/app:1\", imagePullPolicy: IfNotPresent, $(sh 'echo ok')"
  pod always "$never" "image: \"$registry/app:1\", imagePullPolicy: Always, $(sh 'echo ok')"
  # what a container is given
  pod env "$never" "$(sh 'env; echo "args:" "$0" "$@"'), args: [\"\$(GREETING)\", \"\$\$(GREETING)\", \"\$(NONE)\"], workingDir: /made/here, $env"
  pod names "$never hostname: boat, subdomain: dock, hostAliases: [{ip: 10.9.8.7, hostnames: [alias.example]}], dnsPolicy: None, dnsConfig: {nameservers: [10.1.1.1], searches: [a.example], options: [{name: ndots, value: \"2\"}]}," "$(sh 'hostname; cat /etc/hosts /etc/resolv.conf /etc/hostname; pwd'), workingDir: /made/here"
  pod user "$never securityContext: {runAsUser: 1000, runAsGroup: 2000, supplementalGroups: [3000], fsGroup: 4000}, volumes: [{name: v, emptyDir: {}}]," "$mount, $(sh 'id; touch /v/x; ls -ln /v/x; grep NoNewPrivs /proc/self/status; touch /new'), securityContext: {allowPrivilegeEscalation: false, readOnlyRootFilesystem: true}"
  pod confined "$never" "$(sh "$look"), env: [{name: DISK, value: \"$disk\"}]"
  # how it goes on
  pod done "$never" "$(sh 'exit 0')"
  pod error "$never" "$(sh 'echo last words; exit 3'), terminationMessagePolicy: FallbackToLogsOnError"
  pod message "$never" "$(sh 'echo noise; echo -n why >/dev/termination-log; exit 1')"
  pod oom "$never" "$(sh 'tail /dev/zero'), resources: {limits: {memory: 20Mi}}"
  pod no-command "$never" "command: [/no/such]"
  pod crash "" "$(sh 'echo run $(date +%s); exit 4')"
  pod on-failure "restartPolicy: OnFailure, volumes: [{name: v, emptyDir: {}}]," "$mount, $(sh 'echo x >>/v/n; [ $(wc -l </v/n) = 2 ]')"
  pod deadline "activeDeadlineSeconds: 8," "$(sh 'sleep 1000')"
  pod init "$never volumes: [{name: v, emptyDir: {}}], initContainers: [{name: one, image: \"$registry/app:1\", $(sh 'sleep 0.3; echo one >>/v/n'), $mount}, {name: two, image: \"$registry/app:1\", $(sh 'echo two >>/v/n'), $mount}]," "$mount, $(sh 'cat /v/n')"
  pod init-fails "$never initContainers: [{name: one, image: \"$registry/app:1\", $(sh 'exit 5')}]," "$(sh 'exit 0')"
  pod refused "" "livenessProbe: {exec: {command: [\"true\"]}}"
  pod no-map "" "envFrom: [{configMapRef: {name: none}}]"
  pod non-root "" "securityContext: {runAsNonRoot: true}"
  pod server "" "$(sh 'echo served >/www/index.html; httpd -f -p 8080 -h /www')"
  pod polite "terminationGracePeriodSeconds: 30," "$(sh 'trap "echo got TERM; exit 0" TERM; echo ready; while true; do sleep 0.05; done')"
  pod stubborn "" "$(sh 'trap "" TERM; while true; do sleep 0.05; done')"
  pod forced "terminationGracePeriodSeconds: 1000," "$(sh 'trap "" TERM; while true; do sleep 0.05; done')"
  pod holder "" "image: \"$registry/layers:1\", args: [\"exec busybox sleep 1000\"]"
  pod talker "" "$(sh 'i=0; while true; do i=$((i+1)); echo line $i; sleep 0.2; done')"
  # what else a pod may ask for
  pod host-network "$never hostNetwork: true," "$(sh 'readlink /proc/self/ns/net; ls /sys/class/net | grep -c kayak')"
  pod host-spaces "$never hostPID: true, hostIPC: true," "$(sh 'readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc')"
  pod shared "$never shareProcessNamespace: true," "$(sh 'cat /proc/1/comm')"
  pod privileged "$never" "$(sh 'grep -E "^(CapEff|Seccomp):" /proc/self/status; ls /dev | grep -c kmsg; mkdir /m; mount -t tmpfs none /m && echo mounted'), securityContext: {privileged: true}"
  pod caps "$never" "$(sh 'grep CapEff /proc/self/status'), securityContext: {capabilities: {drop: [ALL], add: [NET_BIND_SERVICE]}}"
  pod unconfined "$never" "$(sh 'grep Seccomp: /proc/self/status'), securityContext: {seccompProfile: {type: Unconfined}}"
  pod tuned "$never dnsPolicy: Default, enableServiceLinks: false, hostnameOverride: renamed, securityContext: {sysctls: [{name: net.ipv4.ip_unprivileged_port_start, value: \"80\"}]}," "$(sh 'hostname; cat /proc/sys/net/ipv4/ip_unprivileged_port_start; env | grep -c SETTINGS; echo dns; cat /etc/resolv.conf')"
  pod full-name "$never hostname: boat, subdomain: dock, setHostnameAsFQDN: true," "$(sh 'hostname')"
  pod volumes "$never volumes: [{name: v, emptyDir: {medium: Memory, sizeLimit: 1Mi}}, {name: h, hostPath: {path: $work/low, type: Directory}}]," "volumeMounts: [{name: v, mountPath: /v}, {name: h, mountPath: /h, readOnly: true}], $(sh 'grep " /v " /proc/mounts; ls /h; touch /h/x; head -c 2000000 /dev/zero >/v/x')"
  pod placed "$never nodeName: $(hostname | tr '[:upper:]' '[:lower:]')," "$(sh 'echo placed')"
  pod gated "readinessGates: [{conditionType: example.com/open}]," "$(sh 'exec sleep 1000')"
  pod loud "" "$(sh 'yes $(head -c 1000 /dev/zero | tr "\0" x) | head -n 11000; echo end; exec sleep 1000')"
  pod git "volumes: [{name: v, gitRepo: {repository: x}}]," "$mount"
  # Security 19: the runtime's own binary cannot be written through the process it becomes (CVE-2019-5736).
  pod self "$never" "command: [/proc/self/exe, --version]"
} >"$work/pods.yaml"
check "apply all pods" k apply -f "$work/pods.yaml"
# The slowest of them by far is the one that has crashed three times: it is asked for last.
for pod in pull-old always init deadline user whiteouts pull-secret; do
  eventually 30 "$pod has ended" '^(Succeeded|Failed)$' k get pod "$pod" -o 'jsonpath={.status.phase}'
done
check "a server is ready" kubectl wait --for=condition=Ready pod server --timeout=90s

# What containers saw.
while read -r pod wanted; do
  [ -e "$work/$pod.log" ] || k logs "$pod" -c c >"$work/$pod.log" 2>&1
  check_output "$pod shows ${wanted:0:60}" "^$wanted\$" cat "$work/$pod.log"
done <<'TABLE'
digest ok
multi ok
zstd ok
mirror ok
pull-secret ok
pull-old ok
imported ok
present ok
always ok
image-config 1234
image-config /work
init one
env args: hi \$\(GREETING\) \$\(NONE\)
env TWICE=hi hi \$\(LATER\)
env NAME=env
env SPACE=default
env UID=[0-9a-f-]{36}
env NOTE=hello
env LABEL=env
env ACCOUNT=default
env IP=10\.[0-9.]+
env HOST=[0-9.]+
env CPU=500
env MEMORY=64
env MAP=from-map
env SECRET=from-secret
env P_k=from-map
env k=from-secret
env PWD=/made/here
env KUBERNETES_SERVICE_HOST=10.43.0.1
names boat
names 10\.[0-9.]+.boat.dock.default.svc.cluster.local.boat
names 10.9.8.7.alias.example
names nameserver 10.1.1.1
names search a.example
names options ndots:2
user uid=1000 gid=2000 groups=2000,3000,4000
user -rw-r--r-- +1 1000 +4000 .* /v/x
user NoNewPrivs:.1
user touch: /new: Read-only file system
confined CapBnd:.00000000a80425fb
confined CapEff:.00000000a80425fb
confined Seccomp:.2
confined NoNewPrivs:.0
confined .*/sys/kernel/x: Read-only file system
confined .*/proc/sys/kernel/panic: Read-only file system
confined acpi 0
confined firmware 0
confined head: /tmp/disk: Operation not permitted
confined mount: .*(denied|not permitted).*
confined devices fd full mqueue null ptmx pts random shm stderr stdin stdout termination-log tty urandom zero.
confined fds 0 1 2 3.
TABLE
while read -r pod wanted; do
  [ -e "$work/$pod.log" ] || k logs "$pod" -c c >"$work/$pod.log" 2>&1
  check_output "field: $pod shows ${wanted:0:60}" "^$wanted\$" cat "$work/$pod.log"
done <<TABLE
host-network $(readlink /proc/self/ns/net | sed 's/[][]/\\&/g')
host-network [1-9]
host-spaces $(readlink /proc/self/ns/pid | sed 's/[][]/\\&/g')
host-spaces $(readlink /proc/self/ns/ipc | sed 's/[][]/\\&/g')
shared kayak-init
privileged CapEff:.$(awk '/^CapBnd/ {print $2}' /proc/self/status)
privileged Seccomp:.0
privileged mounted
caps CapEff:.0000000000000400
unconfined Seccomp:.0
tuned renamed
tuned 80
tuned dns
full-name boat.dock.default.svc.cluster.local
volumes .* /v tmpfs .*size=1024k.*
volumes bin
volumes touch: /h/x: Read-only file system
placed placed
TABLE
resolvers="$(for file in /etc/resolv.conf /run/systemd/resolve/resolv.conf; do grep -m 1 ^nameserver "$file"; done 2>/dev/null | grep -v ' 127\.' | head -n 1)"
check_output "field: dnsPolicy Default is the node's resolv.conf" "^${resolvers:-dns}\$" cat "$work/tuned.log"
check_output "whiteouts: files and folders of lower layers are gone" '/keep: \. \.\. a b  /opaque: \. \.\. new' bash -c "kubectl logs whiteouts | tr '\n' ' '"
check_absent "whiteouts: no trace of them" 'gone|old|\.wh' k logs whiteouts
check_absent "an optional key that is not there sets nothing" OPTIONAL k logs env

# The network: between pods, from and to the host.
ip="$(k get pod server -o 'jsonpath={.status.podIP}')"
check_output "the host reaches a pod" '^served$' curl -sS --max-time 5 "http://$ip:8080/"
host_ip="$(k get node -o 'jsonpath={.items[0].status.addresses[0].address}')"
python3 -u -m http.server --bind "$host_ip" 0 --directory "$work/low" >"$work/http.log" 2>&1 &
http_pid=$!
wait_for 20 grep -q " port " "$work/http.log"
http_port="$(sed -n 's/.* port \([0-9]*\) .*/\1/p' "$work/http.log")"
pod caller "$never" "$(sh "wget -qO- http://$ip:8080/; wget -qO- http://$host_ip:$http_port/ | grep -o keep | head -1")" | k apply -f - >/dev/null
eventually 10 "a pod reaches another pod" '^served$' k logs caller
check_output "a pod reaches the host" '^keep$' k logs caller
kill "$http_pid"; wait "$http_pid" 2>/dev/null

eventually 30 "a crashing container was started three times" '^[2-9]$' k get pod crash -o 'jsonpath={.status.containerStatuses[0].restartCount}'
# What the API says is looked at as a whole. A row that does not hold is looked at again: a container may be between two
# states just then, an event behind its state.
see() {
  k get pods -o json >"$work/pods.json"
  k get events -o json >"$work/events.json"
}
seen() {  # seen WHAT REGEX COMMAND...
  local tries
  for tries in $(seq 30); do
    matches "$2" "$("${@:3}" 2>&1)" && break
    sleep 1
    see
  done
  check_output "$@"
}
see
uid_of() { jq -r --arg pod "$1" '.items[] | select(.metadata.name == $pod).metadata.uid' "$work/pods.json"; }
container_of() {  # the ID alone, of the pod's first container
  jq -r --arg pod "$1" '.items[] | select(.metadata.name == $pod).status.containerStatuses[0].containerID | sub(".*//"; "")' "$work/pods.json"
}

# state POD: phase, then each container: name, ready, restarts, state, reason, exit code, message.
state() {
  jq -r --arg pod "$1" '.items[] | select(.metadata.name == $pod).status | .phase + " " + (.reason // "-") + " " + ([(.initContainerStatuses // [])[], .containerStatuses[] |
    "\(.name) \(.ready) \(.restartCount) \(.state | keys[0]) \(.state[] | "\(.reason // "-") \(.exitCode // "-") \(.message // "-")")"] | join(" / "))' "$work/pods.json"
}
# What the API shows of each pod.
while read -r pod wanted; do
  seen "status of $pod" "^$wanted" state "$pod"
done <<'TABLE'
tag Succeeded - c false 0 terminated Completed 0 -$
never-there Pending - c false 0 waiting ErrImageNeverPull - Container image ".*/none:1" is not present with pull policy of Never$
not-there Pending - c false 0 waiting ImagePullBackOff - Back-off pulling image ".*/none:1": ErrImagePull: .*not found
pull-wrong Pending - c false 0 waiting ImagePullBackOff - Back-off pulling image ".*": ErrImagePull: .*401 Unauthorized.*
bad-name Pending - c false 0 waiting InvalidImageName - Failed to apply default image tag "UPPER/Case:1": couldn't parse image name "UPPER/Case:1": invalid reference format: repository name \(Case\) must be lowercase$
done Succeeded - c false 0 terminated Completed 0 -$
error Failed - c false 0 terminated Error 3 last words$
message Failed - c false 0 terminated Error 1 why$
oom Failed - c false 0 terminated OOMKilled 137
no-command Failed - c false 0 terminated StartError 128 .*/no/such.* no such file or directory
crash Running - c false [2-9] waiting CrashLoopBackOff - back-off (20s|40s|1m20s) restarting failed container=c pod=crash_default\([0-9a-f-]{36}\)$
on-failure Succeeded - c false 1 terminated Completed 0 -$
deadline Failed DeadlineExceeded c false 0 terminated Error (137|143) -$
init Succeeded - one true 0 terminated Completed 0 - / two true 0 terminated Completed 0 - / c false 0 terminated Completed 0 -$
init-fails Failed - one false 0 terminated Error 5 - / c false 0 waiting PodInitializing - -$
refused Pending - c false 0 waiting CreateContainerConfigError - .*spec.containers\[0\].livenessProbe
no-map Pending - c false 0 waiting CreateContainerConfigError - configmap "none" not found$
non-root Pending - c false 0 waiting CreateContainerConfigError - container has runAsNonRoot and image will run as root
server Running - c true 0 running - - -$
gated Running - c true 0 running - - -$
git Pending - c false 0 waiting CreateContainerConfigError - .*spec.volumes\[0\].gitRepo
TABLE

conditions() {
  jq -r --arg pod "$1" '.items[] | select(.metadata.name == $pod).status.conditions | map("\(.type)=\(.status)\(if .reason then ":" + .reason else "" end)") | sort | join(" ")' "$work/pods.json"
}
while read -r pod wanted; do
  seen "conditions of $pod" "^$wanted\$" conditions "$pod"
done <<'TABLE'
server ContainersReady=True Initialized=True PodReadyToStartContainers=True PodScheduled=True Ready=True
done ContainersReady=False:PodCompleted Initialized=True:PodCompleted PodReadyToStartContainers=.* PodScheduled=True Ready=False:PodCompleted
error ContainersReady=False:PodFailed Initialized=True PodReadyToStartContainers=.* PodScheduled=True Ready=False:PodFailed
init-fails ContainersReady=False:PodFailed Initialized=False:ContainersNotInitialized PodReadyToStartContainers=.* PodScheduled=True Ready=False:PodFailed
not-there ContainersReady=False:ContainersNotReady Initialized=True PodReadyToStartContainers=True PodScheduled=True Ready=False:ContainersNotReady
gated ContainersReady=True Initialized=True PodReadyToStartContainers=True PodScheduled=True Ready=False:ReadinessGatesNotReady
TABLE

events() {
  jq -r --arg pod "$1" '.items[] | select(.involvedObject.name == $pod) | "\(.type) \(.reason) \(.involvedObject.fieldPath // "-") \(.message)"' "$work/events.json"
}
while read -r pod wanted; do
  seen "event of $pod: ${wanted:0:60}" "^$wanted\$" events "$pod"
done <<'TABLE'
always Normal Pulling spec.containers\{c\} Pulling image ".*/app:1"
always Normal Pulled spec.containers\{c\} Successfully pulled image ".*/app:1" in [0-9.]+m?s \([0-9.]+m?s including waiting\)\. Image size: [0-9]+ bytes\.
imported Normal Pulled spec.containers\{c\} Container image "started.example/app:1" already present on machine and can be accessed by the pod
done Normal Created spec.containers\{c\} Container created
done Normal Started spec.containers\{c\} Container started
init Normal Started spec.initContainers\{one\} Container started
deadline Normal Killing spec.containers\{c\} Stopping container c
deadline Normal DeadlineExceeded - Pod was active on the node longer than the specified deadline
crash Warning BackOff spec.containers\{c\} Back-off restarting failed container c in pod crash_default\([0-9a-f-]{36}\)
not-there Warning Failed spec.containers\{c\} Failed to pull image ".*/none:1": .*
not-there Warning Failed spec.containers\{c\} Error: ErrImagePull
not-there Normal BackOff spec.containers\{c\} Back-off pulling image ".*/none:1"
not-there Warning Failed spec.containers\{c\} Error: ImagePullBackOff
never-there Warning ErrImageNeverPull spec.containers\{c\} Container image ".*/none:1" is not present with pull policy of Never
bad-name Warning InspectFailed spec.containers\{c\} Failed to apply default image tag "UPPER/Case:1": .*
no-map Warning Failed spec.containers\{c\} Error: configmap "none" not found
refused Warning Failed - Error: .*spec.containers\[0\].livenessProbe.*
TABLE
# patch_status PATH PATCH: as kubectl patch --subresource=status, which those before 1.24 do not know.
patch_status() {
  local part
  for part in client-certificate client-key; do
    kubectl config view --raw -o "jsonpath={.users[0].user.$part-data}" | base64 -d >"$work/admin.$part"
  done
  curl -fsSk --cert "$work/admin.client-certificate" --key "$work/admin.client-key" -X PATCH \
    -H 'Content-Type: application/strategic-merge-patch+json' --data "$2" "https://127.0.0.1:$port$1/status" >/dev/null
}
patch_status /api/v1/namespaces/default/pods/gated '{"status":{"conditions":[{"type":"example.com/open","status":"True"}]}}'
eventually 10 "a pod is ready when its readiness gate opens" '^True$' k get pod gated -o 'jsonpath={.status.conditions[?(@.type=="Ready")].status}'
patch_status "/api/v1/nodes/$(k get node -o 'jsonpath={.items[0].metadata.name}')" '{"status":{"conditions":[{"type":"FromOthers","status":"False"}]}}'
check_output "a container that ended well does not back off" '^0$' bash -c "jq '[.items[] | select(.involvedObject.name == \"on-failure\" and .reason == \"BackOff\")] | length' '$work/events.json'"

# Logs.
check_output "logs --tail" '^2$' bash -c "kubectl logs talker --tail=2 | wc -l"
check_output "logs --timestamps" '^20[0-9-]{8}T[0-9:]{8}\.[0-9]{9}Z line 1$' k logs talker --timestamps
check_output "logs --since leaves out older lines" '^line ([2-9]|[1-9][0-9]+)$' bash -c "kubectl logs talker --since=3s | head -n 1"
check_output "logs -f follows" '^5$' bash -c "timeout 30 kubectl logs -f talker --tail=0 | head -n 5 | wc -l"
check_output "logs --previous of a crashed container" '^run [0-9]+$' k logs crash --previous
check_output "logs --previous of one that runs for the first time" 'previous terminated container "c" in pod "talker" not found' k logs talker --previous
check_output "logs of a container without image" 'container "c" in pod "not-there" is waiting to start: trying and failing to pull image' k logs not-there
check_output "logs of a pod that ended" '^last words$' k logs error
eventually 20 "a log that rotated ends with its last line" '^end$' k logs loud --tail=1
check_output "and its older part is beside it" '^[2-9]$' bash -c "ls '/var/log/pods/default_loud_$(uid_of loud)/c' | wc -l"
check_output "logs -f of a container that ended ends" '^last words$' timeout 10 kubectl logs -f error
check_output "logs --limit-bytes" '^line$' k logs talker --limit-bytes=4
check_output "log files are where tools look" '^20.* stdout F last words$' cat "/var/log/containers/error_default_c-$(container_of error).log"

# Termination: with grace, by force after it, at once.
timed() { local start="${EPOCHREALTIME/./}"; "$@" >/dev/null 2>&1; echo $(((${EPOCHREALTIME/./} - start) / 1000)); }
kubectl logs -f polite >"$work/polite.log" &
follower=$!
wait_for 10 test -s "$work/polite.log"
check_output "a polite container ends at SIGTERM, not after 30 s" '^1?[0-9]{1,4}$' timed kubectl delete pod polite
wait "$follower"
check_output "and had the time to say so" 'got TERM' cat "$work/polite.log"
check_output "a stubborn one is killed after its second" '^([1-9]|1[0-9])[0-9]{3}$' timed kubectl delete pod stubborn
check_output "its event says so" 'Stopping container c' k get events --field-selector involvedObject.name=stubborn,reason=Killing
check_output "grace 0 and force do not wait" '^1?[0-9]{1,4}$' timed kubectl delete pod forced --grace-period=0 --force
eventually 5 "and its container is gone" '^0$' bash -c "ls -d /run/kayak-*/shim/$(uid_of forced) 2>/dev/null | wc -l"

# Another image for a container that runs.
check "set image of a pod" k set image pod/server "c=$registry/app:zstd"
eventually 15 "it runs again with it" '^1 .*/app:zstd true$' k get pod server -o 'jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].image} {.status.containerStatuses[0].ready}'
check_output "its event says why" 'Container c definition changed, will be restarted' k get events --field-selector involvedObject.name=server,reason=Killing

# The image commands beside the running server.
image() { "$kayak" image "$@" --data-dir "$work/data" --private-registry "$work/registries.yaml"; }
check "image import" image import "$work/running.tar"
pod late "$never" "image: \"running.example/app:1\", imagePullPolicy: Never, $(sh 'echo ok')" | k apply -f - >/dev/null
eventually 10 "the server sees what was imported" '^ok$' k logs late
check_output "image ls" '^running.example/app:1 +[0-9a-f]{12} +[0-9.]+[MGk]B$' image ls
check_output "image rm of one in use" 'is used by a container; delete its pod first' image rm "$registry/layers:1"
check "image pull" image pull "mirror.example/team/layers:1"
check "image rm of another name of it" image rm "mirror.example/team/layers:1"
check_absent "and it is gone" mirror.example/team/layers image ls
check_output "image pull of what is not there" 'not found' image pull "$registry/none:1"

# A registry that lies (security 22, 23: CVE-2021-32760, CVE-2021-41190): the pull fails and says why, and nothing of it stays.
stored() { (cd "$work/data/agent/image-store" && find . -path ./imported -prune -o -print | sort | sha256sum); }
before="$(stored)"
while read -r repository wanted; do
  check_output "a lying registry: $repository" "$wanted" image pull "$evil_registry/$repository:1"
done <<'TABLE'
digest the content does not have this digest
too-long the registry sends more than the [0-9]+ bytes it promised
truncated the connection|of the [0-9]+ promised|closed|ended
diff-id layer sha256:[0-9a-f]+: .*
no-layer the manifest lists 0 layers, the config 1
both the manifest has both manifests and layers
dotdot layer sha256:[0-9a-f]+: .*\.\./\.\./escaped
hardlink layer sha256:[0-9a-f]+: .*
link the layer puts files below "out", which is no folder
TABLE
check_output "a lying registry: content of another digest (CVE-2026-50195)" 'the registry sent content with digest' \
  image pull "$evil_registry/poisoned@sha256:$(printf x | sha256sum | cut -d' ' -f1)"
eventually 10 "no half image is left" "^$before$" stored # pods go on trying to pull meanwhile
check_output "and nothing was written outside" '^0$' bash -c "find '$work' -name escaped | wc -l"
check "a blob behind a redirect" image pull "$evil_registry/leak:1"
check_output "credentials do not follow it (CVE-2020-15157)" '^no credentials$' cat "$work/evil.log"
check_output "nor ever" '^0$' bash -c "grep -c '^credentials' '$work/evil.log'"

# Security 13 (CVE-2020-8551, CVE-2025-46599) and 22 (CVE-2020-15257): what listens.
ours="pid=($server_pid$(instance_processes "$(instances_of "$work")" | sort -u | sed 's/^/|/' | tr -d '\n')),"
listening() { ss -ltunpH | grep -E "$ours" | awk '{print $5}' | tr '\n' ' '; }
abstract() { ss -lxpH | grep -E "$ours" | grep ' @'; }
check_output "only the API port listens" "^127\.0\.0\.1:$port \$" listening
check_output "no abstract socket" '^$' abstract

# The Node.
k get node -o json | jq '.items[0]' >"$work/node.json"
while read -r what wanted filter; do
  check_output "node $what" "^$wanted\$" jq -r "$filter" "$work/node.json"
done <<'TABLE'
addresses InternalIP:[0-9.]+,Hostname:[^,]+ [.status.addresses[]|.type+":"+.address]|join(",")
capacity [1-9][0-9]* .status.capacity.cpu
memory [1-9][0-9]*Ki .status.allocatable.memory
pods 110 .status.allocatable.pods
conditions MemoryPressure=False,DiskPressure=False,PIDPressure=False,Ready=True,.*FromOthers=False [.status.conditions[]|.type+"="+.status]|join(",")
version v1\.36\..* .status.nodeInfo.kubeletVersion
runtime (runc|crun)://.+ .status.nodeInfo.containerRuntimeVersion
system linux/(amd64|arm64|arm) .status.nodeInfo|.operatingSystem+"/"+.architecture
labels linux/(amd64|arm64|arm)/true .metadata.labels|.["kubernetes.io/os"]+"/"+.["kubernetes.io/arch"]+"/"+.["node-role.kubernetes.io/control-plane"]
images [1-9][0-9]* [.status.images[].names[]]|length
TABLE
pod fill "" "$(sh 'exec sleep 1000'), resources: {requests: {cpu: 500m}}" | k apply -f - >/dev/null
eventually 10 "describe node shows what is allocated" 'cpu +500m? ' k describe node
eventually 15 "the lease was renewed" '^yes$' bash -c "[ \"\$(kubectl -n kube-node-lease get lease -o 'jsonpath={.items[0].spec.renewTime}')\" != '$first_renewal' ] && echo yes"

# Accepted, not enforced: said so.
check_output "a NetworkPolicy warns" '^Warning: .* does not enforce network policies' kubectl create -f - <<<'{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{"name":"n"},"spec":{"podSelector":{}}}'
check_output "a Role warns" '^Warning: .*' kubectl create role r --verb=get --resource=pods
check_output "a webhook warns" '^Warning: .*' kubectl create -f - <<<'{"apiVersion":"admissionregistration.k8s.io/v1","kind":"ValidatingWebhookConfiguration","metadata":{"name":"w"}}'

# What a killed server leaves: one container dies, one shim is killed, one pod is deleted by nobody, one goes on.
for name in dies shot goes-on; do
  pod "$name" "" "$(sh "trap 'exit 6' TERM; echo $name; while true; do sleep 0.05; done")"
done | k apply -f - >/dev/null
check "three pods run" kubectl wait --for=condition=Ready pod dies shot goes-on --timeout=90s
uid() { k get pod "$1" -o 'jsonpath={.metadata.uid}'; }
dies="$(uid dies)" shot="$(uid shot)"
before="$(k get pod goes-on -o 'jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}')"
ended() { k get pods -o json | jq -c '[.items[] | select(.status.phase == "Succeeded" or .status.phase == "Failed") | [.metadata.name, .status.phase, .status.containerStatuses[0].restartCount]]'; }
ended_before="$(ended)"
kill -9 "$server_pid"
wait "$server_pid" 2>/dev/null
shim_of() { pgrep -f "kayak-shim run .*/shim/$1 "; }
pkill -TERM -P "$(shim_of "$dies")"
kill -9 "$(shim_of "$shot")"
sleep 0.3
check "image import while no server runs" image import "$work/running.tar"
check_output "image ls while no server runs" 'running.example/app:1' image ls
start_server
wait_ready 30
eventually 15 "the container that died meanwhile was restarted, its exit code known" '^1 6$' k get pod dies -o 'jsonpath={.status.containerStatuses[0].restartCount} {.status.containerStatuses[0].lastState.terminated.exitCode}'
eventually 15 "the container whose shim was shot runs or was restarted" '^(true [01])$' k get pod shot -o 'jsonpath={.status.containerStatuses[0].ready} {.status.containerStatuses[0].restartCount}'
check_output "pods that ended stay so" '^yes$' bash -c "[ '$(ended)' = '$ended_before' ] && echo yes"
check_output "the third was not touched" "^$before$" k get pod goes-on -o 'jsonpath={.status.containerStatuses[0].containerID} {.status.containerStatuses[0].restartCount}'
# Two pods are deleted while the node is away.
stop_server
start_server --disable-agent
wait_ready 30
check "pods can be deleted without their node" k delete pod dies shot --grace-period=0 --force
stop_server
start_server
wait_ready 30
eventually 15 "their containers are ended" '^0$' bash -c "ls -d /run/kayak-*/shim/$dies /run/kayak-*/shim/$shot 2>/dev/null | wc -l"
check_output "conditions of others stay on the Node" '^False$' k get node -o 'jsonpath={.items[0].status.conditions[?(@.type=="FromOthers")].status}'
stop_server
start_server --stop-pods-on-exit
wait_ready 30
uids="$(k get pods -o 'jsonpath={.items[*].metadata.uid}')"
clean_up
stop_registries
# The logs of pods that were not deleted are meant to stay; not those of a test.
for uid in $uids; do take_logs "$work" "$uid"; done
check_output "the runtime is as it was" "^$runtime_sum$" sha256sum "$(command -v runc)"
check_output "nothing is left after --stop-pods-on-exit" '^$' leftovers
finish
