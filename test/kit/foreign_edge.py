"""An edge that is none of ours: doc/TUNNEL on Python's h2 and ssl. It may lie."""

import asyncio
import ipaddress
import json
import os
import socket
import ssl
import struct
import threading

import h2.config
import h2.connection
import h2.events
import h2.exceptions

from kit.stand import until

PATIENCE = 60
GOAWAY = 7


def proxy_v1(client, port=4711, to_port=993):
    family = "TCP6" if ":" in client else "TCP4"
    to = "2a02:8071::25" if ":" in client else "198.51.101.25"
    return f"PROXY {family} {client} {to} {port} {to_port}\r\n".encode()


def proxy_v2(client, port=4711, to_port=993):
    a = ipaddress.ip_address(client)
    to = ipaddress.ip_address("2a02:8071::25" if a.version == 6 else "198.51.101.25")
    block = a.packed + to.packed + struct.pack("!HH", port, to_port)
    return (b"\r\n\r\n\0\r\nQUIT\n" + bytes([0x21, 0x21 if a.version == 6 else 0x11]) +
            struct.pack("!H", len(block)) + block)


PROXY_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
PROXY_UNSPEC = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0"


class Stream:
    """One request: what was answered, and for a passed connection the client's end of it."""

    def __init__(self):
        self.status, self.headers, self.body = None, {}, b""
        self.head, self.over = asyncio.Event(), asyncio.Event()
        self.reset = False
        self.room = asyncio.Event()     # the window may have grown
        self.to_client = None           # a writer, once it is open
        self.client = None              # the socket that a test speaks through

    def close(self):
        if self.client is not None:
            self.client.close()


class Tunnel:
    def __init__(self, edge, writer):
        self.edge, self.writer, self.streams = edge, writer, {}
        self.ready = False
        self.conn = h2.connection.H2Connection(h2.config.H2Configuration(
            client_side=True, header_encoding="ascii", validate_outbound_headers=False))

    def flush(self):
        self.writer.write(self.conn.data_to_send())

    async def serve(self, reader):
        self.conn.initiate_connection()
        self.flush()
        try:
            while True:
                head = await reader.readexactly(9)
                frame = head + await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == GOAWAY:       # to h2 4.1 that is the end of all streams
                    continue
                for event in self.conn.receive_data(frame):
                    self.event(event)
                self.flush()
        except asyncio.IncompleteReadError:
            pass
        finally:
            for s in self.streams.values():
                self.end(s, True)

    def end(self, s, reset):
        s.reset |= reset and not s.over.is_set()
        s.head.set()
        s.over.set()
        s.room.set()
        if s.to_client is not None and reset:
            s.to_client.close()
        elif s.to_client is not None:
            s.to_client.write_eof()         # he may still speak

    def event(self, e):
        if isinstance(e, h2.events.RemoteSettingsChanged):
            self.ready = True
        if isinstance(e, h2.events.WindowUpdated):
            for i, s in self.streams.items():
                if e.stream_id in (0, i):
                    s.room.set()
        s = self.streams.get(getattr(e, "stream_id", None))
        if s is None:
            return
        if isinstance(e, h2.events.ResponseReceived):
            s.headers = dict(e.headers)
            s.status = int(s.headers[":status"])
            s.head.set()
        elif isinstance(e, h2.events.DataReceived):
            if s.to_client is not None:
                s.to_client.write(e.data)
            else:
                s.body += e.data
            self.conn.acknowledge_received_data(e.flow_controlled_length, e.stream_id)
        elif isinstance(e, h2.events.StreamEnded):
            self.end(s, False)
        elif isinstance(e, h2.events.StreamReset):
            self.end(s, e.error_code != 0)

    def begin(self, headers, end):
        i = self.conn.get_next_available_stream_id()
        s = self.streams[i] = Stream()
        self.conn.send_headers(i, headers, end_stream=end)
        return i, s

    async def send(self, i, s, data):
        while data and not s.reset:
            n = min(self.conn.local_flow_control_window(i), self.conn.max_outbound_frame_size,
                    len(data))
            if n == 0:
                s.room.clear()
                await s.room.wait()
                continue
            self.conn.send_data(i, data[:n])
            data = data[n:]
            self.flush()

    async def ask(self, headers):
        _, s = self.begin([(":method", "GET"), (":scheme", "https"), (":authority", "home")] +
                          headers, True)
        self.flush()
        await s.over.wait()
        return s

    async def passed(self, authority, first):
        i, s = self.begin([(":method", "CONNECT"), (":authority", authority)], False)
        await self.send(i, s, first)
        self.flush()
        await s.head.wait()
        if s.status != 200:
            await s.over.wait()
            return s
        ours, s.client = socket.socketpair()
        s.client.settimeout(PATIENCE)
        reader, s.to_client = await asyncio.open_connection(sock=ours)
        if s.body:                      # came with the head
            s.to_client.write(s.body)
        asyncio.ensure_future(self.pump(i, s, reader))
        return s

    async def pump(self, i, s, reader):
        lost = False
        try:
            while data := await reader.read(1 << 16):
                await self.send(i, s, data)
        except OSError:                     # he went with something unread
            lost = True
        s.to_client.close()
        try:
            if lost:
                self.conn.reset_stream(i)
            elif not s.reset:
                self.conn.end_stream(i)
            self.flush()
        except h2.exceptions.H2Error:       # the stream is no more
            pass


class ForeignEdge:
    """Takes the place of a stand's edge, with its key; the stand's own must be down."""

    def __init__(self, stand):
        self.tunnels = []
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.minimum_version = ssl.TLSVersion.TLSv1_3
        self.tls.load_cert_chain(os.path.join(stand.env["EDGE_SPOOL"], "tunnel.pem"))
        self.tls.verify_mode = ssl.CERT_REQUIRED
        self.tls.load_verify_locations(os.path.join(stand.env["HOME_STATE"], "tunnel.pem"))
        self.tls.set_alpn_protocols(["posthouse/1"])
        host, port = stand.env["TUNNEL"].rsplit(":", 1)
        self.loop = asyncio.new_event_loop()
        self.where = (host, int(port))
        self.thread = threading.Thread(target=self.main, daemon=True)
        self.thread.start()
        until("home has dialled the foreign edge", PATIENCE,
              lambda: any(t.ready for t in self.tunnels))

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        async def end():
            self.server.close()
            for t in list(self.tunnels):
                t.writer.transport.abort()
            await asyncio.sleep(0.05)       # their tasks end by themselves
            self.loop.stop()
        asyncio.run_coroutine_threadsafe(end(), self.loop)
        self.thread.join(5)

    def main(self):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(
            asyncio.start_server(self.serve, *self.where, ssl=self.tls))
        self.loop.run_forever()

    async def serve(self, reader, writer):
        t = Tunnel(self, writer)
        self.tunnels.append(t)
        try:
            await t.serve(reader)
        except (OSError, h2.exceptions.H2Error):
            pass
        self.tunnels.remove(t)
        writer.close()

    def run(self, make, timeout=PATIENCE):
        """make(tunnel) is awaited in the loop; its value."""
        async def go():
            while not (ready := [t for t in self.tunnels if t.ready]):
                await asyncio.sleep(0.01)       # home dials anew
            return await make(ready[0])
        return asyncio.run_coroutine_threadsafe(go(), self.loop).result(timeout)

    def passed(self, authority, first):
        return self.run(lambda t: t.passed(authority, first))

    def policy(self, etag=None, wait=60):
        """(etag, document): at once, or with an etag when it is another one."""
        headers = [(":path", "/policy")]
        if etag is not None:
            headers += [("if-none-match", etag), ("prefer", f"wait={wait}")]
        s = self.run(lambda t: t.ask(headers), wait + PATIENCE)
        assert s.status == 200, (s.status, s.body)
        return s.headers["etag"], json.loads(s.body)
