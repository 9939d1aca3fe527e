"""Held mail is judged by a real rspamd, as from its true client; and flows without it."""

import contextlib
import re
import shutil
import socket
import threading

import pytest

from kit.dns import Dns
from kit.lmtp import Lmtp
from kit.ports import free_port
from kit.rspamd import GTUBE, Rspamd
from kit.stand import message, until

CLIENT, ANOTHER = "9.9.9.9", "149.112.112.112"
RECORDS = (f'client.test. TXT "v=spf1 ip4:{CLIENT} -all"', f"client.test. A {CLIENT}")
MX = free_port()
MISSING = [p for p in ("rspamd", "unbound") if shutil.which(p) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {' '.join(MISSING)}")


@pytest.fixture(name="dns", scope="module")
def one_dns():
    with Dns(RECORDS) as d:
        yield d


@pytest.fixture(name="rspamd", scope="module")
def one_rspamd(dns):
    with Rspamd(dns.port) as r:
        yield r


def opts(where, *more):
    """At its other service the edge is told who its client is, as by a load balancer."""
    return [f'edge.service.mx.listen={{"127.0.0.1:{MX}"}}', "edge.service.mx.mode=hold",
            'edge.service.mx.home={"home"}', 'edge.service.mx.proxy_from={"127.0.0.1"}',
            "home.deliver.retry_max=1s", f"home.filter.rspamd={where}",
            "home.filter.timeout=40s", *more]


def send(text, client=CLIENT):
    """The answer to the message."""
    with socket.create_connection(("127.0.0.1", MX), 40) as s:
        s.sendall(f"PROXY TCP4 {client} 127.0.0.1 40000 25\r\n".encode())
        lines = s.makefile("rb")

        def ask(line):
            s.sendall(line)
            said = lines.readline()
            while said[3:4] == b"-":
                said = lines.readline()
            return said
        assert ask(b"").startswith(b"220")
        assert ask(b"EHLO client.test\r\n").startswith(b"250")
        assert ask(b"MAIL FROM:<a@client.test>\r\n").startswith(b"250")
        assert ask(b"RCPT TO:<alice@example.test>\r\n").startswith(b"250")
        assert ask(b"DATA\r\n").startswith(b"354")
        return ask(text + b".\r\n")


def parked(stand):
    return [o["state"] for o in stand.queue("home")] == ["parked"]


def test_a_clean_message_has_its_lines_and_was_judged_by_its_true_client(make_stand, mark, rspamd):
    stand = make_stand(opt=opts(rspamd.where))
    assert send(message(mark)).startswith(b"250")
    mail, = stand.wait_marked("alice", mark)
    id_ = re.search(rb"^X-Posthouse-Id: (\S+)$", mail, re.M).group(1)
    # Ours, then the filter's, then the message.
    assert re.match(rb"Return-Path: <a@client.test>\nDelivered-To: alice@example.test\n"
                    rb"X-Posthouse-Id: .*\n(?=(?:.*\n)*?X-Spamd-Bar: .*\n)"
                    rb"(?:(?:X-|Authentication-)\S+: .*\n(?:\t.*\n)*)+Received: ", mail), mail
    assert b"\nX-Rspamd-Queue-Id: " + id_ + b"\n" in mail

    def judgement():
        return [line for line in rspamd.log().splitlines()
                if id_.decode() in line and "ip: " in line]
    until("rspamd says what it judged", 20, judgement)
    said = judgement()[0]
    assert f"ip: {CLIENT}" in said and "from: <a@client.test>" in said, said
    assert "alice@example.test" in said
    assert stand.status("home")["alarms"] == []


def test_spf_is_judged_by_who_sent_it_to_the_edge(make_stand, mark, rspamd):
    stand = make_stand(opt=opts(rspamd.where))
    for n, (client, result) in enumerate(((CLIENT, b"pass"), (ANOTHER, b"fail")), 1):
        assert send(message(mark, f"from {client}\r\n"), client).startswith(b"250")
        mail, = [m for m in stand.wait_marked("alice", mark, n) if client.encode() in m]
        head = mail[:mail.index(b"\nReceived: ")].replace(b"\n\t", b" ")
        assert re.search(rb"^Authentication-Results: .*\bspf=" + result + rb"\b.*"
                         rb"smtp\.mailfrom=a@client\.test", head, re.M), head


def test_while_the_sender_waits_he_hears_the_refusal(make_stand, mark, rspamd):
    stand = make_stand(verdict=20, opt=opts(rspamd.where))
    assert send(message(mark, GTUBE)).startswith(b"550 5.7.1 Gtube pattern")
    until("home holds nothing", 10, lambda: stand.queue("home") == [])
    assert send(message(mark)).startswith(b"250")
    stand.wait_marked("alice", mark)


def test_what_was_accepted_is_parked_by_policy(make_stand, mark, rspamd):
    stand = make_stand(opt=opts(rspamd.where))
    assert send(message(mark, GTUBE)).startswith(b"250")
    until("it is parked", 20, lambda: parked(stand))
    id_ = stand.queue("home")[0]["id"]
    assert "Gtube pattern" in stand.tool("show", id_, "-c", stand.conf("home")).stdout
    assert stand.mails("alice") == []
    stand.logged("home", "class=policy")


def test_or_it_lies_in_junk(make_stand, mark, rspamd):
    stand = make_stand(opt=opts(rspamd.where, "home.filter.on_reject=junk"))
    assert send(message(mark, GTUBE)).startswith(b"250")
    mail, = stand.wait_marked("alice/.Junk", mark)
    assert b"\nX-Spam: Yes\n" in mail
    assert stand.mails("alice") == []


def test_a_mail_server_gets_it_judged(make_stand, mark, rspamd):
    with Lmtp() as end:
        stand = make_stand(opt=opts(rspamd.where, f"home.deliver.lmtp=127.0.0.1:{end.port}",
                                    "home.filter.on_reject=junk"))
        for body in (GTUBE, "clean\r\n"):
            assert send(message(mark, body)).startswith(b"250")
        until("both are there", 30, lambda: len(end.mails("alice")) == 2)
        stand.home_settled()
        clean, = [m for m in end.mails("alice") if b"clean" in m]
        spam, = [m for m in end.mails("alice") if b"GTUBE" in m]
        assert b"X-Spam: Yes" in spam and b"X-Spam: " not in clean
        id_ = re.search(rb"^X-Posthouse-Id: (\S+?)\r?$", clean, re.M).group(1)
        assert b"X-Rspamd-Queue-Id: " + id_ in clean


def test_without_the_filter_mail_flows_and_status_says_so(make_stand, mark, dns):
    with Rspamd(dns.port) as own:
        stand = make_stand(opt=opts(own.where, "home.filter.timeout=10s"))
        own.stop_answering()
        assert send(message(mark, GTUBE)).startswith(b"250")
        stand.wait_marked("alice", mark)
        until("it is said", 10, lambda: [a for a in stand.status("home")["alarms"]
                                         if "delivered unjudged" in a])
        own.kill()
        for n in range(2, 5):
            assert send(message(mark, GTUBE)).startswith(b"250")
            stand.wait_marked("alice", mark, n)
        stand.logged("home", r"filter\.down")
        assert stand.log("home").count("filter.down") == 1, "once per change"
        own.start()

        def judged():
            assert send(message(mark, GTUBE)).startswith(b"250")
            return "parked" in [o["state"] for o in stand.queue("home")]
        until("it judges again", 60, judged, 1)
        stand.logged("home", r"filter\.up")
        assert stand.log("home").count("filter.up") == 1
        until("and that is said", 10, lambda: not [a for a in stand.status("home")["alarms"]
                                                   if "unjudged" in a])


class Impostor:
    """Listens where rspamd should, and says one thing to everybody; usable as a context."""

    def __init__(self, says):
        self.says, self.heard = says, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.where = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def serve(self):
        try:
            while True:
                with self.listener.accept()[0] as s, contextlib.suppress(ConnectionError):
                    self.heard.append(s.recv(65536))
                    s.sendall(self.says)
        except OSError:
            pass        # close() was called

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.thread.join(60)


@pytest.mark.parametrize("says", [
    pytest.param(b"554 go away\r\n", id="no HTTP"),
    pytest.param(b"HTTP/1.1 200 OK\r\n\r\n<html>" + b"x" * 100000, id="no rspamd"),
    pytest.param(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"action":"reject"', id="half"),
])
def test_whatever_else_is_there_mail_flows(make_stand, mark, says):
    with Impostor(says) as other:
        stand = make_stand(opt=opts(other.where))
        for n in range(1, 5):
            assert send(message(mark, GTUBE)).startswith(b"250")
            stand.wait_marked("alice", mark, n)
        until("it is said", 10, lambda: [a for a in stand.status("home")["alarms"]
                                         if "delivered unjudged" in a])
        assert stand.status("home")["filter"]["trouble"]
        until("four are counted", 10, lambda: stand.counter("home", "unjudged") >= 4)
        assert stand.counter("home", "unjudged") == 4
    # rspamd would find the address in our Received line, had we not told it: look ourselves.
    for line in (f"IP: {CLIENT}", "Helo: client.test", "From: <a@client.test>",
                 "Rcpt: <alice@example.test>"):
        assert f"\r\n{line}\r\n".encode() in other.heard[0], other.heard[0]
