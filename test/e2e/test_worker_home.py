"""The Worker in its real runtime; home's push service behind nginx, as behind a tunnel's end."""

import contextlib
import os
import re
import subprocess
import tomllib

import pytest

from kit.cloudflare import Cloudflare
from kit.push_home import Backend
from kit.stand import header, posthouse, until
from kit.worker import EDGE, runtime_missing

pytestmark = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())

MAIL = b"From: <a@far.test>\r\nSubject: hello\r\n\r\n.dot\r\n..dots\r\n\xffthe last line\r\n"


@pytest.fixture(scope="module", name="pair")
def running(certs):
    with contextlib.ExitStack() as stack:
        yield Cloudflare(stack, certs, bindings={"SEAL_MAX": str(25 << 20)})


@pytest.fixture(name="make")
def maker(certs):
    with contextlib.ExitStack() as stack:
        yield lambda **kw: Cloudflare(stack, certs, **kw)


def mark_in(mark, mail=MAIL):
    return mail.replace(b"hello", mark.encode())


def with_mark(home, mark, user="alice"):
    return [m for m in home.mails(user) if mark.encode() in m]


def test_what_worker_config_prints(pair):
    said = pair.home.tool("worker-config", EDGE)
    conf = tomllib.loads(said.stdout)
    assert conf["vars"]["EDGE_NAME"] == EDGE and conf["vars"]["WAYS"] == "https"
    assert conf["vars"]["RECIPIENTS"] == pair.home.recipient
    assert conf["main"] == "posthouse.js" and "r2_buckets" not in conf
    assert "has no bucket" in said.stderr
    for secret in (pair.home.mac_key, pair.home.token):
        assert secret not in said.stdout + said.stderr
    # What it says to do with the secrets is what the Worker was given.
    for name, secret in (("MAC_KEY", pair.home.mac_key), ("HTTPS_TOKEN", pair.home.token)):
        (path,) = re.findall(rf"head -n 1 (\S+) \| npx wrangler secret put {name}\n", said.stderr)
        with open(path, encoding="ascii") as f:
            assert f.readline().strip() == secret


def test_worker_config_knows_homes_bucket(pair, tmp_path):
    with open(pair.home.conf, encoding="ascii") as f:
        text = f.read()
    other = str(tmp_path / "home.conf")
    with open(other, "w", encoding="ascii") as f:
        f.write(text + 'bucket "r2" { endpoint = "https://id.r2.cloudflarestorage.com" bucket = '
                '"our-mail" credentials = "/nowhere" prefix = "waiting/" }\n'
                f'age {{ recovery = "{pair.home.recipient}" }}\n')
    r = subprocess.run([posthouse(), "worker-config", "-c", other], check=True,
                       capture_output=True, text=True)
    conf = tomllib.loads(r.stdout)
    assert conf["r2_buckets"] == [{"binding": "MAIL", "bucket_name": "our-mail"}]
    assert conf["vars"]["WAYS"] == "https r2" and conf["vars"]["BUCKET_PREFIX"] == "waiting/"
    assert conf["vars"]["RECIPIENTS"] == f"{pair.home.recipient} {pair.home.recipient}"
    # Where it lies counts: a name in one jurisdiction is not that name in another.
    for at, there in (("id.eu.r2.cloudflarestorage.com", "eu"), ("s3.other.test", None)):
        with open(other, "w", encoding="ascii") as f:
            f.write(text.replace('url = "https://', 'url = "https://p.test/\\"\\\\b')
                    + f'bucket "x" {{ endpoint = "https://{at}" bucket = "our-mail" '
                    'credentials = "/nowhere" prefix = "a\\"\\\\b/" }\n')
        r = subprocess.run([posthouse(), "worker-config", "-c", other], check=True,
                           capture_output=True, text=True)
        conf = tomllib.loads(r.stdout)
        assert conf["vars"]["HTTPS_URL"].startswith('https://p.test/"\\b')
        if there is None:       # a Worker cannot write to it: nothing would ever wait there
            assert conf["vars"]["WAYS"] == "https" and "r2_buckets" not in conf
            assert "has no bucket at R2" in r.stderr
            continue
        assert conf["r2_buckets"][0]["jurisdiction"] == there
        assert conf["vars"]["BUCKET_PREFIX"] == 'a"\\b/'
    # Without either there is nothing that a Worker could do with mail.
    with open(other, "w", encoding="ascii") as f:
        f.write(re.sub(r'service "push".*\n', "", text))
    r = subprocess.run([posthouse(), "worker-config", "-c", other], check=False,
                       capture_output=True, text=True)
    assert r.returncode == 1 and "no way for the Worker's mail" in r.stderr and r.stdout == ""


def test_home_is_up(pair, mark):
    """Delivered before the sender is told, once however often the Worker is run, and not stored."""
    mail = mark_in(mark)
    assert pair.send(mail)["outcome"] == "accept"
    (got,) = with_mark(pair.home, mark)
    assert got.endswith(mail.partition(b"Subject")[2].replace(b"\r\n", b"\n"))
    assert header(got, "Return-Path") == "<a@far.test>"
    for _ in range(2):
        assert pair.send(mail)["outcome"] == "accept"
    assert len(with_mark(pair.home, mark)) == 1 and pair.worker.bucket() == []


def test_one_message_to_two_recipients(pair, mark):
    for user in ("alice", "bob", "alice"):
        assert pair.send(mark_in(mark), to=f"{user}@example.test")["outcome"] == "accept"
    assert len(with_mark(pair.home, mark)) == len(with_mark(pair.home, mark, "bob")) == 1


def test_a_null_sender(pair, mark):
    assert pair.send(mark_in(mark), from_="")["outcome"] == "accept"
    (got,) = with_mark(pair.home, mark)
    assert header(got, "Return-Path") == "<>"


def test_25_mib(pair, mark):
    line = os.urandom(38).hex().encode() + b"\r\n"
    mail = mark_in(mark) + line * (((25 << 20) - 200) // len(line))
    assert pair.send(mail)["outcome"] == "accept"
    until("it is delivered", 20, lambda: with_mark(pair.home, mark))
    (got,) = with_mark(pair.home, mark)
    assert got.endswith(mail.partition(b"Subject")[2].replace(b"\r\n", b"\n"))
    assert pair.worker.bucket() == []


def test_whom_home_does_not_know_the_sender_hears_of(pair, mark):
    r = pair.send(mark_in(mark), to="nobody@example.test")
    assert r["outcome"] == "reject" and r["reason"].startswith("550 5.1.1 ")
    assert pair.worker.bucket() == []
    until("home keeps nothing of it", 10,
          lambda: "[]" in pair.home.tool("queue", "--json").stdout)


def test_homes_server_says_451(make, mark):
    with Backend(**{".": "451 4.3.0 not today"}) as backend:
        pair = make(deliver=f'smtp = "127.0.0.1:{backend.port}" retry_max = 1s')
        assert pair.send(mark_in(mark))["outcome"] == "accept"
        assert pair.worker.bucket() == [] and backend.took == []
        backend.replies["."] = "250 2.0.0 now"
        until("it is delivered", 20, lambda: backend.took)
        assert mark.encode() in backend.took[0]


def test_homes_server_says_550(make, mark):
    """And a message that the Worker gave up on is not delivered later, nor again."""
    with Backend(**{".": "550-5.7.1 not wanted\r\n550 5.7.1 at all"}) as backend:
        pair = make(deliver=f'smtp = "127.0.0.1:{backend.port}"')
        r = pair.send(mark_in(mark))
        assert r["outcome"] == "reject", r
        assert re.fullmatch(r"550[- ]5\.7\.1 not wanted (5\.7\.1 )?at all", r["reason"]), r
        assert pair.worker.bucket() == [] and backend.took == []
        until("home keeps nothing of it", 10,
              lambda: "[]" in pair.home.tool("queue", "--json").stdout)


def test_home_is_away(make, mark):
    """It waits in the bucket under the name by which home will know it; and comes again."""
    pair = make()
    pair.home.stop()
    assert pair.send(mark_in(mark))["outcome"] == "accept"
    (name,) = pair.worker.bucket()
    pair.home.start()
    assert pair.send(mark_in(mark))["outcome"] == "accept"
    (got,) = pair.home.wait_mails(1)
    assert f"pending/{header(got, 'X-Posthouse-Id')}.age" == name
    # What the drain would bring from there: the same object by its name and signer.
    sealed, meta = pair.worker.object(name)
    id_ = name[len("pending/"):-len(".age")]
    assert pair.home.ask("PUT", f"/mail/{id_}", sealed, prefer="wait=5",
                         posthouse_mac=meta["posthouse-mac"]) == (200, "")
    assert len(pair.home.mails()) == 1


@pytest.mark.parametrize("wrong", [{"HTTPS_TOKEN": "00" * 32}, {"MAC_KEY": "00" * 32},
                                   {"HTTPS_TOKEN": "not hexadecimal"}],
                         ids=["token", "key", "word"])
def test_with_a_wrong_secret_home_takes_nothing(make, mark, wrong):
    pair = make(bindings=wrong)
    assert pair.send(mark_in(mark))["outcome"] == "accept"
    assert len(pair.worker.bucket()) == 1
    assert pair.home.mails() == [] and "[]" in pair.home.tool("queue", "--json").stdout


def test_a_flood_goes_into_the_bucket(make, mark):
    """Nothing of it is refused to its senders, and nothing is lost."""
    pair = make(service="rate = 4")
    for n in range(10):
        assert pair.send(mark_in(f"{mark}-{n}"))["outcome"] == "accept"
    waiting = len(pair.worker.bucket())
    assert waiting >= 3
    pair.home.wait_mails(10 - waiting)
