"""posthouse seal and unseal against the age program, both ways."""

import os
import pty
import resource
import shutil
import subprocess
from pathlib import Path

import pytest

POSTHOUSE = os.environ.get("POSTHOUSE") or str(
    Path(__file__).resolve().parents[2] / "build" / "posthouse")
CHUNK = 65536
# Around a chunk, and around the four that one thread takes at a time.
SIZES = [0, 1, 65535, 65536, 65537, 131072, 4 * CHUNK - 1, 4 * CHUNK, 4 * CHUNK + 1, 10_000_000]

pytestmark = pytest.mark.skipif(
    not shutil.which("age") or not shutil.which("age-keygen"), reason="age is not installed")


def run(*argv, stdin=b"", **more):
    return subprocess.run(argv, input=stdin, capture_output=True, timeout=60, **more)


def good(*argv, stdin=b""):
    done = run(*argv, stdin=stdin)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Key:
    def __init__(self, path):
        self.path = str(path)
        good("age-keygen", "-o", self.path)
        self.recipient = good("age-keygen", "-y", self.path).decode().strip()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    where = tmp_path_factory.mktemp("keys")
    return [Key(where / "one"), Key(where / "two")]


def text(size):
    return (b"posthouse %d\n" % size * (size // 10 + 1))[:size]


@pytest.mark.parametrize("size", SIZES)
def test_age_opens_what_we_seal(keys, size):
    sealed = good(POSTHOUSE, "seal", "-r", keys[0].recipient, stdin=text(size))
    assert good("age", "-d", "-i", keys[0].path, stdin=sealed) == text(size)


@pytest.mark.parametrize("size", SIZES)
def test_we_open_what_age_seals(keys, size):
    sealed = good("age", "-r", keys[0].recipient, stdin=text(size))
    assert good(POSTHOUSE, "unseal", "-i", keys[0].path, stdin=sealed) == text(size)


def test_either_of_two_recipients_opens_it(keys):
    both = [word for key in keys for word in ("-r", key.recipient)]
    for sealed in good(POSTHOUSE, "seal", *both, stdin=b"hi"), good("age", *both, stdin=b"hi"):
        for key in keys:
            assert good("age", "-d", "-i", key.path, stdin=sealed) == b"hi"
            assert good(POSTHOUSE, "unseal", "-i", key.path, stdin=sealed) == b"hi"


def test_several_key_files_are_tried(keys):
    sealed = good("age", "-r", keys[1].recipient, stdin=b"hi")
    assert good(POSTHOUSE, "unseal", "-i", keys[0].path, "-i", keys[1].path, stdin=sealed) == b"hi"


def test_two_sealings_share_nothing(keys):
    one, two = (good(POSTHOUSE, "seal", "-r", keys[0].recipient, stdin=b"hi") for _ in "ab")
    assert one[30:] != two[30:] and one[-16:] != two[-16:]


def test_the_wrong_key_is_named(keys):
    sealed = good("age", "-r", keys[0].recipient, stdin=b"hi")
    done = run(POSTHOUSE, "unseal", "-i", keys[1].path, stdin=sealed)
    assert (done.returncode, done.stdout) == (1, b"")
    assert b"no key at hand opens this" in done.stderr


def test_damage_is_never_passed_on(keys):
    plain = text(200_000)
    sealed = bytearray(good("age", "-r", keys[0].recipient, stdin=plain))
    for at in 5, 40, 100, len(sealed) - 1, len(sealed) - 100_000:
        sealed[at] ^= 1
        done = run(POSTHOUSE, "unseal", "-i", keys[0].path, stdin=bytes(sealed))
        assert done.returncode == 1 and done.stderr
        assert plain.startswith(done.stdout) and len(done.stdout) % 65536 == 0
        sealed[at] ^= 1
    for cut in 1, 16, 17, 70_000, len(sealed) - 10, len(sealed):
        done = run(POSTHOUSE, "unseal", "-i", keys[0].path, stdin=bytes(sealed[:-cut]))
        assert done.returncode == 1 and plain.startswith(done.stdout)
    done = run(POSTHOUSE, "unseal", "-i", keys[0].path, stdin=bytes(sealed) + b"x")
    assert done.returncode == 1


def payload_of(sealed):
    """Where the chunks begin: behind the header's last line and 16 octets of nonce."""
    return sealed.index(b"\n", sealed.index(b"\n--- ") + 1) + 1 + 16


def chunks_of(keys, n):
    """A sealed file's head and its n chunks, and what was sealed: no two of them alike."""
    plain = os.urandom(n * CHUNK)
    sealed = good("age", "-r", keys[0].recipient, stdin=plain)
    at, step = payload_of(sealed), CHUNK + 16
    return sealed[:at], [sealed[at + i * step:at + (i + 1) * step] for i in range(n)], plain


def refused(keys, sealed):
    done = run(POSTHOUSE, "unseal", "-i", keys[0].path, stdin=sealed)
    assert done.returncode == 1
    return done.stdout, done.stderr.decode()


def test_what_stands_before_damage_comes_out(keys):
    """Chunks are opened in parallel; what is put out ends before the first that is damaged."""
    head, chunks, plain = chunks_of(keys, 14)
    for bad in range(len(chunks)):
        damaged = chunks[:bad] + [bytes([chunks[bad][0] ^ 1]) + chunks[bad][1:]] + chunks[bad + 1:]
        out, why = refused(keys, head + b"".join(damaged))
        assert out == plain[:bad * CHUNK] and f"chunk {bad + 1} is not authentic" in why


def test_chunks_stand_where_they_were_sealed(keys):
    """Cut between chunks, one taken out or twice, two in each other's place, one too many."""
    head, chunks, plain = chunks_of(keys, 10)
    cases = [(chunks[:n], n - 1) for n in range(1, 10)]
    cases += [(chunks[:n] + chunks[n + 1:], n) for n in (0, 3, 4, 8)]
    cases += [(chunks[:n] + chunks[n - 1:], n) for n in (1, 4, 5, 8)]
    cases += [(chunks[:n] + [chunks[n + 4], *chunks[n + 1:n + 4], chunks[n]] + chunks[n + 5:], n)
              for n in (0, 3, 4)]
    cases += [([*chunks, chunks[0]], 9)]
    for number, (those, whole) in enumerate(cases):
        out, why = refused(keys, head + b"".join(those))
        assert out == plain[:whole * CHUNK], number
        assert "not authentic: the file is damaged or cut short" in why


def test_a_header_that_is_cut_short(keys):
    head, _, _ = chunks_of(keys, 1)
    for n in range(len(head)):
        out, why = refused(keys, head[:n])
        assert out == b"" and ("cut short" in why if n else "it is empty" in why)
    assert "the age file is cut short" in refused(keys, head)[1]


def test_long_headers(keys):
    """What stands behind a header in the first octets that are read belongs to the first chunk."""
    plain = os.urandom(5 * CHUNK + 7)
    for more in 0, 1, 7, 18:
        others = [word for _ in range(more) for word in ("-r", keys[1].recipient)]
        sealed = good("age", *others, "-r", keys[0].recipient, stdin=plain)
        assert good(POSTHOUSE, "unseal", "-i", keys[0].path, stdin=sealed) == plain


def test_input_that_comes_slowly(keys):
    """A pipe gives what it has: blocks are as long as ever."""
    plain = os.urandom(4 * CHUNK + 9)
    sealed = good("age", "-r", keys[0].recipient, stdin=plain)
    with subprocess.Popen([POSTHOUSE, "unseal", "-i", keys[0].path], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as child:
        for at in range(0, len(sealed), 7001):
            child.stdin.write(sealed[at:at + 7001])
            child.stdin.flush()
        assert child.communicate(timeout=60)[0] == plain and child.returncode == 0


def test_a_passphrase_is_anothers(keys):
    armored = b"-----BEGIN AGE ENCRYPTED FILE-----\n"
    done = run(POSTHOUSE, "unseal", "-i", keys[0].path, stdin=armored)
    assert done.returncode == 1 and b"armor" in done.stderr


@pytest.mark.parametrize("argv", [
    ["seal"], ["seal", "-r", "age1xyz"], ["seal", "-r"], ["seal", "-x"],
    ["seal", "-r", "age12p6w2xc9gtea45r4qf3q2axygppqdeqps7ghyft7del27tg70gqscchzrf", "file"],
    ["unseal"], ["unseal", "-q"],
])
def test_wrong_usage(argv):
    done = run(POSTHOUSE, *argv)
    assert (done.returncode, done.stdout) == (2, b"")
    what, where = done.stderr.decode().splitlines()
    assert what.startswith(f"posthouse {argv[0]}: ")
    assert where == f"Try `posthouse {argv[0]} --help`."


def test_a_secret_given_as_recipient_is_not_repeated(keys):
    secret = Path(keys[0].path).read_text().split("\n")[2]
    done = run(POSTHOUSE, "seal", "-r", secret)
    assert done.returncode == 2 and b"secret" in done.stderr
    assert secret[16:30].encode() not in done.stderr


@pytest.mark.parametrize("content,words", [
    (None, "No such file"), ("", "no identity"), ("hello\n", "line 1"),
    ("# a\nage1qqq\n", "line 2: age1... is the public half"),
])
def test_bad_key_files(tmp_path, content, words):
    path = tmp_path / "key"
    if content is not None:
        path.write_text(content)
    done = run(POSTHOUSE, "unseal", "-i", str(path))
    assert done.returncode == 1 and str(path) in done.stderr.decode()
    assert words in done.stderr.decode()


@pytest.mark.parametrize("command", ["seal", "unseal"])
def test_help(command):
    assert good(POSTHOUSE, command, "--help").startswith(b"usage: posthouse " + command.encode())


def test_a_terminal_is_spared(keys):
    main, sub = pty.openpty()
    done = subprocess.run([POSTHOUSE, "seal", "-r", keys[0].recipient], input=b"hi", stdout=sub,
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 2 and b"terminal" in done.stderr
    sealed = good("age", "-r", keys[0].recipient, stdin=b"\x1b]0;owned\x07")
    done = subprocess.run([POSTHOUSE, "unseal", "-i", keys[0].path], input=sealed, stdout=sub,
                          stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and b"control characters" in done.stderr
    os.close(sub)
    os.close(main)


def test_a_full_disk_is_said(keys):
    with open("/dev/full", "wb") as full:
        done = subprocess.run([POSTHOUSE, "seal", "-r", keys[0].recipient], input=text(300_000),
                              stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 1 and b"standard output" in done.stderr


def test_memory_is_constant(keys, tmp_path):
    """100 MB go through 64 MB of address space that is not the program's own."""
    big, sealed = tmp_path / "big", tmp_path / "sealed"
    with open(big, "wb") as f:
        f.truncate(100_000_000)

    def through(argv, source, target):
        with open(source, "rb") as i, open(target, "wb") as o:
            done = subprocess.run(argv, stdin=i, stdout=o, stderr=subprocess.PIPE, timeout=60,
                                  preexec_fn=lambda: resource.setrlimit(
                                      resource.RLIMIT_DATA, (64 << 20, 64 << 20)))
        assert done.returncode == 0, done.stderr

    through([POSTHOUSE, "seal", "-r", keys[0].recipient], big, sealed)
    through([POSTHOUSE, "unseal", "-i", keys[0].path], sealed, tmp_path / "again")
    assert subprocess.run(["cmp", str(big), str(tmp_path / "again")]).returncode == 0
