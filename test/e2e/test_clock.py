"""The wall clock jumps by days and weeks while edge and home run: it is said; nothing is lost."""

import contextlib
import json
import os
import re
import shutil
import sqlite3
import struct
import subprocess
import time

import pytest

from kit.smtp import Client, send_mail
from kit.stand import TOP, header, message, until

DAY = 24 * 3600
NEGATIVE = re.compile(r"-\d+ ?(ms|s|min|h|d|days)\b")


class Clock:
    """The wall clock of all that is started from now on, and ours without the jumps."""

    def __init__(self, file):
        self.file = file
        self.off(0)

    def off(self, seconds):
        self.seconds = seconds
        with open(self.file, "r+b" if os.path.exists(self.file) else "wb") as f:
            f.write(struct.pack("=q", int(seconds)))


def library(dir_, name):
    """One more clock: (Clock, what to preload for it)."""
    cc = shutil.which("cc") or shutil.which("gcc")
    if cc is None:
        pytest.skip("no C compiler for the library that lies about the time")
    made = Clock(dir_ / f"{name}.off")
    path = dir_ / f"{name}.so"
    subprocess.run([cc, "-std=c17", "-O", "-shared", "-fPIC", f'-DCLOCK_FILE="{made.file}"',
                    "-o", path, f"{TOP}/test/kit/wrong_clock.c", "-ldl"], check=True)
    return made, str(path)


@pytest.fixture
def clock(tmp_path, monkeypatch):
    made, preload = library(tmp_path, "all")
    monkeypatch.setenv("LD_PRELOAD", preload)
    says = subprocess.run(["date", "+%s"], check=True, capture_output=True, text=True).stdout
    assert abs(int(says) - time.time()) < 60
    return made


def clock_alarms(stand, role):
    return [a for a in stand.status(role)["alarms"] if a.startswith("clock: ")]


def pages(stand):
    """All that an operator reads of ages."""
    return "".join(stand.tool(word, "-c", stand.conf(role)).stdout
                   for word in ("status", "queue") for role in ("edge", "home"))


def test_mail_is_delivered_once_whatever_the_clock_says(clock, stand, mark):
    ids = set()
    for i, days in enumerate((0, -1, 30, 0)):
        clock.off(days * DAY)
        assert send_mail(stand.smtp, message(subject=f"{mark}-{i}-")).code == 250
        mail, = stand.wait_marked("alice", f"{mark}-{i}-", seconds=10)
        ids.add(header(mail, "x-posthouse-id"))
        assert not NEGATIVE.search(pages(stand)), pages(stand)
    assert len(ids) == 4 == len(stand.files("alice"))


def test_what_is_held_stays_in_order_and_comes_home_once(clock, stand, mark):
    stand.stop("home")
    for i, days in enumerate((0, -1, 30)):
        clock.off(days * DAY)
        assert send_mail(stand.smtp, message(subject=f"{mark}-{i}-")).code == 250
        assert not NEGATIVE.search(stand.tool("status", "-c", stand.conf("edge")).stdout)
    held = [o["id"] for o in stand.queue("edge")]
    assert len(set(held)) == 3
    clock.off(-1 * DAY)
    stand.start("home")
    for i, id_ in enumerate(held):
        mail, = stand.wait_marked("alice", f"{mark}-{i}-", seconds=10)
        assert header(mail, "x-posthouse-id") == id_, "the order is that of coming"
    stand.edge_empty()
    stand.home_settled()
    assert len(stand.files("alice")) == 3


@pytest.mark.parametrize("role", ["edge", "home"])
def test_a_jump_is_said_with_what_to_do(clock, stand, role):
    assert clock_alarms(stand, role) == []
    clock.off(-1 * DAY)
    alarm, = clock_alarms(stand, role)
    assert "back by 1 d 0 h 0 min" in alarm and "timedatectl" in alarm
    clock.off(30 * DAY)
    alarm, = clock_alarms(stand, role)
    assert "forward by 30 d 0 h 0 min" in alarm and "nothing is thrown away" in alarm
    clock.off(0)
    assert clock_alarms(stand, role) == [], "it is back where it was"
    clock.off(60)
    assert clock_alarms(stand, role) == [], "as much is nobody's harm"

    def said():
        return [line for line in stand.log(role).splitlines() if "clock.jumped" in line]
    until("each jump is in the log", 10, lambda: len(said()) >= 3)
    assert len(said()) == 3 and all("timedatectl" in line for line in said())


def test_a_list_of_recipients_that_grew_old_refuses_nobody_for_good(clock, stand, mark):
    def rcpt(address):
        with Client(stand.smtp) as c:
            c.hello()
            c.ok("MAIL FROM:<a@client.test>")
            return c.cmd(f"RCPT TO:<{address}>").text[:9]

    def stale():
        (peer,) = stand.status("edge")["peers"]
        return peer["list_stale"]
    until("the edge has home's list", 10, lambda: rcpt("carol@example.test") == "550 5.1.1")
    assert stale() is False
    stand.stop("home")
    assert rcpt("carol@example.test") == "550 5.1.1", "away, and the list is young"
    clock.off(2 * DAY)
    assert rcpt("carol@example.test") == "450 4.1.1" and stale() is True
    assert ", stale" in stand.tool("status", "-c", stand.conf("edge")).stdout
    assert rcpt("alice@elsewhere.test") == "550 5.7.1"
    assert send_mail(stand.smtp, message(subject=mark)).code == 250, "who is known is taken"
    stand.start("home")
    until("the list is young again", 10, lambda: rcpt("carol@example.test") == "550 5.1.1")
    assert stale() is False
    stand.wait_marked("alice", mark)


@pytest.mark.parametrize("days", [-2, 2])
def test_the_clocks_of_edge_and_home_need_not_agree(tmp_path, monkeypatch, clock, stand, days):
    """A list of recipients is as old as it is, neither young for ever nor old at once."""
    def rcpt():
        with Client(stand.smtp) as c:
            c.hello()
            c.ok("MAIL FROM:<a@client.test>")
            return c.cmd("RCPT TO:<carol@example.test>").text[:9]

    homes, preload = library(tmp_path, "home")
    stand.stop("home")
    homes.off(days * DAY)
    with monkeypatch.context() as m:
        m.setenv("LD_PRELOAD", preload)
        stand.start("home")
    until("the list is another run's", 10,
          lambda: [p["connections"] for p in stand.status("edge")["peers"]] == [2])
    until("and young", 10, lambda: rcpt() == "550 5.1.1")
    stand.stop("home")
    for _ in range(2):
        clock.off(0)
        assert rcpt() == "550 5.1.1"
        clock.off(1.5 * DAY)
        assert rcpt() == "450 4.1.1"
        stand.stop("edge")
        clock.off(0)
        stand.start("edge")


def test_a_jump_is_noticed_while_nobody_asks(clock, stand):
    clock.off(-1 * DAY)
    for role in ("edge", "home"):
        until(f"{role} says so", 20, lambda r=role: "clock.jumped back" in stand.log(r))


def test_what_changes_after_a_jump_ahead_is_another_runs(clock, stand, mark):
    """By which a machine that went on from a snapshot of its memory is known."""
    def runs():
        with contextlib.closing(sqlite3.connect(
                f"file:{stand.env['HOME_STATE']}/spool.db?mode=ro", uri=True)) as db:
            return [run for run, in db.execute("SELECT run FROM run ORDER BY first DESC")]

    for i, days in enumerate((0, 0, 1, 1)):
        clock.off(days * DAY)
        if days > 0:
            until("home says so", 20, lambda: "clock.jumped forward" in stand.log("home"))
        assert send_mail(stand.smtp, message(subject=f"{mark}-{i}-")).code == 250
        stand.wait_marked("alice", f"{mark}-{i}-", seconds=10)
        if i == 0:
            before = runs()
    now = runs()
    assert now[1:] == before and now[0] not in before


def test_home_starts_in_1970(clock, stand, mark):
    """As a machine without a battery does; the network sets its clock a moment later."""
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=f"{mark}-held-")).code == 250
    clock.off(DAY - int(time.time()))
    stand.start("home")
    stand.wait_marked("alice", f"{mark}-held-", seconds=10)
    alarm, = clock_alarms(stand, "home")
    assert "1970-01-0" in alarm and "timedatectl" in alarm
    clock.off(0)
    assert send_mail(stand.smtp, message(subject=f"{mark}-set-")).code == 250
    stand.wait_marked("alice", f"{mark}-set-", seconds=10)
    assert not any("1970" in a for a in clock_alarms(stand, "home"))


def test_a_retry_does_not_wait_for_the_old_time_to_come_again(clock, make_stand, mark):
    stand = make_stand(opt=["home.deliver.retry_max=2s"])
    os.makedirs(stand.env["MAILDIR"], exist_ok=True)
    in_the_way = os.path.join(stand.env["MAILDIR"], "bob")
    with open(in_the_way, "w", encoding="ascii") as f:
        f.write("a file where a Maildir should be\n")
    assert send_mail(stand.smtp, message(subject=mark), rcpts=["bob@example.test"]).code == 250
    until("it was tried", 10, lambda: [o["state"] for o in stand.queue("home")] == ["deferred"])
    clock.off(-1 * DAY)
    os.unlink(in_the_way)
    stand.wait_marked("bob", mark, seconds=30)
    stand.home_settled()


def test_a_ban_lasts_its_time_and_no_longer(clock, stand):
    """Weeks ahead, years back, while home runs and while it does not."""
    def left():
        out = stand.tool("bans", "--json", "-c", stand.conf("home")).stdout
        ban, = json.loads(out) or [None]
        return ban and ban["until_ms"] / 1000 - (time.time() + clock.seconds)
    stand.tool("ban", "203.0.113.7", "--for", "1h", "-c", stand.conf("home"))
    for days in (30, -3000, 0):
        clock.off(days * DAY)
        assert clock_alarms(stand, "home") or days == 0
        until("it is where it was", 20, lambda: 3400 < (left() or 0) <= 3600, 0.1)
    stand.stop("home")
    clock.off(-3000 * DAY)
    stand.start("home")
    until("it begins anew", 10, lambda: 3400 < (left() or 0) <= 3600, 0.1)
    clock.off(0)
    until("it is an hour again", 20, lambda: 3400 < (left() or 0) <= 3600, 0.1)


def test_timeouts_neither_fire_nor_hang(clock, make_stand):
    stand = make_stand(opt=["edge.limits.command_timeout=6s"])
    for days in (30, -1):
        with Client(stand.smtp) as c:
            c.hello()
            clock.off(days * DAY)
            began = time.monotonic()    # before what its time is counted from
            c.ok("NOOP")
            assert c.reply().code == 421
            assert 4 < time.monotonic() - began < 40
    time.sleep(1)
    assert all(p["connections"] > 0 for p in stand.status("home")["peers"]), "and the tunnel is up"
