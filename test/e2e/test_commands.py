"""What the command line says to who mistypes, to who reads no further, and where nothing is."""

import json
import os
import socket
import subprocess

import pytest

from kit.smtp import send_mail
from kit.stand import message, posthouse, until

# What nobody can have meant, and what is said to that. E, H: the roles' configurations.
MISUSED = [
    ("queue -c E --older bogus", '--older: "bogus" is no time; write a number with'),
    ("queue -c H --older=", "a value must follow --older"),
    ("queue -c H --older 5", "write a number with"),
    ("queue -c H --size bogus", '--size: "bogus" is no size; write'),
    ("queue -c H --state bogus", "--state is one of held or verdict at an edge, queued"),
    ("queue -c H --state held", "home has no mail of that state: write queued"),
    ("queue -c E --state parked", "write held or verdict"),
    ("queue -c H --json --state held", "write queued"),
    ("queue -c H --class bogus", "--class is one of policy"),
    ("queue -c E --class policy", "known at home"),
    ("queue -c E --from mx1", "known at home"),
    ("queue -c H --of a --of b", "once is enough"),
    ("queue -c H -n 0", "a number above 0"),
    ("queue --control S -c H", "not both"),
    ("queue --control S --edge", "not both"),
    ("queue --edge --home", "not both"),
    ("queue -c", "a value must follow --config"),
    ("queue --bogus", "unknown option --bogus"),
    ("queue x", "one argument too many"),
    ("retry -c H --parked --older bogus", "is no time"),
    ("retry -c H --parked --state held", "home has no mail of that state"),
    ("retry -c E --parked", "nothing is parked at an edge"),
    ("retry -c H --parked --all", "one of them"),
    ("retry -c H bogus", "an ID is as queue shows it"),
    ("retry -c H", "one of them"),
    ("retry -c H --all -n 3", "-n is for queue"),
    ("park -c H 1 bogus", "row, not bogus"),
    ("unpark -c H 1", "--to MAILBOX is missing"),
    ("unpark -c H --to= 1", "a value must follow --to"),
    ("drop -c H --yes bogus", "an ID is as queue shows it"),
    ("drop -c H --yes", "an argument is missing"),
    ("drop -c H --older 1h 1", "unknown option --older"),
    ("show -c H bogus", "an ID is as queue shows it"),
    ("show -c H", "usage: posthouse show ["),
    ("log -c H bogus", "an ID is as queue shows it"),
    ("cat -c H bogus", "an ID is as queue shows it"),
    ("open -c H bogus", "an ID is as queue shows it"),
    ("open --edge 1", "unknown option --edge"),
    ("route -c H alice", "it looks like alice@example.org"),
    ("route -c H alice@example.test --older 1h", "only --from"),
    ("ban -c H bogus", "bogus: not an address or network"),
    ("ban -c H 203.0.113.1/33", "prefix"),
    ("ban -c H 10.0.0.1", "not public"),
    ("ban -c H 203.0.113.1 --for bogus", "--for: "),
    ("ban -c H 203.0.113.1 --for 0s", "write 1s to 36525d"),
    ("ban -c H 203.0.113.1 --by ü", "one word"),
    ("unban -c H --all --by \udcff", "that is no UTF-8: \\xff"),
    ("retry -c H --all --recipient \udcff@example.test", "that is no UTF-8"),
    ("retry -c H --parked --from=\udcc3", "that is no UTF-8"),
    ("unban -c H bogus", "bogus: not an address or network"),
    ("unban -c H", "an address or --all"),
    ("unban -c H --all 203.0.113.1", "one of them"),
    ("pair -c E", "name the home"),
    ("pair -c E Bad new.test", "unlike Bad"),
    ("pair -c E new new..test", "that is no domain: new..test"),
    ("pair -c E new new.test other.test NEW.test.", "it is there twice: NEW.test."),
    ("pair -c H x", "on standard input"),
    ("rotate -c E --age", "an edge has no age key"),
    ("rotate -c E --force", "--force belongs to --finish"),
    ("password -c H", "one USER"),
    ("password -c H a/b", "no name of a mailbox: a/b"),
    ("password -c H --check bogus", "checkpassword or lines"),
    ("bucket -c H bogus", "ls, check or cat"),
    ("bucket -c H cat", "Its id"),
    ("bucket -c H cat bogus", "that ls shows, not bogus"),
    ("config", "edge, home, or --check FILE"),
    ("config bogus", "edge, home, or --check FILE"),
    ("backup -c H", "an argument is missing"),
    ("seal", "-r age1... is missing"),
    ("unseal", "-i KEYFILE is missing"),
    ("bogus", "there is no command bogus"),
]

# What could be meant, and is not so.
FAILED = [
    ("show -c H 77", "no such object here"),
    ("log -c H 77", "of what is gone `posthouse log` tells by the UUID"),
    ("drop -c H --yes 77", "no such object here"),
    ("unpark -c H --to nobody 77", "no such mailbox"),
    ("route -c H alice@example.test --from mx9.test", "no edge of that name"),
    ("pair -c E new example.test", "example.test belongs to home home"),
    ("unpair -c E nobody", "nobody called nobody"),
    ("unpair -c E \udcff", "no UTF-8"),
    ("park -c E 1", "the configuration of edge, and this is for home: name its own with -c FILE"),
    ("bucket -c H ls", "has no bucket"),
    ("status --control /nonexistent/s", "nobody listens there"),
    ("backup", "/etc/posthouse/home.conf: No such file or directory; name one with -c FILE"),
]


def words(stand, line):
    there = {"E": stand.conf("edge"), "H": stand.conf("home"),
             "S": os.path.join(stand.dir, "home.sock")}
    return [there.get(w, w) for w in line.split()]


def test_what_nobody_can_have_meant_is_told_from_what_is_not_so(make_stand):
    stand = make_stand()
    odd = []
    for rows, code in (MISUSED, 2), (FAILED, 1):
        for line, says in rows:
            if line.startswith("backup") and os.path.exists("/etc/posthouse/home.conf"):
                continue
            r = stand.tool(*words(stand, line + (" /x" if line == "backup" else "")), check=False,
                           stdin=subprocess.DEVNULL)
            if r.returncode != code or says not in r.stderr or r.stdout != "" or \
                    (code == 2 and "--help`" not in r.stderr):
                odd.append((line, r.returncode, r.stdout, r.stderr))
    assert not odd, "\n".join(map(str, odd))
    assert stand.status("home")["alarms"] == [] and stand.queue("edge") == []


def test_a_full_disk_is_no_success_and_who_reads_no_further_no_failure_to_tell(make_stand):
    stand = make_stand()
    stand.stop("home")
    for i in range(3):
        assert send_mail(stand.smtp, message(subject=f"{i}")).code == 250
    commands = ["status", "queue", "pairings", "alarm", "show 1", "log 1", "cat 1", "doctor",
                "keygen", "retry --all"]
    lines = [[c, "-c", stand.conf("edge"), *more] for c, *more in map(str.split, commands)]
    lines += [[*line, "--json"] for line in lines if line[0] not in ("cat", "keygen")]
    lines += [["config", "edge"], ["config", "--check", stand.conf("edge")], ["queue", "--help"],
              ["--help"], ["--version"]]
    for line in lines:
        with open("/dev/full", "wb") as full:
            r = subprocess.run([posthouse(), *line], check=False, stdout=full, timeout=60,
                               stderr=subprocess.PIPE, text=True)
        assert r.returncode == 1 and "standard output: No space left" in r.stderr, (line, r)
        r, w = os.pipe()
        os.close(r)
        with os.fdopen(w, "wb") as gone:
            r = subprocess.run([posthouse(), *line], check=False, stdout=gone, timeout=60,
                               stderr=subprocess.PIPE, text=True)
        assert r.returncode == 1 and r.stderr == "", (line, r)


def test_no_home_is_run_for_no_bucket(make_stand):
    stand = make_stand()
    conf = stand.conf("home")
    r = stand.tool("drain", "-c", conf, "--once", check=False)
    assert r.returncode == 1 and "no bucket is configured" in r.stderr, r.stderr
    stand.stop("home")
    r = stand.tool("drain", "-c", conf, "--once", check=False)
    assert r.returncode == 1 and r.stderr == \
        f'posthouse drain: {conf} has no bucket "NAME" {{...}}\n', r.stderr


def test_too_many_at_the_control_socket(make_stand):
    stand = make_stand()
    crowd = [socket.socket(socket.AF_UNIX) for _ in range(16)]
    try:
        for s in crowd:
            s.connect(os.path.join(stand.dir, "edge.sock"))

        def refused():
            r = stand.tool("status", "-c", stand.conf("edge"), check=False)
            return r if r.returncode != 0 else None
        r = until("there is no place more", 10, refused)
        assert "too many control connections" in r.stderr and r.stdout == "", r
    finally:
        for s in crowd:
            s.close()
    until("there is", 10, lambda: stand.tool("status", "-c", stand.conf("edge"),
                                             check=False).returncode == 0)


def test_a_domain_is_one_homes(make_stand):
    """Paired, in the configuration, or in a line that is open: who has it is told."""
    stand = make_stand()
    edge = stand.conf("edge")
    stand.tool("pair", "-c", edge, "new", "new.test")
    stand.tool("pair", "-c", edge, "new", "new.test", "too.test")      # the same home: another line
    with open(edge, "a", encoding="ascii") as f:
        f.write('\nhome "written" { domains = {"written.test"} }\n')
    stand.hup("edge")
    for domain, says in (("EXAMPLE.test", "example.test belongs to home home: unpair"),
                         ("too.test", "too.test is in the pairing line that is open for home new"),
                         ("written.test", "belongs to home written in the configuration")):
        def told(domain=domain, says=says):
            r = stand.tool("pair", "-c", edge, "thief", "thief.test", domain, check=False)
            return r.returncode == 1 and says in r.stderr and r.stdout == ""
        until(says, 10, told)
    lines = json.loads(stand.tool("pairings", "-c", edge, "--json").stdout)["lines"]
    assert [x["name"] for x in lines] == ["new"]


@pytest.mark.parametrize("more", [[], ["--json"]])
def test_the_edge_shows_the_network_that_a_message_came_from(make_stand, more):
    stand = make_stand()
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject="hello")).code == 250
    shown = stand.tool("show", "-c", stand.conf("edge"), "1", *more).stdout
    where = json.loads(shown)["client_network"] if more else \
        next(x for x in shown.splitlines() if x.startswith("client_network"))
    assert where.endswith("127.0.0.0/24"), where
