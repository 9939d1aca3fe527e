"""Bans: made at home, biting at the edge; and fail2ban, which makes them from Dovecot's log."""

import base64
import json
import os
import re
import shutil
import subprocess
import time

import pytest

from kit.certs import own_ca
from kit.dovecot import Dovecot
from kit.etc import own_file
from kit.netns import netns
from kit.ports import free_port
from kit.smtp import Client, Closed
from kit.stand import TOP, message, posthouse, quickest, until

HOME = "198.51.100.2"           # where the tunnel comes from
MACHINE = "198.51.100.9"        # home's other address
EDGE = "198.51.100.80"          # another machine's, where home reaches its edge by name
ATTACKER, NEIGHBOUR, OTHER = "203.0.113.66", "203.0.113.67", "192.0.2.10"


pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")


def ip(*words):
    subprocess.run(["ip", *words], check=True)


@pytest.fixture(name="network")
def network_fixture():
    """Strangers' addresses to connect from; without one, everything comes from where home is."""
    with netns(MACHINE + "/24"):
        for a in (HOME, ATTACKER, NEIGHBOUR, OTHER):
            ip("addr", "add", a, "dev", "lo")
        ip("route", "replace", "table", "local", "local", "127.0.0.1", "dev", "lo",
           "proto", "kernel", "scope", "host", "src", HOME)
        yield


@pytest.fixture(name="stand")
def stand_fixture(network, make_stand):
    return make_stand()


def ctl(stand, *words, **kw):
    return stand.tool(*words, "-c", stand.conf("home"), **kw)


def bans(stand):
    return {b["net"]: b for b in json.loads(ctl(stand, "bans", "--json").stdout)}


def greeted(stand, source):
    try:
        with Client(stand.smtp, source=source) as c:
            return c.reply().text
    except (Closed, ConnectionResetError):
        return ""


def welcome(stand, source):
    return greeted(stand, source).startswith("220 ")


def refused(stand, source):
    return greeted(stand, source).startswith("421 4.7.1 ")


def test_a_ban_bites_at_the_edge_and_ends(stand):
    stand.wait_policy()
    assert welcome(stand, ATTACKER) and welcome(stand, NEIGHBOUR)
    with Client(stand.smtp, source=ATTACKER) as busy, Client(stand.smtp, source=NEIGHBOUR) as other:
        busy.hello()
        other.hello()
        busy.ok("MAIL FROM:<a@client.test>")
        busy.ok("RCPT TO:<alice@example.test>")
        busy.ok("DATA", 354)
        began = time.monotonic()
        ctl(stand, "ban", ATTACKER, "--for", "1h")
        assert busy.reply().text.startswith("421 4.7.1 ")
        print(f"open session ended after {time.monotonic() - began:.3f} s")
        assert busy.closed()
        other.ok("NOOP")
    assert refused(stand, ATTACKER)
    assert welcome(stand, NEIGHBOUR)
    assert stand.counter("edge", "connections_banned") >= 2
    assert stand.queue("edge") == []

    ctl(stand, "ban", "203.0.113.0/24", "--by", "me")
    until("the network is banned", 10, lambda: refused(stand, NEIGHBOUR))
    listed = bans(stand)
    assert set(listed) == {ATTACKER, "203.0.113.0/24"}
    assert listed[ATTACKER]["until"] is not None and listed["203.0.113.0/24"]["by"] == "me"
    assert stand.status("home")["bans"] == 2
    assert "203.0.113.0/24" in ctl(stand, "bans").stdout
    assert "lies in 203.0.113.0/24" in ctl(stand, "unban", ATTACKER).stdout
    r = ctl(stand, "unban", ATTACKER, check=False)
    assert r.returncode == 1 and "lies in 203.0.113.0/24" in r.stderr
    ctl(stand, "unban", "203.0.113.0/24")
    until("the bans are lifted", 10, lambda: welcome(stand, ATTACKER) and welcome(stand, NEIGHBOUR))
    assert ctl(stand, "unban", "203.0.113.0/24").stdout == "It was not banned.\n"

    def briefly():
        """Again and again until it is seen: who is slow to look finds it over."""
        ctl(stand, "ban", ATTACKER, "--for", "3s")
        return refused(stand, ATTACKER)
    until("banned for three seconds", 3, briefly)
    until("the ban is over", 10, lambda: welcome(stand, ATTACKER))
    until("at home, too", 10, lambda: bans(stand) == {})
    assert ctl(stand, "bans").stdout == "Nobody is banned.\n"


def test_every_edge_knows_within_a_second(network, make_stand):
    """Of one home's two; and one that was away, as soon as it is back."""
    one, two = make_stand(), make_stand(opt=["edge.hostname=edge2.test"], domain="other.test")
    two.stop("home")
    line = two.tool("pair", "-c", two.conf("edge"), "both", "example.test").stdout
    ctl(one, "pair", input=re.search(r"posthouse-pair-1 .*\n", line)[0])
    two.change("edge", 'home = {"home"}', 'home = {"both"}')
    two.stop("edge")
    two.start("edge")
    until("home is at both", 40,
          lambda: len([p for p in one.status("home")["peers"] if p["connections"]]) == 2)

    def bites(i):
        who = (ATTACKER, NEIGHBOUR, OTHER)[i]
        ctl(one, "ban", who)
        until("both refuse him", 5, lambda: refused(one, who) and refused(two, who))
    assert quickest(3, bites) < 1
    two.stop("edge")
    ctl(one, "unban", ATTACKER)
    two.start("edge")
    until("it has heard", 20, lambda: welcome(two, ATTACKER) and refused(two, OTHER))


def test_an_edge_that_is_known_by_name_is_not_banned(network, make_stand, tmp_path):
    ip("addr", "add", EDGE, "dev", "lo")
    port, hosts = free_port(), tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost\n{EDGE} mx.posthouse-test.org\n")
    stand = make_stand(within=own_file("/etc/hosts", hosts),
                       opt=[f'edge.tunnel.listen={{"{EDGE}:{port}"}}',
                            f"edge.tunnel.address=mx.posthouse-test.org:{port}"])
    for net in EDGE, "198.51.100.64/26":
        r = ctl(stand, "ban", net, check=False)
        assert r.returncode != 0 and "is where edge edge.test is" in r.stderr
    assert bans(stand) == {}


def test_what_may_not_be_banned_is_refused_with_the_reason(stand):
    def why(*words):
        r = ctl(stand, "ban", *words, check=False)
        assert r.returncode != 0
        return r.stderr
    assert "10.0.0.0/8 is not public" in why("10.1.1.1")
    assert "127.0.0.0/8 is not public" in why("::ffff:127.0.0.1")
    assert "from /8 to /32" in why("8.0.0.0/7")
    assert "from /32 to /128" in why("2001:db8::/31")
    assert "the network is 203.0.113.0/24" in why("203.0.113.1/24")
    assert f"{MACHINE} is this machine's own address" in why(MACHINE)
    assert f"{MACHINE} is this machine's own address" in why("198.51.100.0/24")
    assert "no time" in why(ATTACKER, "--for", "1 day")
    assert "out of range" in why(ATTACKER, "--for", "0")
    assert "an address" in stand.tool("unban", "-c", stand.conf("home"), check=False).stderr
    at_edge = stand.tool("ban", ATTACKER, "-c", stand.conf("edge"), check=False)
    assert "is for home" in at_edge.stderr
    assert bans(stand) == {}


def test_no_ban_cuts_the_tunnel_or_home_s_own_people(stand):
    until("both tunnels are up", 20, lambda: stand.status("edge")["peers"][0]["connections"] == 2)
    ctl(stand, "ban", HOME)
    ctl(stand, "ban", ATTACKER)
    until("the edge knows", 10, lambda: refused(stand, ATTACKER))
    peer = stand.status("edge")["peers"][0]
    assert peer["connections"] == 2 and peer["address"].startswith(HOME + ":")
    with Client(stand.smtp, source=HOME) as c:
        c.hello()
        c.begin("a@client.test", ["alice@example.test"])
        assert c.data(message(body="from home\r\n")).code == 250
    stand.wait_mails("alice", 1)
    stand.kill("home")
    stand.start("home")         # it dials from the banned address
    until("the tunnels are up again", 20,
          lambda: stand.status("edge")["peers"][0]["connections"] == 2)


def test_bans_outlive_either_side(stand):
    ctl(stand, "ban", ATTACKER)
    ctl(stand, "ban", OTHER, "--for", "1h")
    until("the edge knows", 10, lambda: refused(stand, ATTACKER) and refused(stand, OTHER))
    stand.kill("home")
    until("the tunnels are down", 20, lambda: stand.status("edge")["peers"][0]["connections"] == 0)
    assert refused(stand, ATTACKER) and refused(stand, OTHER) and welcome(stand, NEIGHBOUR)
    stand.stop("edge")
    stand.start("edge")
    stand.start("home")
    assert set(bans(stand)) == {ATTACKER, OTHER}
    until("the new edge knows", 20, lambda: refused(stand, ATTACKER) and refused(stand, OTHER))


def test_a_shared_listener_refuses_at_rcpt(network, make_stand):
    stand = make_stand(opt=['edge.service.smtp.home={"home", "second"}'])
    stand.add_home("second", "second.test")
    ctl(stand, "ban", ATTACKER)

    def rcpt(to):
        with Client(stand.smtp, source=ATTACKER) as c:
            c.hello()
            c.ok("MAIL FROM:<a@client.test>")
            return c.cmd(f"RCPT TO:<{to}>").text
    until("one home's ban is known", 10,
          lambda: rcpt("alice@example.test").startswith("550 5.7.1 "))
    assert rcpt("alice@second.test").startswith("250 ")


def test_a_banned_worker_s_senders_are_not_told_so(network, make_stand, tmp_path):
    """At a shared listener, too: its mail goes another way, and none is refused."""
    own_ca(tmp_path, "localhost")
    port = free_port()
    stand = make_stand(opt=[
        f"edge.tls.cert={tmp_path}/localhost.pem", f"edge.tls.key={tmp_path}/localhost.key",
        f'edge.service.submission.listen={{"127.0.0.1:{port}"}}',
        "edge.service.submission.auth=true",
        'edge.service.submission.home={"home", "second"}',
        'home.worker.cloud.domains={"example.test"}', 'home.worker.cloud.edges={"edge.test"}'])
    stand.add_home("second", "second.test")
    with open(f"{stand.env['HOME_STATE']}/worker-cloud.smtp", encoding="ascii") as f:
        said = base64.b64encode(f"\0cloud\0{f.read().strip()}".encode()).decode()

    def login(source):
        c = Client(("127.0.0.1", port), source=source)
        c.hello()
        c.starttls()
        return c, c.cmd(f"AUTH PLAIN {said}").text

    def code(source):
        c, text = login(source)
        with c:
            return text[:9]
    until("the edge knows the Worker", 10, lambda: code(ATTACKER) == "235 2.7.0", 0.1)
    c, _ = login(ATTACKER)
    with c:
        ctl(stand, "ban", ATTACKER)
        assert c.reply().text.startswith("421 4.7.1 ")
    assert code(ATTACKER) == "454 4.7.1"
    assert code(NEIGHBOUR) == "235 2.7.0"


# --- fail2ban ------------------------------------------------------------------------------------

class Fail2ban:
    """Debian's fail2ban-server, in a directory of its own, with the action as it is shipped."""

    def __init__(self, dir_, stand, log):
        self.dir = str(dir_)
        shutil.copytree("/etc/fail2ban/filter.d", f"{self.dir}/filter.d")
        os.mkdir(f"{self.dir}/action.d")
        shutil.copy(os.path.join(TOP, "packaging", "fail2ban", "posthouse.conf"),
                    f"{self.dir}/action.d/posthouse.conf")
        self.write("fail2ban.conf", f"""[Definition]
dbfile = {self.dir}/db
loglevel = INFO
logtarget = {self.dir}/f2b.log
syslogsocket = auto
socket = {self.dir}/sock
pidfile = {self.dir}/pid
""")
        self.write("jail.conf", f"""[DEFAULT]
backend = polling
maxretry = 3
findtime = 10m
bantime = 10m
usedns = no
ignoreself = false

[imap]
enabled = true
filter = dovecot
logpath = {log}
action = posthouse[posthouse="{posthouse()}", conf="{stand.conf('home')}"]
""")
        self.child = subprocess.Popen(["/usr/bin/fail2ban-server", "-f", *self.where(), "start"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT)
        until("fail2ban answers", 30, lambda: self.client("ping", check=False).returncode == 0, 0.2)
        until("its jail runs", 30,
              lambda: self.client("status", "imap", check=False).returncode == 0, 0.2)

    def write(self, name, text):
        with open(f"{self.dir}/{name}", "w", encoding="ascii") as f:
            f.write(text)

    def where(self):
        return ["-c", self.dir, "-s", f"{self.dir}/sock", "-p", f"{self.dir}/pid"]

    def client(self, *words, check=True):
        return subprocess.run(["/usr/bin/fail2ban-client", *self.where(), *words], check=check,
                              capture_output=True, text=True, timeout=60)

    def log(self):
        with open(f"{self.dir}/f2b.log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def stop(self):
        self.child.terminate()
        self.child.wait(60)


@pytest.fixture(name="dovecot")
def dovecot_fixture(stand):
    d = Dovecot(stand.env["MAILDIR"])
    yield d
    d.stop()
    shutil.rmtree(d.dir, ignore_errors=True)


def test_fail2ban_on_dovecot_s_log(stand, dovecot, tmp_path):
    stand.wait_policy()
    ctl(stand, "ban", OTHER)                    # an operator's, which no jail may touch
    f2b = Fail2ban(tmp_path, stand, f"{dovecot.dir}/log")
    try:
        assert dovecot.login_as(NEIGHBOUR, "alice", "x")
        assert not dovecot.login_as(NEIGHBOUR, "alice", "mistyped")
        for i in range(3):
            assert not dovecot.login_as(ATTACKER, "alice", f"guess{i}")
        began = time.monotonic()
        until("fail2ban has banned", 30, lambda: ATTACKER in bans(stand), 0.1)
        until("the attacker is refused at the edge", 5, lambda: refused(stand, ATTACKER))
        print(f"refused {time.monotonic() - began:.1f} s after the last guess")
        ban = bans(stand)[ATTACKER]
        assert ban["by"] == "fail2ban-imap"
        assert 500_000 < ban["until_ms"] - ban["made_ms"] <= 600_000
        assert set(bans(stand)) == {ATTACKER, OTHER}
        assert welcome(stand, NEIGHBOUR)
        assert dovecot.login_as(NEIGHBOUR, "alice", "x")

        f2b.client("set", "imap", "unbanip", ATTACKER)
        until("unban is heard", 10, lambda: welcome(stand, ATTACKER))
        assert set(bans(stand)) == {OTHER}

        f2b.client("set", "imap", "bantime", "100y")        # of 365.25 days each
        f2b.client("set", "imap", "banip", ATTACKER, "2001:db8::66")
        until("banned by hand", 10,
              lambda: set(bans(stand)) == {ATTACKER, OTHER, "2001:db8::66"}, 0.1)
        assert bans(stand)[ATTACKER]["until"][:4] > "2100"
        f2b.client("set", "imap", "banip", "10.1.2.3")      # a client in the LAN
        until("what cannot be is said", 10, lambda: "10.0.0.0/8 is not public" in f2b.log(), 0.1)
        assert stand.status("edge")["peers"][0]["connections"] == 2
    finally:
        f2b.stop()
        print(f2b.log()[-5000:])
    assert set(bans(stand)) == {OTHER}          # actionflush, or one by one


def test_bans_outlive_a_restart_of_the_edge_while_home_is_away(stand):
    stand.wait_policy()
    ctl(stand, "ban", ATTACKER, "--for", "1h")
    ctl(stand, "ban", HOME)

    def both():
        ctl(stand, "ban", NEIGHBOUR, "--for", "5s")     # anew, if it was over before it was seen
        return refused(stand, ATTACKER) and refused(stand, NEIGHBOUR)
    until("both bite", 5, both)
    stand.stop("home")
    stand.stop("edge")
    stand.start("edge")
    assert refused(stand, ATTACKER) and welcome(stand, OTHER)
    assert welcome(stand, HOME), "its own people, from where it dialled before"
    until("the short one is over", 6, lambda: welcome(stand, NEIGHBOUR))
    assert refused(stand, ATTACKER)
    stand.start("home")
    ctl(stand, "unban", ATTACKER)
    until("it is lifted", 5, lambda: welcome(stand, ATTACKER))
