"""Who is told that something is wrong: by command, webhook and mail, once, and once it is over."""

import email
import os
import random
import time

import pytest

from kit.certs import own_ca
from kit.dns import Dns
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


def calm(stand, *roads):
    """An edge that was slow to be paired has told of that by now; here its end is told, too."""
    def over():
        log = stand.log("edge")
        return "alarm.raised key=missing/home" not in log or all(
            f"alarm.told road={r} event=cleared key=missing/home" in log for r in roads)
    until("no home is missing any more", 20, over)


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
    calm(stand, "command", "webhook")
    assert stand.status("edge")["alarms"] == []
    stand.kill("home")
    until("the webhook was told", 20, lambda: hook.events("home/home"))
    until("the command too", 20, lambda: script.events("home/home"))
    n, = [h for h in hook.heard if h["key"] == "home/home"]
    assert n["event"] == "raised" and n["role"] == "edge" and "home home" in n["text"]
    assert n["since"] < n["at"] and n["text"].startswith("posthouse edge ")
    assert set(hook.tokens) == {"Bearer a-secret-token"}
    told, = [t for t in script.told() if t[1] == "home/home"]
    assert told[:2] == ["raised", "home/home"] and told[3] == "edge" and "no tunnel" in told[2]
    with open(script.file + ".env", encoding="ascii") as f:
        count, *names = f.readline().split()
    assert count == "1" and {x for x in names if not x.startswith("POSTHOUSE_")} <= {
        "PATH", "PWD", "SHLVL", "_"}, "no secret, and nothing of ours, is in its environment"
    alarm, = stand.status("edge")["alarms"]
    assert alarm == n["detail"]

    def known():
        """Who was told has said so."""
        shown = stand.tool("alarm", "-c", stand.conf("edge")).stdout
        return all(words in shown for words in ("home/home", "told by command", "told by webhook"))
    until("the edge knows who was told", 10, known)

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
        sender, rcpts, octets = until("mail came", 20, lambda: [
            m for m in relay.mails if b"Subject: " in m[2] and b"ALARM: " in m[2]])[0]
        m = email.message_from_bytes(octets)
        assert sender.startswith("MAIL FROM:<posthouse@example.test>")
        assert rcpts == ["RCPT TO:<me@elsewhere.test>"] and relay.auths > 0
        assert m["To"] == "<me@elsewhere.test>" and m["Auto-Submitted"] == "auto-generated"
        assert "ALARM: edge edge.test is out of reach" in m["Subject"].replace("\n", "")
        assert "condition: edge/edge.test" in m.get_payload()
        relay.refuses = "550 5.7.1 not today"       # what it says next is kept, and tried again
        came = len(relay.mails)
        stand.start("edge")
        until("the relay's words are shown", 20, lambda: "not today" in road(
            stand, "home", "mail")["error"])
        until("that is an alarm", 10, lambda: any(
            "not told by mail: 550" in a for a in stand.status("home")["alarms"]))
        assert len(relay.mails) == came


def test_a_test_says_which_road_works(make_stand, hook, tmp_path):
    script = Script(tmp_path)
    stand = make_stand(opt=opts("edge", f"command={script.path}", f"webhook={hook.url}"))
    calm(stand, "command", "webhook")
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
    calm(stand, "command", "webhook")

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


def lives(pid):
    """A dead one whose parent, which may be anybody by then, does not look is dead all the same."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_hangs_is_ended_and_holds_up_nobody(make_stand, hook, tmp_path):
    pids = tmp_path / "pids"
    script = Script(tmp_path)
    stand = make_stand(opt=opts("edge", f"command={script.path}", f"webhook={hook.url}"))
    calm(stand, "command", "webhook")
    Script(tmp_path, f"sleep 500 & echo $$ $! > {pids}; exec sleep 500")
    hook.silent = True
    hook.asked.clear()
    began = time.monotonic()
    stand.stop("home")
    until("both are asked", 20, lambda: hook.asked and script.events("home/home"))
    assert stand.status("edge")["conditions"], "asked meanwhile, it answers"
    until("the webhook is given up", 30, lambda: "no whole answer in 20 s" in road(
        stand, "edge", "webhook")["error"])
    until("the command too", 20, lambda: "longer than 30 s" in road(
        stand, "edge", "command")["error"])
    assert time.monotonic() - began < 120
    until("its whole group is gone", 5, lambda: not any(map(lives, pids.read_text().split())))
    assert {"alarms/command", "alarms/webhook"} <= {
        c["key"] for c in stand.status("edge")["conditions"]}


def test_who_is_told_may_have_an_address_where_nobody_is(make_stand, tmp_path):
    """An IPv6 address comes first; where it leads nowhere, the next is tried."""
    records = [f"{who}.example.net. 60 IN {a}" for who in ("hook", "relay")
               for a in ("AAAA ::1", "A 127.0.0.1")]
    with Dns(records) as dns, Webhook() as hook, Relay() as relay:
        stand = make_stand(opt=[*opts(
            "home", f"webhook=http://hook.example.net:{hook.port}/", "mail=me@elsewhere.test",
            f"relay=relay.example.net:{relay.port}", "tls=off"),
            f'home.dns.servers={{"127.0.0.1@{dns.port}"}}'])
        r = stand.tool("alarm", "--test", "-c", stand.conf("home"), check=False)
        assert "530 AUTH first" in r.stdout, "without a password it was reached"
        assert r.stdout.count("the test was told") == 1 and hook.events("test") == ["test"]


PLACE = "/etc/ssl/certs/ca-certificates.crt"


def test_a_certificate_is_believed_by_its_authority_and_its_name(make_stand, tmp_path):
    """TLS first (465) for mail, https for the webhook: told, and a false name is told nothing."""
    if os.getuid() != 0 or not os.path.exists(PLACE):
        pytest.skip("needs root, for port 465 and its own authorities, and ca-certificates")
    os.chmod(tmp_path, 0o755)
    own_ca(tmp_path, "hook.example.net", "relay.example.net")
    files = {n: (f"{tmp_path}/{n}.pem", f"{tmp_path}/{n}.key")
             for n in ("hook.example.net", "relay.example.net")}
    at = "127." + ".".join(str(random.randint(2, 250)) for _ in range(3))
    records = [f"relay.example.net. 60 IN A {at}", f"false.example.net. 60 IN A {at}",
               "hook.example.net. 60 IN A 127.0.0.1", "other.example.net. 60 IN A 127.0.0.1"]
    bind = f'mount --bind {tmp_path}/ca.pem {PLACE} || exit 77; exec "$@"'
    with Dns(records) as dns, Webhook(files["hook.example.net"]) as hook, \
            Relay(at=(at, 465), tls=files["relay.example.net"]) as relay:
        stand = make_stand(within=["unshare", "-m", "sh", "-c", bind, "sh"], opt=[*opts(
            "home", f"webhook=https://hook.example.net:{hook.port}/", "mail=me@elsewhere.test",
            "relay=relay.example.net:465", "user=home", "tls=verify",
            f"password={secret(tmp_path / 'password', 'secret')}",
            f"token={secret(tmp_path / 'token', 'a-secret-token')}"),
            f'home.dns.servers={{"127.0.0.1@{dns.port}"}}'])

        def test():
            return stand.tool("alarm", "--test", "-c", stand.conf("home"), check=False).stdout
        assert test().count("the test was told") == 2
        assert hook.tokens == ["Bearer a-secret-token"]
        assert len(relay.mails) == relay.auths == 1
        with open(stand.conf("home"), encoding="utf-8") as f:
            text = f.read()
        with open(stand.conf("home"), "w", encoding="utf-8") as f:
            f.write(text.replace("hook.example.net", "other.example.net")
                    .replace("relay.example.net", "false.example.net"))
        os.kill(stand.pid("home"), 1)
        until("both are other names", 20, lambda: "the test was told" not in test())
        told = len(hook.tokens), len(relay.mails), relay.auths
        assert test().count("certificate") == 2
        assert (len(hook.tokens), len(relay.mails), relay.auths) == told


def test_an_edge_does_not_mail(make_stand):
    stand = make_stand()
    with open(stand.conf("edge"), encoding="ascii") as f:
        text = f.read()
    bad = os.path.join(stand.dir, "bad.conf")
    with open(bad, "w", encoding="ascii") as f:
        f.write(text + 'alarms { mail = "a@b.test" relay = "127.0.0.1:25" }\n')
    r = stand.tool("config", "--check", bad, check=False)
    assert r.returncode == 1 and "mail" in r.stderr
