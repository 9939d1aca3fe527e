"""Connections that go home as they are: by an edge, a tunnel and a home, to a server there."""

import os
import resource
import select
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from kit.mtas import Postfix
from kit.netns import netns
from kit.passed import Server, TlsServer, answer, connect, echo, header, read_all
from kit.ports import free_port
from kit.smtp import Client
from kit.stand import Stand, sanitized, until


H2_WINDOW = 4 << 20         # net/h2.h: the most that lies at either end for one that does not read


class Passed:
    """A stand with a service that is passed to a server of ours."""

    def __init__(self, make_stand, serve, *, name="echo", opt=(), proxy="v2"):
        self.server = Server(serve, proxy != "none")
        self.name = name
        self.where = ("127.0.0.1", free_port())
        self.stand = make_stand(opt=[
            f'edge.service.{name}.listen={{"{self.where[0]}:{self.where[1]}"}}',
            f'edge.service.{name}.proxy_from={{"127.0.0.1"}}',
            "edge.limits.streams_client=10000",
            f"home.service.{name}.backend={self.server.where}",
            f"home.service.{name}.proxy={proxy}", *opt])
        self.wait_up()

    def wait_up(self):
        def up():
            try:
                with connect(self.where, header()) as s:
                    s.sendall(b"up?")
                    s.shutdown(socket.SHUT_WR)
                    said = read_all(s)
                    return said and not said.startswith(b"220 edge.test ")
            except OSError:
                return None
        until("the service is passed", 20, up, 0.1)
        self.server.clients.clear()

    def connect(self, **kw):
        return connect(self.where, header(**kw))

    def counts(self):
        one, = [p for p in self.stand.status("edge")["passed"] if p["service"] == self.name]
        return one

    def close(self):
        self.server.close()


@pytest.fixture
def passed(make_stand):
    made = []

    def make(serve=echo, **kw):
        made.append(Passed(make_stand, serve, **kw))
        return made[-1]
    yield make
    for p in made:
        p.close()


def test_an_echo_with_its_true_client(passed):
    p = passed()
    for client in ("8.8.4.4", "1.1.1.1"):
        with p.connect(client=client, port=4321) as s:
            s.sendall(b"hello")
            assert s.recv(100) == b"hello"
            s.shutdown(socket.SHUT_WR)
            assert read_all(s) == b""
    assert p.server.clients == [("8.8.4.4", 4321), ("1.1.1.1", 4321)]
    until("nothing is open", 5, lambda: p.counts()["open"] == 0)
    p.stand.logged("edge", r"pass\.end service=echo home=home peer=1\.1\.1\.1:4321 out=5 in=5 ms=")


def test_a_hundred_megabytes_both_ways(passed):
    p = passed()
    piece = os.urandom(1 << 20)
    got = bytearray()
    with p.connect() as s:
        def say():
            for _ in range(100):
                s.sendall(piece)
            s.shutdown(socket.SHUT_WR)
        t = threading.Thread(target=say)
        t.start()
        began = time.monotonic()
        while data := s.recv(1 << 18):
            got += data
        t.join()
    print(f"{2 * 8 * 100 / (time.monotonic() - began):.0f} Mbit/s, both ways together")
    assert len(got) == 100 << 20
    assert all(got[i << 20:(i + 1) << 20] == piece for i in range(100))


def test_half_a_connection_stays_open(passed):
    """The server answers when it has heard the end: both ways, nothing is cut."""
    p = passed(answer(b"hello\n", b"the end"))
    with p.connect() as s:
        assert s.recv(100) == b"hello\n"
        s.sendall(b"x" * 1000000)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"the end"


def test_a_reset_is_a_reset_at_the_other_end(passed):
    ends = []

    async def notes(reader, writer):
        heard = b""             # nothing, where it is home that looks whether we are here
        try:
            while data := await reader.read(100):
                heard += data
                writer.write(data)
            ends.append((heard, "end"))
        except ConnectionResetError:
            ends.append((heard, "reset"))
    p = passed(notes)
    s = p.connect()
    s.sendall(b"hello")
    assert s.recv(100) == b"hello"
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()
    how, = until("the server hears of it", 10, lambda: [e for h, e in ends if h == b"hello"])
    assert how == "reset"


def test_a_thousand_idle_streams(passed):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))
    p = passed()
    many = []
    try:
        for i in range(1000):
            many.append(p.connect(port=2000 + i))
        for i, s in enumerate(many):
            s.sendall(f"I am {i}".encode())
        for i, s in enumerate(many):
            assert s.recv(100) == f"I am {i}".encode()
        assert p.counts()["open"] == 1000
        assert sorted(port for _, port in p.server.clients) == list(range(2000, 3000))
    finally:
        for s in many:
            s.close()
    until("nothing is open", 10, lambda: p.counts()["open"] == 0)


async def flood_or_echo(reader, writer):
    """Says something as long as somebody listens to whoever asks for it; an echo to the others."""
    if await reader.read(1 << 16) == b"flood":
        while True:
            writer.write(b"x" * 65536)
            await writer.drain()
    writer.write(b"!")
    await echo(reader, writer)


def goes_round(p, megabytes=50):
    """So much to the server and back; the seconds it took."""
    size = megabytes << 20
    with p.connect() as s:
        s.sendall(b"hello")
        assert s.recv(1) == b"!"
        began = time.monotonic()

        def say():
            s.sendall(b"y" * size)
            s.shutdown(socket.SHUT_WR)
        t = threading.Thread(target=say)
        t.start()
        got = 0
        while data := s.recv(1 << 20):
            got += len(data)
        t.join()
    assert got == size
    return time.monotonic() - began


def reset(s):
    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


def memory(pid):
    """Octets that are a role's own, its processes together."""
    pids = [pid] + [int(k) for k in
                    open(f"/proc/{pid}/task/{pid}/children", encoding="ascii").read().split()]
    total = 0
    for one in pids:
        with open(f"/proc/{one}/smaps_rollup", encoding="ascii") as f:
            total += sum(int(line.split()[1]) << 10 for line in f if line.startswith("Private_"))
    return total


def test_visitors_that_reset_and_readers_that_stall(passed):
    """3,000 resets and 8 stalled readers leave the tunnel and every other stream alone."""
    p = passed(flood_or_echo)
    quiet = min(goes_round(p) for _ in range(2))
    before = {role: memory(p.stand.pid(role)) for role in ("edge", "home")}
    stalled = []
    for i in range(8):
        s = p.connect(port=2000 + i)
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.sendall(b"flood")
        stalled.append(s)
    until("each is passed", 10, lambda: p.counts()["open"] == 8)
    for i in range(3000):
        s = p.connect(port=3000 + i)
        if i % 8 != 0:                  # else it goes before it was heard at all
            s.sendall(b"hello")
            assert s.recv(1) == b"!"
        reset(s)
    beside = min(goes_round(p) for _ in range(2))
    grown = {role: memory(p.stand.pid(role)) - before[role] for role in before}
    print(f"50 MB there and back: {quiet:.2f} s, and {beside:.2f} s beside them; memory "
          f"grew by {grown['edge'] >> 20} MB at the edge, {grown['home'] >> 20} MB at home")
    # A machine may be busy by then; whom a stalled stream stops is never done.
    assert beside < 10 * quiet + 20
    assert p.stand.status("home")["peers"][0]["connections"] == 2
    for role in ("edge", "home"):
        log = p.stand.log(role)
        assert "tunnel.down" not in log and log.count("tunnel.up") == 2
        assert sanitized() or grown[role] < 8 * H2_WINDOW + (8 << 20)
    until("the eight are left", 10, lambda: p.counts()["open"] == 8)
    for s in stalled:
        reset(s)
    until("nothing is open", 10, lambda: p.counts()["open"] == 0)


def test_a_header_is_asked_of_balancers_and_must_be_right(passed):
    p = passed()
    for wrong in (b"hello, who is there?\r\n", b"PROXY TCP4 8.8.8.8\r\n",
                  b"PROXY TCP4 192.168.0.1 9.9.9.9 1 2\r\n",
                  b"PROXY TCP4 127.0.0.1 9.9.9.9 1 2\r\n",
                  b"PROXY UNKNOWN\r\n", b"PROXY TCP4 " + b"1" * 200):
        with connect(p.where, wrong) as s:
            assert not read_all(s), wrong
    assert p.server.clients == []
    why = p.counts()["why"]
    assert why["proxy_header"] == 4 and why["address"] == 2


def test_a_private_client_is_not_passed(passed):
    """Without a balancer the client is 127.0.0.1, which servers trust."""
    where = ("127.0.0.1", free_port())
    p = passed(opt=[f'edge.service.bare.listen={{"127.0.0.1:{where[1]}"}}'])
    with connect(where, b"hello") as s:
        assert not read_all(s)
    one, = [q for q in p.stand.status("edge")["passed"] if q["service"] == "bare"]
    assert one["why"] == {"address": 1} and one["refused"] == 1
    p.stand.logged("edge", r"pass\.refuse service=bare peer=127\.0\.0\.1:")


def test_home_dies_in_the_middle(passed):
    p = passed()
    with p.connect() as s:
        s.sendall(b"hello")
        assert s.recv(100) == b"hello"
        p.stand.kill("home")
        assert read_all(s) is None      # a reset
    with p.connect() as s:
        assert not read_all(s)          # nobody is waited for
    p.stand.start("home")
    p.wait_up()


def test_the_server_goes_and_comes_back(passed):
    p = passed()
    port = p.server.port
    p.server.close()

    def down():
        with p.connect() as s:
            assert not read_all(s)
        return p.counts()["why"].get("service_down", 0) > 1
    until("the edge knows", 20, down)
    p.server = Server(echo, port=port)
    p.wait_up()


def test_an_edge_that_goes_down_lets_them_end(passed):
    p = passed()
    s = p.connect()
    s.sendall(b"hello")
    assert s.recv(100) == b"hello"
    stop = threading.Thread(target=lambda: p.stand.stop("edge"))
    stop.start()
    time.sleep(2)
    s.sendall(b"still here")
    assert s.recv(100) == b"still here"
    s.shutdown(socket.SHUT_WR)
    assert read_all(s) == b""
    stop.join(120)
    assert not stop.is_alive()


def test_auto_passes_while_it_can_and_holds_when_not(passed, mark):
    """One port: the server at home while it is there, the edge's own SMTP at once when not."""
    p = passed(answer(b"* hello\r\n"), name="mx", opt=["edge.service.mx.mode=auto",
                                                       "edge.service.mx.home={home}"])

    def greeting():
        s = p.connect(client="8.8.4.4", to_port=2600)
        return s, s.recv(100)
    s, said = greeting()
    assert said == b"* hello\r\n"
    before = p.counts()         # what came before home had looked at its server was held
    p.stand.kill("home")
    assert read_all(s) is None
    until("the edge knows of both tunnels", 10,
          lambda: p.stand.status("edge")["peers"][0]["connections"] == 0)
    s, said = greeting()
    assert said.startswith(b"220 edge.test ")
    s.sendall(b"EHLO c\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<alice@example.test>\r\nDATA\r\n"
              b"Subject: %s\r\n\r\nhello\r\n.\r\nQUIT\r\n" % mark.encode())
    assert b"250 2.0.0 Accepted" in read_all(s)
    counts = p.counts()
    assert counts["held"] - before["held"] == 1
    # Known at once: that no CONNECT had to be given up for it.
    assert counts["why"]["home_down"] - before["why"].get("home_down", 0) == 1
    assert counts["why"].get("late") == before["why"].get("late"), "no CONNECT was given up"
    p.stand.start("home")
    mail, = p.stand.wait_marked("alice", mark)
    assert b"8.8.4.4" in mail       # the balancer's client, not the balancer
    until("it is passed again", 20, lambda: greeting()[1] == b"* hello\r\n", 0.2)


def test_strangers_reach_the_postfix_at_home(tmp_path, mark):
    """Its own banner and replies, and the true client in its log; the same port holds while it
    is away."""
    port = free_port()
    with netns("172.17.0.1/16"), Postfix() as mta, Stand(tmp_path, opt=[
            f'edge.service.mx.listen={{"127.0.0.1:{port}"}}', "edge.service.mx.mode=auto",
            'edge.service.mx.proxy_from={"127.0.0.1"}',
            f"home.service.mx.backend={mta.where}"]) as stand:

        def stranger(client="8.8.4.4"):
            c = Client(("127.0.0.1", port))
            c.send(header(client=client, port=4321, to_port=25))
            return c, c.reply().text

        def passes():
            c, banner = stranger()
            c.close()
            return banner.startswith("220 mx.example.test ESMTP Postfix")
        until("the interlock has cleared it", 60, passes, 0.2)
        c, banner = stranger("8.8.8.8")
        c.ok("EHLO client.test")
        c.ok("MAIL FROM:<a@client.test>")
        assert c.cmd("RCPT TO:<x@far.test>").code in (454, 554)
        c.ok("RCPT TO:<alice@example.test>")
        assert c.data(b"Subject: passed\r\n\r\nhello\r\n").code == 250
        mta.logged(r": client=unknown\[8\.8\.8\.8\]")

        mta.postfix("stop")
        assert c.closed()
        c, banner = stranger()
        assert banner.startswith("220 edge.test ")
        c.ok("EHLO client.test")
        c.begin("a@client.test", ["alice@example.test"])
        assert c.data(b"Subject: %s\r\n\r\nhello\r\n" % mark.encode()).code == 250
        stand.wait_marked("alice", mark)
        mta.postfix("start")
        until("it passes again", 60, passes, 0.2)


def test_a_reload_changes_the_mode(passed):
    p = passed(answer(b"* hello\r\n"), name="mx", opt=["edge.service.mx.mode=auto",
                                                       "edge.service.mx.home={home}"])
    with open(p.stand.conf("edge"), encoding="utf-8") as f:
        text = f.read()
    s = p.connect()
    assert s.recv(100) == b"* hello\r\n"
    with open(p.stand.conf("edge"), "w", encoding="utf-8") as f:
        f.write(text.replace('"auto"', '"hold"'))
    p.stand.hup("edge")

    def held():
        with p.connect() as now:
            return now.recv(100).startswith(b"220 ")
    until("new ones are held", 10, held, 0.1)
    s.sendall(b"the old one stays")
    s.shutdown(socket.SHUT_WR)
    assert read_all(s) == b""
    with open(p.stand.conf("edge"), "w", encoding="utf-8") as f:
        f.write(text.replace('"auto"', '"relay"'))
    p.stand.hup("edge")
    until("it is refused in words", 10, lambda: 'service.mode: "relay" is not known; write "auto"'
          in p.stand.log("edge"))
    assert held()


def certificate(dir_, name):
    key, cert = os.path.join(dir_, f"{name}.key"), os.path.join(dir_, f"{name}.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert, "-days",
                    "30", "-subj", f"/CN={name}"], check=True, capture_output=True)
    return cert, key


def test_two_homes_share_a_port_by_name(make_stand, tmp_path):
    """Read from the ClientHello, not decrypted: each home ends its TLS with its own key."""
    servers, where = {}, ("127.0.0.1", free_port())

    for name in ("example.test", "other.test"):
        servers[name] = TlsServer(*certificate(tmp_path, name), name)
    stand = make_stand(opt=[
        f'edge.service.web.listen={{"127.0.0.1:{where[1]}"}}',
        'edge.service.web.proxy_from={"127.0.0.1"}',
        f"home.service.web.backend={servers['example.test'].where}"])
    stand.add_home("other", "other.test",
                   opt=[f"service.web.backend={servers['other.test'].where}"])
    ctx = ssl.create_default_context()
    ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE

    def asks(name):
        with connect(where, header()) as raw:
            try:
                with ctx.wrap_socket(raw, server_hostname=name) as s:
                    return s.recv(100).decode()
            except ssl.SSLError as e:
                return e.reason
            except OSError:
                return "closed"
    for name in servers:
        until(f"{name} is served", 20, lambda n=name: asks(n) == n, 0.2)
        assert asks(f"imap.{name}") == name
    for nobodys in ("third.test", None):
        assert asks(nobodys) in ("TLSV1_UNRECOGNIZED_NAME", "TLSV1_ALERT_UNRECOGNIZED_NAME")
    for s in servers.values():
        s.close()


# --- our own sleep ----------------------------------------------------------------------------

def unread(stand, ours):
    """Octets of the tunnel that the edge (ours), or home, has not read yet."""
    port, n = int(stand.env["TUNNEL"].rsplit(":", 1)[1]), 0
    with open("/proc/net/tcp", encoding="ascii") as f:
        for line in f.read().splitlines()[1:]:
            _, local, peer, state, queues = line.split()[:5]
            at = local if ours else peer
            if state == "01" and int(at.split(":")[1], 16) == port:
                n += int(queues.split(":")[1], 16)
    return n


def process(stand, role, name):
    return next(p["pid"] for p in stand.status(role)["processes"] if p["name"] == name)


def test_an_edge_that_was_stopped_does_not_blame_home(passed):
    """Home's answer came while the edge slept longer than it would have waited."""
    p = passed(echo, opt=["edge.limits.connect_timeout=3s"])
    edge, home = (process(p.stand, *w) for w in (("edge", "reception"), ("home", "tunnel")))
    for _ in range(5):      # a machine that stalls may be too late with the stop
        try:
            os.kill(home, signal.SIGSTOP)
            s = p.connect()
            s.sendall(b"still there?")
            until("the edge has asked", 10, lambda: unread(p.stand, False))
            os.kill(edge, signal.SIGSTOP)
            late = bool(select.select([s], [], [], 0)[0])
        finally:
            os.kill(home, signal.SIGCONT)
        try:
            until("home has answered", 10, lambda: late or unread(p.stand, True))
            time.sleep(4)
        finally:
            os.kill(edge, signal.SIGCONT)
        if not late:
            break
        s.close()
    with s:
        assert s.recv(100) == b"still there?"
    assert p.stand.status("edge")["peers"][0]["connections"] == 2


def test_a_ping_that_was_answered_while_we_slept(passed):
    """The edge asks whether home lives, falls asleep, and finds the answer when it wakes up."""
    p = passed(echo)
    at = len(p.stand.log("edge"))
    edge, home = (process(p.stand, *w) for w in (("edge", "reception"), ("home", "tunnel")))
    os.kill(home, signal.SIGSTOP)
    try:
        until("the edge has sent a PING on both tunnels", 30, lambda: unread(p.stand, False) >= 50)
        os.kill(edge, signal.SIGSTOP)
    finally:
        os.kill(home, signal.SIGCONT)
    try:
        until("home has answered", 10, lambda: unread(p.stand, True) >= 50)
        time.sleep(16)
    finally:
        os.kill(edge, signal.SIGCONT)
    with p.connect() as s:
        s.sendall(b"still there?")
        assert s.recv(100) == b"still there?"
    assert "tunnel.down" not in p.stand.log("edge")[at:]
