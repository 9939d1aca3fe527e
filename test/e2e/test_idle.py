"""Silent and slow clients cannot hold the service."""

import contextlib
import resource
import selectors
import socket
import time

import pytest

from kit.smtp import Client, send_mail
from kit.stand import message, quickest, until

IDLE = 10000
IP_BIND_ADDRESS_NO_PORT = 24        # ip(7); Python's socket module learnt the name later


def room_for(n):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n + 200:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (n + 200, max(hard, n + 200)))
        except (ValueError, PermissionError):
            pytest.skip(f"this account may open {soft} files only; run as root")


def open_idle(where, n):
    """n connections from many addresses, each greeted."""
    sel, socks = selectors.DefaultSelector(), []
    for i in range(n):
        s = socket.socket()
        s.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        s.bind((f"127.{1 + i % 200}.{i // 200 % 250}.{1 + i // 50000}", 0))
        s.settimeout(60)
        s.connect(where)
        socks.append(s)
    for s in socks:
        assert s.recv(300).startswith(b"220 ")
    sel.close()
    return socks


def test_ten_thousand_idle(make_stand, mark):
    room_for(IDLE)
    stand = make_stand(opt=["edge.limits.client_connections=100"])
    socks = open_idle(stand.smtp, IDLE)
    try:
        def served(i):
            r = send_mail(stand.smtp, message(subject=f"{mark}-{i}-"), source="127.250.0.1")
            assert r.code == 250
            stand.wait_marked("alice", f"{mark}-{i}-")
        assert quickest(3, served) < 15, "answers, but slowly"
        assert stand.status("edge")["counters"]["connections"] >= IDLE
        alive = 0
        for s in socks[::97]:
            s.sendall(b"NOOP\r\n")
            alive += s.recv(100).startswith(b"250 ")
        assert alive == len(socks[::97]), "and the idle ones are still there"
    finally:
        for s in socks:
            s.close()
    assert send_mail(stand.smtp, message(subject=mark + "2")).code == 250


def test_connections_in_all_are_limited(make_stand):
    stand = make_stand(opt=["edge.limits.connections=20"])
    held = [Client(stand.smtp, source=f"127.7.{i}.1") for i in range(20)]
    for c in held:
        assert c.reply().code == 220
    with Client(stand.smtp, source="127.8.1.1") as c:
        r = c.reply()
        assert r.code == 421 and " 4." in r.text, r.text
    held[0].close()

    def welcome():
        with Client(stand.smtp, source="127.8.1.1") as c:
            return c.reply().code == 220
    until("there is a place again", 5, welcome)
    for c in held[1:]:
        c.close()


def test_connections_of_one_client_are_limited(make_stand, mark):
    stand = make_stand(opt=["edge.limits.client_connections=5"])
    held = [Client(stand.smtp, source="127.9.9.9") for _ in range(5)]
    for c in held:
        assert c.reply().code == 220
    with Client(stand.smtp, source="127.9.9.9") as c:
        assert c.reply().code == 421
    r = send_mail(stand.smtp, message(subject=mark), source="127.9.9.10")
    assert r.code == 250, "a neighbour is served"
    for c in held:
        c.close()


def test_silent_clients_are_told_and_closed(make_stand):
    stand = make_stand(opt=["edge.limits.command_timeout=4s", "edge.limits.data_timeout=4s"])
    with Client(stand.smtp) as c:
        c.hello()
        r = c.reply()
        assert r.code == 421 and " 4.4.2 " in r.text, r.text
        assert c.closed()
    with Client(stand.smtp) as c:
        c.hello()
        c.begin("s@client.test", ["alice@example.test"])
        c.ok("DATA", 354)
        c.send(b"Subject: never ends\r\n")
        r = c.reply()
        assert r.code == 421 and c.closed()
    assert stand.queue("edge") == []
    assert stand.counter("edge", "timeouts") >= 2


def test_drip_feeding_ends_with_the_session(make_stand):
    """One octet now and then restarts no clock for ever: the session as a whole has an end."""
    stand = make_stand(opt=["edge.limits.session_timeout=3s", "edge.limits.command_timeout=1s"])
    with Client(stand.smtp) as c:
        assert c.reply().code == 220
        began = time.monotonic()
        try:
            while time.monotonic() - began < 60:
                c.send(b"N" if int(time.monotonic() * 4) % 8 else b"\r\n")
                time.sleep(0.25)
        except OSError:
            pass
        assert time.monotonic() - began < 40


def test_a_handshake_that_never_ends_is_cut(make_stand):
    stand = make_stand(opt=["edge.limits.handshake_timeout=1s"])
    with Client(stand.smtp) as c:
        c.hello()
        c.ok("STARTTLS", 220)
        c.sock.settimeout(30)
        assert c.closed()


def test_many_errors_close(make_stand):
    stand = make_stand(opt=["edge.limits.errors=5"])
    with Client(stand.smtp) as c:
        c.hello()
        codes = []
        c.send(b"WHAT\r\n" * 10)
        try:
            for _ in range(10):
                codes.append(c.reply().code)
        except Exception:
            pass
        assert codes[:4] == [500] * 4 and codes[-1] == 421 and len(codes) <= 7, codes


def test_a_line_without_end_costs_nothing(make_stand):
    stand = make_stand()
    with Client(stand.smtp) as c:
        c.hello()
        c.send(b"x" * 100000 + b"\r\n")
        r = c.reply()
        assert r.code == 500 and " 5.5." in r.text, r.text


def test_recipients_beyond_the_limit_come_again(make_stand):
    stand = make_stand(opt=["edge.limits.recipients=100", "home.mailboxes.catch_all=bob"])
    with Client(stand.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<s@client.test>")
        for i in range(100):
            c.ok(f"RCPT TO:<r{i}@example.test>")
        r = c.cmd("RCPT TO:<r100@example.test>")
        assert r.code == 452 and " 4.5.3 " in r.text, r.text
        assert c.data(message()).code == 250
    stand.wait_mails("bob", 1)


def named(client, n):
    """The codes of so many recipients."""
    client.hello()
    client.ok("MAIL FROM:<s@client.test>")
    client.send(b"RCPT TO:<alice@example.test>\r\n" * n)
    return [client.reply().code for _ in range(n)]


def test_the_recipients_of_all_sessions_have_one_memory(make_stand):
    stand = make_stand(opt=["edge.hold.memory=256K", "edge.limits.recipients=500",
                            "edge.limits.errors=1000"])
    with contextlib.ExitStack() as crowd:
        codes = [named(crowd.enter_context(Client(stand.smtp)), 400) for _ in range(4)]
        assert codes[0] == [250] * 400
        assert codes[3] == [250] * 16 + [452] * 384
        assert send_mail(stand.smtp, message()).code == 250

    def room():
        with Client(stand.smtp) as c:
            return named(c, 400) == [250] * 400
    until("those who went give back what they had", 20, room)
