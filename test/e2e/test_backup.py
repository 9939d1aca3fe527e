"""A home's backup, from a running one, and back: whole or not at all, and never less mail."""

import contextlib
import os
import random
import shutil
import sqlite3
import stat
import subprocess
import time

import pytest

from kit.smtp import send_mail
from kit.stand import message, posthouse, until

OPT = ["home.mailboxes.edges_refuse=false"]     # so that what nobody takes is parked at home
ACCOUNT = ["home.user=nobody"] if os.getuid() == 0 else []


def home(stand, command, *words, rc=0):
    r = stand.tool(command, "-c", stand.conf("home"), *words, check=False)
    assert r.returncode == rc, r.stdout + r.stderr
    return r.stdout + r.stderr


def backup(stand, name="backup"):
    path = os.path.join(stand.dir, name)
    home(stand, "backup", path)
    return path


def send(stand, mark, who="alice", body="hello\r\n"):
    until(f"mail for {who} is taken", 10,
          lambda: send_mail(stand.smtp, message(subject=mark, body=body),
                            rcpts=[f"{who}@example.test"]).code == 250)


def parked(stand, n):
    until(f"{n} parked", 20, lambda: [o["state"] for o in stand.queue("home")] == ["parked"] * n)
    return {o["id"] for o in stand.queue("home")}


def away(stand):
    """The disk is gone."""
    os.rename(stand.env["HOME_STATE"], stand.env["HOME_STATE"] + f".{time.monotonic_ns()}")


def says(stand, role, words):
    until(f"{role} says {words!r}", 20,
          lambda: any(words in a for a in stand.status(role)["alarms"]))


def ledger(state):
    """How far it has counted."""
    with contextlib.closing(sqlite3.connect(f"file:{state}/spool.db?mode=ro", uri=True)) as db:
        return db.execute("SELECT counter FROM ledger").fetchone()[0]


def start(stand):
    """Home, whether or not its edge takes it for one."""
    try:
        stand.start("home")
    except RuntimeError:
        pass


BIG = "x" * 70 + "\r\n"


def test_a_lost_home_comes_back_and_edges_say_that_its_ledger_is_old(make_stand, mark):
    stand = make_stand(opt=OPT + ACCOUNT)
    send(stand, f"{mark}-1", "nobody")
    send(stand, f"{mark}-large", "nobody", BIG * 8000)
    ids = parked(stand, 2)
    path = backup(stand)
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=path,
                          check=False).returncode == 0
    for top, dirs, files in os.walk(path):
        for name in dirs + files:
            mode = os.stat(os.path.join(top, name)).st_mode
            assert stat.S_IMODE(mode) == (0o700 if stat.S_ISDIR(mode) else 0o600), name
    send(stand, f"{mark}-2")
    stand.wait_marked("alice", f"{mark}-2")
    stand.edge_empty()
    stand.stop("home")
    away(stand)
    text = home(stand, "restore", path)
    assert "posthouse restore --accept" in text
    start(stand)
    says(stand, "edge", "restore --accept")
    says(stand, "home", "restore --accept")
    assert {o["id"] for o in stand.queue("home")} == ids
    send(stand, f"{mark}-3")
    time.sleep(1)
    assert len(stand.queue("edge")) == 1

    assert "stop it first" in home(stand, "restore", "--accept", rc=1)
    stand.stop("home")
    assert "accepted" in home(stand, "restore", "--accept")
    stand.start("home")
    stand.wait_marked("alice", f"{mark}-3")
    stand.edge_empty()
    stand.wait_marked("alice", f"{mark}-2")         # once: it was delivered, and stays
    until("no ledger is complained of", 10, lambda: not [
        a for r in ("edge", "home") for a in stand.status(r)["alarms"] if "ledger" in a])
    for id_ in ids:
        assert b"Subject: " + mark.encode() in stand.tool(
            "open", "-c", stand.conf("home"), id_, text=False).stdout


def test_a_key_that_moves_while_it_is_made_is_in_it(make_stand):
    """`rotate --tunnel --finish` between one file and the next: this home shows no other then."""
    stand = make_stand(opt=OPT + ACCOUNT)
    home(stand, "rotate", "--tunnel")
    key = os.path.join(stand.env["HOME_STATE"], "tunnel.pem")
    following = os.path.join(stand.env["HOME_STATE"], "tunnel-next.pem")
    with open(key, "rb") as f, open(following, "rb") as g:
        old, new = f.read(), g.read()
    was = os.stat(key)
    os.unlink(key)
    os.mkfifo(key, 0o600)
    os.chown(key, was.st_uid, was.st_gid)
    path = os.path.join(stand.dir, "backup")
    with subprocess.Popen([posthouse(), "backup", "-c", stand.conf("home"), path]) as p:
        with open(key, "wb") as f:      # it reads that one just now
            os.unlink(following)
            f.write(old)
        assert p.wait(60) == 0
    assert new in [open(os.path.join(path, n), "rb").read() for n in os.listdir(path)
                   if n.startswith("tunnel")]


def test_a_new_machine_is_told_that_the_mailboxes_have_no_folder(make_stand):
    """Which home makes for a home that begins, and not for one that may only lack its disk."""
    stand = make_stand()
    path = backup(stand)
    stand.stop("home")
    away(stand)
    os.rename(stand.env["MAILDIR"], stand.env["MAILDIR"] + ".lost")
    text = home(stand, "restore", path)
    assert f"deliver.maildir {stand.env['MAILDIR']} is not there.  Mount the disk" in text
    with pytest.raises(RuntimeError):
        stand.start("home")
    os.mkdir(stand.env["MAILDIR"])
    assert "deliver.maildir" not in home(stand, "restore", path)
    stand.start("home")


def test_an_older_ledger_is_refused_and_accepted_loses_no_mail(make_stand, mark):
    stand = make_stand(opt=OPT + ACCOUNT)
    send(stand, f"{mark}-1", "nobody")
    first = parked(stand, 1)
    path = backup(stand)
    send(stand, f"{mark}-2", "nobody")
    send(stand, f"{mark}-large", "nobody", BIG * 8000)
    send(stand, f"{mark}-3")
    stand.wait_marked("alice", f"{mark}-3")
    ids = parked(stand, 3)
    stand.edge_empty()                      # or it hands them over again, to an older ledger
    home(stand, "rotate", "--age")          # what comes now wants a key that the backup has not
    assert "home is running" in home(stand, "restore", path, rc=1)
    stand.stop("home")
    send(stand, f"{mark}-4")
    before = sorted(os.listdir(stand.env["HOME_STATE"]))
    text = home(stand, "restore", path, rc=1)
    assert "older than the ledger that is here" in text and "--accept" in text
    assert sorted(os.listdir(stand.env["HOME_STATE"])) == before

    text = home(stand, "restore", "--accept", path)
    assert "2 messages that were here" in text and "aside/replaced." in text
    stand.start("home")
    stand.wait_marked("alice", f"{mark}-4")
    stand.wait_marked("alice", f"{mark}-3")
    stand.edge_empty()
    assert {o["id"] for o in stand.queue("home")} == ids and first < ids
    for id_ in ids:
        assert b"Subject: " + mark.encode() in stand.tool(
            "open", "-c", stand.conf("home"), id_, text=False).stdout
    until("no ledger is complained of", 10, lambda: not [
        a for a in stand.status("edge")["alarms"] if "ledger" in a])
    with open(os.path.join(stand.env["HOME_STATE"], "age-retired.key"), encoding="ascii") as f:
        assert f.read().count("AGE-SECRET-KEY-1") == 1


def test_a_home_whose_writer_is_just_away_is_running(make_stand):
    stand = make_stand(opt=OPT + ACCOUNT)
    path = backup(stand)
    for _ in range(4):                      # each time it stays away for longer
        stand.kill("home", "writer")
        assert "home is running" in home(stand, "restore", path, rc=1)
        until("the writer is back", 20, lambda: stand.tool(
            "status", "-c", stand.conf("home"), check=False).returncode == 0)


def test_what_was_paired_anew_since_the_backup_stays_paired(make_stand, mark):
    """Its edge signs by the pairing that was made last."""
    stand = make_stand(opt=OPT + ACCOUNT)
    path = backup(stand)
    line = stand.tool("pair", "-c", stand.conf("edge"), "home", stand.domain).stdout
    until("home is paired anew", 30, lambda: stand.tool(
        "pair", "-c", stand.conf("home"), input=line, check=False).returncode == 0)
    send(stand, f"{mark}-1")
    stand.wait_marked("alice", f"{mark}-1")
    stand.edge_empty()
    stand.stop("home")
    text = home(stand, "restore", "--accept", path)
    assert "pairing with edge.test stays" in text
    stand.start("home")
    send(stand, f"{mark}-2")
    stand.wait_marked("alice", f"{mark}-2")

    stand.stop("home")
    edges = os.path.join(stand.env["HOME_STATE"], "edges")
    with open(os.path.join(path, "edges", "edge.test"), encoding="ascii") as f:
        was = f.read()
    text = home(stand, "restore", "--accept", path)     # of another ledger now: who can tell?
    assert "pairing with edge.test is the backup's" in text and "pair again" in text
    with open(os.path.join(edges, "edge.test"), encoding="ascii") as f:
        assert f.read() == was


def test_a_home_that_never_ran_is_told_what_to_do(make_stand):
    stand = make_stand(opt=OPT + ACCOUNT)
    stand.stop("home")
    away(stand)
    stand.tool("keygen", "-c", stand.conf("home"))
    path = os.path.join(stand.dir, "backup")
    assert "no ledger yet: start home once" in home(stand, "backup", path, rc=1)
    assert not os.path.exists(path)


def test_who_was_shut_out_does_not_come_back_in_silence(make_stand, mark):
    stand = make_stand(opt=OPT + ACCOUNT)
    send(stand, mark)
    stand.wait_marked("alice", mark)
    stand.edge_empty()
    path = backup(stand)
    until("the edge is shut out", 10, lambda: stand.tool(
        "unpair", "-c", stand.conf("home"), "edge.test", check=False).returncode == 0)
    stand.stop("home")
    text = home(stand, "restore", "--accept", path)
    assert "pairing with edge.test is the backup's; here was none" in text
    assert "posthouse unpair edge.test\n" in text
    home(stand, "unpair", "edge.test")
    assert os.listdir(os.path.join(stand.env["HOME_STATE"], "edges")) == []
    away(stand)
    assert "unpair" not in home(stand, "restore", path)


def test_a_backup_that_went_another_way_than_what_is_here_is_not_taken_for_a_later_one(
        make_stand, mark):
    """Somebody put an older copy here by hand, and mail came into it."""
    stand = make_stand(opt=OPT + ACCOUNT)
    state = stand.env["HOME_STATE"]
    send(stand, f"{mark}-1", "nobody")
    first = parked(stand, 1)
    stand.stop("home")
    subprocess.run(["cp", "-a", state, state + ".copy"], check=True)
    stand.start("home")
    for i in range(4):
        send(stand, f"{mark}-b{i}", "nobody")
    later = parked(stand, 5)
    path = backup(stand)
    stand.stop("home")
    away(stand)
    os.rename(state + ".copy", state)
    stand.stop("edge")
    start(stand)
    home(stand, "ban", "9.9.9.9")
    home(stand, "drop", "--yes", *first)
    stand.stop("home")
    assert ledger(state) < ledger(path)
    text = home(stand, "restore", path, rc=1)
    assert "knows nothing of the last of the ledger that is here" in text and "--accept" in text
    home(stand, "restore", "--accept", path)
    stand.start("edge")
    stand.start("home")
    assert {o["id"] for o in stand.queue("home")} == later


def test_what_is_no_whole_backup_changes_nothing(make_stand, mark):
    stand = make_stand(opt=OPT)
    send(stand, f"{mark}-large", "nobody", BIG * 8000)
    parked(stand, 1)
    path = backup(stand)
    assert "is there already" in home(stand, "backup", path, rc=1)
    stand.stop("home")
    away(stand)

    def refused(words, change):
        copy = os.path.join(stand.dir, "copy")
        shutil.copytree(path, copy)
        change(copy)
        assert words in home(stand, "restore", copy, rc=1)
        assert os.listdir(stand.env["HOME_STATE"]) == ["lock"]
        shutil.rmtree(copy)

    def cut(name):
        return lambda d: os.truncate(f"{d}/{name}", os.path.getsize(f"{d}/{name}") - 1)

    def add(name, text):
        def change(d):
            with open(f"{d}/{name}", "a", encoding="ascii") as f:
                f.write(text)
        return change

    large = "large/" + os.listdir(f"{path}/large")[0]
    refused("is not what it was", cut("spool.db"))
    refused("is not what it was", cut(large))
    refused("is not what it was", add("age.key", "\n"))
    refused("No such file", lambda d: os.unlink(f"{d}/{large}"))
    refused("cut off while it was made", lambda d: os.unlink(f"{d}/SHA256SUMS"))
    refused("a line of it is none", cut("SHA256SUMS"))
    refused("a line of it is none", add("SHA256SUMS", "0" * 64 + "  ../outside\n"))
    refused("is not of a home's backup", lambda d: os.truncate(f"{d}/SHA256SUMS", 0))
    archive = os.path.join(stand.dir, "a.tar")
    subprocess.run(["tar", "-C", path, "-cf", archive, "."], check=True)
    assert "to be unpacked" in home(stand, "restore", archive, rc=1)
    assert "No such file" in home(stand, "restore", path + ".not", rc=1)
    assert "no restore was cut off" in home(stand, "restore", rc=1)
    home(stand, "restore", path)
    stand.start("home")
    parked(stand, 1)


def test_a_full_disk_leaves_neither_half_a_backup_nor_half_a_home(make_stand, mark):
    if os.getuid() != 0:
        pytest.skip("needs root: it mounts a small file system")
    stand = make_stand(opt=OPT)
    send(stand, f"{mark}-large", "nobody", BIG * 30000)
    parked(stand, 1)
    path = backup(stand)
    small = os.path.join(stand.dir, "small")
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", small], check=True)
    try:
        assert "No space left" in home(stand, "backup", f"{small}/b", rc=1)
        assert os.listdir(small) == []
        stand.stop("home")
        away(stand)
        os.symlink(small, stand.env["HOME_STATE"])
        assert "No space left" in home(stand, "restore", path, rc=1)
        assert os.listdir(small) == ["lock"]
    finally:
        subprocess.run(["umount", small], check=True)
    os.unlink(stand.env["HOME_STATE"])
    home(stand, "restore", path)
    stand.start("home")
    parked(stand, 1)


def test_killed_half_way_it_is_the_old_home_or_the_new_or_one_that_says_so(make_stand, mark):
    stand = make_stand(opt=OPT)
    for i in range(3):
        send(stand, f"{mark}-{i}", "nobody", BIG * 8000)
    old = parked(stand, 3)
    path = backup(stand)
    send(stand, f"{mark}-new", "nobody", BIG * 8000)
    ids = parked(stand, 4)
    stand.stop("home")
    words = [posthouse(), "restore", "-c", stand.conf("home"), "--accept", path]
    state, pending, dice = stand.env["HOME_STATE"], 0, random.Random(7)
    steps = {"restore.out", "restore.in"}
    for i in range(24):
        child = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if i % 2:
            time.sleep(dice.random() * 0.06)
        while i % 2 == 0 and child.poll() is None and not steps & set(os.listdir(state)):
            pass
        child.kill()
        child.wait()
        if steps & set(os.listdir(state)):
            pending += 1
            with pytest.raises(RuntimeError):
                stand.start("home")
            assert "a restore was cut off here" in stand.log("home")
            stand.stop("home")
            assert "is finished" in home(stand, "restore")
    assert pending > 0
    text = home(stand, "restore", "--accept", path)
    assert "is in" in text
    stand.killed = True         # the homes that did not start
    stand.start("home")
    assert {o["id"] for o in stand.queue("home")} == ids > old
    for id_ in ids:
        assert mark.encode() in stand.tool("open", "-c", stand.conf("home"), id_,
                                           text=False).stdout


def test_an_old_copy_put_back_by_hand_is_known_however_far_it_counts(make_stand, mark):
    """It has mail to deliver, and no edge is in reach while it does: when one is, the copy has
    counted past all that this edge has seen."""
    stand = make_stand(opt=OPT + ACCOUNT)
    alice, state = os.path.join(stand.env["MAILDIR"], "alice"), stand.env["HOME_STATE"]
    shutil.rmtree(alice, ignore_errors=True)
    with open(alice, "w", encoding="ascii"):        # no Maildir: nothing can be delivered
        pass
    for i in range(8):
        send(stand, f"{mark}-{i}-")
    until("eight wait at home", 20, lambda: len(stand.queue("home")) == 8)
    stand.edge_empty()
    stand.stop("home")
    subprocess.run(["cp", "-a", state, state + ".copy"], check=True)
    start(stand)
    send(stand, f"{mark}-later-")                   # the edge sees little more
    until("the ninth is at home", 20, lambda: len(stand.queue("home")) == 9)
    stand.edge_empty()
    stand.stop("home")
    seen = ledger(state)

    away(stand)
    os.rename(state + ".copy", state)
    os.unlink(alice)
    stand.stop("edge")
    start(stand)
    home(stand, "retry", "--all")
    stand.wait_mails("alice", 8)
    banned = 0
    while ledger(state) <= seen + 2:                # past what was seen
        banned += 1
        home(stand, "ban", f"9.9.9.{banned}")
    stand.start("edge")
    says(stand, "edge", "restore --accept")
    says(stand, "home", "restore --accept")
    send(stand, f"{mark}-kept-")
    time.sleep(1)
    assert len(stand.queue("edge")) == 1
    stand.stop("home")
    start(stand)                                    # nor does a start of either forget it
    stand.stop("edge")
    stand.start("edge")
    says(stand, "edge", "restore --accept")
    assert len(stand.queue("edge")) == 1

    stand.stop("home")
    home(stand, "restore", "--accept")
    stand.start("home")
    stand.wait_marked("alice", f"{mark}-kept-")
    stand.edge_empty()
    assert len(stand.files("alice")) == 9           # what the copy delivered came once
    until("no ledger is complained of", 10, lambda: not [
        a for r in ("edge", "home") for a in stand.status(r)["alarms"] if "ledger" in a])
