"""ha_cluster.py: kayak servers in network namespaces of their own on one bridge, each with a disk of its own, and what
can befall them: killed, paused, cut off, a slow disk, a full disk. What the ha_* tests stand on.

Nothing is left behind, by construction: enter() runs the test again in new network, mount and process namespaces, so
that everything it made ends with it, also when it is killed. What namespaces do not cover (the control groups, the
scratch folder) the outer process removes, or the next run does: the folder's file `runner` names the process that it
belongs to, as in tools/dev/runs.sh. HA_DIR: where the scratch folder and with it the
disks are made (/var/tmp); HA_KEEP: it stays, as it does when a test has failed.
"""
import collections
import ctypes
import glob
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from kayak_client import Door

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INSIDE = "KAYAK_HA_INSIDE"  # set in the namespaces: the number that names this run
WORK = "KAYAK_HA_WORK"  # likewise: the scratch folder
KAYAK = os.path.abspath(os.environ.get("KAYAK", f"{ROOT}/build/release/kayak"))
if INSIDE in os.environ:
    KAYAK = f"{os.environ[WORK]}/kayak"  # a copy: whoever builds meanwhile does not change what runs
BLKIO = "/sys/fs/cgroup/blkio"
SKIPPED = 77
NET = "10.99.0"  # seen by nobody outside of the run's namespaces
PORT = 6443
DISK_BYTES = 1 << 30  # of each server, sparse


# What the test takes from the environment; the rest (proxies, locale, kubeconfigs) says whose machine this is.
KEPT = ("KAYAK", "HA_DIR", "HA_KEEP", "HA_ONLY", "HA_SECONDS", "HA_LIMIT", "HA_SEED", "HA_EVENTS", "LD_LIBRARY_PATH",
        "ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")


def skip(why):
    print(f"skipped: {why}")
    sys.exit(SKIPPED)


def run(*command, check=True, timeout=60, **more):
    """Its result; what it printed is in `stdout`, both streams."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=timeout,
                          check=False, **more)
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout.strip()}")
    return done


def _die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _remove_groups(run_id):
    for path in glob.glob(f"{BLKIO}/kayak-ha-{run_id}-*"):
        try:
            os.rmdir(path)
        except OSError:
            pass  # somebody is still in it


def _identity(pid):
    """Which process that is, also when its number is used again; "": there is none, or only what its parent has not asked
    for."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            fields = file.read().rsplit(") ", 1)[1].split()  # from the third on
        return "" if fields[0] == "Z" else f"{pid} {fields[19]} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _remove_dead_runs(parent):
    for path in glob.glob(f"{BLKIO}/kayak-ha-*"):
        run_id = path.rsplit("kayak-ha-", 1)[1].split("-")[0]
        if not _identity(run_id):
            _remove_groups(run_id)
    for runner in glob.glob(f"{parent}/kayak-ha.*/runner"):
        with open(runner, encoding="ascii") as file:
            owner = file.read()
        # A process of another PID namespace cannot be seen from here.
        if owner.endswith(os.readlink("/proc/self/ns/pid")) and _identity(owner.split()[0]) != owner:
            print(f"clearing what a run that was killed left: {os.path.dirname(runner)}", flush=True)
            shutil.rmtree(os.path.dirname(runner), ignore_errors=True)


def enter():
    """The scratch folder, when this is the run in the namespaces; the outer one waits for that and exits."""
    if INSIDE in os.environ:
        return os.environ[WORK]
    if os.geteuid() != 0:
        skip("needs root for namespaces and disks")
    for tool in ("unshare", "nsenter", "ip", "nft", "kubectl", "mkfs.ext4", "losetup"):
        if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin:/sbin"):
            skip(f"{tool} is not installed (./dev deps)")
    if not os.access(KAYAK, os.X_OK):
        skip(f"{KAYAK} is not built")
    # Flushes have to cost what they cost: /tmp may be memory.
    parent = os.environ.get("HA_DIR", "/var/tmp")
    _remove_dead_runs(parent)
    work = tempfile.mkdtemp(prefix="kayak-ha.", dir=parent)
    with open(f"{work}/runner.new", "w", encoding="ascii") as file:
        file.write(_identity(os.getpid()))
    os.rename(f"{work}/runner.new", f"{work}/runner")
    shutil.copy(KAYAK, f"{work}/kayak")
    environment = {name: os.environ[name] for name in KEPT if name in os.environ}
    environment.update({INSIDE: str(os.getpid()), WORK: work, "PATH": os.environ["PATH"] + ":/usr/sbin:/sbin",
                        "HOME": work, "LC_ALL": "C", "PYTHONDONTWRITEBYTECODE": "1"})
    inner = subprocess.Popen(["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc",
                              sys.executable, *sys.argv], env=environment, preexec_fn=_die_with_parent)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: inner.kill())
    try:
        status = inner.wait()
    except KeyboardInterrupt:
        inner.kill()
        status = 130
    inner.wait()
    _remove_groups(os.getpid())
    if status in (0, SKIPPED) and "HA_KEEP" not in os.environ:
        shutil.rmtree(work)
    else:
        os.remove(f"{work}/runner")
        print(f"kept for a look: {work}")
    sys.exit(status if status >= 0 else 128 - status)


class Server:
    """One server (or witness): its namespace, address, disk and process. `arguments`: of `kayak server`."""

    def __init__(self, cluster, number, *arguments):
        self.cluster, self.number, self.name = cluster, number, f"s{number}"
        self.address = f"{NET}.{number}"
        self.arguments = list(arguments)
        self.link = f"v{number}"
        self.folder = f"{cluster.work}/{self.name}"  # its disk
        self.data = f"{self.folder}/data"
        self.log_path = f"{cluster.work}/{self.name}.log"
        self.kubeconfig = f"{cluster.work}/{self.name}.yaml"
        self.process = None
        self.paused = False
        self.group = None
        self._door = None
        self._make_network()
        self._make_disk()

    def _make_network(self):
        inner = f"e{self.number}"
        run("ip", "netns", "add", self.name)
        run("ip", "link", "add", self.link, "type", "veth", "peer", "name", inner, "netns", self.name)
        run("ip", "link", "set", self.link, "master", "br0", "up")
        run("ip", "-n", self.name, "link", "set", "lo", "up")
        run("ip", "-n", self.name, "address", "add", f"{self.address}/24", "dev", inner)
        run("ip", "-n", self.name, "link", "set", inner, "up")
        run("ip", "-n", self.name, "route", "add", "default", "via", f"{NET}.254")

    def _make_disk(self):
        image = f"{self.folder}.img"
        with open(image, "wb") as file:
            file.truncate(DISK_BYTES)
        run("mkfs.ext4", "-q", "-F", "-m", "0", image)
        os.mkdir(self.folder)
        run("mount", "-o", "loop", image, self.folder)
        group = f"{BLKIO}/kayak-ha-{os.environ[INSIDE]}-{self.name}"
        if os.path.exists(f"{BLKIO}/blkio.throttle.write_iops_device"):
            os.mkdir(group)
            self.group = group
        device = os.stat(self.folder).st_dev
        self.device = f"{os.major(device)}:{os.minor(device)}"

    # Life and death.
    def start(self, *more):
        if self.running():
            raise RuntimeError(f"{self.name} runs already")
        self._door = None
        enter_group = f"echo $$ >{self.group}/cgroup.procs; " if self.group else ""
        command = ["sh", "-c", f'{enter_group}exec nsenter --net="$0" "$@"', f"/run/netns/{self.name}", KAYAK, "server",
                   "--disable-agent", "--data-dir", self.data, "--node-name", self.name,
                   "--https-listen-port", str(PORT), "--write-kubeconfig", self.kubeconfig, *self.arguments, *more]
        if "--witness" in self.arguments:
            command.remove("--disable-agent")
        with open(self.log_path, "ab") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def running(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.paused = False

    def terminate(self, seconds=60):
        """Its exit status."""
        self.process.terminate()
        return self.process.wait(seconds)

    def pause(self):
        self.paused = True
        self.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.paused = False

    # The network.
    def cut_link(self):
        run("ip", "link", "set", self.link, "down")

    def cut(self, incoming=True, outgoing=True, others=None):
        """Drops what comes from, or goes to, these other servers (all); clients still get through."""
        others = [s.address for s in self.cluster.servers if s is not self] if others is None else others
        rules = "add table inet ha\n"
        for hook, field, wanted in (("input", "saddr", incoming), ("output", "daddr", outgoing)):
            if wanted:
                rules += f"add chain inet ha {hook} {{ type filter hook {hook} priority 0; }}\n"
                rules += f"add rule inet ha {hook} ip {field} {{ {', '.join(others)} }} drop\n"
        run("nsenter", f"--net=/run/netns/{self.name}", "nft", "-f", "-", input=rules)

    def join_network(self):
        run("ip", "link", "set", self.link, "up")
        run("nsenter", f"--net=/run/netns/{self.name}", "nft", "delete", "table", "inet", "ha", check=False)

    def move(self, address):
        """Another address, for the next start."""
        run("ip", "-n", self.name, "address", "del", f"{self.address}/24", "dev", f"e{self.number}")
        run("ip", "-n", self.name, "address", "add", f"{address}/24", "dev", f"e{self.number}")
        run("ip", "-n", self.name, "route", "replace", "default", "via", f"{NET}.254")
        self.address = address

    # The disk.
    def slow_disk(self, writes_per_second):
        with open(f"{self.group}/blkio.throttle.write_iops_device", "w", encoding="ascii") as file:
            file.write(f"{self.device} {writes_per_second}")

    def usual_disk(self):
        self.slow_disk(0)

    def fill_disk(self):
        left = os.statvfs(self.folder)
        path = f"{self.folder}/ballast"
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, max(left.f_bavail * left.f_bsize - 65536, 4096))
            try:
                while True:
                    os.write(file.fileno(), bytes(4096))
                    file.seek(0, os.SEEK_END)
            except OSError:
                pass

    def free_disk(self):
        if os.path.exists(f"{self.folder}/ballast"):
            os.remove(f"{self.folder}/ballast")

    # What it says.
    def door(self):
        if self._door is None:
            self._door = Door(self.kubeconfig, host=self.address)
        return self._door

    def is_ready(self):
        try:
            connection = self.door().connect(timeout=2)
            connection.request("GET", "/readyz")
            return connection.getresponse().status == 200
        except (OSError, ValueError, AttributeError):
            return False

    def kayak(self, *arguments, timeout=60):
        return run(KAYAK, *arguments, "--data-dir", self.data, check=False, timeout=timeout)

    def members(self):
        """As `kayak member list` has it at this server; [] when it does not answer."""
        try:
            done = subprocess.run([KAYAK, "member", "list", "-o", "json", "--data-dir", self.data], check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, timeout=5)
            return json.loads(done.stdout)["members"] if done.returncode == 0 else []
        except (subprocess.TimeoutExpired, ValueError):
            return []

    def roles(self):
        return " ".join(sorted(f"{m['name']}={m['role']}" for m in self.members()))

    def kubectl(self, *arguments, timeout=15):
        return run("kubectl", "--kubeconfig", self.kubeconfig, "--server", f"https://{self.address}:{PORT}",
                   f"--request-timeout={timeout}s", *arguments, check=False, timeout=timeout + 30)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="replace") as file:
            return file.read()


class Cluster:
    """The bridge and the servers on it. This process is a client on the bridge."""

    def __init__(self, work):
        self.work = work
        self.servers = []
        self.made = 0  # servers, in this run
        os.makedirs("/run/netns", exist_ok=True)
        run("mount", "-t", "tmpfs", "kayak-ha", "/run/netns")
        run("ip", "link", "set", "lo", "up")
        run("ip", "link", "add", "br0", "type", "bridge")
        run("ip", "address", "add", f"{NET}.254/24", "dev", "br0")
        run("ip", "link", "set", "br0", "up")

    def add(self, *arguments):
        self.made += 1
        server = Server(self, self.made, *arguments)
        self.servers.append(server)
        return server

    def add_joining(self, first, *arguments):
        """As a user does it: the token is copied from a server that is there."""
        with open(f"{first.data}/server/token", encoding="ascii") as file:
            token = file.read().strip()
        return self.add("--server", f"https://{first.address}:{PORT}", "--token", token, *arguments)

    def start_three(self, seconds=120):
        """Three voters, ready."""
        first = self.add("--cluster-init")
        first.start()
        wait_for(seconds, "the first server is ready", first.is_ready)
        for _ in range(2):
            server = self.add_joining(first)
            server.start()
            wait_for(seconds, f"{server.name} is ready", server.is_ready)
        wait_for(seconds, "three voters", lambda: first.roles() == "s1=voter s2=voter s3=voter")

    def leader(self):
        """The server that most of those that answer take for the leader; None: nobody knows one."""
        votes = collections.Counter()
        for server in self.servers:
            if server.running() and not server.paused:
                votes.update(m["name"] for m in server.members() if m.get("leader"))
        named = {server.name: server for server in self.servers}
        return named.get(votes.most_common(1)[0][0]) if votes else None

    def clear(self):
        """For another group: these servers are gone for good."""
        self.end()
        self.servers = []

    def end(self):
        for server in self.servers:
            if server.running():
                server.kill()


def wait_for(seconds, what, condition):
    """How long it took. Raises TimeoutError."""
    begin = time.monotonic()
    while time.monotonic() - begin < seconds:
        if condition():
            return time.monotonic() - begin
        time.sleep(0.05)
    raise TimeoutError(f"not within {seconds} s: {what}")
