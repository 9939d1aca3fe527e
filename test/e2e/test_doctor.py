"""posthouse doctor: what is well is told so, and what is not with what to do, running or not."""

import json
import os
import re
import select
import shutil
import socket
import subprocess
import tempfile

import pytest

from kit.certs import certify
from kit.passed import Server
from kit.ports import free_port
from kit.radosgw import KEY, MISSING, SECRET, Radosgw
from kit.s3 import rules
from kit.smtp import send_mail
from kit.stand import message, posthouse, until

TOLD = ["edge.alarms.command=/bin/true", "home.alarms.command=/bin/true"]
LINE = re.compile(r"(ok|warn|fail) +(\S.*?)  +(\S.*?)(?:  -> (.+))?$")


def doctor(conf, *words):
    """(exit status, {check: (state, text, advice)}), and the same as lines."""
    r = subprocess.run([posthouse(), "doctor", "-c", conf, "--json", *words], check=False,
                       capture_output=True, text=True, timeout=120)
    assert r.stderr == "", r.stderr
    found = {}
    for o in json.loads(r.stdout):
        assert list(o) == ["check", "state", "text", "advice"] and o["text"]
        found.setdefault(o["check"], []).append((o["state"], o["text"], o["advice"]))
    return r.returncode, {k: max(v, key=lambda f: ("ok", "warn", "fail").index(f[0]))
                          for k, v in found.items()}


def unwell(found):
    return {k: v for k, v in found.items() if v[0] != "ok"}


def test_an_edge_and_a_home_that_are_well(make_stand):
    stand = make_stand(opt=TOLD)
    for role, peer in ("edge", "home home"), ("home", "edge edge.test"):
        status, found = doctor(stand.conf(role))
        assert status == 0 and unwell(found) == {}
        assert {"configuration", "state", "disk", "tunnel.key", "pairing", "alarms", "running",
                peer} <= set(found)
        assert ("certificate" in found) == (role == "edge") != ("age.key" in found)
        r = stand.tool("doctor", "-c", stand.conf(role))
        lines = [LINE.match(line).groups() for line in r.stdout.splitlines()]
        assert [line[0] for line in lines] == ["ok"] * len(lines) and "\033" not in r.stdout
        assert {line[1] for line in lines} == set(found)


def test_a_role_that_is_down_and_all_that_can_be_seen_without_it(make_stand):
    stand = make_stand(opt=[*TOLD, "edge.alarms.unreachable=2s", "edge.alarms.after=1s",
                            "edge.alarms.every=1s"])
    before = set(doctor(stand.conf("home"))[1])
    stand.stop("home")
    status, found = doctor(stand.conf("home"))
    assert status == 1 and list(unwell(found)) == ["running"]
    assert "home is not running" in found["running"][1]
    assert found["running"][2] == "start it with systemctl start posthouse-home"
    assert before - set(found) == {"edge edge.test"}
    until("the edge's doctor says so", 20, lambda: unwell(
        doctor(stand.conf("edge"))[1]).get("home home", "")[:1] == ("fail",))
    status, found = doctor(stand.conf("edge"))
    assert status == 1 and list(unwell(found)) == ["home home"], "and says it once"
    assert "has no tunnel to this edge" in found["home home"][1] and found["home home"][2]

    # without anything that a start would need
    os.rename(f"{stand.dir}/home", f"{stand.dir}/home.away")
    status, found = doctor(stand.conf("home"))
    assert status == 1 and set(unwell(found)) == {"state", "running"}
    assert "posthouse keygen --home" in found["state"][2]
    os.rename(f"{stand.dir}/home.away", f"{stand.dir}/home")
    with open(stand.conf("home"), "a", encoding="ascii") as f:
        f.write("no_such_key = 1\n")
    status, found = doctor(stand.conf("home"))
    assert status == 1 and list(found) == ["configuration"]
    assert re.search(r"home\.conf:\d+: .*no_such_key", found["configuration"][1])


def test_homes_that_may_fill_what_they_share(make_stand):
    """One that is away for weeks, and the others' mail would be refused."""
    stand = make_stand(opt=TOLD)
    homes = f"{stand.dir}/edge/homes"
    assert "home.quota" not in doctor(stand.conf("edge"))[1]
    shutil.copy(f"{homes}/home", f"{homes}/bob")
    state, text, advice = doctor(stand.conf("edge"))[1]["home.quota"]
    assert state == "warn"
    assert "hold.quota, 20 GB" in text and "the other home" in text and "quota = " in advice
    with open(stand.conf("edge"), "a", encoding="ascii") as f:
        f.write('home "bob" { quota = 1G }\n')
    assert "while home home is away" in doctor(stand.conf("edge"))[1]["home.quota"][1]
    with open(stand.conf("edge"), "a", encoding="ascii") as f:
        f.write('home "home" { quota = 4G }\n')
    assert "home.quota" not in doctor(stand.conf("edge"))[1]


def test_key_files(make_stand):
    stand = make_stand(opt=TOLD)
    key = stand.env["AGE_KEY"]
    os.chmod(key, 0o644)
    status, found = doctor(stand.conf("home"))
    assert status == 1 and list(unwell(found)) == ["age.key"]
    assert found["age.key"] == ("fail", f"{key}: others may read or write it (mode 0644)",
                                "chmod 600 it")
    os.chmod(key, 0o600)
    with open(key, "r+", encoding="ascii") as f:
        f.truncate(40)
    status, found = doctor(stand.conf("home"))
    assert status == 1 and found["age.key"][0] == "fail" and "no identity" in found["age.key"][1]
    os.unlink(key)
    os.unlink(f"{stand.dir}/home/tunnel.pem")
    status, found = doctor(stand.conf("home"))
    assert {k: v[0] for k, v in unwell(found).items()} == {"age.key": "fail", "tunnel.key": "fail"}
    assert "`posthouse keygen` makes it" in found["age.key"][1]


def test_a_key_file_that_root_alone_can_read():
    """Home's unit starts it as its own user: what root wrote for it is not read then."""
    with tempfile.TemporaryDirectory(prefix="ph-") as dir_:
        os.chmod(dir_, 0o755)
        token, conf = f"{dir_}/token", f"{dir_}/home.conf"
        program = shutil.copy(posthouse(), dir_)    # the tree may lie where nobody else comes
        with open(token, "w", encoding="ascii") as f:
            f.write("t\n")
        os.chmod(token, 0o600)
        with open(conf, "w", encoding="ascii") as f:
            f.write(f'state = "{dir_}/state" control = "{dir_}/sock" user = "nobody"\n'
                    f'deliver {{ maildir = "{dir_}/mail" }} mailboxes {{ users = "alice" }}\n'
                    f'alarms {{ webhook = "http://127.0.0.1:9/" token = "{token}" }}\n')
        subprocess.run([program, "keygen", "-c", conf], check=True, capture_output=True)
        state, text, advice = doctor(conf)[1]["alarms.token"]
        assert state == "warn" and "root alone" in text and "chown" in advice
        r = subprocess.run([program, "home", "-c", conf], check=False, capture_output=True,
                           text=True, timeout=60, user="nobody", group="nogroup", extra_groups=[])
        assert r.returncode != 0 and f"alarms.token {token}: user " in r.stderr
        assert "may not read it; chown it" in r.stderr
        shutil.chown(token, "nobody")
        assert doctor(conf)[1]["alarms.token"][0] == "ok"


def test_a_file_that_is_not_there_and_a_mail_server_that_is_not(make_stand):
    """What is wrong is told with what to do, and not with what would not help."""
    stand = make_stand(opt=[*TOLD, f"home.deliver.smtp=127.0.0.1:{free_port()}",
                            "home.alarms.after=1s", "home.alarms.every=1s"])
    os.unlink(stand.env["CERT"])
    state, text, advice = doctor(stand.conf("edge"))[1]["tls.cert"]
    assert state == "fail" and "No such file" in text
    assert "name another in the configuration" in advice
    assert send_mail(stand.smtp, message()).code == 250
    until("the courier's alarm is there", 20, lambda: "alarm" in doctor(stand.conf("home"))[1])
    state, text, advice = doctor(stand.conf("home"))[1]["alarm"]
    assert state == "fail" and "Connection refused" in text
    assert "restart" not in advice and "tried again by itself" in advice


def test_a_certificate_that_ends(make_stand):
    stand = make_stand(opt=TOLD)
    stand.stop("edge")
    for days, state, words in (-3, "fail", "is over since"), (10, "warn", "ends on"):
        cert, date = certify(stand, days, "edge.test")
        status, found = doctor(stand.conf("edge"))
        assert set(unwell(found)) == {"running", "certificate"} and status == 1
        assert found["certificate"][:2] == (state, f"{cert}, for edge.test, {words} {date}")
        assert found["certificate"][2].startswith("renew it")
    certify(stand, 60, "mx.edge.test")
    found = doctor(stand.conf("edge"))[1]
    assert found["certificate"][:2] == ("warn", "it is not for edge.test, the hostname here")
    certify(stand, 60, "edge.test")
    assert set(unwell(doctor(stand.conf("edge"))[1])) == {"running"}
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out",
                    f"{stand.dir}/tls.key"], check=True)
    found = doctor(stand.conf("edge"))[1]
    assert found["tls.cert"][0] == "fail" and "tls.cert" in found["tls.cert"][1]


async def relays_for_all(reader, writer):
    writer.write(b"220 open.test ESMTP Postfix\r\n")
    while line := await reader.readline():
        writer.write(b"354 go on\r\n" if line[:4].upper() == b"DATA" else b"250 fine\r\n")


@pytest.fixture(name="open_relay")
def an_open_relay():
    server = Server(relays_for_all)
    yield server
    server.close()


def test_a_service_that_is_closed_is_told_with_the_line_to_change(make_stand, open_relay):
    stand = make_stand(opt=[
        *TOLD, "home.alarms.unreachable=1s", "home.alarms.every=1s",
        f"home.service.smtp.backend={open_relay.where}",
        f"home.service.imaps.backend=127.0.0.1:{free_port()}"])

    def told():
        status, found = doctor(stand.conf("home"))
        bad = unwell(found)
        assert status == ("fail" in [f[0] for f in bad.values()])
        return bad if list(bad) == ["service imaps", "interlock smtp"] and all(
            f[0] == "fail" for f in bad.values()) else None
    bad = until("both are told", 60, told, 0.5)
    assert bad["interlock smtp"][1].startswith('closed, the verdict is "relays": ')
    assert bad["interlock smtp"][2].startswith("Postfix: main.cf: ")
    assert bad["service imaps"][1].startswith("service imaps is closed to clients: connect to")


# --- buckets ---

@pytest.fixture(name="store", scope="module")
def one_store():
    if MISSING:
        pytest.skip(f"not installed: {' '.join(MISSING)}")
    with Radosgw() as r:
        yield r


def configure(dir_, endpoint, oldest="2d"):
    with open(f"{dir_}/keys", "w", encoding="ascii") as f:
        f.write(f"{KEY}\n{SECRET}\n")
    os.chmod(f"{dir_}/keys", 0o600)
    with open(f"{dir_}/home.conf", "w", encoding="ascii") as f:
        f.write(f'state = "{dir_}/state"\ncontrol = "{dir_}/sock"\nuser = ""\n'
                f'deliver {{ maildir = "{dir_}" }}\nmailboxes {{ users = {{"alice"}} }}\n'
                f'bucket "r2" {{\n\tendpoint = "{endpoint}"\n\tbucket = "doctor"\n'
                f'\tcredentials = "{dir_}/keys"\n}}\nalarms {{ oldest = "{oldest}" }}\n')
    return f"{dir_}/home.conf"


def bucket_of(conf):
    status, found = doctor(conf)
    bad = {k: v for k, v in unwell(found).items() if k.startswith("bucket ")}
    assert status == 1                      # no home runs
    return found, bad


def test_a_bucket_whose_rules_delete_nothing_or_too_soon(store, tmp_path):
    bucket = store.bucket("doctor")
    conf = configure(tmp_path, store.endpoint)
    _, bad = bucket_of(conf)
    assert list(bad) == ["bucket r2 lifecycle"]
    assert bad["bucket r2 lifecycle"] == (
        "warn", "no rule deletes below pending/: what home never takes stays for ever",
        "one of 30 days, say, would end that")
    rules(bucket, 1)
    _, bad = bucket_of(conf)
    assert list(bad) == ["bucket r2 lifecycle"]
    assert bad["bucket r2 lifecycle"] == (
        "fail", "a rule deletes mail that is 24 h old, and alarms.oldest is 2 days",
        "make the rule longer by days")
    rules(bucket, 30)
    found, bad = bucket_of(conf)
    assert bad == {} and {f"bucket r2 {s}" for s in (
        "list", "write", "condition", "read", "delete", "lifecycle")} <= set(found)
    assert bucket.keys() == []              # nothing of its own stays

    bucket.put("pending/0.age", b"x")
    found, bad = bucket_of(conf)
    assert bad == {} and "1 object, the oldest for" in found["bucket r2 list"][1]
    conf = configure(tmp_path, store.endpoint, "1s")
    bad = until("it is old", 10, lambda: bucket_of(conf)[1])
    assert bad["bucket r2 list"][0] == "warn" and "is home running" in bad["bucket r2 list"][2]


def test_a_store_that_is_not_there(tmp_path):
    found, bad = bucket_of(configure(tmp_path, f"http://127.0.0.1:{free_port()}"))
    assert list(bad) == ["bucket r2 list"] and bad["bucket r2 list"][0] == "fail"
    os.chmod(tmp_path / "keys", 0o644)
    found, bad = bucket_of(tmp_path / "home.conf")
    assert list(bad) == ["bucket r2 settings"]
    assert found["state"][0] == "fail"      # none was made


def test_who_waits_for_a_silent_store_sees_that_it_goes_on(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        conf = configure(tmp_path, f"http://127.0.0.1:{silent.getsockname()[1]}")
        ours, terminal = os.openpty()
        with subprocess.Popen([posthouse(), "doctor", "-c", conf, "--json"], stderr=terminal,
                              stdout=subprocess.PIPE) as p:
            said = b""
            try:
                while len(re.findall(rb"seconds: \d+ \.\.\.", said)) < 2:
                    assert select.select([ours], [], [], 60)[0], said
                    said += os.read(ours, 1000)
            finally:
                p.kill()
            assert b"seconds: 1 " not in said, "nothing before two seconds"
        os.close(ours)
        os.close(terminal)
