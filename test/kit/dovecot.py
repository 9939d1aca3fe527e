"""A real Dovecot over a stand's Maildirs, and an IMAP client that moves
and deletes while mail comes in."""

import grp
import imaplib
import os
import pwd
import re
import socket
import subprocess
import tempfile
import threading
import time

from kit.ports import free_port
from kit.stand import until

CONF = """
base_dir = {dir}/base
state_dir = {dir}/base
protocols = imap
listen = 127.0.0.1
log_path = {dir}/log
haproxy_trusted_networks = 127.0.0.1
ssl = {ssl}
disable_plaintext_auth = no
mail_location = maildir:{maildir}/%n
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 0
auth_mechanisms = plain
auth_failure_delay = 0
default_login_user = {login}
default_internal_user = {internal}
default_internal_group = {group}
passdb {{
  driver = static
  args = password=x
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={dir}/home/%n
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service auth {{
  inet_listener {{
    address = 127.0.0.1
    port = {auth}
  }}
}}
service imap-login {{
  chroot =
  inet_listener imap {{
    address = 127.0.0.1
    port = {port}
  }}
  inet_listener imaps {{
    port = {imaps}
    ssl = yes
  }}
  inet_listener imap_proxy {{
    address = 127.0.0.1
    port = {proxied}
    haproxy = yes
  }}
{proxy}}}
service stats {{
  client_limit = 1000
}}
"""


# A listener that expects a PROXY header, from this machine.
PROXY = """\
  inet_listener imaps_proxy {{
    address = 127.0.0.1
    port = {port}
    ssl = yes
    haproxy = yes
  }}
"""
TLS = """
ssl_cert = <{cert}
ssl_key = <{key}
"""


class Dovecot:
    """
    IMAP on `port`, and behind a PROXY header on `proxied`; with tls=(cert, key) IMAPS on the
    other two. It says on `auth` whether a password is right (Postfix: smtpd_sasl_type = dovecot).
    """

    def __init__(self, maildir, *, tls=None, imaps=0, proxied=0, imaps_proxy=0, extra=""):
        self.dir = tempfile.mkdtemp(prefix="ph-dovecot-")
        os.chmod(self.dir, 0o755)
        os.makedirs(f"{self.dir}/home")
        self.port, self.auth = free_port(), free_port()
        self.proxied = proxied or free_port()
        # Dovecot serves nobody's mail as root: the mail belongs to whom home runs as.
        me = pwd.getpwuid(os.stat(maildir).st_uid)
        root = os.getuid() == 0
        names = {"login": "dovenull" if root else me.pw_name,
                 "internal": "dovecot" if root else me.pw_name,
                 "group": "dovecot" if root else grp.getgrgid(me.pw_gid).gr_name}
        os.chown(f"{self.dir}/home", me.pw_uid, me.pw_gid)
        with open(f"{self.dir}/dovecot.conf", "w", encoding="ascii") as f:
            f.write(CONF.format(dir=self.dir, maildir=maildir, port=self.port,
                                proxied=self.proxied, auth=self.auth, uid=me.pw_uid,
                                gid=me.pw_gid, ssl="yes" if tls else "no", imaps=imaps,
                                proxy=PROXY.format(port=imaps_proxy) if tls else "", **names))
            if tls:
                f.write(TLS.format(cert=tls[0], key=tls[1]))
            f.write(extra)
        self.seen = 0
        self.start()

    def start(self):
        self.child = subprocess.Popen(["/usr/sbin/dovecot", "-F", "-c", f"{self.dir}/dovecot.conf"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        until("dovecot answers", 20, self.login_works, 0.1)

    def login_works(self):
        assert self.child.poll() is None, self.log()
        try:
            self.login("alice").logout()
            return True
        except (OSError, imaplib.IMAP4.error):
            return False

    def log(self):
        try:
            with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
                f.seek(self.seen)
                return f.read()[-30000:]
        except OSError:
            return ""

    def forget_log(self):
        self.seen = os.path.getsize(f"{self.dir}/log")

    def login(self, user):
        c = imaplib.IMAP4("127.0.0.1", self.port, timeout=60)
        c.login(user, "x")
        return c

    def login_as(self, client, user, password):
        """Whether a login works that comes, says a PROXY header, from this address."""
        with socket.create_connection(("127.0.0.1", self.proxied), 30, ("127.0.0.1", 0)) as s, \
                s.makefile("rb") as lines:
            s.sendall(b"PROXY TCP4 %s 203.0.113.1 40000 143\r\n" % client.encode())
            assert b"* OK" in lines.readline()
            s.sendall(f"a LOGIN {user} {password}\r\n".encode())
            answer = lines.readline()
            return answer.startswith(b"a OK")

    def auth_test(self, user, password):
        """What Dovecot's own tool says: whether the passdbs take it."""
        r = subprocess.run(["doveadm", "-c", f"{self.dir}/dovecot.conf", "auth", "test", user,
                            password], check=False, capture_output=True, text=True, timeout=60)
        assert "auth succeeded" in r.stdout + r.stderr or "auth failed" in r.stdout + r.stderr, \
            r.stdout + r.stderr + self.log()
        return r.returncode == 0

    def stop(self):
        self.child.terminate()
        self.child.wait(60)


class Reader:
    """
    Reads INBOX of each user again and again; notes each message that arrives by its
    UID, then leaves it, flags it, moves it to Archive or deletes it. A UID is an
    arrival: the same Message-Id under two of them came twice.
    """

    NAME = re.compile(rb"Message-Id:\s*(<[^>]*>)", re.I)

    def __init__(self, stand, rng):
        self.dovecot = Dovecot(stand.env["MAILDIR"])
        self.rng, self.arrived = rng, {}
        self.stopping = threading.Event()
        self.moved = self.deleted = 0
        self.failed = None
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        try:
            while not self.stopping.is_set():
                self.sweep()
                time.sleep(self.rng.uniform(0.01, 0.2))
        except Exception as e:      # told by finish(), where someone looks
            self.failed = e

    def sweep(self, act=True):
        for user in ("alice", "bob"):
            c = self.dovecot.login(user)
            c.create("Archive")
            c.select("INBOX")
            uids = c.uid("SEARCH", None, "ALL")[1][0].split()
            fresh = [u for u in uids if (user, u) not in self.arrived]
            for at in range(0, len(fresh), 200):
                _, parts = c.uid("FETCH", b",".join(fresh[at:at + 200]),
                                 "(BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)])")
                for part in parts:
                    if isinstance(part, tuple):
                        uid = re.search(rb"UID (\d+)", part[0]).group(1)
                        self.arrived[user, uid] = self.NAME.search(part[1]).group(1).decode()
            if act and fresh:
                self.act(c, fresh)
            c.logout()

    def act(self, c, uids):
        self.rng.shuffle(uids)
        third = len(uids) // 3
        if third == 0:
            return
        c.uid("MOVE", b",".join(uids[:third]), "Archive")
        c.uid("STORE", b",".join(uids[third:2 * third]), "+FLAGS.SILENT", r"(\Deleted)")
        c.uid("STORE", b",".join(uids[2 * third:]), "+FLAGS.SILENT", r"(\Seen)")
        c.expunge()
        self.moved += third
        self.deleted += third

    def finish(self):
        """(user, Message-Id) -> how often it arrived."""
        self.stopping.set()
        self.thread.join()
        try:
            assert self.failed is None, \
                f"the IMAP client failed: {self.failed!r}\n{self.dovecot.log()}"
            self.sweep(act=False)
        finally:
            self.dovecot.stop()
        assert self.moved > 0 and self.deleted > 0, \
            "the reader moved and deleted nothing: this says nothing"
        seen = {}
        for (user, _), name in self.arrived.items():
            seen[user, name] = seen.get((user, name), 0) + 1
        return seen
