"""The Worker in its real runtime, R2's simulator behind it, and home's drain: a message that waits
there comes home."""

import contextlib
import os
import uuid

import pytest

from kit.cloudflare import Cloudflare
from kit.objects import Signer, seal
from kit.stand import header, until
from kit.worker import EDGE, runtime_missing

pytestmark = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())

TRACE = (b"Received: from mail.far.test (203.0.113.7)\r\n"
         b"        by cloudflare-email.net (cloudflare) id x\r\n"
         b"        for <alice@example.test>; Sat, 21 Nov 2026 10:00:00 +0000\r\n")


@pytest.fixture(scope="module", name="edge")
def running(certs):
    """Nothing is pushed: all goes by the bucket."""
    with contextlib.ExitStack() as stack:
        yield Cloudflare(stack, certs, bucket={}, bindings={"WAYS": "r2",
                                                            "SEAL_MAX": str(25 << 20)})


def mail(mark, more=b""):
    return (TRACE + f"From: <carla@far.test>\r\nSubject: {mark}\r\n\r\n.dot\r\n".encode() + more +
            b"\xffthe last line\r\n")


def marked(edge, mark, user="alice"):
    return [m for m in edge.home.mails(user) if f"Subject: {mark}\n".encode() in m]


def arrives(edge, mark, user="alice"):
    """The message, once it is home and gone from the bucket."""
    until("it is home", 20, lambda: marked(edge, mark, user))
    until("it is gone from the bucket", 20, lambda: edge.store.keys("pending/") == [])
    (got,) = marked(edge, mark, user)
    return got


def test_it_comes_home_with_its_senders_address(edge, mark):
    assert edge.send(mail(mark), from_="carla@Far.Test")["outcome"] == "accept"
    got = arrives(edge, mark)
    assert header(got, "Return-Path") == "<carla@far.test>"
    assert header(got, "Delivered-To") == "alice@example.test"
    assert "203.0.113.7" in header(got, "Received")
    assert got.endswith(mail(mark).replace(b"\r\n", b"\n"))


def test_a_null_sender(edge, mark):
    assert edge.send(mail(mark), from_="")["outcome"] == "accept"
    assert header(arrives(edge, mark), "Return-Path") == "<>"


def test_one_message_to_two_recipients(edge, mark):
    for user in ("alice", "bob"):
        assert edge.send(mail(mark), to=f"{user}@example.test")["outcome"] == "accept"
    for user in ("alice", "bob"):
        assert header(arrives(edge, mark, user), "Delivered-To") == f"{user}@example.test"


def test_a_message_that_the_worker_is_run_for_twice_is_one(edge, mark):
    """While the first waits, and when it is home already."""
    known = edge.home.log().count(" known=1")
    for _ in range(2):
        assert edge.send(mail(mark))["outcome"] == "accept"
    arrives(edge, mark)
    assert edge.send(mail(mark))["outcome"] == "accept"
    until("home knew it", 20, lambda: edge.home.log().count(" known=1") > known)
    arrives(edge, mark)


def test_25_mib(edge, mark):
    line = os.urandom(38).hex().encode() + b"\r\n"
    large = mail(mark, line * (((25 << 20) - 1000) // len(line)))
    assert edge.send(large)["outcome"] == "accept"
    assert arrives(edge, mark).endswith(large.replace(b"\r\n", b"\n"))


def test_what_the_worker_did_not_sign_is_set_aside(edge, mark):
    """Under its name and sealed to this home, but with a stranger's key; and a copy of what it did
    sign, by another name."""
    stranger, id_ = Signer(EDGE), uuid.uuid4()
    sealed = seal(mail(mark), edge.home.recipient)
    edge.home.stop()
    assert edge.send(mail(mark))["outcome"] == "accept"
    (name,) = edge.store.keys("pending/")
    octets, meta = edge.worker.object(name)
    forged = {f"pending/{id_}.age": (sealed, stranger.meta(id_, sealed)),
              f"pending/{uuid.uuid4()}.age": (octets, meta)}
    for key, (body, more) in forged.items():
        edge.store.put(key, body, more)
    edge.home.start()
    until("they are set aside", 20, lambda: edge.bucket()["aside"] == 2)
    until("the other is home", 20, lambda: marked(edge, mark))
    until("the others stay", 20, lambda: edge.store.keys("pending/") == sorted(forged))
    assert len(marked(edge, mark)) == 1
    for key in forged:
        edge.store.delete(key)
    until("nothing is aside", 20, lambda: edge.bucket()["aside"] == 0)


def test_cron_fetches_it(edge, mark):
    edge.home.stop()
    try:
        assert edge.send(mail(mark))["outcome"] == "accept"
        assert edge.home.tool("drain", "--once").stdout == "1 taken\n"
        assert len(marked(edge, mark)) == 1 and edge.store.keys() == []
    finally:
        edge.home.start()


def test_by_push_and_by_the_bucket_it_is_one(certs, mark):
    """Whichever came first: both have its name."""
    with contextlib.ExitStack() as stack:
        edge = Cloudflare(stack, certs, bucket={"keep": "1d"})
        assert edge.send(mail(f"{mark}-1"))["outcome"] == "accept"
        assert len(marked(edge, f"{mark}-1")) == 1 and edge.worker.bucket() == []
        edge.home.stop()
        for n in (1, 2):
            assert edge.send(mail(f"{mark}-{n}"))["outcome"] == "accept"
        assert len(edge.store.keys("pending/")) == 2
        edge.home.start()
        arrives(edge, f"{mark}-2")
        assert edge.send(mail(f"{mark}-2"))["outcome"] == "accept"
        assert edge.worker.bucket() == edge.store.keys("processed/") and \
            len(edge.worker.bucket()) == 2
        assert [len(marked(edge, f"{mark}-{n}")) for n in (1, 2)] == [1, 1]


def test_a_bucket_that_is_asked_with_a_wrong_secret_tells_nothing(edge):
    """What the other tests stand on: that requests are judged as R2 judges them."""
    for key, secret, code in ((edge.store.key, "wrong", b"SignatureDoesNotMatch"),
                              ("nobody", "wrong", b"InvalidAccessKeyId")):
        store = type(edge.store)(edge.store.endpoint, edge.store.name, key, secret)
        status, _, said = store.ask("GET", "", query={"list-type": "2"}, raw=True)
        assert status == 403 and code in said
    assert edge.worker.ask("GET", f"/{edge.store.name}/pending")[0] == 403


def test_a_listing_in_pages_has_each_name_once(edge):
    names = [f"elsewhere/{n:04}" for n in range(7)]
    for name in names:
        edge.store.put(name, b"")
    query = {"list-type": "2", "prefix": "elsewhere/", "max-keys": "3"}
    said = edge.store.ask("GET", "", query=query)[2]
    assert said.count(b"<Key>") == 3 and b"<IsTruncated>true<" in said
    assert edge.store.keys("elsewhere/") == names
    for name in names:
        edge.store.delete(name)
    assert edge.store.ask("GET", names[0], raw=True)[0] == 404
