"""posthouse bucket: what waits in a real store, and what is wrong with one, with what to do."""

import concurrent.futures
import json
import os
import struct
import subprocess
import tempfile
import time

import pytest

from kit.authority import Authority
from kit.lying_s3 import LyingS3, error, page
from kit.ports import free_port
from kit.radosgw import KEY, MISSING, SECRET, Radosgw
from kit.s3 import rules
from kit.stand import TOP, posthouse

pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {' '.join(MISSING)}")
READER = "READACCESS", "READSECRET"
STEPS = ["list", "write", "condition", "read", "delete", "lifecycle"]


@pytest.fixture(name="ca", scope="module")
def one_ca():
    with tempfile.TemporaryDirectory(prefix="ph-ca-") as dir_:
        yield Authority(dir_)


@pytest.fixture(name="store", scope="module")
def one_store(ca):
    with Radosgw(ca.cert("127.0.0.1")) as r:
        r.reader(*READER)
        yield r


class Home:
    """A configuration with one bucket, and its credentials; no home runs."""

    def __init__(self, dir_):
        self.dir = dir_

    def configure(self, endpoint, bucket="mail", keys=(KEY, SECRET), mode=0o600, **more):
        with open(f"{self.dir}/keys", "w", encoding="ascii") as f:
            f.write("\n".join(keys) + "\n")
        os.chmod(f"{self.dir}/keys", mode)
        lines = "".join(f'\t{k} = "{v}"\n' for k, v in more.items() if k != "alarms")
        with open(f"{self.dir}/home.conf", "w", encoding="ascii") as f:
            f.write(f'deliver {{ maildir = "{self.dir}" }}\nmailboxes {{ users = {{"alice"}} }}\n'
                    f'bucket "r2" {{\n\tendpoint = "{endpoint}"\n\tbucket = "{bucket}"\n'
                    f'\tcredentials = "{self.dir}/keys"\n{lines}}}\n'
                    f'alarms {{ oldest = "{more.get("alarms", "4h")}" }}\n')

    def run(self, *words, env=None):
        r = subprocess.run([posthouse(), "bucket", *words, "-c", f"{self.dir}/home.conf"],
                           check=False, capture_output=True, text=True, timeout=60,
                           env=dict(os.environ, **(env or {})))
        assert SECRET not in r.stdout + r.stderr
        return r

    def check(self, **kw):
        """(exit status, {step: (result, text)})"""
        r = self.run("check", "--json", **kw)
        assert r.stderr == ""
        return r.returncode, {s["step"]: (s["result"], s["text"]) for s in json.loads(r.stdout)}


@pytest.fixture(name="home")
def one_home(tmp_path):
    return Home(tmp_path)


# --- check ---

def test_a_bucket_that_is_as_it_should_be(store, home):
    bucket = store.bucket("good")
    bucket.put("pending/0.age", b"x")
    rules(bucket, 30)
    home.configure(store.endpoint, "good", keep="7d")
    status, steps = home.check()
    assert [k for k in steps if steps[k][0] != "ok"] == [], steps
    assert list(steps) == STEPS[:4] + ["copy"] + STEPS[4:]
    assert "30 days" in steps["lifecycle"][1] and "mail waits" in steps["list"][1]
    assert status == 0
    assert bucket.keys() == ["pending/0.age"]       # nothing of its own stays
    r = home.run("check", "r2")
    assert r.returncode == 0 and r.stdout.startswith(f"r2: bucket good at {store.endpoint}\n")
    assert len(r.stdout.splitlines()) == 8 and "\033" not in r.stdout


def test_rules_that_delete_mail_before_anybody_hears_of_it(store, home):
    bucket = store.bucket("rules")
    home.configure(store.endpoint, "rules")
    status, steps = home.check()
    assert status == 0 and steps["lifecycle"][0] == "warning", "no rule is no failure"
    assert "no rule deletes below pending/" in steps["lifecycle"][1]
    rules(bucket, 1)
    home.configure(store.endpoint, "rules", alarms="2d")
    status, steps = home.check()
    assert status == 1 and steps["lifecycle"][0] == "failed"
    assert "alarms.oldest is 2 days" in steps["lifecycle"][1]


def test_what_waits_longer_than_the_alarm_is_warned_of(store, home):
    bucket = store.bucket("backlog")
    rules(bucket, 30)
    bucket.put("pending/0.age", b"x")
    bucket.put("pending/1.age", b"x")
    time.sleep(2)
    home.configure(store.endpoint, "backlog", alarms="1s")
    status, steps = home.check()
    assert status == 0 and [k for k in steps if steps[k][0] != "ok"] == ["list"], steps
    assert steps["list"][0] == "warning" and "2 objects, the oldest for" in steps["list"][1]
    assert steps["list"][1].endswith("what does posthouse status say of the bucket?")


def test_mail_below_another_prefix_is_named_where_a_worker_of_ours_put_it(store, home):
    """Whose BUCKET_PREFIX is wrong: it is told that the mail is kept, and nobody looks there."""
    bucket = store.bucket("stray")
    rules(bucket, 30)

    def put(prefix, n, signer="w.example.org"):
        bucket.put(f"{prefix}01890a5d-ac96-774b-bcce-b302099a80{n:02}.age", b"x",
                   meta=[("posthouse-edge", signer)])
    put("pending/", 0)
    put("processed/", 0)
    put("bob/", 0, "w.example.net")             # another home's
    bucket.put("mail/photo.jpg", b"x")
    home.configure(store.endpoint, "stray")
    with open(f"{home.dir}/home.conf", "a", encoding="ascii") as f:
        f.write('worker "w.example.org" { domains = {"example.org"} }\n')
    status, steps = home.check()
    assert status == 0 and "elsewhere" not in steps, steps
    for n in range(3):
        put("mail/pending/", n)
    status, steps = home.check()
    assert status == 1 and steps["elsewhere"][0] == "failed"
    text = steps["elsewhere"][1]
    assert "mail that w.example.org put there lies below mail/pending/" in text
    assert "3 objects" in text and 'BUCKET_PREFIX = "pending/"' in text
    assert 'prefix = "mail/pending/"' in text
    with open(f"{home.dir}/home.conf", "a", encoding="ascii") as f:
        f.write(f'bucket "more" {{ endpoint = "{store.endpoint}"  bucket = "stray"\n'
                f'credentials = "{home.dir}/keys"  prefix = "mail/pending/" }}\n')
    r = home.run("check", "r2")
    assert r.returncode == 0 and "elsewhere" not in r.stdout, r.stdout


@pytest.mark.parametrize("keys, step, words", [
    ((KEY, "wrong"), "list", "the secret is not the one of this access key id"),
    (("WRONG", SECRET), "list", "the store does not know this access key id"),
    (READER, "write", "may not do that in this bucket"),
])
def test_credentials_that_do_not_do(store, home, keys, step, words):
    try:
        store.bucket("cred")
    except AssertionError:
        pass                                # it is there
    home.configure(store.endpoint, "cred", keys)
    status, steps = home.check()
    assert status == 1 and steps[step][0] == "failed" and words in steps[step][1], steps
    assert "write" not in steps or step == "write"


def test_a_bucket_that_is_not_there_and_an_endpoint_that_is_none(store, home):
    home.configure(store.endpoint, "nobody")
    status, steps = home.check()
    assert status == 1 and list(steps) == ["list"]
    assert 'there is no bucket "nobody" here: make it' in steps["list"][1]
    home.configure(f"http://127.0.0.1:{free_port()}", "nobody")
    began = time.monotonic()
    status, steps = home.check()
    assert status == 1 and list(steps) == ["list"] and time.monotonic() - began < 20
    assert "onnect" in steps["list"][1]


def test_tls_is_believed_by_its_authority_alone(store, ca, home):
    store.bucket("tls")
    home.configure(store.tls, "tls", authorities=ca.pem)
    status, steps = home.check()
    assert status == 0, steps
    home.configure(store.tls, "tls")
    status, steps = home.check()
    assert status == 1 and list(steps) == ["list"] and "certificate" in steps["list"][1]


def test_an_endpoint_that_is_nearly_right(store, home):
    for endpoint, more, words in (
            (store.tls.replace("https:", "http:"), {}, "Then write https://"),
            (store.endpoint.replace("http:", "https:"), {}, "it speaks no TLS there"),
            (store.endpoint, {"style": "host"}, 'try "path"')):
        home.configure(endpoint, "nearly", **more)
        status, steps = home.check()
        assert status == 1 and list(steps) == ["list"] and words in steps["list"][1], steps


@pytest.mark.parametrize("off, words", [(3700, "1 h 1 min ahead"), (-90100, "25 h 1 min behind")])
def test_a_wrong_clock_is_told_and_keeps_no_mail_away(store, home, tmp_path, off, words):
    store.bucket(f"clock{abs(off)}")
    home.configure(store.endpoint, f"clock{abs(off)}")
    clock, library = tmp_path / "clock", tmp_path / "wrong_clock.so"
    clock.write_bytes(struct.pack("=q", off))
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", f'-DCLOCK_FILE="{clock}"', "-o", library,
                    f"{TOP}/test/kit/wrong_clock.c", "-ldl"], check=True)
    status, steps = home.check(env={"LD_PRELOAD": str(library)})
    assert steps["clock"][0] == "warning" and words in steps["clock"][1], steps
    assert [k for k in STEPS[:5] if steps[k][0] != "ok"] == [] and status == 0


@pytest.mark.parametrize("text, mode, words", [
    ((KEY, SECRET), 0o644, "others may read or write it (mode 0644); chmod 600 it"),
    ((KEY,), 0o600, "the secret is missing"),
    (("endpoint = x", SECRET), 0o600, "line 1: neither access_key_id"),
])
def test_a_file_of_credentials_that_is_none(home, text, mode, words):
    home.configure("http://127.0.0.1:1", keys=text, mode=mode)
    status, steps = home.check()
    assert status == 1 and list(steps) == ["settings"] and words in steps["settings"][1], steps
    r = home.run("ls")
    assert r.returncode == 1 and words in r.stderr and r.stdout == ""


# --- ls ---

def test_what_waits_is_listed_oldest_first(store, home):
    bucket = store.bucket("waiting")
    home.configure(store.endpoint, "waiting")
    r = home.run("ls")
    assert r.returncode == 0 and r.stdout == "Nothing waits.\n" and r.stderr == ""
    assert home.run("ls", "--json").stdout == "[]\n"
    put = [("pending/c.age", 5000), ("pending/a\u00e4 b&.age", 70), ("pending/b.age", 1)]
    for name, size in put:
        bucket.put(name, b"x" * size)
        time.sleep(0.05)
    bucket.put("elsewhere/d.age", b"x")
    r = home.run("ls", "r2")
    lines = r.stdout.splitlines()
    assert r.returncode == 0 and lines[0].split() == ["AGE", "SIZE", "BUCKET", "NAME"]
    assert [line.split("r2", 1)[1].strip() for line in lines[1:4]] == [
        "pending/c.age", "pending/a\u00e4 b&.age", "pending/b.age"]
    assert "4.9 KB" in lines[1] and lines[4].startswith("3 objects, 5.0 KB, the oldest for ")
    found = json.loads(home.run("ls", "--json").stdout)
    assert [(o["bucket"], o["key"], o["size"]) for o in found] == [("r2", *p) for p in put]
    assert all(0 <= o["age_s"] < 60 and o["modified"].startswith("20") for o in found)


def test_a_thousand_and_more_come_in_pages(store, home):
    bucket = store.bucket("many")
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: bucket.put(f"pending/{i:04}", b"x"), range(1050)))
    home.configure(store.endpoint, "many")
    found = json.loads(home.run("ls", "--json").stdout)
    assert sorted(o["key"] for o in found) == [f"pending/{i:04}" for i in range(1050)]


def test_what_is_asked_wrongly(home):
    home.configure("http://127.0.0.1:1")
    assert home.run("rm").returncode == 2
    r = home.run("ls", "r3")
    assert r.returncode == 1 and 'no bucket "r3"' in r.stderr


# --- stores that lie ---

LIES = [
    ("slow down", (429, {"Retry-After": "7"}, error("TooManyRequests")), "429"),
    ("not now", (503, {}, error("SlowDown")), "503 SlowDown"),
    ("broken", (500, {}, error("InternalError")), "500 InternalError"),
    ("cut short", (200, {"Content-Length": "5000"}, page("pending/a")), "bytes remaining"),
    ("cut short, and told whole", (200, {}, page("pending/a")[:-20]), "the store's answer"),
    ("another region", (301, {"x-amz-bucket-region": "eu-west-1"}, ""),
     'write region = "eu-west-1"'),
    ("elsewhere", (307, {}, error("TemporaryRedirect")), "must be its own"),
    ("a web page", (200, {}, "<html><p>Log in<br></html>"), "nor an S3 server's"),
    ("nothing", (200, {}, ""), "without its body"),
    ("for ever the same", (200, {}, page("pending/a", token="t")), "goes back"),
    ("for ever nothing", (200, {}, page(token="t")), "does not get on"),
    ("a million entities", (200, {}, "<!DOCTYPE x [<!ENTITY a 'aaaa'>]>" + page("&a;" * 9)),
     "document type"),
    ("larger than any", (200, {}, page("p") + " " * (5 << 20)), "larger"),
]


@pytest.mark.parametrize("says, words", [lie[1:] for lie in LIES], ids=[lie[0] for lie in LIES])
def test_a_listing_that_is_none_is_told(home, says, words):
    with LyingS3(lambda *_: says) as liar:
        home.configure(liar.endpoint)
        began = time.monotonic()
        r = home.run("ls", "--json")
        assert r.returncode == 1 and words in r.stderr, r.stderr
        assert len(liar.asked) <= 3 and time.monotonic() - began < 30
        assert liar.asked[0].startswith(
            "GET /mail/?encoding-type=url&list-type=2&max-keys=1000&prefix=pending%2F")


class Store(dict):
    """One that works, but for what a test changes."""

    def __call__(self, asked, body):
        method, path = asked.split(" ", 1)
        if method == "GET" and "list-type" in path:
            return 200, {}, page()
        if "lifecycle" in path:
            return 404, {}, error("NoSuchLifecycleConfiguration")
        if method == "PUT":
            self[path] = body
            return 200, {"ETag": '"x"'}, ""
        if method == "DELETE":
            self.pop(path, None)
            return 204, {}, ""
        return (200, {}, self[path]) if path in self else (404, {}, error("NoSuchKey"))


def test_a_store_that_forgets_what_it_should_keep(home):
    class Forgets(Store):
        def __call__(self, asked, body):
            if asked.startswith("PUT"):
                return 200, {}, "<html>Welcome to our hotel</html>"
            return super().__call__(asked, body)

    class Keeps(Store):
        def __call__(self, asked, body):
            if asked.startswith("DELETE"):
                return 204, {}, ""
            return super().__call__(asked, body)

    for says, step, words in ((Forgets(), "write", "no S3 server"),
                              (Store(), "condition", "wrote over an object"),
                              (Store(), "read", "is not what was written"),
                              (Keeps(), "delete", "it is still there")):
        with LyingS3(says) as liar:
            home.configure(liar.endpoint)
            status, steps = home.check()
            assert status == 1 and steps[step][0] != "ok" and words in steps[step][1], steps
