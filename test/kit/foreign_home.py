"""A home that is none of ours: doc/TUNNEL on Python's h2 and ssl. It says what it is told to."""

import contextlib
import hashlib
import json
import os
import socket
import ssl
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from kit.stand import until

POLICY, BANS = "/policy", "/policy/bans"
TYPES = {POLICY: "application/json", BANS: "application/json-seq"}


class ForeignHome:
    """Takes the place of a stand's home, with its key in `state`; that one must be down."""

    def __init__(self, stand, state, policy, order=None, *, answer=([(":status", "503")], b""),
                 spoil=None):
        self.order = order                      # posthouse-order of what it says from now on
        self.kept = {POLICY: json.dumps(policy).encode(), BANS: b""}
        self.polls = {POLICY: [], BANS: []}     # streams that wait for the next one
        self.gets = {POLICY: 0, BANS: 0}        # how often it was asked for
        self.asked = []                         # all else: (method, path or authority)
        self.answer = answer                    # to that: headers, body
        self.spoil = spoil      # octets to say in the middle of it, by the stream that waits
        self.lock = threading.Lock()
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        tls.minimum_version = ssl.TLSVersion.TLSv1_3
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        tls.load_cert_chain(os.path.join(state, "tunnel.pem"))
        tls.set_alpn_protocols(["posthouse/1"])
        host, port = stand.env["TUNNEL"].rsplit(":", 1)
        self.sock = tls.wrap_socket(socket.create_connection((host, int(port)), 20))
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=False, header_encoding="ascii", validate_inbound_headers=False,
            validate_outbound_headers=False))
        self.conn.initiate_connection()
        self.flush()
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()
        until("the edge has asked for all of it", 20, lambda: all(self.polls.values()))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        with contextlib.suppress(OSError):      # the edge was first
            self.sock.shutdown(socket.SHUT_RDWR)
        self.thread.join(20)    # before another socket has its number
        self.sock.close()

    def flush(self):
        self.sock.sendall(self.conn.data_to_send())

    def serve(self):
        try:
            self.sock.settimeout(None)
            while octets := self.sock.recv(1 << 16):
                with self.lock:
                    for event in self.conn.receive_data(octets):
                        if isinstance(event, h2.events.RequestReceived):
                            self.request(event.stream_id, dict(event.headers))
                    self.flush()
                if self.spoil and all(self.polls.values()):
                    self.sock.sendall(self.spoil(self.polls[POLICY][0]))
                    self.spoil = None
        except (OSError, ValueError, h2.exceptions.H2Error):
            pass

    def request(self, stream, head):
        path = head.get(":path")
        if head[":method"] == "GET" and path in self.kept:
            self.gets[path] += 1
            # The edge has it: it asks for the next one, which it is told when there is one.
            if head.get("if-none-match") == self.etag(path):
                self.polls[path].append(stream)
            else:
                self.tell(stream, path)
            return
        self.asked.append((head[":method"], path or head[":authority"]))
        headers, body = self.answer
        self.conn.send_headers(stream, headers, end_stream=not body)
        if body:
            self.conn.send_data(stream, body, end_stream=True)

    def etag(self, path):
        return f'"{hashlib.sha256(self.kept[path]).hexdigest()[:32]}"'

    def tell(self, stream, path):
        order = [("posthouse-order", self.order)] if self.order else []
        self.conn.send_headers(stream, [
            (":status", "200"), ("content-type", TYPES[path]), ("etag", self.etag(path)),
            ("posthouse-ledger", "1.1"), *order])
        self.conn.send_data(stream, self.kept[path], end_stream=True)

    def keep(self, path, octets):
        with self.lock:
            self.kept[path] = octets
            polls, self.polls[path] = self.polls[path], []
            for stream in polls:
                self.tell(stream, path)
            self.flush()

    def say(self, policy, order=None):
        """Another policy from now on, told at once."""
        self.order = order
        self.keep(POLICY, json.dumps(policy).encode())

    def ban(self, *nets):
        self.keep(BANS, b"".join(b'\x1e{"net":"%s"}\n' % net.encode() for net in nets))
