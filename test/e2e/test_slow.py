"""Clients that say too little too slowly, in each phase of a session: bounded, and in
nobody's way.  All come at once, to an edge whose limits are short."""

import shutil
import ssl
import tempfile
import threading
import time

import pytest

from kit.smtp import Client, send_mail
from kit.stand import Stand, message, until

# Each is time enough for a busy machine to come to where a client begins to be slow.
COMMAND_S, DATA_S, SESSION_S, HANDSHAKE_S = 8, 10, 20, 8
SLACK_S = 20            # the edge looks once a second, and a busy machine is late
DRIP_S = 0.15


def hear(sock, seconds):
    """What comes within that time: octets, b"" at the end, None for nothing yet."""
    sock.settimeout(seconds)
    try:
        return sock.recv(65536)
    except TimeoutError:
        return None
    except OSError:         # a reset, or TLS that is cut
        return b""


def dripped(sock, octets):
    """An octet now and then, until the edge hangs up; its last words."""
    words = b""
    for at in range(len(octets)):
        try:
            sock.sendall(octets[at:at + 1])
        except OSError:
            return words
        got = hear(sock, DRIP_S)
        if got == b"":
            return words
        words += got or b""
    raise AssertionError(f"the edge took all {len(octets)} octets, and said {words}")


def silent(sock):
    words = b""
    while (got := hear(sock, 60)):
        words += got
    assert got is not None, "the edge waited for 60 s"
    return words


def in_data(c, how, start):
    c.hello()
    c.begin("s@client.test", ["alice@example.test"])
    c.send(f"{start}\r\n")
    if start == "DATA":
        assert c.reply().code == 354
    return how(c.sock)


def drip_body(sock):
    return dripped(sock, b"Subject: slow\r\n" * 100)


def in_handshake(c, how):
    c.hello()
    c.ok("STARTTLS", 220)
    return how(c.sock)


def drip_client_hello(sock):
    out = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="edge.test")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return dripped(sock, out.read())


def greeted(c):
    assert c.reply().code == 220
    return silent(c.sock)


def drip_command(c):
    c.hello()
    return dripped(c.sock, b"NOOP " + b"x" * 500)


def drip_command_in_tls(c):
    c.hello()
    c.starttls()
    return dripped(c.sock, b"NOOP " + b"x" * 500)


def command_after_command(c):
    c.hello()
    return dripped(c.sock, b"\r\n" * 200)       # each is an error, of which many are allowed


TIMEOUT = b"421 4.4.2 "

# What the client does, how long it may, and what it is told: in a handshake nothing can be said.
SLOW = {
    "silent after the greeting": (greeted, COMMAND_S, TIMEOUT),
    "a command octet by octet": (drip_command, COMMAND_S, TIMEOUT),
    "a command octet by octet in TLS": (drip_command_in_tls, COMMAND_S, TIMEOUT),
    "commands for ever": (command_after_command, SESSION_S, TIMEOUT),
    "silent in DATA": (lambda c: in_data(c, silent, "DATA"), DATA_S, TIMEOUT),
    "silent in a chunk": (lambda c: in_data(c, silent, "BDAT 1000 LAST"), DATA_S, TIMEOUT),
    "DATA octet by octet": (lambda c: in_data(c, drip_body, "DATA"), SESSION_S, TIMEOUT),
    "a chunk octet by octet": (lambda c: in_data(c, drip_body, "BDAT 1000 LAST"), SESSION_S,
                               TIMEOUT),
    "silent in the handshake": (lambda c: in_handshake(c, silent), HANDSHAKE_S, b""),
    "a handshake octet by octet": (lambda c: in_handshake(c, drip_client_hello), HANDSHAKE_S, b""),
}


def go(where, name, told):
    began = time.monotonic()
    try:
        with Client(where) as c:
            words = SLOW[name][0](c)
        told[name] = (time.monotonic() - began, words)
    except Exception as e:              # raised again in the test of that name
        told[name] = e


@pytest.fixture(scope="module")
def slow():
    """What each client was told, and when; and what became of a neighbour's mail meanwhile."""
    dir_ = tempfile.mkdtemp(prefix="ph-")
    shutil.rmtree(dir_)
    stand = Stand(dir_, opt=[
        f"edge.limits.command_timeout={COMMAND_S}s", f"edge.limits.data_timeout={DATA_S}s",
        f"edge.limits.session_timeout={SESSION_S}s",
        f"edge.limits.handshake_timeout={HANDSHAKE_S}s", "edge.limits.errors=1000"])
    told = {}
    threads = [threading.Thread(target=go, args=(stand.smtp, name, told)) for name in SLOW]
    for t in threads:
        t.start()
    began = time.monotonic()
    neighbour = send_mail(stand.smtp, message(subject="neighbour"), source="127.9.9.10")
    took = time.monotonic() - began
    for t in threads:
        t.join()
    yield stand, told, (neighbour, took)
    complaints = stand.complaints()
    stand.down()
    shutil.rmtree(dir_, ignore_errors=True)
    assert complaints == []


@pytest.mark.parametrize("name", SLOW)
def test_a_slow_client_has_its_time_and_no_more(slow, name):
    _, limit, words = SLOW[name]
    result = slow[1][name]
    if isinstance(result, Exception):
        raise result
    seconds, told = result
    assert words in told if words else told == b"", told
    assert limit - 0.1 <= seconds <= limit + SLACK_S, f"{seconds:.1f} s"


def test_a_neighbour_is_served_meanwhile(slow):
    _, _, (reply, took) = slow
    assert reply.code == 250 and took < 15, f"{reply}, {took:.1f} s"


def test_nothing_of_theirs_is_left(slow):
    stand = slow[0]
    stand.wait_marked("alice", "neighbour")
    stand.edge_empty()
    assert len(stand.files("alice")) == 1
    assert stand.counter("edge", "timeouts") == len(SLOW)
    until("all are gone", 5, lambda: stand.status("edge")["counters"]["connections"] == 0)
