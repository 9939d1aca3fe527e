"""Several homes on one edge: each has its own, and one cannot touch another's."""

import re

import pytest

from kit.liar import OFFERS
from kit.liar import Server as MailServer
from kit.passed import Server, connect, echo, header, read_all
from kit.ports import free_port
from kit.smtp import Client, send_mail
from kit.stand import message, until


@pytest.fixture
def three(make_stand):
    """example.test at home, b.test and b2.test at hb, c.test at hc; all in one listener."""
    stand = make_stand(opt=['edge.service.smtp.home={"home", "hb", "hc"}'])
    stand.b = stand.add_home("hb", "b.test,b2.test")
    stand.c = stand.add_home("hc", "c.test")
    return stand


def test_mail_goes_to_its_home_alone(three, mark):
    for domain, env in (("example.test", three.env), ("b.test", three.b), ("b2.test", three.b),
                        ("c.test", three.c)):
        assert send_mail(three.smtp, message(subject=f"{mark}-{domain}."),
                         rcpts=[f"alice@{domain}"]).code == 250
        three.wait_marked("alice", f"{mark}-{domain}.", maildir=env["MAILDIR"])
    assert [len(three.files("alice", e["MAILDIR"]))
            for e in (three.env, three.b, three.c)] == [1, 2, 1]


def test_one_home_a_transaction(three, mark):
    with Client(three.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<s@client.test>")
        c.ok("RCPT TO:<alice@b.test>")
        r = c.cmd("RCPT TO:<alice@c.test>")
        assert r.code == 452 and " 4.5.3 " in r.text, r.text
        c.ok("RCPT TO:<bob@b2.test>")
        assert c.data(message(subject=mark)).code == 250
        c.begin("s@client.test", ["alice@c.test"])
        assert c.data(message(subject=mark)).code == 250
    three.wait_marked("alice", mark, maildir=three.b["MAILDIR"])
    three.wait_marked("bob", mark, maildir=three.b["MAILDIR"])
    three.wait_marked("alice", mark, maildir=three.c["MAILDIR"])


def test_each_is_sealed_to_its_own_key(three):
    for role in ("hb", "hc"):
        three.stop(role)
    for domain in ("b.test", "c.test"):
        assert send_mail(three.smtp, message(), rcpts=[f"alice@{domain}"]).code == 250
    objects = {o["home"]: o["id"] for o in three.queue("edge")}
    assert set(objects) == {"hb", "hc"}
    three.age_open(three.cat("edge", objects["hb"]), three.b["AGE_KEY"])
    three.age_open(three.cat("edge", objects["hc"]), three.c["AGE_KEY"])
    for home, key in (("hb", three.c["AGE_KEY"]), ("hc", three.b["AGE_KEY"])):
        with pytest.raises(AssertionError):
            three.age_open(three.cat("edge", objects[home]), key)
    three.start("hb")
    three.wait_mails("alice", 1, maildir=three.b["MAILDIR"])
    until("what hb took is deleted", 20,
          lambda: "hb" not in [o["home"] for o in three.queue("edge")])
    assert [o["home"] for o in three.queue("edge")] == ["hc"], "hb took its own only"


def test_one_full_home_leaves_room_for_another(make_stand, mark):
    stand = make_stand(opt=['edge.service.smtp.home={"home", "hb"}', "edge.home.hb.quota=1M",
                            'edge.home.hb.domains={"b.test"}', "edge.limits.size=1M"])
    stand.b = stand.add_home("hb", "b.test")
    stand.stop("hb")
    body, n = "x" * 75 + "\r\n", 0
    while (r := send_mail(stand.smtp, message(body=body * 1300),
                          rcpts=["alice@b.test"])).code == 250:
        n += 1
        assert n < 30
    assert r.code == 452 and n >= 5
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)
    stand.start("hb")
    stand.wait_mails("alice", n, maildir=stand.b["MAILDIR"])


def test_a_home_killed_does_not_hold_another(three, mark):
    three.kill("hb")
    for i in range(20):
        assert send_mail(three.smtp, message(), rcpts=["alice@b.test"]).code == 250
        assert send_mail(three.smtp, message(subject=mark), rcpts=["alice@c.test"]).code == 250
    three.wait_marked("alice", mark, 20, maildir=three.c["MAILDIR"])
    three.start("hb")
    three.wait_mails("alice", 20, maildir=three.b["MAILDIR"])


def test_unknown_recipients_are_parked_never_bounced(make_stand, mark):
    """Where edges are not told who is there. One of two has no mailbox: the
    other has his mail, and home keeps the rest with the reason."""
    stand = make_stand(opt=["home.mailboxes.edges_refuse=false"])
    rcpts = ["nobody@example.test", "ALICE+tag@Example.TEST"]
    assert send_mail(stand.smtp, message(subject=mark), rcpts=rcpts).code == 250
    mail, = stand.wait_marked("alice", mark)
    stand.edge_empty()
    stand.home_settled()
    entry, = stand.queue("home")
    assert entry["state"] == "parked"
    shown = stand.tool("show", entry["id"], "-c", stand.conf("home")).stdout
    assert "nobody" in shown and "5.1.1" in shown
    assert mark.encode() in stand.tool("open", entry["id"], "-c", stand.conf("home"),
                                       text=False).stdout


def two(make_stand, server):
    """home, whose Maildir takes anything; hb, whose mail server may not."""
    stand = make_stand(opt=['edge.service.smtp.home={"home", "hb"}'])
    stand.b = stand.add_home("hb", "b.test", opt=["deliver.retry_max=1s",
                                                  f"deliver.smtp={server.where}"])
    return stand


BEYOND = "MAIL FROM:<jürgen@client.test> SMTPUTF8 BODY=8BITMIME".encode()


def rcpt_beyond(stand):
    with Client(stand.smtp) as c:
        if "SMTPUTF8" not in c.hello().text:
            return None
        c.ok(BEYOND)
        return c.cmd("RCPT TO:<alice@b.test>").lines[0][:9]


def test_what_one_home_honours_is_not_asked_of_another(make_stand, mark):
    with MailServer() as server:
        stand = two(make_stand, server)
        until("hb has said so", 20, lambda: rcpt_beyond(stand) == "553 5.6.7")
        with Client(stand.smtp) as c:
            c.hello()
            c.ok(BEYOND)
            assert c.cmd("RCPT TO:<alice@b.test>").lines[0].startswith("553 5.6.7 ")
            c.ok("RCPT TO:<alice@example.test>")
            assert c.data(f"Subject: {mark} ü\r\n\r\nü\r\n".encode()).code == 250
            stand.wait_marked("alice", mark)
            for word, code in (("ü", "554 5.6.9 "), ("u", "250 2.0.0 ")):
                c.ok("MAIL FROM:<a@client.test> SMTPUTF8 BODY=8BITMIME")
                c.ok("RCPT TO:<alice@b.test>")
                r = c.data(f"Subject: {mark} {word}\r\n\r\nü\r\n".encode())
                assert r.lines[0].startswith(code)
        until("hb's server has it", 20, lambda: server.mails)
        (rcpts, octets, _), = server.mails
        assert rcpts == ["alice@b.test"] and octets.endswith(f"{mark} u\r\n\r\nü\r\n".encode())
        assert not [line for _, line in server.heard if b"SMTPUTF8" in line]


def test_mail_that_met_a_server_without_smtputf8_waits_for_it(make_stand, mark):
    """It was taken while the server honoured it."""
    able = (*OFFERS, "SMTPUTF8")
    with MailServer(offers=able) as server:
        stand = two(make_stand, server)
        until("hb has said so", 20, lambda: rcpt_beyond(stand) == "250 2.1.5")
        stand.stop("hb")
        with Client(stand.smtp) as c:
            c.hello()
            c.ok(BEYOND)
            c.ok("RCPT TO:<alice@b.test>")
            assert c.data(f"Subject: {mark} ü\r\n\r\nü\r\n".encode()).code == 250
        server.offers = OFFERS
        stand.start("hb")
        until("it is parked", 30, lambda: [o["state"] for o in stand.queue("hb")] == ["parked"])
        entry, = stand.queue("hb")
        words = ("-c", stand.conf("hb"))
        shown = stand.tool("show", entry["id"], *words).stdout
        assert "the server does not offer SMTPUTF8" in shown
        assert not server.mails
        until("edges are told", 20, lambda: rcpt_beyond(stand) == "553 5.6.7")
        server.offers = able
        stand.stop("hb")
        stand.start("hb")
        stand.tool("retry", entry["id"], *words)
        until("hb's server has it", 30, lambda: server.mails)
        until("hb holds nothing", 20, lambda: stand.queue("hb") == [])
        assert [m[0] for m in server.mails] == [["alice@b.test"]]
        assert "MAIL FROM:<jürgen@client.test> ".encode() in b"".join(h for _, h in server.heard)
        until("edges are told", 20, lambda: rcpt_beyond(stand) == "250 2.1.5")


def test_a_server_that_was_configured_anew_is_believed(make_stand):
    """It never failed, and its next connection offers less."""
    with MailServer(offers=(*OFFERS, "SMTPUTF8")) as server:
        stand = two(make_stand, server)
        until("hb has said so", 20, lambda: rcpt_beyond(stand) == "250 2.1.5")
        server.offers, sessions = OFFERS, server.sessions

        def another():
            assert send_mail(stand.smtp, message(), rcpts=["alice@b.test"]).code == 250
            return server.sessions > sessions
        until("a connection has had all the mail that it may", 60, another, 0)
        until("edges are told", 20, lambda: rcpt_beyond(stand) == "553 5.6.7")


def test_reports_are_asked_of_a_server_that_makes_them(make_stand):
    with MailServer(offers=(*OFFERS, "DSN")) as server:
        stand = make_stand(opt=["home.deliver.retry_max=1s", f"home.deliver.smtp={server.where}"])
        stand.policy_says("DSN")
        with Client(stand.smtp) as c:
            c.hello()
            c.ok("MAIL FROM:<a@client.test> RET=HDRS ENVID=QQ314159")
            c.ok("RCPT TO:<alice@example.test> NOTIFY=SUCCESS ORCPT=rfc822;al@example.test")
            assert c.data(message()).code == 250
        until("it has it", 20, lambda: server.mails)
        said = [line for _, line in server.heard]
        assert any(re.match(rb"MAIL .* RET=HDRS ENVID=QQ314159\r", line) for line in said)
        assert any(re.match(rb"RCPT .* NOTIFY=SUCCESS ORCPT=rfc822;al@example\.test\r", line)
                   for line in said)


def test_reports_are_offered_where_every_home_passes_on_what_is_asked(make_stand):
    """Nobody could make up for the one that does not (RFC 3461 5.2.2)."""
    with MailServer(offers=OFFERS) as server:
        stand = two(make_stand, server)
        until("hb has said so", 20, lambda: rcpt_beyond(stand) == "553 5.6.7")
        with Client(stand.smtp) as c:
            assert "DSN" not in c.hello().text
            assert c.cmd("MAIL FROM:<a@client.test> RET=HDRS").code == 555


def test_a_home_with_all_its_streams_leaves_another_its_own(make_stand):
    """limits.streams is 8, and two homes are paired: however many come for one, the other has
    its four."""
    server, ports = Server(echo), {n: ("127.0.0.1", free_port()) for n in ("chat", "talk")}
    opt = ["edge.limits.streams=8", f"home.service.chat.backend={server.where}",
           "home.service.chat.proxy=v2"]
    for name, home in (("chat", "home"), ("talk", "hb")):
        opt += [f'edge.service.{name}.listen={{"127.0.0.1:{ports[name][1]}"}}',
                f'edge.service.{name}.home={home}',
                f'edge.service.{name}.proxy_from={{"127.0.0.1"}}']
    stand = make_stand(opt=opt)
    stand.add_home("hb", "b.test", opt=[f"service.talk.backend={server.where}",
                                        "service.talk.proxy=v2"])

    def says(name, word=b"hello"):
        s = connect(ports[name], header())
        s.sendall(word)
        return s, s.recv(100)

    def passes(name):
        try:
            s, said = says(name)
        except ConnectionError:
            return None
        s.close()
        return said
    try:
        for name in ("chat", "talk"):
            until(f"{name} is passed", 20, lambda n=name: passes(n), 0.1)
        until("those are over", 10, lambda: all(p["open"] == 0
                                                for p in stand.status("edge")["passed"]))
        busy = [says("chat") for _ in range(4)]
        assert [said for _, said in busy] == [b"hello"] * 4
        for _ in range(5):
            with connect(ports["chat"], header()) as s:
                assert not read_all(s)
        other = [says("talk") for _ in range(4)]
        assert [said for _, said in other] == [b"hello"] * 4
        chat, = [p for p in stand.status("edge")["passed"] if p["service"] == "chat"]
        assert chat["why"]["home_limit"] == 5 and chat["open"] == 4
        full = "home.full home=home streams=4 most=4"
        stand.logged("edge", full)
        assert stand.log("edge").count(full) == 1, "said once"
        for s, _ in busy:
            s.close()
        until("it takes new ones", 10, lambda: passes("chat"), 0.1)
        stand.logged("edge", r"home\.room home=home")
        for s, _ in other:
            s.close()
    finally:
        server.close()
