"""Home's drain, against a real S3 server: what lies in a bucket comes home, once."""

import hashlib
import http.client
import json
import os
import secrets
import signal
import subprocess
import uuid

import pytest

from kit.drained import SIGNER, Home
from kit.objects import Signer, seal, transcript
from kit.ports import free_port
from kit.stand import Stand, posthouse, until
from kit.wires import Cutter


@pytest.fixture(name="stand")
def made_stand(tmp_path):
    with Stand(tmp_path / "stand") as s:
        s.stop("edge")
        yield s
        assert s.complaints() == []


@pytest.fixture(name="home")
def draining(stand, ceph):
    return Home(stand, ceph.bucket())


def mail(mark, size=0):
    return (f"From: <a@client.test>\r\nSubject: {mark}\r\n\r\n{mark}\r\n".encode()
            + b"y" * 76 * (size // 78) + b"\r\n")


def test_what_lies_in_a_bucket_comes_home_once_and_is_gone_there(home):
    sent = {f"m{i}": mail(f"m{i}", size) for i, size in enumerate([0, 3000, 70000, 700000] * 3)}
    for octets in sent.values():
        home.put(octets)
    found = home.stand.wait_mails("alice", len(sent))
    for mark, octets in sent.items():
        (one,) = [m for m in found if f"Subject: {mark}\r".encode() in m or
                  f"Subject: {mark}\n".encode() in m]
        assert octets.replace(b"\r\n", b"\n")[-50:] in one.replace(b"\r\n", b"\n")
        assert b"Return-Path: <a@client.test>" in one
    until("the bucket is empty", 10, lambda: home.waiting() == [])
    until("status says so", 10, lambda: home.bucket()["waiting"] == 0 and
          home.bucket()["taken"] == len(sent))
    b = home.bucket()
    assert b["taken"] == len(sent) and b["aside"] == 0 and b["error"] == "" and b["oldest"] is None


def test_an_object_that_came_twice_is_one_message(home):
    name, sealed, meta = home.signer.make(home.recipient, mail("twice"))
    home.store.put(name, sealed, meta)
    home.stand.wait_mails("alice", 1)
    until("taken", 10, lambda: home.waiting() == [])
    home.store.put(name, sealed, meta)
    until("taken again", 10, lambda: home.waiting() == [])
    home.stand.home_settled()
    assert len(home.stand.mails("alice")) == 1
    home.stand.logged("home", " known=1")


def test_what_was_pushed_and_lies_in_the_bucket_too_is_one_message(stand, ceph):
    port = free_port()
    home = Home(stand, ceph.bucket(), push=port)
    name, sealed, meta = home.signer.make(home.recipient, mail("both ways"))
    c = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    c.request("PUT", "/mail/" + name[len("pending/"):-len(".age")], sealed,
              {"authorization": f"Bearer {home.token}", "posthouse-mac": meta["posthouse-mac"]})
    assert c.getresponse().status == 201
    c.close()
    home.store.put(name, sealed, meta)
    until("the bucket is empty", 20, lambda: home.waiting() == [])
    stand.logged("home", " known=1")
    stand.home_settled()
    assert len(stand.mails("alice")) == 1


def test_what_is_no_mail_of_ours_stays_there_is_named_and_not_fetched_again(home):
    foreign = Signer("stranger.example.test")
    id_, old = uuid.uuid4(), home.put(mail("good"))
    home.stand.wait_mails("alice", 1)
    good, sealed, meta = home.signer.make(home.recipient, mail("never"))
    bad = {
        "pending/readme.txt": (b"hello", {}),
        f"pending/{uuid.uuid4()}.age": (sealed, {}),
        f"pending/{uuid.uuid4()}.age": (sealed, meta),          # copied to another name
        good: (sealed[:-1] + b"x", meta),                       # other octets
        f"pending/{id_}.age": (sealed, foreign.meta(id_, sealed)),
        f"pending/{uuid.uuid4()}.age": (b"", {**meta, "posthouse-mac": "0" * 64}),
        f"pending/{uuid.uuid4()}.age": (sealed, {**meta, "posthouse-mac": "zz\tzz"}),
        f"pending/{uuid.uuid4()}.age": (sealed, {**meta, "posthouse-edge": "x" * 1500}),
        "pending/" + "0" * 64 + ".eml": (b"raw", {"from": "a@b.test", "to": "alice@example.test"}),
    }
    for name, (octets, more) in bad.items():
        home.store.put(name, octets, more)
    until("all are counted", 20, lambda: home.bucket()["aside"] == len(bad))
    looks = home.bucket()["looks"]
    until("more looks", 20, lambda: home.bucket()["looks"] > looks + 2)
    assert sorted(home.waiting()) == sorted(bad) and old not in bad
    log = home.stand.log("home")
    for name in bad:
        assert log.count(f"name={name[len('pending/'):]} ") == 1
    assert len(home.stand.mails("alice")) == 1
    b = home.bucket()
    assert b["aside"] == len(bad) and b["waiting"] == 0 and b["aside_why"] != ""
    until("an alarm", 20, lambda: any(f"{len(bad)} objects" in a
                                      for a in home.stand.status("home")["alarms"]))
    assert home.drain(check=False).returncode == 1
    # It is judged anew by keys that are changed, and by octets.
    taken = home.bucket()["taken"]
    home.store.put(good, sealed, meta)
    home.stand.wait_mails("alice", 2)
    until("it is counted", 10, lambda: home.bucket()["taken"] == taken + 1)
    for name in set(bad) - {good}:
        home.store.delete(name)
    assert home.drain().stdout == "0 taken\n"
    until("nothing is aside", 10, lambda: home.bucket()["aside"] == 0)


def test_what_opens_to_no_mail_is_parked_as_from_a_tunnel(home, tmp_path):
    other = tmp_path / "other.key"
    subprocess.run(["age-keygen", "-o", str(other)], check=True, capture_output=True)
    home.put(mail("inner"), inner=uuid.uuid4())
    name, sealed, meta = home.signer.make(home.stand.recipient(str(other)), mail("sealed"))
    home.store.put(name, sealed, meta)
    id_ = uuid.uuid4()
    cut = seal(transcript(id_, home.signer.name, "a@client.test", ["alice@example.test"],
                          mail("cut"), whole=False), home.recipient)
    home.store.put(f"pending/{id_}.age", cut, home.signer.meta(id_, cut))
    home.put(mail("elsewhere"), rcpts=["alice@other.test"])
    until("all are parked", 20,
          lambda: [o["state"] for o in home.stand.queue("home")] == ["parked"] * 4)
    until("the bucket is empty", 10, lambda: home.waiting() == [])
    assert home.stand.mails("alice") == []
    parked = home.stand.status("home")["parked"]
    assert parked.get("malformed") == 2 and parked.get("unsealable") == 1 and \
        parked.get("foreign") == 1


def test_a_kept_copy_lies_in_processed_until_its_time(stand, ceph):
    home = Home(stand, ceph.bucket(), keep="3s")
    name = home.put(mail("kept"))
    kept = name.replace("pending/", "processed/")
    until("it is gone, and a copy is there", 10, lambda: home.store.keys() == [kept])
    stand.wait_mails("alice", 1)
    until("it is known when it may go", 10, lambda: home.bucket()["looks"] > 1)
    stand.stop("home")
    until("its time has come", 10, lambda: stand.start("home") or home.drain() and
          home.store.keys() == [] or stand.stop("home"))
    assert len(stand.mails("alice")) == 1


def test_a_home_without_room_leaves_it_there(stand, ceph):
    home = Home(stand, ceph.bucket())
    stand.stop("home")
    path = stand.conf("home")
    with open(path, encoding="utf-8") as f:
        text = f.read()
    with open(path, "w", encoding="utf-8") as f:
        f.write("hold {\n\treserve = 1000T\n}\n" + text)
    for i in range(20):
        home.put(mail(f"m{i}"))
    stand.start("home")
    home.look()
    until("it says why", 20, lambda: home.bucket()["error"] != "")
    until("all are counted", 10, lambda: home.bucket()["waiting"] == 20)
    assert len(home.waiting()) == 20
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    stand.hup("home")
    stand.wait_mails("alice", 20)
    until("the bucket is empty", 10, lambda: home.waiting() == [])


def test_wrong_keys_are_an_alarm_at_once_and_right_ones_taken_without_a_restart(home):
    keys = os.path.join(home.stand.dir, "s3.keys")
    with open(keys, encoding="ascii") as f:
        right = f.read()
    with open(keys, "w", encoding="ascii") as f:
        f.write(f"{home.store.key}\nwrong\n")
    until("it says so", 20, lambda: home.bucket()["alarm"])
    home.put(mail("waits"))
    until("an alarm", 20, lambda: any("bucket r2 is not emptied" in a
                                      for a in home.stand.status("home")["alarms"]))
    with open(keys, "w", encoding="ascii") as f:
        f.write(right)
    home.stand.wait_mails("alice", 1)
    until("all is well", 10, lambda: home.bucket()["error"] == "")


def test_cron_runs_home_for_as_long_as_there_is_mail(home):
    home.stand.stop("home")
    marks = [secrets.token_hex(4) for _ in range(30)]
    for m in marks:
        home.put(mail(m))
    conf = home.stand.conf("home")
    r = home.stand.tool("drain", "-c", conf, "--once")
    assert r.stdout == "30 taken\n"
    assert len(home.stand.mails("alice")) == 30 and home.waiting() == []
    assert home.stand.tool("status", "-c", conf, check=False).returncode == 1   # not running
    assert home.stand.tool("drain", "-c", conf, check=False).returncode == 1
    r = home.stand.tool("drain", "-c", conf, "--once", "--json")
    assert json.loads(r.stdout)[0]["waiting"] == 0


def test_many_drains_at_once_take_each_message_once(home):
    for i in range(60):
        home.put(mail(f"m{i}"))
    conf = home.stand.conf("home")
    runs = [subprocess.Popen([posthouse(), "drain", "-c", conf, "--once"],
                             stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            for _ in range(4)]
    for r in runs:
        said = r.communicate(timeout=180)[0]
        assert r.returncode == 0, said
    assert len(home.stand.wait_mails("alice", 60)) == 60
    assert home.waiting() == []


def old(home, octets, **meta):
    """As the published pipeline leaves it."""
    name = f"pending/{hashlib.sha256(octets).hexdigest()}.eml"
    home.store.put(name, octets, meta)
    return name


def test_mail_of_an_older_pipeline_comes_home_under_a_workers_grants(stand, ceph):
    home = Home(stand, ceph.bucket(), old=f'"{SIGNER}"', poll="24h")
    big = mail("big", 900000)
    old(home, mail("plain"), **{"from": "a@client.test", "to": "alice@example.test"})
    old(home, big, **{"from": "<a@client.test>", "to": "<bob@example.test>"})
    old(home, mail("null"), **{"from": "<>", "to": "alice@example.test"})
    old(home, mail("foreign"), **{"from": "a@client.test", "to": "alice@elsewhere.test"})
    bad = [
        old(home, mail("nobody")),
        old(home, mail("no address"), **{"from": "a@client.test", "to": "alice"}),
        old(home, mail("two"), **{"from": "a@b.test", "to": "alice@example.test, bob@b.test"}),
        old(home, mail("long"), **{"from": "a@b.test", "to": "a" * 1500 + "@example.test"}),
        "pending/" + "0" * 64 + ".eml",
    ]
    home.store.put(bad[-1], mail("copied"), {"from": "a@b.test", "to": "alice@example.test"})
    assert home.drain(check=False).returncode == 1
    until("what is mail is taken", 20, lambda: sorted(home.waiting()) == sorted(bad))
    until("the rest is counted", 10, lambda: home.bucket()["aside"] == len(bad))
    stand.home_settled()
    found = stand.wait_mails("alice", 2)
    assert sorted(m.partition(b"\n")[0].strip() for m in found) == \
        [b"Return-Path: <>", b"Return-Path: <a@client.test>"]
    (one,) = stand.mails("bob")
    assert big.replace(b"\r\n", b"\n")[-500000:] == one.replace(b"\r\n", b"\n")[-500000:]
    assert stand.status("home")["parked"].get("foreign") == 1
    # The same octets to another recipient are another message; the same once more is not.
    name = old(home, mail("plain"), **{"from": "a@client.test", "to": "bob@example.test"})
    assert home.drain(check=False).returncode == 1 and name not in home.waiting()
    stand.wait_mails("bob", 2)
    old(home, mail("plain"), **{"from": "a@client.test", "to": "bob@example.test"})
    assert home.drain(check=False).returncode == 1 and name not in home.waiting()
    stand.home_settled()
    assert len(stand.mails("bob")) == 2


def test_it_waits_for_the_keys_that_it_is_sealed_to_and_no_longer(stand, ceph):
    """A courier that is slow to start: the drain does not know them before it has spoken."""
    home = Home(stand, ceph.bucket(), old=f'"{SIGNER}"', poll="24h")
    pids = {p["name"]: p["pid"] for p in stand.status("home")["processes"]}
    os.kill(pids["courier"], signal.SIGSTOP)
    try:
        old(home, mail("plain"), **{"from": "a@client.test", "to": "alice@example.test"})
        stand.kill("home", "drain")
        until("it is said", 20, lambda: "are not known yet" in home.bucket()["error"])
    finally:
        os.kill(pids["courier"], signal.SIGCONT)
    stand.wait_mails("alice", 1)
    until("the bucket is empty", 10, lambda: home.waiting() == [])
    until("all is well", 10, lambda: home.bucket()["error"] == "")


def test_a_way_that_is_cut_again_and_again_loses_nothing(stand, ceph):
    with Cutter(("127.0.0.1", ceph.port)) as wire:
        home = Home(stand, ceph.bucket(),
                    endpoint=f"http://127.0.0.1:{wire.where[1]}")
        for i in range(40):
            home.put(mail(f"m{i}", 3000))
            wire.cut_after("down", 1 + 397 * i % 7000)
        wire.left["down"] = None
        stand.wait_mails("alice", 40, seconds=60)
        until("the bucket is empty", 40, lambda: home.waiting() == [])
        stand.home_settled()
        assert len(stand.mails("alice")) == 40 and home.bucket()["aside"] == 0


def test_a_store_that_is_away_is_an_alarm_in_time_and_no_loss(stand, ceph):
    with Cutter(("127.0.0.1", ceph.port)) as wire:
        home = Home(stand, ceph.bucket(),
                    endpoint=f"http://127.0.0.1:{wire.where[1]}")
        wire.refuse = True
        wire.cut()
        home.put(mail("waits"))
        until("status says so", 20, lambda: home.bucket()["error"] != "")
        assert not home.bucket()["alarm"]           # it happens, and ends by itself
        assert home.drain(check=False).returncode == 1
        wire.refuse = False
        stand.wait_mails("alice", 1, seconds=40)
        until("all is well", 10, lambda: home.bucket()["error"] == "")
