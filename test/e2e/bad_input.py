#!/usr/bin/env python3
"""bad_input.py: requests that must be refused. Each row is one request and the Status that upstream gives to it; after
each, nothing may have been written. Then the same kinds of requests in bulk: memory and latency must not suffer.
Prints one line per row, as the shell tests do; exit status 1 when one failed.
Source: apiserver pkg/endpoints/handlers, apimachinery pkg/api/errors (v1.36).
"""
import argparse
import http.client
import json
import re
import sys
import threading
import time

from kayak_client import Door

BASE = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
PODS = "/api/v1/namespaces/default/pods"
JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
YAML = "application/yaml"

HANDLED = 'ConfigMap in version "v1" cannot be handled as a ConfigMap: '
UNRECOGNIZED = "the object provided is unrecognized (must be of type ConfigMap): couldn't get version/kind; "
STALE = ('Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to '
         "the latest version and try again")
NAME_RULE = ("a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must "
             "start and end with an alphanumeric character")
NOT_APPLIED = "the server rejected our request due to an error in our request"


def named(name="b", **more):
    return {"metadata": {"name": name, **more}}


def alias_bomb():
    """10^9 strings, were the aliases expanded."""
    text = "kind: ConfigMap\napiVersion: v1\nmetadata: {name: b}\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
    for i in range(1, 10):
        text += f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n"
    return text


def quadratic_yaml():
    """One long anchored list, copied by many short aliases."""
    return "a: &a [" + "x," * 20_000 + "]\nb: [" + "*a," * 20_000 + "]\n"


def body_rows():
    """POST of a ConfigMap: body, type, code, reason, message (its beginning)."""
    json_rows = [
        ("half a JSON text", '{"metadata":', UNRECOGNIZED + 'json parse error: unexpected end of JSON input ({"metadata":)'),
        ("an empty body", "", UNRECOGNIZED + "json parse error: unexpected end of JSON input (<empty>)"),
        ("text instead of JSON", "hello", UNRECOGNIZED + "json parse error: invalid character"),
        ("two documents", '{"metadata":{"name":"b"}} x', UNRECOGNIZED + "json parse error: invalid character"),
        ("a zero byte", b'{"metadata":{"name":"b"},"data":{"a":"\0"}}', UNRECOGNIZED + "json parse error: invalid character"),
        ("an array", "[1]", UNRECOGNIZED + "json parse error: json: cannot unmarshal array"),
        ("null", "null", UNRECOGNIZED + "json parse error: "),
        ("a number as data", {**named(), "data": {"a": 1}},
         HANDLED + "json: cannot unmarshal number into Go struct field ConfigMap.data of type string"),
        ("a list as data", {**named(), "data": ["a"]},
         HANDLED + "json: cannot unmarshal array into Go struct field ConfigMap.data of type map[string]string"),
        ("text as metadata", {"metadata": "b"},
         HANDLED + "json: cannot unmarshal string into Go struct field ConfigMap.metadata of type v1.ObjectMeta"),
        ("a time that is none", named(creationTimestamp="yesterday"), HANDLED + 'parsing time "yesterday" as '),
        ("1,000 arrays in one another", '{"metadata":{"name":"b"},"x":' + "[" * 1000 + "]" * 1000 + "}",
         UNRECOGNIZED + "json parse error: JSON document is nested deeper than 256 levels"),
        ("1,000 objects in one another", '{"metadata":{"name":"b"},"x":' + '{"a":' * 1000 + "1" + "}" * 1001,
         UNRECOGNIZED + "json parse error: JSON document is nested deeper than 256 levels"),
        ("2,000,000 arrays in one another", "[" * 2_000_000, UNRECOGNIZED + "json parse error: JSON document is nested"),
        ("another kind", {"kind": "Secret", "apiVersion": "v1", **named()}, 'Secret in version "v1" cannot be handled as a ConfigMap: '),
        ("a kind that is none", {"kind": "Nope", "apiVersion": "v1", **named()}, 'Nope in version "v1" cannot be handled as a ConfigMap: no kind "Nope" is registered'),
        ("another version", {"kind": "ConfigMap", "apiVersion": "v2", **named()},
         "the API version in the data (v2) does not match the expected API version (v1)"),
        ("another namespace", named(namespace="kube-system"),
         "the namespace of the provided object does not match the namespace sent on the request"),
    ]
    yaml_rows = [
        ("half a YAML text", "{metadata: [1, 2", UNRECOGNIZED + "yaml parse error: yaml: "),
        ("a tab in YAML", "kind: ConfigMap\n\tapiVersion: v1", UNRECOGNIZED + "yaml parse error: yaml: "),
        ("a YAML alias bomb", alias_bomb(), UNRECOGNIZED + "yaml parse error: yaml: line "),
        ("a quadratic YAML text", quadratic_yaml(), UNRECOGNIZED + "yaml parse error: yaml: line "),
        ("a YAML anchor inside itself", "a: &a [*a]", UNRECOGNIZED + "yaml parse error: yaml: line 1, column 8: anchor 'a' value contains itself"),
        ("1,000 YAML lists in one another", "a: " + "[" * 1000 + "]" * 1000, UNRECOGNIZED + "yaml parse error: yaml: line 1"),
        ("1,000 indented YAML maps", "".join(" " * i + "a:\n" for i in range(1000)), UNRECOGNIZED + "yaml parse error: yaml: line "),
    ]
    rows = [(what, "POST", BASE, body, "application/json", 400, "BadRequest", message) for what, body, message in json_rows]
    rows += [(what, "POST", BASE, body, YAML, 400, "BadRequest", message) for what, body, message in yaml_rows]
    too_large = "Request entity too large: limit is 3145728"
    rows += [
        ("10 MB of JSON", "POST", BASE, b'{"data":{"a":"' + b"x" * 10_000_000 + b'"}}', "application/json", 413, "RequestEntityTooLarge", too_large),
        ("10 MB of YAML", "POST", BASE, b"a: " + b"x" * 10_000_000, YAML, 413, "RequestEntityTooLarge", too_large),
        ("10 MB of a patch", "PATCH", BASE + "/a", b" " * 10_000_000 + b"{}", MERGE_PATCH, 413, "RequestEntityTooLarge", too_large),
        ("protobuf that is none", "POST", BASE, b"hello", "application/vnd.kubernetes.protobuf", 400, "BadRequest",
         "the object provided is unrecognized (must be of type ConfigMap): provided data does not appear to be a protobuf message"),
        ("protobuf cut off", "POST", BASE, b"k8s\0\x0a\xff", "application/vnd.kubernetes.protobuf", 400, "BadRequest",
         "the object provided is unrecognized (must be of type ConfigMap): "),
        ("an unknown media type", "POST", BASE, "{}", "text/plain", 415, "UnsupportedMediaType",
         "the body of the request was in an unknown format - accepted media types include: application/json, application/yaml"),
        ("text as replicas", "POST", DEPLOYMENTS, {**named(), "spec": {"replicas": "three"}}, "application/json", 400, "BadRequest",
         'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal string into Go struct field '),
        ("replicas beyond 32 bits", "POST", DEPLOYMENTS, {**named(), "spec": {"replicas": 3_000_000_000}}, "application/json", 400, "BadRequest",
         'Deployment in version "v1" cannot be handled as a Deployment: json: cannot unmarshal number 3000000000 into Go struct field '),
        ("a quantity that is none", "POST", PODS,
         {**named(), "spec": {"containers": [{"name": "c", "image": "i", "resources": {"limits": {"cpu": "lots"}}}]}},
         "application/json", 400, "BadRequest", 'Pod in version "v1" cannot be handled as a Pod: quantities must match the regular expression'),
    ]
    return rows


def object_rows():
    """Well-formed requests about objects that cannot be."""
    strict = BASE + "?fieldValidation=Strict"
    kind = "application/json"
    return [
        ("unknown fields under strict validation", "POST", strict, '{"metadata":{"name":"b","nam":"x"},"dat":{}}', kind, 400,
         "BadRequest", HANDLED + 'strict decoding error: unknown field "metadata.nam", unknown field "dat"'),
        ("duplicate fields under strict validation", "POST", strict, '{"metadata":{"name":"b","name":"c"}}', kind, 400,
         "BadRequest", HANDLED + 'strict decoding error: duplicate field "metadata.name"'),
        ("an upper-case name", "POST", BASE, named("UPPER"), kind, 422, "Invalid",
         f'ConfigMap "UPPER" is invalid: metadata.name: Invalid value: "UPPER": {NAME_RULE}'),
        ("a name with a slash", "POST", BASE, named("a/b"), kind, 422, "Invalid", 'ConfigMap "a/b" is invalid: '),
        ("a name of dots", "POST", BASE, named(".."), kind, 422, "Invalid", 'ConfigMap ".." is invalid: '),
        ("a name of 254 characters", "POST", BASE, named("a" * 254), kind, 422, "Invalid", 'ConfigMap "aaa'),
        ("no name", "POST", BASE, {"metadata": {}}, kind, 422, "Invalid",
         'ConfigMap "" is invalid: metadata.name: Required value: name or generateName is required'),
        ("a bad label key", "POST", BASE, named(labels={"a b": "c"}), kind, 422, "Invalid",
         'ConfigMap "b" is invalid: metadata.labels: Invalid value: "a b": name part must consist of'),
        ("a bad label value", "POST", BASE, named(labels={"a": "c d"}), kind, 422, "Invalid",
         'ConfigMap "b" is invalid: metadata.labels: Invalid value: "c d": a valid label must be'),
        ("a bad data key", "POST", BASE, {**named(), "data": {"a b": "c"}}, kind, 422, "Invalid",
         'ConfigMap "b" is invalid: data[a b]: Invalid value: "a b": a valid config key must consist of'),
        ("a namespace that is not there", "POST", "/api/v1/namespaces/nope/configmaps", named(), kind, 404, "NotFound",
         'namespaces "nope" not found'),
        ("a name that is taken", "POST", BASE, named("a"), kind, 409, "AlreadyExists", 'configmaps "a" already exists'),
        ("a revision at creation", "POST", BASE, named(resourceVersion="5"), kind, 500, "",
         "resourceVersion should not be set on objects to be created"),
        ("an unknown dryRun", "POST", BASE + "?dryRun=Maybe", named(), kind, 422, "Invalid",
         'CreateOptions.meta.k8s.io "" is invalid: dryRun: '),
        ("an unknown fieldValidation", "POST", BASE + "?fieldValidation=Maybe", named(), kind, 422, "Invalid",
         'CreateOptions.meta.k8s.io "" is invalid: fieldValidation: '),
        ("a stale revision", "PUT", BASE + "/a", named("a", resourceVersion="1"), kind, 409, "Conflict", STALE),
        ("another uid", "PUT", BASE + "/a", named("a", uid="x"), kind, 409, "Conflict",
         'Operation cannot be fulfilled on configmaps "a": Precondition failed: UID in precondition: x, UID in object meta: '),
        ("another name in a PUT", "PUT", BASE + "/a", named("b"), kind, 400, "BadRequest",
         "the name of the object (b) does not match the name on the URL (a)"),
        ("a PUT of what is not there", "PUT", BASE + "/zz", named("zz"), kind, 404, "NotFound", 'configmaps "zz" not found'),
        ("a deletion of what is not there", "DELETE", BASE + "/zz", None, kind, 404, "NotFound", 'configmaps "zz" not found'),
        ("a deletion with another uid", "DELETE", BASE + "/a",
         {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": "x"}}, kind, 409, "Conflict",
         'Operation cannot be fulfilled on configmaps "a": the UID in the precondition (x) does not match the UID in record ('),
        ("a deletion with an unknown policy", "DELETE", BASE + "/a?propagationPolicy=Maybe", None, kind, 422, "Invalid",
         'DeleteOptions.meta.k8s.io "" is invalid: propagationPolicy: Unsupported value: "Maybe"'),
        ("a deletion with half a body", "DELETE", BASE + "/a", '{"a', kind, 400, "BadRequest", "the object provided is unrecognized"),
        ("a deletion of a namespace that stays", "DELETE", "/api/v1/namespaces/kube-system", None, kind, 403, "Forbidden",
         'namespaces "kube-system" is forbidden: this namespace may not be deleted'),
    ]


def patch_rows():
    rows = [
        ("a JSON patch whose test fails", JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "2"}], 422, "Invalid", NOT_APPLIED),
        ("a JSON patch of a missing path", JSON_PATCH, [{"op": "remove", "path": "/data/zz"}], 422, "Invalid", NOT_APPLIED),
        ("a JSON patch that half applies", JSON_PATCH,
         [{"op": "replace", "path": "/data/a", "value": "9"}, {"op": "test", "path": "/data/a", "value": "1"}], 422, "Invalid", NOT_APPLIED),
        ("a JSON patch with an unknown operation", JSON_PATCH, [{"op": "explode", "path": "/data/a"}], 422, "Invalid", NOT_APPLIED),
        ("a JSON patch that is an object", JSON_PATCH, {"op": "test"}, 400, "BadRequest", "error decoding patch: json: cannot unmarshal object"),
        ("half a JSON patch", JSON_PATCH, '[{"op":', 400, "BadRequest", "error decoding patch: unexpected end of JSON input"),
        ("a JSON patch of 10,001 steps", JSON_PATCH, [{"op": "test", "path": "/data/a", "value": "1"}] * 10_001, 413,
         "RequestEntityTooLarge", "Request entity too large: The allowed maximum operations in a JSON patch is 10000, got 10001"),
        ("a JSON patch to a wrong type", JSON_PATCH, [{"op": "replace", "path": "/data/a", "value": 7}], 422, "Invalid", ' "" is invalid: patch: Invalid value: '),
        ("a JSON patch that renames", JSON_PATCH, [{"op": "replace", "path": "/metadata/name", "value": "b"}], 400, "BadRequest",
         "the name of the object (b) does not match the name on the URL (a)"),
        ("a JSON patch that doubles itself", JSON_PATCH,
         [{"op": "add", "path": "/data/l", "value": "x" * 1000}] + [{"op": "copy", "from": "/data", "path": f"/data/k{i}"} for i in range(40)],
         413, "RequestEntityTooLarge", "Request entity too large: Unable to complete the copy"),
        ("a merge patch that is text", MERGE_PATCH, '"x"', 400, "BadRequest", "error decoding patch: json: cannot unmarshal string into Go value of type map[string]interface {}"),
        ("half a merge patch", MERGE_PATCH, '{"data":', 400, "BadRequest", "error decoding patch: unexpected end of JSON input"),
        ("a merge patch to a wrong type", MERGE_PATCH, {"data": []}, 422, "Invalid", ' "" is invalid: patch: Invalid value: '),
        ("a merge patch with a stale revision", MERGE_PATCH, {"metadata": {"resourceVersion": "1"}, "data": {"a": "9"}}, 409, "Conflict", STALE),
        ("a merge patch into another namespace", MERGE_PATCH, {"metadata": {"namespace": "b"}}, 400, "BadRequest",
         "the namespace of the provided object does not match the namespace sent on the request"),
        ("a strategic patch to a wrong type", STRATEGIC_PATCH, {"data": []}, 422, "Invalid", ' "" is invalid: patch: Invalid value: '),
        ("a strategic patch with an unknown directive", STRATEGIC_PATCH, {"data": {"$patch": "explode"}}, 400, "BadRequest", "unknown patch type: explode in map"),
        ("half a strategic patch", STRATEGIC_PATCH, '{"data":', 400, "BadRequest", "unexpected end of JSON input"),
        ("a patch of no known type", "application/json", "{}", 415, "UnsupportedMediaType",
         "the body of the request was in an unknown format - accepted media types include: application/json-patch+json, "),
    ]
    rows = [(what, "PATCH", BASE + "/a", body, kind, code, reason, text) for what, kind, body, code, reason, text in rows]
    return rows + [
        ("unknown fields in a strict patch", "PATCH", BASE + "/a?fieldValidation=Strict", {"dat": {}}, MERGE_PATCH, 422, "Invalid",
         ' "" is invalid: patch: Invalid value: "{\\"dat\\":{}}": strict decoding error: unknown field "dat"'),
        ("a patch of what is not there", "PATCH", BASE + "/zz", {}, MERGE_PATCH, 404, "NotFound", 'configmaps "zz" not found'),
    ]


def read_rows():
    """Queries and paths."""
    queries = [
        ("a label selector cut off", "labelSelector=a+in", "unable to parse requirement: found '' expected: '('"),
        ("a label selector with a bad operator", "labelSelector=a%3D%3D%3Db", "unable to parse requirement: found '=', expected: identifier"),
        ("a label selector with a long value", "labelSelector=a%3D" + "x" * 64, "unable to parse requirement: values[0][a]: Invalid value: "),
        ("a field selector cut off", "fieldSelector=a", "invalid selector: 'a'; can't understand 'a'"),
        ("a field selector of no known field", "fieldSelector=data.a%3D1", '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"'),
        ("a limit that is no number", "limit=abc", 'strconv.ParseInt: parsing "abc": invalid syntax'),
        ("a revision that is no number", "resourceVersion=abc", 'resourceVersion: Invalid value: "abc"'),
        ("a continue token of one's own", "continue=abc", "invalid continue token: "),
        ("a timeout that is none", "timeout=abc", "invalid timeout specified in the request URL"),
        ("a watch with a bad timeout", "watch=1&timeoutSeconds=abc", 'strconv.ParseInt: parsing "abc": invalid syntax'),
    ]
    rows = [(what, "GET", f"{BASE}?{query}", None, "application/json", 400, "BadRequest", text) for what, query, text in queries]
    missing = "the server could not find the requested resource"
    return rows + [
        ("a field selector of no known pod field", "GET", PODS + "?fieldSelector=spec.foo%3D1", None, "", 400, "BadRequest", "field label not supported: spec.foo"),
        ("an unknown resource", "GET", "/api/v1/nopes", None, "", 404, "NotFound", missing),
        ("an unknown group", "GET", "/apis/nope/v1/x", None, "", 404, "NotFound", missing),
        ("POST to an object", "POST", BASE + "/a", "{}", "application/json", 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
        ("PUT to a list", "PUT", BASE, "{}", "application/json", 405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
        ("a path with a bad escape", "GET", BASE + "/%zz", None, "", 400, "BadRequest", ""),
        ("a path that climbs", "GET", BASE + "/../../kube-system/secrets", None, "", 400, "BadRequest", ""),
    ]


class Test:
    def __init__(self, door, pid):
        self.door, self.pid = door, pid
        self.checks = self.failures = 0

    def check(self, what, problem):
        self.checks += 1
        if problem:
            self.failures += 1
            print(f"FAIL {what}: {problem}", flush=True)
        else:
            print(f"ok   {what}", flush=True)

    def state(self):
        """Everything that a row could have written, with the revisions; the list's own is the store's."""
        return [self.door.request("GET", path)[1] for path in (BASE, DEPLOYMENTS, PODS, "/api/v1/namespaces")]

    def settled(self):
        """The state, when the controllers are done with what a start gives them to do."""
        state = self.state()
        for _ in range(60):
            time.sleep(1)
            before, state = state, self.state()
            if state == before:
                break
        return state

    def run_rows(self, rows):
        before = self.settled()
        for what, method, path, body, kind, code, reason, text in rows:
            self.check(what, self.refused(method, path, body, kind, code, reason, text))
            after = self.state()
            if after != before:
                self.check(f"{what} writes nothing", "something was written")
                before = after

    def refused(self, method, path, body, kind, code, reason, text):
        try:
            status, answer = self.door.request(method, path, body, {"Content-Type": kind} if kind else None)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"no answer: {error!r}"
        if answer.get("kind") != "Status" or answer.get("status") != "Failure":
            return f"{status}, and no Status of a failure: {json.dumps(answer)[:300]}"
        if (status, answer["code"]) != (code, code) or (reason and answer.get("reason") != reason):
            return f"wanted {code} {reason}, got {status} {answer.get('reason')}: {answer['message'][:300]}"
        if not answer["message"].startswith(text):
            return f"wanted the message {text!r}, got {answer['message'][:400]!r}"
        return None

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as file:
            return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1))

    def endless_body(self):
        """A chunked body without an end: the server does not wait for it."""
        connection = self.door.connect()
        connection.putrequest("POST", BASE)
        connection.putheader("Transfer-Encoding", "chunked")
        connection.putheader("Content-Type", "application/json")
        connection.endheaders()
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        deadline = time.monotonic() + 30
        cut_off = False
        try:
            while not cut_off and time.monotonic() < deadline:
                connection.send(chunk)
        except OSError:
            cut_off = True  # the server has had enough
        connection.close()
        return None if cut_off else "the server takes bytes without end"

    def storm(self, rows, seconds):
        """Bad requests from four sides for so long; the slowest good read meanwhile, in seconds, without what this process
        itself had to wait for its turn."""
        stop = threading.Event()

        def send():
            while not stop.is_set():
                for _, method, path, body, kind, *_ in rows:
                    try:
                        self.door.request(method, path, body, {"Content-Type": kind} if kind else None)
                    except (OSError, http.client.HTTPException, ValueError):
                        pass
                    if stop.is_set():
                        return

        threads = [threading.Thread(target=send, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        slowest = late = 0.0
        connection = self.door.connect()
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            start = time.monotonic()
            connection.request("GET", BASE + "/a")
            if json.loads(connection.getresponse().read())["data"] != {"a": "1"}:
                self.check("reads during the storm", "the object is another one")
            end_of_read = time.monotonic()
            slowest = max(slowest, end_of_read - start)
            time.sleep(0.01)
            late = max(late, time.monotonic() - end_of_read - 0.01)
        stop.set()
        for thread in threads:
            thread.join(60)
        return max(slowest - late, 0.0)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--pid", type=int, required=True, help="of the server")
    parser.add_argument("--seconds", type=float, default=5, help="of the storm")
    args = parser.parse_args()
    test = Test(Door(args.kubeconfig), args.pid)
    status, made = test.door.request("POST", BASE, {**named("a"), "data": {"a": "1"}})
    assert status == 201, made
    rows = body_rows() + object_rows() + patch_rows() + read_rows()
    test.run_rows(rows)
    test.check("an endless body", test.endless_body())
    # What serving costs once (buffers, arenas) has been paid by now; what grows from here on is lost.
    heavy = [row for row in rows if row[3] is not None]
    test.storm(heavy, 1)
    before, state = test.rss_kib(), test.state()
    slowest = test.storm(heavy, args.seconds)
    time.sleep(1)
    grown = (test.rss_kib() - before) / 1024
    print(f"     storm of {args.seconds:.0f} s: memory {before / 1024:.1f} MiB, grew by {grown:.1f} MiB; slowest read {slowest * 1000:.0f} ms")
    test.check("memory does not grow by 20 MiB", f"{grown:.1f} MiB" if grown >= 20 else None)
    test.check("a good read never waits 2 s", f"{slowest:.2f} s" if slowest >= 2 else None)
    test.check("nothing was written", None if test.state() == state else "something was written")
    print(f"{test.checks} requests, {test.failures} failed")
    sys.exit(1 if test.failures else 0)


main()
