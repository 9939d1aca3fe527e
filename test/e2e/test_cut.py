"""
The tunnel is cut in the middle of 1,000 transfers, of passed mail and of held: what was answered
250 is there, whole; who was not answered sees the end of his session and comes again.
"""

import collections
import contextlib
import math
import os
import random
import re
import subprocess
import time

import pytest

from kit.mtas import KEEPS, Postfix
from kit.netns import netns
from kit.passed import header
from kit.ports import free_port
from kit.senders import Senders
from kit.smtp import Client, Closed
from kit.stand import Stand, quickest, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")

# A tunnel that is silent is given up after two intervals of its PING (net/h2.h, H2_PING_MS), and
# before that chosen for nobody once a CONNECT had no answer in connect_timeout, which is looked at
# each second.
SILENT_S = 30
CONNECT_S, LOOKED_S = 5, 1
SLACK_S = 20        # of a machine that stands still; still before it is given up as silent
AT_ONCE_S = 3           # before a CONNECT is given up, on a busy machine too
OURS = "172.17.0.1/16"


class Line:
    """The tunnel's port in this network namespace, whose packets nftables may drop."""

    def __init__(self, port):
        self.nft("add table inet line",
                 "add chain inet line in { type filter hook input priority 0; }")
        self.cut = [f"add rule inet line in tcp {way} {port} drop" for way in ("dport", "sport")]

    @staticmethod
    def nft(*lines):
        subprocess.run(["nft", "-f", "-"], input="\n".join(lines) + "\n", text=True, check=True)

    def pull(self):
        self.nft(*self.cut)

    def plug(self):
        self.nft("flush chain inet line in")


class Place:
    """Edge, home and a Postfix behind it, with one `auto` port, and those who send to it."""

    def __init__(self, stand, mta, where, seed):
        self.stand, self.mta, self.where = stand, mta, where
        self.senders = Senders(where, seed)

    def banner(self, where=None):
        """What a stranger is greeted with, and after how many seconds."""
        began = time.monotonic()
        with Client(where or self.where) as c:
            c.send(header("8.8.4.4", 4321, to_port=25))
            return c.reply().text, time.monotonic() - began

    def passes(self):
        try:
            return "Postfix" in self.banner()[0]
        except (OSError, Closed):
            return False

    def holds_at_once(self):
        text, seconds = self.banner()
        return text.startswith("220 edge.test ") and seconds < AT_ONCE_S

    def wait_passes(self):
        until("it is passed", 60, self.passes, 0.2)

    @contextlib.contextmanager
    def sending(self, n):
        """n more: some are through, and more are in their middle for as long as this lasts."""
        done = self.senders.done
        self.senders.held_from = self.senders.asked + 40
        self.senders.more(n)
        until("transfers are in their middle", 30,
              lambda: self.senders.done > done + 20 and self.senders.in_body > 20)
        yield
        self.senders.held_from = math.inf

    def wait_sent(self, seconds=120):
        until("all was sent", seconds, lambda: self.senders.done == self.senders.asked, 0.05)


PASS = "127.0.0.1", 2525        # in a network namespace, where every port is free


@pytest.fixture(name="place")
def _place(tmp_path):
    port, tunnel = free_port(), free_port()
    seed = int(os.environ.get("SEED") or random.randrange(1 << 24))
    print(f"seed {seed}")
    with netns(OURS), Postfix(KEEPS) as mta, Stand(tmp_path / "stand", opt=[
            f'edge.service.mx.listen={{"127.0.0.1:{port}"}}', "edge.service.mx.mode=auto",
            'edge.service.mx.proxy_from={"127.0.0.1"}', "edge.limits.streams_client=10000",
            f'edge.tunnel.listen={{"127.0.0.1:{tunnel}"}}',
            f"edge.tunnel.address=127.0.0.1:{tunnel}",
            f'edge.service.always.listen={{"{PASS[0]}:{PASS[1]}"}}',
            "edge.service.always.mode=pass",
            'edge.service.always.proxy_from={"127.0.0.1"}',
            f"home.service.mx.backend={mta.where}",
            f"home.service.always.backend={mta.where}"]) as stand:
        made = Place(stand, mta, ("127.0.0.1", port), seed)
        made.line, made.rng = Line(tunnel), random.Random(seed)
        made.wait_passes()
        try:
            yield made
        finally:
            made.senders.close()
            made.line.plug()
        assert stand.complaints() == []


NAME = re.compile(rb"^Message-Id: <([^@]*)@senders.test>\r?$", re.M)


def count(place):
    """Every attempt against every mailbox."""
    place.stand.edge_empty(60)
    place.stand.home_settled(seconds=60)
    here = {"passed": place.mta.mails(), "held": place.stand.mails("alice")}
    seen = collections.Counter()
    for mails in here.values():
        for mail in mails:
            name = NAME.search(mail).group(1).decode()
            assert mail.endswith((b"the end of " + name.encode() + b"\r\n",
                                  b"the end of " + name.encode() + b"\n")), f"{name} is cut"
            seen[name] += 1
    tried = place.senders.attempts
    told = [a for a in tried if a.code == 250]
    figures = {
        "messages": place.senders.asked, "attempts": len(tried), "told 250": len(told),
        "passed": len(here["passed"]), "held": len(here["held"]),
        "sessions that ended early": collections.Counter(
            a.end for a in tried if a.end not in ("quit", "")),
        "in the middle of a passed message": len(
            [a for a in tried if "Postfix" in a.banner and a.code is None and a.end]),
        "here though not answered": len([a for a in tried if a.code is None and seen[a.name]])}
    print("\n".join(f"  {n}: {v}" for n, v in figures.items()))
    assert [a.name for a in told if not seen[a.name]] == [], "lost"
    assert [n for n, times in seen.items() if times > 1] == [], "twice"
    assert [a for a in tried if seen[a.name] and not a.sent] == [], "half of it was taken"
    assert [a for a in tried if a.end == "late"] == [], "it waited for an end that did not come"
    assert len(told) == place.senders.asked, "all were answered in the end"
    return figures


def test_killed(place):
    """SIGKILL of the edge, of home, and of the processes that carry the tunnel."""
    rounds = [("edge",), ("home",), ("edge", "reception"), ("home", "tunnel"), ("home",),
              ("edge",), ("home", "tunnel"), ("edge", "reception")]
    place.rng.shuffle(rounds)
    for target in rounds:
        place.wait_passes()
        with place.sending(1000 // len(rounds)):
            place.stand.kill(*target)
        if len(target) == 1:
            time.sleep(place.rng.uniform(0, 1))
            place.stand.start(*target)
    place.wait_sent()
    figures = count(place)
    assert figures["passed"] > 100 and figures["held"] > 50
    assert figures["in the middle of a passed message"] > 20


def test_pulled(place):
    """All packets of the tunnel are dropped, for a moment and then for longer than it lives."""
    with place.sending(200):
        place.line.pull()
    time.sleep(4)
    place.line.plug()           # TCP has it all again: nobody has seen anything but a pause
    place.wait_sent()
    assert not [a for a in place.senders.attempts if a.end != "quit"]

    with place.sending(600):
        place.line.pull()
    began = time.monotonic()
    until("nobody waits for home any more", CONNECT_S + LOOKED_S + SLACK_S, place.holds_at_once,
          0.1)
    print(f"  held at once after {time.monotonic() - began:.1f} s")
    place.wait_sent(SILENT_S + 30)      # the sessions in their middle were ended, and came again
    print(f"  all were answered after {time.monotonic() - began:.1f} s, without home")
    place.line.plug()
    place.wait_passes()
    with place.sending(200):
        pass
    place.wait_sent()
    figures = count(place)
    assert figures["passed"] > 200 and figures["held"] > 200
    assert figures["in the middle of a passed message"] > 10


def test_a_pulled_line_costs_the_first_caller_his_patience_and_nobody_else_any(place):
    """He is held on the same connection; with `pass` he is told 421, as later with home down."""
    until("that is passed, too", 30, lambda: "Postfix" in place.banner(PASS)[0], 0.2)
    place.line.pull()
    text, seconds = place.banner()
    assert text.startswith("220 edge.test ")
    assert CONNECT_S - 0.5 < seconds < CONNECT_S + LOOKED_S + SLACK_S, seconds

    def held(_):
        assert place.banner()[0].startswith("220 edge.test ")

    def told(_):
        assert place.banner(PASS)[0].startswith("421 4.3.2 ")
    assert quickest(3, held) < AT_ONCE_S and quickest(3, told) < AT_ONCE_S
    place.line.plug()
    until("home is heard, and passed to without another look at its server", 15, place.passes, 0.1)
    assert "tunnel.down" not in place.stand.log("edge")

    place.stand.stop("home")
    assert quickest(3, held) < AT_ONCE_S
    with Client(PASS) as c:
        c.send(header("8.8.4.4", 4321, to_port=25))
        assert c.reply().text.startswith("421 4.3.2 ")
        assert c.closed()
