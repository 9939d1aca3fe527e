"""Held mail goes into the mail servers that people run, once, as from its true client."""

import re
import subprocess

import pytest

from kit.cutter import Cutter
from kit.held import CLIENT, delivered, opts, send, shown
from kit.liar import Server
from kit.lmtp import Lmtp
from kit.mtas import Postfix
from kit.ports import free_port
from kit.smtp import Client, send_mail
from kit.stand import message, until

TAKES = "local_transport = discard:"


def test_postfix_takes_the_client_by_xclient(make_stand, mark):
    with Postfix(main=(TAKES, "smtpd_authorized_xclient_hosts = 127.0.0.1"), options="") as mta:
        stand = make_stand(opt=opts(f"smtp={mta.where}"))
        send(mark)
        send(mark, client="8.8.4.4")
        delivered(stand, 2)
        mta.logged("status=sent", times=2)
        for client in (CLIENT, "8.8.4.4"):
            assert mta.log().count(f"client=unknown[{client}]") == 1, mta.log()
        assert shown(stand) == ("smtp", "xclient", [])
        # What it honours is what the edge announces.
        until("policy", 10, lambda: size_at(stand) == 10240000 - 2048)


def size_at(stand):
    with Client(stand.smtp) as c:
        found = re.search(r"SIZE (\d+)", c.hello().text)
        return found and int(found.group(1))


def test_the_passed_services_backend_is_the_default_and_sees_the_client_by_proxy(make_stand, mark):
    with Postfix(main=(TAKES,)) as mta:
        stand = make_stand(opt=opts("via=service smtp", "connections=2") +
                           [f"home.service.smtp.backend={mta.where}"])
        send(mark)
        send(mark, client="8.8.4.4")
        delivered(stand, 2)
        mta.logged("status=sent", times=2)
        for client in (CLIENT, "8.8.4.4"):
            assert mta.log().count(f"client=unknown[{client}]") == 1, mta.log()
        assert shown(stand) == ("smtp", "proxy", [])


def test_status_says_where_held_mail_skips_filters(make_stand, mark):
    with Postfix(main=(TAKES,), options="") as mta:
        stand = make_stand(opt=opts(f"smtp={mta.where}") +
                           ["home.service.smtp.backend=127.0.0.1:9"])
        send(mark)
        delivered(stand)
        by, identity, notes = shown(stand)
        assert (by, identity) == ("smtp", "none")
        assert ["skips your filters" in n for n in notes] == [True, False], notes
        assert "sees this machine" in notes[1]
        page = stand.tool("status", "-c", stand.conf("home")).stdout
        assert "by SMTP to " + mta.where + ", which is not told" in page and notes[0] in page


def test_another_backend_is_taken_by_sighup_and_another_port_is_refused(make_stand, mark):
    port = free_port()
    with Server(proxy=True, at="127.0.0.2", port=port) as first, \
            Server(proxy=True, port=port) as second:
        stand = make_stand(opt=opts("via=service smtp") +
                           [f"home.service.smtp.backend={first.where}"])
        send(mark)
        delivered(stand)
        stand.change("home", first.where, second.where)
        stand.hup("home")
        until("it is taken", 10, lambda: "held mail goes there" in stand.log("home"))
        send(mark, client="8.8.4.4")
        delivered(stand, 2)
        assert [[m[2] for m in s.mails] for s in (first, second)] == [[CLIENT], ["8.8.4.4"]]
        stand.change("home", f":{port}", ":9")
        stand.hup("home")
        until("the other port is refused", 10, lambda: any(
            "service.backend" in a and "restart" in a for a in stand.status("home")["alarms"]))


def test_an_address_of_ours_is_never_replayed(make_stand, mark):
    with Postfix(main=(TAKES, "smtpd_authorized_xclient_hosts = 127.0.0.1"), options="") as mta:
        stand = make_stand(opt=opts(f"smtp={mta.where}"))
        send(mark, client="127.0.0.1")
        delivered(stand)
        mta.logged(r"client=unknown\[unknown\]")


def test_by_proxy_an_address_of_ours_is_nobodys(make_stand, mark):
    """The dummy address of RFC 7600, which no server trusts."""
    with Server(proxy=True) as server:
        stand = make_stand(opt=opts("via=service smtp") +
                           [f"home.service.smtp.backend={server.where}"])
        for n, client in enumerate(("127.0.0.1", "192.168.1.20", "100.64.0.9"), 1):
            send(mark, client=client)
            delivered(stand, n)
        assert [m[2] for m in server.mails] == ["192.0.0.8"] * 3


@pytest.mark.parametrize("road", ["tcp", "unix"])
def test_dovecot_lmtp_keeps_it_once(make_stand, mark, road):
    with Lmtp() as end:
        where = f"127.0.0.1:{end.port}" if road == "tcp" else f"{end.dir}/lmtp"
        stand = make_stand(opt=opts(f"lmtp={where}"))
        for _ in range(5):
            send(mark, ("alice@example.test", "bob+tag@example.test"))
        delivered(stand, 10)
        for user in ("alice", "bob"):
            mails = end.mails(user)
            assert len(mails) == 5, end.log()
            assert all(mark.encode() in m and b"\n." + mark.encode() + b"\n..\n" in
                       m.replace(b"\r\n", b"\n") for m in mails)
            assert len({re.search(rb"X-Posthouse-Id: (\S+)", m).group(1) for m in mails}) == 5
        if road == "tcp":
            stand.logged("home", "identity=xclient")


def test_dovecot_forgets_none_of_many_that_come_at_once(make_stand, mark):
    """Two deliveries at once into a mailbox, and its list of what was there lacks one of them."""
    with Lmtp() as end:
        stand = make_stand(opt=opts(f"lmtp=127.0.0.1:{end.port}", "connections=8"))
        stand.stop("home")
        for _ in range(20):
            for rcpts in (["alice@example.test"], ["bob@example.test"],
                          ["alice@example.test", "bob@example.test"]):
                send(mark, rcpts)
        stand.start("home")
        delivered(stand, 80)
        for user in ("alice", "bob"):
            until(f"all of {user}'s are remembered", 10,
                  lambda u=user: end.remembered(u) == len(end.mails(u)))


def test_a_lost_answer_is_uncertain_and_the_recipe_hides_the_second_copy(make_stand, mark):
    with Lmtp() as end:
        cutter = Cutter(end.port)
        stand = make_stand(opt=opts(f"lmtp=127.0.0.1:{cutter.port}"))
        send(mark)
        delivered(stand)
        assert cutter.cut == 1
        stand.logged("home", r"mail\.uncertain")
        assert len(end.mails("alice")) == 1, end.log()
        until("Dovecot logs what the recipe did", 10, lambda: "discard" in end.log())


def sink(port, *words):
    return subprocess.Popen(["smtp-sink", "-u", "nobody", *words, "-c", f"127.0.0.1:{port}", "100"],
                            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def test_what_is_refused_for_now_is_deferred_and_then_delivered(make_stand, mark):
    port = free_port()
    child = sink(port, "-r", "RCPT")
    stand = make_stand(opt=opts(f"smtp=127.0.0.1:{port}"))
    try:
        send(mark)
        until("it is deferred", 10, lambda: "mail.deferred" in stand.log("home"))
        child.terminate()
        child.wait()
        until("the server is missed", 10, lambda: "courier.server pause_ms" in stand.log("home"))
        child = sink(port)
        delivered(stand)
    finally:
        child.terminate()
        child.wait()


def test_what_is_refused_for_good_is_parked_with_the_words(make_stand, mark):
    port = free_port()
    child = sink(port, "-f", "DATA")
    stand = make_stand(opt=opts(f"smtp=127.0.0.1:{port}"))
    try:
        send(mark)
        until("it is parked", 15, lambda: [o["state"] for o in stand.queue("home")] == ["parked"])
        id_ = stand.queue("home")[0]["id"]
        assert "500" in stand.tool("show", id_, "-c", stand.conf("home")).stdout
    finally:
        child.terminate()
        child.wait()


def test_a_sender_that_still_waits_hears_the_servers_refusal(make_stand, mark):
    port = free_port()
    child = sink(port, "-f", "DATA")
    stand = make_stand(verdict=20, opt=opts(f"smtp=127.0.0.1:{port}"))
    try:
        send(mark, end=b"500")
        stand.edge_empty()
        until("home keeps nothing of it", 10, lambda: stand.queue("home") == [])
        stand.logged("home", r"mail\.refused")
    finally:
        child.terminate()
        child.wait()


def test_a_server_that_decides_who_exists_is_asked_by_the_delivery(make_stand, mark):
    with Lmtp(("alice", "bob", "carol")) as end:
        stand = make_stand(verdict=20, opt=opts(f"lmtp=127.0.0.1:{end.port}"))
        stand.change("home", "mailboxes {", "mailboxes {\n\tcallout = true")
        stand.hup("home")
        until("anybody is taken at RCPT", 10, lambda: routed(stand, "zed@example.test"))

        def answer(*rcpts):
            return send_mail(stand.smtp, message(mark), rcpts=[f"{r}@example.test" for r in rcpts])

        until("the edge has heard it", 10, lambda: taken(stand, "zed@example.test"))
        assert answer("carol").code == 250
        until("carol has it", 10, lambda: len(end.mails("carol")) == 1)
        refusal = answer("zed")
        assert refusal.code == 550 and "5.1.1" in refusal.text, refusal.text
        assert answer("alice", "nobody").code == 250
        until("alice has it", 10, lambda: len(end.mails("alice")) == 1)
        until("of all that only the rest is here, parked", 10, lambda: [
            o["state"] for o in stand.queue("home")] == ["parked"])
        assert "policy" in str(stand.queue("home"))


def routed(stand, address):
    r = stand.tool("route", "-c", stand.conf("home"), "--json", address, check=False)
    return '"mailbox": "zed@example.test"' in r.stdout and "mail server is asked" in r.stdout


def taken(stand, address):
    with Client(stand.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<a@client.test>")
        return c.cmd(f"RCPT TO:<{address}>").code == 250


def test_a_courier_that_dies_in_the_middle_delivers_it_in_its_next_life(make_stand, mark):
    with Lmtp() as end:
        cutter = Cutter(end.port)
        cutter.hang = True
        stand = make_stand(opt=opts(f"lmtp=127.0.0.1:{cutter.port}"))
        send(mark)
        until("dovecot has said that it has it", 15, lambda: cutter.cut)
        assert len(end.mails("alice")) == 1
        assert [o["state"] for o in stand.queue("home")] == ["sending"]
        stand.kill("home", "courier")
        delivered(stand)
        assert len(end.mails("alice")) == 1, end.log()


@pytest.mark.parametrize("fault", [("-q", "DATA"), ("-q", "."), ("-Q", "RCPT"), ("-W", "1:1")])
def test_a_server_that_hangs_up_loses_nothing(make_stand, mark, fault):
    port = free_port()
    child = sink(port, *fault)
    stand = make_stand(opt=opts(f"smtp=127.0.0.1:{port}"))
    try:
        send(mark)
        until("it was tried", 15, lambda: re.search(r"mail\.(deferred|uncertain|delivered)",
                                                    stand.log("home")))
        child.terminate()
        child.wait()
        child = sink(port)
        delivered(stand)
    finally:
        child.terminate()
        child.wait()
