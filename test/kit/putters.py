"""Writers that put held objects into a bucket, as Workers do, and note what they were told."""

import random
import threading
import time


class Putters:
    """Threads; told: Message-Id -> (250 or None, users), as a sender's session would have it.  Now
    and then one puts the same object again, as a Worker does that is run twice."""

    def __init__(self, home, rng, threads=3):
        self.home, self.told, self.retries = home, {}, 0
        self.lock, self.stopping = threading.Lock(), threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(k, random.Random(rng.random())),
                                         daemon=True)
                        for k in range(threads)]
        for t in self.threads:
            t.start()

    def stop(self):
        self.stopping.set()
        for t in self.threads:
            t.join()

    def work(self, k, rng):
        n, last = 0, None
        while not self.stopping.is_set():
            n += 1
            name = f"<{k}.{n}@put.killloop.test>"
            users = rng.choice([["alice"], ["bob"], ["alice", "bob"]])
            size = rng.choice([200, 200, 3000, 20000, 400000])
            octets = (f"From: <s@client.test>\r\nMessage-Id: {name}\r\n\r\n".encode()
                      + (b"y" * 76 + b"\r\n") * (size // 78 + 1))
            made = self.home.signer.make(self.home.recipient, octets,
                                         rcpts=[f"{u}@example.test" for u in users])
            with self.lock:
                self.told[name] = (None, users)
            self.put(name, users, made)
            if last is not None and rng.random() < 0.1:
                time.sleep(rng.uniform(0, 0.5))
                self.put(*last)
                self.retries += 1
            last = (name, users, made)

    def put(self, name, users, made):
        try:
            self.home.store.put(*made)
        except OSError:
            return
        with self.lock:
            self.told[name] = (250, users)
