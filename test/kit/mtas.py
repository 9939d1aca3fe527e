"""
Mail servers as people run them at home: Debian's Postfix as it is installed, exim4 and OpenSMTPD
from where tools/need unpacked them. Each listens on 127.0.0.1 and, unless a test says otherwise,
expects a PROXY header. They take mail for example.test (alice and postmaster) and send none.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile

from kit.ports import free_port
from kit.stand import until

CACHE = "/var/cache/posthouse-test"
EXIM = os.environ.get("POSTHOUSE_EXIM_HEAVY", f"{CACHE}/exim-heavy")
OPENSMTPD = os.environ.get("POSTHOUSE_OPENSMTPD", f"{CACHE}/opensmtpd")


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


class Mta:
    """One server in a directory of its own; usable as a context."""

    def __init__(self, port=0):
        self.dir, self.port = tempfile.mkdtemp(prefix=f"ph-{self.name}-"), port or free_port()
        os.chmod(self.dir, 0o755)
        self.where = f"127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.close()
        shutil.rmtree(self.dir, ignore_errors=True)

    def write(self, name, text):
        os.makedirs(os.path.dirname(f"{self.dir}/{name}"), exist_ok=True)
        with open(f"{self.dir}/{name}", "w", encoding="ascii") as f:
            f.write(text)
        return f"{self.dir}/{name}"

    def began(self):
        try:
            until(f"{self.name} listens", 20, lambda: listens(self.port), 0.1)
        except AssertionError as e:
            self.close()
            raise AssertionError(f"{e}\n{self.log()}") from None

    def log(self):
        try:
            with open(f"{self.dir}/mail.log", encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def logged(self, pattern, at=0, times=1):
        """Waits for it in the log from octet at on: postlogd and its like write when they may."""
        def there():
            return len(re.findall(pattern, self.log()[at:])) >= times
        try:
            until(f"{self.name} logs {pattern}", 20, there)
        except AssertionError as e:
            raise AssertionError(f"{e}\n{self.log()[at:]}") from None


MAIN_CF = """
compatibility_level = 3.6
queue_directory = {dir}/queue
data_directory = {dir}/data
virtual_mailbox_base = {dir}/mail
mail_owner = postfix
setgid_group = postdrop
myhostname = mx.example.test
mydestination = $myhostname, example.test, localhost
local_recipient_maps = inline:{{ alice=x, postmaster=x }}
alias_maps =
alias_database =
smtpd_banner = $myhostname ESMTP $mail_name (Debian/GNU)
smtpd_relay_restrictions = permit_mynetworks permit_sasl_authenticated defer_unauth_destination
mynetworks = 127.0.0.0/8 [::ffff:127.0.0.0]/104 [::1]/128
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
default_transport = discard:
maillog_file = {dir}/mail.log
maillog_file_prefixes = /tmp
inet_protocols = all
smtpd_tls_cert_file = {cert}
smtpd_tls_key_file = {key}
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - {most} {service}
  {options}
smtpd pass - - n - - smtpd
dnsblog unix - - n - 0 dnsblog
tlsproxy unix - - n - 0 tlsproxy
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
tlsmgr unix - - n 1000? 1 tlsmgr
local unix - n n - - local
virtual unix - n n - - virtual
lmtp unix - - n - - lmtp
error unix - - n - - error
discard unix - - n - - discard
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


# What it takes is kept, in Maildirs of its own: Postfix.mails().
KEEPS = ["mydestination = localhost", "virtual_mailbox_domains = example.test",
         "virtual_mailbox_maps = inline:{ alice@example.test=alice/, bob@example.test=bob/, "
         "postmaster@example.test=alice/ }",
         "virtual_uid_maps = static:65534", "virtual_gid_maps = static:65534"]


class Postfix(Mta):
    """
    Debian's defaults (dpkg's "Internet Site"), and what a test says differently. beside: a service
    (kit/services.py) that ends with it; "{beside}" in main is where that is.
    """

    name = "postfix"

    def __init__(self, main=(), options="-o smtpd_upstream_proxy_protocol=haproxy",
                 service="smtpd", tls=("", ""), port=0, beside=None):
        super().__init__(port)
        for d in ("queue", "data", "mail"):
            os.makedirs(f"{self.dir}/{d}")
        shutil.chown(f"{self.dir}/data", "postfix")
        os.chown(f"{self.dir}/mail", 65534, 65534)
        text = MAIN_CF.format(dir=self.dir, cert=tls[0], key=tls[1])
        self.beside = beside
        for line in main:
            text += line.replace("{beside}", beside.where if beside else "") + "\n"
        self.write("conf/main.cf", text)
        self.write("conf/master.cf", MASTER_CF.format(
            port=self.port, service=service, options=options,
            most="1" if service == "postscreen" else "-"))
        self.postfix("start")
        self.began()

    def postfix(self, word):
        r = subprocess.run(["postfix", "-c", f"{self.dir}/conf", word], check=False,
                           capture_output=True, text=True)
        if word == "stop":      # it kills one that needs longer than five seconds, if still there
            until("postfix has stopped", 20, lambda: not self.runs(), 0.1)
        else:
            assert r.returncode == 0, f"postfix {word}: {r.stdout}{r.stderr}"

    def runs(self):
        return subprocess.run(["postfix", "-c", f"{self.dir}/conf", "status"], check=False,
                              capture_output=True).returncode == 0

    def mails(self, user="alice"):
        """With KEEPS: all that was delivered, once nothing is queued any more."""
        def whole(name):
            """Postfix answers 250 once a file has this bit: what a killed process left has none."""
            try:
                return os.stat(name).st_mode & 0o100
            except FileNotFoundError:
                return False

        def queued():
            return [f for d in ("maildrop", "incoming", "active", "deferred")
                    for base, _, files in os.walk(f"{self.dir}/queue/{d}") for f in files
                    if whole(f"{base}/{f}")]
        until("Postfix has delivered all", 60, lambda: not queued(), 0.1)
        out = []
        for name in os.scandir(f"{self.dir}/mail/{user}/new"):
            with open(name, "rb") as f:
                out.append(f.read())
        return out

    def close(self):
        if self.runs():
            self.postfix("stop")
        if self.beside is not None:
            self.beside.close()


def passwd(mta, *accounts):
    """
    Copies of /etc/passwd and /etc/group with these accounts, (name, number, home); the shell words
    that put them in place for one process and its children, in a mount namespace of its own.
    """
    for name, line in (("passwd", "{0}:x:{1}:{1}::{2}:/bin/false\n"), ("group", "{0}:x:{1}:\n")):
        with open(f"/etc/{name}", encoding="utf-8") as f:
            known = f.read()
        for a in accounts:
            if f"\n{a[0]}:" not in known:
                known += line.format(*a)
        mta.write(name, known)
    return f"mount --bind {mta.dir}/passwd /etc/passwd && mount --bind {mta.dir}/group /etc/group"


class Unpacked(Mta):
    """A server that runs in the foreground in a mount namespace of its own."""

    def run(self, root, script, *words):
        lib = f"{root}/usr/lib:{root}/usr/lib/{os.uname().machine}-linux-gnu"
        with open(f"{self.dir}/mail.log", "ab") as log:
            self.child = subprocess.Popen(
                ["unshare", "-m", "sh", "-c", f'{script} && exec "$@"', "sh", *words],
                env={**os.environ, "LD_LIBRARY_PATH": lib},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.began()

    def close(self):
        try:
            os.killpg(self.child.pid, signal.SIGTERM)
        except ProcessLookupError:
            pass
        try:
            self.child.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.child.pid, signal.SIGKILL)
            self.child.wait()


EXIM_CONF = """
primary_hostname = mx.example.test
exim_path = {exim}/usr/sbin/exim4
spool_directory = {dir}/spool
log_file_path = {dir}/log-%s
never_users =
keep_environment =
timezone =
daemon_smtp_ports = {port}
local_interfaces = 127.0.0.1
rfc1413_query_timeout = 0s
host_lookup =
tls_advertise_hosts = {tls}
domainlist local_domains = example.test
domainlist relay_to_domains =
hostlist relay_from_hosts = {trusted}
{main}
acl_smtp_rcpt = rcpt
begin acl
rcpt:
  accept hosts = :
  {first}
  require message = relay not permitted
          domains = +local_domains : +relay_to_domains
  require message = unknown user
          local_parts = alice : postmaster
  accept
begin routers
nowhere:
  driver = redirect
  data = :blackhole:
begin authenticators
{authenticators}
"""


class Exim(Unpacked):
    """The access list of Debian's exim4-config, without what needs a name server."""

    name = "exim"

    def __init__(self, trusted="127.0.0.1 : ::::1", main="hosts_proxy = *",
                 first="accept hosts = +relay_from_hosts", authenticators="", tls=""):
        super().__init__()
        conf = self.write("exim.conf", EXIM_CONF.format(
            exim=EXIM, dir=self.dir, port=self.port, trusted=trusted, main=main, first=first,
            authenticators=authenticators, tls=tls))
        os.makedirs(f"{self.dir}/spool")
        for name in (self.dir, f"{self.dir}/spool"):
            os.chown(name, 65533, 65533)
        self.run(EXIM, passwd(self, ("Debian-exim", 65533, "/")),
                 f"{EXIM}/usr/sbin/exim4", "-C", conf, "-bdf")


SMTPD_CONF = """
{main}
table aliases {{ postmaster = alice }}
listen on 127.0.0.1 port {port} hostname mx.example.test {listen}
action "local" maildir "{dir}/mail" alias <aliases>
action "relay" relay host smtp://127.0.0.1:9
{match}
"""


class OpenSmtpd(Unpacked):
    """With the rules of its own example file, or those a test gives."""

    name = "opensmtpd"

    def __init__(self, listen="proxy-v2", main="", match=(
            'match from any for domain "example.test" action "local"',
            'match from local for any action "relay"')):
        super().__init__()
        conf = self.write("smtpd.conf", SMTPD_CONF.format(
            dir=self.dir, port=self.port, listen=listen, main=main, match="\n".join(match)))
        os.chmod(conf, 0o644)
        script = " && ".join([
            passwd(self, ("opensmtpd", 65531, "/var/lib/opensmtpd/empty"),
                   ("opensmtpq", 65530, "/nonexistent"), ("alice", 65529, "/nonexistent")),
            "mount -t tmpfs none /var/spool", "mount -t tmpfs none /var/lib",
            "mount -t tmpfs none /run", "mkdir -p /var/spool/smtpd /var/lib/opensmtpd/empty",
            "chmod 711 /var/spool/smtpd", f"mount --bind {OPENSMTPD}/usr/libexec /usr/libexec"])
        self.run(OPENSMTPD, script, f"{OPENSMTPD}/usr/sbin/smtpd", "-d", "-f", conf)
