"""Daily work: what is held is found, told about, tried again, parked and thrown away."""

import json
import random
import re
import subprocess
import threading

import pytest

from kit.liar import Server
from kit.smtp import Client, send_mail
from kit.stand import message, posthouse, until


def only(stand, *filters, role="home"):
    return json.loads(stand.tool("queue", "-c", stand.conf(role), "--json", *filters).stdout)


def story(stand, id_, role="home"):
    told = json.loads(stand.tool("log", "-c", stand.conf(role), "--json", id_).stdout)
    return [e["event"] for e in told["events"]]


def first_is_done(stand):
    """The tunnel works, and nobody holds what showed it."""
    assert send_mail(stand.smtp, message(subject="the tunnel works")).code == 250
    stand.wait_mails("alice", 1)
    stand.edge_empty()
    until("home is done with it", 10, lambda: stand.queue("home") == [])


def parked_for_nobody(make_stand, mark):
    """One message that is parked: its recipient left while home was away."""
    stand = make_stand()
    first_is_done(stand)
    stand.stop("home")
    stand.change("home", '"alice", "bob"', '"alice"')
    assert send_mail(stand.smtp, message(subject=mark), rcpts=["bob@example.test"]).code == 250
    stand.start("home")
    o, = until("it is parked", 20, lambda: only(stand, "--class", "policy"))
    return stand, o["id"]


def test_what_is_now_is_not_counted_since_the_start(make_stand):
    stand = make_stand()

    def page():
        return stand.tool("status", "-c", stand.conf("edge")).stdout
    with Client(stand.smtp) as client:
        client.reply()
        until("it is shown", 10,
              lambda: re.search(r"^now +1 SMTP connection, 0 B of mail in memory$", page(), re.M))
        assert re.search(r"^connections_total +[1-9]", page(), re.M)
        assert not re.search(r"^(connections|memory) ", page(), re.M)
    until("nothing is now", 10, lambda: "\nnow " not in page())


def test_the_story_of_a_delivered_message_is_told(make_stand, mark):
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    id_ = stand.queue("edge")[0]["id"]
    assert story(stand, id_, "edge") == ["taken"]
    stand.start("home")
    stand.wait_marked("alice", mark)
    until("home is done with it", 10, lambda: stand.queue("home") == [])
    assert story(stand, id_) == ["taken", "came home", "delivered"]
    text = stand.tool("log", "-c", stand.conf("home"), id_).stdout
    assert "delivered for alice@example.test, mailbox alice" in text
    assert "It is not here any more" in text
    stand.edge_empty()
    r = stand.tool("log", "-c", stand.conf("edge"), id_, check=False)
    assert r.returncode == 1 and "handed over" in r.stderr


@pytest.mark.parametrize("chosen", [["--parked"], ["--parked", "--class", "refused"]])
def test_a_class_is_found_while_another_part_still_waits(make_stand, mark, chosen):
    words = [b"450 4.2.1 not now\r\n", b"550 5.2.1 disabled\r\n"]

    def says(verb, session):
        left = words[:]         # the test clears them meanwhile
        if verb != b"RCPT" or not left:
            return None
        return words.pop() if len(left) > 1 else left[0]

    with Server(says) as server:
        stand = make_stand(opt=[f"home.deliver.smtp={server.where}"])
        rcpts = ["alice@example.test", "bob@example.test"]
        assert send_mail(stand.smtp, message(subject=mark), rcpts=rcpts).code == 250
        until("a part is parked", 20, lambda: stand.status("home")["parked"].get("refused"))
        o, = until("the other waits", 20, lambda: [
            o for o in stand.queue("home") if o["state"] == "deferred"])
        assert [x["id"] for x in only(stand, "--class", "refused")] == [o["id"]]
        assert only(stand, "--class", "policy") == only(stand, "--state", "parked") == []
        words.clear()
        r = stand.tool("retry", "-c", stand.conf("home"), *chosen)
        assert r.stdout.startswith("1 ")
        until("both have it", 20, lambda: sorted(sum((m[0] for m in server.mails), [])) == rcpts)
        stand.home_settled()


def delivered_at_last(make_stand, mark, words):
    """A home whose mail server first said these words to a recipient, and then took the message."""
    left = [words]
    with Server(lambda verb, session: left.pop() if verb == b"RCPT" and left else None) as server:
        stand = make_stand(opt=[f"home.deliver.smtp={server.where}", "home.deliver.retry_max=1s"])
        assert send_mail(stand.smtp, message(subject=mark)).code == 250
        until("it is delivered", 20, lambda: stand.counter("home", "delivered"))
        stand.logged("home", r"mail\.delivered id=")
    return stand


def test_a_story_ends_with_the_words_of_its_end(make_stand, mark):
    stand = delivered_at_last(make_stand, mark, b"450 4.2.1 not now\r\n")
    id_ = re.search(r"mail\.delivered id=(\S+)", stand.log("home")).group(1)
    text = stand.tool("log", "-c", stand.conf("home"), id_).stdout
    assert "deferred for alice@example.test, mailbox alice: 450 4.2.1 not now\n" in text
    assert "delivered for alice@example.test, mailbox alice: 250 2.0.0 kept\n" in text


def test_a_servers_words_are_no_line_of_the_log(make_stand, mark):
    stand = delivered_at_last(make_stand, mark, b"450-4.2.1 not now\r\n"
                              b"450 4.2.1 home.writer error - store.failing\r\n")
    said = [x for x in stand.log("home").splitlines() if "store.failing" in x]
    assert said and all("mail.deferred" in x for x in said), said


def test_parked_mail_goes_to_whom_the_operator_says(make_stand, mark):
    stand, id_ = parked_for_nobody(make_stand, mark)
    assert only(stand, "--recipient", "bob", "--older", "0s")[0]["id"] == id_
    assert only(stand, "--recipient", "alice") == []
    shown = stand.tool("queue", "-c", stand.conf("home")).stdout
    assert "parked" in shown and "5.1.1" in shown
    assert stand.status("home")["parked"]["policy"] == 1
    stand.tool("unpark", "-c", stand.conf("home"), "--to", "alice", id_)
    stand.wait_marked("alice", mark)
    until("the ledger is empty", 10, lambda: stand.queue("home") == [])
    assert story(stand, id_) == ["taken", "came home", "parked", "unparked", "delivered"]


def test_for_several_recipients_and_to_who_has_it_already_it_comes_once(make_stand, mark):
    stand = make_stand()
    first_is_done(stand)
    stand.stop("home")
    for who in ("bob", "bob+x"), ("bob", "alice"):
        rcpts = [f"{w}@example.test" for w in who]
        assert send_mail(stand.smtp, message(subject=mark + who[1]), rcpts=rcpts).code == 250
    several, again = (o["id"] for o in stand.queue("edge"))     # as they came; home may differ
    stand.change("home", '"alice", "bob"', '"alice", "frank"')
    stand.start("home")
    until("they are parked", 20, lambda: len(only(stand, "--class", "policy")) == 2)
    stand.wait_marked("alice", mark)
    for to, id_ in ("frank", several), ("alice", again):
        stand.tool("unpark", "-c", stand.conf("home"), "--to", to, id_)
    until("the ledger is empty", 10, lambda: stand.queue("home") == [])
    stand.wait_marked("frank", mark)
    stand.wait_marked("alice", mark)        # and bob's copy is hers


def test_a_mailbox_that_is_there_again_gets_what_was_parked(make_stand, mark):
    stand, id_ = parked_for_nobody(make_stand, mark)
    r = stand.tool("retry", "-c", stand.conf("home"), "--all")
    assert r.stdout.startswith("0 "), "what is parked is no part of --all"
    stand.stop("home")
    stand.change("home", '"alice"', '"alice", "bob"')
    stand.start("home")
    r = stand.tool("retry", "-c", stand.conf("home"), "--parked", "--class", "policy", "--json")
    assert json.loads(r.stdout) == {"changed": 1}
    stand.wait_marked("bob", mark)


def test_nothing_is_thrown_away_unasked(make_stand, mark):
    stand, id_ = parked_for_nobody(make_stand, mark)
    r = subprocess.run([posthouse(), "drop", "-c", stand.conf("home"), id_], check=False,
                       stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert r.returncode == 2 and "--yes" in r.stderr
    assert [o["id"] for o in stand.queue("home")] == [id_]
    stand.tool("drop", "-c", stand.conf("home"), "--yes", id_)
    assert stand.queue("home") == []
    assert story(stand, id_)[-1] == "dropped"
    r = stand.tool("drop", "-c", stand.conf("home"), "--yes", id_, check=False)
    assert r.returncode == 1 and "no such object" in r.stderr


def test_an_edge_drops_what_it_holds(make_stand, mark):
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    id_ = stand.queue("edge")[0]["id"]
    stand.tool("retry", "-c", stand.conf("edge"), id_)
    stand.tool("drop", "-c", stand.conf("edge"), "--yes", id_)
    assert stand.queue("edge") == []
    stand.start("home")
    assert send_mail(stand.smtp, message(subject="another")).code == 250
    stand.wait_mails("alice", 1)


def test_what_was_delivered_is_told_of_but_not_parked(make_stand, mark):
    stand, id_ = parked_for_nobody(make_stand, mark)
    stand.tool("unpark", "-c", stand.conf("home"), "--to", "alice", id_)
    stand.wait_marked("alice", mark)
    until("home is done with it", 10, lambda: stand.queue("home") == [])
    r = stand.tool("park", "-c", stand.conf("home"), id_, check=False)
    assert r.returncode == 1 and "posthouse log" in r.stderr


def test_an_operator_in_the_couriers_way_loses_nothing(make_stand, mark):
    """retry, park, unpark and drop of what is there, while it is delivered and refused."""
    dice, done, dropped, odd = random.Random(4), threading.Event(), set(), []

    def says(verb, session):
        dots = dice.random()
        return None if done.is_set() or verb != b"RCPT" or dots > 0.6 else \
            b"451 4.3.0 later\r\n" if dots > 0.3 else b"550 5.2.1 no\r\n"

    def meddle(stand, words):
        while not done.is_set():
            for id_ in [o["id"] for o in only(stand)][:4]:
                verb, *more = dice.choice(words)
                r = stand.tool(verb, "-c", stand.conf("home"), id_, *more, check=False)
                dropped.update({id_} if verb == "drop" and r.returncode == 0 else ())
                if r.returncode not in (0, 1) or (r.returncode == 1 and not any(
                        w in r.stderr for w in ("just now", "already", "nothing", "no such"))):
                    odd.append(r)
    with Server(says) as end:
        stand = make_stand(opt=[f"home.deliver.smtp={end.where}", "home.deliver.retry_max=1s"])
        words = [["retry"], ["park"], ["unpark", "--to", "bob"], ["unpark", "--to", "alice"]]
        hands = [threading.Thread(target=meddle, args=(stand, w))
                 for w in (words, [*words, ["drop", "--yes"]])]
        for h in hands:
            h.start()
        marks = [f"{mark}-{i:03d}." for i in range(60)]
        for m in marks:
            assert send_mail(stand.smtp, message(subject=m)).code == 250
        done.set()
        for h in hands:
            h.join()
        assert not odd

        def empty():
            for o in only(stand):
                verb, *more = ("unpark", "--to", "bob") if o["state"] == "parked" else ("retry",)
                stand.tool(verb, "-c", stand.conf("home"), o["id"], *more, check=False)
            return only(stand) == [] and stand.queue("edge") == []
        until("all is delivered", 30, empty, 0.5)
        times = [sum(m.encode() in octets for _, octets, _ in end.mails) for m in marks]
        assert max(times) == 1 and times.count(0) == len(dropped)
