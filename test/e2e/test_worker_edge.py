"""A Worker hands mail to an edge by SMTP: in TLS, after a login, under its own id."""

import base64
import json
import ssl

import pytest

from kit.drained import write_key
from kit.ports import free_port
from kit.smtp import Client
from kit.stand import header, headers, message, until
from kit.wires import Wire
from kit.worker import Worker, r2_store, runtime_missing

NAME = "cloud"
ID = "0193e4a0-5c1f-8c62-9a55-3f0d7c8c2a11"
TO = "alice@example.test"
needs_runtime = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())


@pytest.fixture(name="taking")
def stand_that_takes(make_stand, certs):
    """taking(*opt) -> a stand whose edge takes mail from the Worker, with where and password."""
    def make(*opt, service="submission"):
        port = free_port()
        stand = make_stand(opt=[
            f"edge.tls.cert={certs}/localhost.pem", f"edge.tls.key={certs}/localhost.key",
            f'edge.service.{service}.listen={{"127.0.0.1:{port}"}}',
            f"edge.service.{service}.auth=true",
            f'home.worker.{NAME}.domains={{"example.test"}}',
            f'home.worker.{NAME}.edges={{"edge.test"}}', *opt])
        stand.wait_policy()
        with open(f"{stand.env['HOME_STATE']}/worker-{NAME}.smtp", encoding="ascii") as f:
            stand.password = f.read().strip()
        stand.taking = "127.0.0.1", port
        return stand
    return make


class LostAnswer(Wire):
    """The answer to whatever is longer than that never arrives."""

    def __init__(self, to, octets):
        self.most, self.lost = octets, 0
        super().__init__(to)

    async def pump(self, src, dst, way):
        heard = 0
        while data := await src.read(65536):
            if way == "up":
                heard += len(data)
                self.lost += self.lost == 0 and heard > self.most
            elif self.lost == 1:
                self.lost = 2
                return
            dst.write(data)
            await dst.drain()


def plain(user, password):
    return base64.b64encode(f"\0{user}\0{password}".encode()).decode()


def logged_in(stand, user=NAME, password=None):
    c = Client(stand.taking)
    c.hello()
    assert "AUTH PLAIN LOGIN" in c.starttls().text
    r = c.cmd(f"AUTH PLAIN {plain(user, password or stand.password)}")
    return c, r


def push(stand, raw, id_=ID, to=TO):
    c, r = logged_in(stand)
    assert r.code == 235, r.text
    with c:
        c.begin("s@client.test", [to])
        return c.data((f"X-Posthouse-Id: {id_}\r\n" if id_ else "").encode() + raw)


def speaking_for(stand, attributes):
    """Logged in, and as whom it was said; begun anew where that was taken."""
    c, r = logged_in(stand)
    assert r.code == 235, r.text
    assert "XCLIENT ADDR PROTO HELO" in c.ok("EHLO worker.test").text
    r = c.cmd(f"XCLIENT {attributes}")
    if r.code == 220:
        c.ok("EHLO worker.test")
    return c, r


def smtp(stand, where=None, **more):
    return {"EDGE_NAME": NAME, "SMTP_HOST": "localhost",
            "SMTP_PORT": str((where or stand.taking)[1]), "SMTP_USER": NAME,
            "SMTP_PASSWORD": stand.password, **more}


# --- who may ------------------------------------------------------------------------------------


def test_nobody_is_let_in_but_the_worker(taking, mark):
    stand = taking()
    with Client(stand.taking) as c:
        offered = c.hello().text
        assert "STARTTLS" in offered and "AUTH" not in offered
        assert c.cmd(f"AUTH PLAIN {plain(NAME, stand.password)}").code == 538
        assert c.cmd("MAIL FROM:<s@client.test>").code == 530
        assert "AUTH PLAIN LOGIN" in c.starttls().text
        assert c.cmd("MAIL FROM:<s@client.test>").code == 530
    for user, password in (NAME, "0" * 64), ("alice", stand.password), (NAME, stand.password[:-1]):
        c, r = logged_in(stand, user, password)
        with c:
            assert r.code == 535 and c.cmd("MAIL FROM:<s@client.test>").code == 530
    c, _ = logged_in(stand, NAME, "wrong")
    with c:
        assert [c.cmd(f"AUTH PLAIN {plain(NAME, 'wrong')}").code for _ in "12"] == [535, 535]
        assert c.reply().code == 421 and c.closed()
    failed = " smtp.login_failed service=submission peer=127.0.0.1 "
    until("all six are in the log", 10, lambda: stand.log("edge").count(failed) >= 6)
    assert stand.log("edge").count(failed) == 6
    assert stand.password not in stand.log("edge") + stand.log("home")
    # Where strangers bring their mail nothing is offered, in TLS or not.
    with Client(stand.smtp) as c:
        c.hello()
        assert "AUTH" not in c.starttls().text


def test_logged_in_and_still_no_relay(taking, mark):
    stand = taking()
    c, r = logged_in(stand)
    with c:
        assert r.code == 235
        c.ok("MAIL FROM:<s@client.test>")
        assert c.cmd("RCPT TO:<bob@elsewhere.test>").code == 550
        assert c.cmd("RCPT TO:<bob%elsewhere.test@edge.test>").code == 550
        assert c.cmd("RCPT TO:<nobody@example.test>").code == 550
        assert c.cmd("AUTH PLAIN xxxx").code == 503


def test_a_service_called_submissions_begins_with_tls(taking, mark):
    stand = taking(service="submissions")
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    c = Client(stand.taking)
    c.sock = context.wrap_socket(c.sock)
    with c:
        offered = c.hello().text
        assert "AUTH PLAIN LOGIN" in offered and "STARTTLS" not in offered
        c.ok("AUTH LOGIN", 334)
        c.ok(base64.b64encode(NAME.encode()).decode(), 334)
        c.ok(base64.b64encode(stand.password.encode()).decode(), 235)
        c.begin("s@client.test", [TO])
        assert c.data(f"X-Posthouse-Id: {ID}\r\n".encode() + message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)


def test_its_configuration_is_printed(taking):
    stand = taking()
    said = stand.tool("worker-config", "-c", stand.conf("home"))
    for line in 'WAYS = "smtp"', 'SMTP_HOST = "edge.test"', f'SMTP_USER = "{NAME}"':
        assert f"\n{line}" in said.stdout
    assert f"/worker-{NAME}.smtp | npx wrangler secret put SMTP_PASSWORD" in said.stderr
    assert stand.password not in said.stdout + said.stderr


# --- its id -------------------------------------------------------------------------------------


def test_once_at_home_however_often_it_is_pushed(taking, mark):
    stand = taking()
    stand.stop("home")
    assert push(stand, message(subject=mark)).code == 250
    assert push(stand, message(subject=mark)).code == 250
    o, = stand.queue("edge")
    assert o["id"] == ID and o["signer"] == NAME
    stand.start("home")
    mail, = stand.wait_marked("alice", mark)
    stand.edge_empty()
    assert push(stand, message(subject=mark)).code == 250     # home remembers what was delivered
    stand.edge_empty()
    stand.home_settled()
    assert len(stand.wait_marked("alice", mark)) == 1
    assert "with ESMTPSA" in header(mail, "received") and ID in header(mail, "received")
    assert [k for k, _ in headers(mail)].count("x-posthouse-id") <= 1
    told = json.loads(stand.tool("log", ID, "-c", stand.conf("home"), "--json").stdout)
    assert told["signer"] == NAME


def test_what_has_no_id_on_top_is_not_taken(taking, mark):
    stand = taking()
    for raw in (message(subject=mark), b"x\r\n", b"Subject: x\r\nX-Posthouse-Id: " + ID.encode() +
                b"\r\n\r\n"):
        r = push(stand, raw, id_=None)
        assert r.code == 451 and "X-Posthouse-Id" in r.text
    assert stand.queue("edge") == [] and stand.queue("home") == []


def test_an_edge_that_the_worker_is_not_given_to_lets_nobody_in(taking, mark):
    stand = taking(f'home.worker.{NAME}.edges={{"other.test"}}')
    c, r = logged_in(stand)
    with c:
        assert r.code == 535


def test_a_worker_with_a_domain_more_than_the_edge_has_is_let_in_nowhere(taking, mark):
    stand = taking(f'home.worker.{NAME}.domains={{"example.test", "elsewhere.test"}}')
    c, r = logged_in(stand)
    with c:
        assert r.code == 535


# --- whom it speaks for -------------------------------------------------------------------------


def test_the_object_has_the_client_that_the_worker_speaks_for(taking, mark):
    stand = taking()
    stand.stop("home")
    c, r = speaking_for(stand, "HELO=far.test ADDR=9.9.9.9 PROTO=SMTP")
    with c:
        assert r.code == 220 and r.text.startswith("220 edge.test ")
        c.begin("s@far.test", [TO])
        raw = f"X-Posthouse-Id: {ID}\r\n".encode() + message(subject=mark)
        assert c.data(raw).code == 250
    held = stand.age_open(stand.cat("edge", ID))
    assert held.startswith(
        b"EHLO far.test\r\n"
        b"XCLIENT NAME=[UNAVAILABLE] ADDR=9.9.9.9 PORT=[UNAVAILABLE] PROTO=SMTP HELO=far.test "
        b"DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE]\r\n")
    stand.start("home")
    mail, = stand.wait_marked("alice", mark)
    trace = header(mail, "received")
    assert trace.startswith("from far.test (unknown [9.9.9.9])") and "with SMTP" in trace
    assert "127.0.0.1" not in trace and "tls" not in trace


def test_only_who_logged_in_speaks_for_another(taking):
    stand = taking()
    with Client(stand.smtp) as c:
        assert "XCLIENT" not in c.hello().text
        assert "XCLIENT" not in c.starttls().text
        assert c.cmd("XCLIENT ADDR=9.9.9.9").code == 502
    with Client(stand.taking) as c:
        assert "XCLIENT" not in c.hello().text
        assert c.cmd("XCLIENT ADDR=9.9.9.9").code == 550
        assert "XCLIENT" not in c.starttls().text
        assert c.cmd("XCLIENT ADDR=9.9.9.9").code == 550


def test_nobody_is_believed_to_be_at_home(taking, mark):
    """What a mail server there might trust is nobody's; the message comes as the Worker's own."""
    stand = taking("edge.limits.errors=50")
    c, r = speaking_for(stand, "ADDR=127.0.0.1")
    with c:
        assert r.code == 550
        for addr in ("10.1.2.3", "192.168.1.1", "100.64.0.1", "169.254.1.1", "IPV6:fe80::1",
                     "IPV6:fd00::1", "IPV6:::1", "192.0.2.1"):
            assert c.cmd(f"XCLIENT ADDR={addr}").code == 550, addr
        for wrong in ("NAME=localhost", "LOGIN=root", "ADDR=localhost", "HELO=a+0D+0AReceived:",
                      "ADDR=9.9.9.9 HELO=a+20b", "ADDR=9.9.9.9 ADDR=127.0.0.1", ""):
            assert c.cmd(f"XCLIENT {wrong}").code == 501, wrong
        c.begin("s@far.test", [TO])
        raw = f"X-Posthouse-Id: {ID}\r\n".encode() + message(subject=mark)
        assert c.data(raw).code == 250
    mail, = stand.wait_marked("alice", mark)
    assert "[127.0.0.1]" in header(mail, "received") and "ESMTPSA" in header(mail, "received")


def test_whom_home_bans_a_worker_brings_nothing_from(taking):
    stand = taking()
    stand.tool("ban", "9.9.9.0/24", "-c", stand.conf("home"))
    c, r = speaking_for(stand, "ADDR=9.9.9.9")
    with c:
        assert r.code == 220

        def refused():
            c.ok("MAIL FROM:<s@far.test>")
            code = c.cmd(f"RCPT TO:<{TO}>").code
            c.ok("RSET")
            return code == 550
        until("the ban bites", 10, refused, 0.2)
        c.ok("XCLIENT ADDR=8.8.4.4", 220)
        c.ok("EHLO worker.test")
        c.begin("s@far.test", [TO])


# --- the real Worker ----------------------------------------------------------------------------


@needs_runtime
def test_the_worker_delivers(taking, certs, mark):
    stand = taking()
    with Worker(stand.recipient(), ca=f"{certs}/ca.pem", **smtp(stand, WAYS="smtp r2")) as worker:
        assert worker.email("a@far.test", TO, message(subject=mark))["outcome"] == "accept"
        assert worker.bucket() == []
        large = message(subject=f"{mark}-large", body=("x" * 70 + "\r\n") * 30000)
        assert worker.email("a@far.test", TO, large)["outcome"] == "accept"
        assert worker.email("a@far.test", "nobody@example.test", message())["outcome"] == "reject"
    mails = stand.wait_marked("alice", mark, 2)
    assert sorted(len(m) > 1 << 20 for m in mails) == [False, True]
    until("home keeps nothing", 20, lambda: stand.queue("home") == [])


@needs_runtime
def test_the_worker_delivers_where_tls_begins_at_once(taking, certs, mark):
    stand = taking(service="submissions")
    with Worker(stand.recipient(), ca=f"{certs}/ca.pem",
                **smtp(stand, WAYS="smtp", SMTP_TLS="implicit")) as worker:
        assert worker.email("a@far.test", TO, message(subject=mark))["outcome"] == "accept"
        stand.wait_marked("alice", mark)
    # The name in the certificate is localhost.
    with Worker(stand.recipient(), ca=f"{certs}/ca.pem",
                **smtp(stand, WAYS="smtp", SMTP_TLS="implicit", SMTP_HOST="127.0.0.1")) as worker:
        assert worker.email("a@far.test", TO, message(subject=mark))["outcome"] == "throw"


@needs_runtime
def test_the_worker_says_who_its_client_was(taking, certs, mark):
    stand = taking()
    trace = (b"Received: from mail.far.test (9.9.9.9)\r\n"
             b"        by cloudflare-email.net (cloudflare) id x\r\n")
    at_home = trace.replace(b"9.9.9.9", b"10.0.0.1")
    with Worker(stand.recipient(), ca=f"{certs}/ca.pem", **smtp(stand, WAYS="smtp r2")) as worker:
        for raw in trace + message(subject=mark), at_home + message(subject=f"{mark}-refused"):
            assert worker.email("a@far.test", TO, raw)["outcome"] == "accept"
        assert worker.bucket() == []
    first, second = (next(m for m in stand.wait_marked("alice", mark, 2)
                          if (b"-refused" in m) == refused) for refused in (False, True))
    assert header(first, "received").startswith("from mail.far.test (unknown [9.9.9.9])")
    # An edge that does not believe it takes the message all the same, as the Worker's own.
    assert header(second, "received").startswith(f"from {NAME} (unknown [127.0.0.1])")


@needs_runtime
def test_the_worker_heard_no_answer_and_comes_again(taking, certs, mark):
    """By the bucket and by SMTP once more: one message."""
    stand = taking()
    raw = message(subject=mark, body=("y" * 70 + "\r\n") * 2000)
    with LostAnswer(stand.taking, 100000) as wire, Worker(
            stand.recipient(), ca=f"{certs}/ca.pem",
            **smtp(stand, wire.where, WAYS="smtp r2")) as worker:
        assert worker.email("a@far.test", TO, raw)["outcome"] == "accept"
        assert wire.lost == 2
        name, = worker.bucket()
        mail, = stand.wait_marked("alice", mark)
        assert header(mail, "received").find(name[8:-4]) > 0
        assert worker.email("a@far.test", TO, raw)["outcome"] == "accept"
        until("it came again", 10, lambda: stand.log("edge").count(" smtp.accept ") == 2)
    stand.edge_empty()
    stand.home_settled()
    assert len(stand.wait_marked("alice", mark)) == 1


@needs_runtime
def test_what_came_by_the_edge_and_by_the_bucket_is_one(taking, certs, mark, tmp_path):
    """The edge has it and its answer was lost, so that the Worker left it in the bucket too."""
    store = r2_store()
    secret = write_key(tmp_path, "s3.keys", f"{store.key}\n{store.secret}")
    stand = taking(f"home.bucket.r2.endpoint={store.endpoint}", "home.bucket.r2.poll=1s",
                   f"home.bucket.r2.bucket={store.name}", f"home.bucket.r2.credentials={secret}")
    with open(f"{stand.env['HOME_STATE']}/worker-{NAME}.mac", encoding="ascii") as f:
        mac = f.read().strip()
    stand.stop("home")
    with LostAnswer(stand.taking, 100000) as wire, Worker(
            stand.recipient(), ca=f"{certs}/ca.pem", store=store,
            **smtp(stand, wire.where, WAYS="smtp r2", MAC_KEY=mac)) as worker:
        raw = message(subject=mark, body=("y" * 70 + "\r\n") * 2000)
        assert worker.email("a@far.test", TO, raw)["outcome"] == "accept"
        held, = stand.queue("edge")
        assert worker.bucket() == [f"pending/{held['id']}.age"]
        stand.start("home")
        stand.wait_marked("alice", mark)
        stand.edge_empty()
        until("the bucket is empty", 20, lambda: worker.bucket() == [])
    stand.home_settled()
    assert len(stand.wait_marked("alice", mark)) == 1
    until("home keeps nothing", 20, lambda: stand.queue("home") == [])


@needs_runtime
def test_the_worker_with_a_wrong_password_leaves_it_in_the_bucket(taking, certs, mark):
    stand = taking()
    with Worker(stand.recipient(), ca=f"{certs}/ca.pem",
                **smtp(stand, WAYS="smtp r2", SMTP_PASSWORD="0" * 64)) as worker:
        assert worker.email("a@far.test", TO, message(subject=mark))["outcome"] == "accept"
        assert len(worker.bucket()) == 1
    assert stand.queue("edge") == []
