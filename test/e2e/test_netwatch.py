"""Home behind a line of its own, in a network namespace: the line is back, so is the tunnel."""

import os
import random
import shutil
import subprocess
import time

import pytest

from kit.ports import free_port
from kit.smtp import send_mail
from kit.stand import STAND, message, until

TUNNELS = 8         # as many as an edge takes of one home; each pauses for itself
AWAY_S = 20         # pauses double from half a second: the present one is of 5 s at the least
BACK_S = 3          # all of them by chance: (3/7.5)^8, once in 1,500 runs


def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)


class Line:
    """
    A pair of interfaces: ours at the edge, the other in a namespace that lives as long as
    one sleeping process. 198.18.0.0/15 is for benchmarks (RFC 2544) and nobody's network.
    """

    def __init__(self):
        self.name = f"ph{random.randrange(1 << 32):08x}"
        net = f"198.{random.choice((18, 19))}.{random.randrange(256)}"
        self.edge, self.home = f"{net}.1", f"{net}.2"
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "900"])

    def __enter__(self):
        ours = os.readlink("/proc/self/ns/net")
        until("the namespace is there", 10,
              lambda: os.readlink(f"/proc/{self.holder.pid}/ns/net") != ours)
        run("ip", "link", "add", self.name, "type", "veth", "peer", "name", "line",
            "netns", str(self.holder.pid))
        run("ip", "address", "add", f"{self.edge}/30", "dev", self.name)
        run("ip", "link", "set", self.name, "up")
        self.inside("ip", "address", "add", f"{self.home}/30", "dev", "line")
        self.inside("ip", "link", "set", "line", "up")
        return self

    def __exit__(self, kind, value, tb):
        subprocess.run(["ip", "link", "delete", self.name], check=False, capture_output=True)
        self.holder.kill()
        self.holder.wait()

    def inside(self, *words):
        return run("nsenter", f"--net=/proc/{self.holder.pid}/ns/net", *words)


def may_make_a_line():
    if os.geteuid() != 0:
        return "a network namespace needs root"
    if shutil.which("ip") is None:
        return "ip(8) is not here: tools/need test"
    try:
        with Line():
            return None
    except (subprocess.CalledProcessError, AssertionError, OSError) as e:
        return f"no network namespace here: {getattr(e, 'stderr', None) or e}"


@pytest.fixture
def line():
    why = may_make_a_line()
    if why is not None:
        pytest.skip(why)
    with Line() as made:
        yield made


def test_the_tunnels_are_back_as_soon_as_the_line_is(line, make_stand, mark):
    """Far sooner than the pauses between dials, which an absence has made long."""
    port = free_port()
    stand = make_stand(opt=[f'edge.tunnel.listen={{"{line.edge}:{port}"}}',
                            f"edge.tunnel.address={line.edge}:{port}",
                            f"home.tunnel.connections={TUNNELS}"])

    def tunnels():
        peer, = stand.status("home")["peers"]
        return peer["connections"]

    stand.stop("home")
    line.inside(STAND, "start", "home", stand.dir)
    until("all tunnels are up", 10, lambda: tunnels() == TUNNELS)

    def seconds_to_be_back(n):
        stand.kill("edge")      # which home learns at once; from a dead line only by PING
        until("home knows", 5, lambda: tunnels() == 0)
        line.inside("ip", "link", "set", "line", "down")
        stand.run("start", "edge", stand.dir)
        time.sleep(AWAY_S)
        assert tunnels() == 0
        assert send_mail(stand.smtp, message(subject=f"{mark}-{n}-")).code == 250

        line.inside("ip", "link", "set", "line", "up")
        began = time.monotonic()
        until("all tunnels are back", 60, lambda: tunnels() == TUNNELS)
        took = time.monotonic() - began
        stand.wait_marked("alice", f"{mark}-{n}-")
        return took
    # Once is enough; a machine that stalls just then has another chance.
    assert any(seconds_to_be_back(n) < BACK_S for n in range(3))
