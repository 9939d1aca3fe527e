"""TCP proxies that stand in the way: one that cuts, one that listens in."""

import asyncio
import re
import socket
import threading


class Wire:
    """A listening proxy in a thread of its own: host:port in `where`."""

    def __init__(self, to, port=0):
        self.to, self.open = to, set()
        self.refuse = False
        self.loop = asyncio.new_event_loop()
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.sock.bind(("127.0.0.1", port))
        self.sock.listen(1024)
        self.where = self.sock.getsockname()
        self.thread = threading.Thread(target=self._main, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(5)
        self.sock.close()

    def _main(self):
        asyncio.set_event_loop(self.loop)
        # Connections are meant to break here.
        self.loop.set_exception_handler(lambda loop, ctx: None)
        self.loop.run_until_complete(asyncio.start_server(self._serve, sock=self.sock,
                                                          limit=1 << 22))
        self.loop.run_forever()
        for w in list(self.open):
            w.transport.abort()
        tasks = asyncio.all_tasks(self.loop)
        for t in tasks:
            t.cancel()
        self.loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
        self.loop.close()

    async def _serve(self, reader, writer):
        up = None
        try:
            if self.refuse:
                return
            far, up = await asyncio.open_connection(*self.to, limit=1 << 22)
            self.open |= {writer, up}
            await self.carry(reader, writer, far, up)
        except OSError:
            pass
        finally:
            for w in (writer, up):
                if w is not None:
                    self.open.discard(w)
                    w.transport.abort()

    async def carry(self, reader, writer, far, up):
        ends = [asyncio.ensure_future(self.pump(reader, up, "up")),
                asyncio.ensure_future(self.pump(far, writer, "down"))]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for e in ends:
            e.cancel()

    async def pump(self, src, dst, way):
        while data := await src.read(65536):
            dst.write(data)
            await dst.drain()


class Cutter(Wire):
    """A line that can be cut: now, or after so many octets more from
    the far side to the near one."""

    def __init__(self, to, port=0):
        self.left = {"up": None, "down": None}
        self.cuts = 0               # of those that were waited for
        super().__init__(to, port)

    async def pump(self, src, dst, way):
        while data := await src.read(65536):
            left = self.left[way]
            if left is not None and len(data) >= left:
                dst.write(data[:left])      # a torn record, sometimes a whole one
                self.left[way] = None
                self.cuts += 1
                await asyncio.sleep(0)
                self._cut()
                return
            if left is not None:
                self.left[way] = left - len(data)
            dst.write(data)
            await dst.drain()

    def _cut(self):
        for w in list(self.open):
            w.transport.abort()

    def cut(self):
        self.loop.call_soon_threadsafe(self._cut)

    def cut_after(self, way, octets):
        self.left[way] = octets


class Far(Wire):
    """A server that is not near: what it says takes this long."""

    def __init__(self, to, seconds):
        self.seconds = seconds
        super().__init__(to)

    async def pump(self, src, dst, way):
        while data := await src.read(65536):
            if way == "down":
                await asyncio.sleep(self.seconds)
            dst.write(data)
            await dst.drain()


class Gate(Wire):
    """While it is shut no word of the server's comes through; what it is told does."""

    shut = False

    async def pump(self, src, dst, way):
        while data := await src.read(65536):
            while way == "down" and self.shut:
                await asyncio.sleep(0.01)
            dst.write(data)
            await dst.drain()


MESSAGE_ID = re.compile(rb"^Message-Id: *(<[^>]*>)", re.M | re.I)


class Recorder(Wire):
    """
    Stands between smtp-source and an edge and notes of each message what its
    sender was told: `told` maps Message-Id to 250, another code, or None when no
    answer came. It knows lock-step SMTP with DATA and nothing more, which is what
    smtp-source speaks.
    """

    def __init__(self, to):
        self.told = {}
        super().__init__(to)

    async def carry(self, reader, writer, far, up):
        while True:
            line = await self.reply(far, writer)            # greeting, or the answer to a command
            if not line:
                return
            command = await reader.readline()
            if not command.endswith(b"\n"):
                return
            up.write(command)
            if command.upper().startswith(b"DATA"):
                if not (await self.reply(far, writer)).startswith(b"354"):
                    continue
                await self.body(reader, far, writer, up)

    async def reply(self, far, writer):
        while True:
            line = await far.readline()
            if line.endswith(b"\n"):
                writer.write(line)
            if not line.endswith(b"\n") or line[3:4] != b"-":
                return line if line.endswith(b"\n") else b""

    async def body(self, reader, far, writer, up):
        octets = b""
        while not octets.endswith(b"\r\n.\r\n"):
            more = await reader.read(65536)
            if not more:
                return
            octets += more
        name = MESSAGE_ID.search(octets).group(1)
        assert name not in self.told, f"smtp-source used {name} twice"
        self.told[name] = None      # from the first octet sent, the edge may have it
        up.write(octets)
        # The reply goes to the sender by the caller's loop; here it is only looked at.
        line = await far.readline()
        if line.endswith(b"\n"):
            self.told[name] = int(line[:3])
            writer.write(line)
            command = await reader.readline()
            if command.endswith(b"\n"):
                up.write(command)


class Slow(Wire):
    """A long line: each octet comes `delay` seconds later, as many at once as are sent."""

    def __init__(self, to, delay, port=0):
        self.delay = delay
        super().__init__(to, port)

    async def pump(self, src, dst, way):
        queue = asyncio.Queue(4096)

        async def late():
            while (item := await queue.get()) is not None:
                at, data = item
                await asyncio.sleep(max(0, at - self.loop.time()))
                dst.write(data)
                await dst.drain()
        out = asyncio.ensure_future(late())
        try:
            while data := await src.read(65536):
                await queue.put((self.loop.time() + self.delay, data))
            await queue.put(None)
            await out
        finally:
            out.cancel()


class Silent(Wire):
    """A line that can go dead without a word: connections stay open and carry nothing any more."""

    def __init__(self, to, port=0):
        self.dead = set()
        super().__init__(to, port)

    def go_dead(self):
        self.dead |= set(self.open)

    async def pump(self, src, dst, way):
        while data := await src.read(65536):
            if dst not in self.dead:
                dst.write(data)
                await dst.drain()
