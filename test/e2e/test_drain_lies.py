"""Home's drain, and a store that fails, lies, or never comes to an end."""

import time
import uuid

import pytest

from kit.drained import Home
from kit.lying_store import LyingStore, error
from kit.stand import Stand, until


@pytest.fixture(name="stand")
def made_stand(tmp_path):
    with Stand(tmp_path / "stand") as s:
        s.stop("edge")
        yield s
        assert s.complaints() == []


@pytest.fixture(name="store")
def made_store():
    with LyingStore() as s:
        yield s


def mail(mark):
    return f"From: <a@client.test>\r\nSubject: {mark}\r\n\r\n{mark}\r\n".encode()


def test_one_object_that_is_always_cut_stops_no_other(stand, store):
    home = Home(stand, store)
    bad, sealed, meta = home.signer.make(home.recipient, mail("cut"))
    store.lie = lambda method, key, query: 100 if key == bad else None
    store.put(bad, sealed, meta)
    for i in range(5):
        home.put(mail(f"m{i}"))
    stand.wait_mails("alice", 5)
    until("it is named", 10, lambda: bad[len("pending/"):] in home.bucket()["error"])
    until("nothing else waits", 10, lambda: home.waiting() == [bad])
    until("status says so", 10, lambda: home.bucket()["waiting"] == 1)
    time.sleep(3)
    # Twice at once, and then a minute later.
    assert store.asked.count(("GET", bad)) == 2
    store.lie = lambda *_: None
    store.objects[bad] = (*store.objects[bad][:2], time.time() + 5)     # it was put anew
    stand.wait_mails("alice", 6)


def test_what_was_put_there_meanwhile_is_not_deleted_unread(stand, store):
    """As by two runs of a Worker: sealed anew, under the same name."""
    home = Home(stand, store)
    octets, id_ = mail("once"), uuid.uuid4()
    name, sealed, meta = home.signer.make(home.recipient, octets, id_=id_)
    again = sealed, meta, time.time()

    def put_between(method, key, _):
        if (method, key) == ("DELETE", name) and store.asked.count((method, key)) == 1:
            store.objects[name] = again
    store.lie = put_between
    assert home.put(octets, id_=id_) == name
    until("the bucket is empty", 20, lambda: home.waiting() == [])
    assert store.conditions == [False, True]
    assert store.asked.count(("GET", name)) == 2 and home.bucket()["error"] == ""
    stand.wait_mails("alice", 1)


@pytest.mark.parametrize("status, code", [(501, "NotImplemented"), (400, "InvalidArgument")])
def test_a_store_without_conditions_is_asked_for_none(stand, store, status, code):
    home = Home(stand, store, fetches=1)

    def refuses(method, *_):
        return (lambda condition: error(status, code) if condition is not None
                else store.truth(method, *_)) if method == "DELETE" else None
    store.lie = refuses
    for i in range(3):
        home.put(mail(f"m{i}"))
    stand.wait_mails("alice", 3)
    until("the bucket is empty", 10, lambda: home.waiting() == [])
    assert [method for method, _ in store.asked].count("DELETE") == 3 + 1
    assert home.bucket()["error"] == "" and not home.bucket()["alarm"]


def test_a_store_that_refuses_its_own_etag_does_not_keep_mail_for_ever(stand, store):
    home = Home(stand, store, fetches=1)

    def refuses(method, key, query):
        return (lambda condition: error(412, "PreconditionFailed") if condition is not None
                else store.truth(method, key, query)) if method == "DELETE" else None
    store.lie = refuses
    names = [home.put(mail(f"m{i}")) for i in range(3)]
    stand.wait_mails("alice", 3)
    until("the bucket is empty", 10, lambda: home.waiting() == [])
    assert [method for method, _ in store.asked].count("DELETE") == 3 + 1
    assert all(store.asked.count(("GET", name)) == 1 for name in names)
    assert home.bucket()["error"] == "" and not home.bucket()["alarm"]


@pytest.mark.parametrize("status, code", [(429, "TooManyRequests"), (503, "SlowDown"),
                                          (500, "InternalError")])
def test_a_store_that_wants_to_be_left_alone_is(stand, store, status, code):
    home = Home(stand, store)
    store.lie = lambda *_: error(status, code, **{"retry-after": "4"})
    home.put(mail("waits"))
    until("it says so", 10, lambda: home.bucket()["error"] != "")
    before = len(store.asked)
    times = 2 if status == 500 else 1       # which names no time: ever more seldom
    until("it comes again", 20, lambda: len(store.asked) >= before + times)
    assert store.asked_s[before + times - 1] - store.asked_s[before - 1] > 3.9
    assert not home.bucket()["alarm"]
    store.lie = lambda *_: None
    stand.wait_mails("alice", 1, seconds=30)
    until("all is well", 10, lambda: home.bucket()["error"] == "")


def test_a_listing_in_circles_is_said_and_what_it_named_comes_home(stand, store):
    home = Home(stand, store)

    def circle(method, key, query):
        if key or "lifecycle" in query:
            return None
        status, headers, body = store.truth(method, key, {"prefix": "pending/"})
        return status, headers, body.replace(
            b"<IsTruncated>false</IsTruncated>",
            b"<IsTruncated>true</IsTruncated><NextContinuationToken>again</NextContinuationToken>")
    for i in range(3):
        home.put(mail(f"m{i}"))
    store.lie = circle
    stand.wait_mails("alice", 3)
    until("it is said", 10, lambda: home.bucket()["error"] != "")
    looks = len([1 for a in store.asked if a == ("GET", "")])
    time.sleep(2)
    assert len([1 for a in store.asked if a == ("GET", "")]) - looks < 10


def test_deleting_that_fails_delivers_once_and_is_an_alarm(stand, store):
    home = Home(stand, store)
    store.lie = lambda method, *_: error(403, "AccessDenied") if method == "DELETE" else None
    name = home.put(mail("once"))
    stand.wait_mails("alice", 1)
    until("an alarm", 20, lambda: home.bucket()["alarm"])
    until("it tries again", 20, lambda: store.asked.count(("DELETE", name)) > 1)
    assert store.asked.count(("GET", name)) == 1
    stand.kill("home")
    stand.start("home")
    until("home knows it", 20, lambda: " known=1" in stand.log("home") or
          store.asked.count(("GET", name)) == 2)
    store.lie = lambda *_: None
    until("the bucket is empty", 30, lambda: home.waiting() == [])
    stand.home_settled()
    assert len(stand.mails("alice")) == 1


def test_mail_comes_home_where_nothing_may_be_deleted(stand, store):
    """With a key that only reads, say: what is here already keeps nobody behind it waiting."""
    home = Home(stand, store, fetches="2")
    store.lie = lambda method, *_: error(403, "AccessDenied") if method == "DELETE" else None
    for i in range(20):
        home.put(mail(f"m{i}"))
    stand.wait_mails("alice", 20)
    until("an alarm", 20, lambda: home.bucket()["alarm"])
    looks = home.bucket()["looks"]
    until("another look", 30, lambda: home.bucket()["looks"] > looks)
    gets = [k for m, k in store.asked if m == "GET" and k]
    assert len(gets) == len(set(gets)) == 20
    assert "may not do that" in home.bucket()["error"] and len(home.waiting()) == 20


ODD = {
    "8 KB before ours": lambda meta: {"a": "x" * 8100, **meta},
    "8 KB of a name": lambda meta: {**meta, "posthouse-edge": "w" * 8000},
    "100 KB": lambda meta: {"a": "x" * 100000, **meta},
    "many": lambda meta: {**{f"a{i}": "x" for i in range(200)}, **meta},
    "a line that goes on": lambda meta: {**meta, "posthouse-edge": "worker\r\n .example.test"},
    "another line": lambda meta: {"posthouse-edge": "w\r\nx-amz-meta-posthouse-mac: " + "0" * 64},
    "a NUL": lambda meta: {**meta, "posthouse-edge": "worker.example.test\0"},
    "an escape": lambda meta: {**meta, "posthouse-edge": "\x1b[2J\xff"},
    "two of ours": lambda meta: {**meta, "Posthouse-Mac": "0" * 64},
}


def test_metadata_of_any_kind_stops_nobody(stand, store):
    home = Home(stand, store)
    names = []
    for change in ODD.values():
        name, sealed, meta = home.signer.make(home.recipient, mail("odd"))
        store.put(name, sealed, change(meta))
        names.append(name)
    home.put(mail("good"))
    until("good mail came home", 30, lambda: [m for m in stand.mails("alice")
                                              if b"Subject: good" in m])
    until("nothing is under way", 30, lambda: home.bucket()["aside"] + home.bucket()["waiting"] +
          home.bucket()["taken"] == len(ODD) + 1)
    stand.home_settled()
    # Each is set aside and kept, or is the mail that its signature says, which is deleted then.
    taken = len(stand.mails("alice")) - 1
    assert taken <= 2
    until("all else lies there", 10, lambda: set(home.waiting()) <= set(names) and
          len(home.waiting()) == len(ODD) - taken)
    assert "\x1b" not in stand.log("home") and "\0" not in stand.log("home")


RULES = ("<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Prefix></Prefix>"
         "<Expiration><Days>1</Days></Expiration></Rule></LifecycleConfiguration>")


def test_what_waits_is_an_alarm_before_the_buckets_rules_delete_it(stand, store):
    with open(stand.conf("home"), "a", encoding="utf-8") as f:
        f.write('alarms { oldest = "2d" }\n')
    home = Home(stand, store)

    def shown():
        return stand.tool("status", "-c", stand.conf("home")).stdout

    def alarms():
        return [a for a in stand.status("home")["alarms"] if "bucket r2: 1 message waits" in a]

    until("there is none", 10, lambda: "\nbucket r2: no lifecycle rule deletes" in shown())
    stand.stop("home")
    store.lie = lambda method, key, query: 100 if key else \
        (200, {"content-type": "application/xml"}, RULES.encode()) if "lifecycle" in query else None
    name = home.put(mail("cut"))
    store.objects[name] = (*store.objects[name][:2], time.time() - 11 * 3600)
    stand.start("home")
    home.look()
    until("its age is known", 20, lambda: home.bucket()["expires_ms"] == 86400000)
    until("it waits", 20, lambda: home.bucket()["waiting"] == 1)
    assert "\nbucket r2: a lifecycle rule deletes mail that is 24 h old, and alarms.oldest is 2 " \
        "days" in shown()
    time.sleep(2)
    assert alarms() == []
    store.objects[name] = (*store.objects[name][:2], time.time() - 13 * 3600)
    until("an alarm at half that age", 20, lambda: alarms() and
          "which the bucket's own rules delete on 20" in alarms()[0])


def test_a_bucket_full_of_strangers_things_is_counted_and_costs_one_look_at_each(stand, store):
    for i in range(2500):
        store.put(f"pending/{uuid.uuid4()}.age", b"x" * 50, {"posthouse-edge": "stranger.test",
                                                             "posthouse-mac": "0" * 64})
    home = Home(stand, store)
    until("all are counted", 60, lambda: home.bucket()["aside"] == 2500)
    home.put(mail("good"))
    stand.wait_mails("alice", 1)
    assert len(store.keys()) == 2500
    assert len([1 for m, k in store.asked if m == "GET" and k]) == 2501
    assert stand.log("home").count("bucket.aside") <= 25


def test_no_more_octets_than_home_may_keep_are_fetched(stand, store):
    home = Home(stand, store)
    store.lie = lambda method, key, query: (200, {"content-type": "application/xml"}, (
        "<?xml version=\"1.0\"?><ListBucketResult><IsTruncated>false</IsTruncated><Contents><Key>"
        f"pending/{uuid.UUID(int=7)}.age</Key><Size>99999999999999</Size><LastModified>"
        "2026-11-21T00:00:00.000Z</LastModified></Contents></ListBucketResult>").encode()) \
        if not key and "lifecycle" not in query else None
    until("it is counted", 20, lambda: home.bucket()["aside"] == 1)
    assert "quota" in home.bucket()["aside_why"]
    assert not [1 for m, k in store.asked if k]
