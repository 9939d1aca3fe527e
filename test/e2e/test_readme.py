"""What README tells people to type is true."""

import os
import re
import subprocess

import pytest

from kit.stand import TOP, posthouse


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


def test_links_lead_somewhere():
    with open(os.path.join(TOP, "README.md"), encoding="utf-8") as f:
        for link in re.findall(r"\]\(([^)]+)\)", f.read()):
            assert os.path.exists(os.path.join(TOP, link)), link
