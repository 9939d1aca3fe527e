"""What a Worker answers by HTTPS: the probe, which must open no connection for anybody else, and
the policy of MTA-STS."""

import json
import secrets
import urllib.parse

import pytest

from kit.ports import free_port
from kit.push_peers import HttpsHome, SmtpListener
from kit.worker import Worker, runtime_missing

pytestmark = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())
TOKEN = secrets.token_hex(32)


@pytest.fixture(scope="module", name="resolver")
def names(certs):
    """DNS over HTTPS, as JSON."""
    said = json.dumps({"Status": 0, "AD": True, "Answer": [{"data": "192.0.2.7"}]})
    with HttpsHome(certs, lambda *_: (200, said)) as home:
        yield home


@pytest.fixture(name="start")
def starter(certs, resolver):
    running = []

    def start(**bindings):
        running.append(Worker("", ca=f"{certs}/ca.pem", **{
            "PROBE_TOKEN": TOKEN, "PROBE_HOSTS": "localhost, Mx.example.test",
            "PROBE_RESOLVER": f"{resolver.url}/dns", **bindings}))
        return running[-1]

    yield start
    for worker in running:
        worker.__exit__(None, None, None)


def probe(worker, token=TOKEN, method="GET", **asked):
    status, _, said = worker.ask(method, "/probe?" + urllib.parse.urlencode(asked), None,
                                 {"authorization": f"Bearer {token}"} if token is not None else {})
    return status, json.loads(said) if status == 200 else said.decode()


def test_what_listens_is_seen_and_what_does_not(start, certs, resolver):
    worker = start()
    with SmtpListener(certs, greeting="220 home.test\x07 ESMTP") as home:
        status, said = probe(worker, host="LOCALHOST", port=home.port)
    assert status == 200 and said["host"] == "localhost" and said["port"] == home.port
    assert said["tcp"]["connected"] and said["tcp"]["greeting"] == "220 home.test? ESMTP"
    assert said["dns"]["A"] == {"status": 0, "secure": True, "answers": ["192.0.2.7"]}
    assert set(said["dns"]) == {"A", "AAAA", "MX", "TXT"}
    assert {a[1].partition("&")[0] for a in resolver.asked} == {"/dns?name=localhost"}
    status, said = probe(worker, host="localhost", port=free_port())
    assert status == 200 and not said["tcp"]["connected"] and said["tcp"]["why"]


def test_nobody_without_the_token(start):
    worker = start()
    for token in None, "", "x", TOKEN[:-1], TOKEN + "0", TOKEN.upper() + " ":
        assert probe(worker, token, host="localhost", port=1)[0] == 401, token
    assert probe(worker, method="POST", host="localhost", port=1)[0] == 405
    assert worker.ask("GET", "/")[0] == 404


@pytest.mark.parametrize("token, status", [(None, 404), ("", 404), (" ", 500), ("short", 500)])
def test_a_token_that_is_none_lets_nobody_in(start, token, status):
    worker = start(PROBE_TOKEN=token)
    for said in None, "", token or "x":
        assert probe(worker, said, host="localhost", port=1)[0] == status


def test_nothing_but_the_hosts_that_it_is_for(start):
    worker = start()
    for host in ("", "127.0.0.1", "[::1]", "localhost.", "example.test", "localhost@evil.test",
                 "mx.example.test:25", "localhost\n", "169.254.169.254", "x" * 3000):
        assert probe(worker, host=host, port=1)[0] == 403, host
    for port in "", "0", "65536", "-1", "1e2", "0x19", "25 ", "25,26":
        assert probe(worker, host="localhost", port=port)[0] == 400, port
    assert probe(start(PROBE_HOSTS=None), host="localhost", port=1)[0] == 403


def test_not_for_ever(start):
    worker, port = start(), free_port()
    said = [probe(worker, host="localhost", port=port)[0] for _ in range(12)]
    assert said == [200] * 10 + [429] * 2


@pytest.mark.parametrize("mode, status",
                         [("testing", 200), ("enforce", 200), (None, 404), ("x", 404)])
def test_the_policy_of_mta_sts(start, mode, status):
    worker = start(MTA_STS=mode)
    path = "/.well-known/mta-sts.txt"
    got, headers, said = worker.ask("GET", path, None, {"host": "mta-sts.example.test"})
    assert got == status
    if status == 200:
        assert headers["Content-Type"].startswith("text/plain")
        lines = said.decode().split("\r\n")
        assert lines[:3] == ["version: STSv1", f"mode: {mode}", "mx: *.mx.cloudflare.net"]
        assert lines[3].startswith("max_age: ") and lines[4:] == [""]
    assert worker.ask("GET", path, None, {"host": "www.example.test"})[0] == 404
