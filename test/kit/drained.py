"""A home that empties a bucket: its configuration, and a worker who signs what is put there."""

import os
import secrets

from kit.objects import Signer
from kit.stand import until

SIGNER = "worker.example.test"


def write_key(dir_, name, text):
    """A file of a secret, 0600; its path."""
    path = os.path.join(str(dir_), name)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
              encoding="ascii") as f:
        f.write(text + "\n")
    return path


class Home:
    """The stand's home with a worker and a bucket, started anew.  endpoint: another way to it;
    push: a port that the worker can push to as well."""

    def __init__(self, stand, bucket, *, endpoint=None, domain="example.test", push=None,
                 **more):
        self.stand, self.store, self.signer = stand, bucket, Signer(SIGNER)
        mac = write_key(stand.dir, "worker.mac", self.signer.key.hex())
        keys = write_key(stand.dir, "s3.keys", f"{bucket.key}\n{bucket.secret}")
        lines = {"endpoint": f'"{endpoint or bucket.endpoint}"', "bucket": f'"{bucket.name}"',
                 "credentials": f'"{keys}"', "poll": "1s", **more}
        self.token = secrets.token_hex(32)
        if push is not None:
            write_key(stand.env["HOME_STATE"], f"worker-{SIGNER}.token", self.token)
        text = "".join(f"\t{k} = {v}\n" for k, v in lines.items())
        stand.stop("home")
        with open(stand.conf("home"), "a", encoding="utf-8") as f:
            f.write(f'worker "{SIGNER}" {{\n\tdomains = {{"{domain}"}}\n\tmac_key = "{mac}"\n}}\n'
                    f'bucket "r2" {{\n{text}}}\n')
            if push is not None:
                f.write(f'service "push" {{\n\tlisten = {{"127.0.0.1:{push}"}}\n}}\n')
        stand.start("home")
        self.recipient = stand.recipient()
        self.look()

    def put(self, octets, **more):
        """Puts a message into the bucket as the Worker does; its name there."""
        name, sealed, meta = self.signer.make(self.recipient, octets, **more)
        self.store.put(name, sealed, meta)
        return name

    def bucket(self):
        (b,) = self.stand.status("home")["buckets"]
        return b

    def look(self):
        """Until the first look at the bucket is over."""
        until("a look", 100, lambda: [b for b in self.stand.status("home")["buckets"]
                                     if b["looks"] > 0])

    def waiting(self):
        return self.store.keys("pending/")

    def drain(self, *words, check=True):
        return self.stand.tool("drain", "-c", self.stand.conf("home"), *words, check=check)
