"""Servers behind a home that read the PROXY header in front, and clients that send one."""

import asyncio
import socket
import ssl
import struct
import threading

from kit.ports import free_port

V2 = b"\r\n\r\n\0\r\nQUIT\n"


def header(client="8.8.8.8", port=1234, to="9.9.9.9", to_port=993):
    """PROXY version 1, as a load balancer would send it."""
    return f"PROXY TCP4 {client} {to} {port} {to_port}\r\n".encode()


def connect(where, first=b"", timeout=60):
    s = socket.create_connection(where, timeout)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if first:
        s.sendall(first)
    return s


def read_all(s):
    """Everything up to the end; None where it was a reset."""
    out = bytearray()
    try:
        while got := s.recv(1 << 18):
            out += got
    except ConnectionResetError:
        return None
    return bytes(out)


class Server:
    """A backend in a thread of its own. It notes who its clients were, and does with each
    what `serve(reader, writer)` does."""

    def __init__(self, serve, proxy=True, port=0):
        self.serve, self.proxy, self.port = serve, proxy, port or free_port()
        self.clients = []           # (address, port), in the order of their coming
        self.loop = asyncio.new_event_loop()
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        assert self.ready.wait(60)

    @property
    def where(self):
        return f"127.0.0.1:{self.port}"

    def run(self):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(
            asyncio.start_server(self.client, "127.0.0.1", self.port, backlog=2000, limit=1 << 20))
        self.ready.set()
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    async def client(self, reader, writer):
        try:
            if self.proxy:
                head = await reader.readexactly(16)
                assert head[:12] == V2 and head[12] == 0x21, head
                block = await reader.readexactly(struct.unpack(">H", head[14:])[0])
                family = socket.AF_INET if head[13] == 0x11 else socket.AF_INET6
                n = 4 if family == socket.AF_INET else 16
                port, = struct.unpack(">H", block[2 * n:2 * n + 2])
                who = socket.inet_ntop(family, block[:n])
            else:
                who, port = writer.get_extra_info("peername")[:2]
            if not who.startswith("127."):      # else home's own look at us
                self.clients.append((who, port))
            await self.serve(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    def close(self):
        def end():
            self.server.close()
            self.loop.stop()
        if not self.loop.is_closed():
            self.loop.call_soon_threadsafe(end)
            self.thread.join(10)


async def echo(reader, writer):
    """What comes goes back, to its end."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()


def answer(greeting, then=b""):
    """Speaks first; says `then` at the end of what it hears."""
    async def serve(reader, writer):
        writer.write(greeting)
        while await reader.read(1 << 16):
            pass
        if then:
            writer.write(then)
            await writer.drain()
    return serve


class TlsServer:
    """One that reads the header octet for octet, as what follows belongs to TLS, and says
    what it is to each client."""

    def __init__(self, cert, key, says):
        self.ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ctx.load_cert_chain(cert, key)
        self.says = says
        self.sock = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.where = f"127.0.0.1:{self.sock.getsockname()[1]}"
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            try:
                s, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.client, args=(s,), daemon=True).start()

    def client(self, s):
        with s:
            try:
                s.settimeout(60)
                head = s.recv(16, socket.MSG_WAITALL)
                s.recv(struct.unpack(">H", head[14:])[0], socket.MSG_WAITALL)
                with self.ctx.wrap_socket(s, server_side=True) as tls:
                    tls.sendall(self.says.encode())
            except (OSError, struct.error):
                pass            # home looked whether we are there, or the client went

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()
