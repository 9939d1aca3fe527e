"""verdict = Ns: home's word comes before the sender's answer, by the rules of doc/TUNNEL."""

import os
import time

from kit.ports import free_port
from kit.smtp import Client, send_mail
from kit.stand import message, until
from kit.wires import Cutter


def test_250_means_delivered(make_stand, mark):
    stand = make_stand(verdict=60)
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    # No waiting here: it was in the mailbox before the answer.
    assert len([m for m in stand.mails("alice") if mark.encode() in m]) == 1
    stand.edge_empty()
    assert stand.counter("edge", "verdicts_asked") >= 1


def test_home_away_is_plain_hold(make_stand, mark):
    stand = make_stand(verdict=40)
    stand.stop("home")
    began = time.monotonic()
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    assert time.monotonic() - began < 40, "nobody to ask: no wait"
    assert stand.counter("edge", "verdicts_asked") == 0
    stand.start("home")
    stand.wait_marked("alice", mark)


def home_again(stand):
    """And the edge can ask it: home may know first that they are connected."""
    stand.start("home")
    edge_has_home(stand)


def edge_has_home(stand):
    until("the edge has home", 20, lambda: stand.status("edge")["peers"][0]["connections"] > 0)


def removed_user(stand):
    """bob leaves while the edge still believes in him: home refuses what the edge accepted."""
    stand.stop("home")
    with open(stand.conf("home"), encoding="utf-8") as f:
        text = f.read()
    with open(stand.conf("home"), "w", encoding="utf-8") as f:
        f.write(text.replace('"alice", "bob"', '"alice"'))


def test_some_accepted_is_250_and_the_rest_parked(make_stand, mark):
    stand = make_stand(verdict=60)
    stall(stand)
    with Client(stand.smtp) as c:
        c.hello()
        c.begin("s@client.test", ["alice@example.test", "bob@example.test"])
        removed_user(stand)
        home_again(stand)
        assert c.data(message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)
    until("bob's part is parked", 20,
          lambda: [o for o in stand.queue("home") if o["state"] == "parked"])


def stall(stand):
    assert send_mail(stand.smtp, message(subject="the tunnel works")).code == 250


def test_all_refused_is_5xx_with_homes_words(make_stand, mark):
    stand = make_stand(verdict=60)
    with Client(stand.smtp) as c:
        c.hello()
        c.begin("s@client.test", ["bob@example.test"])
        removed_user(stand)
        home_again(stand)
        r = c.data(message(subject=mark))
        assert r.code == 550 and " 5.1.1 " in r.text, r.text
    stand.edge_empty()
    until("home forgot it", 20, lambda: stand.queue("home") == [])
    assert stand.mails("bob") == []


def test_refused_after_250_is_parked(make_stand, mark):
    stand = make_stand()
    with Client(stand.smtp) as c:
        c.hello()
        c.begin("s@client.test", ["bob@example.test"])
        removed_user(stand)
        assert c.data(message(subject=mark)).code == 250
    stand.start("home")
    until("parked", 20, lambda: [o["state"] for o in stand.queue("home")] == ["parked"])
    entry, = stand.queue("home")
    shown = stand.tool("show", entry["id"], "-c", stand.conf("home")).stdout
    assert "bob" in shown and "5.1.1" in shown
    assert mark.encode() in stand.tool("open", entry["id"], "-c", stand.conf("home"),
                                       text=False).stdout
    assert "1" in stand.tool("status", "-c", stand.conf("home")).stdout


def test_home_too_slow_is_250(make_stand, mark):
    """A mailbox that cannot be written is no refusal: 250 within the time, deferred at home."""
    stand = make_stand(verdict=2, opt=["home.deliver.retry_max=1s"])
    with open(os.path.join(stand.env["MAILDIR"], "bob"), "w", encoding="ascii") as f:
        f.write("in the way\n")
    began = time.monotonic()
    assert send_mail(stand.smtp, message(subject=mark), rcpts=["bob@example.test"]).code == 250
    assert time.monotonic() - began < 20
    os.unlink(os.path.join(stand.env["MAILDIR"], "bob"))
    stand.wait_marked("bob", mark)


def test_the_answer_is_cut(make_stand, mark):
    """The tunnel is cut at every few octets of home's answer: the sender has 250, the
    mailbox has one, each time, and nobody waits for what cannot come any more."""
    stand = make_stand(up=False)
    tunnel = free_port()
    with Cutter(("127.0.0.1", tunnel)) as wire:
        stand.env = stand.read_env(stand.run(
            "up", stand.dir, "--verdict", "60",
            "--opt", f'edge.tunnel.listen={{"127.0.0.1:{tunnel}"}}',
            "--opt", f"edge.tunnel.address=127.0.0.1:{wire.where[1]}",
            "--opt", "home.tunnel.connections=1"))
        sent = []

        def told(octets):
            """The reply, if home was asked: the cut may have come before, in other words of its."""
            edge_has_home(stand)
            asked = stand.counter("edge", "verdicts_asked")
            wire.cut_after("up", octets)
            sent.append(f"{mark}-{len(sent)}-")
            r = send_mail(stand.smtp, message(subject=sent[-1]))
            assert r.code == 250, r.text
            stand.wait_marked("alice", sent[-1], seconds=30)
            return stand.counter("edge", "verdicts_asked") > asked and r.text
        texts = [until(f"home is asked, {n} octets before the cut", 60, lambda n=n: told(n))
                 for n in range(1, 120, 8)]
        assert wire.cuts >= 3 and all(" held, " in t for t in texts[:3]), \
            f"no TLS record is that short: {texts}"
        assert any(" handed over, " in t for t in texts), f"and some come whole: {texts}"
        assert stand.counter("edge", "verdicts_late") == 0
        stand.edge_empty()
        stand.home_settled()
        assert len([m for m in stand.mails("alice") if mark.encode() in m]) == len(sent)
