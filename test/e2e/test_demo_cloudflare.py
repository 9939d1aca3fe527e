"""./demo --cloudflare, once all is built."""

import os
import shutil
import signal
import subprocess
import tempfile

import pytest

from kit.stand import TOP, until
from kit.worker import runtime_missing

pytestmark = pytest.mark.skipif(runtime_missing() != "", reason=runtime_missing())


@pytest.fixture(name="where")
def short_directory():
    """pytest's own is too long a path for a socket."""
    dir_ = tempfile.mkdtemp(prefix="ph-")
    yield dir_
    shutil.rmtree(dir_)


def story(where, *words):
    """As a terminal starts it: Ctrl-C reaches what it starts."""
    return subprocess.Popen([os.path.join(TOP, "tools", "demo-cloudflare"), *words], text=True,
                            env=dict(os.environ, TMPDIR=where), start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def running(where):
    """Whatever has this directory on its command line, or as where its files go."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in "cmdline", "environ":
            try:
                with open(f"/proc/{pid}/{name}", encoding="latin-1") as f:
                    if where in (words := f.read().replace("\0", " ")):
                        found.append(words)
            except OSError:
                continue        # it has ended meanwhile, or is somebody else's
    return found


def nothing_left(where):
    """What was told to end may take a moment for it."""
    until("nothing of it runs", 10, lambda: running(where) == [])
    assert os.listdir(where) == []


def told_until(p, words):
    told = ""
    while words not in told:
        line = p.stdout.readline()
        assert line != "", told
        told += line
    return told


def test_it_tells_its_story_and_stays_if_it_is_to(where):
    p = story(where, "--keep")
    told = told_until(p, "All of it happened as told")
    told_until(p, "/alice/new")
    assert "550 5.1.1" in told and told.count("Return-Path: <carla@far.test>") == 2
    assert running(where)
    os.killpg(p.pid, signal.SIGINT)
    rest = p.communicate(timeout=180)[0]
    assert p.returncode == 0 and rest == "", rest
    nothing_left(where)


@pytest.mark.parametrize("after", ["built", "home is stopped"])
def test_interrupted_it_leaves_nothing_running(where, after):
    p = story(where)
    told_until(p, after)
    if after == "built":
        until("home is there", 30, lambda: any(
            "control" in names for _, _, names in os.walk(where)), 0.002)
    os.killpg(p.pid, signal.SIGINT)
    told = p.communicate(timeout=180)[0]
    assert p.returncode == 1 and told.endswith("demo: interrupted\n"), told
    nothing_left(where)
