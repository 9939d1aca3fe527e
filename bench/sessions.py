"""A short SMTP session through a passer: its two ends, the clock, and on which processors who runs."""

import contextlib
import multiprocessing
import os
import random
import socket
import sys
import threading
import time

from common import descendants, median
from passers import speaker

# What is said in a short SMTP session, and what is answered. The backend does not say 220:
# a server that does is a mail server, and opens only once the interlock has cleared it. The
# words and round trips are those of any.
SESSION = [(b"EHLO client.test\r\n", b"250-mx.bench.test\r\n250-SIZE 10240000\r\n250-8BITMIME\r\n250 PIPELINING\r\n"),
           (b"MAIL FROM:<s@sender.test>\r\n", b"250 2.1.0 Ok\r\n"),
           (b"RCPT TO:<user@bench.test>\r\n", b"250 2.1.5 Ok\r\n"),
           (b"DATA\r\n", b"354 End data with <CR><LF>.<CR><LF>\r\n"),
           (b"Subject: hello\r\n\r\n" + b"hello, world\r\n" * 20 + b".\r\n", b"250 2.0.0 Ok\r\n"),
           (b"QUIT\r\n", b"221 2.0.0 Bye\r\n")]
BANNER = b"200 mx.bench.test\r\n"


class Talker:
    """Stands for smtp-sink, in a process of its own: answers each command at once, and stores nothing."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.sock.getsockname()[1]
        self.child = multiprocessing.get_context("fork").Process(target=self.serve, daemon=True)
        self.child.start()
        self.pid = self.child.pid

    def serve(self):
        for _ in range(3):      # home's own look at it must keep no client waiting
            threading.Thread(target=self.run, daemon=True).start()
        self.run()

    def run(self):
        while True:
            s, _ = self.sock.accept()
            with s, contextlib.suppress(OSError):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.talk(s)

    @staticmethod
    def talk(s):
        s.sendall(BANNER)
        for says, answer in SESSION:
            n = len(says)
            while n > 0:
                got = s.recv(n)
                if not got:
                    return
                n -= len(got)
            s.sendall(answer)

    def close(self):
        self.sock.close()
        self.child.terminate()
        self.child.join(10)


def session(port):
    """Microseconds from before connect to the answer to QUIT."""
    began = time.perf_counter()
    with speaker(port) as s:
        answers = [BANNER, *(a for _, a in SESSION)]
        for says, answer in zip([b"", *(w for w, _ in SESSION)], answers):
            if says:
                s.sendall(says)
            n = len(answer)
            while n > 0:
                got = s.recv(n)
                if not got:
                    sys.exit("pass: a session was cut")
                n -= len(got)
        return (time.perf_counter() - began) * 1e6


def sessions(port, n):
    """The median of so many, one after the other."""
    took = []
    for _ in range(n):
        took.append(session(port))
        time.sleep(random.uniform(0, 0.002))
    return median(took)


def _run_on(pids, cpus):
    for pid in (p for root in pids for p in descendants(root)):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            for thread in os.listdir(f"/proc/{pid}/task"):
                os.sched_setaffinity(int(thread), cpus)


@contextlib.contextmanager
def two_machines(peer, backend):
    """
    Two machines of one processor each, as edge and home are: the client and the edge's side of
    peer have one, home's side and the backend the other. False where there is only one.
    """
    cpus = sorted(os.sched_getaffinity(0))
    edge, home = peer.sides()
    try:
        if len(cpus) > 1:
            _run_on([*home, backend], cpus[1:2])
            _run_on(edge, cpus[:1])
            os.sched_setaffinity(0, cpus[:1])
        yield len(cpus) > 1
    finally:
        os.sched_setaffinity(0, cpus)
        _run_on([*edge, *home, backend], cpus)
