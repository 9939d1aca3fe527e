"""SIGHUP, SIGTERM, certificates: changed while mail flows."""

import json
import os
import re
import signal
import ssl
import subprocess
import time

import pytest

from kit.certs import certify, own_ca
from kit.smtp import Client, send_mail
from kit.stand import message, posthouse, until


def control(stand, role):
    with open(stand.conf(role), encoding="ascii") as f:
        return re.search(r'^control *= *"(.*)"', f.read(), re.M).group(1)


def alarms(stand, role):
    """Asked by the socket: the file may be the broken one."""
    r = stand.tool("status", "--control", control(stand, role), "--json")
    return json.loads(r.stdout)["alarms"]


def size_offered(stand):
    with Client(stand.smtp) as c:
        return int(re.search(r"SIZE (\d+)", c.hello().text).group(1))


def test_good_configuration_is_taken(make_stand):
    stand = make_stand(opt=["edge.limits.size=3M"])
    assert size_offered(stand) == 3 << 20
    with Client(stand.smtp) as c:       # a session that was there before lives on
        c.hello()
        stand.change("edge", "size = 3M", "size = 4M")
        stand.hup("edge")
        until("the new size is offered", 10, lambda: size_offered(stand) == 4 << 20)
        c.begin("s@client.test", ["alice@example.test"])
        assert c.data(message()).code == 250
    stand.wait_mails("alice", 1)


def test_a_process_that_is_slow_to_answer_is_waited_for(make_stand):
    """Two reloads before it answers the first: both answers are expected, it is not ended."""
    stand = make_stand(opt=["edge.limits.size=3M"])
    pids = {p["name"]: p["pid"] for p in stand.status("edge")["processes"]}
    os.kill(pids["writer"], signal.SIGSTOP)
    try:
        for old, new in ((3, 4), (4, 5)):
            stand.change("edge", f"size = {old}M", f"size = {new}M")
            stand.hup("edge")
            until("the others have it", 10, lambda new=new: size_offered(stand) == new << 20)
        assert "config.reloaded" not in stand.log("edge")
    finally:
        os.kill(pids["writer"], signal.SIGCONT)
    stand.logged("edge", "config.reloaded")
    assert {p["name"]: p["pid"] for p in stand.status("edge")["processes"]} == pids
    assert alarms(stand, "edge") == []


@pytest.mark.parametrize("role", ["edge", "home"])
def test_bad_configuration_is_refused_and_the_old_kept(make_stand, mark, role):
    stand = make_stand(opt=["edge.limits.size=3M"])
    with open(stand.conf(role), "a", encoding="ascii") as f:
        f.write("no_such_key = 1\n")
    lines = sum(1 for _ in open(stand.conf(role), encoding="ascii"))
    stand.hup(role)
    until("it says where", 10, lambda: f"{stand.conf(role)}:{lines}: " in stand.log(role))
    alarm, = until("an alarm", 10, lambda: alarms(stand, role))
    assert alarm.startswith(f"configuration: {stand.conf(role)}:{lines}: "), alarm
    assert "SIGHUP" in alarm, "and that the old one is in force until then"
    assert size_offered(stand) == 3 << 20
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)
    r = subprocess.run([posthouse(), role, "-c", stand.conf(role)], check=False,
                       capture_output=True, text=True, timeout=60)
    assert r.returncode != 0 and f"{stand.conf(role)}:{lines}: " in r.stderr, \
        "and nothing starts with it"
    stand.change(role, "no_such_key = 1\n", "")
    stand.hup(role)
    until("the alarm ends", 10, lambda: alarms(stand, role) == [])


def test_of_a_chain_the_earliest_end_counts(make_stand):
    """An intermediate that is over is refused by those who look, however new the certificate."""
    stand = make_stand(opt=["edge.alarms.certificate=40d"])
    cert, _ = certify(stand, 60)
    stand.hup("edge")
    until("it is taken", 10, lambda: "secret.read name=tls.cert" in stand.log("edge") and
          alarms(stand, "edge") == [])
    own_ca(stand.dir, "between.test")       # for 30 days
    with open(f"{stand.dir}/between.test.pem", encoding="ascii") as f, \
            open(cert, "a", encoding="ascii") as chain:
        chain.write(f.read())
    stand.hup("edge")
    until("the alarm is of the intermediate", 10, lambda: any(
        f"{cert}, for between.test, ends on" in a for a in alarms(stand, "edge")))


def test_a_certificate_that_ends_is_said_until_a_later_one_is_taken(make_stand):
    stand = make_stand()
    assert alarms(stand, "edge") == []
    for days, words in ((-3, "is over since"), (10, "ends on")):
        cert, date = certify(stand, days)
        stand.hup("edge")
        until(f"an alarm that it {words} {date}", 10, lambda: any(
            f"{words} {date}" in a for a in alarms(stand, "edge")))
        alarm, = alarms(stand, "edge")
        assert cert in alarm and "mx.edge.test" in alarm, alarm
        stand.logged("edge", f"tls.expires file={cert} name=mx.edge.test until={date}")
    certify(stand, 60)
    stand.hup("edge")
    until("the alarm ends", 10, lambda: alarms(stand, "edge") == [])


@pytest.mark.parametrize("role", ["edge", "home"])
def test_what_runs_can_be_asked_after_a_broken_edit(make_stand, mark, role):
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.start("home")
    stand.wait_marked("alice", mark)
    until("nothing is queued", 30, lambda: stand.queue(role) == [])
    socket = control(stand, role)
    with open(stand.conf(role), "a", encoding="ascii") as f:
        f.write("no_such_key = 1\n")
    lines = sum(1 for _ in open(stand.conf(role), encoding="ascii"))
    r = stand.tool("status", "-c", stand.conf(role), check=False)
    assert r.returncode == 1 and r.stdout == ""
    assert f"{stand.conf(role)}:{lines}: " in r.stderr and "--control" in r.stderr, r.stderr
    assert f"/run/posthouse/{role}.sock" in r.stderr, "and where it would be"
    assert json.loads(stand.tool("status", "--control", socket, "--json").stdout)["role"] == role
    assert json.loads(stand.tool("queue", "--control", socket, "--json").stdout) == []
    assert stand.tool("pairings", "--control", socket).stdout
    assert stand.tool("show", "--control", socket, "1", check=False).returncode == 1
    if role == "home":
        stand.tool("ban", "--control", socket, "203.0.113.0/24")
        assert "203.0.113.0/24" in stand.tool("bans", "--control", socket).stdout
        stand.tool("unban", "--control", socket, "203.0.113.0/24")
        assert json.loads(stand.tool("bans", "--control", socket, "--json").stdout) == []
        assert json.loads(stand.tool("interlock", "--control", socket, "--json").stdout)["complete"]
    r = stand.tool("status", "--control", socket + ".no", check=False)
    assert r.returncode == 1 and socket + ".no" in r.stderr


def test_the_default_socket_answers_for_a_broken_file(stand):
    """In a name space whose /etc/posthouse and /run/posthouse are the test's own."""
    socket = control(stand, "edge")
    script = f"""mount -t tmpfs t /etc && mount -t tmpfs t /run || exit 77
        mkdir /etc/posthouse /run/posthouse
        (cat {stand.conf("edge")}; echo no_such_key = 1) >/etc/posthouse/edge.conf
        ln -s {socket} /run/posthouse/edge.sock
        exec {posthouse()} status --json"""
    r = subprocess.run(["unshare", "-m", "sh", "-c", script], check=False, capture_output=True,
                       text=True, timeout=60)
    if r.returncode == 77 or "unshare" in r.stderr:
        pytest.skip("no name space of our own here")
    assert r.returncode == 0, r.stderr
    assert json.loads(r.stdout)["role"] == "edge"
    assert "warning" in r.stderr and "/etc/posthouse/edge.conf:" in r.stderr, r.stderr
    assert "no_such_key" in r.stderr


def test_users_are_reloaded(stand, mark):
    stand.change("home", '"bob"', '"bob", "carol"')
    stand.hup("home")

    def known():
        with Client(stand.smtp) as c:
            c.hello()
            c.cmd("MAIL FROM:<a@client.test>")
            if c.cmd("RCPT TO:<carol@example.test>").code != 250:
                return False        # the edge does not know her yet
            assert c.data(message(subject=mark)).code == 250
        stand.edge_empty()
        stand.home_settled()
        return stand.files("carol")
    until("carol has a mailbox", 20, known, 0.2)


def certificate(where):
    """The certificate that STARTTLS shows, DER."""
    with Client(where) as c:
        c.hello()
        c.starttls()
        return c.sock.getpeercert(binary_form=True)


def test_certificate_is_reloaded_when_its_file_changes(stand):
    old = certificate(stand.smtp)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "5",
                    "-subj", "/CN=edge.test", "-keyout", stand.dir + "/n.key",
                    "-out", stand.dir + "/n.cert"], check=True, capture_output=True)
    os.rename(stand.dir + "/n.key", stand.dir + "/tls.key")
    os.rename(stand.dir + "/n.cert", stand.dir + "/tls.cert")
    until("the new one is shown", 90, lambda: certificate(stand.smtp) != old, 0.3)
    with open(stand.dir + "/tls.cert", encoding="ascii") as f:
        assert certificate(stand.smtp) == ssl.PEM_cert_to_DER_cert(f.read())


def test_a_broken_certificate_keeps_the_old(stand):
    old = certificate(stand.smtp)
    with open(stand.dir + "/tls.cert", "w", encoding="ascii") as f:
        f.write("-----BEGIN CERTIFICATE-----\nnot one\n-----END CERTIFICATE-----\n")
    at = len(stand.log("edge"))
    stand.hup("edge")
    stand.logged("edge", r"error .*tls\.cert", at)
    assert certificate(stand.smtp) == old


def test_starttls_ends_with_its_section(make_stand):
    stand = make_stand()
    with open(stand.conf("edge"), encoding="ascii") as f:
        text = f.read()
    with Client(stand.smtp) as c:
        assert "STARTTLS" in c.hello().text
        stand.change("edge", re.search(r"^tls \{.*?^\}\n", text, re.M | re.S).group(0), "")
        stand.hup("edge")
        until("it is no longer offered", 10, lambda: "STARTTLS" not in greeting(stand))
        c.ok("NOOP")
    with open(stand.conf("edge"), "w", encoding="ascii") as f:
        f.write(text)
    stand.hup("edge")
    until("it is offered again", 10, lambda: "STARTTLS" in greeting(stand))
    assert certificate(stand.smtp)


def greeting(stand):
    with Client(stand.smtp) as c:
        return c.hello().text


def test_sigterm_drains(stand, mark):
    """A transaction under way when SIGTERM comes is finished: 250, and the mail is there."""
    with Client(stand.smtp) as idle, Client(stand.smtp) as c:
        idle.hello()
        c.hello()
        c.begin("s@client.test", ["alice@example.test"])
        c.ok("DATA", 354)
        os.kill(stand.pid("edge"), signal.SIGTERM)
        assert idle.reply().code == 421, "the edge drains by now"
        c.send(message(subject=mark) + b".\r\n")
        assert c.reply().code == 250
        r = c.reply()
        assert r.code == 421 and " 4.3.2 " in r.text, r.text
    until("the edge is down", 30, lambda: not alive(stand, "edge"))
    stand.start("edge")
    stand.wait_marked("alice", mark)


def alive(stand, role):
    try:
        with open(f"/proc/{stand.pid(role)}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):     # before it was opened, or after
        return False


def test_an_idle_session_is_told_at_the_end(stand):
    with Client(stand.smtp) as c:
        c.hello()
        os.kill(stand.pid("edge"), signal.SIGTERM)
        r = c.reply()
        assert r.code == 421 and " 4.3.2 " in r.text, r.text
    until("the edge is down", 30, lambda: not alive(stand, "edge"))
    stand.start("edge")
