"""A network of the test's own: what it starts inside sees the addresses it needs, no other."""

import contextlib
import ctypes
import os
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
