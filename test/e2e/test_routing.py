"""Whose mail goes where: lists, files, aliases, rules of domains, and why."""

import os

from kit.routing import route, with_file, write
from kit.smtp import Client, send_mail
from kit.stand import message, quickest, until


def edge_says(stand, address):
    with Client(stand.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<a@client.test>")
        return c.cmd(f"RCPT TO:<{address}>").code


def test_a_new_mailbox_gets_its_mail_from_then_on(make_stand, mark):
    stand, path = with_file(make_stand, "carol\nsales@example.test carol\n")
    rcpts = ["carol@example.test"]
    until("the edge knows carol", 10, lambda: edge_says(stand, rcpts[0]) == 250)
    assert send_mail(stand.smtp, message(subject=mark), rcpts=rcpts).code == 250
    stand.wait_marked("carol", mark)
    assert route(stand, "sales@example.test")["mailbox"] == "carol"
    assert route(stand, "dave@example.test")["reply"].startswith("550 5.1.1")
    until("the edge refuses dave", 10, lambda: edge_says(stand, "dave@example.test") == 550)

    def changed(i):
        code, more = (550, "") if i % 2 else (250, "dave\n")
        write(path, "carol\nsales@example.test dave\n" + more)
        until(f"the edge says {code} to dave", 10,
              lambda: edge_says(stand, "dave@example.test") == code)
    assert quickest(3, changed) < 2
    assert route(stand, "sales@example.test")["mailbox"] == "dave"
    rcpts = ["dave+x@example.test"]
    assert send_mail(stand.smtp, message(subject=mark), rcpts=rcpts).code == 250
    stand.wait_marked("dave", mark)


def test_a_bad_file_leaves_the_last_good_list(make_stand):
    stand, path = with_file(make_stand, "carol\n")
    write(path, "dave\na@example.test b@example.test\nb@example.test a@example.test\n")
    until("it is an alarm", 5, lambda: any("line 2" in a for a in stand.status("home")["alarms"]))
    assert route(stand, "carol@example.test")["mailbox"] == "carol"
    assert route(stand, "dave@example.test")["decision"] == "refused"
    os.unlink(path)
    until("it is an alarm", 15,
          lambda: any("cannot be read" in a for a in stand.status("home")["alarms"]))
    assert route(stand, "carol@example.test")["mailbox"] == "carol"
    for bad, words in (("Error: no such user\nsee the log\ndave\n", "2 of 3 lines"),
                       ("", "names nobody")):
        write(path, bad)
        until("it is an alarm", 15, lambda: words in str(stand.status("home")["alarms"]))
        assert route(stand, "carol@example.test")["mailbox"] == "carol"
        assert route(stand, "dave@example.test")["decision"] == "refused"
    write(path, "dave\n")
    until("it is mended", 15, lambda: stand.status("home")["alarms"] == [])
    assert route(stand, "dave@example.test")["mailbox"] == "dave"


def test_who_is_written_into_the_configuration_is_there_while_the_list_cannot_be_read(make_stand):
    stand, path = with_file(make_stand, "carol\n")
    until("the edge knows", 10, lambda: edge_says(stand, "dave@example.test") == 550)
    os.unlink(path)
    until("it is an alarm", 15, lambda: "cannot be read" in str(stand.status("home")["alarms"]))
    stand.change("home", '"alice", "bob"', '"alice", "dave"')
    stand.hup("home")
    until("the edge takes dave's mail", 10, lambda: edge_says(stand, "dave@example.test") == 250)
    assert route(stand, "dave@example.test")["mailbox"] == "dave"
    assert route(stand, "carol@example.test")["mailbox"] == "carol"
    assert "mailbox" not in route(stand, "bob@example.test")


def test_a_list_that_never_named_anybody_refuses_nobody(make_stand, tmp_path):
    """As `maddy imap-acct list` at a fresh start: `No users.` for people, and success."""
    command = tmp_path / "list"
    command.write_text(f"#!/bin/sh\ncat {tmp_path}/users || echo No users. >&2\n")
    os.chmod(command, 0o755)
    os.chmod(tmp_path, 0o755)
    stand = make_stand()
    stand.stop("home")
    with open(stand.conf("home"), encoding="utf-8") as f:
        text = f.read()
    users = 'users = {"alice", "bob"}'
    assert users in text
    write(stand.conf("home"), text.replace(users, f'command = "{command}"\nrefresh = "10s"\n'
                                             'roles = "foo@example.test"\n'
                                             'catch_all = "foo@example.test"'))
    stand.start("home")
    until("it is an alarm", 10, lambda: "names nobody" in str(stand.status("home")["alarms"]))
    for who in ("foo", "bar", "abuse"):         # nor does the catch-all get their mail
        assert route(stand, f"{who}@example.test")["reply"].startswith("450 4.1.1")
    (tmp_path / "users").write_text("foo@example.test\nbar@example.test\n")
    until("they are there", 60, lambda: "mailbox" in route(stand, "foo@example.test"))
    assert route(stand, "bar@example.test")["mailbox"] == "bar@example.test"
    until("the alarm ends", 10, lambda: stand.status("home")["alarms"] == [])


def test_route_explains(make_stand):
    stand, _ = with_file(make_stand, "j.smith\n@example.test alice\n",
                         'domain "example.test" { aliases = {"sales: bob"} dots = false }')
    told = route(stand, "JSmith+shop@example.test")
    assert told["mailbox"] == "j.smith"
    assert any("without its tag" in s for s in told["steps"])
    told = route(stand, "sales@example.test")
    assert told["mailbox"] == "bob" and told["steps"] == ["goes to bob"]
    assert route(stand, "whoever@example.test")["mailbox"] == "alice"
    told = route(stand, "alice@elsewhere.test")
    assert told["decision"] == "foreign" and "5.7.1" in told["reply"]
    assert "no address" in route(stand, "not an address")
    assert "no edge of that name" in route(stand, "sales@example.test", "--from", "egde.test")
    shown = stand.tool("route", "-c", stand.conf("home"), "sales@example.test").stdout
    assert "goes to bob" in shown and "mailbox bob" in shown
    words = ["route", "-c", stand.conf("home"), "bücher+\u202ekrow@example.test"]
    shown = stand.tool(*words).stdout       # as it is, but for what turns its direction
    assert shown.startswith(r"bücher+\xe2\x80\xaekrow@example.test") and \
        "without its tag: bücher\n" in shown
    shown = stand.tool(*words, env={**os.environ, "LC_ALL": "C"}).stdout
    assert r"without its tag: b\xc3\xbccher" in shown and shown.isascii()


def test_unpark_takes_mailboxes_that_are_there(make_stand):
    stand = make_stand()
    r = stand.tool("unpark", "-c", stand.conf("home"), "--to", "alcie",
                   "0198f3a1-7c2d-7e4b-9a51-3f0c2b8d6e17", check=False)
    assert r.returncode == 1 and "no such mailbox" in r.stderr
    stand.change("home", "mailboxes {", 'domain "example.test" { catch_all = "rest" '
                 'roles = "office" }\nmailboxes {')
    stand.hup("home")
    until("home has read it", 10,
          lambda: route(stand, "x@example.test").get("mailbox") == "rest")
    for mailbox, words in (("rest", "object"), ("office", "object"), (".", "no such mailbox")):
        r = stand.tool("unpark", "-c", stand.conf("home"), "--to", mailbox,
                       "0198f3a1-7c2d-7e4b-9a51-3f0c2b8d6e17", check=False)
        assert r.returncode == 1 and words in r.stderr and \
            ("no such mailbox" in r.stderr) == (mailbox == "."), r.stderr


def test_an_alias_of_several_brings_each_a_copy_and_only_one(make_stand, mark):
    stand, path = with_file(make_stand, "carol\nteam@example.test alice, bob\n"
                            "all@example.test team carol\nlater@example.test bob dave\n",
                            'domain "example.test" { aliases = {"sales: bob, carol"} }')
    assert route(stand, "all@example.test")["mailboxes"] == ["alice", "bob", "carol"]
    until("the edge knows them", 10, lambda: edge_says(stand, "team@example.test") == 250)
    rcpts = ["team@example.test", "alice@example.test", "sales@example.test", "all@example.test"]
    assert send_mail(stand.smtp, message(subject=mark), rcpts=rcpts).code == 250
    stand.home_settled()
    for user in ("alice", "bob", "carol"):
        stand.wait_marked(user, mark)
    rcpts = ["later@example.test", "bob@example.test"]
    assert send_mail(stand.smtp, message(subject="2" + mark), rcpts=rcpts).code == 250
    stand.wait_marked("bob", "2" + mark)
    id_, = until("dave's part waits", 10, lambda: [
        o["id"] for o in stand.queue("home") if o["state"] == "deferred"])
    write(path, "carol\ndave\nlater@example.test bob dave\n")
    until("the file is read again", 5,
          lambda: route(stand, "later@example.test").get("mailboxes") == ["bob", "dave"])
    stand.tool("retry", "--all", "-c", stand.conf("home"))
    stand.wait_marked("dave", "2" + mark, seconds=20)
    stand.home_settled()
    story = stand.tool("log", "-c", stand.conf("home"), id_).stdout
    assert "delivered for later@example.test, mailbox dave\n" in story
    stand.wait_marked("bob", "2" + mark)
