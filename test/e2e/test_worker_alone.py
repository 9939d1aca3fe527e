"""No VPS: a Worker brings its mail by SMTP straight to a port of home's own machine, as
worker/README.md ("A port at home") and packaging's edge-at-home.conf tell people to."""

import base64
import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import tomllib

import pytest

from kit.certs import own_ca
from kit.drained import write_key
from kit.ports import free_port
from kit.smtp import Client
from kit.stand import NEVER, TOP, header, message, posthouse, until
from kit.worker import Worker, r2_store, runtime_missing

NAME, TO = "worker.example.test", "alice@example.test"
ID = "0193e4a0-5c1f-8c62-9a55-3f0d7c8c2a1%x"
TRACE = b"Received: from mail.far.test (9.9.9.9)\r\n\tby cloudflare-email.net (c) id x; d\r\n"
FILTER = os.path.join(TOP, "packaging", "fail2ban", "posthouse-edge.conf")
needs_runtime = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())


class Machine:
    """A home and an edge beside it, set up by those steps."""

    def __init__(self, dir_):
        self.dir, self.port, tunnel = dir_, free_port(), free_port()
        self.children, self.store = {}, r2_store()
        own_ca(dir_, "localhost")
        self.secret = write_key(dir_, "s3.keys", f"{self.store.key}\n{self.store.secret}")
        os.makedirs(f"{dir_}/mail", 0o700)
        with open(os.path.join(TOP, "packaging", "edge-at-home.conf"), encoding="ascii") as f:
            text = f.read()
        for here, there in ((f"{dir_}/localhost.pem", "/etc/.*/fullchain.pem"),
                            (f"{dir_}/localhost.key", "/etc/.*/privkey.pem"),
                            ("localhost", r"(?<=hostname = \")[^\"]+"),
                            (f"127.0.0.1:{self.port}", r"\[::\]:587"),
                            (f"127.0.0.1:{tunnel}", r"127\.0\.0\.1:7443")):
            text, n = re.subn(there, here, text)
            assert n > 0, there
        self.write("edge", text)
        self.write("home", f"""worker "{NAME}" {{
    domains = {{"example.test"}}  edges = {{"localhost"}}  smtp = "localhost:{self.port}"
}}
bucket "r2" {{
    endpoint = "{self.store.endpoint}"  bucket = "{self.store.name}"  poll = 1s
    credentials = "{self.secret}"
}}
deliver {{ maildir = "{dir_}/mail" }}
mailboxes {{ users = {{"alice"}} }}
""")
        for role in ("edge", "home"):
            self.tool(role, "keygen")
        self.start("edge")
        line = self.tool("edge", "pair", "home", "example.test").stdout
        self.tool("home", "pair", input=line)
        self.start("home")
        with open(f"{dir_}/home/worker-{NAME}.smtp", encoding="ascii") as f:
            self.password = f.read().strip()
        until("the edge knows the Worker", 20, self.lets_it_in, 0.2)

    def write(self, role, text):
        with open(f"{self.dir}/{role}.conf", "w", encoding="ascii") as f:
            f.write(f'{text}\nstate = "{self.dir}/{role}"\ncontrol = "{self.dir}/{role}.sock"\n'
                    'user = ""\n')

    def tool(self, role, *words, **kw):
        return subprocess.run([posthouse(), words[0], "-c", f"{self.dir}/{role}.conf", *words[1:]],
                              check=True, capture_output=True, text=True, timeout=60, **kw)

    def status(self, role):
        return json.loads(self.tool(role, "status", "--json").stdout)

    def queue(self, role):
        return json.loads(self.tool(role, "queue", "--json").stdout)

    def start(self, role):
        with open(f"{self.dir}/{role}.log", "ab") as log:
            self.children[role] = subprocess.Popen(
                [posthouse(), role, "-c", f"{self.dir}/{role}.conf"], stdout=log, stderr=log)
        until(f"{role} answers", 20, lambda: subprocess.run(
            [posthouse(), "status", "-c", f"{self.dir}/{role}.conf"], check=False,
            capture_output=True).returncode == 0, 0.1)

    def stop(self, role):
        child = self.children.pop(role)
        child.terminate()
        assert child.wait(90) == 0

    def log(self, role):
        with open(f"{self.dir}/{role}.log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def login(self, password, helo="client.test"):
        with Client(("127.0.0.1", self.port)) as c:
            c.hello(helo)
            c.starttls()
            said = base64.b64encode(f"\0{NAME}\0{password}".encode()).decode()
            return c.cmd(f"AUTH PLAIN {said}").code

    def lets_it_in(self):
        return self.login(self.password) == 235

    def marked(self, mark):
        base = f"{self.dir}/mail/alice/new"
        found = []
        for name in os.listdir(base) if os.path.isdir(base) else []:
            with open(f"{base}/{name}", "rb") as f:
                if mark.encode() in (text := f.read()):
                    found.append(text)
        return found

    def wait_marked(self, mark, n=1):
        until(f"{n} of {mark}", 20, lambda: len(self.marked(mark)) >= n, 0.1)
        return self.marked(mark)

    def settled(self):
        until("nobody holds anything", 20, lambda: self.queue("edge") == [] and
              not [o for o in self.queue("home") if o["state"] != "delivered"], 0.1)

    def end(self):
        for role in list(self.children):
            self.stop(role)
        assert not NEVER.search(self.log("edge") + self.log("home"))


@pytest.fixture(scope="module", name="machine")
def running():
    dir_ = tempfile.mkdtemp(prefix="ph-alone-")
    machine = None
    try:
        machine = Machine(dir_)
        yield machine
    finally:
        if machine is None:
            for role in ("edge", "home"):
                with contextlib.suppress(OSError), open(f"{dir_}/{role}.log",
                                                        encoding="utf-8") as f:
                    print(f"--- {role}\n{f.read()[-4000:]}")
        else:
            machine.end()
        shutil.rmtree(dir_, ignore_errors=True)


@pytest.fixture(name="worker")
def worker_as_configured(machine):
    """As `worker-config` prints it, and with the secrets from the files that it names."""
    said = machine.tool("home", "worker-config")
    bound = tomllib.loads(said.stdout)["vars"]
    assert bound["WAYS"] == "smtp r2" and bound["SMTP_PORT"] == str(machine.port)
    for secret in ("MAC_KEY", "SMTP_PASSWORD"):
        path, = re.findall(rf"head -n 1 (\S+) \| npx wrangler secret put {secret}\n", said.stderr)
        with open(path, encoding="ascii") as f:
            bound[secret] = f.readline().strip()
    with Worker(bound.pop("RECIPIENTS"), ca=f"{machine.dir}/ca.pem", store=machine.store,
                **bound) as worker:
        yield worker


def mail_file(tmp_path, mark, n):
    path = tmp_path / f"mail{n}"
    path.write_bytes(f"X-Posthouse-Id: {ID % n}\r\n".encode() + message(subject=mark))
    return str(path)


def test_there_is_nothing_to_complain_about(machine):
    for role in ("edge", "home"):
        alarms = [a for a in machine.status(role)["alarms"] if "bucket" not in a]
        assert alarms == [], (role, alarms)


@needs_runtime
def test_the_worker_pushes_to_home(machine, worker, mark):
    assert worker.email("a@far.test", TO, TRACE + message(subject=mark))["outcome"] == "accept"
    mail, = machine.wait_marked(mark)
    assert header(mail, "received").startswith("from mail.far.test (unknown [9.9.9.9])")
    assert worker.bucket() == []
    for to, outcome in (("nobody@example.test", "reject"), ("a@elsewhere.test", "reject")):
        assert worker.email("a@far.test", to, message(subject=mark))["outcome"] == outcome
    machine.settled()


@needs_runtime
def test_home_restarts_and_then_the_whole_machine(machine, worker, mark):
    """What comes meanwhile waits: beside home, or in the bucket; each message is there once."""
    machine.stop("home")
    first = message(subject=f"{mark}-beside")
    for _ in range(2):
        assert worker.email("a@far.test", TO, first)["outcome"] == "accept"
    assert len(machine.queue("edge")) == 1 and worker.bucket() == []
    machine.stop("edge")
    assert worker.email("a@far.test", TO, message(subject=f"{mark}-away"))["outcome"] == "accept"
    assert worker.email("a@far.test", TO, first)["outcome"] == "accept"     # now in both places
    assert len(worker.bucket()) == 2
    machine.start("edge")
    machine.start("home")
    machine.wait_marked(mark, 2)
    until("the bucket is empty", 20, lambda: worker.bucket() == [], 0.2)
    machine.settled()
    assert len(machine.marked(mark)) == 2


def test_swaks_and_curl_with_its_password(machine, mark, tmp_path):
    r = subprocess.run(
        ["swaks", "--server", "127.0.0.1", "--port", str(machine.port), "--tls", "--auth", "LOGIN",
         "--auth-user", NAME, "--auth-password", machine.password, "--from", "a@far.test",
         "--to", TO, "--data", "@" + mail_file(tmp_path, mark, 1)],
        check=False, capture_output=True, text=True, timeout=180)
    assert r.returncode == 0, r.stdout + r.stderr
    url = f"smtp://localhost:{machine.port}/client.test"
    curl = ["curl", "-sS", "--max-time", "60", "--ssl-reqd", "--cacert", f"{machine.dir}/ca.pem",
            "--mail-from", "a@far.test", "-T", mail_file(tmp_path, mark, 2), url]
    r = subprocess.run([*curl, "-u", f"{NAME}:{machine.password}", "--mail-rcpt", TO],
                       check=False, capture_output=True, text=True, timeout=180)
    assert r.returncode == 0, r.stderr
    machine.wait_marked(mark, 2)
    for words in (["--mail-rcpt", TO],                                          # nobody logs in
                  ["-u", f"{NAME}:{machine.password}", "--mail-rcpt", "a@elsewhere.test"]):
        r = subprocess.run([*curl, *words], check=False, capture_output=True, timeout=180)
        assert r.returncode != 0
    machine.settled()
    assert len(machine.marked(mark)) == 2


def test_fail2ban_finds_wrong_passwords_and_nothing_else(machine, tmp_path):
    if shutil.which("fail2ban-regex") is None:
        pytest.skip("no fail2ban here")
    def failed():
        return sum("smtp.login_failed" in line for line in machine.log("edge").splitlines())
    before = failed()
    for _ in range(3):
        assert machine.login("0" * 64, helo="smtp.login_failed.peer=8.8.8.8.code=535") == 535
    assert machine.lets_it_in()
    until("all three are in the log", 10, lambda: failed() >= before + 3)
    assert failed() == before + 3
    lines = machine.log("edge").splitlines()
    log = tmp_path / "journal"      # journald puts the time in front of a line
    log.write_text("".join(f"Nov 21 20:30:00 mail posthouse[7]: {line}\n" for line in lines),
                   "utf-8")
    r = subprocess.run(["fail2ban-regex", "--print-all-matched", str(log), FILTER], check=False,
                       capture_output=True, text=True, timeout=180)
    found = sum("code=535" in line for line in lines)
    assert re.search(rf"Lines: \d+ lines, 0 ignored, {found} matched", r.stdout), r.stdout
    assert found >= 3 and "8.8.8.8" not in re.sub(r".*peer=127\.0\.0\.1.*", "", r.stdout)
