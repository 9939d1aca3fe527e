"""The tunnel over lines that break, stall, and are long; several edges for one home."""

import os
import re
import time

import pytest

from kit.foreign_home import ForeignHome
from kit.ports import free_port
from kit.smtp import Client, send_mail
from kit.stand import message, until
from kit.wires import Cutter, Silent, Slow, Wire


@pytest.fixture
def by_wire(make_stand):
    """by_wire(kind, ...) -> (stand, wire): a stand whose tunnel goes through that proxy."""
    wires = []

    def make(kind, *args, opt=(), **kw):
        tunnel = free_port()
        wire = kind(("127.0.0.1", tunnel), *args)
        wires.append(wire)
        stand = make_stand(opt=[f'edge.tunnel.listen={{"127.0.0.1:{tunnel}"}}',
                                f"edge.tunnel.address=127.0.0.1:{wire.where[1]}", *opt], **kw)
        return stand, wire
    yield make
    for wire in wires:
        wire.close()


def tunnels(stand, role="home"):
    try:
        return sum(p["connections"] for p in stand.status(role)["peers"])
    except AssertionError:
        return 0


def test_a_cut_line_comes_back(by_wire, mark):
    stand, wire = by_wire(Cutter)
    for i in range(5):
        wire.cut()
        assert send_mail(stand.smtp, message(subject=f"{mark}-{i}-")).code == 250
        stand.wait_marked("alice", f"{mark}-{i}-", seconds=30)


def test_the_edge_restarts(stand, mark):
    for how in (stand.stop, stand.kill):
        how("edge")
        time.sleep(1)
        stand.start("edge")
        assert send_mail(stand.smtp, message(subject=mark + how.__name__)).code == 250
        stand.wait_marked("alice", mark + how.__name__, seconds=40)


def test_redial_while_nobody_answers_is_patient(by_wire):
    """An edge that is away is dialled with pauses, not in a loop; the reason is in status."""
    stand, wire = by_wire(Wire)
    stand.stop("edge")
    time.sleep(3)
    tries = stand.log("home").count("tunnel")
    assert tries < 60, f"{tries} lines about the tunnel in 3 s"
    def away():
        peer, = stand.status("home")["peers"]
        return peer["connections"] == 0 and peer["error"]
    until("status has the reason", 10, away)
    stand.start("edge")
    until("the tunnel is up again", 40, lambda: tunnels(stand) > 0)


def test_an_edge_that_cannot_be_reached_is_told_with_what_to_look_at(stand):
    stand.stop("edge")

    def says():
        peer, = stand.status("home")["peers"]
        return re.search(r"127\.0\.0\.1:\d+ does not answer: .*; is the edge running, and does its "
                         r"firewall let that port in\?", peer["error"] or "")
    until("home says what to look at", 40, says)
    stand.start("edge")
    until("the tunnel is up again", 90, lambda: tunnels(stand) > 0)


def test_a_line_that_went_silent_is_noticed(by_wire, mark):
    """No reset, no end: only keep-alive can tell. RFC 9113 PING, 15 s and as
    long again for the answer."""
    stand, wire = by_wire(Silent)
    wire.go_dead()
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark, seconds=60)


def test_a_long_line_is_filled(by_wire):
    """100 ms there and back: 100 Mbit/s need 1.25 MB on the way, one object must carry that."""
    size = 40 << 20
    stand, wire = by_wire(Slow, 0.05, opt=["edge.limits.size=50M", "home.tunnel.connections=1"])

    def rate():
        stand.stop("home")
        line = b"x" * 1022 + b"\r\n"
        assert send_mail(stand.smtp,
                         b"Subject: big\r\n\r\n" + line * (size // 1024)).code == 250
        stand.start("home")
        began = time.monotonic()
        stand.edge_empty(60)
        return size * 8 / (time.monotonic() - began) / 1e6
    pairs = []
    for n in range(1, 5):
        wire.delay = 0.05
        far = rate()
        if far > 80:
            break
        wire.delay = 0          # the machine's fault, if a short line is not filled either
        near = rate()
        if far > near / 2:
            break
        pairs.append(f"{far:.0f} Mbit/s, and {near:.0f} on a short line")
    assert len(pairs) < n, pairs
    stand.wait_mails("alice", 2 * n - (far > 80))


def test_large_objects_leave_room_for_small(make_stand, mark):
    """Twenty large ones are ahead in the queue; a small one behind them is not last."""
    stand = make_stand(opt=["edge.limits.handover=4"])
    stand.stop("home")
    line = b"x" * 76 + b"\r\n"
    for i in range(20):
        assert send_mail(stand.smtp, b"Subject: large\r\n\r\n" + line * 50000).code == 250
    assert send_mail(stand.smtp, message(subject=mark), rcpts=["bob@example.test"]).code == 250
    stand.start("home")
    stand.wait_marked("bob", mark)
    stand.wait_mails("alice", 20, seconds=60)
    came = {who: max(os.stat(f).st_ctime_ns for f in stand.files(who)) for who in ("alice", "bob")}
    assert came["bob"] < came["alice"], "the small one overtook some large"


def test_two_edges_for_one_home(make_stand, mark):
    one = make_stand()
    two = make_stand(opt=["edge.hostname=edge2.test"], domain="other.test")
    out = two.tool("pair", "-c", two.conf("edge"), "both", "example.test").stdout
    text = re.search(r"posthouse-pair-1 .*", out).group(0)
    one.tool("pair", "-c", one.conf("home"), input=text + "\n")
    with open(two.conf("edge"), encoding="utf-8") as f:
        conf = f.read()
    with open(two.conf("edge"), "w", encoding="utf-8") as f:
        f.write(conf.replace('home = {"home"}', 'home = {"home", "both"}'))
    two.stop("edge")
    two.start("edge")
    until("home is at both", 40,
          lambda: len([p for p in one.status("home")["peers"] if p["connections"]]) == 2)
    assert send_mail(one.smtp, message(subject=mark + "-one-")).code == 250
    assert send_mail(two.smtp, message(subject=mark + "-two-")).code == 250
    for name in ("one", "two"):
        one.wait_marked("alice", f"{mark}-{name}-")
    one.stop("edge")        # one MX is down: the other carries on
    assert send_mail(two.smtp, message(subject=mark + "-three-")).code == 250
    one.wait_marked("alice", f"{mark}-three-")
    one.start("edge")


def test_two_tunnels_of_one_home_are_no_race(stand):
    """What was said first may come last: it does not count while who said the other is there."""
    policy = {"version": 1, "epoch": "1", "counter": "1", "domains": [{"name": "example.test"}]}

    def sized(n, counter="1"):
        return {**policy, "counter": counter, "backend": {"size": str(n)}}

    def size():
        with Client(stand.smtp) as c:
            found = re.search(r"SIZE (\d+)", c.hello().text)
            return int(found[1]) if found else 0

    def told(home, n, order):
        """It said so, and the edge asks for the next."""
        asked = home.gets["/policy"]
        home.say(sized(n), order)
        until("the edge has heard it", 20, lambda: home.gets["/policy"] > asked)
    stand.stop("home")
    state = stand.env["HOME_STATE"]
    with ForeignHome(stand, state, sized(10000001), "7.1") as first:
        assert size() == 10000001
        with ForeignHome(stand, state, sized(10000002), "7.5") as second:
            until("it is the younger one's", 20, lambda: size() == 10000002)
            told(first, 10000003, "7.4")        # overtaken on the way
            assert size() == 10000002
            told(first, 10000004, "7.6")
            until("it goes on", 20, lambda: size() == 10000004)
            told(second, 10000005, "3.1")       # a home that was started again, or restored
            until("it is the younger one's", 20, lambda: size() == 10000005)
            told(first, 10000006, "7.7")        # the one before, not quite dead
            assert size() == 10000005
        until("the one that is left is home", 30, lambda: size() == 10000006)


def test_strangers_at_the_tunnel_learn_nothing(stand):
    """No client certificate, another's, plain text, HTTP/1: the handshake ends it."""
    import socket
    import ssl
    import subprocess
    host, port = stand.env["TUNNEL"].rsplit(":", 1)
    with socket.create_connection((host, int(port)), 60) as s:
        s.sendall(b"GET / HTTP/1.1\r\n\r\n")
        got = s.recv(1000)
        assert not got.startswith(b"HTTP"), got
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec",
                    "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-subj", "/CN=x", "-keyout", stand.dir + "/s.key",
                    "-out", stand.dir + "/s.crt"], check=True,
                   capture_output=True)
    for cert in (False, True):
        for alpn in ("posthouse/1", "posthouse-pair/1", "h2"):
            ctx = ssl.create_default_context()
            ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
            ctx.set_alpn_protocols([alpn])
            if cert:
                ctx.load_cert_chain(stand.dir + "/s.crt", stand.dir + "/s.key")
            with socket.create_connection((host, int(port)), 60) as raw:
                try:
                    with ctx.wrap_socket(raw) as s:
                        s.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
                        assert s.recv(1000) == b"", (cert, alpn)
                except (ssl.SSLError, ConnectionResetError):
                    pass
    assert tunnels(stand) > 0
