"""Full disks and quotas: 452, nothing lost, and it recovers by itself."""

import os
import shutil
import subprocess
import tempfile

import pytest

from kit.smtp import send_mail
from kit.stand import Stand, message, until

PAD = "x" * 75 + "\r\n"


@pytest.fixture
def tmpfs():
    """A file system of 48 MB that a test may fill."""
    dir_ = tempfile.mkdtemp(prefix="ph-full-")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=48m,mode=700", "ph", dir_],
                                           check=False, capture_output=True).returncode != 0:
        os.rmdir(dir_)
        pytest.skip("mounting a tmpfs needs root")
    yield dir_
    subprocess.run(["umount", dir_], check=True)
    os.rmdir(dir_)


def fill(stand, mark, size, most=3000):
    """Sends until refused; how many were accepted."""
    body, n = PAD * (size // len(PAD)), 0
    while n < most:
        r = send_mail(stand.smtp, message(subject=f"{mark}-{n}-", body=body))
        if r.code != 250:
            assert r.code == 452 and " 4." in r.text, r.text
            return n
        n += 1
    raise AssertionError(f"{most} messages of {size} fit")


@pytest.mark.parametrize("size", [20000, 900000])
def test_edge_disk_full(tmpfs, mark, size):
    with Stand(os.path.join(tmpfs, "s"), opt=["edge.hold.reserve=4M"]) as stand:
        stand.stop("home")
        n = fill(stand, mark, size)
        assert n > 5
        assert len(stand.queue("edge")) == n
        stand.start("home")
        # Home lies on the same full disk: what it cannot take stays at the edge and comes later.
        shutil.rmtree(os.path.join(stand.env["MAILDIR"], "alice"), ignore_errors=True)
        seen = collect(stand, mark, n)
        assert sorted(seen) == list(range(n)), "each once"
        until("mail is taken again", 30, lambda: send_mail(stand.smtp, message(subject="again")).code == 250)
    shutil.rmtree(os.path.join(tmpfs, "s"))


def collect(stand, mark, n):
    """A reader that fetches and deletes until n messages with the mark were seen; their numbers, in the order seen."""
    seen = []

    def more():
        for name in stand.files("alice"):
            with open(name, "rb") as f:
                text = f.read()
            os.unlink(name)
            for line in text.split(b"\n"):
                if line.startswith(b"Subject: " + mark.encode()):
                    seen.append(int(line.rsplit(b"-", 2)[1]))
        return len(seen) >= n
    until(f"{n} messages seen", 120, more, 0.1)
    stand.edge_empty()
    more()
    return seen


def test_edge_disk_filled_by_a_stranger(tmpfs, mark):
    """Not our own files: the reserve keeps us from writing until the last octet, and a message is never half."""
    with Stand(os.path.join(tmpfs, "s"), opt=["edge.hold.reserve=4M"]) as stand:
        stand.stop("home")
        assert send_mail(stand.smtp, message(subject=mark)).code == 250
        with open(os.path.join(tmpfs, "stranger"), "wb") as f:
            try:
                while True:
                    f.write(b"\0" * 65536)
                    f.flush()
            except OSError:
                pass
        for size in (1000, 600000):
            r = send_mail(stand.smtp, message(body=PAD * (size // len(PAD))))
            assert r.code == 452, r.text
        assert len(stand.queue("edge")) == 1
        os.unlink(os.path.join(tmpfs, "stranger"))
        until("mail is taken again", 30, lambda: send_mail(stand.smtp, message(subject=mark)).code == 250)
        stand.start("home")
        stand.wait_marked("alice", mark, 2)
    shutil.rmtree(os.path.join(tmpfs, "s"))


def test_home_disk_full(tmpfs, make_stand, mark):
    """Home cannot store: it says 503, the edge keeps; with room again everything comes."""
    os.makedirs(os.path.join(tmpfs, "mail"))
    os.makedirs(os.path.join(tmpfs, "home"), 0o700)
    stand = make_stand(opt=[f"home.state={tmpfs}/home", f"home.deliver.maildir={tmpfs}/mail", "home.hold.reserve=4M"])
    with open(os.path.join(tmpfs, "stranger"), "wb") as f:
        try:
            while True:
                f.write(b"\0" * 65536)
                f.flush()
        except OSError:
            pass
    for i in range(10):
        assert send_mail(stand.smtp, message(subject=f"{mark}-{i}-")).code == 250, "the edge has room"
    until("the edge tried and still has them", 10,
          lambda: len(stand.queue("edge")) == 10 and stand.counter("edge", "handover_failed") > 0)
    os.unlink(os.path.join(tmpfs, "stranger"))
    stand.wait_marked("alice", mark, 10, seconds=90)
    stand.stop("home")


def test_quota_of_a_home(make_stand, mark):
    stand = make_stand(opt=["edge.hold.quota=2M", "edge.limits.size=1M"])
    stand.stop("home")
    n = fill(stand, mark, 100000)
    assert 15 <= n <= 21
    stand.start("home")
    stand.wait_marked("alice", mark, n)
    stand.edge_empty()
    assert send_mail(stand.smtp, message()).code == 250


def test_share_of_a_network(make_stand, mark):
    """One /24 fills its share and no more; another network is still served."""
    stand = make_stand(opt=["edge.hold.quota=10M", "edge.hold.share=10", "edge.limits.size=1M"])
    stand.stop("home")
    body, n = PAD * (100000 // len(PAD)), 0
    while (r := send_mail(stand.smtp, message(subject=mark, body=body), source=f"127.40.1.{1 + n}")).code == 250:
        n += 1
        assert n < 60
    assert r.code == 452 and 7 <= n <= 11, (n, r.text)
    assert send_mail(stand.smtp, message(subject=mark, body=body), source="127.40.2.1").code == 250
    stand.start("home")
    stand.wait_marked("alice", mark, n + 1)
    stand.edge_empty()
    assert send_mail(stand.smtp, message(body=body), source="127.40.1.1").code == 250


def test_read_only_state(tmpfs, mark):
    with Stand(os.path.join(tmpfs, "s"), opt=["edge.hold.reserve=4M"]) as stand:
        stand.stop("home")
        assert send_mail(stand.smtp, message(subject=mark)).code == 250
        if subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=False, capture_output=True).returncode != 0:
            # Open for writing somewhere: then a read-only disk cannot happen this way.
            subprocess.run(["mount", "-o", "remount,rw", tmpfs], check=False)
            stand.stop("edge")
            subprocess.run(["mount", "-o", "remount,ro", tmpfs], check=True)
            r = subprocess.run([stand_binary(), "edge", "-c", stand.conf("edge")], check=False, capture_output=True,
                               text=True, timeout=60)
            assert r.returncode != 0 and stand.env["EDGE_SPOOL"] in r.stderr, r.stderr
        else:
            r = send_mail(stand.smtp, message())
            assert 400 <= r.code < 500, r.text
        subprocess.run(["mount", "-o", "remount,rw", tmpfs], check=True)
        stand.kill("edge")
        stand.start("edge")
        stand.start("home")
        stand.wait_marked("alice", mark)
    shutil.rmtree(os.path.join(tmpfs, "s"))


def stand_binary():
    from kit.stand import posthouse
    return posthouse()
