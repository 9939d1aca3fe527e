"""The tunnel inside a WireGuard network, as people have one between a VPS and home already."""

import contextlib
import os
import random
import shutil
import socket
import subprocess

import pytest

from kit.netns import FAR, NEAR, internet
from kit.passed import Server, connect, echo, header, read_all
from kit.ports import free_port
from kit.smtp import send_mail
from kit.stand import message, until

EDGE, HOME = "10.78.0.1", "10.78.0.2"       # inside WireGuard
PORT = 51820


def why_not():
    if os.geteuid() != 0:
        return "only root can make a network namespace"
    if not os.path.exists("/dev/net/tun"):
        return "no /dev/net/tun here"
    if shutil.which("wireguard-go") is None or shutil.which("wg") is None:
        return "wireguard-go or wg is not here: tools/need test"
    return None


pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def run(*words, **kw):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60,
                          **kw).stdout


class Guard:
    """One end: wireguard-go with an interface, in the namespace of whoever made it."""

    def __init__(self, dir_, address):
        self.name, self.address = f"ph{random.randrange(1 << 32):08x}", address
        self.key = os.path.join(dir_, self.name)
        with open(self.key, "w", encoding="ascii") as f:
            f.write(run("wg", "genkey"))
        with open(self.key, encoding="ascii") as f:
            self.public = run("wg", "pubkey", input=f.read()).strip()
        self.child = subprocess.Popen(["wireguard-go", "-f", self.name], stdin=subprocess.DEVNULL,
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until("wireguard-go is there", 10, lambda: subprocess.run(
            ["wg", "show", self.name], check=False, capture_output=True).returncode == 0, 0.05)

    def join(self, other, endpoint):
        run("wg", "set", self.name, "listen-port", str(PORT), "private-key", self.key,
            "peer", other.public, "allowed-ips", f"{other.address}/32",
            "endpoint", f"{endpoint}:{PORT}")
        run("ip", "addr", "add", f"{self.address}/24", "dev", self.name)
        run("ip", "link", "set", self.name, "up")

    def carried(self):
        """Octets received and sent."""
        return [int(n) for n in run("wg", "show", self.name, "transfer").split()[1:]]

    def close(self):
        self.child.terminate()
        self.child.wait(60)


@pytest.fixture(name="world")
def world_fixture(tmp_path):
    """Edge's end is here, home's beyond."""
    with internet() as beyond, contextlib.ExitStack() as ends:
        beyond.here_end = here = Guard(tmp_path, EDGE)
        ends.callback(here.close)
        with beyond.inside():
            there = Guard(tmp_path, HOME)
            ends.callback(there.close)
            there.join(here, NEAR[0])
        here.join(there, FAR[0])
        yield beyond


def test_the_tunnel_runs_inside_wireguard(world, make_stand, mark):
    port, public = free_port(), free_port()
    with world.inside():
        server = Server(echo)
    stand = make_stand(opt=[f'edge.tunnel.listen={{"{EDGE}:{port}"}}',
                            f"edge.tunnel.address={EDGE}:{port}",
                            f'edge.service.echo.listen={{"127.0.0.1:{public}"}}',
                            'edge.service.echo.proxy_from={"127.0.0.1"}',
                            f"home.service.echo.backend={server.where}"])
    stand.stop("home")
    assert send_mail(stand.smtp, message(subject=f"{mark}-held")).code == 250
    line = stand.tool("pair", "-c", stand.conf("edge"), "home", "example.test").stdout
    with world.inside():
        stand.tool("pair", "-c", stand.conf("home"), input=line)
        stand.start("home")
    until("the edge has home, by WireGuard", 10,
          lambda: stand.status("edge")["peers"][0]["address"].startswith(f"{HOME}:"))
    stand.wait_marked("alice", f"{mark}-held")

    before = sum(world.here_end.carried())
    large = "x" * 75 + "\r\n"
    assert send_mail(stand.smtp, message(subject=f"{mark}-large", body=large * 20000)).code == 250
    stand.wait_marked("alice", f"{mark}-large")

    def passed(octets):
        try:
            with connect(("127.0.0.1", public), header("8.8.4.4")) as s:
                s.sendall(octets)
                s.shutdown(socket.SHUT_WR)
                return read_all(s) == octets
        except OSError:
            return False
    until("the service is passed", 20, lambda: passed(b"up?"), 0.1)
    assert passed(os.urandom(200000))
    assert {who for who, _ in server.clients} == {"8.8.4.4"}
    carried = sum(world.here_end.carried()) - before
    assert carried > 1500000 + 2 * 200000, "all of it went by WireGuard"
    server.close()
