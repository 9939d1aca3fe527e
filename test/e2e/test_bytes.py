"""Octets: each reaches the mailbox as it was, or the whole message is refused with words."""

import random
import re

import pytest

from kit.smtp import Client, Closed, send_mail
from kit.stand import message, sanitized, until

ODD = {
    "dots": b".\r\n..\r\n...x\r\n.leading\r\n\r\n.\r\n",
    "every octet but NUL, CR, LF": bytes(b for b in range(1, 256) if b not in (10, 13)) + b"\r\n",
    "no header at all": b"\r\nbody only\r\n",
    "998 octets a line": (b"x" * 998 + b"\r\n") * 3,
    "a line of 100,000": b"y" * 100000 + b"\r\n",
    "empty lines": b"\r\n" * 500,
    "From_ lines": b"\r\nFrom me to you\r\nFrom  x\r\n>From\r\n",
    "boundary of 64 KiB": b"z" * (65536 - 400) + b"\r\n" + b"0123456789abcdef\r\n" * 200,
    "folded header": b"Subject: a\r\n b\r\n\tc\r\nX: \xff\xfe\r\n\r\nz\r\n",
    "looks like SMTP": b"\r\nQUIT\r\nDATA\r\nBDAT 5 LAST\r\n",
    "looks like age": b"age-encryption.org/v1\n"[:-1] + b"\r\n-> X25519 abc\r\n---\r\n",
}


@pytest.mark.parametrize("how", ["data", "bdat 1", "bdat 7", "bdat all"])
@pytest.mark.parametrize("name", ODD)
def test_byte_for_byte(shared, name, how):
    if how == "bdat 1" and len(ODD[name]) > 2000:
        octets = b"X-Test: %s\r\n" % name.encode()
        octets += ODD[name][:1000].rpartition(b"\r\n")[0] + b"\r\n"
    else:
        octets = ODD[name]
    known = set(shared.files("alice"))
    chunk = {"data": 0, "bdat 1": 1, "bdat 7": 7, "bdat all": 1 << 30}[how]
    assert send_mail(shared.smtp, octets, chunk=chunk, params=" BODY=8BITMIME").code == 250
    new = arrived(shared, known)
    assert new.endswith(octets.replace(b"\r\n", b"\n"))
    top = new[:len(new) - len(octets.replace(b"\r\n", b"\n"))]
    assert re.fullmatch(rb"(?:[A-Za-z-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)+", top), top


def arrived(stand, known):
    """The one file that is new."""
    until("a new message", 20, lambda: set(stand.files("alice")) - known)
    name, = set(stand.files("alice")) - known
    with open(name, "rb") as f:
        return f.read()


def test_crlf_across_every_chunk_edge(shared):
    """CR at the end of one chunk and LF at the start of the next, for
    each cut of a small message."""
    octets = b"A: b\r\n\r\n.\r\n..\r\nend\r\n"
    for cut in range(1, len(octets)):
        known = set(shared.files("alice"))
        with Client(shared.smtp) as c:
            c.hello()
            c.begin("s@client.test", ["alice@example.test"])
            c.send(b"BDAT %d\r\n%s" % (cut, octets[:cut]))
            assert c.reply().code == 250
            c.send(b"BDAT %d LAST\r\n%s" % (len(octets) - cut, octets[cut:]))
            assert c.reply().code == 250
        assert arrived(shared, known).endswith(octets.replace(b"\r\n", b"\n")), cut


def test_bdat_last_of_nothing(shared, mark):
    with Client(shared.smtp) as c:
        c.hello()
        c.begin("s@client.test", ["alice@example.test"])
        octets = message(subject=mark)
        c.send(b"BDAT %d\r\n%sBDAT 0 LAST\r\n" % (len(octets), octets))
        assert [c.reply().code, c.reply().code] == [250, 250]
    shared.wait_marked("alice", mark)


def test_random_messages_in_random_chunks(shared):
    rng = random.Random(20261121)
    for _ in range(20):
        lines = [bytes(rng.choice(b"ab.\t \x80\xff") for _ in range(rng.randrange(0, 60)))
                 for _ in range(rng.randrange(1, 60))]
        octets = b"".join(ln + b"\r\n" for ln in lines)
        known = set(shared.files("alice"))
        assert send_mail(shared.smtp, octets, chunk=rng.randrange(0, 90),
                         params=" BODY=8BITMIME").code == 250
        assert arrived(shared, known).endswith(octets.replace(b"\r\n", b"\n"))


@pytest.mark.parametrize("chunk", [0, 10])
def test_nul_is_refused(shared, mark, chunk):
    r = send_mail(shared.smtp, message(subject=mark, body="a\0b\r\n"), chunk=chunk)
    assert r.code == 554 and " 5.6.0 " in r.text, r.text


BARE = {
    "LF": b"a\nb\r\n", "CR": b"a\rb\r\n", "LF dot LF": b"a\n.\nMAIL FROM:<x@y>\r\n",
    "LF dot CRLF": b"a\n.\r\nMAIL FROM:<x@y>\r\n", "CR dot CR": b"a\r.\rx\r\n",
    "CRLF dot LF": b"a\r\n.\nx\r\n", "CRLF dot CR": b"a\r\n.\rx\r\n", "CR CRLF": b"a\r\r\nb\r\n",
    "CR dot CRLF": b"a\r.\r\nb\r\n",
}


def raw_data(where, body, mark):
    """DATA with these very octets and a true end; the reply to the end, and that
    nothing was read as a command."""
    with Client(where) as c:
        c.hello()
        c.begin("s@client.test", ["alice@example.test"])
        c.ok("DATA", 354)
        c.send(b"Subject: %s\r\n\r\n" % mark.encode() + body + b"\r\n.\r\n")
        first = c.reply()
        try:
            c.send(b"NOOP\r\n")
            second = c.reply()
        except (Closed, OSError):
            return first
        assert second.text.startswith("250 2.0.0") or second.code == 421, \
            f"{first.text} then {second.text}"
        return first


@pytest.mark.parametrize("name", BARE)
def test_bare_line_ends_are_refused(shared, mark, name):
    r = raw_data(shared.smtp, BARE[name], mark)
    assert 500 <= r.code < 600 and re.search(r" 5\.6\.\d+ ", r.text), r.text


def test_bare_lf_in_a_chunk_is_refused(shared, mark):
    r = send_mail(shared.smtp, message(subject=mark).replace(b"hello\r\n", b"hello\n"), chunk=9)
    assert 500 <= r.code < 600, r.text


def test_bare_lf_in_a_command_is_no_line_end(shared):
    with Client(shared.smtp) as c:
        c.hello()
        c.send(b"NOOP\nNOOP\r\n")
        assert 500 <= c.reply().code < 600


def test_normalize(make_stand, mark):
    stand = make_stand(opt=["edge.bare_lf=normalize"])
    for n, (name, body) in enumerate(BARE.items()):
        r = raw_data(stand.smtp, body, f"{mark}-{n}-")
        assert r.code == 250, f"{name}: {r.text}"
        mail, = stand.wait_marked("alice", f"{mark}-{n}-")
        assert b"\r" not in mail
        # Nothing of the message was lost, nothing of it ended the data.
        assert mail.partition(b"\n\n")[2].replace(b"\n", b"").replace(b".", b"") == \
            body.replace(b"\r", b"").replace(b"\n", b"").replace(b".", b""), name
    assert stand.counter("edge", "bare_lf_normalized") > 0


def test_loop_guard(shared):
    octets = b"Received: from a by b; x\r\n" * 101 + b"\r\nloop\r\n"
    for chunk in (0, 1000):
        r = send_mail(shared.smtp, octets, chunk=chunk)
        assert r.code == 554 and " 5.4.6 " in r.text, r.text
    assert send_mail(shared.smtp, b"Received: from a by b; x\r\n" * 60
                     + b"\r\nfine\r\n").code == 250


def test_size(make_stand):
    stand = make_stand(opt=["edge.limits.size=64K"])
    with Client(stand.smtp) as c:
        c.hello()
        r = c.cmd("MAIL FROM:<s@client.test> SIZE=70000")
        assert r.code == 552 and " 5.3.4 " in r.text, r.text
    octets = message(body="x" * 70 + "\r\n") + b"y" * 78 + b"\r\n"
    octets += (b"y" * 78 + b"\r\n") * 900
    r = send_mail(stand.smtp, octets)
    assert r.code == 552 and " 5.3.4 " in r.text, r.text
    r = send_mail(stand.smtp, octets, chunk=8000)
    assert r.code == 552, r.text
    assert stand.queue("edge") == []


def peaks(stand):
    """The most memory that each process ever had, in KiB."""
    found = {}
    for role in ("edge", "home"):
        for p in stand.status(role)["processes"]:
            with open(f"/proc/{p['pid']}/status", encoding="ascii") as f:
                found[role, p["name"]] = next(int(line.split()[1]) for line in f
                                              if line.startswith("VmHWM"))
    return found


def test_a_large_message_is_nowhere_whole_in_memory(make_stand, mark):
    stand = make_stand(opt=["edge.limits.size=50M"])
    octets = message(subject=mark) + (b"z" * 1022 + b"\r\n") * (40 << 10)
    send_mail(stand.smtp, message())
    stand.wait_mails("alice", 1)
    before = peaks(stand)
    assert send_mail(stand.smtp, octets).code == 250
    assert send_mail(stand.smtp, octets, chunk=1 << 20).code == 250
    for mail in stand.wait_marked("alice", mark, n=2, seconds=60):
        assert mail.endswith(octets.replace(b"\r\n", b"\n"))
    grown = {name: kib - before[name] for name, kib in peaks(stand).items()}
    print(grown)
    assert sanitized() or max(grown.values()) < 6 << 10, grown
