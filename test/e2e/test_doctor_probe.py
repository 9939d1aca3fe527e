"""posthouse doctor asks a Worker, in its real runtime, what it sees of home from outside."""

import json
import os
import re
import socket
import subprocess
import tomllib

import pytest

from kit.ports import free_port
from kit.push_peers import HttpsHome, SmtpListener
from kit.stand import posthouse
from kit.worker import Worker, runtime_missing

pytestmark = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())


class Home:
    """Only its configuration and its keys: nothing of it has to run."""

    def __init__(self, dir_, url, targets=(), worker=""):
        self.dir = str(dir_)
        self.conf = f"{self.dir}/home.conf"
        self.url, self.worker = url, worker
        self.look_at(*targets)
        self.tool("keygen")
        with open(f"{self.dir}/state/probe.token", encoding="ascii") as f:
            self.token = f.read().strip()

    def look_at(self, *targets):
        said = ", ".join(f'"{t}"' for t in targets)
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f'state = "{self.dir}/state"\ncontrol = "{self.dir}/sock"\nuser = ""\n'
                    f'deliver {{ maildir = "{self.dir}" }}\nmailboxes {{ users = {{"alice"}} }}\n'
                    f'{self.worker}\nprobe {{\n\turl = "{self.url}"\n'
                    + (f"\ttargets = {{{said}}}\n" if targets else "") + "}\n")

    def tool(self, *words):
        return subprocess.run([posthouse(), *words, "-c", self.conf], check=True,
                              capture_output=True, text=True, timeout=60)

    def probed(self):
        """[(check, state, text, advice)] of what the probe had to do with."""
        r = subprocess.run([posthouse(), "doctor", "-c", self.conf, "--json"], check=False,
                           capture_output=True, text=True, timeout=120)
        assert self.token not in r.stdout + r.stderr
        found = [tuple(o[k] for k in ("check", "state", "text", "advice"))
                 for o in json.loads(r.stdout) if o["check"].startswith("probe")]
        assert found and (r.returncode == 1 or all(f[1] != "fail" for f in found))
        return found

    def only(self):
        (one,) = self.probed()
        return one


@pytest.fixture(scope="module", name="resolver")
def names(certs):
    """DNS over HTTPS, as JSON: localhost has an address, and no other name has."""
    def said(*_):
        there = "name=localhost&" in home.asked[-1][1]
        return 200, json.dumps({"Status": 0 if there else 3, "AD": True, "Answer": [
            {"data": "alias.test."}, {"data": "192.0.2.7"}] if there else []})
    with HttpsHome(certs, said) as home:
        yield home


@pytest.fixture(name="start")
def starter(certs, resolver, tmp_path):
    running = []

    def start(home=None, **bindings):
        running.append(Worker("", ca=f"{certs}/ca.pem", **{
            "PROBE_TOKEN": home and home.token, "PROBE_HOSTS": "localhost nowhere.invalid",
            "PROBE_RESOLVER": f"{resolver.url}/dns", **bindings}))
        return f"http://127.0.0.1:{running[-1].port}"

    yield start
    for worker in running:
        worker.__exit__(None, None, None)


def test_what_is_seen_from_outside_and_what_is_not(start, certs, tmp_path):
    home = Home(tmp_path, "http://127.0.0.1:1", ["localhost:1"])
    home.url, shut = start(home) + "/", free_port()
    with SmtpListener(certs, greeting="220 home.test ESMTP") as up, \
            SmtpListener(certs, greeting="554 not you") as odd:
        home.worker = ('worker "w.example.org" { domains = {"example.org"} edges = {"localhost"} '
                       f'smtp = "localhost:{up.port}" }}')
        home.look_at()                  # where its Worker finds it, if nothing else is said
        check, state, text, advice = home.only()
        assert (check, state, advice) == (f"probe localhost:{up.port}", "ok", "")
        assert re.fullmatch(r"it can be connected to from outside at 192\.0\.2\.7, 192\.0\.2\.7, "
                            r"in \d+ ms: 220 home\.test ESMTP", text)
        home.worker = home.worker.replace(str(up.port), str(odd.port))
        home.look_at(f"localhost:{odd.port}", f"localhost:{shut}", "nowhere.invalid:993",
                     "else.test:993")
        bad, closed, nameless, unlisted = home.probed()
        assert bad[1] == "warn" and '"554 not you" where SMTP begins with 220' in bad[2]
        assert closed[:2] == (f"probe localhost:{shut}", "fail") and "router" in closed[3]
        assert closed[2].startswith("nobody outside can connect to it at 192.0.2.7, ")
        assert nameless[:3] == ("probe nowhere.invalid:993", "fail", "DNS has no address of it")
        assert unlisted[:2] == ("probe else.test:993", "fail") and "PROBE_HOSTS" in unlisted[3]


def test_a_worker_that_does_not_let_it_look_is_told_once(start, tmp_path):
    home = Home(tmp_path, "http://127.0.0.1:1", ["localhost:1", "localhost:2"])
    for bindings, state, status, words in (
            ({"PROBE_TOKEN": "0" * 64}, "fail", 401, "another token than probe.token"),
            ({"PROBE_TOKEN": None}, "fail", 404, "give the Worker the secret PROBE_TOKEN"),
            ({"PROBE_TOKEN": "short"}, "warn", 500, "is probe.url the Worker's address")):
        home.url = start(home, **bindings)
        home.look_at("localhost:1", "localhost:2")
        check, had, text, advice = home.only()
        assert (check, had) == ("probe", state) and f" answered {status}: " in text
        assert words in advice
    home.url = start(home)
    home.look_at(*[f"localhost:{free_port()}" for _ in range(6)])
    assert [f[1] for f in home.probed()] == ["fail"] * 6
    *some, last = home.probed()         # ten a minute
    assert len(some) == 4 and last[:2] == ("probe", "warn") and "in a minute" in last[3]


@pytest.mark.parametrize("answer, words", [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "not what a probe does"),
    (b'HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n{"tcp":{"connected":1', "not what"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n[null, 1]", "not what a probe does"),
    (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n", "answered 302"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 90000\r\n\r\n" + b"x" * 90000, "cannot be asked"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\nx", "cannot be asked"),
    (b"", "cannot be asked"),
], ids=["another", "cut JSON", "other JSON", "a login", "endless", "cut", "nothing"])
def test_what_is_no_worker(tmp_path, answer, words):
    with socket.create_server(("127.0.0.1", 0)) as odd:
        home = Home(tmp_path, f"http://127.0.0.1:{odd.getsockname()[1]}", ["localhost:1"])
        with subprocess.Popen([posthouse(), "doctor", "-c", home.conf, "--json"],
                              stdout=subprocess.PIPE) as p:
            odd.settimeout(60)
            with odd.accept()[0] as heard:
                asked = heard.recv(65536)
                heard.sendall(answer)
            said = [o for o in json.loads(p.stdout.read()) if o["check"] == "probe"]
    assert asked.startswith(b"GET /probe?host=localhost&port=1 HTTP/1.1\r\n")
    assert f"Bearer {home.token}".encode() in asked and home.token not in json.dumps(said)
    assert [words in o["text"] for o in said] == [True], said
    assert said[0]["state"] == ("warn" if "cannot" in words else "fail")


def test_nobody_is_asked_with_a_token_that_others_know(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as odd:
        home = Home(tmp_path, f"http://127.0.0.1:{odd.getsockname()[1]}", ["localhost:1"])
        token = f"{home.dir}/state/probe.token"
        for spoil, words in ((lambda: os.chmod(token, 0o640), "others may read"),
                             (lambda: os.truncate(token, 20), "64 hexadecimal digits"),
                             (lambda: os.unlink(token), "No such file"),
                             (lambda: os.mkfifo(token), "not a plain file")):
            spoil()
            check, state, text, advice = home.only()
            assert (check, state) == ("probe", "fail") and words in text + advice
            if os.path.isfile(token):
                os.chmod(token, 0o600)
        odd.settimeout(0)
        with pytest.raises(BlockingIOError):
            odd.accept()


def test_worker_config_says_how_it_may_look(tmp_path):
    home = Home(tmp_path, "https://probe.example.org", ["a.test:587", "b.test:993", "a.test:993"],
                'worker "w.example.org" { domains = {"example.org"} edges = {"mx.example.org"} }')
    said = home.tool("worker-config")
    assert tomllib.loads(said.stdout)["vars"]["PROBE_HOSTS"] == "a.test b.test"
    assert f"head -n 1 {home.dir}/state/probe.token | npx wrangler secret put PROBE_TOKEN\n" in \
        said.stderr
    assert home.token not in said.stdout + said.stderr and "route" in said.stderr
