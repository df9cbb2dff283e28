#!/usr/bin/env python3
"""ha_chaos.py: three servers, and what happens to them, in random order while clients write and watch (ha_load.py).

Servers are killed, ended, paused, cut off (wholly, from the others, in one direction, from one other), get a slow disk
or a full one. While one server of three has trouble, writes must go on at the others within seconds: the issue says
3 s; what is longer is printed, and fails from HA_LIMIT (10) on, as test machines are shared. In the end all servers
agree, and nothing that was acknowledged is missing. Exit status 1 otherwise.
HA_SECONDS: how long (75). HA_SEED repeats the decisions, not the moments. HA_EVENTS: only these (kill,cut_link).
"""
import os
import random
import sys
import time

import ha_cluster
from ha_load import Load

SECONDS = float(os.environ.get("HA_SECONDS", "75"))
LIMIT = float(os.environ.get("HA_LIMIT", "10"))
GOAL = 3.0
SLOW_WRITES = 20  # a second: with the file system's own, about 7 flushes

EVENTS = {  # what: how often
    "kill": 5, "end": 2, "kill_all": 1, "pause": 4, "stutter": 1, "cut_link": 3, "cut_peers": 3, "cut_in": 2, "cut_out": 2,
    "cut_pair": 2, "slow_disk": 2, "full_disk": 2,
}


class Chaos:
    def __init__(self, cluster, load, seed):
        self.cluster, self.load, self.random = cluster, load, random.Random(seed)
        self.report, self.acks = load.report, load.acks
        wanted = os.environ.get("HA_EVENTS")
        self.events = {e: EVENTS[e] for e in wanted.split(",")} if wanted else dict(EVENTS)
        if self.cluster.servers[0].group is None:
            print("no slow disk: this machine has no blkio control group of version 1")
            self.events.pop("slow_disk", None)
        self.resumes = []  # seconds without writes after a leader was lost
        self.counts = {}

    # Each does its harm to `victim`, lasts for a while, and takes it back.
    def kill(self, victim):
        victim.kill()
        time.sleep(self.random.uniform(0, 5))
        victim.start()

    def end(self, victim):
        status = victim.terminate()
        if status != 0:
            self.report.violation(f"{victim.name} ended with status {status} after SIGTERM")
        time.sleep(self.random.uniform(0, 3))
        victim.start()

    def kill_all(self, _):
        for server in self.cluster.servers:
            server.kill()
        for server in self.random.sample(self.cluster.servers, 3):
            time.sleep(self.random.uniform(0, 0.5))
            server.start()

    def pause(self, victim):
        victim.pause()
        time.sleep(self.random.uniform(1, 10))
        victim.resume()

    def stutter(self, victim):
        until = time.monotonic() + self.random.uniform(2, 5)
        while time.monotonic() < until:
            victim.pause()
            time.sleep(0.05)
            victim.resume()
            time.sleep(self.random.uniform(0, 0.1))

    def _cut(self, victim, cut):
        cut()
        time.sleep(self.random.uniform(1, 8))
        victim.join_network()

    def cut_link(self, victim):
        self._cut(victim, victim.cut_link)

    def cut_peers(self, victim):
        self._cut(victim, victim.cut)

    def cut_in(self, victim):
        self._cut(victim, lambda: victim.cut(outgoing=False))

    def cut_out(self, victim):
        self._cut(victim, lambda: victim.cut(incoming=False))

    def cut_pair(self, victim):
        other = self.random.choice([s for s in self.cluster.servers if s is not victim])
        self._cut(victim, lambda: victim.cut(others=[other.address]))

    def slow_disk(self, victim):
        victim.slow_disk(SLOW_WRITES)
        time.sleep(self.random.uniform(3, 8))
        victim.usual_disk()

    def full_disk(self, victim):
        victim.fill_disk()
        time.sleep(self.random.uniform(3, 8))
        victim.free_disk()

    def step(self):
        event = self.random.choices(list(self.events), list(self.events.values()))[0]
        leader = self.cluster.leader()
        at_leader, pick = self.random.random() < 0.5, self.random.random()
        followers = [s for s in self.cluster.servers if s is not leader]
        victim = leader if at_leader and leader else followers[int(pick * len(followers))]
        begin = time.monotonic()
        getattr(self, event)(victim)
        healed = time.monotonic()
        self.counts[event] = self.counts.get(event, 0) + 1
        where = "all" if event == "kill_all" else f"{victim.name}{' (leader)' if victim is leader else ''}"
        print(f"{begin - self.begin:6.1f} {event} {where} for {healed - begin:.1f} s", end="", flush=True)
        self.settle(event, victim, begin, healed, victim is leader)

    def settle(self, event, victim, begin, healed, lost_leader):
        others = [s for s in self.cluster.servers if s is not victim]
        resumed = None
        if event == "kill_all":
            self.wait(f"writes after {event}", lambda: self.acks.resumed(healed) is not None)
            print(f": writes {self.acks.resumed(healed) or 99:.2f} s after the last start", end="")
        elif event == "cut_pair":
            self.wait(f"writes after {event}", lambda: self.acks.resumed(begin) is not None)
        else:
            for server in others:
                self.wait(f"writes at {server.name} after {event} at {victim.name}",
                          lambda server=server: self.acks.resumed(begin, server.name) is not None)
            resumed = max(self.acks.resumed(begin, server.name) or 99 for server in others)
            print(f": writes at the others {resumed:.2f} s later", end="")
        for server in self.cluster.servers:
            self.wait(f"{server.name} is ready after {event}", server.is_ready)
        now = time.monotonic()
        for server in self.cluster.servers:
            self.wait(f"{server.name} takes writes after {event}",
                      lambda server=server: self.acks.resumed(now, server.name) is not None)
        pause = self.acks.longest_pause(begin, time.monotonic())
        print(f"; longest pause {pause:.2f} s, all well {time.monotonic() - healed:.2f} s after", flush=True)
        if lost_leader and resumed is not None:
            self.resumes.append((resumed, event))
        if resumed is not None and resumed > LIMIT:
            self.report.violation(f"{event}: writes at the others went on after {resumed:.1f} s")
        for server in self.cluster.servers:
            if not server.running():
                self.report.violation(f"{server.name} ended by itself: {server.log()[-1500:]}")
                server.start()

    def wait(self, what, condition):
        try:
            ha_cluster.wait_for(60, what, condition)
        except TimeoutError as error:
            self.report.violation(str(error))
            self.explain()

    def explain(self):
        for server in self.cluster.servers:
            members = " ".join(m["name"] for m in server.members() if m["leader"]) or "nobody"
            print(f"     | {server.name}: leader is {members}; {self.acks.refused}", flush=True)
            for line in server.log().splitlines()[-5:]:
                print(f"     | {line}", flush=True)

    def run(self):
        self.begin = time.monotonic()
        for server in self.cluster.servers:
            self.wait(f"{server.name} takes writes", lambda server=server: self.acks.resumed(self.begin, server.name))
        while time.monotonic() - self.begin < SECONDS and self.report.violations < 20:
            time.sleep(self.random.uniform(0, 1))
            self.step()


def check_end(cluster, load):
    load.end()
    for server in cluster.servers:
        roles = server.roles()
        if roles != "s1=voter s2=voter s3=voter":
            load.report.violation(f"members at {server.name}: {roles}")


def summarize(chaos, load, seconds):
    acks = load.acks
    print(f"{sum(chaos.counts.values())} events in {seconds:.0f} s: "
          f"{', '.join(f'{name} {count}' for name, count in sorted(chaos.counts.items()))}")
    print(f"{len(acks.times)} writes acknowledged, {acks.unknown} of unknown outcome {dict(acks.refused)}")
    for watcher in load.watchers:
        print(f"{watcher.name}: {watcher.count} events, {watcher.resumed} watches, {watcher.lists} lists")
    if chaos.resumes:
        late = [f"{event} {resumed:.1f} s" for resumed, event in chaos.resumes if resumed > GOAL]
        print(f"{len(chaos.resumes)} times the leader was hit: writes went on after {max(chaos.resumes)[0]:.2f} s at most, "
              f"{sum(r for r, _ in chaos.resumes) / len(chaos.resumes):.2f} s on average"
              + (f"; over {GOAL:.0f} s: {', '.join(late)}" if late else ""))
    print(f"{load.report.violations} violations")


def main():
    work = ha_cluster.enter()
    seed = int(os.environ.get("HA_SEED") or random.SystemRandom().randrange(1 << 32))
    print(f"HA_SEED={seed} HA_SECONDS={SECONDS:.0f}", flush=True)
    cluster = ha_cluster.Cluster(work)
    try:
        cluster.start_three()
        load = Load(cluster.servers, f"{work}/acks.log", seed)
        begin = time.monotonic()
        load.start()
        chaos = Chaos(cluster, load, seed)
        chaos.run()
        check_end(cluster, load)
        summarize(chaos, load, time.monotonic() - begin)
    finally:
        cluster.end()
    sys.exit(1 if load.report.violations else 0)


main()
