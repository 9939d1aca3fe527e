"""Keys, pairing and configuration change, and processes die over it, while mail comes in: every
message that was told 250 is there, once."""

import threading
import time

import pytest

from kit.smtp import send_mail
from kit.stand import header, message, until


class Senders:
    """Three, each with a name of its own for every attempt."""

    def __init__(self, stand, mark):
        self.stand, self.mark, self.told = stand, mark, {}
        self.stopping = threading.Event()
        self.threads = [threading.Thread(target=self.work, args=(k,)) for k in range(3)]

    def work(self, k):
        n = 0
        while not self.stopping.is_set():
            name, n = f"{self.mark}-{k}-{n}-", n + 1
            octets = message(name, ("y" * 76 + "\r\n") * (2000 if n % 10 == 0 else 1))
            try:
                self.told[name] = send_mail(self.stand.smtp, octets).code
            except Exception:       # cut in the middle: not known
                self.told[name] = None
                time.sleep(0.02)

    @property
    def taken(self):
        return [name for name, code in list(self.told.items()) if code == 250]

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, kind, value, tb):
        self.stopping.set()
        for t in self.threads:
            t.join()


def rotate(stand, role):
    stand.tool("rotate", "-c", stand.conf(role))
    stand.hup(role)
    yield
    until("the other side knows the new keys", 30, lambda: stand.tool(
        "rotate", "-c", stand.conf(role), "--finish", check=False).returncode == 0)
    stand.hup(role)


def pair(stand, role):
    line = stand.tool("pair", "-c", stand.conf("edge"), "home", stand.domain).stdout
    yield
    until("home is paired anew", 30, lambda: stand.tool(
        "pair", "-c", stand.conf("home"), input=line, check=False).returncode == 0)


def reload(stand, role):
    for size in ("16K", "256K"):
        stand.change(role, 'log = "info"', f'log = "info"\nhold {{ threshold = {size} }}')
        stand.hup(role)
        yield
        stand.change(role, f"\nhold {{ threshold = {size} }}", "")
    stand.hup(role)


def back_up(stand, role):
    for i in range(2):
        stand.tool("backup", "-c", stand.conf(role), f"{stand.dir}/backup-{i}")
        yield


def kill(stand, role, process):
    def dies():
        try:
            stand.kill(role, process)
            return True
        except RuntimeError:        # not back yet from the last time
            return False
    until(f"{process} is there, and killed", 30, dies)


@pytest.mark.parametrize("verdict", [0, 2])
def test_none_is_lost_and_none_comes_twice(make_stand, mark, verdict):
    stand = make_stand(verdict=verdict)
    changes = [(rotate, "home", "courier"), (pair, "home", "tunnel"), (rotate, "edge", "reception"),
               (reload, "home", "writer"), (back_up, "home", "courier"), (pair, "home", "courier")]
    with Senders(stand, mark) as senders:
        for change, role, process in changes:
            for _ in change(stand, role):
                kill(stand, role, process)
            until("mail is taken", 30,
                  lambda n=len(senders.taken): len(senders.taken) > n + len(senders.threads))
    stand.edge_empty(60)
    stand.home_settled(seconds=60)
    there = [header(m, "subject") for m in stand.mails("alice")]
    assert set(senders.taken) - set(there) == set()
    assert len(there) == len(set(there))
    assert not [n for n, code in senders.told.items() if code and code >= 400 and n in there]
