"""A port that nobody has, below those that the kernel gives to outgoing connections."""

import fcntl
import os
import random
import socket

FIRST, LAST = 12000, 31999
NEXT = f"/dev/shm/posthouse-test-ports-{os.getuid()}"     # in memory: it need not outlive a boot


def free_port():
    """
    In turn, for all test programs of this account together: between here and the server that will
    listen, and while that server is away, no other test is given the same.
    """
    with open(os.open(NEXT, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600), "r+",
              encoding="ascii") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        port = int(f.read() or random.randint(FIRST, LAST))
        while True:
            port = port + 1 if port < LAST else FIRST
            with socket.socket() as s:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    s.bind(("127.0.0.1", port))
                except OSError:
                    continue
            f.seek(0)
            f.write(f"{port:5d}")
            return port
