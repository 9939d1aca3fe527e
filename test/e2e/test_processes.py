"""Each process of each role is killed while mail flows: it comes back, and
nothing is lost or doubled."""

import os
import pty
import pwd
import shutil
import signal
import subprocess
import threading
import time

import pytest

from kit.ports import free_port
from kit.smtp import Client, send_mail
from kit.stand import header, message, posthouse, until

PROCESSES = [("edge", p) for p in ("writer", "reception", "resolver")] + \
            [("home", p) for p in ("writer", "tunnel", "courier", "helper", "resolver")]
NAMES = ["edge.dns.client_names=true", 'edge.dns.servers={"127.0.0.1@9"}',
         "edge.dns.timeout=100ms"]


@pytest.mark.parametrize("role,process", PROCESSES)
def test_killed_and_back(make_stand, mark, role, process):
    # A command makes home have a helper; names make both have a resolver, which asks
    # nobody far.
    port = free_port()
    stand = make_stand(opt=["home.mailboxes.command=/bin/echo alice", *NAMES,
                            f'edge.tunnel.listen={{"127.0.0.1:{port}"}}',
                            f"edge.tunnel.address=localhost:{port}"])
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
    try:
        # A resolver is there from the first question on.
        until(f"{process} is there", 30, lambda: back(stand, role, process, {process: 0}))
        pids = {p["name"]: p["pid"] for p in stand.status(role)["processes"]}
        for _ in range(3):
            time.sleep(0.3)
            stand.kill(role, process)
            until(f"{process} is back", 30, lambda: back(stand, role, process, pids))
            pids = {p["name"]: p["pid"] for p in stand.status(role)["processes"]}
        time.sleep(0.3)
        until("mail has flowed meanwhile", 30, lambda: taken(told) > 20)
        # And does now: of these one a thread may have been answered before.
        until("mail flows again", 30,
              lambda n=taken(told) + len(threads): taken(told) > n)
    finally:
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
    restarts = {p["name"]: p["restarts"] for p in stand.status(role)["processes"]}
    assert restarts[process] >= 3


def taken(told):
    return list(told.values()).count(250)


def back(stand, role, process, old):
    """Restarted, and the role answers."""
    try:
        pids = {p["name"]: p["pid"] for p in stand.status(role)["processes"]}
    except AssertionError:          # the writer itself is away
        return False
    return pids.get(process, 0) not in (0, old[process])


def threads(pid):
    """(state, ticks of user time, nice, scheduler's class) of each but the first."""
    found = []
    for tid in sorted(map(int, os.listdir(f"/proc/{pid}/task")))[1:]:
        with open(f"/proc/{pid}/task/{tid}/stat", encoding="ascii") as f:
            s = f.read().rsplit(")", 1)[1].split()
        found.append((s[0], int(s[11]), int(s[16]), int(s[38])))
    return found


def test_a_killed_process_waits_for_no_thread_that_waits_for_a_quiet_machine(stand):
    """It is there until each thread of it had its turn, and one of the idle class, or of the
    last nice values, has it seconds later where others work."""
    pid = next(p["pid"] for p in stand.status("edge")["processes"] if p["name"] == "reception")
    until("keys were made ahead", 60,
          lambda: any(state == "S" and ticks > 0 for state, ticks, _, _ in threads(pid)))
    own = os.getpriority(os.PRIO_PROCESS, pid)
    for _, _, nice, scheduled in threads(pid):
        assert scheduled == os.SCHED_OTHER
        assert nice <= max(10, own)
    assert own >= 10 or any(nice == 10 for _, _, nice, _ in threads(pid))


def test_what_a_killed_process_had_open_is_not_shown_as_open(stand):
    """It was cut with it; a home that does not come back is away."""
    def shown():
        s = stand.status("edge")
        return s["counters"]["connections"], [p["connections"] > 0 for p in s["peers"]]

    until("home is there", 20, lambda: shown() == (0, [True]))
    tunnel = next(p["pid"] for p in stand.status("home")["processes"] if p["name"] == "tunnel")
    with Client(stand.smtp) as c:
        c.hello()
        until("it is shown", 10, lambda: shown() == (1, [True]))
        os.kill(tunnel, signal.SIGSTOP)
        try:
            stand.kill("edge", "reception")
            until("nothing is open", 20, lambda: shown() == (0, [False]))
        finally:
            os.kill(tunnel, signal.SIGCONT)
    until("home is there again", 60, lambda: shown() == (0, [True]))


def test_parent_gone_means_children_gone(stand):
    """A parent that is killed alone leaves nobody behind."""
    pid = stand.pid("edge")
    kids = [p["pid"] for p in stand.status("edge")["processes"]]
    assert len(kids) >= 2
    os.kill(pid, signal.SIGKILL)
    until("the children ended", 10, lambda: not [k for k in kids if running(k)])
    stand.start("edge")


def session(pid):
    """Its session and its terminal (0: none), see proc(5)."""
    with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
        fields = f.read().rpartition(")")[2].split()
    return int(fields[3]), int(fields[4])


def may(pid, fd):
    """Whether it may read or write there, see proc(5)."""
    with open(f"/proc/{pid}/fdinfo/{fd}", encoding="ascii") as f:
        flags = next(line.split()[1] for line in f if line.startswith("flags:"))
    return int(flags, 8) & os.O_ACCMODE


def test_the_terminal_is_the_parents_alone(stand):
    """Ctrl-C there ends the role in order; nobody who reads strangers' octets reads there, too."""
    stand.stop("edge")
    pid, terminal = pty.fork()
    if pid == 0:
        try:
            os.execv(posthouse(), ["posthouse", "edge", "-c", stand.conf("edge")])
        finally:
            os._exit(127)
    said, ended = bytearray(), []
    try:
        os.set_blocking(terminal, False)

        def has_ended():
            try:
                said.extend(os.read(terminal, 65536))
            except OSError:             # nothing more, or the other end is closed
                pass
            ended.extend(os.waitpid(pid, os.WNOHANG) if not ended else ())
            if ended[:1] == [0]:
                ended.clear()
            return bool(ended)
        until("the edge answers", 30, lambda: not has_ended() and stand.tool(
            "status", "-c", stand.conf("edge"), check=False).returncode == 0)
        assert send_mail(stand.smtp, message()).code == 250
        assert session(pid)[1] != 0
        kids = [p["pid"] for p in stand.status("edge")["processes"]]
        assert len(kids) >= 2
        for kid in kids:
            assert session(kid) == (kid, 0)
            for fd in (0, 1, 2):
                assert may(kid, fd) == (os.O_RDONLY if fd == 0 else os.O_WRONLY)
        os.write(terminal, b"\x03")
        until("the edge has ended", 30, has_ended)
        assert ended == [pid, 0], said.decode()
    finally:
        if not ended:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        os.close(terminal)
    stand.start("edge")
    stand.wait_mails("alice", 1)


def test_names_are_asked_for_until_the_end(make_stand):
    """A role that goes down finishes what is open: its resolver goes after those who ask, and is
    there again for a question that one left behind."""
    stand = make_stand(opt=[*NAMES[:2], "edge.dns.timeout=60s"])
    assert send_mail(stand.smtp, message()).code == 250
    stand.wait_mails("alice", 1)
    stand.killed = True

    def resolver():
        return next((p["pid"] for p in stand.status("edge")["processes"]
                     if p["name"] == "resolver"), 0)
    until("the resolver is there", 20, resolver)
    pid, edge = resolver(), stand.pid("edge")
    with Client(stand.smtp) as c:
        c.hello()
        os.kill(pid, signal.SIGSTOP)
        c.ok("MAIL FROM:<sender@elsewhere.test>")       # who is this?
        os.kill(edge, signal.SIGTERM)
        stand.logged("edge", "role.stopping")
        os.kill(pid, signal.SIGKILL)
        c.ok("RCPT TO:<alice@example.test>")
        c.ok("DATA", 354)
        c.send(message() + b".\r\n")
        assert c.reply().code == 250
    until("the edge has ended", 40, lambda: not running(edge))
    stand.start("edge")
    for mail in stand.wait_mails("alice", 2):
        assert "localhost" in header(mail, "received")


def running(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="latin-1") as f:
            return f.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):     # before it was opened, or after
        return False


def test_status_shows_the_sandbox(stand):
    for role in ("edge", "home"):
        for p in stand.status(role)["processes"]:
            assert p["pid"] > 0 and p["name"]
            assert p["sandbox"], f"{role} {p['name']} says nothing of its sandbox"


def proc_status(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return dict(line.split(":\t", 1) for line in f.read().splitlines() if ":\t" in line)


FOR_FEW = ("libcurl", "libmicrohttpd", "libunbound")


def opened(stand, role):
    """Of the libraries that few need, who has which, by the name of the process."""
    have = {"parent": stand.pid(role)}
    have.update((p["name"], p["pid"]) for p in stand.status(role)["processes"])
    for name, pid in have.items():
        with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
            text = f.read()
        have[name] = {lib for lib in FOR_FEW if lib in text}
    return {name: libs for name, libs in have.items() if libs}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can look into them")
def test_a_library_that_few_need_is_opened_by_these_alone(make_stand):
    """Also where a reload has made them needed: a process that is new opens it, none that runs."""
    stand = make_stand(opt=NAMES)
    assert opened(stand, "edge") == opened(stand, "home") == {}
    for role in ("edge", "home"):
        with open(stand.conf(role), "a", encoding="utf-8") as f:
            f.write('alarms { webhook = "http://127.0.0.1:9/" }\n')
        stand.hup(role)
        until(f"{role} has a herald", 20, lambda r=role: "herald" in opened(stand, r))
        assert opened(stand, role) == {"herald": {"libcurl"}}
    assert send_mail(stand.smtp, message()).code == 250     # from whom?
    until("the resolver is there", 20, lambda: "resolver" in opened(stand, "edge"))
    assert opened(stand, "edge") == {"resolver": {"libunbound"}, "herald": {"libcurl"}}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_root_is_given_up(make_stand, mark):
    """Started by root, working as the configured user: no child keeps root, a
    capability, or the way back."""
    nobody = pwd.getpwnam("nobody").pw_uid
    stand = make_stand(opt=["edge.user=nobody", "home.user=nobody"])
    assert send_mail(stand.smtp, message(subject=mark), tls=True).code == 250
    stand.wait_marked("alice", mark)
    for role in ("edge", "home"):
        for p in stand.status(role)["processes"]:
            s = proc_status(p["pid"])
            assert set(s["Uid"].split()) == {str(nobody)}, (role, p["name"], s["Uid"])
            assert int(s["CapEff"], 16) == 0 and int(s["CapPrm"], 16) == 0
            assert s["NoNewPrivs"] == "1"
            assert s["Groups"].split() in ([], [s["Gid"].split()[0]])
    for process in ("writer", "reception"):
        stand.kill("edge", process)
    until("mail is taken again", 20, lambda: accepted(stand, mark + "2"))
    stand.wait_marked("alice", mark + "2")


def accepted(stand, subject):
    try:
        return send_mail(stand.smtp, message(subject=subject)).code == 250
    except Exception:
        return False


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user first")
def test_home_needs_no_root(make_stand, mark, tmp_path):
    """Home started by an ordinary user, in directories of its own."""
    stand = make_stand()
    stand.stop("home")
    for base, dirs, files in os.walk(stand.env["HOME_STATE"]):
        for name in [base, *(os.path.join(base, n) for n in dirs + files)]:
            shutil.chown(name, "nobody")
    for base, dirs, files in os.walk(stand.env["MAILDIR"]):
        for name in [base, *(os.path.join(base, n) for n in dirs + files)]:
            shutil.chown(name, "nobody")
    binary = os.path.join(stand.dir, "posthouse")       # the tree may lie where nobody else comes
    shutil.copy(posthouse(), binary)
    os.chmod(binary, 0o755)
    with open(stand.conf("home"), encoding="utf-8") as f:
        text = f.read()
    run = os.path.join(stand.dir, "run")
    os.mkdir(run)
    shutil.chown(run, "nobody")
    with open(stand.conf("home"), "w", encoding="utf-8") as f:
        f.write(text.replace(f"{stand.dir}/home.sock", f"{run}/home.sock"))
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    child = subprocess.Popen([binary, "home", "-c", stand.conf("home")], stdin=subprocess.DEVNULL,
                             stderr=open(f"{stand.dir}/home.log", "ab"), user="nobody",
                             group="nogroup", extra_groups=[])
    try:
        stand.wait_marked("alice", mark, seconds=20)
    finally:
        child.terminate()
        assert child.wait(60) == 0


@pytest.mark.parametrize("mask,file,folder", ((0, 0o660, 0o770), (0o022, 0o600, 0o700),
                                              (0o077, 0o600, 0o700)))
def test_the_umask_decides_who_reads_mailboxes_and_nothing_else(make_stand, mark, mask, file,
                                                                folder):
    stand = make_stand()
    stand.stop("home")
    before = os.umask(mask)
    try:
        stand.start("home")
    finally:
        os.umask(before)
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)
    path, = stand.files("alice")
    assert os.stat(path).st_mode & 0o777 == file
    assert os.stat(os.path.dirname(path)).st_mode & 0o777 == folder
    stand.stop("home")          # no file comes or goes
    for base, _, files in os.walk(stand.env["HOME_STATE"]):
        for name in files:
            assert os.stat(os.path.join(base, name)).st_mode & 0o077 == 0, name
