"""An edge on Cloudflare and its home, as one sets them up: home.conf, `posthouse keygen`, what
`posthouse worker-config` prints, the secrets; nginx where an HTTPS tunnel would end."""

import json
import subprocess
import tempfile
import tomllib

from kit.drained import write_key
from kit.ports import free_port
from kit.push_home import PushHome, tls_proxy
from kit.stand import until
from kit.worker import Worker, r2_store


class Cloudflare:
    """It ends with stack. certs: a folder that kit.certs.own_ca filled, for localhost; bindings:
    the Worker's that are others than worker-config says; service: keys of service "push";
    bucket: of home's bucket, where home has one."""

    def __init__(self, stack, certs, *, bindings=(), service="", bucket=None, **home):
        port = free_port()
        self.store = None if bucket is None else r2_store()
        section = "" if bucket is None else self.section(
            stack.enter_context(tempfile.TemporaryDirectory()), bucket)
        self.home = stack.enter_context(PushHome(
            service=f'url = "https://localhost:{port}" {service}', more=section, **home))
        self.tunnel = stack.enter_context(tls_proxy(self.home, port, certs))
        self.config = self.home.tool("worker-config")
        bound = {**tomllib.loads(self.config.stdout)["vars"], "MAC_KEY": self.home.mac_key,
                 "HTTPS_TOKEN": self.home.token, "WAYS": "https r2", **dict(bindings)}
        self.worker = stack.enter_context(
            Worker(bound.pop("RECIPIENTS"), ca=f"{certs}/ca.pem", store=self.store, **bound))

    def section(self, dir_, more):
        secret = write_key(dir_, "s3.keys", f"{self.store.key}\n{self.store.secret}")
        keys = {"endpoint": f'"{self.store.endpoint}"', "bucket": f'"{self.store.name}"',
                "credentials": f'"{secret}"', "poll": "1s", **more}
        return 'bucket "r2" {\n' + "".join(f"\t{k} = {v}\n" for k, v in keys.items()) + "}\n"

    def send(self, mail, to="alice@example.test", from_="a@far.test"):
        """What Cloudflare would hear from the Worker, and tell the sender's server."""
        return self.worker.email(from_, to, mail)

    def bucket(self):
        """What `status` says of home's bucket."""
        b, = until("the drain is there", 20, lambda: json.loads(
            self.home.tool("status", "--json").stdout)["buckets"])
        return b

    def age_open(self, sealed):
        """An object as home's age key opens it."""
        return subprocess.run(["age", "-d", "-i", f"{self.home.dir}/state/age.key"], input=sealed,
                              check=True, capture_output=True).stdout
