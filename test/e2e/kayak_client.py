"""kayak_client.py: how the Python halves of end-to-end tests reach a server: its kubeconfig, TLS, one request."""
import base64
import http.client
import json
import re
import ssl
import tempfile


class Door:
    """A server by the administrator's kubeconfig, at another address when `host` is given. Connections belong to the
    caller."""

    def __init__(self, kubeconfig, host="127.0.0.1"):
        self.host = host
        with open(kubeconfig, encoding="utf-8") as file:
            config = file.read()

        def part(name):
            return base64.b64decode(re.search(rf"{name}-data: *\"?([A-Za-z0-9+/=]+)", config).group(1)).decode()

        self.port = int(re.search(r"server: *\"?https://127.0.0.1:([0-9]+)", config).group(1))
        self.context = ssl.create_default_context(cadata=part("certificate-authority"))
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as pem:
            pem.write(part("client-certificate") + part("client-key"))
            pem.flush()
            self.context.load_cert_chain(pem.name)

    def connect(self, timeout=20):
        return http.client.HTTPSConnection(self.host, self.port, timeout=timeout, context=self.context)

    def request(self, method, path, body=None, headers=None):
        """One request on a connection of its own: its status and JSON answer. `body`: bytes, text or an object."""
        connection = self.connect()
        try:
            if body is not None and not isinstance(body, (bytes, str)):
                body = json.dumps(body)
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()
