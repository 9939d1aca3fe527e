"""An edge whose spool is a bucket: 250 when a real S3 server has a message, and home fetches it."""

import asyncio
import glob
import json
import os
import threading
import time

import pytest

from kit.drained import write_key
from kit.lying_s3 import LyingS3, error, page
from kit.passed import Server, answer, connect, header
from kit.ports import free_port
from kit.smtp import Client, Closed
from kit.spooled import drains, spool
from kit.stand import Stand, quickest, until
from kit.wires import Cutter, Gate


@pytest.fixture(name="store")
def made_bucket(ceph):
    return ceph.bucket()


def mail(mark, size=0):
    return (f"From: <a@client.test>\r\nSubject: {mark}\r\n\r\n".encode()
            + (b"z" * 76 + b"\r\n") * (size // 78) + b"the end\r\n")


def say(stand, octets, source="127.0.0.9"):
    """What the sender is told: the last reply."""
    with Client(stand.smtp, source=source, timeout=60) as c:
        c.hello()
        for command in ("MAIL FROM:<a@client.test>", "RCPT TO:<alice@example.test>", "DATA"):
            r = c.cmd(command)
            if r.code >= 400:
                return r
        c.send(octets + b".\r\n")
        return c.reply()


def bucket_of(stand):
    until("the bucket process is there", 10, lambda: stand.status("edge")["buckets"])
    (b,) = stand.status("edge")["buckets"]
    return b


def pids(stand, name):
    """The edge's processes of that kind."""
    found = []
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            with open(path, "rb") as f:
                words = f.read().split(b"\0")
            with open(os.path.dirname(path) + "/stat", encoding="latin-1") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
        except OSError:
            continue
        if parent == stand.pid("edge") and words[-2:-1] == [name.encode()]:
            found.append(int(path.split("/")[2]))
    return found


def test_what_was_accepted_lies_in_the_bucket_and_comes_home_once_with_its_true_client(
        stand, store):
    stand.stop("home")
    spool(stand, store)
    assert say(stand, mail("one")).code == 250
    (name,) = store.keys()
    _, fields, sealed = store.ask("GET", name)
    assert name.startswith("pending/") and name.endswith(".age")
    assert fields["x-amz-meta-posthouse-edge"] == "edge.test"
    assert len(fields["x-amz-meta-posthouse-mac"]) == 64
    opened = stand.age_open(sealed)
    assert b"Subject: one\r\n" in opened and b"ADDR=127.0.0.9 " in opened
    assert os.listdir(stand.env["EDGE_SPOOL"] + "/large") == []
    (waits,) = json.loads(stand.tool("bucket", "ls", "-c", stand.conf("edge"), "--json").stdout)
    assert waits["key"] == name
    id_ = name[len("pending/"):-len(".age")]
    assert stand.tool("bucket", "cat", id_, "-c", stand.conf("edge"), text=False).stdout == sealed
    stand.tool("bucket", "check", "-c", stand.conf("edge"))
    assert bucket_of(stand)["taken"] == 1
    drains(stand, store)
    (got,) = stand.wait_mails("alice", 1)
    assert b"127.0.0.9" in got and b"Return-Path: <a@client.test>" in got
    until("the bucket is empty", 20, lambda: store.keys("pending/") == [])


def test_queue_show_and_cat_reach_into_the_bucket(stand, store):
    stand.stop("home")
    assert say(stand, mail("on the disk")).code == 250
    (here,) = stand.queue("edge")
    spool(stand, store)
    conf = ("-c", stand.conf("edge"))
    assert say(stand, mail("in the bucket", 5000)).code == 250
    store.put("pending/what is this", b"x")
    first, mine, foreign = stand.queue("edge")
    assert first == here and (mine["state"], mine["bucket"]) == ("held", "r2")
    assert foreign["id"] == "what is this" and "no mail of ours" in foreign["reason"]
    assert all(o.keys() >= {"id", "size", "home", "received", "state"} for o in (mine, foreign))
    assert mine["home"] == foreign["home"] == ""
    sealed = store.get(f"pending/{mine['id']}.age")
    assert mine["size"] == len(sealed) > 5000
    table = stand.tool("queue", *conf).stdout
    assert here["id"] in table and mine["id"] in table and "in bucket r2" in table
    assert [o["id"] for o in json.loads(stand.tool("queue", *conf, "--size", "4K", "--json").stdout)
            ] == [mine["id"]]
    assert len(json.loads(stand.tool("queue", *conf, "-n", "2", "--json").stdout)) == 2
    assert stand.tool("queue", *conf, "--state", "verdict").stdout == "Nothing fits.\n"
    r = stand.tool("queue", *conf, "--of", "home", check=False)
    assert r.returncode == 1 and here["id"] in r.stdout and "leave --of out" in r.stderr
    assert stand.cat("edge", mine["id"]) == sealed
    assert b"Subject: on the disk" in stand.age_open(stand.cat("edge", here["id"]))
    known = json.loads(stand.tool("show", mine["id"], *conf, "--json").stdout)
    assert (known["signer"], known["size"], known["bucket"]) == ("edge.test", len(sealed), "r2")
    assert "edge.test" in stand.tool("show", mine["id"], *conf).stdout
    for command in ("cat", "show"):
        r = stand.tool(command, "01890000-0000-7000-8000-000000000000", *conf, check=False)
        assert r.returncode == 1 and "nor does it wait in bucket r2" in r.stderr
    os.remove(os.path.join(stand.dir, "edge.keys"))
    r = stand.tool("queue", *conf, check=False)
    assert r.returncode == 1 and here["id"] in r.stdout and "r2: " in r.stderr


def test_two_edges_and_one_bucket_and_one_home(stand, store, tmp_path):
    with Stand(tmp_path / "second", domain="second.test",
               opt=("edge.hostname=edge2.test",)) as second:
        second.stop("home")
        stand.stop("home")
        line = stand.tool("pair", "-c", second.conf("edge"), "first", "example.test").stdout
        stand.tool("pair", "-c", stand.conf("home"), input=line)
        with open(second.conf("edge"), encoding="utf-8") as f:
            text = f.read()
        with open(second.conf("edge"), "w", encoding="utf-8") as f:
            f.write(text.replace('home = {"home"}', 'home = {"home", "first"}'))
        spool(stand, store)
        spool(second, store)
        for i in range(4):
            assert say((stand, second)[i % 2], mail(f"m{i}-")).code == 250
        assert len(store.keys("pending/")) == 4
        drains(stand, store)
        found = stand.wait_mails("alice", 4)
        assert all(sum(f"Subject: m{i}-".encode() in m for m in found) == 1 for i in range(4))
        until("the bucket is empty", 20, lambda: store.keys("pending/") == [])
        assert second.complaints() == []


def test_while_the_store_is_away_senders_keep_their_mail_and_later_all_is_well_by_itself(
        stand, ceph, store):
    with Cutter(("127.0.0.1", ceph.port)) as wire:
        spool(stand, store, endpoint=f"http://127.0.0.1:{wire.where[1]}", patience="6s")
        until("a look", 10, lambda: bucket_of(stand)["looked_ms"] > 0)
        assert say(stand, mail("before")).code == 250
        wire.refuse = True
        wire.cut()
        began = time.monotonic()
        r = say(stand, mail("meanwhile"))
        assert r.code == 451 and time.monotonic() - began < 30

        def again(_):
            assert say(stand, mail("meanwhile")).code == 451
        assert quickest(3, again) < 5, "nobody waits a second time"
        b = bucket_of(stand)
        assert b["error"] != "" and not b["alarm"]
        wire.refuse = False
        until("mail is taken again", 20, lambda: say(stand, mail("after")).code == 250, 0.5)
        until("status says so", 10, lambda: bucket_of(stand)["error"] == "")
    assert len(store.keys("pending/")) == 2


class Slow(Cutter):
    """What the store says takes a second, and can be cut off meanwhile."""

    async def pump(self, src, dst, way):
        while data := await src.read(65536):
            if way == "down":
                await asyncio.sleep(1)
            dst.write(data)
            await dst.drain()


def test_an_answer_that_is_lost_makes_no_second_copy(stand, ceph, store):
    with Slow(("127.0.0.1", ceph.port)) as wire:
        spool(stand, store, endpoint=f"http://127.0.0.1:{wire.where[1]}", patience="50s")
        until("a look", 10, lambda: bucket_of(stand)["looked_ms"] > 0)
        told = []
        sender = threading.Thread(target=lambda: told.append(say(stand, mail("one")).code))
        sender.start()
        until("the store has it", 10, lambda: len(store.keys("pending/")) == 1)
        wire.cut()
        sender.join(60)
    assert told == [250] and len(store.keys("pending/")) == 1
    assert bucket_of(stand)["taken"] == 1


def test_an_edge_killed_before_it_could_say_250_loses_nothing(stand, ceph, store):
    with Gate(("127.0.0.1", ceph.port)) as gate:
        spool(stand, store, endpoint=f"http://127.0.0.1:{gate.where[1]}")
        until("a look", 10, lambda: bucket_of(stand)["looked_ms"] > 0)
        gate.shut, told = True, []

        def send():
            try:
                told.append(say(stand, mail("again")).code)
            except (Closed, OSError):
                told.append(None)
        sender = threading.Thread(target=send)
        sender.start()
        until("the store has it", 10, lambda: len(store.keys("pending/")) == 1)
        stand.kill("edge")
        gate.shut = False
        sender.join(60)
        assert told == [None]
        stand.start("edge")
        until("the edge listens", 20, lambda: say(stand, mail("again")).code == 250)
    drains(stand, store)
    stand.wait_mails("alice", 2)        # two ids: its sender said it twice
    until("the bucket is empty", 20, lambda: store.keys("pending/") == [])


def test_a_bucket_process_that_dies_is_451_and_the_next_one_goes_on(stand, ceph, store):
    with Gate(("127.0.0.1", ceph.port)) as gate:
        spool(stand, store, endpoint=f"http://127.0.0.1:{gate.where[1]}")
        until("a look", 10, lambda: bucket_of(stand)["looked_ms"] > 0)
        gate.shut, told = True, []
        sender = threading.Thread(target=lambda: told.append(say(stand, mail("first")).code))
        sender.start()
        until("the store has it", 10, lambda: len(store.keys("pending/")) == 1)
        stand.kill("edge", "bucket")
        gate.shut = False
        sender.join(60)
        assert told == [451]
        assert say(stand, mail("second")).code == 250


def peak(stand):
    """The most memory that the bucket process ever had, in KiB."""
    (pid,) = pids(stand, "bucket")
    with open(f"/proc/{pid}/status", encoding="ascii") as f:
        return [int(line.split()[1]) for line in f if line.startswith("VmHWM")][0]


def test_a_large_message_streams(stand, store):
    spool(stand, store)
    assert say(stand, mail("small")).code == 250
    before, octets = peak(stand), mail("large", 30 << 20)
    assert say(stand, octets).code == 250
    assert peak(stand) - before < 6 << 10
    assert os.listdir(stand.env["EDGE_SPOOL"] + "/large") == []
    drains(stand, store)
    (got,) = stand.wait_marked("alice", "Subject: large", seconds=40)
    assert got.replace(b"\r\n", b"\n").endswith(octets.replace(b"\r\n", b"\n")[-(30 << 20):])


def test_wrong_credentials_are_named_at_the_start_and_right_ones_are_taken(stand, store):
    keys = spool(stand, store, secret="NOTTHESECRET")
    until("status names them", 20, lambda: bucket_of(stand)["error"] != "")
    stand.logged("edge", "bucket.trouble bucket=r2")
    b = bucket_of(stand)
    assert b["alarm"]
    assert "NOTTHESECRET" not in stand.log("edge") + b["error"]
    until("an alarm", 10, lambda: any("bucket r2 takes no mail" in a
                                      for a in stand.status("edge")["alarms"]))
    assert say(stand, mail("one")).code == 451
    write_key(stand.dir, "new.keys", f"{store.key}\n{store.secret}")
    os.rename(os.path.join(stand.dir, "new.keys"), keys)
    until("mail is taken", 20, lambda: say(stand, mail("one")).code == 250, 0.5)
    assert not bucket_of(stand)["alarm"] and bucket_of(stand)["error"] == ""


def test_credentials_that_may_only_read_are_named_and_mail_stays_with_its_sender(
        stand, ceph, store):
    ceph.reader("READER", "READERSECRET")
    store.key = "READER"
    spool(stand, store, secret="READERSECRET")
    assert say(stand, mail("one")).code == 451
    b = bucket_of(stand)
    assert b["alarm"] and b["error"] != ""


def test_a_bucket_that_holds_its_quota_takes_no_more(store, tmp_path):
    with Stand(tmp_path / "stand", opt=("edge.limits.size=1M", "edge.hold.quota=3M")) as stand:
        for i in range(3):
            store.put(f"pending/{i}", b"x" * (1 << 20))
        spool(stand, store)
        until("a look", 10, lambda: bucket_of(stand)["octets"] == 3 << 20)
        until("it is said", 5, lambda: say(stand, mail("one")).code == 452)
        assert len(store.keys("pending/")) == 3
        assert stand.complaints() == []


def test_one_network_fills_its_share_and_no_more_until_home_has_taken_some(store, tmp_path):
    with Stand(tmp_path / "stand", opt=("edge.limits.size=1M", "edge.hold.quota=10M",
                                        "edge.hold.share=20")) as stand:
        stand.stop("home")
        spool(stand, store)
        until("a look", 10, lambda: bucket_of(stand)["looked_ms"] > 0)
        big = mail("big", 900 << 10)
        assert [say(stand, big).code for _ in range(3)] == [250, 250, 452]
        assert say(stand, big, source="127.0.9.9").code == 250     # another network
        assert len(store.keys("pending/")) == 3
        stand.logged("edge", r"share: network 127\.0\.0\.0/24 has ")
        drains(stand, store)
        stand.wait_mails("alice", 3)
        until("there is room again", 20, lambda: say(stand, big).code == 250, 0.5)
        assert stand.complaints() == []


def test_one_message_is_taken_where_a_networks_share_is_less(store, tmp_path):
    with Stand(tmp_path / "stand", opt=("edge.limits.size=1M", "edge.hold.quota=10M",
                                        "edge.hold.share=5")) as stand:
        stand.stop("home")
        spool(stand, store)
        until("a look", 10, lambda: bucket_of(stand)["looked_ms"] > 0)
        assert [say(stand, mail(i, 900 << 10)).code for i in ("one", "two")] == [250, 452]
        assert stand.complaints() == []


# --- a store that says anything ------------------------------------------------------------------

class Store:
    """Takes what it is given, honestly, but for the first requests for an object: each has
    (whether a PUT happens, the answer).  listing: what it says of what it has."""

    def __init__(self, *faults, listing=None):
        self.faults, self.has = list(faults), {}
        self.listing = listing or (200, {}, page())

    def says(self, line, body):
        method, path = line.split()
        if "?" in path:
            return self.listing
        takes, lie = self.faults.pop(0) if self.faults else (True, None)
        there = path in self.has
        if method == "PUT" and takes and not there:
            meta = {k: v for k, v in self.liar.fields.items() if k.startswith("x-amz-meta-")}
            self.has[path] = body, {"ETag": '"e"', **meta}
        if lie is not None:
            return lie
        if method == "PUT":
            return (412, {}, "") if there else (200, {"ETag": '"e"'}, "")
        return (200, self.has[path][1], self.has[path][0]) if there else (404, {}, "")


def lying(store):
    store.liar = LyingS3(store.says)
    store.liar.name, store.liar.key, store.liar.secret = "mail", "KEY", "SECRET"
    return store.liar


@pytest.mark.parametrize("faults, code, kept, alarm", [
    ([(True, (200, {"ETag": '"e"', "Content-Length": "7"}, "cut"))], 250, 1, ""),
    ([(True, (500, {}, "")), (True, (503, {"Retry-After": "1"}, ""))], 250, 1, ""),
    ([(False, (503, {"Retry-After": "1"}, error("SlowDown"))),
      (False, (500, {}, error("InternalError")))], 250, 1, ""),
    ([(False, (200, {}, "<html>log in here</html>"))], 250, 1, ""),
    ([(False, (403, {}, error("AccessDenied")))], 451, 0, "may not do that"),
    ([(False, (403, {}, error("QuotaExceeded")))], 452, 0, "QuotaExceeded"),
    ([(False, (404, {}, error("NoSuchBucket")))], 451, 0, "there is no bucket"),
    ([(False, (501, {}, error("NotImplemented")))], 451, 0, "NotImplemented"),
    ([(False, (500, {}, ""))] * 9, 451, 0, ""),
], ids=["cut", "taken-500-503", "503-500", "portal", "403", "quota", "no-bucket", "no-condition",
        "away"])
def test_250_is_said_of_nothing_that_the_store_does_not_have(stand, faults, code, kept, alarm):
    """The last of them fails for longer than anybody waits."""
    store = Store(*faults)
    with lying(store) as liar:
        stand.stop("home")
        spool(stand, liar, patience="50s" if code == 250 else "4s")
        until("a look", 10, lambda: bucket_of(stand)["looked_ms"] > 0)
        reply = say(stand, mail("one"))
        assert reply.code == code and len(store.has) == kept
        assert alarm in bucket_of(stand)["error"]
        for sealed, _ in store.has.values():
            assert b"Subject: one" in stand.age_open(sealed)


@pytest.mark.parametrize("listing, words", [
    ((501, {}, error("NotImplemented")), "NotImplemented"),
    ((200, {}, "<html>what?</html>"), "not what was asked for"),
    ((503, {"Retry-After": "3600"}, error("SlowDown")), "SlowDown"),
], ids=["cannot", "no-list", "slow-down"])
def test_a_store_that_does_not_tell_what_it_has_takes_mail_all_the_same(tmp_path, listing, words):
    store = Store(listing=listing)
    with lying(store) as liar, Stand(tmp_path / "stand", opt=(
            "edge.alarms.unreachable=1s", "edge.alarms.every=1s")) as stand:
        stand.stop("home")
        spool(stand, liar)
        until("a look", 10, lambda: bucket_of(stand)["looks"] > 0)
        assert say(stand, mail("one")).code == 250
        b = bucket_of(stand)
        assert words in b["error"] and not b["alarm"]
        stand.logged("edge", r"bucket\.trouble")
        assert stand.log("edge").count("bucket.trouble") == 1
        for what in ("r2 is in trouble: ", "its mail goes into the bucket"):
            until(what, 10, lambda w=what: any(w in a for a in stand.status("edge")["alarms"]))
        assert stand.complaints() == []


def test_what_cannot_be_counted_does_not_fill_a_quota_for_ever(tmp_path):
    """Credentials that may only write, and home empties the bucket as it should."""
    store = Store(listing=(403, {}, error("AccessDenied")))
    with lying(store) as liar, Stand(tmp_path / "stand", opt=(
            "edge.limits.size=1M", "edge.hold.quota=3M")) as stand:
        stand.stop("home")
        spool(stand, liar)
        big = mail("big", 900 << 10)
        assert [say(stand, big).code for _ in range(3)] == [250] * 3
        until("it takes more", 20, lambda: say(stand, big).code == 250, 1)
        assert bucket_of(stand)["error"] == "" and stand.complaints() == []


def test_what_is_no_mail_counts_for_the_quota_and_not_as_waiting(stand):
    store = Store(listing=(200, {}, page(
        "pending/", "pending/01890000-0000-7000-8000-000000000000.age", "pending/readme.txt")))
    with lying(store) as liar:
        spool(stand, liar)
        until("a look", 10, lambda: bucket_of(stand)["looked_ms"] > 0)
        b = bucket_of(stand)
        assert (b["waiting"], b["octets"]) == (1, 15)


def test_a_reload_is_told_to_reception_too(make_stand):
    """Which stops a large message on its way, before the bucket process hears of it."""
    stand = make_stand(opt=["edge.hold.reserve=1M"])
    with lying(Store()) as liar:
        stand.stop("home")
        spool(stand, liar)
        large = mail("large", 2 << 20)
        assert say(stand, large).code == 250
        for old, new, code in (("1M", "1024T", 452), ("1024T", "1M", 250)):
            stand.change("edge", f"reserve = {old}", f"reserve = {new}")
            stand.hup("edge")
            until(f"{code} with {new}", 10, lambda code=code: say(stand, large).code == code, 0.1)
            assert say(stand, mail("small")).code == 250


# --- with other services, and the rest of the configuration --------------------------------------

def test_an_auto_service_passes_while_home_is_there_and_else_the_bucket_holds(store, tmp_path):
    server, port = Server(answer(b"* hello\r\n")), free_port()
    with Stand(tmp_path / "stand", opt=[
            f'edge.service.mx.listen={{"127.0.0.1:{port}"}}', "edge.service.mx.mode=auto",
            'edge.service.mx.proxy_from={"127.0.0.1"}', "edge.service.mx.home={home}",
            f"home.service.mx.backend={server.where}"]) as stand:
        spool(stand, store)

        def greeting():
            s = connect(("127.0.0.1", port), header(client="8.8.4.4", to_port=2600))
            try:
                return s, s.recv(100)
            except ConnectionResetError:
                return s, b""
        until("it is passed", 20, lambda: greeting()[1] == b"* hello\r\n", 0.2)
        assert store.keys() == []
        stand.stop("home")
        s, said = greeting()
        assert said.startswith(b"220 edge.test ")
        s.sendall(b"EHLO c\r\nMAIL FROM:<a@client.test>\r\nRCPT TO:<alice@example.test>\r\n")
        s.sendall(b"DATA\r\nSubject: held\r\n\r\nhello\r\n.\r\nQUIT\r\n")
        s.settimeout(60)
        heard = b""
        while got := s.recv(1000):
            heard += got
        assert b"250 2.0.0 Accepted" in heard and len(store.keys("pending/")) == 1
        drains(stand, store)
        (got,) = stand.wait_marked("alice", "Subject: held")
        assert b"8.8.4.4" in got
        until("it is passed again", 20, lambda: greeting()[1] == b"* hello\r\n", 0.2)
        assert stand.complaints() == []
    server.close()


def test_what_home_knows_of_its_recipients_is_still_said_at_rcpt(stand, store):
    """By the tunnel, which an edge with such a spool has all the same."""
    spool(stand, store)
    stand.wait_policy()
    with Client(stand.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<a@client.test>")
        assert c.cmd("RCPT TO:<nobody@example.test>").code == 550
    assert store.keys() == []
