"""Dovecot as the end of held mail: LMTP over TCP and a unix socket, Sieve, one Maildir a user."""

import os
import shutil
import socket
import struct
import subprocess
import tempfile

from kit.ports import free_port
from kit.stand import TOP, until

RECIPE = os.path.join(TOP, "packaging", "dovecot", "posthouse-duplicate.sieve")
CONF = """
base_dir = {dir}/base
state_dir = {dir}/base
protocols = lmtp
listen = 127.0.0.1
log_path = {dir}/log
mail_debug = {debug}
ssl = no
login_trusted_networks = 127.0.0.1
mail_location = maildir:{dir}/home/%n/Maildir
mail_uid = nobody
mail_gid = nogroup
first_valid_uid = 0
default_login_user = dovenull
default_internal_user = dovecot
auth_username_format = %n
postmaster_address = postmaster@example.test
passdb {{
  driver = static
  args = nopassword=y
}}
userdb {{
  driver = passwd-file
  args = username_format=%n {dir}/users
}}
service anvil {{
  chroot =
}}
service lmtp {{
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
  unix_listener {dir}/lmtp {{
    mode = 0666
  }}
}}
protocol lmtp {{
  mail_plugins = {sieve}
}}
plugin {{
  sieve_before = {dir}/sieve/posthouse-duplicate.sieve
  recipient_delimiter = +
}}
"""


class Lmtp:
    """Usable as a context; alice and bob have mailboxes, or users."""

    def __init__(self, users=("alice", "bob"), debug=True, recipe=True):
        self.dir, self.port = tempfile.mkdtemp(prefix="ph-lmtp-"), free_port()
        os.chmod(self.dir, 0o755)
        os.makedirs(f"{self.dir}/sieve")
        os.makedirs(f"{self.dir}/home")
        shutil.copy(RECIPE, f"{self.dir}/sieve")
        subprocess.run(["sievec", f"{self.dir}/sieve/posthouse-duplicate.sieve"], check=True)
        with open(f"{self.dir}/users", "w", encoding="ascii") as f:
            for user in users:
                os.makedirs(f"{self.dir}/home/{user}")
                f.write(f"{user}:::::{self.dir}/home/{user}::\n")
        for path, _, _ in os.walk(f"{self.dir}/home"):
            shutil.chown(path, "nobody", "nogroup")
        with open(f"{self.dir}/dovecot.conf", "w", encoding="ascii") as f:
            f.write(CONF.format(dir=self.dir, port=self.port, sieve="sieve" if recipe else "",
                                debug="yes" if debug else "no"))
        self.start()

    def start(self):
        self.child = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", f"{self.dir}/dovecot.conf"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        until("dovecot's LMTP answers", 20, self.answers, 0.1)

    def answers(self):
        assert self.child.poll() is None, self.log()
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", self.port)) == 0

    def log(self):
        with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def mails(self, user):
        out = []
        for sub in ("new", "cur"):
            base = f"{self.dir}/home/{user}/Maildir/{sub}"
            for name in sorted(os.listdir(base)) if os.path.isdir(base) else ():
                with open(f"{base}/{name}", "rb") as f:
                    out.append(f.read())
        return out

    def remembered(self, user):
        """How many messages the recipe would know again (Dovecot 2.3: mail-duplicate.c)."""
        try:
            with open(f"{self.dir}/home/{user}/.dovecot.lda-dupes", "rb") as f:
                octets = f.read()
        except FileNotFoundError:
            return 0
        at, n = 4, 0
        while at < len(octets):
            _, id_size, user_size = struct.unpack_from("III", octets, at)
            at += 12 + id_size + user_size
            n += 1
        return n

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.child.terminate()
        self.child.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)
