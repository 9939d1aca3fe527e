"""Senders as the internet has them: many at once, slow, each trying again until it is told 250."""

import asyncio
import math
import random
import threading
from dataclasses import dataclass

from kit.passed import header

SIZES = 300, 300, 3000, 30000, 300000
PIECES = 8                  # a body comes in so many, with a pause before each
PAUSE_S = 0.1
PATIENCE_S = 120
CLIENTS = "8.8.4.4", "8.8.8.8", "1.1.1.1", "9.9.9.9"


@dataclass
class Attempt:
    """One session's message, under a name of its own."""
    name: str
    number: int             # of the message
    size: int
    banner: str = ""
    code: int = None        # of the answer to its end; None: nobody said one
    sent: bool = False      # its last octet: from there on it may be there without a 250
    end: str = ""           # how the session ended: "quit", "closed", "reset", "late"


class Senders:
    """
    Sessions with one message each to `where`, behind a balancer's PROXY header, `most` at once.
    What was asked for with more() is sent; `attempts` has all that was tried.
    """

    def __init__(self, where, seed, most=60):
        self.where, self.rng, self.most = where, random.Random(seed), most
        self.attempts, self.done, self.asked = [], 0, 0
        self.in_body = 0            # transfers that are in their middle
        self.held_from = math.inf   # from this message on, who is in his middle stays there
        self.loop = asyncio.new_event_loop()
        self.gate = asyncio.Semaphore(most)
        self.thread = threading.Thread(target=self.main, daemon=True)
        self.thread.start()

    def main(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()
        left = asyncio.all_tasks(self.loop)
        for task in left:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        self.loop.close()

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)

    def more(self, n):
        for i in range(self.asked, self.asked + n):
            asyncio.run_coroutine_threadsafe(self.message(i, random.Random(self.rng.random())),
                                             self.loop)
        self.asked += n

    async def message(self, i, rng):
        async with self.gate:
            for n in range(1000):
                a = Attempt(f"m{i}.{n}", i, rng.choice(SIZES))
                self.attempts.append(a)
                try:
                    await self.attempt(a, rng)
                except asyncio.TimeoutError:
                    a.end = "late"
                except asyncio.IncompleteReadError:
                    a.end = "closed"
                except OSError:
                    a.end = "reset"
                if a.code == 250:
                    break
                await asyncio.sleep(rng.uniform(0.2, 1))
            self.done += 1

    async def attempt(self, a, rng):
        reader, writer = await asyncio.open_connection(*self.where)
        try:
            writer.write(header(rng.choice(CLIENTS), rng.randrange(1024, 65536), to_port=25))
            a.banner = await reply(reader)
            for words in ("EHLO client.test", "MAIL FROM:<s@client.test>",
                          "RCPT TO:<alice@example.test>", "DATA"):
                writer.write(words.encode() + b"\r\n")
                if (await reply(reader))[0] not in "23":
                    return
            self.in_body += 1
            try:
                await self.body(a, rng, writer)
            finally:
                self.in_body -= 1
            a.sent = True
            writer.write(b".\r\n")
            a.code = int((await reply(reader))[:3])
            writer.write(b"QUIT\r\n")
            await reply(reader)
            a.end = "quit"
        finally:
            writer.transport.abort()

    async def body(self, a, rng, writer):
        octets = body(a)
        size = len(octets) // PIECES + 1
        for at in range(0, len(octets), size):
            await asyncio.sleep(rng.uniform(0, 2 * PAUSE_S))
            while at > 0 and a.number >= self.held_from:
                await asyncio.sleep(PAUSE_S)
            writer.write(octets[at:at + size])
            await asyncio.wait_for(writer.drain(), PATIENCE_S)


async def reply(reader):
    while True:
        line = await asyncio.wait_for(reader.readuntil(b"\r\n"), PATIENCE_S)
        if line[3:4] != b"-":
            return line.decode("latin-1")


def body(a):
    line = b"z" * 76 + b"\r\n"
    return (f"From: <s@client.test>\r\nMessage-Id: <{a.name}@senders.test>\r\n\r\n".encode() +
            line * (a.size // len(line)) + f"the end of {a.name}\r\n".encode())
