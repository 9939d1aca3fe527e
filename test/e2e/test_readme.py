"""What README tells people to type is true."""

import os
import re
import signal
import subprocess

import pytest

from kit.stand import TOP, posthouse, until


def blocks():
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        text = f.read()
    return [re.sub(r"^    ", "", b, flags=re.M)
            for b in re.findall(r"(?:^    .*\n|^\n(?=    ))+", text, re.M)]


def test_configurations_parse(tmp_path):
    confs = [b for b in blocks() if re.search(r"^(service|deliver)\b", b, re.M)]
    assert len(confs) == 2
    for n, conf in enumerate(confs):
        name = tmp_path / f"{n}.conf"
        name.write_text(conf)
        r = subprocess.run([posthouse(), "config", "--check", name], check=False,
                           capture_output=True, text=True)
        assert r.returncode == 0, f"{conf}\n{r.stderr}"


def test_commands_exist():
    usage = subprocess.run([posthouse(), "--help"], check=False, capture_output=True, text=True)
    known = set(re.findall(r"^  ([a-z]+) ", usage.stdout + usage.stderr, re.M))
    said = {m for b in blocks() for m in re.findall(r"\bposthouse ([a-z]+)\b", b)}
    assert said and said <= known, said - known


@pytest.mark.parametrize("name", ["demo", "check", "tools/need", "tools/stand"])
def test_what_it_names_is_there(name):
    assert os.access(os.path.join(TOP, name), os.X_OK)


def story(where):
    """The demo, once all is built, as a terminal starts it: Ctrl-C reaches what it starts."""
    return subprocess.Popen([os.path.join(TOP, "tools", "demo-story")], text=True,
                            env=dict(os.environ, TMPDIR=str(where)), start_new_session=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_the_demo_tells_its_story(tmp_path):
    p = story(tmp_path)
    told = p.communicate(timeout=60)[0]
    assert p.returncode == 0 and "All of it happened as told" in told, told
    assert os.listdir(tmp_path) == []


def running(where):
    """Whatever has this directory on its command line."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", encoding="latin-1") as f:
                words = f.read().replace("\0", " ")
        except OSError:
            continue        # it has ended meanwhile
        if str(where) in words:
            found.append(words)
    return found


@pytest.mark.parametrize("after", ["edge.pid", "home.pid"])
def test_an_interrupted_demo_leaves_nothing_running(tmp_path, after):
    p = story(tmp_path)
    until("it is being put up", 30, lambda: any(
        os.path.exists(os.path.join(tmp_path, d, after)) for d in os.listdir(tmp_path)), 0.002)
    os.killpg(p.pid, signal.SIGINT)
    told = p.communicate(timeout=60)[0]
    assert p.returncode == 1 and told.endswith("demo: interrupted\n"), told
    assert not running(tmp_path)
    assert os.listdir(tmp_path) == []


def test_links_lead_somewhere():
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        for link in re.findall(r"\]\(([^)]+)\)", f.read()):
            assert os.path.exists(os.path.join(TOP, link)), link
