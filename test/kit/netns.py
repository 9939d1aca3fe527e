"""Networks of the test's own: what it starts inside sees the addresses it needs, no other."""

import contextlib
import ctypes
import os
import socket
import subprocess

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


def _must(rc):
    if rc != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@contextlib.contextmanager
def netns(*addresses):
    """
    This thread, and whatever it starts, is in a fresh network namespace with loopback and, on an
    interface `home0`, these addresses ("172.17.0.1/16"); it is back in its own at the end.
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _must(_libc.unshare(CLONE_NEWNET))
        try:
            for words in ["link set lo up", "link add home0 type veth peer name home1",
                          "link set home0 up", "link set home1 up",
                          *(f"addr add {a} dev home0{' nodad' if ':' in a else ''}"
                            for a in addresses)]:
                subprocess.run(["ip", *words.split()], check=True)
            yield
        finally:
            _must(_libc.setns(before, CLONE_NEWNET))
    finally:
        os.close(before)


NEAR, FAR = ("10.77.0.1", "fd77::1"), ("10.77.0.2", "fd77::2")


def _ip(*commands):
    for words in commands:
        subprocess.run(["ip", *words.split()], check=True)


class Beyond:
    """
    What lies at the other end of `home0`: strangers with addresses of their own. A socket that
    one of them opens stays his, whoever speaks through it later. Who does not say which of them
    he is, is the first of his family.
    """

    def __init__(self, *addresses):
        self.here = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        _must(_libc.unshare(CLONE_NEWNET))
        try:
            self.there = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            _must(_libc.setns(self.here, CLONE_NEWNET))
        _ip(f"link set home1 netns /proc/{os.getpid()}/fd/{self.there}",
            f"route add default via {FAR[0]}", f"-6 route add default via {FAR[1]}")
        with self.inside():
            _ip("link set lo up", f"addr add {FAR[0]}/30 dev home1",
                f"addr add {FAR[1]}/64 dev home1 nodad", "link set home1 up",
                *(f"addr add {a} dev lo{' nodad' if ':' in a else ''}" for a in addresses),
                f"route add default via {NEAR[0]}", f"-6 route add default via {NEAR[1]}",
                *(f"route replace {NEAR[':' in a]} dev home1 src {a}"
                  for a in reversed(addresses)))

    @contextlib.contextmanager
    def inside(self):
        """What this thread starts meanwhile is out there."""
        _must(_libc.setns(self.there, CLONE_NEWNET))
        try:
            yield
        finally:
            _must(_libc.setns(self.here, CLONE_NEWNET))

    def connect(self, client, port, timeout=60):
        """From this address of a stranger's to that port of ours, in his family."""
        with self.inside():
            return socket.create_connection((NEAR[":" in client], port), timeout, (client, 0))

    def run(self, *words, timeout=180):
        """A program out there; what it returned and said."""
        with self.inside():
            return subprocess.run([str(w) for w in words], check=False, capture_output=True,
                                  text=True, timeout=timeout)

    def close(self):
        os.close(self.here)
        os.close(self.there)


@contextlib.contextmanager
def internet(*addresses):
    """This thread is where NEAR is, on a line to strangers who have these addresses."""
    with netns(f"{NEAR[0]}/30", f"{NEAR[1]}/64"):
        beyond = Beyond(*addresses)
        try:
            yield beyond
        finally:
            beyond.close()
