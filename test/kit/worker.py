"""The Worker of worker/ in the real runtime, and what a test can see of it."""

import http.client
import json
import os
import secrets
import shutil
import subprocess
import urllib.parse

from kit.ports import free_port
from kit.s3 import Bucket
from kit.stand import TOP

MODULES = os.environ.get("POSTHOUSE_NODE_MODULES", "/var/cache/posthouse-test/node/node_modules")
HERE = os.path.join(TOP, "test", "worker")
EDGE = "worker.example.test"


def runtime_missing():
    """Why it cannot run here, or an empty string."""
    if shutil.which("node") is None:
        return "no node here: the Worker's runtime cannot run"
    if not os.path.isdir(os.path.join(MODULES, "miniflare")):
        return "no Workers runtime here; tools/need test installs it where npm is"
    return ""


def r2_store():
    """R2's simulator as a client of S3 will see it: to be written into home.conf before the runtime
    is there, as what home.conf says is bound in it."""
    return Bucket(f"http://127.0.0.1:{free_port()}", "mail", secrets.token_hex(16),
                  secrets.token_hex(32))


class Worker:
    """One runtime with its bucket; usable as a context. bindings are added to a usual set.
    store: the bucket's S3 face, as r2_store() made it; without it there is none."""

    def __init__(self, recipients="", *, ca=None, entry=None, more=(), store=None, **bindings):
        self.mac_key, self.id_key = secrets.token_bytes(32), secrets.token_bytes(32)
        usual = {
            "EDGE_NAME": EDGE,
            "RECIPIENTS": recipients,
            "MAC_KEY": self.mac_key.hex(),
            "ID_KEY": self.id_key.hex(),
            "WAYS": "r2",
            "S3_KEY": store.key if store else None,
            "S3_SECRET": store.secret if store else None,
        }
        config = {
            "modules": MODULES,
            "worker": os.path.join(TOP, "worker"),
            "port": urllib.parse.urlsplit(store.endpoint).port if store else 0,
            "entry": entry or os.path.join(HERE, "entry.js"),
            "more": list(more) if entry else [{"type": "ESModule", "path": f"{HERE}/s3.js"}],
            "bindings": {k: v for k, v in {**usual, **bindings}.items() if v is not None},
        }
        env = dict(os.environ, **({"NODE_EXTRA_CA_CERTS": ca} if ca else {}))
        self.process = subprocess.Popen(
            ["node", os.path.join(HERE, "runtime.mjs")],
            env=env,
            start_new_session=True,  # Ctrl-C is not for it: it ends with its standard input
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.process.stdin.write(json.dumps(config) + "\n")
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if line.startswith("READY "):
                self.port = int(line.split()[1])
                return
            said.append(line)
        raise RuntimeError("the runtime did not start: " + "".join(said))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def ask(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, dict(answer.getheaders()), answer.read()
        finally:
            connection.close()

    def email(self, from_, to, raw, **more):
        """{"outcome": "accept" | "reject" | "throw", "reason": ..., "ms": ...}; from_ None: it is
        null."""
        said = {"from": from_, "to": to, **more}
        query = urllib.parse.urlencode({k: v for k, v in said.items() if v is not None})
        status, _, said = self.ask("POST", f"/email?{query}", raw)
        assert status == 200, said
        return json.loads(said)

    def bucket(self):
        return json.loads(self.ask("GET", "/bucket")[2])

    def object(self, name):
        """Its octets and its metadata."""
        _, headers, octets = self.ask("GET", "/bucket/" + urllib.parse.quote(name, safe=""))
        return octets, {k[7:]: v for k, v in headers.items() if k.startswith("x-meta-")}
