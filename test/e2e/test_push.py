"""Home's push service, as anybody meets it who can connect: its answers, its limits."""

import concurrent.futures
import glob
import http.client
import json
import os
import signal
import socket
import time
import uuid

import pytest

from kit.push_home import PushHome
from kit.stand import quickest, until
from kit.worker import EDGE


@pytest.fixture(scope="module", name="home")
def running():
    with PushHome(service="rate = 100000") as home:
        yield home


def count(home, name):
    return json.loads(home.tool("status", "--json").stdout)["counters"][name]


def show(home, made):
    return json.loads(home.tool("show", "--json", str(made[0])).stdout)


def test_what_is_pushed_is_delivered_once(home, mark):
    made = home.object(mark)
    before = len(home.mails())
    assert home.put(made) == (201, "")
    assert home.put(made) == (201, "")
    home.wait_mails(before + 1)
    assert home.put(made, prefer="wait=5") == (200, "")
    (mail,) = [m for m in home.mails() if str(made[0]).encode() in m]
    assert mark.encode() in mail and len(home.mails()) == before + 1


def test_status_says_who_pushes_and_where(home):
    said = home.tool("status").stdout
    assert f"workers    {EDGE}\npush       127.0.0.1:{home.port}\n" in said
    assert "none yet" not in said


def test_a_verdict(home, mark):
    assert home.put(home.object(mark), prefer="wait=60") == (200, "")
    made = home.object(mark, to="nobody@example.test")
    status, text = home.put(made, prefer="wait=60")
    assert status == 422 and text.startswith("550 5.1.1 ")
    assert home.ask("DELETE", f"/mail/{made[0]}") == (204, "")
    assert str(made[0]) not in home.tool("queue", "--json").stdout


def test_an_answer_goes_out_as_soon_as_it_is_known(home, mark):
    """A sender waits for it; the next tick of home's clock would cost each message a second."""
    made = [home.object(f"{mark}-{n}") for n in range(10)]

    def put(i):
        assert home.put(made[i], prefer="wait=60") == (200, "")
    put(9)      # the next may have been near a tick by chance, those behind it begin with one
    assert quickest(9, put) < 0.8


def test_a_domain_that_the_worker_was_not_given_is_parked(home, mark):
    made = home.object(mark, to="alice@elsewhere.test")
    assert home.put(made) == (201, "")
    until("it is parked", 10,
          lambda: show(home, made).get("class") == "foreign")


def test_a_worker_that_calls_itself_otherwise_is_named(home, mark):
    made = home.object(mark, edge="wroker.example.test")
    assert home.put(made) == (201, "")
    until("it is parked", 10, lambda: show(home, made).get("class") == "malformed")
    told = home.tool("show", str(made[0])).stdout
    assert "wroker.example.test" in told and "EDGE_NAME" in told


@pytest.mark.parametrize("token", ["", "0" * 64, "x", "0" * 63, "0" * 4000])
def test_without_the_token_nothing_is_told_or_kept(home, mark, token):
    made = home.object(mark)
    assert home.put(made, token=token)[0] == 401
    assert home.ask("GET", "/", token=token)[0] == 401
    assert home.ask("DELETE", f"/mail/{made[0]}", token=token)[0] == 401
    assert home.put(made, authorization=None)[0] == 401
    assert home.put(made, authorization=f"Basic {home.token}")[0] == 401
    assert str(made[0]) not in home.tool("queue", "--json").stdout


def test_there_is_nothing_else_here(home):
    for method, path, status in (
        ("GET", "/", 404), ("PUT", "/mail/", 404), ("PUT", "/mail/7", 404), ("GET", "/policy", 404),
        ("PUT", f"/mail/{uuid.uuid4()}/x", 404), ("CONNECT", "smtp:25", 404),
        ("GET", f"/mail/{uuid.uuid4()}", 405), ("POST", f"/mail/{uuid.uuid4()}", 405),
    ):
        assert home.ask(method, path)[0] == status, (method, path)


def test_what_the_key_did_not_sign_is_set_aside(home, mark):
    made = home.object(mark, key="ab" * 32)
    status, said = home.put(made)
    assert status == 403 and "MAC_KEY" in said
    id_, sealed, mac = home.object(mark)
    assert home.put((id_, sealed + b"x", mac))[0] == 403
    assert home.put((uuid.uuid4(), sealed, mac))[0] == 403
    for bad in ("", "zz", mac[:-1], mac + "00"):
        assert home.put((id_, sealed, bad))[0] == 400
    assert home.put((id_, b"", mac))[0] == 400
    assert count(home, "forged") >= 3


def raw(home, *pieces, wait=30.0):
    """What home says to these octets.  Where it ends with some of them unread, that is a reset."""
    with socket.create_connection(("127.0.0.1", home.port), 60) as s:
        said = b""
        try:
            for p in pieces:
                s.sendall(p)
            s.settimeout(wait)
            while piece := s.recv(65536):
                said += piece
        except (TimeoutError, ConnectionError):
            pass
        return said


def head(home, path, *lines):
    return "\r\n".join([f"PUT {path} HTTP/1.1", "Host: home", f"Authorization: Bearer {home.token}",
                        *lines, "", ""]).encode()


def test_pieces_and_chunks(home, mark):
    id_, sealed, mac = home.object(mark)
    said = raw(home, *(bytes([o]) for o in head(
        home, f"/mail/{id_}", f"Posthouse-Mac: {mac}", f"Content-Length: {len(sealed)}",
        "Connection: close") + sealed))
    assert said.startswith(b"HTTP/1.1 201 ") and f"\r\nPosthouse-Id: {id_}\r\n".encode() in said
    id_, sealed, mac = home.object(mark)
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(sealed[i:i + 7]), sealed[i:i + 7])
                      for i in range(0, len(sealed), 7))
    said = raw(home, head(home, f"/mail/{id_}", f"Posthouse-Mac: {mac}",
                          "Transfer-Encoding: chunked", "Connection: close"), chunks + b"0\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 201 ")
    assert home.put((id_, sealed, mac), prefer="wait=60")[0] == 200


def test_a_connection_that_is_cut_leaves_nothing(home, mark):
    id_, sealed, mac = home.object(mark)
    raw(home, head(home, f"/mail/{id_}", f"Posthouse-Mac: {mac}",
                   f"Content-Length: {len(sealed)}"), sealed[:-1], wait=0.3)
    assert str(id_) not in home.tool("queue", "--json").stdout
    assert home.put((id_, sealed, mac), prefer="wait=60")[0] == 200


@pytest.mark.parametrize("more, body", [
    ("Content-Length: 500", b""), ("Transfer-Encoding: chunked", b"0\r\n\r\n"), ("X: y", b""),
    ("Content-Length: 0\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    ("Content-Length: 1\r\nExpect: 100-continue", b"x"), ("Transfer-Encoding: x", b"")])
def test_behind_a_request_without_a_token_nothing_is_heard(home, more, body):
    """Whatever it says of its length: a tunnel's connection may carry a Worker's words next."""
    stranger = head(home, f"/mail/{uuid.uuid4()}", more).replace(home.token.encode(), b"0" * 64)
    behind = head(home, f"/mail/{uuid.uuid4()}").replace(b"PUT", b"DELETE", 1)
    said = raw(home, stranger + body + behind)
    assert said.startswith(b"HTTP/1.1 401 ") and said.count(b"HTTP/1.1") == 1
    assert b"\r\nConnection: close\r\n" in said


@pytest.mark.parametrize("octets", [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"\0" * 5000, b"GET\r\n\r\n", b"EHLO x\r\n",
    b"PUT /mail/x HTTP/1.1\r\n" + b"A: b\r\n" * 20000, b"PUT /" + b"x" * 100000,
    b"PUT / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
], ids=["TLS", "NUL", "no HTTP", "SMTP", "many fields", "long", "version", "length"])
def test_what_is_no_request_of_ours_ends_by_itself(home, octets):
    said = raw(home, octets, wait=0.5)
    assert said == b"" or said[:9] == b"HTTP/1.1 " and said[9:10] == b"4" or b" 505 " in said[:20]
    assert home.answers()


def test_an_object_that_is_too_large(mark):
    with PushHome(service="size = 64K") as home:
        id_, _, mac = home.object(mark)
        assert home.put((id_, os.urandom(65537), mac))[0] == 413
        chunked = head(home, f"/mail/{id_}", f"Posthouse-Mac: {mac}", "Transfer-Encoding: chunked")
        said = raw(home, chunked, (b"10000\r\n" + os.urandom(65536) + b"\r\n") * 3, wait=3)
        assert not said.startswith(b"HTTP/1.1 2")
        assert "[]" in home.tool("queue", "--json").stdout
        assert home.put(home.object(mark), prefer="wait=60")[0] == 200


def test_a_flood_is_told_to_go_elsewhere(mark):
    """Above its rate a Worker hears 429, and its message takes another way."""
    with PushHome(service="rate = 6") as home:
        made = home.object(mark)
        answers = [home.put(made)[0] for _ in range(12)]
        assert answers[0] == 201 and set(answers) == {201, 429}
        assert count(home, "push_limited") == answers.count(429)
        home.wait_mails(1)


def test_octets_are_counted_too(mark):
    with PushHome(service="bytes = 1M") as home:
        id_, _, mac = home.object(mark)
        assert home.put((id_, os.urandom(600000), mac))[0] == 403
        assert home.put((id_, os.urandom(600000), mac))[0] == 403
        assert home.put(home.object(mark))[0] == 429


def test_who_says_nothing_takes_nobodys_place(home, mark):
    """More silent connections than there are places, and slow heads among them."""
    slow = []
    try:
        for n in range(150):
            s = socket.create_connection(("127.0.0.1", home.port), 60)
            if n % 2:
                s.sendall(b"PUT /mail/")
            slow.append(s)
        began = time.monotonic()
        assert home.put(home.object(mark), prefer="wait=60")[0] == 200
        assert time.monotonic() - began < 30
        # One octet a second does not keep a place either.
        last, closed = slow[-1], False
        for _ in range(60):
            try:
                last.sendall(b"x")
                last.settimeout(1)
                closed = last.recv(100) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                closed = True
            if closed:
                break
        assert closed
    finally:
        for s in slow:
            s.close()


def test_many_at_once(home, mark):
    made = [home.object(f"{mark}-{n}") for n in range(40)]
    with concurrent.futures.ThreadPoolExecutor(20) as pool:
        assert {s for s, _ in pool.map(lambda m: home.put(m, prefer="wait=60"), made)} == {200}


def test_one_connection_many_requests(home, mark):
    c = http.client.HTTPConnection("127.0.0.1", home.port, timeout=60)
    for n in range(5):
        id_, sealed, mac = home.object(f"{mark}-{n}")
        c.request("PUT", f"/mail/{id_}", sealed, {
            "authorization": f"Bearer {home.token}", "posthouse-mac": mac})
        answer = c.getresponse()
        assert (answer.status, answer.read()) == (201, b"")
    c.close()


def test_keys_are_changed_without_a_pause(mark):
    """The new one on the first line, and the old one on the second while it may still come."""
    with PushHome() as home:
        old = home.token, home.mac_key
        new = {"token": "11" * 32, "mac": "22" * 32}
        for what, value in new.items():
            path = f"{home.dir}/state/worker-{EDGE}.{what}"
            with open(path, "w", encoding="ascii") as f:
                f.write(f"{value}\n{old[what == 'mac']}\n")
        home.child.send_signal(signal.SIGHUP)
        until("the new token is known", 10, lambda: home.ask(
            "DELETE", f"/mail/{uuid.uuid4()}", token=new["token"])[0] == 204)
        for token in (old[0], new["token"]):
            for key in (old[1], new["mac"]):
                assert home.put(home.object(mark, key=key), token=token) == (201, "")
        for what, value in new.items():
            with open(f"{home.dir}/state/worker-{EDGE}.{what}", "w",
                      encoding="ascii") as f:
                f.write(f"{value}\n")
        home.child.send_signal(signal.SIGHUP)
        until("the old token is none", 10, lambda: home.ask(
            "DELETE", f"/mail/{uuid.uuid4()}", token=old[0])[0] == 401)
        assert home.put(home.object(mark, key=old[1]), token=new["token"])[0] == 403


@pytest.mark.parametrize("process", ["writer", "push"])
def test_a_process_is_killed_and_nothing_is_lost(mark, process):
    """What had its 201 is delivered once; what had another answer, or none, is taken again."""
    with PushHome() as home:
        made = [home.object(f"{mark}-{n}") for n in range(6)]

        def answered(m):
            try:
                return home.put(m)[0]
            except (OSError, http.client.HTTPException):    # it died in the middle
                return None
        with concurrent.futures.ThreadPoolExecutor(3) as pool:
            asked = [pool.submit(answered, m) for m in made]
            home.kill(process)
            assert {a.result() for a in asked} <= {201, 503, None}
        until("home takes pushed mail again", 20, home.answers, 0.1)
        for m in made:
            until("it is taken", 20, lambda m=m: answered(m) == 201, 0.2)
        home.wait_mails(len(made))


def test_a_worker_is_added_and_taken_away_without_a_pause(mark):
    with PushHome() as home:
        with open(home.conf, encoding="ascii") as f:
            text = f.read()
        with open(home.conf, "a", encoding="ascii") as f:
            f.write('worker "second.test" { domains = {"second.test"} }\n')
        home.tool("keygen")
        home.child.send_signal(signal.SIGHUP)
        with open(f"{home.dir}/state/worker-second.test.mac", encoding="ascii") as f:
            key = f.read().strip()
        with open(f"{home.dir}/state/worker-second.test.token", encoding="ascii") as f:
            token = f.read().strip()
        made = home.object(mark, to="bob@second.test", key=key, edge="second.test")
        until("it may push", 10, lambda: home.put(made, token=token)[0] == 201)
        home.wait_mails(1, "bob")
        # Each signs for itself, and for its own domains.
        assert home.put(home.object(mark, key=key))[0] == 403
        other = home.object(mark, to="alice@example.test", key=key, edge="second.test")
        assert home.put(other, token=token)[0] == 201
        until("it is parked", 10,
              lambda: show(home, other).get("class") == "foreign")
        with open(home.conf, "w", encoding="ascii") as f:
            f.write(text)
        home.child.send_signal(signal.SIGHUP)
        until("it may not any more", 10, lambda: home.put(made, token=token)[0] == 401)
        assert home.put(home.object(mark))[0] == 201


def test_a_backup_has_the_workers_keys(mark):
    """What a Worker signed before a disk died is taken by the home that was restored."""
    probe = 'probe { url = "https://probe.test" targets = {"mx.test:587"} }'
    with PushHome(probe) as home:
        made = home.object(mark)
        with open(f"{home.dir}/state/probe.token", encoding="ascii") as f:
            token = f.read()
        home.tool("backup", f"{home.dir}/backup")
        home.stop()
        os.rename(f"{home.dir}/state", f"{home.dir}/gone")
        home.tool("restore", f"{home.dir}/backup")
        assert (home.key("mac"), home.key("token")) == (home.mac_key, home.token)
        with open(f"{home.dir}/state/probe.token", encoding="ascii") as f:
            assert f.read() == token
        home.start()
        assert home.put(made, prefer="wait=60")[0] == 200
        # A restore over a home that has others: the backup's count, and those go aside.
        home.tool("backup", f"{home.dir}/backup-2")
        home.stop()
        for what in ("mac", "token"):
            with open(f"{home.dir}/state/worker-{EDGE}.{what}", "w", encoding="ascii") as f:
                f.write("33" * 32 + "\n")
        home.tool("restore", f"{home.dir}/backup-2")
        assert (home.key("mac"), home.key("token")) == (home.mac_key, home.token)
        (aside,) = glob.glob(f"{home.dir}/state/aside/*/worker-{EDGE}.mac")
        with open(aside, encoding="ascii") as f:
            assert f.read() == "33" * 32 + "\n"
        home.start()


def test_home_stops_with_a_verdict_under_way(mark):
    """Nobody is left waiting, and nothing that was answered is lost."""
    with PushHome(deliver='smtp = "127.0.0.1:9"') as home:
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            asked = pool.submit(home.put, home.object(mark), prefer="wait=30")
            until("it is held", 10, lambda: "[]" not in home.tool("queue", "--json").stdout)
            began = time.monotonic()
            home.stop()
            assert asked.result(25)[0] in (202, 503)
            assert time.monotonic() - began < 25    # it is asked to hurry, not cut at the end
        home.start()
        assert "[]" not in home.tool("queue", "--json").stdout
