#!/usr/bin/env python3
"""ha_basics.py: what a group of servers promises, one thing after another, with kubectl as the client: joining, reads and
writes anywhere, losing a leader, moving, a damaged and a lost database, two servers with a witness, the last resorts.
HA_ONLY: a part alone (three, endpoints, deployment, damage, remove, reset, witness, single).
"""
import os
import subprocess
import sys
import time

import ha_cluster
from ha_cluster import wait_for

MAP = ("-o", "jsonpath={.data.k}")


class Checks:
    def __init__(self):
        self.count = self.failed = 0

    def check(self, what, good, saw=""):
        self.count += 1
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {what}", flush=True)
        if not good:
            for line in str(saw).splitlines()[-15:]:
                print(f"     | {line}")
        return good

    def eventually(self, seconds, what, condition, saw=lambda: ""):
        """The seconds are those of a machine with nothing else to do; a busy one has three times as long."""
        try:
            took = wait_for(3 * seconds, what, condition)
            return self.check(f"{what} ({took:.1f} s)", True)
        except TimeoutError:
            return self.check(f"{what} (not within {3 * seconds} s)", False, saw())

    def kubectl(self, what, wanted, server, *arguments):
        done = server.kubectl(*arguments)
        return self.check(what, wanted in done.stdout, f"{arguments} at {server.name}: {done.stdout}\nwanted: {wanted}")


def put(server, name, value="v"):
    """Whether it was acknowledged."""
    done = server.kubectl("create", "configmap", name, f"--from-literal=k={value}", timeout=5)
    return done.returncode == 0 or "already exists" in done.stdout


def other_than(cluster, *servers):
    return [s for s in cluster.servers if s not in servers]


def some_follower(cluster, leader):
    return other_than(cluster, leader)[0]


def new_leader(cluster, old):
    leader = cluster.leader()
    return leader if leader is not old else None


def test_three(t, cluster):
    first = cluster.add("--cluster-init")
    first.start()
    t.eventually(60, "the first server is ready", first.is_ready)
    t.check("a write at the first", put(first, "one"))
    for _ in range(2):
        server = cluster.add_joining(first)
        server.start()
        t.eventually(60, f"{server.name} is ready", server.is_ready)
    t.eventually(60, "three voters", lambda: all(s.roles() == "s1=voter s2=voter s3=voter" for s in cluster.servers),
                 lambda: [s.roles() for s in cluster.servers])
    for server in cluster.servers:
        t.kubectl(f"{server.name} has what was there before it", "v", server, "get", "configmap", "one", *MAP)
        t.check(f"a write at {server.name}", put(server, f"at-{server.name}"))
        for reader in other_than(cluster, server):
            t.kubectl(f"is read at {reader.name} at once", "v", reader, "get", "configmap", f"at-{server.name}", *MAP)
    watch_elsewhere(t, cluster)
    lose_leader(t, cluster)
    move(t, cluster)


def watch_elsewhere(t, cluster):
    writer, watcher = cluster.servers[1], cluster.servers[2]
    with open(f"{cluster.work}/watch", "wb") as out:
        watch = subprocess.Popen(["kubectl", "--kubeconfig", watcher.kubeconfig, "--server",
                                  f"https://{watcher.address}:{ha_cluster.PORT}", "get", "configmaps", "--watch", "-o", "name"],
                                 stdout=out, stderr=out)

    def seen(name):
        with open(f"{cluster.work}/watch", encoding="utf-8") as file:
            return name in file.read()
    t.eventually(10, "a watch at a follower begins", lambda: seen("configmap/one"))
    t.check("a write at another server", put(writer, "watched"))
    t.eventually(5, "is seen by the watch", lambda: seen("configmap/watched"))
    watch.kill()
    watch.wait()


def lose_leader(t, cluster):
    leader = cluster.leader()
    leader.kill()
    for server in other_than(cluster, leader):
        t.eventually(10, f"with the leader killed, kubectl works at {server.name}", lambda s=server: put(s, f"after-kill-{s.name}"))
    leader.start()
    t.eventually(60, "the lost one is ready again", leader.is_ready)
    t.kubectl("and has what it missed", "v", leader, "get", "configmap", f"after-kill-{some_follower(cluster, leader).name}", *MAP)


def move(t, cluster):
    leader = cluster.leader()
    server = some_follower(cluster, leader)
    server.terminate()
    server.move(f"{ha_cluster.NET}.{server.number + 20}")
    server.start()
    t.eventually(60, "a server with another address is ready", server.is_ready)
    wanted = f"{server.address}:{ha_cluster.PORT}"
    t.eventually(60, "the others know it", lambda: any(wanted in m["addresses"] for m in leader.members()), leader.members)
    t.kubectl("it has the data", "v", server, "get", "configmap", "one", *MAP)
    t.check("it takes writes", put(server, "moved"))


def told(server):
    """The addresses that Service kubernetes has."""
    done = server.kubectl("get", "endpointslices", "kubernetes", "-o", "jsonpath={.endpoints[*].addresses[*]}")
    return set(done.stdout.split())


def test_endpoints(t, cluster):
    leader = cluster.leader()
    full = some_follower(cluster, leader)
    everyone = {s.address for s in cluster.servers}
    t.eventually(60, "all three are endpoints of the API", lambda: told(leader) == everyone, lambda: told(leader))
    full.fill_disk()
    large = "x" * 100_000
    t.eventually(30, "a follower's disk is full", lambda: put(leader, f"large-{time.monotonic_ns()}", large) and not full.is_ready())
    t.eventually(60, "it is no endpoint any more", lambda: told(leader) == everyone - {full.address}, lambda: told(leader))
    full.free_disk()
    t.eventually(60, "and is one again when it has caught up", lambda: told(leader) == everyone, lambda: told(leader))


def lease_holder(server, name):
    done = server.kubectl("-n", "kube-system", "get", "lease", name, "-o", "jsonpath={.spec.holderIdentity}")
    return done.stdout if done.returncode == 0 else ""


def test_deployment(t, cluster):
    leader = cluster.leader()
    for name in ("kube-scheduler", "kube-controller-manager"):
        t.eventually(30, f"the leader holds the Lease {name}", lambda n=name: leader.name in lease_holder(leader, n),
                     lambda n=name: lease_holder(leader, n))
    done = leader.kubectl("create", "deployment", "web", "--image=none.invalid/web", "--replicas=3")
    t.check("a deployment", done.returncode == 0, done.stdout)

    def pods(server):
        return len(server.kubectl("get", "pods", "-l", "app=web", "--no-headers", "-o", "name").stdout.split())
    t.eventually(30, "has its pods", lambda: pods(leader) == 3, lambda: leader.kubectl("get", "pods").stdout)
    for replicas in (7, 2, 5):
        leader = cluster.leader()
        other = some_follower(cluster, leader)
        other.kubectl("scale", "deployment", "web", f"--replicas={replicas}")
        leader.kill()  # somewhere between here and there
        t.eventually(30, f"{replicas} pods, under another leader", lambda o=other, r=replicas: pods(o) == r,
                     lambda o=other: o.kubectl("get", "pods").stdout)
        t.eventually(30, "the Leases have moved", lambda: (new_leader(cluster, leader) is not None and
                     new_leader(cluster, leader).name in lease_holder(other, "kube-scheduler") and
                     new_leader(cluster, leader).name in lease_holder(other, "kube-controller-manager")))
        leader.start()
        t.eventually(60, f"{leader.name} is back", leader.is_ready)
    time.sleep(3)  # nobody else still counts pods
    t.check("the number stays", pods(cluster.servers[0]) == 5, cluster.servers[0].kubectl("get", "pods").stdout)


def id_of(cluster, server):
    for one in other_than(cluster, server):
        for member in one.members():
            if member["name"] == server.name:
                return member["id"]
    return None


def damage(path):
    """Bytes in each page of its middle are flipped."""
    size = os.path.getsize(path)
    with open(path, "r+b") as file:
        for offset in range(size // 3, 2 * size // 3, 4096):
            file.seek(offset)
            bits = file.read(16)
            file.seek(offset)
            file.write(bytes(b ^ 0xff for b in bits))


def comes_back(t, cluster, victim, old, what):
    t.eventually(60, f"{what} is ready again", victim.is_ready, victim.log)
    t.eventually(60, "three voters", lambda: all(s.roles() == "s1=voter s2=voter s3=voter" for s in cluster.servers),
                 lambda: [s.roles() for s in cluster.servers])
    t.check("under another id", id_of(cluster, victim) not in (None, old), id_of(cluster, victim))
    t.kubectl("with the data", "v", victim, "get", "configmap", "one", *MAP)
    t.check("and takes writes", put(victim, f"back-{time.monotonic_ns()}"))


def test_damage(t, cluster):
    for at_leader in (False, True):
        leader = cluster.leader()
        victim = leader if at_leader else some_follower(cluster, leader)
        old = id_of(cluster, victim)
        victim.terminate()
        t.eventually(10, "the others go on", lambda v=victim: put(other_than(cluster, v)[0], f"without-{old}"))
        damage(f"{victim.data}/server/db/state.db")
        victim.start()
        comes_back(t, cluster, victim, old, f"a damaged {'leader' if at_leader else 'follower'}")
        t.check("its log says why", "the database is damaged" in victim.log(), victim.log())
        kept = [f for f in os.listdir(f"{victim.data}/server/db") if ".damaged-" in f and not f.endswith("-wal")]
        t.check("one copy of what was damaged is kept", len(kept) == 1, kept)
    victim = some_follower(cluster, cluster.leader())
    old = id_of(cluster, victim)
    victim.kill()
    for name in ("state.db", "state.db-wal"):
        if os.path.exists(f"{victim.data}/server/db/{name}"):
            os.remove(f"{victim.data}/server/db/{name}")
    victim.start()
    comes_back(t, cluster, victim, old, "a server without its database")
    before = id_of(cluster, victim)
    victim.terminate()
    victim.start()
    t.eventually(60, "a restart is one like any other", victim.is_ready)
    t.check("under the same id", id_of(cluster, victim) == before)


def test_remove(t, cluster):
    leader = cluster.leader()
    victim = some_follower(cluster, leader)
    old = id_of(cluster, victim)
    done = leader.kayak("member", "remove", victim.name)
    t.check("member remove", done.returncode == 0, done.stdout)
    rest = " ".join(sorted(f"{s.name}=voter" for s in other_than(cluster, victim)))
    t.eventually(30, "two are left", lambda: leader.roles() == rest, leader.roles)
    t.check("and take writes", put(leader, "two-left"))
    victim.kill()
    for folder in ("db", "tls"):
        os.rename(f"{victim.data}/server/{folder}", f"{victim.data}/server/{folder}.old")
    victim.arguments = ["--server", f"https://{leader.address}:{ha_cluster.PORT}", "--token-file", f"{leader.data}/server/token"]
    victim.start()
    comes_back(t, cluster, victim, old, "one that was removed and emptied")


def test_reset(t, cluster):
    left = cluster.servers[2]
    for server in other_than(cluster, left):
        server.kill()
    t.check("one of three refuses writes", not put(left, "alone"))
    left.kill()
    done = left.kayak("server", "--cluster-reset")
    t.check("the reset", "only member" in done.stdout, done.stdout)
    left.arguments = []
    left.start()
    t.eventually(60, "the one that is left is ready", left.is_ready, left.log)
    t.eventually(30, "and alone", lambda: left.roles() == f"{left.name}=voter", left.roles)
    t.kubectl("with the data", "v", left, "get", "configmap", "one", *MAP)
    t.check("it takes writes", put(left, "alone-2"))
    # The others come back all the same, in a later term: nobody hears them.
    others = other_than(cluster, left)
    before = len(left.log())
    for turn in range(3):
        for server in others:
            server.start()
        t.eventually(60, "the others are what is left of the cluster that was", others[0].is_ready, others[0].log)
        t.check("the reset one leads itself", put(left, f"beside-{turn}") and left.roles() == f"{left.name}=voter", left.roles)
        for server in others:
            server.kill()
    t.check("and never ceased to", "leads no more" not in left.log()[before:], left.log)
    for server in others:
        for folder in ("db", "tls"):
            os.rename(f"{server.data}/server/{folder}", f"{server.data}/server/{folder}.before-reset")
        server.arguments = ["--server", f"https://{left.address}:{ha_cluster.PORT}", "--token-file", f"{left.data}/server/token"]
        server.start()
        t.eventually(60, f"{server.name} joins again", server.is_ready, server.log)
    t.eventually(60, "three voters", lambda: left.roles() == "s1=voter s2=voter s3=voter", left.roles)


def test_witness(t, cluster):
    first = cluster.add("--cluster-init")
    first.start()
    t.eventually(60, "the first of two is ready", first.is_ready)
    t.check("a write", put(first, "one"))
    second = cluster.add_joining(first)
    second.start()
    t.eventually(60, "the second is ready", second.is_ready)
    witness = cluster.add_joining(first, "--witness")
    witness.start()
    roles = f"{first.name}=voter {second.name}=voter {witness.name}=witness"
    t.eventually(60, "two voters and a witness", lambda: first.roles() == roles, first.roles)
    servers = [first, second]
    for lost in servers:
        other = servers[1 - servers.index(lost)]
        time.sleep(2)  # both are in sync
        lost.kill()
        t.eventually(15, f"{lost.name} lost: {other.name} goes on", lambda o=other, n=lost.name: put(o, f"without-{n}"), other.log)
        lost.start()
        t.eventually(60, f"{lost.name} is back", lost.is_ready)
        t.kubectl("and has what it missed", "v", lost, "get", "configmap", f"without-{lost.name}", *MAP)
    time.sleep(2)
    witness.kill()
    t.check("without the witness the two go on", put(first, "no-witness"))
    join_without_witness(t, cluster, first, witness)
    time.sleep(2)
    refuse_rather_than_lose(t, servers)


def revision(server, name):
    """That of a write made now: what the API shows of lists is of its own objects alone."""
    put(server, name)
    return int(server.kubectl("get", "configmap", name, "-o", "jsonpath={.metadata.resourceVersion}").stdout or 0)


def join_without_witness(t, cluster, first, witness):
    """A leader that the witness knows nothing of cannot take anyone in: that is tried, and costs nothing."""
    leader = cluster.leader()
    leader.terminate()
    leader.start()
    t.eventually(60, "the two have a leader again", lambda: put(first, "led-again"), first.log)
    joins = cluster.add_joining(first)
    joins.start()
    t.eventually(30, "a server that joins hears what is in its way", lambda: "the witness has not recorded" in joins.log(), joins.log)
    before = revision(first, "before-waiting")
    time.sleep(20)
    after = revision(first, "after-waiting")
    t.check("and costs the others no writes", 0 < after - before <= 3, f"revision {before}, 20 s later {after}")
    witness.start()
    t.eventually(60, "it is taken in when the witness answers", lambda: f"{joins.name}=learner" in first.roles(), first.roles)
    t.check("and removed", "removed" in first.kayak("member", "remove", joins.name).stdout)
    joins.kill()


def refuse_rather_than_lose(t, servers):
    behind, ahead = servers
    behind.kill()
    t.eventually(15, "one goes on alone", lambda: put(ahead, "only-here"), ahead.log)
    ahead.kill()
    behind.start()
    until = time.monotonic() + 10
    accepted = False
    while time.monotonic() < until:
        accepted = accepted or put(behind, "must-not-be")
    t.check("the one that missed it takes no writes", not accepted)
    ahead.start()
    t.eventually(60, "when the other is back, writes go on", lambda: put(behind, "both-again"), behind.log)
    t.kubectl("and nothing is lost", "v", behind, "get", "configmap", "only-here", *MAP)
    t.check("nor made up", behind.kubectl("get", "configmap", "must-not-be").returncode != 0)


def test_single(t, cluster):
    server = cluster.add()
    server.start()
    t.eventually(60, "a single server", server.is_ready)
    t.check("a write", put(server, "one"))
    server.terminate()
    damage(f"{server.data}/server/db/state.db")
    server.start()
    t.eventually(30, "with a damaged database it stops", lambda: not server.running())
    log = server.log()
    t.check("and names the command that restores", "kayak snapshot restore" in log and "damaged" in log, log)
    t.check("and changed nothing", os.path.exists(f"{server.data}/server/db/state.db"))


GROUPS = {"of three": ("three", "endpoints", "deployment", "damage", "remove", "reset"), "of two and a witness": ("witness",),
          "of one": ("single",)}


def main():
    work = ha_cluster.enter()
    only = os.environ.get("HA_ONLY", "").split(",") if os.environ.get("HA_ONLY") else None
    t = Checks()
    cluster = ha_cluster.Cluster(work)
    try:
        for group, parts in GROUPS.items():
            if only and not set(only) & set(parts):
                continue
            print(f"--- a group {group}", flush=True)
            cluster.clear()
            for part in parts:
                if not only or part in only or part == "three":
                    print(f"- {part}", flush=True)
                    globals()[f"test_{part}"](t, cluster)
    finally:
        cluster.end()
    print(f"{t.count} checks, {t.failed} failed")
    sys.exit(1 if t.failed else 0)


main()
