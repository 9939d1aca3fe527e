"""Mail servers that lie, change their minds or never end: clear words, bounded cost, mail kept."""

import re

import pytest

from kit.held import delivered, opts, send
from kit.liar import HANG_UP, Server
from kit.stand import until

BOTH = "alice@example.test", "bob@example.test"


def at(verb, *replies):
    """What is said to this verb the first time, the second and so on; then the usual."""
    left = list(replies)
    return lambda heard, session: left.pop(0) if heard == verb and left else None


def got(server):
    """How often each recipient's copy was kept."""
    all_ = [r for m in server.mails for r in m[0]]
    return {r: all_.count(r) for r in sorted(set(all_))}


# What the server says, and whether it is LMTP.
LIES = {
    "4xx, and the next time it takes it": (
        at(b"RCPT", b"450 4.2.0 greylisted\r\n", b"450 4.2.0 greylisted\r\n"), False),
    "a reply for one of two recipients, then it hangs up": (
        at(b".", b"250 2.0.0 kept\r\n", HANG_UP), True),
    "two replies where there should be one": (
        at(b".", b"250 2.0.0 kept\r\n250 2.0.0 kept\r\n"), False),
    "a reply too many by LMTP": (
        at(b".", None, b"250 2.0.0 kept\r\n250 2.0.0 and another\r\n"), True),
    "a greeting with lines for ever": (
        at(b"GREETING", b"220-more\r\n" * 100000), False),
    "EHLO with lines for ever": (
        at(b"EHLO", b"250-more\r\n" * 100000), False),
    "a line that does not end": (at(b"GREETING", b"220 " + b"x" * 1000000), False),
    "no SMTP at all": (at(b"GREETING", b"HTTP/1.1 400 Bad Request\r\n\r\n"), False),
    "354 for the message's answer": (at(b".", b"354 go on\r\n"), False),
    "2xx for DATA": (at(b"DATA", b"250 2.0.0 I have it already\r\n"), False),
    "it hangs up at the end of data": (at(b".", HANG_UP), False),
}


@pytest.mark.parametrize("lie", LIES)
def test_nothing_is_lost_by(make_stand, mark, lie):
    says, lmtp = LIES[lie]
    with Server(says, lmtp=lmtp) as server:
        stand = make_stand(opt=opts(f"{'lmtp' if lmtp else 'smtp'}={server.where}",
                                    "connections=1"))
        send(mark, BOTH)
        delivered(stand, 2)
        assert sorted(got(server)) == list(BOTH)
        # A second copy only where it cannot be told, and under the same id.
        ids = {re.search(rb"X-Posthouse-Id: (\S+)", m[1]).group(1) for m in server.mails}
        assert len(ids) == 1
        if len(server.mails) > (2 if lmtp else 1):
            stand.logged("home", r"mail\.uncertain")
        with open(f"/proc/{courier(stand)}/status", encoding="ascii") as f:
            assert int(re.search(r"VmHWM:\s+(\d+)", f.read()).group(1)) < 64 << 10


def courier(stand):
    return next(p["pid"] for p in stand.status("home")["processes"] if p["name"] == "courier")


def test_4xx_and_then_5xx_is_parked_with_the_last_word(make_stand, mark):
    says = at(b"RCPT", b"451 4.3.0 not now\r\n", b"552 5.2.2 the mailbox is full\r\n")
    with Server(says) as server:
        stand = make_stand(opt=opts(f"smtp={server.where}"))
        send(mark)
        until("it is parked", 20, lambda: [o["state"] for o in stand.queue("home")] == ["parked"])
        o, = stand.queue("home")
        assert o["tries"] == 1 and server.mails == []
        assert "the mailbox is full" in stand.tool("show", o["id"], "-c",
                                                   stand.conf("home")).stdout


def test_a_server_that_offers_less_from_one_connection_to_the_next_is_believed(make_stand, mark):
    def less(verb, session):
        return b"250 liar.test\r\n" if verb == b"EHLO" and session.number > 1 else None

    with Server(less) as server:
        stand = make_stand(opt=opts(f"smtp={server.where}", "connections=1"))
        send(mark)
        delivered(stand)
        stand.kill("home", "courier")
        send(mark)
        delivered(stand, 2)
        said = [" SIZE=" in line.decode() for _, line in server.heard if line.startswith(b"MAIL")]
        assert said == [True, False] and len(server.mails) == 2
