"""The edge changes its tunnel key: homes know the next one before they see
it, whoever is killed when."""

import json
import os
import re
import shutil

import pytest

from kit.smtp import send_mail
from kit.stand import message, until


def paths(stand):
    state = stand.env["EDGE_SPOOL"]
    return os.path.join(state, "tunnel.pem"), os.path.join(state, "tunnel-next.pem")


def rotate(stand, *words):
    return stand.tool("rotate", "-c", stand.conf("edge"), *words, check=False)


def next_pin(stand):
    r = rotate(stand)
    assert r.returncode == 0, r.stderr
    return re.search(r"sha256:[0-9a-f]{64}", r.stdout).group(0)


def peer(stand, role):
    return json.loads(stand.tool("pairings", "-c", stand.conf(role), "--json").stdout)["peers"][0]


def connected(stand):
    until("home has its tunnels", 30,
          lambda: [p for p in stand.status("home")["peers"] if p.get("connections", 0) >= 2])


def works(stand, mark):
    assert send_mail(stand.smtp, message(subject=mark)).code == 250
    stand.wait_marked("alice", mark)


def test_the_edge_changes_its_key(stand, mark):
    old, = peer(stand, "home")["pins"]
    new = next_pin(stand)
    r = rotate(stand)
    assert r.returncode != 0 and "under way" in r.stderr
    stand.hup("edge")
    until("home knows both", 20, lambda: peer(stand, "home")["pins"] == [old, new])
    until("the edge knows that", 20, lambda: peer(stand, "edge")["our_pins"] == [old, new])
    works(stand, f"{mark}-between-")
    r = rotate(stand, "--finish")
    assert r.returncode == 0, r.stderr
    assert not os.path.exists(paths(stand)[1])
    stand.hup("edge")
    until("home forgot the old one", 20, lambda: peer(stand, "home")["pins"] == [new])
    connected(stand)
    works(stand, f"{mark}-after-")
    for role in ("edge", "home"):
        stand.stop(role)
    stand.start("edge")
    stand.start("home")
    works(stand, f"{mark}-again-")
    assert peer(stand, "home")["pins"] == [new]


def test_a_home_that_does_not_know_yet_is_named(stand, mark):
    stand.stop("home")
    next_pin(stand)
    stand.hup("edge")
    r = rotate(stand, "--finish")
    assert r.returncode != 0 and re.search(r"next key: home\b", r.stderr), r.stderr
    stand.start("home")
    until("it knows", 20, lambda: rotate(stand, "--finish").returncode == 0)
    stand.hup("edge")
    works(stand, mark)


def test_a_key_in_homes_configuration_is_not_passed_over(stand, mark):
    """What is written there wins, so that home would refuse the next
    key: it must not seem to know it."""
    old, = peer(stand, "home")["pins"]
    with open(stand.conf("home"), "a", encoding="ascii") as f:
        f.write(f'edge "{peer(stand, "home")["name"]}" '
                f'{{ address = "{stand.env["TUNNEL"]}" key = "{old}" }}\n')
    stand.hup("home")
    next_pin(stand)
    stand.hup("edge")
    works(stand, mark)
    until("home said what it knows", 20, lambda: peer(stand, "edge")["our_pins"] == [old])
    assert rotate(stand, "--finish").returncode != 0


def test_an_edge_has_no_age_key(stand):
    r = rotate(stand, "--age")
    assert r.returncode == 2 and "age key" in r.stderr


@pytest.mark.parametrize("role", ["edge", "home"])
def test_killed_at_every_step(make_stand, mark, role):
    """kill -9 of one side after each step: the pair goes on with what it has,
    and ends with the new key alone."""
    stand = make_stand()

    def crash(step, after=()):
        stand.kill(role)
        for change in after:
            change()
        stand.start(role)
        connected(stand)
        works(stand, f"{mark}-{step}-")
    old, = peer(stand, "home")["pins"]
    new = next_pin(stand)
    crash("made")
    stand.hup("edge")
    crash("told")
    until("both know", 20, lambda: peer(stand, "edge")["our_pins"] == [old, new])
    crash("known")
    # --finish cut off between its two steps.
    key, following = paths(stand)
    shutil.copyfile(following, key + ".half")
    os.chmod(key + ".half", 0o600)
    crash("half", [lambda: os.replace(key + ".half", key)])
    r = rotate(stand, "--finish")
    assert r.returncode == 0, r.stderr
    crash("finished")
    stand.hup("edge")
    until("the new one alone", 20, lambda: peer(stand, "home")["pins"] == [new])
    works(stand, f"{mark}-end-")
