"""Debian's rspamd with its own configuration: DNS of the test, no Redis, nothing fetched."""

import http.client
import os
import shutil
import signal
import subprocess
import tempfile

from kit.ends import below, kill
from kit.ports import free_port
from kit.stand import until

GTUBE = "XJS*C4JDBQADN1.NSBN3*2IDNEN*GTUBE-STANDARD-ANTI-UBE-TEST-EMAIL*C.34X\r\n"

# The list of top-level domains takes seconds to compile: a short one stands for it.
# By what the network would say a message without a host's name is suspect: let it be.
LOCAL = {
    "options.inc": """
dns {{ nameserver = ["127.0.0.1:{dns}"]; timeout = 5s; retransmits = 3; }}
local_addrs = [];
url_tld = "{dir}/tld";
disable_hyperscan = true;
task_timeout = 30s;
""",
    "actions.conf": "reject = 1000; add_header = 900; greylist = 800;\n",
    "logging.inc": 'type = "file"; filename = "{dir}/log"; level = "info";\n',
    "worker-normal.inc": 'bind_socket = "127.0.0.1:{port}"; count = 1;\n',
    "worker-controller.inc": "enabled = false;\n",
    "worker-proxy.inc": "enabled = false;\n",
    "milter_headers.conf": """
use = ["x-spamd-bar", "x-rspamd-queue-id", "authentication-results"];
skip_local = false;
skip_authenticated = false;
""",
}
NETWORK = ("rbl", "surbl", "fuzzy_check", "asn", "phishing", "mx_check", "dmarc", "dkim",
           "arc", "greylist", "replies", "history_redis", "neural", "ratelimit")


class Rspamd:
    """Usable as a context; dns: the port of who answers at 127.0.0.1."""

    def __init__(self, dns):
        self.dir, self.port = tempfile.mkdtemp(prefix="ph-rspamd-"), free_port()
        local = f"{self.dir}/local.d"
        os.makedirs(local)
        files = dict(LOCAL, **{f"{name}.conf": "enabled = false;\n" for name in NETWORK})
        for name, text in files.items():
            with open(f"{local}/{name}", "w", encoding="ascii") as f:
                f.write(text.format(dir=self.dir, port=self.port, dns=dns)
                        if "{" in text else text)
        with open(f"{self.dir}/tld", "w", encoding="ascii") as f:
            f.write("test\ncom\n")
        for path, _, _ in os.walk(self.dir):
            shutil.chown(path, "nobody", "nogroup")
            os.chmod(path, 0o755)
        self.child = None
        self.start()

    @property
    def where(self):
        return f"127.0.0.1:{self.port}"

    def start(self):
        dirs = [f"--var={name}={self.dir}" for name in
                ("LOCAL_CONFDIR", "DBDIR", "RUNDIR", "LOGDIR")]
        self.child = subprocess.Popen(["rspamd", "-f", "-u", "nobody", "-g", "nogroup", *dirs],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until("rspamd answers", 120, self.answers, 0.1)
        except AssertionError:
            self.kill()
            raise

    def answers(self):
        assert self.child.poll() is None, self.log()
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            c.request("GET", "/ping")
            return c.getresponse().read().startswith(b"pong")
        except (OSError, http.client.HTTPException):
            return False
        finally:
            c.close()

    def pids(self):
        """The parent and its workers."""
        return [self.child.pid, *below(self.child.pid)]

    def log(self):
        try:
            with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def kill(self):
        if self.child is not None:
            kill(self.pids())
            self.child.wait(60)
            self.child = None

    def stop_answering(self):
        """It is there and takes connections, and says nothing."""
        for pid in self.pids():
            os.kill(pid, signal.SIGSTOP)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.kill()
        shutil.rmtree(self.dir, ignore_errors=True)
