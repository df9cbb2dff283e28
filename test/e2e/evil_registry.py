"""evil_registry.py DIR: a registry that lies, one lie per repository; for node_test.sh. Prints its address, then, for each
request to its second address (where the repository "leak" redirects to), whether credentials came along. A layer that
escapes aims at DIR."""

import base64
import hashlib
import http.server
import io
import json
import sys
import tarfile
import threading

DOCKER = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = "application/vnd.docker.image.rootfs.diff.tar"


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def layer(*members):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, kind, target in members:
            entry = tarfile.TarInfo(name)
            entry.type = kind
            entry.linkname = target
            content = b"evil" if kind == tarfile.REGTYPE else b""
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return out.getvalue()


GOOD = layer(("good", tarfile.REGTYPE, ""))
LAYERS = {
    "dotdot": layer(("../../escaped", tarfile.REGTYPE, "")),
    "link": layer(("out", tarfile.SYMTYPE, sys.argv[1]), ("out/escaped", tarfile.REGTYPE, "")),
    "hardlink": layer(("passwd", tarfile.LNKTYPE, "../../../../../../../../etc/passwd")),
}
blobs = {}


def keep(data):
    blobs[digest(data)] = data
    return {"digest": digest(data), "size": len(data), "mediaType": LAYER}


def manifest(repository):
    content = LAYERS.get(repository, GOOD)
    described = keep(content)
    diff_id = digest(b"other") if repository == "diff-id" else digest(content)
    config = json.dumps({"os": "linux", "rootfs": {"type": "layers", "diff_ids": [diff_id]}}).encode()
    document = {"schemaVersion": 2, "mediaType": DOCKER, "config": keep(config), "layers": [described]}
    if repository == "too-long":
        described["size"] -= 512
    if repository == "both":
        document["manifests"] = []
    if repository == "no-layer":
        document["layers"] = []
    return json.dumps(document).encode()


class Lies(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, data, **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self):
        parts = self.path.split("/")
        if self.server is elsewhere:
            print("credentials" if self.headers.get("Authorization") else "no credentials", flush=True)
            return self.answer(200, blobs.get(parts[-1], b""))
        if len(parts) < 5:
            return self.answer(200, b"{}")
        repository, kind, name = parts[2], parts[3], parts[4]
        if kind == "manifests":
            text = manifest(repository)
            if repository == "poisoned" and name.startswith("sha256:"):
                text = manifest("other") + b" "
            return self.answer(200, text, Content_Type=DOCKER)
        wanted = "Basic " + base64.b64encode(b"boat:anchor").decode()
        if repository == "leak":
            if self.headers.get("Authorization") != wanted:
                return self.answer(401, b"", WWW_Authenticate='Basic realm="x"')
            return self.answer(307, b"", Location="http://127.0.0.1:%d/%s" % (elsewhere.server_port, name))
        data = blobs.get(name, b"")
        if repository == "digest":
            data = data[:-1] + b"x"
        if repository == "truncated":
            self.close_connection = True
            return self.answer(200, data[: len(data) // 2], Content_Length=str(len(data)))
        return self.answer(200, data)


registry = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lies)
elsewhere = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Lies)
threading.Thread(target=elsewhere.serve_forever, daemon=True).start()
print("127.0.0.1:%d" % registry.server_port, flush=True)
try:
    registry.serve_forever()
except KeyboardInterrupt:
    sys.exit(0)
