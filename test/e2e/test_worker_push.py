"""The ways that a Worker tries before the bucket: home's push service over HTTPS, SMTP."""

import concurrent.futures
import hashlib
import hmac
import os
import shutil
import subprocess
import time
import uuid

import pytest

from kit.certs import own_ca
from kit.dovecot import Dovecot
from kit.mtas import KEEPS, Postfix
from kit.push_peers import PASSWORD, HttpsHome, SmtpListener
from kit.worker import EDGE, Worker, runtime_missing

pytestmark = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())

MAIL = b"Subject: hello\r\n\r\n.dot\r\n..dots\r\n\xffthe last line\r\n"
TO = "alice@example.test"
TOKEN = "5e" * 32


@pytest.fixture(scope="module", name="certs")
def made_certs(tmp_path_factory):
    dir_ = tmp_path_factory.mktemp("ca")
    own_ca(dir_, "localhost")
    own_ca(other := tmp_path_factory.mktemp("other-ca"), "localhost")
    return str(dir_), str(other)


@pytest.fixture(scope="module", name="keys")
def made_keys(tmp_path_factory):
    path = str(tmp_path_factory.mktemp("age") / "key")
    subprocess.run(["age-keygen", "-o", path], check=True, capture_output=True)
    return (
        path,
        subprocess.run(
            ["age-keygen", "-y", path], check=True, capture_output=True, text=True
        ).stdout.strip(),
    )


@pytest.fixture(name="start")
def starter(keys, certs):
    """start(**bindings): a Worker that believes the test's authority."""
    running = []

    def start(**bindings):
        running.append(Worker(keys[1], ca=f"{certs[0]}/ca.pem", **bindings))
        return running[-1]

    yield start
    for worker in running:
        worker.__exit__(None, None, None)


def https(home, **more):
    return {"WAYS": "https r2", "HTTPS_URL": home.url, "HTTPS_TOKEN": TOKEN, **more}


def smtp(server, **more):
    return {
        "WAYS": "smtp r2",
        "SMTP_HOST": "localhost",
        "SMTP_PORT": str(server.port),
        "SMTP_USER": EDGE,
        "SMTP_PASSWORD": PASSWORD,
        **more,
    }


# --- HTTPS ---------------------------------------------------------------------


def test_https_home_takes_it(start, certs, keys):
    with HttpsHome(certs[0], lambda *_: (201, "")) as home:
        worker = start(**https(home))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert worker.bucket() == []
        ((method, path, headers, sealed),) = home.asked
    assert (method, path[:6]) == ("PUT", "/mail/")
    assert headers["authorization"] == f"Bearer {TOKEN}" and "prefer" not in headers
    id_ = uuid.UUID(path[6:])
    mac = hmac.new(
        worker.mac_key,
        b"posthouse-object-1" + id_.bytes + hashlib.sha256(sealed).digest(),
        "sha256",
    )
    assert headers["posthouse-mac"] == mac.hexdigest()
    said = subprocess.run(
        ["age", "-d", "-i", keys[0]], input=sealed, check=True, capture_output=True
    ).stdout
    assert said.endswith(MAIL + b"QUIT\r\n")


@pytest.mark.parametrize("status", [200, 202])
def test_https_a_verdict_is_waited_for(start, certs, status):
    with HttpsHome(certs[0], lambda *_: (status, "")) as home:
        worker = start(**https(home, HTTPS_WAIT="7"))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert home.asked[0][2]["prefer"] == "wait=7"
        assert worker.bucket() == []


def test_https_homes_refusal_is_the_senders(start, certs):
    """And it is confirmed to home once the sender's server hears it."""

    def answer(method, *_):
        return (422, "550-5.7.1 not wanted\r\n550 5.7.1 at all") if method == "PUT" else (204, "")

    with HttpsHome(certs[0], answer) as home:
        worker = start(**https(home, HTTPS_WAIT="7"))
        r = worker.email("a@far.test", TO, MAIL)
        assert r["outcome"] == "reject" and r["reason"] == "550-5.7.1 not wanted 5.7.1 at all"
        assert worker.bucket() == []
        worker.__exit__(None, None, None)  # it ends when all is said
        assert [a[0] for a in home.asked] == ["PUT", "DELETE"]
        assert home.asked[0][1] == home.asked[1][1]


@pytest.mark.parametrize(
    "status, text",
    [
        (503, "not now"),
        (451, "later"),
        (403, "wrong MAC"),
        (400, "?"),
        (413, "too large"),
        (500, "x" * 100000),
        (301, ""),
        (422, "no reply at all"),
        (422, "450 4.2.0 only for now"),
        (401, "who?"),
        (404, ""),
    ],
)
def test_https_any_other_answer_leaves_it_in_the_bucket(start, certs, status, text):
    with HttpsHome(certs[0], lambda *_: (status, text)) as home:
        worker = start(**https(home, HTTPS_WAIT="3"))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert worker.bucket() == [f"pending/{home.asked[0][1][6:]}.age"]  # under the same name


@pytest.mark.parametrize("status, text", [(200, "<h1>Welcome</h1>"), (201, ""), (202, ""),
                                          (422, "550 5.1.1 nobody")])
def test_https_another_server_that_says_yes_to_everything_has_taken_nothing(
        start, certs, status, text):
    with HttpsHome(certs[0], lambda *_: (status, text), posthouse=False) as home:
        worker = start(**https(home))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert worker.bucket() == [f"pending/{home.asked[0][1][6:]}.age"]


@pytest.mark.parametrize("token", ["open sesame", f"{TOKEN}\n{TOKEN}", f"Bearer {TOKEN}", "ключ"])
def test_https_a_token_that_is_none_is_sent_to_nobody(start, certs, token):
    """Mail waits in the bucket meanwhile, and who has none is told which secret it is."""
    with HttpsHome(certs[0], lambda *_: (201, "")) as home:
        worker = start(**https(home, HTTPS_TOKEN=token))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert len(worker.bucket()) == 1
        worker = start(**https(home, HTTPS_TOKEN=token, WAYS="https"))
        r = worker.email("a@far.test", TO, MAIL)
        assert r["outcome"] == "throw" and "HTTPS_TOKEN: write 64 hexadecimal digits" in r["reason"]
        assert home.asked == []


def test_https_a_token_that_home_does_not_know_is_named(start, certs):
    with HttpsHome(certs[0], lambda *_: (401, "a Worker's token is needed\n")) as home:
        r = start(**https(home, WAYS="https")).email("a@far.test", TO, MAIL)
        assert r["outcome"] == "throw" and "is HTTPS_TOKEN this Worker's at home?" in r["reason"]


def test_https_home_is_away(start, certs):
    with HttpsHome(certs[0], lambda *_: (201, "")) as home:
        bindings = https(home)
    worker = start(**bindings)
    assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
    assert len(worker.bucket()) == 1


def test_https_another_than_home_gets_nothing(start, certs):
    with HttpsHome(certs[1], lambda *_: (201, "")) as home:
        worker = start(**https(home))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert home.asked == [] and len(worker.bucket()) == 1


# --- SMTP ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "offers",
    [("PIPELINING", "CHUNKING"), ("8BITMIME",), ("PIPELINING", "SIZE"), ("CHUNKING",)],
    ids=" ".join,
)
@pytest.mark.parametrize("piece", [1, 1 << 16])
def test_smtp_home_takes_it(start, certs, offers, piece):
    with SmtpListener(certs[0], offers=offers, piece=piece) as home:
        worker = start(**smtp(home))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept", home.heard
        assert worker.bucket() == []
        ((mail, rcpt, octets),) = home.took
    assert mail.startswith("MAIL FROM:<a@far.test>") and rcpt == f"RCPT TO:<{TO}>"
    top, _, rest = octets.partition(b"\r\n")
    assert uuid.UUID(top.decode().removeprefix("X-Posthouse-Id: "))
    assert rest.startswith(
        b"Received: from unknown (unknown)\r\n\tby " + EDGE.encode()
    ) and rest.endswith(MAIL)


def test_smtp_a_password_that_was_pasted_with_its_line_end(start, certs):
    with SmtpListener(certs[0]) as home:
        worker = start(**smtp(home, SMTP_PASSWORD=f"{PASSWORD}\n"))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert worker.bucket() == [] and len(home.took) == 1


def test_smtp_a_null_sender(start, certs):
    with SmtpListener(certs[0]) as home:
        worker = start(**smtp(home))
        assert worker.email("", TO, MAIL)["outcome"] == "accept"
        assert home.took[0][0].startswith("MAIL FROM:<>")


@pytest.mark.parametrize(
    "replies",
    [{"RCPT": "550-5.1.1 nobody\r\n550 is here"}, {".": "554 5.7.1 spam"},
     {".": "554 5.7.1 spam\u20ac"}],
    ids=["at RCPT", "at the end", "in UTF-8"],
)
def test_smtp_homes_refusal_is_the_senders(start, certs, replies):
    with SmtpListener(certs[0], **replies) as home:
        worker = start(**smtp(home))
        r = worker.email("a@far.test", TO, MAIL)
        assert r["outcome"] == "reject"
        assert r["reason"].rstrip("?") in ("550 5.1.1 nobody is here", "554 5.7.1 spam")
        assert worker.bucket() == []


@pytest.mark.parametrize(
    "replies",
    [
        {"greeting": "554 no"},
        {"greeting": "HTTP/1.1 400 Bad Request"},
        {"greeting": None},
        {"greeting": 30},
        {"greeting": "220-" + "x" * 5000},
        {"EHLO": "\r\n".join(["250-x"] * 500)},
        {"EHLO": "250-a\r\n251 b"},
        {"EHLO": "502 5.5.1 no"},
        {"STARTTLS": "454 4.7.0 not now"},
        {"AUTH": "535 5.7.8 wrong"},
        {"MAIL": "550 5.7.1 not from you"},
        {"RCPT": "450 4.2.0 later"},
        {".": "451 4.3.0 later"},
        {"RCPT": None},
        {"DATA": "554 5.5.1 no"},
        {"DATA": "250 2.0.0 taken"},
        {"RCPT": "354 go on"},
        {".": "354 go on"},
    ],
    ids=[
        "554",
        "not SMTP",
        "closed",
        "silent",
        "a long line",
        "many lines",
        "two codes",
        "no EHLO",
        "no TLS",
        "a wrong password",
        "no sender",
        "RCPT later",
        "later",
        "gone",
        "no DATA",
        "taken too early",
        "a 354 to RCPT",
        "a 354 at the end",
    ],
)
def test_smtp_what_is_no_refusal_of_the_message_leaves_it_in_the_bucket(start, certs, replies):
    offers = ("PIPELINING",) if "DATA" in replies else ("PIPELINING", "CHUNKING")
    with SmtpListener(certs[0], offers=offers, **replies) as home:
        worker = start(**smtp(home))
        r = worker.email("a@far.test", TO, MAIL)
        assert r["outcome"] == "accept" and r["ms"] < 20000
        assert len(worker.bucket()) == 1 and home.took == []


def test_smtp_no_answer_after_the_last_octet(start, certs):
    """Home may have it: it goes to the bucket too, under the same id, and home knows that one."""
    with SmtpListener(certs[0]) as home:
        worker = start(**smtp(home))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        id_ = home.took[0][2].split(b"\r\n")[0].decode().removeprefix("X-Posthouse-Id: ")
        home.replies["."] = "2500 is no reply"
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert worker.bucket() == [f"pending/{id_}.age"]


TRACE = (b"Received: from [mail+far=test] (2001:4860:4860::8844)\r\n\tby cloudflare-email.net "
         b"(c) id x; d\r\n")


def test_smtp_home_is_told_the_client_in_its_own_terms(start, certs):
    """Of what it offers, in xtext; and whoever forgets a login over it is told that again."""
    said = {"ADDR PROTO HELO": "XCLIENT ADDR=IPV6:2001:4860:4860::8844 PROTO=ESMTP "
                               "HELO=+5Bmail+2Bfar+3Dtest]",
            "NAME ADDR DESTADDR LOGIN": "XCLIENT ADDR=IPV6:2001:4860:4860::8844",
            "NAME HELO": None}
    for offered, expected in said.items():
        with SmtpListener(certs[0], xclient=offered) as home:
            worker = start(**smtp(home))
            assert worker.email("a@far.test", TO, TRACE + MAIL)["outcome"] == "accept"
            assert len(home.took) == 1 and worker.bucket() == []
            lines = [line for line in home.heard if line.startswith("XCLIENT")]
            assert lines == ([expected] if expected else [])
            assert ("EHLO [mail+far=test]" in home.heard) == (expected is not None)
            assert sum(line.startswith("AUTH ") for line in home.heard) == 1 + len(lines)
            # As much of one that is too large to seal.
            large = TRACE + MAIL + b"x" * 78 * 15000
            assert worker.email("a@far.test", TO, large)["outcome"] == "accept"
            assert home.took[1][2].endswith(large)
            assert [line for line in home.heard if line.startswith("XCLIENT")] == lines * 2
            # One that nobody brought is nobody's.
            home.heard.clear()
            assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
            assert not [line for line in home.heard if line.startswith("XCLIENT")]


def test_smtp_who_does_not_take_our_word_for_it_takes_the_message(start, certs):
    with SmtpListener(certs[0], xclient="ADDR PROTO HELO") as home:
        worker = start(**smtp(home, WAYS="smtp"))
        for n, reply in enumerate(("501 5.5.4 bad", "550 5.7.0 not you", "554 5.7.1 no",
                                   "500-what?\r\n500 what?", "450 4.7.1 later")):
            home.replies["XCLIENT"] = reply
            assert worker.email("a@far.test", TO, TRACE + MAIL)["outcome"] == "accept", home.heard
            assert len(home.took) == n + 1
        home.replies = {"EHLO [mail+far=test]": "501 5.5.4 that is no name"}
        assert worker.email("a@far.test", TO, TRACE + MAIL)["outcome"] == "accept", home.heard
        last = len(home.heard) - home.heard[::-1].index("EHLO [mail+far=test]")
        assert home.heard[last] == f"EHLO {EDGE}", home.heard


def test_smtp_what_goes_wrong_over_the_client_leaves_it_in_the_bucket(start, certs):
    with SmtpListener(certs[0], xclient="ADDR PROTO HELO") as home:
        worker = start(**smtp(home))
        for n, (verb, reply) in enumerate((
                ("XCLIENT", "421 4.3.2 going down"), ("XCLIENT", None), ("XCLIENT", 30),
                ("XCLIENT", "354 go on"), ("XCLIENT", "220 no\r\n220 two"),
                ("EHLO again", "554 5.7.1 listed"), ("EHLO again", None))):
            home.replies = {verb: reply}
            r = worker.email("a@far.test", TO, TRACE + MAIL + str(n).encode())
            assert r["outcome"] == "accept" and r["ms"] < 20000, (verb, reply)
            assert len(worker.bucket()) == n + 1 and home.took == [], (verb, reply)


def test_smtp_nothing_is_said_without_tls(start, certs):
    with SmtpListener(certs[1]) as home:
        worker = start(**smtp(home))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert len(worker.bucket()) == 1
        assert [line.split(" ")[0] for line in home.heard] == ["EHLO", "STARTTLS"]


def test_smtp_another_name_in_the_certificate_is_not_home(start, certs):
    with SmtpListener(certs[0]) as home:
        worker = start(**smtp(home, SMTP_HOST="127.0.0.1"))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert len(worker.bucket()) == 1 and home.took == []
        assert home.heard[-1] == "STARTTLS", home.heard


def test_smtp_what_was_said_before_tls_counts_for_nothing_after_it(start, certs):
    """Put behind the answer to STARTTLS by whoever is on the way (RFC 3207 4.2)."""
    injected = "220 go on\r\n250-home.test\r\n250 AUTH LOGIN"
    with SmtpListener(certs[0], STARTTLS=injected) as home:
        worker = start(**smtp(home))
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert len(home.took) == 1 and worker.bucket() == []


@pytest.mark.parametrize(
    "offers", [("PIPELINING", "CHUNKING"), ("PIPELINING",)], ids=["BDAT", "DATA"]
)
def test_smtp_too_large_to_seal_passes_through(start, certs, offers):
    mail = MAIL + (os.urandom(700).hex().encode() + b"\r\n.\r\n") * 2000
    with SmtpListener(certs[0], offers=offers) as home:
        worker = start(**smtp(home))
        assert worker.email("a@far.test", TO, mail)["outcome"] == "accept"
        assert home.took[0][2].endswith(mail) and worker.bucket() == []
        home.replies["MAIL"] = "451 4.3.0 away"
        r = worker.email("a@far.test", TO, mail)
        assert r["outcome"] == "throw" and worker.bucket() == []


@pytest.mark.parametrize(
    "offers", [("PIPELINING", "CHUNKING"), ("PIPELINING",)], ids=["BDAT", "DATA"]
)
def test_smtp_a_large_one_that_is_cut_is_never_taken(start, certs, offers):
    mail = MAIL + b"x" * 78 * 30000
    with SmtpListener(certs[0], offers=offers) as home:
        worker = start(**smtp(home))
        r = worker.email("a@far.test", TO, mail, size=len(mail) + 5)
        assert r["outcome"] == "throw" and home.took == []


def test_smtp_two_large_ones_under_one_header_are_two(start, certs):
    """Their octets are not there yet when they get their ids."""
    mail = MAIL + b"x" * 76 * 30000
    with SmtpListener(certs[0]) as home:
        worker = start(**smtp(home))
        for one in mail, mail + b"y", mail:
            assert worker.email("a@far.test", TO, one)["outcome"] == "accept"
        ids = [took[2].partition(b"\r\n")[0] for took in home.took]
        assert ids[0] == ids[2] != ids[1] and ids[0].startswith(b"X-Posthouse-Id: ")


def test_smtp_line_ends_are_crlf_for_who_reads_lines(start, certs):
    """Octets are counted for CHUNKING; without it a LF alone could end the data (smuggling)."""
    mail = b"Subject: x\r\n\r\na\n.\nMAIL FROM:<b@c>\r.\rb\r\n.\n.\r\n\r\r\n"
    lines = (b"Subject: x\r\n\r\na\r\n.\r\nMAIL FROM:<b@c>\r\n.\r\nb\r\n.\r\n.\r\n"
             b"\r\n\r\n")
    for offers, took in (("CHUNKING",), mail), ((), lines):
        with SmtpListener(certs[0], offers=offers) as home:
            worker = start(**smtp(home))
            assert worker.email("a@far.test", TO, mail)["outcome"] == "accept"
            assert home.took[0][2].endswith(b"\r\n" + took), home.took


@pytest.mark.parametrize("replies", [
    {"RCPT": f"450 4.2.2 <{TO}> is full"}, {"MAIL": "503 5.5.1 no"}, {"RCPT": 30},
    {"RCPT": "530 5.7.0 who are you"}, {".": "503 5.5.1 what?"}], ids=str)
def test_smtp_what_is_said_of_a_failure_has_no_address(start, certs, replies):
    """And what is about us, not about the message, is refused to nobody."""
    with SmtpListener(certs[0], **replies) as home:
        worker = start(**smtp(home, WAYS="smtp"))
        r = worker.email("carla@far.test", TO, MAIL)
        assert r["outcome"] == "throw" and "@" not in r["reason"], r


def test_one_way_hangs_and_the_other_has_its_time(start, certs):
    with HttpsHome(certs[0], lambda *_: time.sleep(30) or (201, "")) as hangs, \
            SmtpListener(certs[0]) as home:
        worker = start(**{**https(hangs), **smtp(home, WAYS="https smtp r2")})
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        assert worker.bucket() == [] and len(home.took) == 1


def test_a_message_that_stands_still_is_not_waited_for(start, certs):
    """After 50 s Cloudflare would refuse it for good; be it to be sealed, or passed through."""
    with SmtpListener(certs[0]) as home, concurrent.futures.ThreadPoolExecutor(2) as both:
        worker = start(**smtp(home))
        mails = MAIL, MAIL + b"x" * (2 << 20)
        for r in both.map(lambda m: worker.email("a@far.test", TO, m, stalls=1, size=len(m) + 1),
                          mails):
            assert r["outcome"] == "throw" and r["ms"] < 50000, r
            assert "the message's octets: no answer" in r["reason"]
        assert worker.bucket() == [] and home.took == []


@pytest.mark.parametrize("more", [[], ["smtpd_discard_ehlo_keywords = chunking"]],
                         ids=["BDAT", "DATA"])
def test_smtp_postfix_takes_it(start, certs, more):
    """Debian's, on a private path."""
    postfix = Postfix(main=KEEPS + more, options="")
    try:
        worker = start(
            WAYS="smtp r2", SMTP_HOST="127.0.0.1", SMTP_PORT=str(postfix.port), SMTP_TLS="none"
        )
        assert worker.email("a@far.test", TO, MAIL)["outcome"] == "accept"
        (mail,) = postfix.mails()
        assert mail.endswith(MAIL.replace(b"\r\n", b"\n").partition(b"\n")[2])
        assert b"\nX-Posthouse-Id: " in mail and b"\nReturn-Path" not in mail[1:]
        # Debian's believes in line ends that are none, and takes a second message for real.
        smuggled = MAIL + (f"\n.\r\nMAIL FROM:<x@far.test>\r\nRCPT TO:<{TO}>\r\nDATA\r\n\r\n"
                           "hi\r\n").encode()
        assert worker.email("a@far.test", TO, smuggled)["outcome"] == "accept"
        assert len(postfix.mails()) == 2
        assert worker.bucket() == []
    finally:
        postfix.close()


def test_smtp_postfix_believes_who_the_client_was(start, certs, tmp_path):
    """In TLS, after a login, which it forgets over XCLIENT; and it judges the client, not us."""
    (tmp_path / "maildir").mkdir()
    dovecot = Dovecot(str(tmp_path / "maildir"))
    options = ("-o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes "
               f"-o smtpd_sasl_type=dovecot -o smtpd_sasl_path=inet:127.0.0.1:{dovecot.auth} "
               "-o smtpd_tls_auth_only=yes -o smtpd_authorized_xclient_hosts=127.0.0.1 "
               "-o smtpd_client_restrictions=check_client_access,inline:{9.9.9.9=REJECT}")
    tls = f"{certs[0]}/localhost.pem", f"{certs[0]}/localhost.key"
    try:
        with Postfix(KEEPS, options=options, tls=tls) as mta:
            worker = start(**smtp(mta, SMTP_USER="alice", SMTP_PASSWORD="x"))
            good = TRACE.replace(b"[mail+far=test]", b"mail.far.test") + MAIL
            assert worker.email("a@far.test", TO, good)["outcome"] == "accept"
            mail, = mta.mails()
            assert b"\nReceived: from mail.far.test (unknown [IPv6:2001:4860:4860::8844])" in mail
            mta.logged(r"client=unknown\[2001:4860:4860::8844\], sasl_method=PLAIN")
            r = worker.email("a@far.test", TO, good.replace(b"2001:4860:4860::8844", b"9.9.9.9"))
            assert r["outcome"] == "reject" and "9.9.9.9" in r["reason"], (r, mta.log())
            assert worker.bucket() == [] and len(mta.mails()) == 1
    finally:
        dovecot.stop()
        shutil.rmtree(dovecot.dir, ignore_errors=True)
