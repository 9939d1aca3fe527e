"""Who is at home, known at the edge: strangers to a home are refused at RCPT, home or away."""

import json
import os
import time

from kit.smtp import Client, send_mail
from kit.stand import message, quickest, until


def rcpt(stand, address):
    with Client(stand.smtp) as c:
        c.hello()
        c.cmd("MAIL FROM:<a@client.test>")
        return c.cmd(f"RCPT TO:<{address}>")


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

    def changed(i):
        was, comes = ("carol", "bob") if i % 2 else ("bob", "carol")
        stand.change("home", f'"alice", "{was}"', f'"alice", "{comes}"')
        stand.hup("home")
        until(f"{comes} is known", 10, lambda: rcpt(stand, f"{comes}@example.test").code == 250)
    assert quickest(3, changed) < 2
    assert rcpt(stand, "bob@example.test").code == 550


def test_rules_of_a_domain_count_at_the_edge(make_stand, mark):
    stand = make_stand()
    knows(stand)
    stand.change("home", "mailboxes {", 'domain "example.test" { aliases = {"sales: bob"} '
                 'dots = false tags = "-" case = true }\nmailboxes {')
    stand.hup("home")
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
    stand.change("home", "mailboxes {", 'mailboxes {\n\tcatch_all = "alice"\n')
    stand.hup("home")
    until("anybody is taken", 10, lambda: rcpt(stand, "carol@example.test").code == 250)
    stand.change("home", 'catch_all = "alice"', "edges_refuse = false")
    stand.hup("home")
    time.sleep(1)
    assert rcpt(stand, "carol@example.test").code == 250
    stand.change("home", "edges_refuse = false", "")
    stand.hup("home")
    until("carol is refused again", 10, lambda: rcpt(stand, "carol@example.test").code == 550)


def kept(stand, folder):
    """The file in which the edge keeps what its one home said."""
    (home,) = [p["name"] for p in stand.status("edge")["peers"]]
    return os.path.join(stand.dir, "edge", folder, home)


def bans_kept(stand):
    path = kept(stand, "bans")
    if not os.path.exists(path):
        return 0
    with open(path, encoding="ascii") as f:
        return f.read().count("net")


def test_an_edge_that_starts_anew_while_home_is_away_knows_what_home_said_last(make_stand, mark):
    stand = make_stand()
    knows(stand)
    stand.tool("ban", "198.51.100.0/24", "-c", stand.conf("home"))
    stand.tool("ban", "203.0.113.7", "--for", "1h", "-c", stand.conf("home"))
    until("policy and bans are kept", 15, lambda: os.path.exists(kept(stand, "policies")) and
          bans_kept(stand) == 2)
    (before,) = stand.status("edge")["peers"]
    stand.stop("home")
    stand.kill("edge")
    stand.start("edge")
    assert rcpt(stand, "carol@example.test").text.startswith("550 5.1.1")
    assert rcpt(stand, "alice+shop@example.test").code == 250
    assert rcpt(stand, "postmaster@example.test").code == 250
    with Client(stand.smtp) as c:
        offers = c.hello().text
    assert "DSN" in offers and "SMTPUTF8" in offers
    (peer,) = stand.status("edge")["peers"]
    assert (peer["recipients"], peer["list_ms"]) == (before["recipients"], before["list_ms"])
    assert peer["connections"] == 0 and peer["list_stale"] is False
    for what in ("policy", "bans"):
        said = f"said.recalled home=home what={what}"
        stand.logged("edge", said)
        assert stand.log("edge").count(said) == 1
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.start("home")
    stand.wait_marked("alice", mark)
    stand.change("home", '"alice", "bob"', '"alice", "carol"')
    stand.hup("home")
    until("home is heard again", 10, lambda: rcpt(stand, "carol@example.test").code == 250)


def test_a_kept_list_is_as_old_as_it_is(make_stand):
    stand = make_stand()
    knows(stand)
    until("policy is kept", 15, lambda: os.path.exists(kept(stand, "policies")))
    name = kept(stand, "policies")
    stand.stop("home")
    stand.stop("edge")
    with open(name, encoding="utf-8") as f:
        said = json.load(f)
    assert [d["name"] for d in said["domains"]] == ["example.test"]
    said["domains"][0]["learned_ms"] -= said["stale_after_ms"] + 60000
    with open(name, "w", encoding="utf-8") as f:
        json.dump(said, f)
    stand.start("edge")
    assert rcpt(stand, "carol@example.test").text.startswith("450 4.1.1")
    assert rcpt(stand, "alice@example.test").code == 250
    (peer,) = stand.status("edge")["peers"]
    assert peer["list_stale"] is True


def test_a_kept_list_that_is_damaged_is_said_and_refuses_nobody(make_stand):
    stand = make_stand()
    knows(stand)
    until("policy is kept", 15, lambda: os.path.exists(kept(stand, "policies")))
    name = kept(stand, "policies")
    stand.stop("home")
    stand.stop("edge")
    with open(name, "r+b") as f:
        f.truncate(40)
    stand.start("edge")
    assert rcpt(stand, "carol@example.test").code == 250
    stand.logged("edge", r"said\.lost")
    stand.tool("unpair", "home", "-c", stand.conf("edge"))
    assert not os.path.exists(name)
