"""What the catch-all took goes to whoever has a mailbox of his own now; once, and as it was."""

import json
import os
import subprocess

from kit.dovecot import Dovecot
from kit.routing import route, with_file, write
from kit.smtp import send_mail
from kit.stand import message, posthouse, until

CATCHING = "inbox\n@example.test inbox\n"
# Dovecot serves nobody's mail as root; and what is moved must stay its account's.
OPT = ["home.user=nobody"] if os.getuid() == 0 else []


def send(stand, *pairs):
    for who, mark in pairs:
        until(f"the edge takes mail for {who}", 10,
              lambda w=who, m=mark: send_mail(stand.smtp, message(subject=m),
                                              rcpts=[f"{w}@example.test"]).code == 250)


def refile(stand, *words, rc=0):
    r = stand.tool("refile", "-c", stand.conf("home"), *words, check=False)
    assert r.returncode == rc, r.stdout + r.stderr
    return r.stdout if rc == 0 else r.stdout + r.stderr


def told(stand, *words):
    return json.loads(refile(stand, "--json", *words))


def known(stand, address, mailbox):
    until(f"{address} is {mailbox}'s", 10, lambda: route(stand, address)["mailbox"] == mailbox)


def test_the_catch_alls_mail_follows_to_new_mailboxes(make_stand, mark):
    stand, path = with_file(make_stand, CATCHING, opt=OPT)
    send(stand, ("dave", f"{mark}-1"), ("Dave+shop", f"{mark}-2"), ("sales", f"{mark}-3"),
         ("erin", f"{mark}-4"), ("inbox", f"{mark}-5"))
    stand.wait_mails("inbox", 5)
    assert "nothing to move" in refile(stand)

    write(path, CATCHING + "dave\nsales@example.test dave\n")
    known(stand, "sales@example.test", "dave")
    text = refile(stand)
    assert "1 for Dave+shop@example.test: from inbox to dave" in text and "--yes" in text
    plan = told(stand)
    assert (plan["moved"], len(plan["messages"]), plan["more"]) == (0, 3, False)
    assert {m["done"] for m in plan["messages"]} == {"planned"}
    assert len(stand.files("inbox")) == 5 and stand.files("dave") == []

    done = told(stand, "--yes")
    assert done["moved"] == 3 and {m["to"] for m in done["messages"]} == {"dave"}
    for i in (1, 2, 3):
        stand.wait_marked("dave", f"{mark}-{i}")
    assert len(stand.files("dave")) == 3
    assert {m["id"] for m in done["messages"]} == {
        line.split()[1].decode() for mail in stand.mails("dave") for line in mail.split(b"\n")[2:3]}
    for i in (4, 5):
        stand.wait_marked("inbox", f"{mark}-{i}")
    assert len(stand.files("inbox")) == 2
    owner = os.stat(stand.env["MAILDIR"]).st_uid
    assert os.stat(os.path.join(stand.env["MAILDIR"], "dave", "new")).st_uid == owner
    assert "nothing to move" in refile(stand, "--yes")

    # New mail goes there by itself, and what was moved is a mailbox as any other.
    send(stand, ("dave", f"{mark}-6"))
    stand.wait_mails("dave", 4)


def test_nothing_is_written_over_and_a_past_catch_all_can_be_named(make_stand, mark):
    stand, path = with_file(make_stand, CATCHING, opt=OPT)
    send(stand, ("dave", f"{mark}-1"), ("dave", f"{mark}-2"))
    stand.wait_mails("inbox", 2)
    write(path, "inbox\ndave\n")
    known(stand, "dave@example.test", "dave")
    assert "name the mailbox that was it" in refile(stand, rc=1)
    assert "no mailbox nobody" in refile(stand, "nobody", rc=1)
    assert "no name of a mailbox" in refile(stand, "../inbox", rc=1)

    # One of the same name is there: whatever it is, both stay.
    taken = os.path.basename(stand.files("inbox")[0])
    new = os.path.join(stand.env["MAILDIR"], "dave", "new")
    os.makedirs(new)
    for part in ("dave", "dave/new"):
        full = os.path.join(stand.env["MAILDIR"], part)
        os.chown(full, os.stat(stand.env["MAILDIR"]).st_uid, -1)
    with open(os.path.join(new, taken), "w", encoding="ascii") as f:
        f.write("here before\n")
    text = refile(stand, "--yes", "inbox")
    assert "1 moved." in text and "1 left: one of that name is there already" in text
    assert len(stand.files("inbox")) == 1 and len(stand.files("dave")) == 2
    assert b"here before\n" in stand.mails("dave")

    stand.stop("home")
    assert "not running" in refile(stand, "inbox", rc=1)
    stand.change("home", "maildir = ", 'smtp = "127.0.0.1:25" # ')
    assert "server's own tools" in refile(stand, "inbox", rc=1)


def test_what_several_would_have_stays_and_is_counted(make_stand, mark):
    stand, path = with_file(make_stand, CATCHING, opt=OPT)
    send(stand, ("team", f"{mark}-1"), ("dave", f"{mark}-2"))
    stand.wait_mails("inbox", 2)
    write(path, CATCHING + "dave\nerin\nteam@example.test dave erin\n")
    known(stand, "team@example.test", "dave")
    assert told(stand)["several"] == 1
    text = refile(stand, "--yes")
    assert "1 left: for an alias of several" in text and "1 moved." in text
    stand.wait_marked("inbox", f"{mark}-1")
    stand.wait_marked("dave", f"{mark}-2")
    assert len(stand.files("dave")) == 1


def test_a_reader_sees_it_come_with_its_flags_and_without_keywords(make_stand, mark):
    stand, path = with_file(make_stand, CATCHING, opt=OPT)
    send(stand, ("dave", f"{mark}-read"), ("dave", f"{mark}-new"))
    stand.wait_mails("inbox", 2)
    server = Dovecot(stand.env["MAILDIR"])
    try:
        c = server.login("inbox")
        assert c.select("INBOX")[1] == [b"2"]
        n = c.search(None, "SUBJECT", f"{mark}-read")[1][0].decode()
        c.store(n, "+FLAGS", r"(\Seen \Flagged project)")
        c.logout()
        write(path, CATCHING + "dave\n")
        known(stand, "dave@example.test", "dave")
        assert told(stand, "--yes")["moved"] == 2
        c = server.login("dave")
        assert c.select("INBOX")[1] == [b"2"]
        n = c.search(None, "SUBJECT", f"{mark}-read")[1][0].decode()
        flags = c.fetch(n, "(FLAGS)")[1][0]
        assert rb"\Seen" in flags and rb"\Flagged" in flags and b"project" not in flags
        n = c.search(None, "SUBJECT", f"{mark}-new")[1][0].decode()
        assert rb"\Seen" not in c.fetch(n, "(FLAGS)")[1][0]
        c.logout()
        c = server.login("inbox")
        assert c.select("INBOX")[1] == [b"0"]
        c.logout()
    finally:
        server.stop()


def test_killed_half_way_every_message_is_in_one_of_the_two_mailboxes(make_stand, mark):
    stand, path = with_file(make_stand, CATCHING, opt=OPT)
    send(stand, ("dave", mark))
    stand.wait_mails("inbox", 1)
    first = stand.files("inbox")[0]
    with open(first, "rb") as f:
        mail = f.read()
    inbox, dave = (os.path.join(stand.env["MAILDIR"], u) for u in ("inbox", "dave"))
    for i in range(20000):
        with open(os.path.join(inbox, "new", f"{i}.copy"), "wb") as f:
            f.write(mail)
        os.chown(f.name, os.stat(first).st_uid, -1)
    names = {os.path.basename(f) for f in stand.files("inbox")}
    write(path, CATCHING + "dave\n")
    known(stand, "dave@example.test", "dave")

    def begun(before):
        return os.path.isdir(f"{dave}/new") and len(os.listdir(f"{dave}/new")) > before

    halves = 0
    for _ in range(4):
        moved = len(stand.files("dave"))
        child = subprocess.Popen([posthouse(), "refile", "-c", stand.conf("home"), "--yes"],
                                 stdout=subprocess.DEVNULL)
        until("it has begun", 20, lambda m=moved: begun(m) or child.poll() is not None, step=0)
        child.kill()
        child.wait()
        there, here = (sorted(map(os.path.basename, stand.files(u))) for u in ("inbox", "dave"))
        assert len(there) + len(here) == len(names) and set(there) | set(here) == names
        halves += len(there) > 0 and len(here) > moved
    assert halves > 0
    assert told(stand, "--yes")["moved"] == len(there)
    assert {os.path.basename(f) for f in stand.files("dave")} == names
    assert stand.files("inbox") == []
