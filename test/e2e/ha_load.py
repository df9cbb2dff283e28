"""ha_load.py: clients of a group of servers that keep what they were promised, and check it. A part of ha_chaos.py.

Writers create, replace, patch, delete and read ConfigMaps, each at its home server and, when that fails, at the next
one. A write without an answer, or with a 5xx, may or may not have been carried out, and may be even later: until
another write from the same resourceVersion was acknowledged; a creation also when the key is gone again, as its bytes
may have waited for a link that was cut. Every acknowledgement goes into a log of its own before it counts. Watchers follow one server each, and one goes to the next server whenever it is let down.
What must hold: a write is above every revision that anybody was told of before it was sent; a read shows what was
acknowledged; a watch has every write once and in order; all watches agree on what happened at a revision.
A client of its own (Python's library alone), so that no bug of ours can hide in both ends.
"""
import collections
import hashlib
import json
import os
import random
import threading
import time

from promises import LOST, Report, revision

NAMESPACE = "ha"
PATH = f"/api/v1/namespaces/{NAMESPACE}/configmaps"
KEYS_PER_WRITER = 8
PATIENCE = 5  # seconds that a client waits for an answer
AWAY = 0.3  # seconds until a writer tries its home again
GONE = "gone"  # the value of a key that is not there


def value_of(obj):
    return obj["data"]["value"]


def digest(obj):
    return hashlib.sha256(json.dumps(obj.get("data"), sort_keys=True).encode()).hexdigest()[:12]


class AckLog:
    """The acknowledged writes, in a file; and when and where they were, for how long writes stood still."""

    def __init__(self, path):
        self.path = path
        self.file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.lock = threading.Lock()
        self.highest = 0  # the newest revision that anyone was told of
        self.times = []  # (sent, acknowledged, server), monotonic
        self.unknown = 0
        self.refused = collections.Counter()

    def saw(self, rv):
        with self.lock:
            self.highest = max(self.highest, rv)

    def wrote(self, key, rv, value, sent, server):
        line = json.dumps({"key": key, "rv": rv, "value": value, "server": server})
        with self.lock:
            os.write(self.file, line.encode() + b"\n")
            self.highest = max(self.highest, rv)
            self.times.append((sent, time.monotonic(), server))

    def failed(self, status):
        with self.lock:
            self.unknown += 1
            self.refused[status] += 1

    def resumed(self, since, server=None):
        """Seconds from then until a write was acknowledged (by that server) again; None: none was yet. One that was
        sent before counts when its answer cannot have been on its way already."""
        with self.lock:
            for sent, acknowledged, where in reversed(self.times):
                if acknowledged < since:
                    break
            times = [a for s, a, w in self.times[-20000:] if (server is None or w == server)
                     and a >= since and (s >= since or a >= since + 0.2)]
        return min(times) - since if times else None

    def longest_pause(self, since, until):
        with self.lock:
            times = sorted([since, until] + [a for _, a, _ in self.times[-50000:] if since <= a <= until])
        return max(b - a for a, b in zip(times, times[1:]))

    def read(self):
        with open(self.path, encoding="ascii") as file:
            return [json.loads(line) for line in file]


class Key:
    """What is known of one object: its state, and what writes of unknown outcome could still make of it."""

    def __init__(self, name):
        self.name = name
        self.rv = 0  # 0: it is not there
        self.value = GONE
        self.pending = set()  # values that it may have instead, by a write from this state
        self.late = set()  # values of creations without an answer: one may be carried out whenever the key is not there

    def settle(self, rv, value):
        self.rv, self.value = rv, value
        self.pending = set(self.late) if value == GONE else set()

    def __str__(self):
        return f"{self.name} (known: {self.value} at {self.rv}, possible: {sorted(self.pending)})"


class Writer(threading.Thread):
    def __init__(self, servers, home, acks, report, number, seed, pace, stop):
        super().__init__(daemon=True, name=f"writer {number}")
        self.servers, self.home, self.acks, self.report = servers, home, acks, report
        self.number, self.random, self.pace, self.stop = number, random.Random(seed), pace, stop
        self.sequence = self.generation = 0
        self.keys = [self.new_key() for _ in range(KEYS_PER_WRITER)]
        self.old = []  # keys that were deleted: their names are not used again
        self.at = home  # index of the server
        self.left_home = 0.0
        self.connection = None

    def new_key(self):
        self.generation += 1
        return Key(f"w{self.number}-{self.generation}")

    def run(self):
        while not self.stop.is_set():
            try:
                self.reach()
                while not self.stop.is_set() and not self.may_go_home():
                    self.step()
                    time.sleep(self.pace)
            except LOST:
                self.next_server()
        if self.connection:
            self.connection.close()

    def reach(self):
        if self.may_go_home():
            self.at = self.home
        if self.connection:
            self.connection.close()
        self.connection = self.servers[self.at].door().connect(timeout=PATIENCE)
        self.connection.connect()

    def may_go_home(self):
        return self.at != self.home and time.monotonic() - self.left_home > AWAY

    def next_server(self):
        if self.at == self.home:
            self.left_home = time.monotonic()
        self.at = (self.at + 1) % len(self.servers)
        time.sleep(0.02)

    def step(self):
        index = self.random.randrange(len(self.keys))
        key = self.keys[index]
        if key.rv == 0:
            self.write(key, "POST", PATH, self.content(key), (201,))
            return
        act = self.random.choices(["put", "patch", "delete", "read"], [45, 25, 5, 25])[0]
        if act == "put":
            self.write(key, "PUT", f"{PATH}/{key.name}", self.content(key), (200,))
        elif act == "patch":
            self.write(key, "PATCH", f"{PATH}/{key.name}", self.content(key), (200,))
        elif act == "delete":
            if not key.pending:
                self.delete(index)
        else:
            self.read(key)

    def content(self, key):
        self.sequence += 1
        size = 20_000 if self.random.random() < 0.02 else self.random.randrange(10, 1000)
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": key.name},
                "data": {"value": f"{self.number}-{self.sequence}", "content": "x" * size}}
        if key.rv:
            body["metadata"]["resourceVersion"] = str(key.rv)
        return body

    def call(self, method, path, body):
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        self.connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": kind})
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read())

    def where(self):
        return self.servers[self.at].name

    def attempt(self, key, pending, method, path, body):
        """(status, object, when it was sent), or None: the outcome is not known; `pending` is possible then."""
        floor, sent = self.acks.highest, time.monotonic()
        key.pending.add(pending)
        late = set(key.late)
        if method == "POST":
            key.late.add(pending)
        try:
            status, obj = self.call(method, path, body)
        except LOST as error:
            self.acks.failed(type(error).__name__)
            raise
        if status >= 500:
            self.acks.failed(status)
            raise ConnectionError(f"{status}")
        key.late = late
        if status == 429:
            self.acks.failed(status)
            key.pending.discard(pending)
            raise ConnectionError("429")
        if status in (200, 201) and method != "DELETE" and revision(obj) <= floor:
            self.report.violation(f"{method} {key} at {self.where()}: revision {revision(obj)}, {floor} was known before")
        return status, obj, sent

    def write(self, key, method, path, body, wanted):
        value = value_of(body)
        others = set(key.pending)
        status, obj, sent = self.attempt(key, value, method, path, body)
        if status in wanted:
            if value_of(obj) != value:
                self.report.violation(f"{method} {key} at {self.where()}: the answer is not what was sent")
            self.acks.wrote(key.name, revision(obj), value, sent, self.where())
            key.settle(revision(obj), value)
            return
        key.pending.discard(value)  # refused: this one has not happened
        if status not in (404, 409) or not others:
            # 409: another of our own writes from this state must have happened.
            self.report.violation(f"{method} {value} to {key} at {self.where()}, {time.monotonic() - sent:.2f} s: "
                                  f"{status} {obj.get('message')}")
        self.look(key, must_have_changed=True)

    def delete(self, index):
        key = self.keys[index]
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"resourceVersion": str(key.rv)}}
        self.keys[index] = self.new_key()  # whatever comes of it, the name is used up
        self.old.append(key)
        key.pending |= key.late
        status, obj, _ = self.attempt(key, GONE, "DELETE", f"{PATH}/{key.name}", options)
        if status == 200:
            key.settle(0, GONE)
        else:
            key.pending.discard(GONE)
            self.report.violation(f"DELETE {key} at {self.where()}: {status} {obj.get('message')}")

    def read(self, key):
        self.look(key, must_have_changed=False)

    def look(self, key, must_have_changed):
        """A read sees every acknowledged write, at every server."""
        floor = self.acks.highest
        status, obj = self.call("GET", f"{PATH}/{key.name}", None)
        if status >= 500 or status == 429:
            raise ConnectionError(f"{status}")
        if status == 404:
            rv, value = 0, GONE
        elif status == 200:
            rv, value = revision(obj), value_of(obj)
        else:
            self.report.violation(f"GET {key} at {self.where()}: {status} {obj.get('message')}")
            return
        if (rv, value) == (key.rv, key.value):
            if must_have_changed:
                self.report.violation(f"GET {key} at {self.where()}: nothing changed, but a write from there was refused")
        elif value in key.pending and (rv > key.rv or value == GONE):
            key.settle(rv, value)
        else:
            self.report.violation(f"GET {key} at {self.where()}: {value} at {rv}; the newest known was {floor}")


class Watcher(threading.Thread):
    """List and watch, resumed wherever it broke off. Roaming: at the next server whenever it is let down."""

    def __init__(self, servers, at, roams, acks, report, events, stop):
        super().__init__(daemon=True)
        self.servers, self.at, self.roams = servers, at, roams
        self.acks, self.report, self.events, self.stop = acks, report, events, stop
        self.name = "the roaming watcher" if roams else f"the watcher of {servers[at].name}"
        self.rv = None
        self.copy = {}
        self.segments = []  # [since, the last revision, the revisions seen between]: one more for each list
        self.lists = self.resumed = self.count = 0

    def run(self):
        while not self.stop.is_set():
            try:
                connection = self.servers[self.at].door().connect(timeout=PATIENCE)
                try:
                    while not self.stop.is_set():
                        self.follow(connection)
                finally:
                    connection.close()
            except LOST:
                if self.roams:
                    self.at = (self.at + 1) % len(self.servers)
                time.sleep(0.05)

    def follow(self, connection):
        if self.rv is None:
            self.list(connection)
            return
        connection.request("GET", f"{PATH}?watch=true&allowWatchBookmarks=true&timeoutSeconds=30&resourceVersion={self.rv}")
        answer = connection.getresponse()
        if answer.status != 200:
            answer.read()
            if answer.status == 410:
                self.rv = None
                return
            if answer.status < 429:
                self.report.violation(f"{self.name}: watch from {self.rv}: {answer.status}")
            raise ConnectionError(f"{answer.status}")
        self.resumed += 1
        for line in iter(answer.readline, b""):
            event = json.loads(line)
            if event["type"] == "ERROR":
                if event["object"].get("code") == 410:
                    self.rv = None
                elif event["object"].get("code", 0) < 429:
                    self.report.violation(f"{self.name}: watch event {event}")
                raise ConnectionError("an error event")
            self.take(event["type"], event["object"])
            if self.stop.is_set():
                return

    def list(self, connection):
        floor = self.acks.highest
        connection.request("GET", PATH)
        answer = connection.getresponse()
        body = json.loads(answer.read())
        if answer.status != 200:
            raise ConnectionError(f"{answer.status}")
        rv = int(body["metadata"]["resourceVersion"])
        if rv < floor:
            self.report.violation(f"{self.name}: a list is at {rv}, {floor} was known before it")
        new = {o["metadata"]["name"]: (revision(o), digest(o)) for o in body["items"]}
        for key, (old, _) in self.copy.items():
            if key in new and new[key][0] < old:
                self.report.violation(f"{self.name}: a list shows {key} at {new[key][0]}, {old} was seen before")
        self.copy, self.rv = new, rv
        self.segments.append([rv, rv, set()])
        self.lists += 1
        self.acks.saw(rv)

    def take(self, kind, obj):
        rv = revision(obj)
        if kind == "BOOKMARK":
            if rv < self.rv:
                self.report.violation(f"{self.name}: bookmark {rv} after {self.rv}")
        else:
            self.take_change(kind, obj, rv)
        self.rv = self.segments[-1][1] = rv
        self.acks.saw(rv)

    def take_change(self, kind, obj, rv):
        key = obj["metadata"]["name"]
        old = self.copy.get(key)
        if rv <= self.rv:
            self.report.violation(f"{self.name}: {kind} {key} at {rv} after {self.rv}: a duplicate")
        if (kind == "ADDED") != (old is None):
            self.report.violation(f"{self.name}: {kind} {key} at {rv}, the copy has {old}: a gap")
        if kind == "DELETED":
            self.copy.pop(key, None)
        else:
            self.copy[key] = (rv, digest(obj))
        said = (kind, key, digest(obj))
        if self.events.setdefault(rv, said) != said:
            self.report.violation(f"{self.name}: {rv} is {said}, another watch had {self.events[rv]}")
        self.segments[-1][2].add(rv)
        self.count += 1

    def check(self, acks):
        """Every acknowledged write was an event of its own."""
        missing = [a for a in acks for since, last, seen in self.segments if since < a["rv"] <= last and a["rv"] not in seen]
        for ack in missing[:5]:
            self.report.violation(f"{self.name}: no event for {ack}")
        if len(missing) > 5:
            self.report.violation(f"{self.name}: {len(missing)} acknowledged writes were no events")


class Load:
    """All clients of a run. `per_server`: writers whose home each server is."""

    def __init__(self, servers, log_path, seed, per_server=3, pace=0.01):
        self.servers, self.report, self.acks = servers, Report(), AckLog(log_path)
        self.stop_writers, self.stop_watchers = threading.Event(), threading.Event()
        rng = random.Random(seed)
        self.writers = [Writer(servers, i % len(servers), self.acks, self.report, i, rng.randrange(1 << 32), pace,
                               self.stop_writers) for i in range(per_server * len(servers))]
        events = {}
        watched = [(i, False) for i in range(len(servers))] + [(0, True)]
        self.watchers = [Watcher(servers, at, roams, self.acks, self.report, events, self.stop_watchers)
                         for at, roams in watched]

    def start(self):
        status, obj = self.servers[0].door().request("POST", "/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        if status != 201:
            raise RuntimeError(f"the namespace: {status} {obj}")
        for thread in self.writers + self.watchers:
            thread.start()

    def end(self):
        """Writers first; then a last write that every watcher has to get to see, and what must hold in the end."""
        self.stop_writers.set()
        self._join(self.writers)
        status, marker = self.servers[0].door().request("POST", PATH, {
            "metadata": {"name": "marker"}, "data": {"value": "the last write"}})
        if status != 201:
            self.report.violation(f"the last write: {status} {marker}")
        else:
            self._wait_for_watchers(revision(marker))
        states = [self._list(server) for server in self.servers]
        for server, state in zip(self.servers[1:], states[1:]):
            if state != states[0]:
                self._differ(server.name, state, self.servers[0].name, states[0])
        self._check_keys(states[0])
        self.stop_watchers.set()
        self._join(self.watchers)
        acks = self.acks.read()
        for watcher in self.watchers:
            copy = {key: rv for key, (rv, _) in watcher.copy.items()}
            listed = {key: rv for key, (rv, _) in states[0].items()}
            if copy != listed:
                self._differ(watcher.name, copy, "the list", listed)
            watcher.check(acks)

    def _join(self, threads):
        for thread in threads:
            thread.join(60)
            if thread.is_alive():
                self.report.violation(f"{thread.name} hangs")

    def _wait_for_watchers(self, rv):
        deadline = time.monotonic() + 60
        for watcher in self.watchers:
            while (watcher.rv or 0) < rv and time.monotonic() < deadline:
                time.sleep(0.05)
            if (watcher.rv or 0) < rv:
                self.report.violation(f"{watcher.name} is at {watcher.rv}, the last write was at {rv}")

    def _list(self, server):
        status, body = server.door().request("GET", PATH)
        if status != 200:
            self.report.violation(f"the list at {server.name}: {status} {body}")
            return {}
        return {o["metadata"]["name"]: (revision(o), value_of(o)) for o in body["items"]
                if o["metadata"]["name"] != "kube-root-ca.crt"}

    def _differ(self, one, mine, other, theirs):
        keys = [k for k in set(mine) | set(theirs) if mine.get(k) != theirs.get(k)]
        shown = {k: (mine.get(k), theirs.get(k)) for k in keys[:5]}
        self.report.violation(f"{one} and {other} differ in {len(keys)} keys: {shown}")

    def _check_keys(self, state):
        for writer in self.writers:
            for key in writer.keys + writer.old:
                rv, value = state.get(key.name, (0, GONE))
                changed = value in key.pending and (rv > key.rv or value == GONE)
                if (rv, value) != (key.rv, key.value) and not changed:
                    self.report.violation(f"in the end {key} is {value} at {rv}")
        known = {key.name: key for writer in self.writers for key in writer.keys + writer.old}
        newest = {ack["key"]: ack["rv"] for ack in self.acks.read()}  # in a key's order: it has one writer
        for name, rv in newest.items():
            found = state.get(name, (0, GONE))[0]
            deleted = known[name].value == GONE or GONE in known[name].pending
            if found < rv and not deleted:
                self.report.violation(f"{name} was acknowledged at {rv}, in the end it is at {found}")
