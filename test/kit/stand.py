"""tools/stand, seen from Python; and the mailboxes that mail ends in."""

import email.utils
import json
import os
import re
import signal
import subprocess
import time

from kit.smtp import Client, Closed

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
STAND = os.path.join(TOP, "tools", "stand")
NEVER = re.compile(r"Sanitizer|runtime error:|Assertion .* failed|stack smashing|"
                   r"buffer overflow detected")
ENDED = re.compile(r"\bproc\.end .*again_ms=")


# A machine may be so many times slower than the one that a wait was measured on, and now and then
# stand still for so long: who waits for longer than that waits in vain.
SLOW, STALL_S = 3, 20
SELDOM_S = 0.2
# What is asked for too early is not there yet: a row, a key of it, a file, whoever will listen.
NOT_YET = LookupError, FileNotFoundError, ConnectionError, Closed


def until(what, seconds, fn, step=0.02):
    """
    The first true value of fn(), which is there in `seconds` where nothing else runs; an
    AssertionError that says what never came. It times nothing: who tests a promise in seconds
    asserts them. fn is called ever more seldom, as it takes time from what it waits for. What it
    raises of NOT_YET is raised if it is so to the end.
    """
    seconds = SLOW * seconds + STALL_S
    end = time.monotonic() + seconds
    while True:
        late = time.monotonic() >= end      # before fn: the last call comes after the time
        try:
            value = fn()
        except NOT_YET:
            if late:
                raise
            value = None
        if value:
            return value
        assert not late, f"after {seconds} s still not: {what}"
        time.sleep(step)
        step = max(step, min(step * 1.2, SELDOM_S))


def quickest(times, go):
    """
    The seconds that go(i) took when it was quickest: what is promised in seconds is kept by a
    machine that stalls, too, once in so many times; what is not done in time never is.
    """
    def seconds(i):
        began = time.monotonic()
        go(i)
        return time.monotonic() - began
    return min(seconds(i) for i in range(times))


def posthouse():
    return os.path.abspath(os.environ.get("POSTHOUSE") or os.path.join(TOP, "build", "posthouse"))


def sanitized():
    """A program that keeps what was freed, to find who uses it."""
    with open(posthouse(), "rb") as f:
        return b"__asan_init" in f.read()


class Stand:
    """One stand in a directory of its own; usable as a context."""

    def __init__(self, dir_, *, domain="example.test", users="alice,bob", verdict=0, opt=(),
                 up=True, within=()):
        self.dir, self.domain = str(dir_), domain
        self.within = within        # words that what is started is put behind, as by unshare(1)
        self.killed = False         # one process alone: then "proc.end" is no surprise
        words = ["up", self.dir, "--domain", domain, "--users", users, "--verdict", str(verdict)]
        for o in opt:
            words += ["--opt", o]
        self.env = {}
        if up:
            self.env = self.read_env(self.run(*words, within=within))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.down()

    @staticmethod
    def read_env(text):
        return dict(line.split("=", 1) for line in text.splitlines())

    @staticmethod
    def run(*words, timeout=300, within=()):
        r = subprocess.run([*within, STAND, *words], check=False, capture_output=True, text=True,
                           timeout=timeout)
        if r.returncode != 0:
            raise RuntimeError(r.stderr.strip() or f"stand {' '.join(words)}: {r.returncode}")
        return r.stdout

    def down(self):
        self.run("down", self.dir)

    def stop(self, role):
        self.run("stop", role, self.dir)

    def start(self, role):
        self.run("start", role, self.dir, within=self.within)

    def kill(self, role, *process):
        self.killed |= bool(process)
        self.run("kill", role, self.dir, *process)

    def complaints(self):
        """Lines that no log may have: a sanitizer's, with what it says below it, and a process
        that ended though nobody killed it."""
        found = []
        for name in sorted(os.listdir(self.dir)):
            if name.endswith(".log"):
                lines = self.log(name[:-4]).splitlines()
                for i, line in enumerate(lines):
                    if NEVER.search(line):
                        found.append("\n".join([f"{name}: {line}"] + lines[i + 1:i + 40]))
                    elif ENDED.search(line) and not self.killed:
                        found.append(f"{name}: {line}")
        return found

    def add_home(self, name, domain, users="alice,bob", opt=()):
        words = ["add-home", self.dir, name, "--domain", domain, "--users", users]
        for o in opt:
            words += ["--opt", o]
        return self.read_env(self.run(*words))

    @property
    def smtp(self):
        host, port = self.env["SMTP"].rsplit(":", 1)
        return host, int(port)

    def conf(self, role):
        return os.path.join(self.dir, f"{role}.conf")

    def change(self, role, old, new):
        """The one place of its configuration that says so; taken at its next start, or by hup()."""
        with open(self.conf(role), encoding="utf-8") as f:
            text = f.read()
        assert text.count(old) == 1, (old, text)
        with open(self.conf(role), "w", encoding="utf-8") as f:
            f.write(text.replace(old, new))

    def hup(self, role):
        os.kill(self.pid(role), signal.SIGHUP)

    def log(self, role):
        with open(os.path.join(self.dir, f"{role}.log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def logged(self, role, pattern, at=0):
        """Waits for it in the log, from character at on: an effect may be seen before its line."""
        until(f"{role} logs {pattern}", 10, lambda: re.search(pattern, self.log(role)[at:]))

    def pid(self, role):
        with open(os.path.join(self.dir, f"{role}.pid"), encoding="ascii") as f:
            return int(f.read().split()[0])

    # posthouse's own commands

    def tool(self, *words, check=True, text=True, **kw):
        r = subprocess.run([posthouse(), *words], check=False, capture_output=True, text=text,
                           timeout=420, **kw)       # an interlock's whole test may take 300
        if check:
            assert r.returncode == 0, \
                f"posthouse {' '.join(words)}: {r.returncode}\n{r.stdout}{r.stderr}"
        return r

    def status(self, role):
        return json.loads(self.tool("status", "-c", self.conf(role), "--json").stdout)

    def queue(self, role):
        return json.loads(self.tool("queue", "-c", self.conf(role), "--json").stdout)

    def cat(self, role, id_):
        return self.tool("cat", id_, "-c", self.conf(role), text=False).stdout

    def counter(self, role, name):
        return self.status(role)["counters"][name]

    def policy_says(self, keyword, seconds=10):
        def known():
            with Client(self.smtp) as c:
                return keyword in c.hello().text
        until(f"{keyword} is offered by the edge", seconds, known)

    def wait_policy(self, seconds=10):
        """Until the edge knows what its homes honour: it offers more than without policy."""
        self.policy_says("SMTPUTF8", seconds)

    def edge_empty(self, seconds=30):
        until("edge's queue is empty", seconds, lambda: self.queue("edge") == [])

    def home_settled(self, role="home", seconds=30):
        def settled():
            return not [o for o in self.queue(role) if o["state"] not in ("parked", "delivered")]
        until(f"{role}'s queue is settled", seconds, settled)

    # keys

    def recipient(self, key=None):
        with open(key or self.env["AGE_KEY"], encoding="ascii") as f:
            r = subprocess.run(["age-keygen", "-y"], input=f.read(), check=True,
                               capture_output=True, text=True)
        return r.stdout.strip()

    def age_open(self, sealed, key=None):
        """The object as the age program reads it."""
        r = subprocess.run(["age", "-d", "-i", key or self.env["AGE_KEY"]], input=sealed,
                           check=False, capture_output=True)
        assert r.returncode == 0, r.stderr.decode()
        return r.stdout

    # mailboxes

    def files(self, user, maildir=None):
        base, out = os.path.join(maildir or self.env["MAILDIR"], user), []
        for sub in ("new", "cur"):
            try:
                out += [os.path.join(base, sub, n)
                        for n in sorted(os.listdir(os.path.join(base, sub)))]
            except FileNotFoundError:
                pass
        return out

    def mails(self, user, maildir=None):
        out = []
        for name in self.files(user, maildir):
            try:
                with open(name, "rb") as f:
                    out.append(f.read())
            except FileNotFoundError:       # a reader moved it meanwhile
                pass
        return out

    def wait_mails(self, user, n, seconds=20, maildir=None):
        until(f"{n} messages for {user} (there are {len(self.files(user, maildir))})", seconds,
              lambda: len(self.files(user, maildir)) >= n)
        found = self.mails(user, maildir)
        assert len(found) == n, f"{len(found)} messages for {user}, not {n}"
        return found

    def wait_marked(self, user, mark, n=1, seconds=20, maildir=None):
        """The n messages that hold the octets of mark; no more than n of them."""
        mark = mark.encode() if isinstance(mark, str) else mark

        def have():
            return [m for m in self.mails(user, maildir) if mark in m]
        until(f"{n} messages with {mark!r} for {user}", seconds, lambda: len(have()) >= n)
        assert len(have()) == n
        return have()


def headers(mail):
    """The header section as a list of (lower-case name, unfolded value)."""
    out = []
    for line in re.split(rb"\n(?![ \t])", mail.partition(b"\n\n")[0]):
        name, _, value = line.partition(b":")
        out.append((name.decode("latin-1").lower(),
                    re.sub(rb"\n[ \t]+", b" ", value).strip().decode("latin-1")))
    return out


def header(mail, name):
    return next((v for k, v in headers(mail) if k == name.lower()), None)


def message(subject="hello", body="hello\r\n", extra=""):
    return (f"From: <a@client.test>\r\nTo: <alice@example.test>\r\nSubject: {subject}\r\n"
            f"Date: {email.utils.formatdate()}\r\n{extra}\r\n{body}").encode()
