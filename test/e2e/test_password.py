"""Mailbox passwords that nobody stores: printed, rotated, and asked by mail servers' helpers."""

import base64
import hmac
import os
import pwd
import re
import subprocess
import threading

import pytest

from kit.dovecot import Dovecot
from kit.stand import TOP, posthouse


@pytest.fixture(name="stand")
def stand_fixture(make_stand):
    """Home's account is not root: the key is not root's either."""
    return make_stand(opt=["home.user=nobody"] if os.getuid() == 0 else [])


def password(stand, *words, **kw):
    return stand.tool("password", "-c", stand.conf("home"), *words, **kw)


def of(stand, user, *words):
    text = password(stand, *words, user).stdout
    assert re.fullmatch(r"[a-z2-7]{26}\n", text)
    return text.strip()


def state(stand, name):
    return os.path.join(stand.env["HOME_STATE"], name)


def lines(stand, user, said, conf=None):
    return subprocess.run([posthouse(), "password", "-c", conf or stand.conf("home"), "--check",
                           "lines"], input=f"{user}\n{said}\n", check=False, capture_output=True,
                          text=True, timeout=60)


def checkpassword(stand, login, *, env=None, program=("sh", "-c", 'echo "in as $USER"')):
    """As a server runs it: the login on descriptor 3."""
    r, w = os.pipe()
    os.write(w, login)
    os.close(w)
    try:
        # bash: what another test left open makes r a number of two digits, and sh knows one.
        return subprocess.run(
            ["bash", "-c", f'exec 3<&{r}; exec "$@"', "bash", posthouse(), "password", "-c",
             stand.conf("home"), "--check", "checkpassword", "--", *program],
            pass_fds=(r,), check=False, capture_output=True, text=True, timeout=60,
            env={**os.environ, **(env or {})})
    finally:
        os.close(r)


def test_a_password_follows_from_the_key_and_the_counter_and_from_nothing_else(stand):
    first = password(stand, "alice")
    assert "keep a copy" in first.stderr and state(stand, "password.key") in first.stderr
    was = of(stand, "alice")
    assert first.stdout.strip() == was == of(stand, "ALICE")
    assert of(stand, "bob") != was != of(stand, "alice@example.test")
    with open(state(stand, "password.key"), encoding="ascii") as f:
        key = bytes.fromhex(f.read())
    mac = hmac.digest(key, b"posthouse-password-1\0alice\0" + bytes(8), "sha256")
    assert base64.b32encode(mac).decode().lower()[:26] == was
    now, bobs = of(stand, "alice", "--rotate"), of(stand, "bob")
    assert now != was and of(stand, "alice") == now and of(stand, "bob") == bobs
    for name in ("password.key", "password-counters"):
        assert os.stat(state(stand, name)).st_mode & 0o777 == 0o600
    assert lines(stand, "alice", was).returncode == 1
    assert lines(stand, "alice", now).returncode == 0


def test_rotations_at_one_time_all_count(stand):
    of(stand, "alice")
    workers = [threading.Thread(target=of, args=(stand, f"u{i % 4}", "--rotate"))
               for i in range(12)]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    with open(state(stand, "password-counters"), encoding="ascii") as f:
        assert sorted(f.read().split("\n")[:-1]) == [f"u{i} 3" for i in range(4)]


def test_a_backup_put_back_lets_nobody_in_with_a_password_of_before(stand):
    of(stand, "alice", "--rotate")
    bob = of(stand, "bob", "--rotate")
    backup = os.path.join(stand.dir, "backup")
    stand.tool("backup", "-c", stand.conf("home"), backup)
    before, now = of(stand, "alice"), of(stand, "alice", "--rotate")
    carol = of(stand, "carol", "--rotate")
    stand.stop("home")
    for _ in range(2):
        stand.tool("restore", "-c", stand.conf("home"), "--accept", backup)
        assert (of(stand, "alice"), of(stand, "bob"), of(stand, "carol")) == (now, bob, carol)
        assert lines(stand, "alice", now).returncode == 0
        assert lines(stand, "alice", before).returncode == 1
    with open(state(stand, "password.key"), "w", encoding="ascii") as f:
        f.write("0" * 64)               # another key, whose counters say nothing of this one's
    stand.tool("restore", "-c", stand.conf("home"), "--accept", backup)
    assert of(stand, "alice") == before
    stand.start("home")


def test_a_helper_that_cannot_tell_never_says_wrong(stand):
    assert lines(stand, "alice", "x").returncode == 2           # there is no key yet
    good = of(stand, "alice")
    assert [lines(stand, "alice", w).returncode for w in (good, good[:-1], good + "a", "")] == \
        [0, 1, 1, 1]
    assert lines(stand, "../alice", good).returncode == 1
    assert checkpassword(stand, f"alice\0{good}\0Y1\0".encode()).stdout == "in as alice\n"
    assert checkpassword(stand, f"alice\0{good[::-1]}\0".encode()).returncode == 1
    for login in (b"", b"alice\0", b"alice\0" + good.encode(), b"a" * 2000):
        assert checkpassword(stand, login).returncode == 111
    # A userdb's question, to which "yes" would let anybody in.
    r = checkpassword(stand, f"alice\0{good}\0".encode(), env={"AUTHORIZED": "1"})
    assert (r.returncode, r.stdout) == (111, "") and "not for a userdb" in r.stderr
    assert checkpassword(stand, f"alice\0{good}\0".encode(),
                         program=("/nonexistent",)).returncode == 111

    of(stand, "alice", "--rotate")
    with open(state(stand, "password-counters"), "a", encoding="ascii") as f:
        f.write("bob\n")
    r = lines(stand, "alice", good)
    assert r.returncode == 2 and "line 2" in r.stderr
    os.truncate(state(stand, "password-counters"), len("alice 1\n"))
    os.chmod(state(stand, "password.key"), 0o640)
    r = lines(stand, "alice", good)
    assert r.returncode == 2 and "chmod 600" in r.stderr
    os.rename(state(stand, "password.key"), state(stand, "lost"))
    assert lines(stand, "alice", good).returncode == 2
    r = password(stand, "alice", check=False)
    assert r.returncode == 1 and "put your copy of it back" in r.stderr
    assert not os.path.exists(state(stand, "password.key"))


def recipe(stand, name, dir_):
    """As it is installed, but for where the program and its configuration are."""
    with open(f"{TOP}/packaging/{name}", encoding="ascii") as f:
        text = f.read()
    assert "/usr/bin/posthouse password" in text
    text = text.replace("/usr/bin/posthouse password",
                        f"{posthouse()} password -c {stand.conf('home')}")
    path = os.path.join(dir_, os.path.basename(name))
    with open(path, "w", encoding="ascii") as f:
        f.write(text)
    os.chmod(path, 0o755)
    return path, text


@pytest.fixture
def dovecot(stand):
    owner = pwd.getpwuid(os.stat(stand.env["HOME_STATE"]).st_uid).pw_name
    _, text = recipe(stand, "dovecot/posthouse-password.conf", stand.dir)
    assert "user = posthouse" in text
    text = text.replace("user = posthouse", f"user = {owner}")
    # A sanitizer wants more memory than Dovecot's auth process may have.
    text = text.replace("service auth {", "service auth {\n  vsz_limit = 0")
    # Debian's Dovecot asks PAM first, by auth-worker; so is this one asked, which needs no set up.
    server = Dovecot(stand.env["MAILDIR"], extra="passdb {\n  driver = shadow\n}\n" + text)
    yield server
    server.stop()


def test_dovecot_lets_in_with_it_and_after_a_rotation_with_the_next_only(stand, dovecot):
    was = of(stand, "alice")
    assert dovecot.auth_test("alice", was), dovecot.log()
    assert not dovecot.auth_test("alice", was[::-1])
    assert not dovecot.auth_test("bob", was)
    now = of(stand, "alice", "--rotate")
    assert not dovecot.auth_test("alice", was)
    assert dovecot.auth_test("alice", now), dovecot.log()
    assert dovecot.login_as("192.0.2.7", "alice", now)
    assert not dovecot.login_as("192.0.2.7", "alice", was)


def test_maddys_helper_answers_as_maddy_asks(stand):
    path, _ = recipe(stand, "maddy/posthouse-maddy-auth", stand.dir)
    good = of(stand, "alice")
    for said, code in ((good, 0), (good[::-1], 1)):
        # Maddy keeps the pipe open until the helper has ended.
        child = subprocess.Popen([path], stdin=subprocess.PIPE)
        child.stdin.write(f"alice\n{said}\n".encode())
        child.stdin.flush()
        assert child.wait(60) == code
        child.stdin.close()
