#!/usr/bin/env python3
"""crash_load.py: kill -9 of a real server, again and again, during a stream of writes over TLS.

Writers create, replace, patch and delete ConfigMaps and keep what was acknowledged; reflectors follow by watches, as
client-go's do. After each restart everything acknowledged must be there, no resourceVersion may have gone back, and
the watches go on from where they were (or get 410 and list again). A request without an answer may or may not have
been carried out. A client of its own (Python's library alone), so that no bug of ours can hide in both ends.
Prints one line for each violation; exit status 1 then. --seed repeats the decisions, not the moments.
"""
import argparse
import hashlib
import http.client
import json
import os
import random
import signal
import ssl
import subprocess
import sys
import threading
import time

from kayak_client import Door
from promises import LOST, Report, revision

NAMESPACE = "crash"
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
WRITERS = 6
KEYS_PER_WRITER = 10
SELECTED = "seen=yes"  # the label by which one reflector selects; updates flip it


def digest(obj):
    content = [obj.get("data"), obj["metadata"].get("labels")]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


class Server:
    """The process, and how to reach it."""

    def __init__(self, args):
        self.args = args
        self.process = None
        self.killing = False  # from now on connections may break
        self.ready = False  # from now on no request may be refused
        self.door = None
        self.log = open(os.path.join(args.work, "server.log"), "ab")

    def start(self):
        a = self.args
        self.killing = self.ready = False
        command = [a.kayak, "server", "--disable-agent", "--data-dir", f"{a.work}/data", "--bind-address", "127.0.0.1",
                   "--https-listen-port", str(a.port), "--write-kubeconfig", f"{a.work}/kubeconfig.yaml"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def kill(self):
        self.killing = True
        if self.process.poll() is not None:
            raise SystemExit(f"the server ended by itself with status {self.process.returncode}")
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self):
        self.killing = True
        self.process.terminate()
        status = self.process.wait(30)
        if status != 0:
            raise SystemExit(f"the server ended with status {status} after SIGTERM")

    def connect(self):
        return self.door.connect()

    def wait_ready(self, seconds=60):
        deadline = time.monotonic() + seconds
        plain = ssl._create_unverified_context()  # before the first start there is no CA to check against
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended by itself with status {self.process.returncode}")
            try:
                connection = http.client.HTTPSConnection("127.0.0.1", self.args.port, timeout=20, context=plain)
                while True:
                    connection.request("GET", "/readyz")
                    answer = connection.getresponse()
                    answer.read()
                    if answer.status == 200:
                        self.ready = True
                        return
                    time.sleep(0.005)
            except LOST:
                time.sleep(0.005)
        raise SystemExit(f"the server was not ready after {seconds} s")


class Model:
    """What is known of each key. A key belongs to one thread at a time; the lock guards the common parts."""

    def __init__(self):
        self.lock = threading.Lock()
        self.acked = {}  # key -> (revision, uid, digest); absent: deleted or never created
        self.pending = {}  # key -> digest of the object that an unanswered write would leave, None for a deletion
        self.acks = []  # (key, revision, uid) of writes and (key, None, uid) of deletions, since the last check
        self.highest = 0  # the newest revision that anyone was told of
        self.count_acked = 0  # increments of the shared counter
        self.count_unknown = 0
        self.total = 0
        self.refused = 0  # 5xx answers: outcome unknown

    def saw(self, rv):
        with self.lock:
            self.highest = max(self.highest, rv)

    def wrote(self, key, obj):
        rv, uid = revision(obj), obj["metadata"]["uid"]
        with self.lock:
            self.acked[key] = (rv, uid, digest(obj))
            self.acks.append((key, rv, uid))
            self.highest = max(self.highest, rv)
            self.total += 1

    def deleted(self, key, uid):
        with self.lock:
            self.acked.pop(key, None)
            self.acks.append((key, None, uid))
            self.total += 1


class Writer(threading.Thread):
    """Writes to its own keys, and increments the counter that all share, until `stop`."""

    def __init__(self, server, model, report, number, seed, stop):
        super().__init__(daemon=True)
        self.server, self.model, self.report, self.stop = server, model, report, stop
        self.random = random.Random(seed)
        self.keys = [f"w{number}-{i}" for i in range(KEYS_PER_WRITER)]
        self.seed = seed
        self.sequence = 0
        self.connection = None

    def run(self):
        while not self.stop.is_set():
            try:
                self.connection = self.server.connect()
                self.connection.connect()
            except LOST:
                time.sleep(0.005)
                continue
            try:
                while not self.stop.is_set():
                    self.step()
            except LOST as error:
                if not self.server.killing:
                    self.report.violation(f"a connection was lost while the server ran: {error!r}")
                    time.sleep(0.1)

    def step(self):
        key = self.random.choice(self.keys)
        if self.random.random() < 0.1:
            self.increment()
        elif key in self.model.pending:
            return  # its state is not known before the next check
        elif key not in self.model.acked:
            self.create(key)
        else:
            act = self.random.choices([self.replace, self.patch, self.delete, self.read], [50, 20, 20, 10])[0]
            act(key)

    def call(self, method, path, body=None, content_type="application/json"):
        text = None if body is None else json.dumps(body)
        self.connection.request(method, path, text, {"Content-Type": content_type})
        answer = self.connection.getresponse()
        obj = json.loads(answer.read())
        if answer.status >= 500:
            with self.model.lock:
                self.model.refused += 1
            if self.server.ready:
                self.report.violation(f"{method} {path}: {answer.status} {obj}")
        return answer.status, obj

    def content(self, key):
        self.sequence += 1
        size = 40_000 if self.random.random() < 0.03 else self.random.randrange(10, 2000)
        return {
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": key, "labels": {"seen": self.random.choice(["yes", "no"])}},
            "data": {"content": f"{self.seed} {self.sequence} " + "x" * size},
        }

    def write(self, key, method, path, body, wanted, content_type="application/json"):
        self.model.pending[key] = digest(body)
        status, obj = self.call(method, path, body, content_type)
        if status >= 500:
            return
        if status not in wanted:
            self.report.violation(f"{method} {path}: {status} {obj.get('message')}; known state {self.model.acked.get(key)}")
        elif digest(obj) != digest(body):
            self.report.violation(f"{method} {path}: the answer is not what was sent")
        else:
            before = self.model.acked.get(key)
            if before and revision(obj) <= before[0]:
                self.report.violation(f"{method} {path}: revision {revision(obj)} after {before[0]}")
            self.model.wrote(key, obj)
        del self.model.pending[key]

    def create(self, key):
        self.write(key, "POST", PATH, self.content(key), [201])

    def replace(self, key):
        body = self.content(key)
        # With a precondition half of the time: a lost write would be a conflict then.
        if self.random.random() < 0.5:
            body["metadata"]["resourceVersion"] = str(self.model.acked[key][0])
        self.write(key, "PUT", f"{PATH}/{key}", body, [200])

    def patch(self, key):
        body = self.content(key)
        self.write(key, "PATCH", f"{PATH}/{key}", body, [200], "application/merge-patch+json")

    def delete(self, key):
        uid = self.model.acked[key][1]
        self.model.pending[key] = None
        status, obj = self.call("DELETE", f"{PATH}/{key}")
        if status >= 500:
            return
        if status != 200:
            self.report.violation(f"DELETE {key}: {status} {obj.get('message')}")
        else:
            self.model.deleted(key, uid)
        del self.model.pending[key]

    def read(self, key):
        status, obj = self.call("GET", f"{PATH}/{key}")
        if status < 500 and (status != 200 or revision(obj) != self.model.acked[key][0]):
            self.report.violation(f"GET {key}: {status}, not what was acknowledged: {obj}")

    def increment(self):
        """Optimistic concurrency: no increment may be lost, none may count twice."""
        status, obj = self.call("GET", f"{PATH}/counter")
        if status != 200:
            return
        obj["data"]["count"] = str(int(obj["data"]["count"]) + 1)
        with self.model.lock:
            self.model.count_unknown += 1
        status, answer = self.call("PUT", f"{PATH}/counter", obj)
        if status >= 500:
            return
        with self.model.lock:
            self.model.count_unknown -= 1
            if status == 200:
                self.model.count_acked += 1
                self.model.acks.append(("counter", revision(answer), answer["metadata"]["uid"]))
                self.model.highest = max(self.model.highest, revision(answer))
            elif status != 409:
                self.report.violation(f"PUT counter: {status} {answer.get('message')}")


class Reflector:
    """Follows by watches and keeps a copy, over restarts. Every event must fit the copy: no gap, no duplicate."""

    def __init__(self, name, server, model, report, selector, stream_initial):
        self.name, self.server, self.model, self.report = name, server, model, report
        self.query = f"&labelSelector={selector.replace('=', '%3D')}" if selector else ""
        self.stream_initial = stream_initial  # the initial state by sendInitialEvents, not by a list
        self.copy = {}  # key -> (revision, uid, digest)
        self.rv = None
        self.lists = self.resumed = self.events = 0
        self.clear()

    def clear(self):
        self.seen = {}  # revision -> (event type, key)
        self.ended = set()  # uids whose deletion was seen
        self.since = self.rv or 0  # every event after this one was seen
        self.listed = False

    def start(self, stop):
        self.thread = threading.Thread(target=self.run, args=(stop,), daemon=True)
        self.thread.start()

    def run(self, stop):
        while not stop.is_set():
            try:
                connection = self.server.connect()
                connection.connect()
                while not stop.is_set():
                    self.follow(connection)
            except LOST as error:
                if not self.server.killing and not isinstance(error, ConnectionRefusedError):
                    self.report.violation(f"{self.name}: lost its connection while the server ran: {error!r}")
                time.sleep(0.005)

    def follow(self, connection):
        if self.rv is None and not self.stream_initial:
            self.list(connection)
            return
        initial = self.rv is None
        path = f"{PATH}?watch=true&allowWatchBookmarks=true&timeoutSeconds=300{self.query}"
        path += "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan" if initial else f"&resourceVersion={self.rv}"
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status == 410:
            answer.read()
            self.rv = None
            return
        if answer.status >= 500:
            answer.read()
            return
        if answer.status != 200:
            self.report.violation(f"{self.name}: watch: {answer.status} {answer.read()}")
            return
        if initial:
            self.take_initial(answer)
        else:
            self.resumed += 1
        for line in iter(answer.readline, b""):
            event = json.loads(line)
            if event["type"] == "ERROR":
                if event["object"].get("code") != 410:
                    self.report.violation(f"{self.name}: watch event {event}")
                self.rv = None
                break
            self.take(event["type"], event["object"])
        answer.read()

    def list(self, connection):
        connection.request("GET", f"{PATH}?{self.query[1:]}")
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status == 200:
            self.replaced(body["items"], int(body["metadata"]["resourceVersion"]))

    def take_initial(self, answer):
        items = []
        for line in iter(answer.readline, b""):
            event = json.loads(line)
            if event["type"] == "BOOKMARK":
                self.replaced(items, revision(event["object"]))
                return
            items.append(event["object"])
        raise ValueError("the watch ended before its initial events did")

    def replaced(self, items, rv):
        new = {o["metadata"]["name"]: (revision(o), o["metadata"]["uid"], digest(o)) for o in items}
        for key, (old_rv, uid, _) in self.copy.items():
            if key not in new or new[key][1] != uid:
                self.ended.add(uid)
            elif new[key][0] < old_rv:
                self.report.violation(f"{self.name}: a list shows {key} at {new[key][0]}, {old_rv} was seen before")
        self.copy, self.rv, self.since, self.listed = new, rv, rv, True
        self.lists += 1
        self.model.saw(rv)

    def take(self, kind, obj):
        rv = revision(obj)
        if kind == "BOOKMARK":
            if rv < self.rv:
                self.report.violation(f"{self.name}: bookmark {rv} after {self.rv}")
            self.rv = rv
            self.model.saw(rv)
            return
        key, uid = obj["metadata"]["name"], obj["metadata"]["uid"]
        old = self.copy.get(key)
        if rv <= self.rv:
            self.report.violation(f"{self.name}: {kind} {key} at {rv} after {self.rv}: a duplicate")
        if (kind == "ADDED") != (old is None):
            self.report.violation(f"{self.name}: {kind} {key} at {rv}, the copy has {old}: a gap")
        if kind == "DELETED":
            self.copy.pop(key, None)
            self.ended.add(uid)
        else:
            self.copy[key] = (rv, uid, digest(obj))
        self.seen[rv] = (kind, key)
        self.rv = rv
        self.events += 1
        self.model.saw(rv)

    def check_acks(self, acks):
        """Every acknowledged write was an event of its own (of what this reflector selects, its end at least)."""
        for key, rv, uid in acks:
            if rv is None:
                if uid not in self.ended and not self.listed and not self.query:
                    self.report.violation(f"{self.name}: the deletion of {key} ({uid}) was no event")
            elif rv > self.since and not self.query and self.seen.get(rv, ("", ""))[1] != key:
                self.report.violation(f"{self.name}: the write of {key} at {rv} was no event")


class Checker:
    """What must hold after a restart."""

    def __init__(self, server, model, report, reflectors, rng):
        self.server, self.model, self.report, self.reflectors, self.random = server, model, report, reflectors, rng
        self.snapshots = []  # (revision, state) of earlier checks
        self.replays = self.expired = 0
        self.marker = 0

    def request(self, method, path, body=None):
        return self.server.door.request(method, path, body)

    def set_up(self):
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        for name, data in (("counter", {"count": "0"}), ("marker", {"round": "0"})):
            status, obj = self.request("POST", PATH, {"metadata": {"name": name, "labels": {"seen": "yes"}}, "data": data})
            assert status == 201, obj
            self.model.saw(revision(obj))

    def check(self, stop):
        state = self.check_list()
        for reflector in self.reflectors:
            reflector.start(stop)
        # A write that every reflector gets to see: behind it, each must agree with the list.
        marker = self.put_marker()
        state["marker"] = (revision(marker), marker["metadata"]["uid"], digest(marker))
        for reflector in self.reflectors:
            self.check_reflector(reflector, state, revision(marker))
        with self.model.lock:
            self.model.acks = []
        self.replay(state, revision(marker))
        self.snapshots.append((revision(marker), state))

    def put_marker(self):
        self.marker += 1
        status, obj = self.request("PUT", f"{PATH}/marker", {
            "metadata": {"name": "marker", "labels": {"seen": "yes"}}, "data": {"round": str(self.marker)}})
        if status != 200:
            raise SystemExit(f"the marker could not be written: {status} {obj}")
        self.model.saw(revision(obj))
        return obj

    def check_list(self):
        status, body = self.request("GET", PATH)
        if status != 200:
            raise SystemExit(f"the list failed: {status} {body}")
        rv = int(body["metadata"]["resourceVersion"])
        model = self.model
        if rv < model.highest:
            self.report.violation(f"the list is at {rv}, {model.highest} was seen before the restart")
        model.saw(rv)
        state, counter = {}, None
        for obj in body["items"]:
            name = obj["metadata"]["name"]
            state[name] = (revision(obj), obj["metadata"]["uid"], digest(obj))
            if name == "counter":
                counter = int(obj["data"]["count"])
        for key in set(model.acked) | set(model.pending) | set(state) - {"counter", "marker"}:
            self.check_key(key, state.get(key))
        if not model.count_acked <= counter <= model.count_acked + model.count_unknown:
            self.report.violation(f"the counter is {counter}: {model.count_acked} increments were acknowledged, "
                                  f"{model.count_unknown} more are possible")
        model.count_acked, model.count_unknown = counter, 0
        return state

    def check_key(self, key, found):
        model = self.model
        acked = model.acked.get(key)
        allowed = found == acked
        if not allowed and key in model.pending:
            wanted = model.pending[key]
            if wanted is None:
                allowed = found is None
            else:
                allowed = found is not None and found[2] == wanted and (acked is None or found[0] > acked[0])
        if not allowed:
            self.report.violation(f"{key}: acknowledged {acked}, pending {model.pending.get(key, 'nothing')}, found {found}")
        model.pending.pop(key, None)
        if found:
            model.acked[key] = found
        else:
            model.acked.pop(key, None)

    def check_reflector(self, reflector, state, rv):
        deadline = time.monotonic() + 30
        while (reflector.rv or 0) < rv and time.monotonic() < deadline:
            time.sleep(0.002)
        if (reflector.rv or 0) < rv:
            self.report.violation(f"{reflector.name} is at {reflector.rv}, no event of revision {rv} came")
            return
        if reflector.query:
            _, body = self.request("GET", f"{PATH}?{reflector.query[1:]}")
            state = {o["metadata"]["name"]: (revision(o), o["metadata"]["uid"], digest(o)) for o in body["items"]}
        if reflector.copy != state:
            differing = {k: (reflector.copy.get(k), state.get(k)) for k in set(reflector.copy) | set(state)
                         if reflector.copy.get(k) != state.get(k)}
            self.report.violation(f"{reflector.name} differs from the list at {rv}: {differing}")
        reflector.check_acks(self.model.acks)
        reflector.clear()

    def replay(self, state, rv):
        """From a state some restarts ago, the events since then must lead to today's (or be gone: 410)."""
        if not self.snapshots:
            return
        recent = self.snapshots[-3:] if self.random.random() < 0.7 else self.snapshots
        since, copy = self.random.choice(recent)
        copy = dict(copy)
        connection = self.server.connect()
        connection.request("GET", f"{PATH}?watch=true&timeoutSeconds=60&resourceVersion={since}")
        answer = connection.getresponse()
        at = since
        while answer.status == 200 and at < rv:
            event = json.loads(answer.readline())
            if event["type"] == "ERROR":
                break
            obj = event["object"]
            key = obj["metadata"]["name"]
            if (event["type"] == "ADDED") != (key not in copy) or revision(obj) <= at:
                self.report.violation(f"replay from {since}: {event['type']} {key} at {revision(obj)} after {at}")
            at = revision(obj)
            if event["type"] == "DELETED":
                copy.pop(key, None)
            else:
                copy[key] = (at, obj["metadata"]["uid"], digest(obj))
        connection.close()
        if at < rv:
            self.expired += 1
        else:
            self.replays += 1
            if copy != state:
                self.report.violation(f"replay from {since} to {rv} leads to another state than the list")


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kayak", required=True)
    parser.add_argument("--work", required=True, help="an empty folder")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=None)
    args = parser.parse_args()
    if args.seed is None:
        args.seed = random.SystemRandom().randrange(1 << 32)
    return args


def run_round(number, world, rng):
    """One life of the server; whether it ended during its start."""
    server, checker, reflectors = world.server, world.checker, world.reflectors
    stop = threading.Event()
    begin = time.monotonic()
    if number > 0:
        server.start()
    # Some lives end during the start, with clients already at the door.
    early = number > 0 and rng.random() < 0.25
    if early:
        for reflector in reflectors:
            reflector.start(stop)
    else:
        server.wait_ready()
        if number > 0:
            world.start_seconds = time.monotonic() - begin
        checker.check(stop)
    writers = [Writer(server, world.model, world.report, i, rng.randrange(1 << 32), stop) for i in range(WRITERS)]
    for writer in writers:
        writer.start()
    time.sleep(rng.uniform(0, world.start_seconds * 1.5) if early else rng.uniform(0.1, 0.35))
    server.kill()
    stop.set()
    join(writers + [reflector.thread for reflector in reflectors])
    return early


def join(threads):
    for thread in threads:
        thread.join(30)
        if thread.is_alive():
            raise SystemExit("a client did not notice that the server is gone")


class World:
    def __init__(self, args, rng):
        self.report, self.model, self.server = Report(), Model(), Server(args)
        parts = (self.server, self.model, self.report)
        self.reflectors = [Reflector("reflector", *parts, "", False),
                           Reflector("selecting reflector", *parts, SELECTED, True)]
        self.checker = Checker(*parts, self.reflectors, rng)
        self.start_seconds = 0.1  # the last one


def main():
    args = arguments()
    print(f"{args.rounds} rounds with --seed {args.seed}", flush=True)
    rng = random.Random(args.seed)
    world = World(args, rng)
    server, model, report = world.server, world.model, world.report
    started = time.monotonic()
    kills = early = 0
    try:
        server.start()
        server.wait_ready()
        server.door = Door(f"{args.work}/kubeconfig.yaml")
        world.checker.set_up()
        while kills < args.rounds and report.violations <= 40:
            early += run_round(kills, world, rng)
            kills += 1
        for _ in range(2):  # an orderly end is a restart, too
            stop = threading.Event()
            server.start()
            server.wait_ready()
            world.checker.check(stop)
            stop.set()
            server.terminate()
            join([reflector.thread for reflector in world.reflectors])
    finally:
        server.process.kill()
    print(f"{kills} kills ({early} of them during the start) in {time.monotonic() - started:.0f} s: "
          f"{model.total} writes acknowledged, {model.refused} refused, last start {world.start_seconds * 1000:.0f} ms")
    for r in world.reflectors:
        print(f"{r.name}: {r.events} events, {r.resumed} watches went on, {r.lists} lists")
    print(f"replays from an earlier state: {world.checker.replays}, expired: {world.checker.expired}")
    print(f"{report.violations} violations")
    sys.exit(1 if report.violations else 0)


main()
