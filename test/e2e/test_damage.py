"""Foreign, forged and damaged things on disk: set aside, named, and the rest goes on."""

import os
import shutil
import subprocess

import pytest

from kit.smtp import send_mail
from kit.stand import TOP, message, posthouse, until

LARGE = message(subject="large", body=("x" * 76 + "\r\n") * 8000)


def large_files(stand, role="EDGE_SPOOL"):
    base = os.path.join(stand.env[role], "large")
    return [os.path.join(base, n) for n in sorted(os.listdir(base))]


def test_foreign_files_are_set_aside(make_stand, mark):
    stand = make_stand()
    for role, key in (("edge", "EDGE_SPOOL"), ("home", "HOME_STATE")):
        stand.stop(role)
        with open(os.path.join(stand.env[key], "large", "notes.txt"), "w", encoding="ascii") as f:
            f.write("somebody's\n")
    stand.start("edge")
    stand.start("home")
    for role, key in (("edge", "EDGE_SPOOL"), ("home", "HOME_STATE")):
        assert large_files(stand, key) == []
        kept = [os.path.join(b, n) for b, _, names in os.walk(os.path.join(stand.env[key], "aside"))
                for n in names]
        assert any(open(k, "rb").read() == b"somebody's\n" for k in kept), "kept, octet for octet"
        stand.logged(role, r"notes\.txt")
        assert stand.status(role)["aside"] >= 1
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)


def declined(stand):
    return [a for a in stand.status("edge")["alarms"] if "does not take" in a]


def test_a_damaged_object_does_not_hold_the_rest(make_stand, mark):
    """One octet of a held file is turned: home must not deliver it, and what is behind it comes."""
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, LARGE).code == 250
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    name, = large_files(stand)
    with open(name, "r+b") as f:
        f.seek(300000)
        octet = f.read(1)
        f.seek(300000)
        f.write(bytes([octet[0] ^ 1]))
    stand.start("home")
    stand.wait_marked("alice", mark)
    until("someone is told", 20, lambda: stand.status("home")["aside"]
          + stand.status("edge")["aside"] >= 1
          or stand.status("edge")["counters"]["handover_failed"] > 0)
    until("the edge has an alarm", 20, lambda: declined(stand))
    alarm, = declined(stand)
    assert "1 object," in alarm and "home answered 403: " in alarm, alarm
    assert "posthouse queue" in alarm and "pair again" in alarm, alarm
    until("it alone is held", 20, lambda: len(stand.queue("edge")) < 2)
    assert len(stand.queue("edge")) == 1 and declined(stand), "for as long as it is held"
    assert not [m for m in stand.mails("alice") if b"Subject: large" in m]


def test_a_missing_file_does_not_hold_the_rest(make_stand, mark):
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, LARGE).code == 250
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    name, = large_files(stand)
    lost, = [o["id"] for o in stand.queue("edge") if o["file"]]
    os.unlink(name)
    at = len(stand.log("edge"))
    stand.start("home")
    stand.wait_marked("alice", mark)
    stand.logged("edge", rf"(warn|error) .*{lost}", at)     # it is gone; that is said, not silent


def test_a_database_that_is_none(make_stand, mark):
    """Set aside whole, said at error level; the edge is there again for new mail."""
    stand = make_stand()
    stand.stop("edge")
    for name in os.listdir(stand.env["EDGE_SPOOL"]):
        if name.startswith("spool.db"):
            os.unlink(os.path.join(stand.env["EDGE_SPOOL"], name))
    with open(os.path.join(stand.env["EDGE_SPOOL"], "spool.db"), "wb") as f:
        f.write(b"this is no database\n" * 1000)
    stand.start("edge")
    assert stand.status("edge")["aside"] >= 1
    stand.logged("edge", r"spool\.db")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark, seconds=60)


def recipe():
    """The commands of doc/STORE.md, "A damaged database", as they stand there."""
    with open(os.path.join(TOP, "doc", "STORE.md"), encoding="utf-8") as f:
        section = f.read().partition("## A damaged database\n")[2].partition("\n## ")[0]
    lines = [line[4:] for line in section.splitlines() if line.startswith("    ")]
    assert len(lines) > 30
    return "set -eu\n" + "\n".join(lines) + "\n"


def follow_the_recipe(stand):
    state = stand.env["EDGE_SPOOL"]
    back = os.path.join(stand.dir, "back")
    os.makedirs(back)
    n, = [d[9:] for d in os.listdir(os.path.join(state, "aside")) if d[9:].isdigit()]
    path = os.path.dirname(posthouse()) + ":" + os.environ["PATH"]
    r = subprocess.run(["sh"], input=recipe(), check=False, capture_output=True, text=True,
                       env={"PATH": path, "STATE": state, "N": n, "BACK": back,
                            "AGE_KEY": stand.env["AGE_KEY"]}, timeout=600)
    assert r.returncode == 0, r.stdout + r.stderr
    return back


def hold_many(stand, mark, n):
    for i in range(n):
        body = ("x" * 76 + "\r\n") * (8000 if i % 5 == 0 else 60)
        assert send_mail(stand.smtp, message(subject=f"{mark}-{i}-", body=body)).code == 250


def overwrite(stand, first, pages):
    with open(os.path.join(stand.env["EDGE_SPOOL"], "spool.db"), "r+b") as f:
        f.seek(first * 4096)
        f.write(b"this is no database\n" * (pages * 4096 // 20))


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 program")
def test_a_damaged_database_gives_back_its_mail(make_stand, mark):
    """Its beginning is overwritten: set aside with its large objects, and all of it comes back."""
    stand = make_stand()
    stand.stop("home")
    hold_many(stand, mark, 20)
    stand.stop("edge")
    sizes = [os.path.getsize(n) for n in large_files(stand)]
    overwrite(stand, 0, 1)
    stand.start("edge")
    alarms = " ".join(stand.status("edge")["alarms"])
    assert f"{len(sizes)} large objects of {sum(sizes)} octets" in alarms, alarms
    assert send_mail(stand.smtp, message(subject=f"{mark}-new-")).code == 250
    stand.stop("edge")
    follow_the_recipe(stand)
    stand.start("edge")
    assert len(stand.queue("edge")) == 21
    stand.start("home")
    stand.wait_marked("alice", mark, 21, seconds=60)
    for i in range(20):
        assert len([m for m in stand.mails("alice") if f"{mark}-{i}-".encode() in m]) == 1
    stand.edge_empty()


@pytest.mark.skipif(shutil.which("sqlite3") is None, reason="no sqlite3 program")
def test_of_a_lost_database_the_large_objects_can_be_opened(make_stand, mark):
    """Nothing of it is left: small ones are lost, the large ones open at home."""
    stand = make_stand()
    stand.stop("home")
    hold_many(stand, mark, 10)
    stand.stop("edge")
    overwrite(stand, 0, os.path.getsize(os.path.join(stand.env["EDGE_SPOOL"], "spool.db")) // 4096)
    stand.start("edge")
    stand.stop("edge")
    back = follow_the_recipe(stand)
    opened = [open(os.path.join(back, n), "rb").read()
              for n in os.listdir(back) if n.endswith(".smtp")]
    assert len(opened) == 2
    assert all(b"RCPT TO:<alice@" in o and b"QUIT\r\n" in o for o in opened)
    stand.start("edge")
    assert stand.queue("edge") == []


def test_an_old_ledger_is_refused(make_stand, mark):
    """Home's state is put back from a copy: the edge sees the smaller mark,
    hands nothing over and says so."""
    stand = make_stand()
    stand.stop("home")
    copy = stand.env["HOME_STATE"] + ".copy"
    os.makedirs(copy)
    for name in os.listdir(stand.env["HOME_STATE"]):
        if name.startswith("spool.db"):
            with open(os.path.join(stand.env["HOME_STATE"], name), "rb") as f, \
                    open(os.path.join(copy, name), "wb") as out:
                out.write(f.read())
    stand.start("home")
    for i in range(5):
        assert send_mail(stand.smtp, message(subject=f"{mark}-{i}-")).code == 250
    stand.wait_marked("alice", mark, 5)
    stand.edge_empty()
    stand.stop("home")
    for name in os.listdir(stand.env["HOME_STATE"]):
        if name.startswith("spool.db"):
            os.unlink(os.path.join(stand.env["HOME_STATE"], name))
    for name in os.listdir(copy):
        os.rename(os.path.join(copy, name), os.path.join(stand.env["HOME_STATE"], name))
    assert send_mail(stand.smtp, message(subject=f"{mark}-after-")).code == 250
    try:
        stand.start("home")
    except RuntimeError:
        pass            # the tunnel may be refused altogether
    until("the edge says so", 20, lambda: stand.status("edge")["counters"]["stale_ledger"] > 0)
    assert len(stand.queue("edge")) == 1
    stand.logged("edge", "an old copy was restored")
    until("home says so too", 20, lambda: any("restore --accept" in a for a in
                                              stand.status("home")["alarms"]))
    until("and the edge as an alarm", 20, lambda: any("restore --accept" in a for a in
                                                      stand.status("edge")["alarms"]))
