"""A port that nobody has, below those that the kernel gives to outgoing connections."""

import random
import socket


def free_port():
    while True:
        port = random.randrange(12000, 20000)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
