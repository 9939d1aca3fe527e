"""A machine moves to another network: its names are asked of whom it has been told there."""

import os

import pytest

from kit.dns import Dns
from kit.etc import own_file
from kit.netns import netns
from kit.ports import free_port
from kit.stand import until

NAME = "mx.posthouse-test.org"

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a file of /etc of its own needs root")


def stand_by_name(make_stand, within):
    port = free_port()
    return make_stand(within=within, opt=[f'edge.tunnel.listen={{"127.0.0.1:{port}"}}',
                                          f"edge.tunnel.address={NAME}:{port}"])


def peer(stand):
    one, = stand.status("home")["peers"]
    return one


def dial_again(stand):
    stand.stop("edge")
    stand.start("edge")


def test_a_home_asks_the_servers_of_the_network_that_it_is_in_now(make_stand, tmp_path):
    """It asked those that it had found when it started, which answer nobody elsewhere. What they
    said is good for no time at all, so that it has to ask."""
    records = [f"{NAME}. 0 IN A 127.0.0.1"]
    conf = tmp_path / "resolv.conf"
    conf.write_text("nameserver 127.0.0.2\n")
    with netns():
        with Dns(records, at="127.0.0.2", port=53):
            stand = stand_by_name(make_stand, own_file("/etc/resolv.conf", conf))
        with Dns(records, at="127.0.0.3", port=53):
            conf.write_text("nameserver 127.0.0.3\n")
            dial_again(stand)
            until("the tunnel is back", 30, lambda: peer(stand)["connections"] > 0)
        stand.down()


def test_a_name_that_moves_in_the_file_of_hosts(make_stand, tmp_path):
    hosts = tmp_path / "hosts"
    hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
    stand = stand_by_name(make_stand, own_file("/etc/hosts", hosts))
    hosts.write_text(f"127.0.0.1 localhost\n127.0.0.9 {NAME}\n")
    dial_again(stand)
    until("it is dialled where it is not", 30, lambda: "127.0.0.9" in peer(stand)["error"])
    hosts.write_text(f"127.0.0.1 localhost {NAME}\n")
    until("it is dialled where it is", 60, lambda: peer(stand)["connections"] > 0)
