"""The edge on Cloudflare, in its real runtime."""

import hashlib
import hmac
import os
import subprocess
import uuid

import pytest

from kit.worker import EDGE, Worker, runtime_missing

pytestmark = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())

TRACE = (
    b"Received: from mail.far.test (203.0.113.7)\r\n"
    b"        by cloudflare-email.net (cloudflare) id x\r\n"
    b"        for <alice@example.test>; Sat, 21 Nov 2026 10:00:00 +0000\r\n"
)
MAIL = b"Subject: hello\r\n\r\nfirst line\r\n.dot\r\n\xfftail without an end"


@pytest.fixture(scope="module", name="keys")
def made_keys(tmp_path_factory):
    """An age identity and its recipient."""
    path = str(tmp_path_factory.mktemp("age") / "key")
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", path], check=True, capture_output=True, text=True
    ).stdout.strip()
    return path, recipient


@pytest.fixture(scope="module", name="worker")
def running(keys):
    with Worker(keys[1]) as worker:
        yield worker


def opened(worker, keys, name):
    """The transcript in an object of the bucket, after its name and its MAC were judged."""
    sealed, meta = worker.object(name)
    assert name.startswith("pending/") and name.endswith(".age")
    id_ = uuid.UUID(name[len("pending/") : -len(".age")])
    mac = hmac.new(
        worker.mac_key,
        b"posthouse-object-1" + id_.bytes + hashlib.sha256(sealed).digest(),
        "sha256",
    )
    assert meta["posthouse-mac"] == mac.hexdigest()
    assert meta["posthouse-edge"] == EDGE
    r = subprocess.run(["age", "-d", "-i", keys[0]], input=sealed, check=False, capture_output=True)
    assert r.returncode == 0, r.stderr
    assert f"XFORWARD IDENT={id_} SOURCE=REMOTE NAME={EDGE}\r\n".encode() in r.stdout
    return r.stdout


def only_new(worker, before):
    (name,) = set(worker.bucket()) - set(before)
    return name


def test_a_message_waits_in_the_bucket_sealed(worker, keys):
    before = worker.bucket()
    assert worker.email("carla@Far.Test", "alice@example.test", TRACE + MAIL)["outcome"] == "accept"
    said = opened(worker, keys, only_new(worker, before))
    assert said.startswith(
        b"EHLO mail.far.test\r\n"
        b"XCLIENT NAME=[UNAVAILABLE] ADDR=203.0.113.7 PORT=[UNAVAILABLE] PROTO=ESMTP "
        b"HELO=mail.far.test DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE]\r\n"
    )
    assert (
        b"\r\nMAIL FROM:<carla@far.test> BODY=8BITMIME\r\nRCPT TO:<alice@example.test>\r\n" in said
    )
    assert said.endswith(b"BDAT %d LAST\r\n" % len(TRACE + MAIL) + TRACE + MAIL + b"QUIT\r\n")


@pytest.mark.parametrize(
    "from_, path",
    [
        ("", b"<>"),
        ("<>", b"<>"),
        (None, b"<>"),
        ("a@[192.0.2.1]", b"<a@[192.0.2.1]>"),
        ("a@Xn--A_b.test.", b"<a@xn--a_b.test>"),
        ("a b@far.test", b'<"a b"@far.test>'),
        ('"a\\"b"@far.test', b'<"a\\"b"@far.test>'),
        (
            "d\u00f6rte@b\u00fccher.test",
            "<d\u00f6rte@xn--bcher-kva.test> BODY=8BITMIME SMTPUTF8".encode(),
        ),
    ],
)
def test_a_reverse_path_is_spelled_as_an_object_has_it(worker, keys, from_, path):
    before, mail = worker.bucket(), MAIL + repr(from_).encode()
    assert worker.email(from_, "alice@example.test", mail)["outcome"] == "accept"
    assert b"\r\nMAIL FROM:" + path in opened(worker, keys, only_new(worker, before))


@pytest.mark.parametrize("size", [0, 1, 65000, 65536, 131072, 1 << 20])
def test_any_size_comes_back_octet_for_octet(worker, keys, size):
    before, mail = worker.bucket(), os.urandom(size)
    assert worker.email("a@far.test", "alice@example.test", mail)["outcome"] == "accept"
    said = opened(worker, keys, only_new(worker, before))
    assert said.endswith(b"BDAT %d LAST\r\n" % size + mail + b"QUIT\r\n")


def test_25_mib_are_sealed_where_the_plan_allows(keys):
    mail = os.urandom(1 << 20) * 25
    with Worker(keys[1], SEAL_MAX=str(25 << 20)) as worker:
        assert worker.email("a@far.test", "alice@example.test", mail)["outcome"] == "accept"
        assert opened(worker, keys, only_new(worker, [])).endswith(mail + b"QUIT\r\n")


def test_an_offline_key_opens_it_too(keys, tmp_path):
    spare = str(tmp_path / "spare")
    subprocess.run(["age-keygen", "-o", spare], check=True, capture_output=True)
    recipient = subprocess.run(
        ["age-keygen", "-y", spare], check=True, capture_output=True, text=True
    ).stdout
    with Worker(f"{keys[1]} {recipient}") as worker:
        worker.email("a@far.test", "alice@example.test", MAIL)
        (name,) = worker.bucket()
        assert opened(worker, keys, name) == opened(worker, (spare, recipient), name)


@pytest.mark.parametrize(
    "trace, address",
    [
        (
            b"Received: from six.test (2001:db8::7) by cloudflare-email.net (c);\r\n d\r\n",
            b"IPV6:2001:db8::7",
        ),
        (
            b"Received: from four.test (::ffff:192.0.2.9) by cloudflare-email.net (c);\r\n d\r\n",
            b"192.0.2.9",
        ),
        (b"X-First: 1\r\n" + TRACE, b"[UNAVAILABLE]"),
        (b"Received: from a (9.9.9.9) by elsewhere.test;\r\n d\r\n" + TRACE, b"[UNAVAILABLE]"),
        (
            b"Received: from x (9.9.9.9) by cloudflare-email.net y (203.0.113.7)"
            b" by cloudflare-email.net;\r\n",
            b"[UNAVAILABLE]",
        ),
        (
            b"Received: from x (9.9.9.9) by  cloudflare-email.net y (203.0.113.7)"
            b" by cloudflare-email.net;\r\n",
            b"[UNAVAILABLE]",
        ),
        (
            b"Received: from x (9.9.9.9) by Cloudflare-Email.net y (203.0.113.7)"
            b" by cloudflare-email.net;\r\n",
            b"[UNAVAILABLE]",
        ),
        (
            b"Received: from a.cloudflare-email.net (203.0.113.7)\r\n\tby cloudflare-email.net"
            b" (cloudflare) id x;\r\n",
            b"203.0.113.7",
        ),
        (b"Received: from x y (203.0.113.7) by cloudflare-email.net (c);\r\n", b"[UNAVAILABLE]"),
        (b"Received: from x (203.0.113.300) by cloudflare-email.net (c);\r\n", b"[UNAVAILABLE]"),
        (
            b"Received: from " + b"x" * 9000 + b" (203.0.113.7) by cloudflare-email.net;\r\n",
            b"[UNAVAILABLE]",
        ),
    ],
    ids=[
        "v6",
        "mapped",
        "not first",
        "another's",
        "the MX named twice",
        "the MX named twice, two spaces before it",
        "the MX named twice, in other letters",
        "one of its own",
        "a HELO with a space",
        "no address",
        "endless",
    ],
)
def test_the_client_is_who_cloudflares_own_line_names(worker, keys, trace, address):
    before = worker.bucket()
    worker.email("a@far.test", "alice@example.test", trace + MAIL)
    assert b" ADDR=" + address + b" " in opened(worker, keys, only_new(worker, before))


def test_the_same_message_twice_is_one_object(worker):
    mail = MAIL + os.urandom(8).hex().encode()
    before = worker.bucket()
    for _ in range(2):
        assert worker.email("a@far.test", "alice@example.test", mail)["outcome"] == "accept"
    only_new(worker, before)


def test_the_same_message_to_two_recipients_is_two(worker):
    mail = MAIL + os.urandom(8).hex().encode()
    before = worker.bucket()
    for user in ("alice", "bob"):
        assert worker.email("a@far.test", f"{user}@example.test", mail)["outcome"] == "accept"
    assert len(set(worker.bucket()) - set(before)) == 2


def test_what_somebody_else_put_under_its_name_is_not_taken_for_it(worker, keys):
    mail = MAIL + os.urandom(8).hex().encode()
    before = worker.bucket()
    worker.email("a@far.test", "alice@example.test", mail)
    name = only_new(worker, before)
    worker.ask(
        "PUT", "/bucket/" + name.replace("/", "%2F"), b"forged", {"x-meta-posthouse-mac": "00" * 32}
    )
    assert worker.email("a@far.test", "alice@example.test", mail)["outcome"] == "accept"
    assert mail in opened(worker, keys, name)


def test_when_the_bucket_fails_the_sender_keeps_it(worker):
    before = worker.bucket()
    r = worker.email("a@far.test", "alice@example.test", MAIL + b"unkept", bucket="fails")
    assert (
        r["outcome"] == "throw" and "so its sender keeps it: r2: R2 is out of order" in r["reason"]
    )
    assert worker.bucket() == before


@pytest.mark.parametrize("more", [-5, 5])
def test_a_message_that_is_not_whole_is_not_taken(worker, more):
    before, mail = worker.bucket(), MAIL + b"cut"
    r = worker.email("a@far.test", "alice@example.test", mail, size=len(mail) + more)
    assert r["outcome"] == "throw" and "the message" in r["reason"]
    assert worker.bucket() == before


def test_too_large_to_seal_and_no_other_way(worker):
    r = worker.email("a@far.test", "alice@example.test", b"x" * (1 << 20) + b"x")
    assert r["outcome"] == "throw" and "are above SEAL_MAX" in r["reason"]


@pytest.mark.parametrize(
    "from_, to, reason",
    [
        (
            "no-at",
            "alice@example.test",
            "553 5.1.7 the sender's address cannot be used: it has no @",
        ),
        (
            "a@1.2.3.4",
            "alice@example.test",
            "553 5.1.7 the sender's address cannot be used: its domain is none",
        ),
        ("a@far.test", "", "553 5.1.3 the recipient's address cannot be used: it is empty"),
        ("a@b..test", "alice@example.test", "553 5.1.7 the sender's address"),
        ("a@-b.test", "alice@example.test", "553 5.1.7 the sender's address"),
        ('a@"b".test', "alice@example.test", "553 5.1.7 the sender's address"),
        ("a@b(c).test", "alice@example.test", "553 5.1.7 the sender's address"),
        ("a@[IPv6:::1::]", "alice@example.test", "553 5.1.7 the sender's address"),
        ("a\x85b@far.test", "alice@example.test", "553 5.1.7 the sender's address"),
        ("a\r\nRCPT TO:<x@y>@far.test", "alice@example.test", "553 5.1.7 the sender's address"),
        ("a@far.test", "al\x00ce@example.test", "553 5.1.3 the recipient's address"),
    ],
)
def test_an_address_that_nobody_could_use_is_refused(worker, from_, to, reason):
    r = worker.email(from_, to, MAIL)
    assert r["outcome"] == "reject" and r["reason"].startswith(reason)


@pytest.mark.parametrize(
    "binding, words",
    [
        ({"RECIPIENTS": "age1typo"}, "is no age recipient"),
        ({"RECIPIENTS": "age1..."}, "RECIPIENTS: \"age1...\" is no age recipient"),
        ({"RECIPIENTS": "AGE-SECRET-KEY-1QQQ"}, "RECIPIENTS: a secret key; write the public one"),
        ({"RECIPIENTS": ""}, "RECIPIENTS: 0 age recipients; write 1 to 8"),
        ({"MAC_KEY": "beef"}, "MAC_KEY: write 64 hexadecimal digits"),
        ({"ID_KEY": None}, "ID_KEY: missing; posthouse worker-config says how to put it"),
        ({"EDGE_NAME": "two words"}, "EDGE_NAME: write the name"),
        ({"WAYS": "r2 https"}, "WAYS: r2 keeps what no other way took, so it stands last"),
        ({"WAYS": "pigeon"}, 'WAYS: "pigeon"; write some of https smtp r2'),
        (
            {"WAYS": "https", "HTTPS_URL": "http://home.test", "HTTPS_TOKEN": "t"},
            "it must begin with https://",
        ),
        ({"WAYS": "https", "HTTPS_URL": "https://home.test"}, "HTTPS_TOKEN: missing"),
        ({"WAYS": "smtp", "SMTP_HOST": "home.test"}, "SMTP_USER: missing"),
        ({"BUCKET_PREFIX": "pending"}, "BUCKET_PREFIX: write one that ends in a slash"),
        ({"BUCKET_PREFIX": "/pending/"}, "BUCKET_PREFIX: write one that ends in a slash"),
        ({"SEAL_MAX": "many"}, "SEAL_MAX: write a whole number from 1024 to 26214400"),
    ],
)
def test_what_is_wrong_with_its_variables_is_said_and_no_mail_is_taken(keys, binding, words):
    with Worker(keys[1], **binding) as worker:
        r = worker.email("a@far.test", "alice@example.test", MAIL)
        assert r["outcome"] == "throw" and words in r["reason"]
        assert "1QQQ" not in r["reason"]        # it stands in a log then
        assert worker.bucket() == []
