#!/usr/bin/env python3
"""hostile_registry.py: a registry (Docker v2 API) on loopback that lies: one repository per lie, tag 1 of each.

    hostile_registry.py --list         name and the words (a regular expression) by which a pull of it must fail
    hostile_registry.py --port P --outside DIR    serves; layers that escape aim at DIR
Repository `good` is what it says, so that a failure is the lie's and not the frame's.
"""
import argparse
import gzip
import hashlib
import http.server
import io
import json
import socketserver
import sys
import tarfile

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
CONFIG = "application/vnd.oci.image.config.v1+json"
CLIMB = "../" * 40


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(*entries):
    """(name, type, content or link target)"""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name, kind, content in entries:
            info = tarfile.TarInfo(name)
            info.type = kind
            if kind == tarfile.REGTYPE:
                data = content.encode()
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                info.linkname = content
                archive.addfile(info)
    return out.getvalue()


def file(name, content="evil"):
    return (name, tarfile.REGTYPE, content)


class Image:
    """What a repository answers."""

    def __init__(self, name, plain=None, packed=None):
        # Each repository has content of its own: a layer that is there already would not be fetched.
        self.plain = plain if plain is not None else tar(file("etc/hello", name * 1000))
        self.layer = packed if packed is not None else gzip.compress(self.plain, mtime=0)
        self.config = {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]},
                       "rootfs": {"type": "layers", "diff_ids": [digest(self.plain)]}}
        self.layer_digest = digest(self.layer)
        self.layer_size = len(self.layer)
        self.sent_layer = self.layer
        self.sent_config = None  # null: what the manifest says
        self.type = MANIFEST
        self.answers = {}  # "manifests", "config" or "blobs" -> function(handler)

    def manifest(self):
        config = json.dumps(self.config).encode() if not isinstance(self.config, bytes) else self.config
        self.config_bytes = config
        self.config_digest = digest(config)
        return json.dumps({
            "schemaVersion": 2, "mediaType": self.type,
            "config": {"mediaType": CONFIG, "digest": self.config_digest, "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": self.layer_digest, "size": self.layer_size}],
        }).encode()

    def answer(self, handler, what, name):
        manifest = self.manifest()
        if what == "blobs" and name == self.config_digest:
            what = "config"
        if what in self.answers:
            self.answers[what](handler)
        elif what == "manifests":
            handler.send(manifest, self.type)
        elif what == "config":
            handler.send(self.sent_config or self.config_bytes)
        else:
            handler.send(self.sent_layer)


def escape(*entries):
    return lambda name, outside: Image(name, tar(*[(n.format(outside=outside), k, c.format(outside=outside)) for n, k, c in entries]))


def lie(**changes):
    """An image with attributes replaced; a function is called with the image."""
    def make(name, _):
        image = Image(name)
        for attribute, value in changes.items():
            setattr(image, attribute, value(image) if callable(value) else value)
        return image
    return make


def answering(**answers):
    def make(name, _):
        image = Image(name)
        image.answers = answers
        return image
    return make


def other_diff(image):
    return {**image.config, "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "1" * 64]}}


def cut_gzip(name, _):
    whole = Image(name)
    return Image(name, whole.plain, whole.layer[:len(whole.layer) // 2])


def zeros(name, _):
    """A good gzip of a tar that promises a file of 8 GiB and brings a few bytes."""
    header = tarfile.TarInfo("big")
    header.size = 8 << 30
    plain = header.tobuf(tarfile.GNU_FORMAT) + b"\0" * 5120
    return Image(name, plain)


CASES = {
    # lies about digests and sizes
    "layer-digest": (lie(sent_layer=lambda i: i.layer[:-1] + bytes([i.layer[-1] ^ 1])), "the content does not have this digest"),
    "layer-short": (lie(layer_size=lambda i: i.layer_size + 100), "bytes came of the [0-9]+ promised"),
    "layer-long": (lie(sent_layer=lambda i: i.layer + b"x"), "sends more than the [0-9]+ bytes it promised"),
    "layer-huge-size": (lie(layer_size=1 << 60), "no space left on device|size"),
    "layer-negative-size": (lie(layer_size=-1), "size|negative|manifest"),
    "layer-other-content": (lie(config=other_diff), "digest"),
    "layer-gzip-cut": (cut_gzip, "truncated|archive|gzip|premature|end"),
    "layer-tar-cut": (zeros, "truncated|archive|premature|end"),
    "config-digest": (lie(sent_config=lambda i: b"{}" + b" " * (len(json.dumps(i.config)) - 2)), "digest|promised"),
    "config-none": (lie(config=b"hello"), "config"),
    "config-more-layers": (lie(config=lambda i: {**i.config, "rootfs": {"type": "layers", "diff_ids": [digest(i.plain)] * 2}}),
                           "the manifest lists 1 layers, the config 2"),
    "layer-no-digest": (lie(layer_digest="sha256:../../../../etc/passwd"), "digest"),
    # bodies without an end, or with one too early
    "layer-cut": (answering(blobs=lambda h: h.send_cut()), "closed|ended|end|bytes came of"),
    "layer-endless": (answering(blobs=lambda h: h.send_endless()), "sends more than the [0-9]+ bytes it promised"),
    "layer-endless-chunk-head": (answering(blobs=lambda h: h.send_endless_chunk_head()), "chunk|malformed|HTTP|too"),
    "manifest-endless": (answering(manifests=lambda h: h.send_endless()), "larger|limit|too large|bytes"),
    "manifest-cut": (answering(manifests=lambda h: h.send_cut()), "closed|ended|end|manifest"),
    "endless-headers": (answering(manifests=lambda h: h.send_endless_headers()), "header|head|too"),
    # manifests that are none
    "manifest-html": (answering(manifests=lambda h: h.send(b"<html>log in</html>", "text/html")), "manifest|media type|JSON"),
    "manifest-type": (lie(type="application/vnd.example.cake"), 'unknown media type "application/vnd.example.cake"'),
    "manifest-schema-1": (answering(manifests=lambda h: h.send(b'{"schemaVersion":1,"fsLayers":[]}', "application/vnd.docker.distribution.manifest.v1+prettyjws")), "schema 1"),
    "manifest-deep": (answering(manifests=lambda h: h.send(b"[" * 1_000_000, MANIFEST)), "nested|manifest"),
    "index-to-itself": (answering(manifests=lambda h: h.send_self_index()), "digest|index"),
    # redirects, errors and questions without an end
    "redirect-loop": (answering(blobs=lambda h: h.redirect(h.path)), "redirects in a circle"),
    "redirect-loop-of-addresses": (answering(blobs=lambda h: h.redirect(f"http://{h.headers['Host']}{h.path}")), "redirects in a circle"),
    "redirect-to-file": (answering(blobs=lambda h: h.redirect("file:///etc/passwd")), "redirects to something that is no address"),
    "redirect-nowhere": (answering(manifests=lambda h: h.redirect("")), "redirects to something that is no address"),
    "token-loop": (answering(manifests=lambda h: h.challenge()), "401|credentials|token"),
    "error-500": (answering(manifests=lambda h: h.send(b"oops", "text/plain", 500)), "unexpected status 500 from the registry"),
    "layer-not-there": (answering(blobs=lambda h: h.send(b"{}", "application/json", 404)), "not found"),
    # layers that leave their folder
    "escape-dotdot": (escape(file(CLIMB + "{outside}/new")), r"escape|\.\.|outside|path"),
    "escape-inner-dotdot": (escape(file("a/" + CLIMB + "{outside}/new")), r"escape|\.\.|outside|path"),
    "escape-absolute": (escape(file("{outside}/new")), "absolute|escape|outside|path"),
    "escape-hard-link": (escape(("link", tarfile.LNKTYPE, CLIMB + "{outside}/secret"), file("link")), "link"),
    "escape-absolute-hard-link": (escape(("link", tarfile.LNKTYPE, "{outside}/secret"), file("link")), "link"),
    "escape-hard-link-by-symlink": (escape(("out", tarfile.SYMTYPE, "{outside}"), ("link", tarfile.LNKTYPE, "out/secret"), file("link")), "link"),
    "file-below-a-file": (escape(file("a"), file("a/b")), "directory|below|not a"),
}
# These may be pulled, as the links lead inside the image: but nothing outside may be touched.
INSIDE = {
    "good": lambda name, _: Image(name),
    "inside-symlink": escape(("out", tarfile.SYMTYPE, "{outside}"), ("{outside}".lstrip("/"), tarfile.DIRTYPE, ""), file("out/new")),
    "inside-symlink-up": escape(("up", tarfile.SYMTYPE, CLIMB + "{outside}"), file("up/new")),
    "inside-symlink-over-file": escape(("secret", tarfile.SYMTYPE, "{outside}/secret"), file("secret")),
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    outside = "/"

    def do_GET(self):
        try:
            self.dispatch()
        except OSError:
            self.close_connection = True  # the puller has had enough

    def dispatch(self):
        parts = self.path.split("?")[0].strip("/").split("/")
        if parts == ["v2"] or parts == ["token"]:
            return self.send(b'{"token":"t"}', "application/json")
        case = parts[1] if len(parts) == 4 else ""
        make = CASES[case][0] if case in CASES else INSIDE.get(case)
        if not make:
            return self.send(b"{}", "application/json", 404)
        return make(case, self.outside).answer(self, parts[2], parts[3])

    def send(self, data, kind="application/octet-stream", status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def redirect(self, to):
        self.send_response(307)
        self.send_header("Location", to)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def challenge(self):
        host = self.headers["Host"]
        self.send_response(401)
        self.send_header("WWW-Authenticate", f'Bearer realm="http://{host}/token",service="s",scope="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def send_cut(self):
        self.send_response(200)
        self.send_header("Content-Type", MANIFEST)
        self.send_header("Content-Length", "100000")
        self.end_headers()
        self.wfile.write(b"{" * 100)
        self.close_connection = True

    def send_endless(self):
        self.send_response(200)
        self.send_header("Content-Type", MANIFEST)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(1 << 14):  # a GiB, should nobody stop us
            self.wfile.write(chunk)

    def send_endless_chunk_head(self):
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.wfile.write(b"1;a=")
        for _ in range(1 << 14):
            self.wfile.write(b"x" * 0x10000)

    def send_endless_headers(self):
        self.wfile.write(b"HTTP/1.1 200 OK\r\n")
        for i in range(1 << 20):
            self.wfile.write(b"X-%d: " % i + b"x" * 1000 + b"\r\n")

    def send_self_index(self):
        body = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {"mediaType": INDEX, "digest": "sha256:" + "2" * 64, "size": 100, "platform": {"architecture": "amd64", "os": "linux"}},
        ]}).encode()
        self.send(body, INDEX)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--inside", action="store_true", help="with --list: those that may be pulled")
    parser.add_argument("--port", type=int)
    parser.add_argument("--outside", default="/nonexistent")
    args = parser.parse_args()
    if args.list:
        rows = [(name, "") for name in INSIDE] if args.inside else [(name, words) for name, (_, words) in CASES.items()]
        for name, words in rows:
            print(f"{name}\t{words}")
        return
    Handler.outside = args.outside
    Server(("127.0.0.1", args.port), Handler).serve_forever()


main()
