"""
What a published drain did to mail (claim, deliver, done; the key is the digest of the octets), row
by row, and what becomes of it here.
"""

import contextlib
import os
import sqlite3
import subprocess
import threading

from kit.cutter import Cutter
from kit.held import delivered, opts, send
from kit.liar import HANG_UP, Server
from kit.lmtp import Lmtp
from kit.smtp import send_mail
from kit.stand import header, message, posthouse, until


def states(stand):
    return [o["state"] for o in stand.queue("home")]


def test_death_after_the_claim__it_is_delivered_in_the_next_life(make_stand, mark):
    """There: a row is there, so it was done. Here: a claim says nothing, it is delivered once."""
    asked, over = threading.Event(), threading.Event()

    def first_session_waits(verb, session):
        if verb == b"MAIL" and session.number == 1:
            asked.set()
            over.wait(180)
            return HANG_UP
        return None

    with Server(first_session_waits) as server:
        stand = make_stand(opt=opts(f"smtp={server.where}", "connections=1"))
        send(mark)
        assert asked.wait(60) and states(stand) == ["sending"]
        stand.kill("home", "courier")
        delivered(stand)
        over.set()
        assert len(server.mails) == 1 and mark.encode() in server.mails[0][1]


def test_the_reply_is_lost__it_goes_again_and_the_reader_sees_it_once(make_stand, mark):
    """There: done, whether the server had it or not. Here: uncertain, again, under the same id."""
    with Lmtp() as boxes:
        wire = Cutter(boxes.port)
        stand = make_stand(opt=opts(f"lmtp=127.0.0.1:{wire.port}"))
        send(mark)
        delivered(stand)
        assert wire.cut == 1
        stand.logged("home", r"mail\.uncertain")
        assert len(boxes.mails("alice")) == 1, boxes.log()


def test_550__it_is_parked_once_with_the_words_and_stays(make_stand, mark):
    """There: tried for ever, until a lifecycle deletes it, and the alarm fires once only."""
    heard = []

    def refuses(verb, session):
        heard.append(verb)
        return b"550 5.2.1 this mailbox is closed\r\n" if verb == b"RCPT" else None

    def alarms():
        return [a for a in stand.status("home")["alarms"] if "parked mail" in a]

    with Server(refuses) as server:
        stand = make_stand(opt=opts(f"smtp={server.where}"))
        for again in (1, 2):
            send(mark)
            until("it is parked", 20, lambda: states(stand) == ["parked"])
            id_ = stand.queue("home")[0]["id"]
            words = stand.tool("show", id_, "-c", stand.conf("home")).stdout
            assert "550" in words and "this mailbox is closed" in words
            until("that is an alarm", 10, alarms)
            assert len(alarms()) == 1 and heard.count(b"RCPT") == again
            stand.tool("drop", id_, "--yes", "-c", stand.conf("home"))
            until("the alarm ends", 10, lambda: not alarms())


def test_two_drainers_at_once__the_second_is_refused_and_each_message_comes_once(make_stand, mark):
    """There: each delivers what both have claimed. Here: one ledger has one writer."""
    stand = make_stand(opt=opts())
    second = subprocess.run([posthouse(), "home", "-c", stand.conf("home")], check=False,
                            capture_output=True, text=True, timeout=60)
    assert second.returncode != 0 and "another posthouse works on this state" in second.stderr
    for _ in range(10):
        send(mark)
    stand.wait_marked("alice", mark, 10)
    stand.home_settled()


def test_the_same_octets_twice__both_reach_whom_they_are_for(make_stand, mark):
    """There: only the first does. Here: a message is known by its id, never by what it says."""
    same = message(mark)
    stand = make_stand(opt=opts())
    send(mark, ["alice@example.test"], body=same)
    send(mark, ["bob@example.test"], body=same)
    send(mark, ["alice@example.test", "bob@example.test"], body=same)
    for user in ("alice", "bob"):
        stand.wait_marked(user, mark, 2)


def test_a_poison_message__it_stops_nobody_and_is_shown(make_stand, mark):
    """There: it is first in the queue for ever. Here: others pass it, and its pauses grow."""
    def dies_of_it(verb, session):
        return HANG_UP if verb == b"." and b"venom" in session.octets else None

    with Server(dies_of_it) as server:
        stand = make_stand(opt=opts(f"smtp={server.where}", "connections=1"))
        send("venom-" + mark)
        until("it was tried", 20, lambda: states(stand) == ["uncertain"])
        for n in range(5):
            send(f"{n}-{mark}")
        until("the others are there", 30, lambda: len(server.mails) == 5)
        until("it is tried again", 30, lambda: stand.queue("home")[0]["tries"] > 2)
        until("and that is over", 10, lambda: states(stand) == ["uncertain"])
        id_ = stand.queue("home")[0]["id"]
        until("it is not just being delivered", 10, lambda: stand.tool(
            "park", id_, "-c", stand.conf("home"), check=False).returncode == 0)
        assert states(stand) == ["parked"]


def test_another_domain__bob_there_is_not_our_bob(make_stand, mark):
    """There: the local part alone is looked at. Here: it is parked as foreign, with an alarm."""
    stand = make_stand(opt=opts() + [
        'edge.home.home.domains={"example.test", "other.test"}'])
    send(mark, ["bob@other.test"])
    until("it is parked", 20, lambda: states(stand) == ["parked"])
    assert stand.queue("home")[0]["class"] == "foreign"
    assert stand.mails("bob") == []
    until("that is an alarm", 10, lambda: any(
        "parked mail" in a for a in stand.status("home")["alarms"]))


def test_a_tag__it_reaches_its_owner_and_not_the_catch_all(make_stand, mark):
    """There: alice+tag goes to the catch-all, from an address of the drain's own."""
    stand = make_stand(opt=opts() + ["home.mailboxes.catch_all=bob"])
    send(mark, ["alice+shop@example.test"])
    mail, = stand.wait_marked("alice", mark)
    assert header(mail, "Delivered-To") == "alice+shop@example.test"
    assert header(mail, "Return-Path") == "<a@client.test>"
    assert stand.mails("bob") == []


def folder_tag(path):
    """As doc/STORE has it: FNV-1a."""
    h = 2166136261
    for octet in path.encode():
        h = (h ^ octet) * 16777619 & 0xffffffff
    return f"F{h:08x}"


def test_off_for_a_weekend__what_a_reader_tidied_out_of_tmp_comes_anew(make_stand, mark):
    """Staged, not renamed, dead for two days; meanwhile Dovecot tidied tmp/, as all readers do."""
    stand = make_stand(opt=["home.deliver.retry_max=1s"])
    in_the_way = f"{stand.env['MAILDIR']}/alice"
    with open(in_the_way, "w", encoding="ascii"):
        pass
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    until("it waits for its mailbox", 30, lambda: states(stand) == ["deferred"])
    stand.stop("home")
    os.unlink(in_the_way)
    for part in ("", "/tmp", "/new", "/cur"):
        os.mkdir(in_the_way + part, 0o700)
    with open(f"{in_the_way}/cur/1.another:2,S", "w", encoding="ascii"):
        pass
    with contextlib.closing(sqlite3.connect(f"{stand.env['HOME_STATE']}/spool.db")) as db, db:
        db.execute("UPDATE entry SET state = 2, next = 1, name = ?",
                   (f"1.1P0{folder_tag(stand.env['MAILDIR'])}.host",))
        db.execute("UPDATE object SET state = 2, due = 0")
    stand.start("home")
    stand.wait_marked("alice", mark)
    stand.logged("home", r"mail\.deferred .* delivered anew")
