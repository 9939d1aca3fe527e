"""Who is told that something is wrong: by command, webhook and mail, once, and once it is over."""

import email
import os

import pytest

from kit.hooks import Relay, Script, Webhook
from kit.stand import until

QUICK = ["every=1s", "after=1s", "unreachable=2s"]


def opts(role, *more):
    return [f"{role}.alarms.{o}" for o in (*QUICK, *more)]


def secret(path, text):
    with open(path, "w", encoding="ascii") as f:
        f.write(text + "\n")
    os.chmod(path, 0o600)
    return str(path)


def road(stand, role, name):
    return next(r for r in stand.status(role)["roads"] if r["road"] == name)


@pytest.fixture
def hook():
    with Webhook() as h:
        yield h


def test_an_edge_tells_that_its_home_is_dead(make_stand, hook, tmp_path):
    """By itself, with nobody else alive; once; not again after a restart; and when it is back."""
    script = Script(tmp_path)
    token = secret(tmp_path / "token", "a-secret-token")
    stand = make_stand(opt=opts("edge", f"command={script.path} 'and an argument'",
                                f"webhook={hook.url}", f"token={token}"))
    assert stand.status("edge")["alarms"] == []
    stand.kill("home")
    until("the webhook was told", 20, lambda: hook.events("home/home"))
    until("the command too", 20, lambda: script.events("home/home"))
    n, = hook.heard
    assert n["event"] == "raised" and n["role"] == "edge" and "home home" in n["text"]
    assert n["since"] < n["at"] and n["text"].startswith("posthouse edge ")
    assert hook.tokens == ["Bearer a-secret-token"]
    told, = script.told()
    assert told[:2] == ["raised", "home/home"] and told[3] == "edge" and "no tunnel" in told[2]
    with open(script.file + ".env", encoding="ascii") as f:
        count, *names = f.read().split()
    assert count == "1" and {x for x in names if not x.startswith("POSTHOUSE_")} <= {
        "PATH", "PWD", "SHLVL", "_"}, "no secret, and nothing of ours, is in its environment"
    alarm, = stand.status("edge")["alarms"]
    assert alarm == n["detail"]
    shown = stand.tool("alarm", "-c", stand.conf("edge")).stdout
    assert "home/home" in shown and "told by command" in shown and "told by webhook" in shown

    stand.stop("edge")
    stand.start("edge")
    until("it found it again", 10, lambda: stand.status("edge")["conditions"])
    stand.start("home")
    until("the webhook hears the end", 20, lambda: "cleared" in hook.events("home/home"))
    until("the command too", 20, lambda: "cleared" in script.events("home/home"))
    assert hook.events("home/home") == script.events("home/home") == ["raised", "cleared"]
    assert "a-secret-token" not in stand.log("edge") and stand.status("edge")["alarms"] == []


def test_home_tells_by_mail_through_a_relay(make_stand, tmp_path):
    with Relay() as relay:
        stand = make_stand(opt=opts(
            "home", "mail=me@elsewhere.test", "from=posthouse@example.test", "user=home",
            f"relay=127.0.0.1:{relay.port}", "tls=auto",
            f"password={secret(tmp_path / 'password', 'secret')}"))
        stand.stop("edge")
        until("mail came", 20, lambda: relay.mails)
        sender, rcpts, octets = relay.mails[0]
        m = email.message_from_bytes(octets)
        assert sender.startswith("MAIL FROM:<posthouse@example.test>")
        assert rcpts == ["RCPT TO:<me@elsewhere.test>"] and relay.auths == 1
        assert m["To"] == "<me@elsewhere.test>" and m["Auto-Submitted"] == "auto-generated"
        assert "ALARM: edge edge.test is out of reach" in m["Subject"].replace("\n", "")
        assert "condition: edge/edge.test" in m.get_payload()
        relay.refuses = "550 5.7.1 not today"       # what it says next is kept, and tried again
        stand.start("edge")
        until("the relay's words are shown", 20, lambda: "not today" in road(
            stand, "home", "mail")["error"])
        until("that is an alarm", 10, lambda: any(
            "not told by mail: 550" in a for a in stand.status("home")["alarms"]))
        assert len(relay.mails) == 1


def test_a_test_says_which_road_works(make_stand, hook, tmp_path):
    script = Script(tmp_path)
    stand = make_stand(opt=opts("edge", f"command={script.path}", f"webhook={hook.url}"))
    r = stand.tool("alarm", "--test", "-c", stand.conf("edge"))
    assert r.stdout.count("the test was told") == 2, r.stdout
    assert script.events("test") == hook.events("test") == ["test"]
    hook.status = 500
    r = stand.tool("alarm", "--test", "-c", stand.conf("edge"), check=False)
    assert r.returncode == 1 and "it answered 500" in r.stdout
    assert stand.status("edge")["alarms"] == [], "a test that fails is no alarm"
    r = stand.tool("alarm", "--test", "-c", stand.conf("home"), check=False)
    assert r.returncode == 1 and "nobody is told" in r.stdout


WRONG = {
    "it fails": ("echo no such user; exit 3", "it ended with status 3; it said: no such user"),
    "it floods": ("cat /dev/zero", "it printed more than 64 KiB"),
    "it is killed": ("kill -9 $$", "it was killed by signal 9"),
}


def test_what_goes_wrong_is_bounded_said_and_told_by_the_others(make_stand, hook, tmp_path):
    """One stand for all that a command and a webhook may do: each is a test of its own."""
    script = Script(tmp_path)
    stand = make_stand(opt=opts("edge", f"command={script.path}", f"webhook={hook.url}"))

    def test():
        stand.tool("alarm", "--test", "-c", stand.conf("edge"), check=False)
        return {r["road"]: r["test_error"] for r in stand.status("edge")["roads"]}
    for what, (then, words) in WRONG.items():
        Script(tmp_path, then)
        assert words in test()["command"], what
    hook.status, hook.location = 302, "http://127.0.0.1:1/elsewhere"
    asked = len(hook.asked)
    assert "redirect" in test()["webhook"] and len(hook.asked) == asked + 1
    hook.status, hook.flood = 200, True
    assert "larger than we take" in test()["webhook"]
    hook.flood, hook.status = False, 500
    # And of a real one: it is not told, tried again, and that is an alarm by the other road.
    Script(tmp_path)
    stand.stop("home")
    until("the other road tells that one fails", 30, lambda: script.events("alarms/webhook"))
    assert script.events("home/home") == ["raised"]
    assert road(stand, "edge", "webhook")["error"] == "it answered 500"
    assert any("not told by webhook" in a for a in stand.status("edge")["alarms"])


def test_an_edge_does_not_mail(make_stand):
    stand = make_stand()
    with open(stand.conf("edge"), encoding="ascii") as f:
        text = f.read()
    bad = os.path.join(stand.dir, "bad.conf")
    with open(bad, "w", encoding="ascii") as f:
        f.write(text + 'alarms { mail = "a@b.test" relay = "127.0.0.1:25" }\n')
    r = stand.tool("config", "--check", bad, check=False)
    assert r.returncode == 1 and "mail" in r.stderr
