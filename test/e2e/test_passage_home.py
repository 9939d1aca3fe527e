"""What home does with connections that are passed: a foreign edge, which may lie, and Dovecot."""

import contextlib
import imaplib
import os
import re
import shutil
import signal
import socket
import ssl
import threading
import time

import pytest

from kit.dovecot import Dovecot
from kit.foreign_edge import PROXY_LOCAL, PROXY_UNSPEC, ForeignEdge, proxy_v1, proxy_v2
from kit.mtas import Postfix
from kit.netns import FAR, internet, netns
from kit.ports import free_port
from kit.smtp import Client
from kit.stand import until

CLIENTS = ["198.51.101.7", "2a02:8071:aa::7"]


class Imap(imaplib.IMAP4):
    """An IMAP client on a socket that is there already."""

    def __init__(self, sock):
        self.there = sock
        super().__init__()

    def _create_socket(self, timeout):
        return self.there


@pytest.fixture
def passing(make_stand, request):
    """passing(opt) -> stand, foreign edge, Dovecot; its own edge is down."""
    ends = []

    def make(opt=(), tls=True, foreign=True):
        ports = {"IMAPS": free_port(), "PROXY": free_port(), "PUBLIC": free_port()}
        # Dovecot serves nobody's mail as root.
        user = ["home.user=nobody"] if os.getuid() == 0 else []
        stand = make_stand(opt=user + [o.format(**ports) for o in opt])
        dovecot = Dovecot(stand.env["MAILDIR"],
                          tls=(stand.env["CERT"], os.path.join(stand.dir, "tls.key")),
                          imaps=ports["IMAPS"], imaps_proxy=ports["PROXY"]) if tls else None
        if dovecot is not None:
            ends.append(lambda: shutil.rmtree(dovecot.dir, ignore_errors=True))
            ends.append(dovecot.stop)
        if not foreign:
            return stand, ports["PUBLIC"], dovecot
        stand.stop("edge")
        edge = ForeignEdge(stand)
        ends.append(lambda: edge.__exit__(None, None, None))
        return stand, edge, dovecot
    yield make
    for end in reversed(ends):
        end()


def service(stand, name):
    return next(s for s in stand.status("home")["services"] if s["name"] == name)


def is_up(stand, name):
    return service(stand, name)["up"]


def policy_up(edge, name):
    return {s["name"]: s["up"] for s in edge.policy()[1]["services"]}[name]


def imaps(sock):
    """IMAP in the server's own TLS, through the tunnel: the edge sees none of it."""
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return Imap(tls.wrap_socket(sock))


@pytest.mark.parametrize("version", ["v2", "v1"])
def test_dovecot_logs_the_true_client(passing, version):
    stand, edge, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{PROXY}"',
                                    f"home.service.imaps.proxy={version}"])
    until("imaps is up", 10, lambda: is_up(stand, "imaps"))
    until("policy says so", 5, lambda: policy_up(edge, "imaps"))
    for say in (proxy_v1, proxy_v2):
        for client in CLIENTS:
            stream = edge.passed("imaps:993", say(client))
            assert stream.status == 200
            c = imaps(stream.client)
            c.login("alice", "x")
            assert c.select("INBOX")[0] == "OK"
            until("it is counted, and the one before has left", 5,
                  lambda: service(stand, "imaps")["streams"] == 1)
            c.logout()
            line = re.compile(rf"Login: user=<alice>.* rip={re.escape(client)}, lip=[^,]*,.* TLS")
            until(f"Dovecot logs {client}", 5, lambda: line.search(dovecot.log()))
            dovecot.forget_log()
    until("all have left", 5, lambda: service(stand, "imaps")["streams"] == 0)
    assert stand.counter("home", "passed") == 4


def test_dovecot_logs_the_true_client_of_our_own_edge(passing):
    stand, port, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{PROXY}"',
                                    'edge.service.imaps.listen={{"127.0.0.1:{PUBLIC}"}}',
                                    'edge.service.imaps.proxy_from={{"127.0.0.1"}}'], foreign=False)
    until("imaps is up", 10, lambda: is_up(stand, "imaps"))
    for client in CLIENTS:
        def try_login():
            with socket.create_connection(("127.0.0.1", port), 60) as s:
                try:
                    s.sendall(proxy_v2(client))
                    c = imaps(s)
                except OSError:         # the edge has not heard yet that it is up
                    return False
                c.login("alice", "x")
                c.logout()
                return True
        until("a login", 10, try_login, 0.2)
        line = re.compile(rf"Login: user=<alice>.* rip={re.escape(client)}, lip=[^,]*,.* TLS")
        until(f"Dovecot logs {client}", 5, lambda: line.search(dovecot.log()))


def test_without_a_header_the_server_sees_home(passing):
    stand, edge, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{IMAPS}"',
                                    "home.service.imaps.proxy=none"])
    until("imaps is up", 10, lambda: is_up(stand, "imaps"))
    stream = edge.passed("imaps:993", proxy_v2("198.51.101.7"))
    assert stream.status == 200
    c = imaps(stream.client)
    c.login("alice", "x")
    c.logout()
    until("Dovecot logs home", 5,
          lambda: re.search(r"Login: user=<alice>.* rip=127\.0\.0\.1,", dovecot.log()))


def test_a_header_that_is_not_expected_is_said(passing):
    stand, edge, _ = passing(['home.service.imaps.backend="127.0.0.1:{IMAPS}"'])
    until("status says what is wrong", 10, lambda: "PROXY header" in service(stand, "imaps")["why"])
    assert not is_up(stand, "imaps")
    assert not policy_up(edge, "imaps")
    page = stand.tool("status", "-c", stand.conf("home")).stdout
    assert re.search(r"^imaps +closed +0 +127\.0\.0\.1:\d+ +.*PROXY header", page, re.M), page


def own_addresses():
    """An address of an interface that is not loopback, if there is one."""
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        s.connect(("198.51.101.1", 9))
        return [s.getsockname()[0]]
    except OSError:
        return []
    finally:
        s.close()


def test_a_lying_edge_is_refused_and_named(passing):
    stand, edge, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{PROXY}"'])
    until("imaps is up", 10, lambda: is_up(stand, "imaps"))
    own = own_addresses()
    for client in ["127.0.0.1", "10.1.2.3", "172.17.0.1", "192.168.1.1", "192.0.2.1", "::1",
                   "fe80::1", "2001:db8::1", "::ffff:127.0.0.1", "0.0.0.0"] + own:
        for say in (proxy_v1, proxy_v2):
            stream = edge.passed("imaps:993", say(client))
            assert stream.status == 403, client
    assert edge.passed("imaps:993", PROXY_LOCAL).status == 403
    assert edge.passed("imaps:993", b"PROXY UNKNOWN\r\n").status == 403
    assert edge.passed("imaps:993", b"EHLO me\r\n" + b"x" * 100).status == 400
    assert edge.passed("smtp:25", proxy_v2("198.51.101.7")).status == 404
    assert edge.passed("imaps:993", b"").status == 400, "no header in five seconds"
    for client in ["127.0.0.1:4711", "10.1.2.3:4711"] + [f"{a}:4711" for a in own]:
        stand.logged("home", r"passage\.refused edge=edge\.test service=imaps "
                     rf"client={re.escape(client)} status=403: \w")
    stand.logged("home", r"passage\.refused .* status=403: LOCAL")
    assert "rip=10.1.2.3" not in dovecot.log()
    # The same from somebody is taken: nothing of that has hurt the tunnel.
    stream = edge.passed("imaps:993", proxy_v2("198.51.101.7"))
    assert stream.status == 200
    imaps(stream.client).logout()


# Home has these addresses itself. Postfix with Debian's mynetworks trusts the first of the lies.
OURS = "172.17.0.1/16", "fd00:1::7/64", "5.9.9.1/29", "2a01:4f8:1::1/64"
AN_EDGE = "5.9.8.7"
LIES = {
    "127.0.0.1": "an edge's", "::1": "no global unicast", "127.8.9.10": "no global unicast",
    "172.17.0.1": "an address of this machine", "fd00:1::7": "an address of this machine",
    "5.9.9.1": "an address of this machine", "2a01:4f8:1::1": "an address of this machine",
    "172.17.0.9": "private", "fd00:1::9": "private",
    "5.9.9.2": "in a network of this machine", "203.0.113.25": "no global unicast",
    AN_EDGE: "an edge's",
}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
def test_no_lie_reaches_a_postfix_with_the_networks_of_its_package(make_stand):
    """It is right in all else, so the interlock opens it; each lie would have made it a relay."""
    with netns(*OURS), Postfix(["smtpd_client_port_logging = yes"]) as mta:
        stand = make_stand(opt=[f"home.service.smtp.backend={mta.where}"])
        with open(stand.conf("home"), "a", encoding="ascii") as f:
            f.write(f'edge "far.test" {{ address = "{AN_EDGE}:7443" '
                    f'key = "sha256:{"a" * 64}" }}\n')
        stand.hup("home")
        until("home dials that edge, too", 10,
              lambda: any(p["name"] == "far.test" for p in stand.status("home")["peers"]))
        stand.stop("edge")
        with ForeignEdge(stand) as edge:
            until("the interlock has cleared it", 60, lambda: policy_up(edge, "smtp"))
            for client, why in LIES.items():
                for say in (proxy_v1, proxy_v2):
                    assert edge.passed("smtp:25", say(client)).status == 403, client
                line = re.compile(r"passage\.refused edge=edge\.test service=smtp client=\[?"
                                  rf"{re.escape(client)}\]?:4711 status=403: .*{why}")
                until(f"both of {client} are in the log", 10,
                      lambda of=line: len(of.findall(stand.log("home"))) == 2)
            for say in (proxy_v1, proxy_v2):
                assert edge.passed("smtp:25", say("::ffff:172.17.0.1")).status == 403
            for header, why in ((PROXY_LOCAL, "LOCAL"), (PROXY_UNSPEC, "names no client"),
                                (b"PROXY UNKNOWN\r\n", "names no client")):
                assert edge.passed("smtp:25", header).status == 403
                stand.logged("home", rf"passage\.refused .* status=403: .*{why}")
            assert ":4711" not in mta.log()

            stream = edge.passed("smtp:25", proxy_v2("198.51.101.7", to_port=25))
            assert stream.status == 200
            c = Client.on(stream.client)
            c.hello()
            c.ok("MAIL FROM:<a@client.test>")
            assert c.cmd("RCPT TO:<x@far.test>").code == 454
            c.ok("RCPT TO:<alice@example.test>")
            mta.logged(r"\[198\.51\.101\.7\]:4711")
            stream.close()


def listener(host, port):
    """It says who it is to whoever comes; its end is its socket's."""
    s = socket.create_server((host, port), backlog=100)
    guests = []

    def serve():
        with contextlib.suppress(OSError):
            while True:
                guests.append(s.accept()[0])
                guests[-1].sendall(b"* OK " + host.encode() + b"\r\n")
    threading.Thread(target=serve, daemon=True).start()
    return s


def end(sock):
    sock.shutdown(socket.SHUT_RDWR)
    sock.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")
def test_what_starts_again_here_is_no_backend_elsewhere(make_stand):
    """It listens at every address, which the kernel does not take for those of this machine."""
    port = free_port()
    with internet() as beyond:
        with beyond.inside():
            far = listener(FAR[0], port)
        near = listener("0.0.0.0", port)
        stand = make_stand(opt=[f"home.service.imaps.backend={FAR[0]}:{port}"])
        stand.stop("edge")
        with ForeignEdge(stand) as edge:
            until("imaps is up", 20, lambda: policy_up(edge, "imaps"))
            for _ in range(2):
                stream = edge.passed("imaps:993", proxy_v2("198.51.101.7"))
                assert stream.status == 200
                assert stream.client.recv(100) == b"* OK 10.77.0.2\r\n"
                stream.close()
                end(near)
                near = listener("0.0.0.0", port)
        assert "service.anew" not in stand.log("home")
        end(near)
        end(far)


def test_a_backend_that_goes_is_told_within_two_seconds(passing):
    stand, edge, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{PROXY}"'])
    until("imaps is up", 10, lambda: policy_up(edge, "imaps"))
    etag, doc = edge.policy()
    dovecot.stop()
    told = {"doc": doc}

    def wait():
        tag = etag
        while told["doc"]["services"] == doc["services"]:   # if it is something else that is new
            tag, told["doc"] = edge.policy(tag)
        told["at"] = time.monotonic()
    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.3)
    began = time.monotonic()
    stream = edge.passed("imaps:993", proxy_v2("198.51.101.7"))
    assert stream.status == 502 and b"refused" in stream.body
    thread.join(60)
    assert told["doc"]["services"] == [{"name": "imaps", "up": False}]
    assert told["at"] - began < 20, "not when the poll was over anyway"
    assert "Connection refused" in service(stand, "imaps")["why"]
    dovecot.start()
    until("imaps is up again", 10, lambda: policy_up(edge, "imaps"))


def test_a_mail_server_stays_closed_under_any_name(passing):
    """Until it has been shown that it relays for nobody."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen(5)

        def greet():
            while True:
                try:
                    c, _ = s.accept()
                except OSError:
                    return
                with contextlib.suppress(ConnectionError):     # he may be gone again
                    c.sendall(b"220 relay.example.org ESMTP\r\n")
        threading.Thread(target=greet, daemon=True).start()
        where = f"127.0.0.1:{s.getsockname()[1]}"
        stand, edge, _ = passing([f'home.service.smtp.backend="{where}"',
                                  f'home.service.game.backend="{where}"',
                                  "home.service.game.proxy=none"], tls=False)
        until("game is known for what it is", 10,
              lambda: "service.smtp service=game" in stand.log("home"))
        for name in ("smtp:25", "game:7777"):
            stream = edge.passed(name, proxy_v2("198.51.101.7"))
            assert stream.status == 503
            assert b"not yet tested" in stream.body or b"cannot tell" in stream.body
        assert not policy_up(edge, "smtp") and not policy_up(edge, "game")
        s.shutdown(socket.SHUT_RDWR)


def test_a_reload_changes_services(passing):
    stand, edge, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{PROXY}"'])
    until("imaps is up", 10, lambda: policy_up(edge, "imaps"))
    stream = edge.passed("imaps:993", proxy_v2("198.51.101.7"))
    c = imaps(stream.client)
    c.login("alice", "x")
    with open(stand.conf("home"), encoding="ascii") as f:
        text = f.read()
    with open(stand.conf("home"), "w", encoding="ascii") as f:
        f.write(text.replace('service "imaps"', 'service "post"'))
    stand.hup("home")
    until("the new one is up, and alone", 10,
          lambda: edge.policy()[1]["services"] == [{"name": "post", "up": True}])
    assert c.noop()[0] == "OK", "what is open goes on"
    assert edge.passed("imaps:993", proxy_v2("198.51.101.7")).status == 404
    private = edge.passed("post:993", proxy_v2("10.1.2.3"))
    assert private.status == 403
    with open(stand.conf("home"), encoding="ascii") as f:
        text = f.read()
    with open(stand.conf("home"), "w", encoding="ascii") as f:
        f.write(text.replace('service "post" {', 'service "post" { allow_private = true'))
    stand.hup("home")
    until("private clients pass", 10,
          lambda: edge.passed("post:993", proxy_v2("10.1.2.3")).status == 200)
    assert c.noop()[0] == "OK"
    c.logout()


def test_sigterm_waits_for_what_is_passed(passing):
    stand, edge, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{PROXY}"'])
    until("imaps is up", 10, lambda: is_up(stand, "imaps"))
    c = imaps(edge.passed("imaps:993", proxy_v2("198.51.101.7")).client)
    c.login("alice", "x")
    os.kill(stand.pid("home"), signal.SIGTERM)
    time.sleep(3)
    assert c.noop()[0] == "OK", "it goes on while home stops"
    began = time.monotonic()
    c.logout()
    stand.stop("home")
    assert time.monotonic() - began < 20, "home waits for nothing else"


def test_sigterm_does_not_wait_for_ever(passing):
    stand, edge, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{PROXY}"'])
    until("imaps is up", 10, lambda: is_up(stand, "imaps"))
    stream = edge.passed("imaps:993", proxy_v2("198.51.101.7"))
    c = imaps(stream.client)
    c.login("alice", "x")
    began = time.monotonic()
    stand.stop("home")
    assert 25 < time.monotonic() - began < 60
    until("the client was cut", 5, lambda: stream.over.is_set())
    assert stream.reset, "by a reset: it was no good end"
    assert "passage.end" in stand.log("home") and "home is stopping" in stand.log("home")


def test_many_at_once_each_gets_its_own(passing):
    stand, edge, dovecot = passing(['home.service.imaps.backend="127.0.0.1:{PROXY}"'])
    until("imaps is up", 10, lambda: is_up(stand, "imaps"))
    streams = [edge.passed("imaps:993", proxy_v2(f"198.51.101.{n}", port=2000 + n))
               for n in range(1, 40)]
    assert {s.status for s in streams} == {200}
    assert service(stand, "imaps")["streams"] == 39
    for n, s in enumerate(streams):
        c = imaps(s.client)
        assert c.capability()[0] == "OK", n
        c.logout()
    until("all have left", 5, lambda: service(stand, "imaps")["streams"] == 0)
