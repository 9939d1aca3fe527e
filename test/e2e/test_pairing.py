"""Pairing by one pasted line, and every way that it is refused; unpair; rotate."""

import json
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from kit.ports import free_port
from kit.smtp import Client, send_mail
from kit.stand import message, posthouse, until


def line(stand, name="new", domains=("new.test",)):
    out = stand.tool("pair", "-c", stand.conf("edge"), name, *domains).stdout
    return re.search(r"posthouse-pair-1 \S+ sha256:[0-9a-f]{64} \S+ [0-9a-f]{32}", out).group(0)


def home_conf(stand, name):
    """A home's configuration that is not paired yet."""
    base = os.path.join(stand.dir, name)
    os.makedirs(os.path.join(base, "mail"), mode=0o700)
    os.makedirs(os.path.join(base, "state"), mode=0o700)
    conf = os.path.join(stand.dir, f"{name}.conf")
    with open(conf, "w", encoding="ascii") as f:
        f.write(f'hostname = "{name}.test"\nstate = "{base}/state"\n'
                f'control = "{base}/s"\nuser = ""\n'
                f'deliver {{ maildir = "{base}/mail" }}\nmailboxes {{ users = {{"alice"}} }}\n')
    stand.tool("keygen", "-c", conf)
    return conf


def redeem(stand, conf, text):
    return stand.tool("pair", "-c", conf, input=text, check=False)


def test_a_line_pairs_once(stand):
    text = line(stand)
    one, two = home_conf(stand, "one"), home_conf(stand, "two")
    # White space around it, as a terminal pastes it.
    r = redeem(stand, one, f"  {text} \r\n\n")
    assert r.returncode == 0, r.stderr
    r = redeem(stand, two, text + "\n")
    assert r.returncode != 0 and re.search(r"used|pending|no pairing", r.stderr), r.stderr


def test_a_worker_called_like_a_paired_edge_is_no_configuration(stand):
    """Whose would be what it signs?  Said with the line, at a reload and at a start."""
    conf = stand.conf("home")
    with open(conf, encoding="utf-8") as f:
        was = f.read()
    with open(conf, "a", encoding="utf-8") as f:
        f.write('\nworker "edge.test" { domains = {"example.test"} }\n')
    says = f'{conf}:{was.count(chr(10)) + 2}: worker: an edge called "edge.test" is paired'
    stand.hup("home")
    until("the reload is refused", 10, lambda: f"config.refused {says}" in stand.log("home"))
    stand.stop("home")
    for words in ("home", "-c", conf), ("config", "--check", conf):
        r = subprocess.run([posthouse(), *words], check=False, capture_output=True, text=True,
                           timeout=60)
        assert r.returncode == 1 and says in r.stderr, r.stderr
    with open(conf, "w", encoding="utf-8") as f:
        f.write(was)
    stand.start("home")


@pytest.mark.parametrize("mode, words", [
    ("auto", "passes nobody on, and holds all mail"), ("pass", "refuses everybody")])
def test_a_second_home_behind_a_listener_that_passes_smtp(make_stand, mode, words):
    """No configuration could refuse it: said when it is paired, and an alarm until it is mended."""
    stand = make_stand(opt=[f"edge.service.submission.mode={mode}",
                            f'edge.service.submission.listen={{"127.0.0.1:{free_port()}"}}'])
    r = stand.tool("pair", "-c", stand.conf("edge"), "new", "new.test")
    assert "Warning: service submission is for 2 homes" in r.stderr and words in r.stderr, r.stderr
    assert stand.status("edge")["alarms"] == [], "it is not paired yet"
    assert redeem(stand, home_conf(stand, "one"), r.stdout).returncode == 0
    alarm, = stand.status("edge")["alarms"]
    assert alarm.startswith("service submission is for 2 homes") and words in alarm, alarm
    conf = Path(stand.conf("edge"))
    text, n = re.subn(rf"mode = .?{mode}.?\n", r"\g<0>home = home\n", conf.read_text("utf-8"))
    assert n == 1
    conf.write_text(text, "utf-8")
    stand.hup("edge")
    until("it has one home again", 5,
          lambda: "2 homes" not in " ".join(stand.status("edge")["alarms"]))


def test_a_service_for_a_home_that_is_not_there(make_stand):
    """A slip of the pen, or not paired yet: no configuration can tell, status does."""
    stand = make_stand(opt=['edge.service.smtp.home={"home", "new"}', "edge.service.smtp.mode=hold",
                            'edge.postmaster="new"'])
    alarm, = stand.status("edge")["alarms"]
    assert alarm.startswith("service smtp names home new, which is not paired"), alarm
    text = line(stand)
    assert redeem(stand, home_conf(stand, "one"), text + "\n").returncode == 0
    assert stand.status("edge")["alarms"] == []


def test_a_home_that_no_service_is_for(make_stand):
    """Its mail is refused: said when it is paired, and an alarm until a service names it."""
    stand = make_stand(opt=['edge.service.smtp.home={"home"}'])
    r = stand.tool("pair", "-c", stand.conf("edge"), "new", "new.test")
    words = 'no service takes mail for home new, which is refused: add it to service "smtp"'
    assert f"Warning: {words}" in r.stderr, r.stderr
    assert stand.status("edge")["alarms"] == [], "it is not paired yet"
    assert redeem(stand, home_conf(stand, "one"), r.stdout).returncode == 0
    alarm, = stand.status("edge")["alarms"]
    assert alarm.startswith(words), alarm
    with open(stand.conf("edge"), encoding="ascii") as f:
        text = f.read()
    assert text.count('{"home"}') == 1
    with open(stand.conf("edge"), "w", encoding="ascii") as f:
        f.write(text.replace('{"home"}', '{"home", "new"}'))
    stand.hup("edge")
    until("the alarm ends", 10, lambda: stand.status("edge")["alarms"] == [])
    r = stand.tool("pair", "-c", stand.conf("edge"), "new", "new.test")
    assert "Warning" not in r.stderr


WHOLE_LINE = "it must start with posthouse-pair-1; paste the whole line that `posthouse pair`"


@pytest.mark.parametrize("what, says", [
    (None, "make one at the edge: posthouse pair NAME DOMAIN"),
    ("", WHOLE_LINE), ("hello", WHOLE_LINE),
    ("posthouse-pair-2 a:1 sha256:00 new 00", WHOLE_LINE),
    ("posthouse-pair-1 x", "it is cut short: five words are wanted"),
    ("posthouse-pair-1 a:1 sha256:00 new 00", "the third word is not sha256: and 64 hex digits")])
def test_not_a_line(stand, what, says):
    r = redeem(stand, home_conf(stand, "one"), "" if what is None else what + "\n")
    assert r.returncode != 0 and says in r.stderr, r.stderr


def test_wrong_token_and_five_tries(stand):
    text = line(stand)
    conf = home_conf(stand, "one")
    wrong = text[:-32] + ("0" * 32 if text[-32:] != "0" * 32 else "1" * 32)
    for left in 4, 3, 2, 1, 0:
        r = redeem(stand, conf, wrong + "\n")
        says = f"; tries left: {left}" if left > 0 else \
            ", for the last time: make a new line at the edge"
        assert r.returncode != 0 and f"the token is wrong{says}" in r.stderr, r.stderr
    r = redeem(stand, conf, text + "\n")
    assert r.returncode != 0 and "make a new one" in r.stderr, \
        f"after five tries even the right one is dead: {r.stderr}"


def test_a_line_ends_with_its_time(stand):
    """By the clock alone, though nobody used it; a stranger's handshake ends then, too."""
    text = line(stand)
    stand.stop("edge")
    pending = os.path.join(stand.env["EDGE_SPOOL"], "pairings")
    with open(pending, encoding="ascii") as f:
        rows = json.load(f)
    assert 0 < rows[0]["expires_ms"] - time.time() * 1000 <= 15 * 60 * 1000
    for seconds in 6, 60, 300:      # a slow machine's edge takes some of it to start
        stand.stop("edge")
        rows[0]["expires_ms"] = int(time.time() * 1000) + seconds * 1000
        with open(pending, "w", encoding="ascii") as f:
            json.dump(rows, f)
        stand.start("edge")
        known = stand.status("edge")["pairing_lines"]
        if time.time() * 1000 < rows[0]["expires_ms"]:
            break
    assert known == 1

    def left():
        with open(pending, encoding="ascii") as f:
            return json.load(f)
    until("the line is over", 40 + seconds, lambda: left() == [])
    assert time.time() * 1000 >= rows[0]["expires_ms"]
    r = redeem(stand, home_conf(stand, "one"), text + "\n")
    assert r.returncode != 0 and "no pairing line is open" in r.stderr, r.stderr
    assert "pair.refused" not in stand.log("edge"), "it did not come so far as to say its token"


def test_wrong_pin(stand):
    text = line(stand)
    wrong = re.sub(r"sha256:[0-9a-f]{64}", "sha256:" + "ab" * 32, text)
    r = redeem(stand, home_conf(stand, "one"), wrong + "\n")
    assert r.returncode != 0 and re.search(r"pin|key", r.stderr), r.stderr
    assert redeem(stand, stand.conf("one"), text + "\n").returncode == 0, \
        "and the token was not spent on a stranger"


def test_a_new_line_ends_the_old(stand):
    old, new = line(stand), line(stand)
    conf = home_conf(stand, "one")
    assert redeem(stand, conf, old + "\n").returncode != 0
    assert redeem(stand, conf, new + "\n").returncode == 0


def test_a_domain_of_another_home_is_not_granted(stand):
    r = stand.tool("pair", "-c", stand.conf("edge"), "thief", "example.test", check=False)
    assert r.returncode != 0 and "example.test" in r.stderr, r.stderr


def test_the_token_is_not_kept(stand):
    token = line(stand).split()[-1]
    raw = bytes.fromhex(token)
    stand.stop("edge")          # it has written what it wanted to, and no file comes or goes
    for base, _, names in os.walk(stand.env["EDGE_SPOOL"]):
        for name in names:
            with open(os.path.join(base, name), "rb") as f:
                text = f.read()
            assert token.encode() not in text and raw not in text, name
    assert token not in stand.log("edge")


def asked(stand, rcpt):
    with Client(stand.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<s@client.test>")
        return c.cmd(f"RCPT TO:<{rcpt}>").text[:9]


def test_a_damaged_pairing_is_said_and_refuses_nobody_for_good(stand, mark):
    def said(role, name):
        return [a for a in stand.status(role)["alarms"]
                if a.startswith(f"{name} in the state") and "posthouse pair" in a]
    stand.stop("edge")
    for name in (os.path.join(stand.env["EDGE_SPOOL"], "homes", "home"),
                 os.path.join(stand.env["HOME_STATE"], "edges", "edge.test")):
        with open(name, "w", encoding="ascii"):
            pass
    stand.kill("home", "writer")        # its next one reads it
    stand.start("home")                 # that is: once the next one answers
    stand.start("edge")
    until("both say so", 20, lambda: said("edge", "homes/home") and
          said("home", "edges/edge.test"))
    assert asked(stand, "alice@example.test") == asked(stand, "x@elsewhere.test") == "451 4.3.0"
    r = redeem(stand, stand.conf("home"), line(stand, "home", ["example.test"]))
    assert r.returncode == 0, r.stderr
    until("all is said to be well", 20, lambda: stand.status("edge")["alarms"]
          + stand.status("home")["alarms"] == [])
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)
    assert asked(stand, "x@elsewhere.test") == "550 5.7.1"


@pytest.mark.parametrize("role, state, file, name", [
    ("edge", "EDGE_SPOOL", "homes/home", "home"),
    ("home", "HOME_STATE", "edges/edge.test", "EDGE.test")])
def test_a_damaged_pairing_can_be_ended(stand, role, state, file, name):
    """Who has no use for it any more need neither mend it nor pair anew."""
    stand.stop("home")
    stand.stop("edge")
    path = os.path.join(stand.env[state], file)
    with open(path, "w", encoding="ascii"):
        pass
    stand.start(role)

    def said():
        return [a for a in stand.status(role)["alarms"] if a.startswith(f"{file} in the state")]
    until("it is said", 20, said)
    stand.tool("unpair", "-c", stand.conf(role), name)
    assert not os.path.exists(path)
    until("it is said no more", 20, lambda: not said())


def test_secrets_are_nobody_elses(stand):
    for base, _, names in os.walk(stand.dir):
        for name in names:
            path = os.path.join(base, name)
            if re.search(r"\.pem$|\.key$|/homes/|/edges/", path):
                assert os.stat(path).st_mode & 0o077 == 0, path


def test_what_a_dying_machine_left_of_a_key_is_named_and_stays(make_stand):
    """keygen never writes over a key, so it must not be what it advises for half of one."""
    stand = make_stand(up=False)
    os.makedirs(stand.dir)
    conf = home_conf(stand, "home")
    for name in ("age.key", "tunnel.pem"):
        path = os.path.join(stand.dir, "home", "state", name)
        os.rename(path, path + ".whole")
        with open(path, "w", encoding="ascii"):
            os.chmod(path, 0o600)
        r = stand.tool("keygen", "-c", conf, check=False)
        assert r.returncode != 0 and path in r.stderr and "move" in r.stderr, r.stderr
        assert os.stat(path).st_size == 0
        os.unlink(path)
        assert "(made)" in stand.tool("keygen", "-c", conf).stdout


def cut_off(*words):
    """The command, killed at the first octet that it writes into a file."""
    r = subprocess.run([posthouse(), *words], check=False, capture_output=True, text=True,
                       timeout=60, preexec_fn=lambda: resource.setrlimit(
                           resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY)))
    assert r.returncode == -signal.SIGXFSZ, (r.returncode, r.stderr)


def worker_conf(stand):
    conf = home_conf(stand, "home")
    with open(conf, "a", encoding="ascii") as f:
        f.write('worker "w.test" { domains = {"example.test"} }\n')
    return conf


def test_a_command_that_is_cut_off_leaves_no_half_of_a_key(make_stand):
    stand = make_stand(up=False)
    os.makedirs(stand.dir)
    conf = worker_conf(stand)
    stand.tool("keygen", "-c", conf)
    for name in ("tunnel.pem", "age.key", "worker-w.test.mac"):
        path = os.path.join(stand.dir, "home", "state", name)
        os.unlink(path)
        cut_off("keygen", "-c", conf)
        assert not os.path.exists(path)
        assert f"{path} (made)" in stand.tool("keygen", "-c", conf).stdout
    cut_off("rotate", "-c", conf, "--tunnel")
    assert "next tunnel key" in stand.tool("rotate", "-c", conf, "--tunnel").stdout


def test_no_key_gives_way_to_what_is_none(make_stand):
    stand = make_stand(up=False)
    os.makedirs(stand.dir)
    conf = home_conf(stand, "home")
    state = os.path.join(stand.dir, "home", "state")
    with open(os.path.join(state, "tunnel.pem"), "rb") as f:
        key = f.read()
    for text in (b"", key[:len(key) // 2]):
        with open(os.path.join(state, "tunnel-next.pem"), "wb") as f:
            f.write(text)
        r = stand.tool("rotate", "-c", conf, "--tunnel", "--finish", "--force", check=False)
        with open(os.path.join(state, "tunnel.pem"), "rb") as f:
            assert f.read() == key
        assert r.returncode == 1 and "tunnel-next.pem: " in r.stderr and \
            "begin anew: posthouse rotate --tunnel" in r.stderr, r.stderr


@pytest.mark.parametrize("text", ["", "half"])
def test_half_of_a_workers_key_is_not_kept_for_one(make_stand, text):
    stand = make_stand(up=False)
    os.makedirs(stand.dir)
    conf = worker_conf(stand)
    path = os.path.join(stand.dir, "home", "state", "worker-w.test.mac")
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    r = stand.tool("keygen", "-c", conf, check=False)
    assert r.returncode == 1 and path in r.stderr and "move it away" in r.stderr, r
    os.unlink(path)
    assert f"{path} (made)" in stand.tool("keygen", "-c", conf).stdout


def test_an_unpinned_home_is_refused_at_the_handshake(make_stand, mark):
    """Home's tunnel key is replaced by a stranger's: nothing is handed
    to it, and the reason is said."""
    stand = make_stand()
    stand.stop("home")
    key = os.path.join(stand.env["HOME_STATE"], "tunnel.pem")
    os.rename(key, key + ".true")
    with pytest.raises(RuntimeError):
        os.environ["STAND_READY_S"] = "3"
        try:
            stand.tool("keygen", "-c", stand.conf("home"))
            stand.start("home")
        finally:
            del os.environ["STAND_READY_S"]
    until("home says why, and what to do", 20, lambda: re.search(
        r"ended the handshake; does it still know this home\? else pair again",
        " ".join(stand.status("home")["alarms"])))
    stand.logged("edge", r"tunnel\.refused: TLS handshake")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    assert len(stand.queue("edge")) == 1
    stand.stop("home")
    os.rename(key + ".true", key)
    stand.start("home")
    stand.wait_marked("alice", mark)


@pytest.mark.parametrize("locale, shown", [("C.UTF-8", "bücher"), ("C", r"b\xc3\xbccher")])
def test_a_name_in_any_script_is_shown_once(stand, monkeypatch, locale, shown):
    """As it is where a terminal can show it, elsewhere escaped, and that one time only."""
    monkeypatch.setenv("LC_ALL", locale)
    for role in ("edge", "home"):
        r = stand.tool("unpair", "-c", stand.conf(role), "bücher", check=False)
        assert r.returncode == 1 and r.stdout == ""
        assert f"nobody called {shown} is paired" in r.stderr, r.stderr
        r = stand.tool("unpair", "-c", stand.conf(role), "ü" * 200, check=False)
        assert r.returncode == 1 and "too long" in r.stderr, r.stderr


def test_unpair(stand, mark):
    stand.tool("unpair", "-c", stand.conf("edge"), "home")
    until("the tunnel is down", 20,
          lambda: not any(p.get("connections") for p in stand.status("home")["peers"]))
    r = send_mail_code(stand)
    assert r in (450, 550, 451, 452), r
    alarm, = until("that is an alarm at home", 20, lambda: stand.status("home")["alarms"])
    assert re.match(r"edge\.test: .*still know this home\? else pair again", alarm), alarm
    advice = alarm[:alarm.index("pair again")]  # its cause follows, another for each attempt
    assert f"ALARM      {advice}" in stand.tool("status", "-c", stand.conf("home")).stdout
    r = redeem(stand, stand.conf("home"), line(stand, "home", ("example.test",)) + "\n")
    assert r.returncode == 0, r.stderr
    stand.stop("home")
    stand.start("home")
    connected(stand)
    until("the alarm ends", 10, lambda: stand.status("home")["alarms"] == [])


@pytest.mark.parametrize("role,state,file", [
    ("edge", "EDGE_SPOOL", "homes/home"), ("home", "HOME_STATE", "edges/edge.test")])
def test_a_pairing_that_ends_while_the_writer_is_away(stand, role, state, file):
    """The others knew the peer from the writer before, which never says that it is gone."""
    connected(stand)
    writer, = (p["pid"] for p in stand.status(role)["processes"] if p["name"] == "writer")
    stand.killed = True
    os.kill(writer, signal.SIGSTOP)
    try:
        os.unlink(os.path.join(stand.env[state], file))
    finally:
        os.kill(writer, signal.SIGKILL)
    other = "home" if role == "edge" else "edge"
    until("the tunnels are down", 20,
          lambda: not any(p.get("connections") for p in stand.status(other)["peers"]))
    if role == "edge":
        assert send_mail_code(stand) in (450, 550)


def connected(stand):
    until("home has its tunnels", 30,
          lambda: [p for p in stand.status("home")["peers"] if p.get("connections", 0) > 0])


def test_an_edge_with_another_key_is_an_alarm(stand, mark):
    """Until it shows the paired one again; what is held meanwhile waits."""
    key = os.path.join(stand.env["EDGE_SPOOL"], "tunnel.pem")
    stand.stop("edge")
    os.rename(key, key + ".old")
    stand.tool("keygen", "-c", stand.conf("edge"))
    stand.start("edge")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    alarm, = until("home says so", 30, lambda: stand.status("home")["alarms"])
    assert re.match(r"edge\.test: .*shows another key .* pair again; .* it shows "
                    r"sha256:[0-9a-f]{64}$", alarm), alarm
    stand.stop("edge")
    os.rename(key + ".old", key)
    stand.start("edge")
    stand.wait_marked("alice", mark)
    until("the alarm ends", 10, lambda: stand.status("home")["alarms"] == [])


def test_held_mail_outlives_a_new_pairing(stand, mark):
    """What the edge signed under the earlier pairing is still taken."""
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.tool("unpair", "-c", stand.conf("edge"), "home")
    r = redeem(stand, stand.conf("home"), line(stand, "home", ("example.test",)) + "\n")
    assert r.returncode == 0, r.stderr
    stand.start("home")
    stand.wait_marked("alice", mark)
    assert stand.status("home")["aside"] == 0


def test_mail_for_an_unpaired_home_is_not_forgotten(stand, mark):
    """unpair says what is held, and status says it until the name is paired again."""
    stand.stop("home")
    for _ in range(2):
        assert send_mail(stand.smtp, message(subject=mark)).code == 250
    r = stand.tool("unpair", "-c", stand.conf("edge"), "home")
    assert re.search(r"2 objects, .* held for home", r.stderr), r.stderr

    def alarms():
        return [a for a in stand.status("edge")["alarms"] if "held for home" in a]
    octets = sum(o["size"] for o in stand.queue("edge"))
    alarm, = alarms()
    assert f"2 objects, {octets} octets, held for home home" in alarm and "0 days" in alarm, alarm
    stand.stop("edge")
    stand.start("edge")
    assert alarms() == [alarm]
    r = redeem(stand, stand.conf("home"), line(stand, "home", ("example.test",)) + "\n")
    assert r.returncode == 0 and alarms() == []
    stand.start("home")
    stand.wait_marked("alice", mark, 2)


def pair_anew(stand):
    """Both forget each other, then pair under the same name."""
    stand.tool("unpair", "-c", stand.conf("edge"), "home")
    stand.tool("unpair", "-c", stand.conf("home"), "edge.test")
    r = redeem(stand, stand.conf("home"), line(stand, "home", ("example.test",)) + "\n")
    assert r.returncode == 0, r.stderr


def test_held_mail_outlives_any_number_of_pairings(stand, mark):
    """Home has none of the earlier keys; large objects are files of their own."""
    stand.stop("home")
    large = message(subject=f"{mark}-large-", body=("z" * 70 + "\r\n") * 10000)
    assert send_mail(stand.smtp, message(subject=f"{mark}-0-")).code == 250
    assert send_mail(stand.smtp, large).code == 250
    for n in (1, 2):
        pair_anew(stand)
        assert send_mail(stand.smtp, message(subject=f"{mark}-{n}-")).code == 250
    assert [o["file"] for o in stand.queue("edge")] == [False, True, False, False]
    stand.start("home")
    for what in ("0", "large", "1", "2"):
        stand.wait_marked("alice", f"{mark}-{what}-")
    stand.edge_empty()
    assert stand.status("home")["aside"] == 0


@pytest.mark.parametrize("role,state", [("edge", "EDGE_SPOOL"), ("home", "HOME_STATE")])
def test_a_stolen_tunnel_key_is_shut_out_as_the_manual_says(stand, mark, role, state):
    def pins(of):
        out = stand.tool("pairings", "-c", stand.conf(of), "--json").stdout
        return json.loads(out)["peers"][0]["pins"]
    other = "home" if role == "edge" else "edge"
    stolen = pins(other)
    stand.stop(role)
    os.unlink(os.path.join(stand.env[state], "tunnel.pem"))
    made = re.search(r"sha256:[0-9a-f]{64}", stand.tool("keygen", "-c", stand.conf(role)).stdout)
    if role == "edge":      # it has to run
        stand.start("edge")
    r = redeem(stand, stand.conf("home"), line(stand, "home", ("example.test",)) + "\n")
    assert r.returncode == 0, r.stderr
    if role == "home":
        stand.start("home")
    assert pins(other) == [made.group(0)] != stolen
    connected(stand)
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)


def test_another_machine_takes_the_homes_place(stand, mark):
    """Its age key opens nothing that was held before: that is kept, and named."""
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=f"{mark}-lost-")).code == 250
    stand.tool("unpair", "-c", stand.conf("edge"), "home")
    shutil.rmtree(stand.env["HOME_STATE"])
    os.makedirs(stand.env["HOME_STATE"], mode=0o700)
    stand.tool("keygen", "-c", stand.conf("home"))
    r = redeem(stand, stand.conf("home"), line(stand, "home", ("example.test",)) + "\n")
    assert r.returncode == 0, r.stderr
    stand.start("home")
    assert send_mail(stand.smtp, message(subject=f"{mark}-new-")).code == 250
    stand.wait_marked("alice", f"{mark}-new-")
    stand.edge_empty()
    held, = until("the other is parked", 10, lambda: [
        o for o in stand.queue("home") if o["state"] == "parked"])
    assert "age key" in held["reason"], held
    until("nothing else is there", 10,
          lambda: [o["id"] for o in stand.queue("home")] == [held["id"]])
    assert stand.status("home")["aside"] == 0
    alarms = stand.status("home")["alarms"]
    assert any("parked" in a for a in alarms), alarms
    r = stand.tool("open", "-c", stand.conf("home"), held["id"], check=False)
    assert r.returncode != 0 and "age keys opens it" in r.stderr


def send_mail_code(stand):
    from kit.smtp import Client
    with Client(stand.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<s@client.test>")
        return c.cmd("RCPT TO:<alice@example.test>").code


def identities(stand):
    with open(stand.env["AGE_KEY"], encoding="ascii") as f:
        return re.findall(r"^AGE-SECRET-KEY-\S+", f.read(), re.M)


def sealed_to(stand, identity, tmp_path):
    """Whether that identity alone opens the first held object."""
    key = tmp_path / "one.key"
    key.write_text(identity + "\n")
    sealed = stand.cat("edge", stand.queue("edge")[0]["id"])
    return subprocess.run(["age", "-d", "-i", key], input=sealed, capture_output=True,
                          check=False).returncode == 0


def test_rotate(stand, mark, tmp_path):
    """Two keys until the old one has nothing left to open: mail sealed before,
    between and after arrives."""
    old, = identities(stand)
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=f"{mark}-before-")).code == 250
    assert sealed_to(stand, old, tmp_path)
    stand.tool("rotate", "-c", stand.conf("home"))
    assert set(identities(stand)) > {old} and len(identities(stand)) == 2
    stand.start("home")
    stand.wait_marked("alice", f"{mark}-before-")
    new = next(i for i in identities(stand) if i != old)

    def taken_over():
        stand.stop("home")
        assert send_mail(stand.smtp, message(subject=f"{mark}-between-")).code == 250
        done = sealed_to(stand, new, tmp_path)
        stand.start("home")
        stand.edge_empty()
        return done
    until("the edge seals to the new key", 40, taken_over, 0.5)

    def finished():
        return stand.tool("rotate", "-c", stand.conf("home"),
                          "--finish", check=False).returncode == 0
    until("the old keys go", 40, finished, 0.5)
    stand.hup("home")
    assert identities(stand) == [new]
    for role in ("home", "edge"):
        stand.stop(role)
    stand.start("edge")
    stand.start("home")
    assert send_mail(stand.smtp, message(subject=f"{mark}-after-")).code == 250
    stand.wait_marked("alice", f"{mark}-after-")


def test_rotate_does_not_finish_too_early(stand, mark):
    """The edge knows nothing of the new keys yet: the old ones stay."""
    before = identities(stand)
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.tool("rotate", "-c", stand.conf("home"))
    r = stand.tool("rotate", "-c", stand.conf("home"), "--finish", check=False)
    assert r.returncode != 0 and r.stderr.strip()
    assert set(before) < set(identities(stand))
    stand.start("home")
    stand.wait_marked("alice", mark)


@pytest.mark.parametrize("what", ["--age", "--tunnel"])
def test_rotate_finishes_what_was_begun(stand, what):
    """Its advice is taken as it stands: nothing else is under way, and that is no mistake."""
    begun = stand.tool("rotate", "-c", stand.conf("home"), what)
    assert "posthouse rotate --finish" in begun.stdout
    stand.hup("home")
    words = "rotate", "-c", stand.conf("home"), "--finish"
    r = until("it is finished", 40, lambda: (
        r := stand.tool(*words, check=False)).returncode == 0 and r, 0.5)
    assert ("age.key has" in r.stdout) == (what == "--age")
    assert ("new tunnel key" in r.stdout) == (what == "--tunnel") and r.stderr == ""
    stand.hup("home")
    r = stand.tool(*words, check=False)
    assert r.returncode == 1 and "no rotation is under way" in r.stderr


def begin_rotation(stand):
    """Old and new key, with the edge sealing to both: what the test waits for before --finish."""
    old, = identities(stand)
    stand.tool("rotate", "-c", stand.conf("home"), "--age")
    stand.hup("home")
    new = next(i for i in identities(stand) if i != old)
    public = subprocess.run(["age-keygen", "-y"], input=new, capture_output=True, text=True,
                            check=True).stdout.strip()

    def known():
        out = stand.tool("pairings", "-c", stand.conf("home"), "--json").stdout
        return public in out
    until("the edge seals to the new key", 20, known)
    return old, new


def finish(stand):
    return stand.tool("rotate", "-c", stand.conf("home"), "--age", "--finish", check=False)


def retired(stand):
    return os.path.join(stand.env["HOME_STATE"], "age-retired.key")


def park_for(stand, who, subject):
    before = len(stand.queue("home"))
    assert send_mail(stand.smtp, message(subject=subject), rcpts=[who]).code == 250
    return until("it is parked", 20,
                 lambda: [o for o in stand.queue("home") if o["state"] == "parked"][before:])[0]


def test_refused_mail_is_read_after_a_rotation(make_stand, mark):
    """It holds nothing up, stays readable as long as it is kept, and
    then the old key goes by itself."""
    stand = make_stand(opt=["home.mailboxes.edges_refuse=false"])
    held = park_for(stand, "nobody@example.test", mark)
    old, new = begin_rotation(stand)
    r = finish(stand)
    assert r.returncode == 0, r.stderr
    assert re.search(r"1 objects? that policy refused", r.stdout) and "open ID" in r.stdout
    assert identities(stand) == [new]
    with open(retired(stand), encoding="ascii") as f:
        assert re.findall(r"^AGE-SECRET-KEY-\S+", f.read(), re.M) == [old]
    assert os.stat(retired(stand)).st_mode & 0o777 == 0o600
    assert mark in stand.tool("open", "-c", stand.conf("home"), held["id"]).stdout

    # Old enough to go: the object alone keeps it.
    stand.stop("home")
    past = time.time() - 31 * 86400
    os.utime(retired(stand), (past, past))
    stand.start("home")
    stand.hup("home")
    time.sleep(3)
    assert os.path.exists(retired(stand)), "something needs it yet"
    assert mark in stand.tool("open", "-c", stand.conf("home"), held["id"]).stdout
    stand.stop("home")
    with sqlite3.connect(os.path.join(stand.env["HOME_STATE"], "spool.db")) as db:
        db.execute("UPDATE object SET parked = 1")
    db.close()
    stand.start("home")
    until("what policy refused has expired", 20, lambda: stand.queue("home") == [])
    stand.hup("home")
    until("nothing needs the old key", 20, lambda: not os.path.exists(retired(stand)))


def test_a_retired_key_opens_what_comes_late(make_stand, mark):
    """An edge that knew nothing of the rotation hands over what only the old key opens."""
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.tool("rotate", "-c", stand.conf("home"), "--age")
    r = stand.tool("rotate", "-c", stand.conf("home"), "--age", "--finish", "--force", check=False)
    assert r.returncode == 0, r.stderr
    assert len(identities(stand)) == 1
    stand.start("home")
    stand.wait_marked("alice", mark)


def test_other_parked_mail_blocks_a_rotation(make_stand, mark):
    """Not policy's: somebody has to look at it first."""
    stand = make_stand(opt=["home.mailboxes.edges_refuse=false"])
    park_for(stand, "nobody@example.test", mark)
    other = park_for(stand, "nobody@example.test", mark)
    stand.stop("home")
    with sqlite3.connect(os.path.join(stand.env["HOME_STATE"], "spool.db")) as db:
        db.execute("UPDATE entry SET park = 2 WHERE row = ?", (other["row"],))
        db.execute("UPDATE object SET parked = NULL WHERE row = ?", (other["row"],))
    db.close()
    stand.start("home")
    old, new = begin_rotation(stand)
    r = finish(stand)
    assert r.returncode != 0, r.stderr
    assert re.search(r"1 objects .* beside 1 that policy refused", r.stderr), r.stderr
    assert set(identities(stand)) == {old, new} and not os.path.exists(retired(stand))
