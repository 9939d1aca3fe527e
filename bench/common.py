"""What the benchmarks share: peers, clocks, tables, and bench/RESULTS.md."""

import argparse
import atexit
import ctypes
import fcntl
import os
import platform
import re
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "test"))
os.environ["PATH"] += ":/usr/sbin:/sbin"

from kit.ports import free_port                     # noqa: E402
from kit.stand import Stand, posthouse, until       # noqa: E402

RESULTS = os.path.join(HERE, "RESULTS.md")
LOAD = os.getloadavg()[0]       # whoever else is at work here


def ticks():
    """(wanted, stolen): the processors' time that was not idle, and what of it other machines had (proc(5))."""
    with open("/proc/stat", encoding="ascii") as f:
        user, nice, system, _, _, irq, softirq, steal = map(int, f.readline().split()[1:9])
    return user + nice + system + irq + softirq + steal, steal


BEFORE = ticks()


def arguments(doc, **more):
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--record", action="store_true", help="put the tables into bench/RESULTS.md")
    p.add_argument("--rounds", type=int, default=more.pop("rounds", 3), help="of each point, peers interleaved")
    for name, kw in more.items():
        p.add_argument("--" + name, **kw)
    # What a bench started must end with it, however it ends.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return p.parse_args()


FS_IOC_GETFLAGS, FS_IOC_SETFLAGS, FS_TOPDIR_FL = 0x80086601, 0x40086602, 0x20000
_made = []


def _parent():
    """
    Where each run gets its directory. ext4 puts the children of a TOPDIR far from each
    other, and so in block groups where nothing was deleted a moment ago: without a
    journal it looks again at every inode deleted in a group in the last minutes before it
    makes a new one there, and a file that took 50 us then takes 500. For the same
    reason nothing is deleted before the bench ends.
    """
    if not _made:
        _made.append(tempfile.mkdtemp(prefix="ph-bench-"))
        os.chmod(_made[0], 0o755)
        atexit.register(shutil.rmtree, _made[0], ignore_errors=True)
        fd = os.open(_made[0], os.O_RDONLY)
        try:
            flags = bytearray(8)
            fcntl.ioctl(fd, FS_IOC_GETFLAGS, flags)
            fcntl.ioctl(fd, FS_IOC_SETFLAGS, struct.pack("l", struct.unpack("l", flags)[0] | FS_TOPDIR_FL))
        except OSError:
            pass        # another file system, with other habits
        finally:
            os.close(fd)
    return _made[0]


def temp(prefix):
    """The name of a directory that the caller makes, and postfix's users may enter; it is gone when the bench ends."""
    dir_ = tempfile.mkdtemp(prefix=prefix, dir=_parent())
    os.rmdir(dir_)
    return dir_


def set_aside(*names):
    """Out of the way, not deleted."""
    if names:
        grave = tempfile.mkdtemp(prefix="gone-", dir=_parent())
        for i, name in enumerate(names):
            os.rename(name, f"{grave}/{i}")


def filesystem(path):
    """What the files are on, and whether it has a journal, which is what a sync costs."""
    dev = os.stat(path).st_dev
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            words = line.split()
            if words[2] == f"{os.major(dev)}:{os.minor(dev)}":
                kind, source = words[words.index("-") + 1:][:2]
                if kind != "ext4":
                    return kind
                name = os.path.basename(source)
                journal = os.path.isdir("/proc/fs/jbd2") and any(n.rpartition("-")[0] == name
                                                                 for n in os.listdir("/proc/fs/jbd2"))
                return "ext4" if journal else "ext4 without a journal"
    return "an unknown file system"


def table(headings, rows):
    """Markdown that is also readable as it stands."""
    rows = [[str(c) for c in r] for r in rows]
    width = [max(len(r[i]) for r in [headings, *rows]) for i in range(len(headings))]

    def line(cells):
        return "| " + " | ".join(c.rjust(w) if i else c.ljust(w) for i, (c, w) in enumerate(zip(cells, width))) + " |"
    rule = "|" + "|".join("-" * (w + 2) if i == 0 else "-" * (w + 1) + ":" for i, w in enumerate(width)) + "|"
    return "\n".join([line(headings), rule, *map(line, rows)])


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        model = next((ln.split(":")[1].strip() for ln in f if ln.startswith("model name")), platform.machine())
    commit = subprocess.run(["git", "-C", HERE, "rev-parse", "--short", "HEAD"], check=False, capture_output=True,
                            text=True).stdout.strip() or "unknown"
    wanted, stolen = (now - then for now, then in zip(ticks(), BEFORE))
    return f"{time.strftime('%Y-%m-%d')}, commit {commit}, {os.cpu_count()} x {model}, Linux {platform.release()}, " \
           f"{filesystem(tempfile.gettempdir())}, load before {LOAD:.1f}, " \
           f"stolen {100 * stolen / max(wanted, 1):.0f} %"


def median(values):
    return statistics.median(values) if values else float("nan")


def spread(values, form="{:,.0f}"):
    if not values:
        return "-"
    return form.format(median(values)) + f" [{form.format(min(values))}-{form.format(max(values))}]"


def verdict(value, target, goal=None, least=True, form="{:g}"):
    """The words of a column "target": what was asked for, and whether the median meets it."""
    def good(t):
        return value >= t if least else value <= t
    sign = ">=" if least else "<="
    text = f"{sign} {form.format(target)} {'met' if good(target) else 'MISSED'}"
    if goal is not None:
        text += f", goal {form.format(goal)} {'met' if good(goal) else 'missed'}"
    return text


def publish(args, name, title, text):
    """Prints; with --record also replaces the section of that name in RESULTS.md."""
    print(text)
    if args.record:
        record(name, title, text)


def record(name, title, text):
    begin, end = f"<!-- {name} -->", f"<!-- end {name} -->"
    section = f"{begin}\n## {title}\n\n{machine()}\n\n{text}\n{end}\n"
    try:
        with open(RESULTS, encoding="utf-8") as f:
            old = f.read()
    except FileNotFoundError:
        old = ("# Results\n\n"
               "Written by the commands in bench/, each with --record. Medians, [least-most] of the rounds.\n")
    if begin in old:
        new = re.sub(re.escape(begin) + ".*?" + re.escape(end) + "\n", lambda _: section, old, flags=re.S)
    else:
        new = old.rstrip("\n") + "\n\n" + section
    with open(RESULTS, "w", encoding="utf-8") as f:
        f.write(new)
    print(f"recorded in {RESULTS}")


# --- peers ----------------------------------------------------------------------

class Edge:
    """A stand whose home is away: what it accepts, it seals and holds."""

    name = "posthouse"

    def __init__(self):
        self.stand = Stand(temp("ph-bench-"), users="user", domain="bench.test",
                           opt=["edge.limits.commands=1000000000"])
        self.where = self.stand.env["SMTP"]
        try:
            self.stand.stop("home")
        except BaseException:
            self.close()
            raise

    def clear(self):
        """An empty spool, as at the first start."""
        self.stand.stop("edge")
        spool = self.stand.env["EDGE_SPOOL"]
        large = os.path.join(spool, "large")
        set_aside(*(os.path.join(spool, n) for n in os.listdir(spool) if n.startswith("spool.db")),
                  *(os.path.join(large, n) for n in (os.listdir(large) if os.path.isdir(large) else ())))
        self.stand.start("edge")

    def kept(self):
        return self.stand.status("edge")["held"]["objects"]

    def pid(self):
        return self.stand.pid("edge")

    def close(self):
        self.stand.down()


MAIN_CF = """
compatibility_level=3.6
queue_directory={dir}/queue
data_directory={dir}/data
mail_owner=postfix
setgid_group=postdrop
myhostname=mx.bench.test
mydestination=
alias_maps=
alias_database=
local_recipient_maps=
mynetworks=
relay_domains=bench.test
relay_recipient_maps=
smtpd_relay_restrictions=reject_unauth_destination
smtpd_client_restrictions=check_client_access static:HOLD
smtpd_peername_lookup=no
smtpd_client_connection_count_limit=0
smtpd_tls_security_level=none
default_process_limit=300
smtp_dns_support_level=disabled
maillog_file={dir}/mail.log
maillog_file_prefixes=/var,/dev/stdout,/tmp
inet_interfaces=127.0.0.1
inet_protocols=ipv4
in_flow_delay=0
"""

MASTER_CF = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
verify unix - - n - 1 verify
proxymap unix - - n - - proxymap
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
retry unix - - n - - error
anvil unix - - n - 1 anvil
postlog unix-dgram n - n - 1 postlogd
"""


class Postfix:
    """Debian's Postfix that queues and delivers nothing: an access rule puts every message on hold."""

    name = "postfix"

    def __init__(self, more=""):
        if os.getuid() != 0:
            sys.exit("bench: Postfix starts for root only")
        self.dir, port = temp("ph-postfix-"), free_port()
        self.where = f"127.0.0.1:{port}"
        for d in ("queue", "conf", "data"):
            os.makedirs(f"{self.dir}/{d}")
        shutil.chown(f"{self.dir}/data", "postfix")
        with open(f"{self.dir}/conf/main.cf", "w", encoding="ascii") as f:
            f.write(MAIN_CF.format(dir=self.dir) + more)
        with open(f"{self.dir}/conf/master.cf", "w", encoding="ascii") as f:
            f.write(MASTER_CF.format(port=port))
        self.postfix("start")
        try:
            until("postfix answers", 20, lambda: connects(self.where), 0.1)
        except BaseException:
            self.close()
            raise

    def postfix(self, word):
        r = subprocess.run(["postfix", "-c", f"{self.dir}/conf", word], check=False, capture_output=True, text=True)
        if r.returncode != 0:
            sys.exit(f"bench: postfix {word}: {r.stdout}{r.stderr}")

    def queued(self):
        for sub in ("hold", "incoming", "active", "deferred"):
            for base, _, names in os.walk(f"{self.dir}/queue/{sub}"):
                for name in names:
                    yield os.path.join(base, name)

    def clear(self):
        set_aside(*self.queued())

    def kept(self):
        return sum(1 for _ in self.queued())

    def pid(self):
        with open(f"{self.dir}/queue/pid/master.pid", encoding="ascii") as f:
            return int(f.read())

    def close(self):
        self.postfix("stop")


class UsedPostfix(Postfix):
    """
    The same, whose queue files are deleted before each run as those of delivered mail are: a queue at
    work deletes as many as it makes, and the file system remembers.
    """

    name = "postfix-used"

    def __init__(self):
        super().__init__()
        smtp_source(self.where, 2000, 20, 5120)

    def clear(self):
        for name in list(self.queued()):
            os.unlink(name)


class Sink:
    """Postfix's smtp-sink: says 250 and stores nothing. What the load generator can do at most."""

    name = "smtp-sink"

    def __init__(self):
        self.where = f"127.0.0.1:{free_port()}"
        user = ["-u", "nobody"] if os.getuid() == 0 else []
        self.child = subprocess.Popen(["smtp-sink", *user, "-4", "-m", "6000", self.where, "2000"],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("smtp-sink answers", 10, lambda: connects(self.where), 0.05)

    def clear(self):
        pass

    def kept(self):
        return None

    def pid(self):
        return self.child.pid

    def close(self):
        self.child.terminate()
        self.child.wait(10)


def connects(where):
    host, port = where.rsplit(":", 1)
    try:
        with socket.create_connection((host, int(port)), 2) as s:
            s.settimeout(5)
            return s.recv(100).startswith(b"220")
    except OSError:
        return False


def smtp_source(where, messages, sessions, size, kept_connections=True, rcpt="user@bench.test", lmtp=False):
    """Seconds that smtp-source took."""
    words = ["smtp-source", "-C", "20", "-s", str(sessions), "-m", str(messages), "-l", str(size),
             "-f", "s@sender.test", "-t", rcpt, "-M", "client.test", where]
    if kept_connections:
        words.insert(1, "-d")
    if lmtp:
        words.insert(1, "-L")
    began = time.monotonic()
    r = subprocess.run(words, check=False, capture_output=True, text=True, timeout=300)
    took = time.monotonic() - began
    if r.returncode != 0:
        sys.exit(f"bench: {' '.join(words)}: {r.stderr}")
    return took


# --- looking at the machine -------------------------------------------------------

def descendants(pid):
    kids = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", encoding="latin-1") as f:
                    kids.setdefault(int(f.read().rpartition(")")[2].split()[1]), []).append(int(name))
            except OSError:
                pass
    found = [pid]
    for p in found:
        found += kids.get(p, [])
    return found


def cpu_s(pid):
    """User and system time of a process, all below it, and those of them that have ended."""
    ticks = 0
    for p in descendants(pid):
        try:
            with open(f"/proc/{p}/stat", encoding="latin-1") as f:
                ticks += sum(map(int, f.read().rpartition(")")[2].split()[11:15]))
        except OSError:
            pass
    return ticks / os.sysconf("SC_CLK_TCK")


def pss_kb(pid):
    """Proportional set size of a process and all below it: shared pages are counted once among them."""
    total = 0
    for p in descendants(pid):
        with open(f"/proc/{p}/smaps_rollup", encoding="ascii") as f:
            total += next(int(ln.split()[1]) for ln in f if ln.startswith("Pss:"))
    return total


def settle(pid):
    """PSS once it has stopped moving."""
    last = pss_kb(pid)
    for _ in range(20):
        time.sleep(0.3)
        now = pss_kb(pid)
        if abs(now - last) < 16:
            return now
        last = now
    return last


def kernel_kb():
    """Slab and TCP buffers of the whole machine: both ends of every connection on loopback are in it."""
    with open("/proc/meminfo", encoding="ascii") as f:
        slab = next(int(ln.split()[1]) for ln in f if ln.startswith("Slab:"))
    with open("/proc/net/sockstat", encoding="ascii") as f:
        words = next(ln.split() for ln in f if ln.startswith("TCP:"))
    return slab + int(words[words.index("mem") + 1]) * os.sysconf("SC_PAGESIZE") // 1024


class Arrivals:
    """inotify on the new/ of Maildirs: when files were renamed into them."""

    IN_MOVED_TO, IN_CREATE, IN_Q_OVERFLOW = 0x80, 0x100, 0x4000

    def __init__(self, *paths):
        libc = ctypes.CDLL(None, use_errno=True)
        self.fd = libc.inotify_init1(os.O_CLOEXEC)
        for path in paths:
            if libc.inotify_add_watch(self.fd, path.encode(), self.IN_MOVED_TO | self.IN_CREATE) < 0:
                raise OSError(ctypes.get_errno(), path)

    def wait(self):
        """How many arrived, at least one, and when the last of them was seen."""
        data, n, at = os.read(self.fd, 1 << 16), 0, 0
        now = time.monotonic()
        while at < len(data):
            _, mask, _, name = struct.unpack_from("iIII", data, at)
            if mask & self.IN_Q_OVERFLOW:
                sys.exit("bench: inotify lost events; raise fs.inotify.max_queued_events")
            at += 16 + name
            n += 1
        return n, now

    def ready(self, seconds):
        return bool(select.select([self.fd], [], [], seconds)[0])

    def close(self):
        os.close(self.fd)
