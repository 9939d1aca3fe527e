"""As many octets as a passer takes: who sends them, and who counts them at its other end.

Not iperf3, whose server makes its listening socket anew for each test: that is to home
another server, which has proved nothing yet. Nor iperf 2.1, whose server aborts now and then.
"""

import multiprocessing
import queue
import socket
import sys
import threading
import time

from passers import speaker

PIECE = 128 << 10
LOOK = 100_000          # fewer octets are home's, which asks what kind of server this is


class Sink:
    """Takes whatever comes, in a process of its own; of each stream that ended, how much and in how long."""

    def __init__(self):
        context = multiprocessing.get_context("fork")
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port = self.sock.getsockname()[1]
        self.ended = context.Queue()
        self.child = context.Process(target=self.serve, daemon=True)
        self.child.start()

    def serve(self):
        while True:
            s, _ = self.sock.accept()
            threading.Thread(target=self.count, args=(s,), daemon=True).start()

    def count(self, s):
        room, octets, began = bytearray(PIECE), 0, None
        with s:
            try:
                # MSG_TRUNC of TCP: taken, and not copied
                while (n := s.recv_into(room, PIECE, socket.MSG_TRUNC)) > 0:
                    began = began or time.monotonic()
                    octets += n
            except OSError:
                pass
            if octets > LOOK:
                self.ended.put((octets, time.monotonic() - began))

    def close(self):
        self.sock.close()
        self.child.terminate()
        self.child.join(10)


def pour(port, until):
    piece = memoryview(bytes(PIECE))
    with speaker(port) as s:
        while time.monotonic() < until:
            s.sendall(piece)
        s.shutdown(socket.SHUT_WR)
        s.recv(1)               # the other end has all


def bulk(sink, port, streams, seconds):
    """Gbit that came through, and in how many seconds, as the sink has it."""
    until = time.monotonic() + seconds
    threads = [threading.Thread(target=pour, args=(port, until), daemon=True) for _ in range(streams)]
    for t in threads:
        t.start()
    try:
        ends = [sink.ended.get(timeout=seconds + 60) for _ in range(streams)]
    except queue.Empty:
        sys.exit("pass: a stream of octets does not end")
    for t in threads:
        t.join(60)
    return sum(octets for octets, _ in ends) * 8 / 1e9, max(took for _, took in ends)
