"""Each process of each role is killed while mail flows: it comes back, and nothing is lost or doubled."""

import threading
import time

import pytest

from kit.smtp import send_mail
from kit.stand import header, message, until

PROCESSES = [("edge", p) for p in ("writer", "reception", "resolver")] + \
            [("home", p) for p in ("writer", "tunnel", "courier", "helper", "resolver")]


@pytest.mark.parametrize("role,process", PROCESSES)
def test_killed_and_back(make_stand, mark, role, process):
    stand = make_stand()
    told, stop = {}, threading.Event()

    def sender(k):
        i = 0
        while not stop.is_set():
            name = f"{mark}-{k}-{i}-"
            i += 1
            try:
                told[name] = send_mail(stand.smtp, message(subject=name)).code
            except Exception:       # cut in the middle: not known
                told[name] = None
                time.sleep(0.02)
    threads = [threading.Thread(target=sender, args=(k,)) for k in range(3)]
    for t in threads:
        t.start()
    pids = {p["name"]: p["pid"] for p in stand.status(role)["processes"]}
    assert process in pids
    for _ in range(3):
        time.sleep(0.3)
        stand.kill(role, process)
        until(f"{process} is back", 30, lambda: back(stand, role, process, pids))
        pids = {p["name"]: p["pid"] for p in stand.status(role)["processes"]}
    time.sleep(0.3)
    stop.set()
    for t in threads:
        t.join()

    assert send_mail(stand.smtp, message(subject=f"{mark}-last-")).code == 250
    stand.wait_marked("alice", f"{mark}-last-", seconds=60)
    stand.edge_empty(60)
    stand.home_settled(seconds=60)
    have = [header(m, "subject") for m in stand.mails("alice")]
    for name, code in told.items():
        n = have.count(name)
        if code == 250:
            assert n == 1, f"{name} was told 250 and is there {n} times"
        else:
            assert n <= 1, f"{name} was told {code} and is there {n} times"
    assert sum(code == 250 for code in told.values()) > 20
    restarts = {p["name"]: p["restarts"] for p in stand.status(role)["processes"]}
    assert restarts[process] >= 3


def back(stand, role, process, old):
    """Restarted, and the role answers."""
    try:
        pids = {p["name"]: p["pid"] for p in stand.status(role)["processes"]}
    except AssertionError:          # the writer itself is away
        return False
    return pids.get(process, 0) not in (0, old[process])


def test_parent_gone_means_children_gone(stand):
    """A parent that is killed alone leaves nobody behind."""
    import os
    import signal
    pid = stand.pid("edge")
    kids = [p["pid"] for p in stand.status("edge")["processes"] if p["pid"] not in (0, pid)]
    assert len(kids) >= 3
    os.kill(pid, signal.SIGKILL)
    until("the children ended", 10, lambda: not [k for k in kids if running(k)])
    stand.start("edge")


def running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_status_shows_the_sandbox(stand):
    for role in ("edge", "home"):
        for p in stand.status(role)["processes"]:
            assert p["pid"] > 0 and p["name"]
            if p["name"] != "parent":
                assert p["sandbox"], f"{role} {p['name']} says nothing of its sandbox"
