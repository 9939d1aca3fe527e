"""
A hunt for open relays, as strangers on the internet run it: swaks with every form of address, and
nmap's smtp-open-relay, at the edge's public port 25, held and passed.
"""

import os
import re
import shutil
import subprocess

import pytest

from kit.mtas import Postfix
from kit.netns import NEAR, internet
from kit.smtp import Client
from kit.stand import until

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace"),
    pytest.mark.skipif(shutil.which("nmap") is None, reason="nmap is not here: tools/need test"),
]

CLIENTS = "8.8.4.4", "2001:4860:4860::8844"
FAR = "foreign.test"

# Sender and recipient of each try; none may leave this machine.
FORMS = {
    "a foreign domain": ("a@client.test", f"x@{FAR}"),
    "its own domain": (f"x@{FAR}", f"x@{FAR}"),
    "as one of ours": ("alice@example.test", f"x@{FAR}"),
    "as our postmaster": ("postmaster@example.test", f"x@{FAR}"),
    "null sender": ("<>", f"x@{FAR}"),
    "percent": ("a@client.test", f"x%{FAR}@example.test"),
    "percent at another": ("a@client.test", f"x%{FAR}@client.test"),
    "bang": ("a@client.test", f"{FAR}!x@example.test"),
    "bang alone": ("a@client.test", f"{FAR}!x"),
    "source route": ("a@client.test", f"@example.test:x@{FAR}"),
    "quoted": ("a@client.test", f'"x@{FAR}"@example.test'),
    "quoted alone": ("a@client.test", f'"x@{FAR}"'),
    "two at signs": ("a@client.test", f"x@{FAR}@example.test"),
    "address literal": ("a@client.test", "x@[192.0.2.1]"),
    "our address": ("a@client.test", f"x@[{NEAR[0]}]"),
    "percent at our address": ("a@client.test", f"x%{FAR}@[{NEAR[0]}]"),
    "IPv6 literal": ("a@client.test", "x@[IPv6:2001:db8::1]"),
    "postmaster elsewhere": ("a@client.test", f"postmaster@{FAR}"),
    "a name below ours": ("a@client.test", "x@mail.example.test"),
    "a name that begins as ours": ("a@client.test", f"x@example.test.{FAR}"),
}


@pytest.fixture(name="world")
def world_fixture():
    with internet(*CLIENTS) as beyond:
        yield beyond


def public(make_stand, mode, *opt):
    return make_stand(opt=[f'edge.service.mx.listen={{"{NEAR[0]}:25", "[{NEAR[1]}]:25"}}',
                           f"edge.service.mx.mode={mode}", *opt])


def swaks(world, client, sender, rcpt, mark):
    """How it ended: "sent", or "refused" at RCPT, DATA or by the last reply."""
    near = NEAR[":" in client]
    r = world.run("swaks", "--server", f"[{near}]" if ":" in near else near, "--port", "25",
                  "--local-interface", client, "-6" if ":" in client else "-4",
                  "--helo", "hunter.test", "--from", sender, "--to", rcpt,
                  "--header", f"Subject: {mark}")
    if r.returncode == 0:
        return "sent"
    assert r.returncode in (24, 25, 26), (rcpt, r.returncode, r.stdout, r.stderr)
    assert re.search(r"^<\*\* +(5\d\d|454) ", r.stdout, re.M), r.stdout
    return "refused"


def nmap(world, *words):
    r = world.run("nmap", "-n", "-Pn", "-sT", "-vv", "--script-timeout", "150s", *words)
    said = re.search(r"smtp-open-relay: *(.*(?:\n\|.*)*)", r.stdout)
    assert said, r.stdout + r.stderr
    return said.group(1)


def hunt(world, mark):
    """Each form from one stranger or the other; those that were taken."""
    taken = {name for n, (name, (sender, rcpt)) in enumerate(FORMS.items())
             if swaks(world, CLIENTS[n % 2], sender, rcpt, mark) == "sent"}
    for words in ([NEAR[0]], ["-6", NEAR[1]]):
        said = nmap(world, "-p", "25", "--script", "smtp-open-relay", *words)
        assert said.startswith("Server doesn't seem to be an open relay, all tests failed"), said
    return taken


def test_held(world, make_stand, mark):
    """What names our domain after the last @ is judged by our mailboxes, and is nobody's."""
    stand = public(make_stand, "hold")
    stand.wait_policy()
    assert swaks(world, CLIENTS[0], "a@client.test", "alice@example.test", f"{mark}-ok") == "sent"
    stand.wait_marked("alice", f"{mark}-ok")
    assert hunt(world, mark) == set()
    stand.edge_empty()
    until("home keeps nothing", 20, lambda: stand.queue("home") == [])


def test_held_for_a_catch_all(world, make_stand, mark):
    """Who takes mail for any name gets what is ours after the last @, and sends nothing on."""
    stand = public(make_stand, "hold", "home.mailboxes.catch_all=bob")
    stand.wait_policy()
    ours = hunt(world, mark)
    assert ours == {"percent", "bang", "quoted"}
    stand.edge_empty()
    stand.home_settled()
    assert len(stand.wait_marked("bob", mark, len(ours))) == len(ours)


def test_passed(world, make_stand, mark):
    with Postfix(["smtpd_error_sleep_time = 0"]) as mta:
        public(make_stand, "pass", f"home.service.mx.backend={mta.where}")

        def passes():
            with Client.on(world.connect(CLIENTS[0], 25)) as c:
                return "Postfix" in c.line()
        until("the interlock has cleared it", 60, passes, 0.2)
        assert hunt(world, mark) == set()
        for client in CLIENTS:      # it was they whom it refused
            mta.logged(rf"NOQUEUE: reject: RCPT from unknown\[{client}\]: .* Relay access denied")
        log = mta.log()
        assert "queued as" not in log and "relay=" not in log, log
        assert swaks(world, CLIENTS[1], "a@client.test", "alice@example.test", mark) == "sent"
        mta.logged("to=<alice@example.test>")


def test_the_hunters_know_a_relay(world):
    """Without an edge before it: what they say of a server that relays for all."""
    with Postfix(["mynetworks = 0.0.0.0/0"], options="") as mta:
        said = subprocess.run(["nmap", "-n", "-Pn", "-sT", "-p", str(mta.port), "--script",
                               "+smtp-open-relay", "127.0.0.1"], check=True, timeout=180,
                              capture_output=True, text=True).stdout
        assert re.search(r"smtp-open-relay: Server is an open relay \(\d+/16 tests\)", said), said
