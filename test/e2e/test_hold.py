"""Home is away: every kind of object is held sealed, opens with age, and comes home once."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import shutil
import socket
import sqlite3
import subprocess
import tempfile
import uuid
from pathlib import Path

import pytest
from conftest import show_logs, take_down

from kit import exim
from kit.held import CLIENT, MX, opts
from kit.smtp import Client, Closed, send_mail
from kit.stand import Stand, header, message, until

OBJECT = re.compile(
    rb"EHLO [^\r\n]+\r\n"
    rb"XCLIENT (?P<xclient>[^\r\n]+)\r\n"
    rb"XFORWARD IDENT=(?P<id>[0-9a-f-]{36}) SOURCE=REMOTE NAME=edge\.test\r\n"
    rb"MAIL FROM:<(?P<sender>[^>\r\n]*)>(?P<params>[^\r\n]*)\r\n"
    rb"(?P<rcpts>(?:RCPT TO:<[^>\r\n]+>[^\r\n]*\r\n)+)")


def parse(octets):
    """The object's head, and its message put together from its chunks;
    written from doc/OBJECT alone."""
    m = OBJECT.match(octets)
    assert m, octets[:600]
    at, body, last = m.end(), b"", False
    while not last:
        line, _, _ = octets[at:].partition(b"\r\n")
        c = re.fullmatch(rb"BDAT (\d+)( LAST)?", line)
        assert c, line
        at += len(line) + 2
        body += octets[at:at + int(c[1])]
        at += int(c[1])
        last = c[2] is not None
    assert octets[at:] == b"QUIT\r\n"
    return m, body


def held(stand):
    return sorted(stand.queue("edge"), key=lambda o: o["received"])


def sealed_and_open(stand, id_):
    """The sealed bytes of a held object, checked from outside, and what age reads in them."""
    sealed = stand.cat("edge", id_)
    assert sealed.startswith(b"age-encryption.org/v1\n-> X25519 ")
    return sealed, stand.age_open(sealed)


LARGE = b"Subject: large\r\n\r\n" + b"".join(b"%07d %s\r\n" % (i, b"x" * 70) for i in range(40000))
EIGHT = "Subject: eight\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nGrüße, 日本\r\n".encode()

KINDS = {
    "data": {"octets": message(subject="data")},
    "bdat": {"octets": message(subject="bdat", body="chunk\r\n" * 500), "chunk": 700},
    "8bit": {"octets": EIGHT, "params": " BODY=8BITMIME"},
    "large": {"octets": LARGE, "params": f" SIZE={len(LARGE)}"},
    "large-bdat": {"octets": LARGE, "chunk": 100000},
    "null": {"octets": message(subject="null"), "sender": ""},
    "many": {"octets": message(subject="many"),
             "rcpts": [f"alice+{i}@example.test" for i in range(150)]},
    "two": {"octets": message(subject="two"), "rcpts": ["alice@example.test", "bob@example.test"]},
    "tls": {"octets": message(subject="tls"), "tls": True},
    "dsn": {"octets": message(subject="dsn"), "params": " RET=HDRS ENVID=QQ314159"},
    "empty": {"octets": b""},
    "one-line": {"octets": b"\r\n"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_held_sealed_and_comes_home(held_stand, kind):
    stand, want = held_stand, KINDS[kind]
    stand.wait_policy()
    stand.stop("home")
    r = send_mail(stand.smtp, source="127.33.44.55", **want)
    assert r.code == 250, r.text
    entry, = held(stand)
    assert entry["home"] == "home" and entry["size"] > len(want["octets"])
    sealed, octets = sealed_and_open(stand, entry["id"])
    assert len(sealed) == entry["size"]
    m, body = parse(octets)
    assert m["id"].decode() == entry["id"], "the inner id is the outer"
    assert m["sender"].decode() == want.get("sender", "a@client.test")
    assert b"ADDR=127.33.44.55 " in m["xclient"] + b" "
    assert m["rcpts"].count(b"RCPT TO") == len(want.get("rcpts", [1]))
    for word in want.get("params", "").split():
        assert word.encode() in m["params"].split(), m["params"]
    assert body.startswith(b"Received: from ")
    assert body.endswith(want["octets"])

    before = len(stand.files("alice"))
    stand.start("home")
    stand.edge_empty()
    stand.home_settled()
    mails = stand.mails("alice")
    # Recipients that end in one mailbox are one delivery.
    assert len(mails) == before + 1
    mail = next(m for m in mails if header(m, "x-posthouse-id") == entry["id"])
    assert mail.endswith(want["octets"].replace(b"\r\n", b"\n"))
    received = header(mail, "received")
    assert "127.33.44.55" in received
    assert header(mail, "return-path") == f"<{want.get('sender', 'a@client.test')}>"


@pytest.fixture(scope="module")
def held_stand():
    dir_ = tempfile.mkdtemp(prefix="ph-")
    os.rmdir(dir_)
    made = Stand(dir_, opt=["home.mailboxes.catch_all=alice"])
    yield made
    show_logs(made)
    try:
        take_down(made)
    finally:
        shutil.rmtree(dir_, ignore_errors=True)


def test_exim_chunks_are_held(make_stand, mark):
    stand = make_stand()
    stand.stop("home")
    body = "".join(f"{mark} {i}\r\n" for i in range(3000))
    exim.send(stand.smtp, "s@client.test", ["bob@example.test"], message(subject=mark, body=body))
    entry, = held(stand)
    _, octets = sealed_and_open(stand, entry["id"])
    assert parse(octets)[1].endswith(body.encode())
    stand.start("home")
    stand.wait_marked("bob", f"Subject: {mark}")


def test_nothing_readable_lies_at_the_edge(make_stand, mark):
    """No words of the message or its envelope are in any file of the edge's state,
    while it comes in and after."""
    stand = make_stand(opt=["edge.hold.threshold=4K"])
    stand.stop("home")
    words = [mark.encode(), b"alice", b"secretsender", b"secrethelo"]
    body = (mark + " of the body\r\n").encode() * 20000

    def look():
        for base, _, names in os.walk(stand.env["EDGE_SPOOL"]):
            for name in names:
                try:
                    with open(os.path.join(base, name), "rb") as f:
                        text = f.read()
                except FileNotFoundError:       # it has another name by now
                    look()
                    continue
                for w in words:
                    assert w not in text, f"{w} in {base}/{name}"

    with Client(stand.smtp) as c:
        c.hello("secrethelo")
        c.begin("secretsender@client.test", ["alice@example.test"])
        c.ok("DATA", 354)
        c.send(body[:len(body) // 2 // 10 * 10])
        c.send(b"x" * 10)
        look()
        c.send(body[len(body) // 2 // 10 * 10:] + b"\r\n.\r\n")
        assert c.reply().code == 250
    look()
    assert mark not in stand.log("edge")


def test_age_without_the_key_fails(make_stand, tmp_path):
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, message()).code == 250
    entry, = held(stand)
    other = tmp_path / "other.key"
    subprocess.run(["age-keygen", "-o", other], check=True, capture_output=True)
    sealed = stand.cat("edge", entry["id"])
    r = subprocess.run(["age", "-d", "-i", other], input=sealed, capture_output=True, check=False)
    assert r.returncode != 0 and r.stdout == b""
    for key in (os.path.join(stand.env["EDGE_SPOOL"], n)
                for n in os.listdir(stand.env["EDGE_SPOOL"])):
        if os.path.isfile(key):
            with open(key, "rb") as f:
                assert b"AGE-SECRET-KEY" not in f.read(), key


def test_queue_show_cat_open(make_stand, mark):
    stand = make_stand()
    stand.stop("home")
    octets = message(subject=mark)
    assert send_mail(stand.smtp, octets).code == 250
    entry, = held(stand)
    for key in ("id", "size", "home", "received", "state"):
        assert key in entry
    shown = stand.tool("show", entry["id"], "-c", stand.conf("edge")).stdout
    assert entry["id"] in shown and mark not in shown and "alice" not in shown
    assert "1" in stand.tool("queue", "-c", stand.conf("edge")).stdout
    r = stand.tool("show", "01900000-0000-7000-8000-000000000000", "-c", stand.conf("edge"),
                   check=False)
    assert r.returncode != 0 and r.stderr
    # unseal is age's equal
    unsealed = stand.tool("unseal", "-i", stand.env["AGE_KEY"], text=False,
                          input=stand.cat("edge", entry["id"]))
    assert unsealed.stdout == stand.age_open(stand.cat("edge", entry["id"]))


def test_home_keeps_and_opens_what_it_parks(make_stand, mark):
    """A mailbox that cannot be written: the mail stays at home, shown,
    opened by `posthouse open`."""
    stand = make_stand(opt=["home.deliver.retry_max=1s"])
    os.makedirs(stand.env["MAILDIR"], exist_ok=True)
    with open(os.path.join(stand.env["MAILDIR"], "bob"), "w", encoding="ascii") as f:
        f.write("a file where a Maildir should be\n")
    assert send_mail(stand.smtp, message(subject=mark), rcpts=["bob@example.test"]).code == 250
    stand.edge_empty()
    entry, = stand.queue("home")
    assert entry["state"] in ("deferred", "queued", "sending")
    assert mark.encode() in stand.tool("open", entry["id"], "-c", stand.conf("home"),
                                       text=False).stdout
    assert mark.encode() in stand.age_open(stand.cat("home", entry["id"]))
    until("the courier has read whose it is", 10, lambda: "bob" in stand.tool(
        "show", entry["id"], "-c", stand.conf("home")).stdout)
    os.unlink(os.path.join(stand.env["MAILDIR"], "bob"))
    stand.wait_marked("bob", mark)


def test_restart_of_both_keeps_what_is_held(make_stand, mark):
    stand = make_stand()
    stand.stop("home")
    for i in range(30):
        assert send_mail(stand.smtp, message(subject=f"{mark} {i}")).code == 250
    stand.kill("edge")
    stand.start("edge")
    assert len(held(stand)) == 30
    stand.stop("edge")
    stand.start("edge")
    assert len(held(stand)) == 30
    stand.start("home")
    stand.wait_marked("alice", mark, 30)
    stand.edge_empty()


def test_spool_is_a_database_that_others_open(make_stand):
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, message()).code == 250
    stand.stop("edge")
    db = sqlite3.connect(f"file:{stand.env['EDGE_SPOOL']}/spool.db?mode=ro", uri=True)
    assert db.execute("pragma integrity_check").fetchone() == ("ok",)
    assert db.execute("pragma journal_mode").fetchone() == ("wal",)
    assert db.execute("pragma auto_vacuum").fetchone() == (2,)
    db.close()
    stand.start("edge")


XTEXT = re.compile(rb"(?:[!-*,-<>-~]|\+[0-9A-F]{2})+")


def attributes(text, *keywords):
    """Of XCLIENT or XFORWARD: each once, in any order, in xtext or not known."""
    got = dict(word.split(b"=", 1) for word in text.split(b" "))
    assert sorted(got) == sorted(keywords) and len(got) == text.count(b" ") + 1
    for k, v in got.items():
        assert XTEXT.fullmatch(v) and (not v.startswith(b"[") or v == b"[UNAVAILABLE]"), v
        got[k] = re.sub(rb"\+(..)", lambda m: bytes.fromhex(m[1].decode()), v)
    return got


@pytest.mark.parametrize("size", [100, 400000])
def test_an_object_is_what_its_pages_say(make_stand, size):
    """doc/STORE, doc/OBJECT and `age` are all that it takes to find, verify and read one."""
    stand = make_stand()
    stand.stop("home")
    octets = message(body=("x" * 75 + "\r\n") * (size // 77))
    with Client(stand.smtp, source="127.33.44.55") as c:
        c.hello("[a+b=c]~")
        c.begin("Ann@CLIENT.Test", ["Alice@EXAMPLE.test", "bob@example.test"],
                " BODY=8BITMIME")
        assert c.bdat(octets, 70000).code == 250
    stand.stop("edge")
    state = Path(stand.env["EDGE_SPOOL"])
    with contextlib.closing(sqlite3.connect(f"file:{state}/spool.db?mode=ro", uri=True)) as db:
        (row, id_, signer, home, held_size, mac, large, file), = db.execute(
            "SELECT row, id, signer.name, home, size, mac, large, file"
            " FROM object JOIN signer ON num = signer")
        sealed = (state / "large" / file).read_bytes() if large else db.execute(
            "SELECT data FROM content WHERE row = ?", (row,)).fetchone()[0]
    assert (signer, home, held_size) == ("edge.test", "home", len(sealed))
    assert bool(large) == (size > 200000)
    key = bytes.fromhex(json.loads((state / "homes" / home).read_text())["mac"][0])
    assert mac == hmac.digest(key, b"posthouse-object-1" + id_ + hashlib.sha256(sealed).digest(),
                              "sha256")
    inside = stand.age_open(sealed)
    m, body = parse(inside)
    xclient = attributes(m["xclient"], b"NAME", b"ADDR", b"PORT", b"PROTO", b"HELO", b"DESTADDR",
                         b"DESTPORT")
    assert xclient[b"HELO"] == b"[a+b=c]~" and inside.startswith(b"EHLO [a+b=c]~\r\n")
    assert (xclient[b"ADDR"], xclient[b"PROTO"]) == (b"127.33.44.55", b"ESMTP")
    assert uuid.UUID(m["id"].decode()) == uuid.UUID(bytes=id_) and id_[6] >> 4 == 7
    assert (m["sender"], m["params"]) == (b"Ann@client.test", b" BODY=8BITMIME")
    assert m["rcpts"] == b"RCPT TO:<Alice@example.test>\r\nRCPT TO:<bob@example.test>\r\n"
    assert body.startswith(b"Received: ") and body.endswith(octets)


def test_wrong_ids_are_said(stand):
    for word in ("show", "cat"):
        r = stand.tool(word, "no-such-id", "-c", stand.conf("edge"), check=False)
        assert r.returncode != 0 and "id" in r.stderr
    r = stand.tool("status", "-c", stand.conf("edge"))
    assert "home" in r.stdout


@pytest.mark.parametrize("end,codes", [(b"DATA\r\n", ["354"]),
                                       (b"BDAT 0 LAST\r\n", ["250"])])
def test_who_says_no_more_while_his_name_is_asked_for_hears_the_rest(make_stand, end, codes):
    """The name server is silent: the answer comes when nobody waits for it any longer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        silent.settimeout(60)
        make_stand(opt=[*opts(), "edge.dns.client_names=true", "edge.dns.timeout=2s",
                        f'edge.dns.servers={{"127.0.0.1@{silent.getsockname()[1]}"}}'])
        with Client(("127.0.0.1", MX)) as c:
            c.send(f"PROXY TCP4 {CLIENT} 127.0.0.1 40000 25\r\n")
            c.hello()
            c.send(b"MAIL FROM:<a@client.test>\r\nRCPT TO:<alice@example.test>\r\n" + end)
            c.sock.shutdown(socket.SHUT_WR)
            heard = []
            with contextlib.suppress(Closed):
                while True:
                    heard.append(c.line()[:3])
        assert silent.recv(4096)                            # it was asked for
        assert heard == ["250", "250", *codes]
