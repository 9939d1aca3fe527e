"""Who is at home, known at the edge: strangers to a home are refused at RCPT, home or away."""

import os
import signal
import time

from kit.smtp import Client, send_mail
from kit.stand import message, until


def rcpt(stand, address):
    with Client(stand.smtp) as c:
        c.hello()
        c.cmd("MAIL FROM:<a@client.test>")
        return c.cmd(f"RCPT TO:<{address}>")


def change(stand, old, new):
    with open(stand.conf("home"), encoding="utf-8") as f:
        text = f.read()
    assert old in text
    with open(stand.conf("home"), "w", encoding="utf-8") as f:
        f.write(text.replace(old, new))
    os.kill(stand.pid("home"), signal.SIGHUP)


def knows(stand):
    until("the edge has home's list", 10, lambda: rcpt(stand, "carol@example.test").code == 550)


def test_an_edge_refuses_whom_home_does_not_have(make_stand, mark):
    stand = make_stand()
    knows(stand)
    assert rcpt(stand, "carol@example.test").text.startswith("550 5.1.1")
    for good in ("alice@example.test", "ALICE@example.test", "alice+shop@example.test",
                 "postmaster@example.test", '"alice"@example.test'):
        assert rcpt(stand, good).code == 250, good
    (peer,) = stand.status("edge")["peers"]
    assert peer["recipients"] == 3 and peer["list_stale"] is False
    stand.stop("home")
    assert rcpt(stand, "carol@example.test").code == 550
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.start("home")
    stand.wait_marked("alice", mark)


def test_a_change_at_home_is_live_at_the_edge_within_two_seconds(make_stand):
    stand = make_stand()
    knows(stand)
    began = time.monotonic()
    change(stand, '"alice", "bob"', '"alice", "carol"')
    until("carol is known", 10, lambda: rcpt(stand, "carol@example.test").code == 250)
    assert time.monotonic() - began < 2
    assert rcpt(stand, "bob@example.test").code == 550


def test_rules_of_a_domain_count_at_the_edge(make_stand, mark):
    stand = make_stand()
    knows(stand)
    change(stand, "mailboxes {", 'domain "example.test" { aliases = {"sales: bob"} dots = false '
           'tags = "-" case = true }\nmailboxes {')
    until("the rules are known", 10, lambda: rcpt(stand, "sales@example.test").code == 250)
    for good in ("al.ice-shop@example.test", "SALES-x@example.test", "a.l.i.c.e@example.test"):
        assert rcpt(stand, good).code == 250, good
    assert rcpt(stand, "alice+shop@example.test").code == 550
    rcpts = ["sa.les-x@example.test"]
    assert send_mail(stand.smtp, message(subject=mark), rcpts=rcpts).code == 250
    stand.wait_marked("bob", mark)


def test_a_catch_all_takes_everybody(make_stand):
    stand = make_stand()
    knows(stand)
    change(stand, "mailboxes {", 'mailboxes {\n\tcatch_all = "alice"\n')
    until("anybody is taken", 10, lambda: rcpt(stand, "carol@example.test").code == 250)
    change(stand, 'catch_all = "alice"', "edges_refuse = false")
    time.sleep(1)
    assert rcpt(stand, "carol@example.test").code == 250
    change(stand, "edges_refuse = false", "")
    until("carol is refused again", 10, lambda: rcpt(stand, "carol@example.test").code == 550)
