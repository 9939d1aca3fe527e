"""
Where held mail ends, for whoever counts it there: home's own Maildirs, Dovecot by LMTP with
the recipe that drops second copies, Postfix by SMTP. The servers can be killed like home, and
each says what alone may make a message come twice.
"""

import json
import os
import re
import signal

from kit.lmtp import Lmtp
from kit.mtas import KEEPS, Postfix
from kit.stand import header, until
from kit.wires import Far

# SMTP can do no better (RFC 1047), and a server that dies may have kept a message twice.
AGAIN = "home had no answer, and sent it again"
ITS_OWN = "the server was killed, and delivered the same again"
FORGOT = "Dovecot was killed before it noted what it had delivered"


def below(pid):
    """The children of a process, theirs, and so on."""
    kids, found = {}, [pid]
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                kids.setdefault(int(f.read().rpartition(")")[2].split()[1]), []).append(int(name))
        except OSError:
            pass
    for p in found:
        found += kids.get(p, [])
    return found[1:]


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def kill(pids):
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


def uncertain(stand, mail):
    """How often home sent this message and had no answer, as its ledger tells."""
    story = json.loads(stand.tool("log", header(mail, "x-posthouse-id"), "-c",
                                  stand.conf("home"), "--json").stdout)
    return sum(e.get("times", 1) for e in story["events"] if e["event"] == "uncertain")


class Maildirs:
    """Exactly once: nothing explains a second copy."""

    opt = ()

    def mails(self, stand, user):
        return stand.mails(user)

    def why_twice(self, stand, copies):
        return None

    def hidden(self):
        return 0

    def close(self):
        pass


class Killable:
    killed = 0

    def kill(self, rng):
        """One of its processes, or all and it starts anew."""
        pid, self.killed = self.pid(), self.killed + 1
        kids = below(pid)
        if rng.random() < 0.6 and kids:
            kill([rng.choice(kids)])
            return
        os.kill(pid, signal.SIGSTOP)        # it makes no more of them
        gone = [pid, *below(pid)]
        kill(gone)
        # Until they are, they have its port and its locks.
        until("they are gone", 20, lambda: not any(map(lives, gone)))
        self.start_again()


class DovecotLmtp(Killable):
    def __init__(self):
        self.server = Lmtp(debug=False)
        self.opt = (f"home.deliver.lmtp=127.0.0.1:{self.server.port}",)

    def pid(self):
        return self.server.child.pid

    def start_again(self):
        self.server.child.wait()
        self.server.start()

    def mails(self, stand, user):
        return self.server.mails(user)

    def why_twice(self, stand, copies):
        if self.killed == 0 or uncertain(stand, copies[0]) < len(copies) - 1:
            return None
        return FORGOT

    def hidden(self):
        """How many second copies the recipe dropped."""
        return self.server.log().count("Marked message to be discarded")

    def close(self):
        self.server.__exit__(None, None, None)


class PostfixSmtp(Killable):
    # What a killed process of its own had in hand it is to try again at once.
    MAIN = (*KEEPS, "minimal_backoff_time = 1s", "maximal_backoff_time = 1s",
            "queue_run_delay = 1s", "transport_retry_time = 1s",
            "smtpd_client_connection_count_limit = 0")

    def __init__(self):
        self.server = Postfix(main=self.MAIN, options="")
        # Answers take a while, so that whoever kills home finds it waiting for one.
        self.wire = Far(("127.0.0.1", self.server.port), 0.01)
        self.opt = (f"home.deliver.smtp=127.0.0.1:{self.wire.where[1]}",)

    def pid(self):
        with open(f"{self.server.dir}/queue/pid/master.pid", encoding="ascii") as f:
            return int(f.read())

    def start_again(self):
        self.server.postfix("start")

    def mails(self, stand, user):
        return self.server.mails(user)

    def why_twice(self, stand, copies):
        ids = {re.search(r"\bid (\w+)", header(m, "received")).group(1) for m in copies}
        if len(ids) < len(copies) and self.killed == 0 or \
                len(ids) - 1 > uncertain(stand, copies[0]):
            return None
        return AGAIN if len(ids) > 1 else ITS_OWN

    def hidden(self):
        return 0

    def close(self):
        self.wire.close()
        self.server.close()


ENDS = {"maildir": Maildirs, "lmtp": DovecotLmtp, "smtp": PostfixSmtp}
