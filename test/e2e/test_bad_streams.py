"""
Bad input where connections are passed: PROXY headers, ClientHellos, servers at home, and a home
that claims what is another's. Each is refused with a line of the log that names the peer and the
reason, and costs nobody else anything.
"""

import hashlib
import os
import re
import socket
import ssl
import struct
import subprocess
import time

import pytest

from kit.foreign_home import ForeignHome
from kit.passed import V2, Server, connect, echo, header, read_all
from kit.ports import free_port
from kit.smtp import send_mail
from kit.stand import message, quickest, until

PATIENCE = 3        # of an edge that has little, in seconds; it is tested alone, as who is slow
                    # to do something else meets it, too
LATE = 20           # and how late a machine may be that does other things


def v2(block, octet=0x11, command=0x21, size=None):
    return V2 + bytes([command, octet]) + struct.pack(">H", len(block) if size is None else size) \
        + block


BLOCK = bytes([8, 8, 8, 8, 9, 9, 9, 9, 0, 99, 0, 25])

# What comes in front, and what the log says of it.
HEADERS = {
    "garbage": (b"hello, who is there?\r\n", "something else was sent in its place"),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "something else was sent"),
    "octets without sense": (bytes(range(255, -1, -1)), "something else was sent"),
    "no addresses": (b"PROXY TCP4 8.8.8.8\r\n", "the destination is no address"),
    "another family": (b"PROXY TCP6 8.8.8.8 9.9.9.9 1 2\r\n", "the source is no address of the"),
    "a port too high": (b"PROXY TCP4 8.8.8.8 9.9.9.9 65536 2\r\n", "a port is malformed"),
    "a LF": (b"PROXY TCP4 8.8.8.8 9.9.9.9 1 2\n", "a LF without CR"),
    "a line without end": (b"PROXY TCP4 " + b"1" * 3000, "the line is too long"),
    "a block of 60,000": (v2(b"x" * 2048, size=60000), "too long for all that is registered"),
    "a block too short": (v2(BLOCK[:7]), "shorter than its addresses"),
    "a TLV cut short": (v2(BLOCK + b"\x04\x00\xff1"), "a TLV is cut short"),
    "a wrong checksum": (v2(BLOCK + b"\x03\x00\x04abcd"), "the checksum is wrong"),
    "version 3": (v2(BLOCK, command=0x31), "another version than 2"),
    "a family of its own": (v2(BLOCK, octet=0x55), "a family or transport that there is not"),
}
LIES = ["127.0.0.1", "10.1.2.3", "172.17.0.1", "192.168.1.1", "169.254.1.1", "0.0.0.0",
        "192.0.2.1", "224.0.0.1", "255.255.255.255", "::1", "fe80::1", "fd00::1", "2001:db8::1",
        "::ffff:127.0.0.1"]


def tell_v1(client):
    family, to = ("TCP6", "2001:4860::1") if ":" in client else ("TCP4", "9.9.9.9")
    return f"PROXY {family} {client} {to} 4711 25\r\n".encode()


def tell_v2(client):
    kind = socket.AF_INET6 if ":" in client else socket.AF_INET
    octets = socket.inet_pton(kind, client)
    return v2(octets * 2 + struct.pack(">HH", 4711, 25), 0x21 if ":" in client else 0x11)


class Doors:
    """A stand with services "echo", "tls" and "mx", the last in auto; two homes share "tls"."""

    def __init__(self, make_stand, serve=echo, opt=()):
        self.server = Server(serve)
        self.port = {name: free_port() for name in ("echo", "tls", "mx")}
        self.stand = make_stand(opt=[
            "edge.limits.handshake_timeout=60s", 'edge.service.echo.home={"home"}',
            "edge.service.mx.mode=auto", 'edge.service.mx.home={"home"}', *opt,
            *(o for name, port in self.port.items() for o in (
                f'edge.service.{name}.listen={{"127.0.0.1:{port}"}}',
                f'edge.service.{name}.proxy_from={{"127.0.0.1"}}',
                f"home.service.{name}.backend={self.server.where}"))])

    def connect(self, name, first=header("8.8.4.4", 4711)):
        return connect(("127.0.0.1", self.port[name]), first)

    def passes(self, name="echo"):
        try:
            with self.connect(name) as s:
                s.sendall(b"hello")
                return s.recv(100) == b"hello"
        except OSError:
            return False

    def wait_passed(self, name="echo"):
        until(f"{name} is passed", 20, lambda: self.passes(name), 0.1)
        self.server.clients.clear()

    def be_impatient(self):
        at = len(self.stand.log("edge"))
        self.stand.change("edge", "handshake_timeout = 60s", f"handshake_timeout = {PATIENCE}s")
        self.stand.hup("edge")
        self.stand.logged("edge", r"config\.reloaded", at)

    def says(self, words, since=0):
        """The edge's log has it, now or in a moment."""
        until(f"the log says {words!r}", 5,
              lambda: re.search(words, self.stand.log("edge")[since:]))


@pytest.fixture(name="doors")
def doors_fixture(make_stand):
    made = []

    def make(*args, **kw):
        made.append(Doors(make_stand, *args, **kw))
        return made[-1]
    yield make
    for d in made:
        d.server.close()


def test_a_header_that_is_none(doors):
    """At a passed and at a held listener, whole and octet by octet."""
    d = doors(opt=["edge.service.mx.mode=hold"])
    d.wait_passed()
    for name in ("echo", "mx"):
        for what, (octets, reason) in HEADERS.items():
            at = len(d.stand.log("edge"))
            with d.connect(name, octets) as s:
                assert not read_all(s), what
            d.says(rf"pass\.refuse service={name} peer=127\.0\.0\.1:\d+ why=proxy_header: "
                   rf"PROXY header: {re.escape(reason)}", at)
    at = len(d.stand.log("edge"))
    with d.connect("echo", b"") as s:
        try:
            for octet in b"PROXY TCP4 8.8.8.8 9.9.9.9 1 x\r\n":
                s.sendall(bytes([octet]))
            assert not read_all(s)
        except OSError:
            pass
    d.says("a port is malformed", at)
    assert d.server.clients == []
    assert d.passes()


def test_half_a_header(doors):
    """One that waits has its time, one that goes is named."""
    d = doors()
    d.wait_passed()
    halves = [tell_v1("8.8.8.8")[:20], tell_v2("8.8.8.8")[:20]]
    at = len(d.stand.log("edge"))
    for half in halves:
        with d.connect("echo", half) as s:
            s.shutdown(socket.SHUT_WR)
            assert not read_all(s)
    until("both are in the log", 5, lambda: len(re.findall(
        r"pass\.refuse service=echo peer=127\.0\.0\.1:\d+ why=proxy_header: the connection ended "
        "in the middle", d.stand.log("edge")[at:])) == 2)
    d.be_impatient()
    began = time.monotonic()
    waiting = [d.connect("echo", half) for half in [*halves, b""]]
    for s in waiting:
        assert not read_all(s)
        s.close()
    assert PATIENCE - 1 < time.monotonic() - began < PATIENCE + LATE
    until("all three are in the log", 5, lambda: len(re.findall(
        r"pass\.refuse service=echo peer=127\.0\.0\.1:\d+ why=proxy_header: it did not come in "
        "time", d.stand.log("edge")[at:])) == 3)
    assert d.server.clients == []


def test_a_header_that_lies(doors):
    """No client of the internet has such an address, and servers trust it."""
    d = doors()
    d.wait_passed()
    for client in LIES:
        for tell in (tell_v1, tell_v2):
            at = len(d.stand.log("edge"))
            with d.connect("echo", tell(client) + b"hello") as s:
                assert not read_all(s), client
            shown = client.rpartition("::ffff:")[2]
            shown = f"[{shown}]" if ":" in shown else shown
            said = "" if shown == "127.0.0.1" else r": so the load balancer 127\.0\.0\.1 says"
            d.says(rf"pass\.refuse service=echo peer={re.escape(shown)}:4711 why=address{said}",
                   at)
    assert d.server.clients == []
    assert d.passes()


# --- ClientHello -----------------------------------------------------------------------------

class Hello:
    """One side of TLS without a socket."""

    def __init__(self, name):
        ctx = ssl.create_default_context()
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        self.come, self.go = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = ctx.wrap_bio(self.come, self.go, server_hostname=name)
        with pytest.raises(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.first = self.go.read()


def test_a_hello_in_pieces(doors):
    """In segments and in records of one octet: it is passed on from its first octet, unchanged."""
    d = doors()
    d.stand.add_home("other", "other.test", opt=[f"service.tls.backend={d.server.where}"])
    hello = Hello("imap.other.test").first

    def comes_back(pieces, pause=0.0):
        with d.connect("tls") as s:
            for piece in pieces:
                s.sendall(piece)
                time.sleep(pause)
            want = sum(len(p) for p in pieces)
            got = b""
            try:
                while len(got) < want and (more := s.recv(1 << 16)):
                    got += more
            except ConnectionResetError:
                pass
            return got == b"".join(pieces)
    until("it is passed", 20, lambda: comes_back([hello]), 0.1)
    d.server.clients.clear()
    assert comes_back([bytes([b]) for b in hello], 0.001)
    records = [hello[:3] + b"\0\1" + bytes([b]) for b in hello[5:]]
    assert comes_back([b"".join(records)])
    assert comes_back(records, 0.001)
    assert {who for who, _ in d.server.clients} == {"8.8.4.4"}


def test_a_hello_that_is_none(doors):
    d = doors()
    d.stand.add_home("other", "other.test", opt=[f"service.tls.backend={d.server.where}"])
    hello = Hello("other.test").first
    bad = {
        "not TLS": b"GET / HTTP/1.1\r\nHost: other.test\r\n\r\n",
        "another message than a ClientHello": b"\x16\x03\x01\x00\x05\x02\x00\x00\x01\x00",
        "the ClientHello is too long": b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"x" * 16380,
        "too many records for one ClientHello": b"\x16\x03\x01\x00\x04\x01\x00\x3f\x00"
            + b"\x16\x03\x01\x00\x01x" * 8000,
        "something else in the middle of the ClientHello": hello[:3] + b"\0\4" + hello[5:9]
            + b"\x17\x03\x03\x00\x01x",
        "the ClientHello is malformed": b"\x16\x03\x01\x00\x06\x01\x00\x00\x02xx",
    }
    for reason, octets in bad.items():
        at = len(d.stand.log("edge"))
        with d.connect("tls") as s:
            try:
                s.sendall(octets)
                said = read_all(s)
            except OSError:
                said = None
            # A TLS alert to whom speaks TLS, if he waits for it.
            assert said is None or said[:1] in (b"", b"\x15"), (reason, said)
        d.says(rf"pass\.refuse service=tls peer=8\.8\.4\.4:4711 why=name: {reason}", at)
    # Half of one: gone. Without end: an octet now and then gains nothing.
    at = len(d.stand.log("edge"))
    with d.connect("tls") as s:
        s.sendall(hello[:100])
        s.shutdown(socket.SHUT_WR)
        read_all(s)
    d.says(r"service=tls peer=8\.8\.4\.4:4711 why=name: the connection ended in the middle", at)
    d.be_impatient()
    at, began = len(d.stand.log("edge")), time.monotonic()
    with d.connect("tls") as s:
        try:
            for octet in hello:
                s.sendall(bytes([octet]))
                time.sleep(0.1)
        except OSError:
            pass
    assert PATIENCE - 1 < time.monotonic() - began < PATIENCE + LATE
    d.says(r"service=tls peer=8\.8\.4\.4:4711 why=name: the ClientHello did not come in time", at)
    assert d.server.clients == []


# --- servers at home -------------------------------------------------------------------------

class Moods:
    """A server that is well until it is told otherwise."""

    def __init__(self):
        self.mood, self.sent = "well", 0

    async def serve(self, reader, writer):
        if self.mood == "gone":
            return
        if self.mood == "well":
            writer.write(b"* hello\r\n")
        while self.mood == "flood":
            writer.write(b"x" * 65536)
            await writer.drain()
            self.sent += 65536
        while data := await reader.read(1 << 16):
            writer.write(data)


def greets(d, name):
    try:
        with d.connect(name) as s:
            return s.recv(100)
    except OSError:
        return b""


def moody(doors):
    moods = Moods()
    d = doors(moods.serve)
    for name in ("mx", "echo"):
        until(f"{name} is passed", 20, lambda n=name: greets(d, n) == b"* hello\r\n", 0.1)
    return d, moods


def test_a_server_that_closes_at_once(doors, mark):
    """auto holds on the same connection, pass ends; the edge hears of it, and of its return."""
    d, moods = moody(doors)
    moods.mood = "gone"
    at = len(d.stand.log("edge"))
    assert greets(d, "mx").startswith(b"220 edge.test ")
    d.says(r"pass\.hold service=mx peer=8\.8\.4\.4:4711 why=", at)
    assert greets(d, "echo") == b""
    d.says(r"pass\.(end|refuse) service=echo .*peer=8\.8\.4\.4:4711", at)
    until("home has noticed", 20, lambda: re.search(
        r"service\.down service=echo .*: the backend closes at once", d.stand.log("home")))
    until("the edge has heard of it", 10, lambda: greets(d, "echo") == b"" and re.search(
        r"pass\.refuse service=echo peer=8\.8\.4\.4:4711 why=service_down",
        d.stand.log("edge")[at:]))
    moods.mood = "well"
    until("it is passed again", 20, lambda: greets(d, "mx") == b"* hello\r\n", 0.2)


def test_a_server_that_says_nothing(doors, mark):
    """auto gives it half a minute, then the same connection is held."""
    d, moods = moody(doors)
    moods.mood = "silent"
    at, began = len(d.stand.log("edge")), time.monotonic()
    with d.connect("mx") as s:
        s.settimeout(120)
        assert s.recv(100).startswith(b"220 edge.test ")
        assert 28 < time.monotonic() - began < 30 + LATE
        s.sendall(b"EHLO c\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<alice@example.test>\r\n"
                  b"DATA\r\nSubject: %s\r\n\r\nhello\r\n.\r\nQUIT\r\n" % mark.encode())
        assert b"250 2.0.0 Accepted" in read_all(s)
    d.says(r"pass\.hold service=mx peer=8\.8\.4\.4:4711 why=\w+: the backend did not speak", at)
    mail, = d.stand.wait_marked("alice", mark)
    assert b"8.8.4.4" in mail


def memory(pid):
    """Resident octets of a process and its children."""
    total, pids = 0, [pid]
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as f:
        pids += f.read().split()
    for p in pids:
        with open(f"/proc/{p}/statm", encoding="ascii") as f:
            total += int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return total


def test_a_server_that_floods(doors):
    """Visitors that do not read it: what lies with us is bounded, and others pass."""
    d, moods = moody(doors)
    moods.mood = "flood"
    before = {role: memory(d.stand.pid(role)) for role in ("edge", "home")}
    many = [d.connect("echo") for _ in range(16)]
    until("it floods", 20, lambda: moods.sent > 16 << 20)

    def still():
        sent = moods.sent
        time.sleep(1)
        return moods.sent == sent
    until("it stands", 30, still)
    for role, was in before.items():
        grown = memory(d.stand.pid(role)) - was
        print(f"{role}: {grown >> 20} MiB more for {len(many)} floods, {moods.sent >> 20} MiB sent")
        assert grown < 100 << 20
    moods.mood = "well"

    def beside(_):
        assert greets(d, "echo") == b"* hello\r\n"
    assert quickest(3, beside) < 1
    for s in many:
        s.close()
    one, = [p for p in d.stand.status("edge")["passed"] if p["service"] == "echo"]
    until("nothing is open", 10, lambda: [p["open"] for p in d.stand.status("edge")["passed"]
                                          if p["service"] == "echo"] == [0])


# --- a home ----------------------------------------------------------------------------------

def pin(state):
    """Of the key in there, as doc/TUNNEL has it."""
    public = subprocess.run(["openssl", "pkey", "-in", os.path.join(state, "tunnel.pem"), "-pubout",
                             "-outform", "DER"], check=True, capture_output=True).stdout
    return "sha256:" + hashlib.sha256(public).hexdigest()


def test_a_home_that_claims_what_is_anothers(doors, mark):
    """Its policy names another's domain and service, and another's key: none of it counts."""
    d = doors(opt=['edge.service.smtp.home={"home", "other"}'])
    env = d.stand.add_home("other", "other.test")
    d.stand.stop("other")
    d.wait_passed()
    claims = {"version": 1, "epoch": "1", "counter": "1",
              "domains": [{"name": "other.test"},
                          {"name": "example.test", "unknown": "refuse", "salt": "00" * 16},
                          {"name": "third.test"}],
              "services": [{"name": "echo", "up": True}, {"name": "tls", "up": True},
                           {"name": "unheard", "up": True}]}
    at = len(d.stand.log("edge"))
    with ForeignHome(d.stand, env["HOME_STATE"], claims) as other:
        d.says(r"policy\.claim home=other domain=example\.test more=1: not this home's here", at)
        d.says(r"policy\.claim home=other service=echo more=0: not this home's here", at)
        assert d.passes()
        assert send_mail(d.stand.smtp, message(subject=mark)).code == 250
        d.stand.wait_marked("alice", mark)
        # A name of the other's on the port that they share is the other's, and no more than that.
        for name, whose in (("imap.example.test", "home"), ("imap.other.test", "other")):
            with d.connect("tls", header() + Hello(name).first) as s:
                said = s.recv(100)[:1]      # itself again, or an alert
                assert said == (b"\x16" if whose == "home" else b"\x15"), (name, said)
        until("it was asked for its own", 5, lambda: other.asked)
        assert other.asked == [("CONNECT", "tls:993")]

        other.say({**claims, "keys": {"pins": [pin(d.stand.env["HOME_STATE"])]}})
        d.says(r"home\.keys home=other refused: it names the key of home home", at)
        other.ban("8.0.0.0/7")
        d.says(r"bans\.refused home=other status=200 kept=the last good ones", at)
        other.ban("8.8.4.4/32")
        until("the edge has taken it", 10, lambda: other.polls["/policy/bans"])
        assert d.passes(), "a ban is its own home's only"
    assert d.stand.status("edge")["peers"][0]["connections"] == 2
