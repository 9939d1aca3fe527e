"""Full disks and quotas: 452, nothing lost, and it recovers by itself."""

import os
import re
import shutil
import subprocess
import tempfile

import pytest
from conftest import show_logs, take_down

from kit.smtp import Client, send_mail
from kit.stand import Stand, message, posthouse, until

PAD = "x" * 75 + "\r\n"


@pytest.fixture
def tmpfs():
    """A file system of 96 MB that a test may fill."""
    dir_ = tempfile.mkdtemp(prefix="ph-full-")
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs",
                                            "-o", "size=96m,mode=700", "ph", dir_],
                                           check=False, capture_output=True).returncode != 0:
        os.rmdir(dir_)
        pytest.skip("mounting a tmpfs needs root")
    yield dir_
    subprocess.run(["umount", dir_], check=True)
    os.rmdir(dir_)


@pytest.fixture
def edge_on(tmpfs):
    """edge_on(**as Stand): a stand whose edge lives on the small disk, and home elsewhere."""
    made, away = [], tempfile.mkdtemp(prefix="ph-")

    def make(opt=()):
        for name in ("home", "mail"):
            os.makedirs(os.path.join(away, name), 0o700)
        made.append(Stand(os.path.join(tmpfs, "s"),
                          opt=[f"home.state={away}/home", f"home.deliver.maildir={away}/mail",
                                                         "edge.hold.reserve=16M", *opt]))
        return made[-1]
    yield make
    for stand in made:
        show_logs(stand)
        take_down(stand)
        shutil.rmtree(stand.dir, ignore_errors=True)
    shutil.rmtree(away)


def fill(stand, mark, size, most=6000):
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
def test_edge_disk_full(edge_on, mark, size):
    stand = edge_on()
    stand.stop("home")
    n = fill(stand, mark, size)
    assert n > 5 and len(stand.queue("edge")) == n
    stand.kill("edge")          # and a crash on a full disk keeps all of it
    stand.start("edge")
    assert len(stand.queue("edge")) == n
    stand.start("home")
    stand.edge_empty(60)
    stand.wait_mails("alice", n)
    until("mail is taken again", 30,
          lambda: send_mail(stand.smtp, message(subject="again")).code == 250)


def fill_by_stranger(dir_, leave=0):
    """Somebody else's file takes what is left, or all but so many octets; its name, to remove."""
    name = os.path.join(dir_, "stranger")
    with open(name, "wb", buffering=0) as f:
        try:
            while leave == 0 or os.statvfs(dir_).f_bavail * os.statvfs(dir_).f_frsize > leave:
                f.write(b"\0" * 65536)
        except OSError:
            pass
    return name


def test_edge_disk_filled_by_a_stranger(edge_on, tmpfs, mark):
    """Not our own files: no message is ever half, and mail goes on when there is room."""
    stand = edge_on()
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    in_the_way = fill_by_stranger(tmpfs)
    for size in (1000, 600000):
        r = send_mail(stand.smtp, message(body=PAD * (size // len(PAD))))
        assert r.code == 452, r.text
    with Client(stand.smtp) as c:       # and not only when it was all sent
        c.hello()
        until("a sender is told at MAIL", 10,
              lambda: c.cmd("MAIL FROM:<a@client.test>").code == 452 or c.ok("RSET") is None)
    assert len(stand.queue("edge")) == 1
    os.unlink(in_the_way)
    until("mail is taken again", 30,
          lambda: send_mail(stand.smtp, message(subject=mark)).code == 250)
    stand.start("home")
    stand.wait_marked("alice", mark, 2)


def test_below_the_reserve_mail_still_goes_home(edge_on, tmpfs, mark):
    """Less than the reserve is free: nothing is taken, and deletes write, so
    that the edge gets room again."""
    stand = edge_on()
    stand.stop("home")
    for _ in range(50):
        assert send_mail(stand.smtp, message(subject=mark)).code == 250
    in_the_way = fill_by_stranger(tmpfs, leave=8 << 20)
    assert send_mail(stand.smtp, message(subject="too much")).code == 452
    stand.kill("edge")
    stand.start("edge")
    stand.start("home")
    stand.wait_marked("alice", mark, 50)
    stand.edge_empty()
    os.unlink(in_the_way)
    until("mail is taken again", 30, lambda: send_mail(stand.smtp, message()).code == 250)


def test_a_disk_filled_to_the_last_octet_recovers(edge_on, tmpfs, mark):
    """Not even a delete can be written while home takes mail: with
    room again each is there once."""
    stand = edge_on()
    stand.stop("home")
    for _ in range(50):
        assert send_mail(stand.smtp, message(subject=mark)).code == 250
    in_the_way = fill_by_stranger(tmpfs)
    stand.start("home")
    until("home took some", 20, lambda: stand.files("alice"))
    os.unlink(in_the_way)
    stand.wait_marked("alice", mark, 50, seconds=120)
    stand.edge_empty(60)
    assert len(stand.files("alice")) == 50


def test_home_disk_full(tmpfs, make_stand, mark):
    """Home cannot store: it says 503, the edge keeps; with room again everything comes."""
    os.makedirs(os.path.join(tmpfs, "mail"))
    os.makedirs(os.path.join(tmpfs, "home"), 0o700)
    stand = make_stand(opt=[f"home.state={tmpfs}/home", f"home.deliver.maildir={tmpfs}/mail",
                            "home.hold.reserve=16M"])
    in_the_way = fill_by_stranger(tmpfs)
    for i in range(10):
        r = send_mail(stand.smtp, message(subject=f"{mark}-{i}-"))
        assert r.code == 250, "the edge has room"
    until("the edge tried and still has them", 10,
          lambda: len(stand.queue("edge")) == 10 and stand.counter("edge", "handover_failed") > 0)
    os.unlink(in_the_way)
    stand.wait_marked("alice", mark, 10, seconds=90)
    stand.stop("home")


def test_mailboxes_without_room(tmpfs, make_stand, mark):
    """Home's own state has room: it takes them, says what is wrong with the mailboxes and what to
    do about it, and delivers when that is done."""
    os.makedirs(os.path.join(tmpfs, "mail"))
    stand = make_stand(opt=[f"home.deliver.maildir={tmpfs}/mail", "home.deliver.retry_max=1s"])

    def alarms():
        return " ".join(stand.status("home")["alarms"])
    in_the_way = fill_by_stranger(tmpfs)
    for _ in range(3):
        assert send_mail(stand.smtp, message(subject=mark)).code == 250
    until("it says what to do", 30, lambda: "No space left on device: free some" in alarms())
    os.unlink(in_the_way)
    until("nobody writes just now", 30, lambda: subprocess.run(
        ["mount", "-o", "remount,ro", tmpfs], check=False, capture_output=True).returncode == 0)
    try:
        assert send_mail(stand.smtp, message(subject=mark)).code == 250
        until("and now", 30, lambda: "Read-only file system: mount it writable" in alarms())
    finally:
        remount(tmpfs, "rw")
    stand.wait_marked("alice", mark, 4, seconds=60)
    until("the alarm ends", 30, lambda: "alice" not in alarms())


def test_mailboxes_whose_disk_is_not_mounted(make_stand, mark):
    """Home does not make itself a folder in their place; mail waits at the edge."""
    stand = make_stand()
    mail = stand.env["MAILDIR"]
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)
    stand.stop("home")
    os.rename(mail, mail + ".away")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    r = subprocess.run([posthouse(), "home", "-c", stand.conf("home")], check=False,
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and f"{mail} is not there" in r.stderr, r.stderr
    assert "mount the disk" in r.stderr and not os.path.exists(mail)
    r = subprocess.run([posthouse(), "doctor", "-c", stand.conf("home")], check=False,
                       capture_output=True, text=True, timeout=60)
    assert r.returncode == 1 and re.search(r"fail  deliver\.maildir .* mount its disk", r.stdout)
    os.rename(mail + ".away", mail)
    stand.start("home")
    stand.wait_marked("alice", mark, 2)


def test_quota_of_a_home(make_stand, mark):
    stand = make_stand(opt=["edge.hold.quota=2M", "edge.limits.size=1M"])
    stand.stop("home")
    n = fill(stand, mark, 100000)
    assert 15 <= n <= 21
    with Client(stand.smtp) as c:
        c.hello()
        r = c.cmd("MAIL FROM:<a@client.test> SIZE=900000")
        assert r.code == 452, "it cannot fit, and that is said before it is sent"
    assert "hold.quota" in " ".join(stand.status("edge")["alarms"])
    stand.start("home")
    stand.wait_marked("alice", mark, n)
    stand.edge_empty()
    until("mail is taken again", 30, lambda: send_mail(stand.smtp, message()).code == 250)


def test_a_home_with_a_quota_of_its_own(make_stand, mark):
    """Somebody is told before its mail is refused, and when it is."""
    stand = make_stand(opt=["edge.hold.share=100"])
    stand.stop("home")
    stand.stop("edge")
    with open(stand.conf("edge"), "a", encoding="ascii") as f:
        f.write('home "home" { quota = 1M }\n')
    stand.start("edge")
    body, seen = PAD * (100000 // len(PAD)), []
    while send_mail(stand.smtp, message(subject=mark, body=body)).code == 250:
        seen += [a for a in stand.status("edge")["alarms"] if a.startswith("home home:")]
    assert seen and "% of its quota" in seen[0], seen
    while send_mail(stand.smtp, message(subject=mark)).code == 250:
        pass
    alarms = [a for a in stand.status("edge")["alarms"] if a.startswith("home home:")]
    assert len(alarms) == 1 and "refused" in alarms[0], alarms


def test_share_of_a_network(make_stand, mark):
    """One /24 fills its share and no more; another network is still served."""
    stand = make_stand(opt=["edge.hold.quota=10M", "edge.hold.share=10", "edge.limits.size=1M"])
    stand.stop("home")
    body, n = PAD * (100000 // len(PAD)), 0
    while (r := send_mail(stand.smtp, message(subject=mark, body=body),
                          source=f"127.40.1.{1 + n}")).code == 250:
        n += 1
        assert n < 60
    assert r.code == 452 and 7 <= n <= 11, (n, r.text)
    alarms = " ".join(stand.status("edge")["alarms"])
    assert "client network of 127.40.1.0" in alarms and "hold.share" in alarms, alarms
    assert send_mail(stand.smtp, message(subject=mark, body=body), source="127.40.2.1").code == 250
    stand.start("home")
    stand.wait_marked("alice", mark, n + 1)
    stand.edge_empty()
    until("the network is served again", 30, lambda: send_mail(
        stand.smtp, message(body=body), source="127.40.1.1").code == 250)


def test_share_of_a_disk_that_is_less_than_the_quota(edge_on, mark):
    """Nobody's disk has the quota's room: one network still leaves most of it to others."""
    stand = edge_on(opt=["edge.hold.share=10"])
    stand.stop("home")
    body, n = PAD * (900000 // len(PAD)), 0
    while (r := send_mail(stand.smtp, message(subject=mark, body=body),
                          source=f"127.40.1.{1 + n}")).code == 250:
        n += 1
        assert n < 20, "80 MB in all, ten of a hundred for one"
    assert r.code == 452 and n >= 5, (n, r.text)
    alarms = " ".join(stand.status("edge")["alarms"])
    assert "client network of 127.40.1.0" in alarms and "hold.share" in alarms, alarms
    for other in ("127.40.2.1", "127.40.3.1"):
        assert send_mail(stand.smtp, message(subject=mark, body=PAD * 200000),
                         source=other).code == 250, "and one message, however large"
    assert send_mail(stand.smtp, message(body=body), source=other).code == 452
    stand.start("home")
    stand.wait_marked("alice", mark, n + 2)
    stand.edge_empty()
    until("the network is served again", 30, lambda: send_mail(
        stand.smtp, message(body=body), source="127.40.1.1").code == 250)


def test_messages_without_end_leave_the_disk_to_others(edge_on, tmpfs, mark):
    """What is not whole counts for no quota, and fills no disk: a network has a share of it."""
    stand = edge_on(opt=["edge.hold.share=10"])
    stand.stop("home")
    octets, without_end = (PAD * (3000000 // len(PAD))).encode(), []
    for n in range(12):
        c = Client(stand.smtp, source=f"127.40.1.{1 + n}")
        c.hello()
        c.begin("s@client.test", ["alice@example.test"])
        for _ in range(3):
            c.send(f"BDAT {len(octets)}\r\n".encode() + octets)
            c.reply()
        without_end.append(c)
    v = os.statvfs(tmpfs)
    assert v.f_bavail * v.f_frsize > 64 << 20, "of 108 MB a tenth of 80 stayed, and one chunk"
    assert send_mail(stand.smtp, message(subject=mark, body=PAD * 200000),
                     source="127.40.2.1").code == 250
    stand.logged("edge", r"smtp\.later .*share: network 127\.40\.1\.0")
    for c in without_end:
        c.close()
    until("nothing of theirs lies there", 30,
          lambda: len(os.listdir(os.path.join(stand.env["EDGE_SPOOL"], "large"))) == 1)
    until("the network is served again", 30,
          lambda: send_mail(stand.smtp, message(subject=mark, body=PAD * 30000),
                            source="127.40.1.1").code == 250)
    stand.start("home")
    stand.wait_marked("alice", mark, 2)


def remount(dir_, how):
    r = subprocess.run(["mount", "-o", f"remount,{how}", dir_], check=False, capture_output=True,
                       text=True)
    assert r.returncode == 0, r.stderr


def test_read_only_disk(edge_on, tmpfs, mark):
    """An edge does not start on it, says where and what to do; what it held is there after."""
    stand = edge_on()
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.stop("edge")
    remount(tmpfs, "ro")
    try:
        r = subprocess.run([posthouse(), "edge", "-c", stand.conf("edge")], check=False,
                           capture_output=True, text=True, timeout=60)
        assert r.returncode != 0 and stand.env["EDGE_SPOOL"] in r.stderr, r.stderr
        assert "Read-only file system: mount it writable" in r.stderr, r.stderr
    finally:
        remount(tmpfs, "rw")
    stand.start("edge")
    stand.start("home")
    stand.wait_marked("alice", mark)
