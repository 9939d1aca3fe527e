"""
The interlock against mail servers as people run them: the right ones are opened, the others stay
closed, each with its verdict and the setting that is to be changed.
"""

import json
import socket
import ssl
import subprocess
import threading
import time

import pytest

from kit.mtas import Exim, OpenSmtpd, Postfix
from kit.netns import netns
from kit.passed import Server, answer
from kit.ports import free_port
from kit.services import Greylist, Passwords
from kit.smtp import Client
from kit.stand import Stand, until

# Home's own addresses in these tests; the first is what Docker gives to its host.
OURS = "172.17.0.1/16", "fd00:1::7/64"
SAFE = ["smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination"]
NO_RELAY = ['match from any for domain "example.test" action "local"',
            'match from src { 127.0.0.1, ::1 } for any action "relay"']
MAILCOW = ["mail_name = Postcow", "smtpd_error_sleep_time = 0"]
NAMES = ("smtpd_recipient_restrictions = permit_mynetworks, %s "
         "reject_unknown_reverse_client_hostname, reject_unauth_destination")

SERVERS = {
    # Postfix: right
    "postfix with PROXY": (lambda: Postfix(), "green", "Postfix", ""),
    "postfix that refuses by 554": (lambda: Postfix(SAFE), "green", "Postfix", ""),
    "postfix behind postscreen": (
        lambda: Postfix(options="-o postscreen_upstream_proxy_protocol=haproxy",
                        service="postscreen"), "green", "Postfix", ""),
    # Postfix: as tutorials have it
    "postfix without PROXY": (
        lambda: Postfix(options=""), "ignores PROXY", "Postfix", "smtpd_upstream_proxy_protocol"),
    "postfix that trusts Docker": (
        lambda: Postfix(["mynetworks = 127.0.0.0/8 172.17.0.0/16"]), "trusts the tunnel",
        "Postfix", "mynetworks without 172.17.0.1"),
    "postfix that trusts its own IPv6": (
        lambda: Postfix(["mynetworks = 127.0.0.0/8 [fd00:1::]/64"]), "trusts the tunnel",
        "Postfix", "mynetworks without fd00:1::7"),
    "postfix with XCLIENT for home": (
        lambda: Postfix(["smtpd_authorized_xclient_hosts = 172.16.0.0/12"]), "trusts the tunnel",
        "Postfix", "smtpd_authorized_xclient_hosts without 172.17.0.1"),
    "postfix that relays for all": (
        lambda: Postfix(["mynetworks = 0.0.0.0/0"]), "relays", "Postfix",
        "reject_unauth_destination"),
    "postfix with an access table": (
        lambda: Postfix(["smtpd_relay_restrictions = check_recipient_access "
                         "inline:{ postmaster@=OK }, reject_unauth_destination"]), "relays",
        "Postfix", "check_*_access"),
    "postfix that trusts a name in EHLO": (
        lambda: Postfix(["smtpd_relay_restrictions = check_helo_access "
                         "inline:{ example.test=OK }, reject_unauth_destination"]), "relays",
        "Postfix", "check_*_access"),
    "postfix that lets nobody else say its name": (
        lambda: Postfix(["smtpd_helo_required = yes", "smtpd_recipient_restrictions = "
                         "check_helo_access inline:{ {mx.example.test=REJECT That is my name} }"]),
        "green", "Postfix", ""),
    "postfix that greylists": (
        lambda: Postfix(["smtpd_recipient_restrictions = check_client_access "
                         "static:{451 4.7.1 Greylisted}"]), "cannot tell", "Postfix",
        "interlock { control"),
    "postfix with a list of bogons": (
        lambda: Postfix(["smtpd_client_restrictions = check_client_access "
                         "cidr:{ {203.0.113.0/24 REJECT bogon} {2001:db8::/32 REJECT bogon} }"]),
        "cannot tell", "Postfix", "interlock { control"),
    "postfix that greylists by a policy service": (
        lambda: Postfix(["smtpd_recipient_restrictions = check_policy_service {beside}"],
                        beside=Greylist()), "cannot tell", "Postfix", "postgrey"),
    "postfix that greylists before all": (
        lambda: Postfix(["smtpd_relay_restrictions = check_policy_service {beside}, "
                         "reject_unauth_destination"],
                        beside=Greylist()), "cannot tell", "Postfix",
        "reject_unauth_destination before postgrey"),
    "postfix behind a postscreen with a list of bogons": (
        lambda: Postfix(["postscreen_access_list = "
                         "cidr:{ {203.0.113.0/24 REJECT} {2001:db8::/32 REJECT} }",
                         "postscreen_blacklist_action = drop"],
                        options="-o postscreen_upstream_proxy_protocol=haproxy",
                        service="postscreen"), "cannot tell", "", "postscreen_access_list"),
    "postfix without IPv6": (
        lambda: Postfix(["inet_protocols = ipv4"]), "cannot tell", "Postfix",
        "-o inet_protocols=all"),
    "postfix without IPv6 but on this listener": (
        lambda: Postfix(["inet_protocols = ipv4"],
                        "-o smtpd_upstream_proxy_protocol=haproxy -o inet_protocols=all"),
        "green", "Postfix", ""),
    "postfix that counts recipients": (
        lambda: Postfix(["smtpd_client_recipient_rate_limit = 5",
                         "smtpd_client_event_limit_exceptions ="]), "cannot tell", "Postfix",
        "smtpd_client_event_limit_exceptions"),
    "postfix that counts connections": (
        lambda: Postfix(["smtpd_client_connection_rate_limit = 2",
                         "smtpd_client_event_limit_exceptions ="]), "cannot tell", "Postfix",
        "smtpd_client_event_limit_exceptions"),
    "postfix with XFORWARD for home": (
        lambda: Postfix(["smtpd_authorized_xforward_hosts = 172.16.0.0/12"]), "trusts the tunnel",
        "Postfix", "smtpd_authorized_xforward_hosts without 172.17.0.1"),
    "postfix with AUTH in the clear": (
        lambda: Postfix(["smtpd_sasl_auth_enable = yes", "smtpd_sasl_type = dovecot",
                         "smtpd_sasl_path = {beside}"], beside=Passwords()), "trusts the tunnel",
        "Postfix", "smtpd_tls_auth_only = yes"),
    # mailcow's Postfix, less the ten seconds that it sleeps after three errors
    "mailcow that hangs up at five errors": (
        lambda: Postfix(MAILCOW + ["smtpd_hard_error_limit = 5"]), "cannot tell", "mailcow",
        "smtpd_hard_error_limit = 20"),
    "mailcow that wants a name of every address": (
        lambda: Postfix(MAILCOW + [NAMES % ""]), "cannot tell", "mailcow",
        "{203.0.113.25 permit_auth_destination} } before"),
    "mailcow as it is told to be": (
        lambda: Postfix(MAILCOW + [NAMES % "check_client_access cidr:{ "
                                   "{203.0.113.25 permit_auth_destination} "
                                   "{2001:db8::25 permit_auth_destination} "
                                   "{172.17.0.1 permit_auth_destination} "
                                   "{fd00:1::7 permit_auth_destination} }"]),
        "green", "mailcow", ""),
    # exim
    "exim with PROXY": (lambda: Exim(), "green", "exim", ""),
    "exim without PROXY": (
        lambda: Exim(main=""), "ignores PROXY", "exim", "hosts_proxy"),
    "exim that trusts Docker": (
        lambda: Exim(trusted="127.0.0.1 : 172.17.0.0/16"), "trusts the tunnel", "exim",
        "relay_from_hosts (Debian: dc_relay_nets in update-exim4.conf.conf) without 172.17.0.1"),
    "exim that accepts first": (
        lambda: Exim(first="accept"), "relays", "exim", "acl_smtp_rcpt"),
    "exim with TLS": (lambda: Exim(tls="*"), "green", "exim", ""),
    "exim that takes TLS for a password": (
        lambda: Exim(tls="*", first="accept hosts = +relay_from_hosts\n  accept encrypted = *"),
        "relays", "exim", "acl_smtp_rcpt"),
    "exim that trusts Docker in TLS": (
        lambda: Exim(tls="*", first="accept hosts = 172.17.0.0/16\n  encrypted = *"),
        "trusts the tunnel", "exim", "relay_from_hosts"),
    "exim that wants TLS of everyone": (
        lambda: Exim(tls="*", first="deny message = TLS required\n  !encrypted = *"), "green",
        "exim", ""),
    "exim that wants TLS and trusts Docker in it": (
        lambda: Exim(tls="*", first="deny message = TLS required\n  !encrypted = *\n"
                                    "  accept hosts = 172.17.0.0/16"),
        "trusts the tunnel", "exim", "relay_from_hosts"),
    "exim that trusts a name in EHLO": (
        lambda: Exim(first="accept condition = ${if eq{$sender_helo_name}{mx.example.test}}"),
        "relays", "exim", "acl_smtp_rcpt"),
    "exim that greylists": (
        lambda: Exim(first="accept hosts = +relay_from_hosts\n  defer message = Greylisted"),
        "cannot tell", "exim", "interlock { control"),
    "exim with AUTH in the clear": (
        lambda: Exim(authenticators="plain:\n  driver = plaintext\n  public_name = PLAIN\n"
                                    "  server_prompts = :\n  server_condition = no"),
        "trusts the tunnel", "exim", "auth_advertise_hosts"),
    # OpenSMTPD, which has no AUTH without TLS and no XCLIENT
    "opensmtpd with PROXY": (
        lambda: OpenSmtpd(match=NO_RELAY), "green", "OpenSMTPD", ""),
    "opensmtpd as its example has it": (
        lambda: OpenSmtpd(), "trusts the tunnel", "OpenSMTPD", "`from local` is every address"),
    "opensmtpd without PROXY": (
        lambda: OpenSmtpd(listen="", match=NO_RELAY), "ignores PROXY", "OpenSMTPD", "proxy-v2"),
    "opensmtpd that relays for all": (
        lambda: OpenSmtpd(match=['match from any for any action "relay"',
                                 'match from any for domain "example.test" action "local"']),
        "relays", "OpenSMTPD", "match from any for any"),
    "opensmtpd with a filter that greylists": (
        lambda: OpenSmtpd(main='filter "grey" phase rcpt-to match !rdns '
                               'reject "451 4.7.1 Greylisted"',
                          listen='proxy-v2 filter "grey"', match=NO_RELAY), "cannot tell",
        "OpenSMTPD", "interlock { control"),
}


def interlock(stand):
    """Exit status and the one service's report."""
    r = stand.tool("interlock", "-c", stand.conf("home"), "--json", check=False)
    services = json.loads(r.stdout)["services"]
    assert len(services) == 1
    return r.returncode, services[0]


def service(stand):
    return stand.status("home")["services"][0]


@pytest.fixture(name="alone")
def _alone():
    with netns(*OURS):
        yield


@pytest.mark.parametrize("name", SERVERS)
def test_server(alone, tmp_path, name):
    make, verdict, kind, setting = SERVERS[name]
    with make() as mta, Stand(tmp_path, opt=[f"home.service.smtp.backend={mta.where}"]) as stand:
        rc, report = interlock(stand)
        said = report["verdict"], report["server"], report.get("evidence"), mta.log()[-3000:]
        assert report["verdict"] == verdict and report["server"] == kind, said
        assert rc == (0 if verdict == "green" else 1)
        assert service(stand)["up"] == (verdict == "green")
        if verdict == "green":
            assert report["advice"] == []
        else:
            assert any(setting in a for a in report["advice"]), report["advice"]
            assert all(a.startswith(f"{kind}: ") or a.startswith("home.conf: ") or
                       setting in a or verdict == "cannot tell" for a in report["advice"])
            assert any("interlock" in a for a in stand.status("home")["alarms"])
            assert report["evidence"]["answered"]
            assert report["evidence"]["asked"] or verdict == "cannot tell"
        # As a stranger of each family and as each address of home's.
        assert {v["as"] for v in report["visits"]} >= ({"203.0.113.25"} if "PROXY" in verdict or
               not kind else
               {"203.0.113.25", "2001:db8::25", "172.17.0.1", "fd00:1::7"})
        # Nothing was taken, whatever it answered.
        assert "queued as" not in mta.log() and "Completed" not in mta.log()


def test_whom_it_asks_as_beside_home_itself(alone, tmp_path):
    """As each edge, as home is seen from there, and as whomever home.conf names."""
    seen, far, named = "198.51.101.2", "198.51.101.80", "198.51.101.9"
    for words in (f"addr add {seen} dev lo", "route replace table local local 127.0.0.1 dev lo "
                  f"proto kernel scope host src {seen}"):
        subprocess.run(["ip", *words.split()], check=True)
    with Postfix() as mta, Stand(tmp_path, opt=[
            f"home.service.smtp.backend={mta.where}",
            f'home.interlock.addresses={{"{named}"}}']) as stand:
        with open(stand.conf("home"), "a", encoding="ascii") as f:
            f.write(f'edge "far.test" {{ address = "{far}:7443" key = "sha256:{"a" * 64}" }}\n')
        stand.hup("home")
        until("home dials that edge, too", 10,
              lambda: any(p["name"] == "far.test" for p in stand.status("home")["peers"]))
        rc, report = interlock(stand)
        assert rc == 0, report
        assert {(v["as"], v["whose"]) for v in report["visits"]} >= {
            (far, "edge far.test"), (seen, "home, to edge.test"), (named, "home.conf")}


def test_the_other_header(alone, tmp_path):
    """A server that speaks version 2 only, which home.conf does not say."""
    with OpenSmtpd(match=NO_RELAY) as mta, \
            Stand(tmp_path, opt=[f"home.service.smtp.backend={mta.where}",
                                 "home.service.smtp.proxy=v1"]) as stand:
        rc, report = interlock(stand)
        assert rc == 1 and report["verdict"] == "expects PROXY"
        assert report["advice"] == ['home.conf: proxy = "v2" for this service']
        assert not service(stand)["up"]


@pytest.mark.parametrize("server,blank", [
    (Postfix, b" "),
    # It takes any blank for the space behind PROXY.
    (lambda: Exim(main="hosts_proxy = *\nsmtp_enforce_sync = false"), b"\t"),
], ids=["as Postfix reads it", "as only Exim does"])
def test_a_stranger_brings_a_header_of_his_own(alone, tmp_path, server, blank):
    """
    Under a name of no mail, with the header that its server expects left out: nothing greets, so
    nothing says that it is a mail server, until a stranger sends the header himself, and all the
    rest in one go before anybody has read the greeting.
    """
    port = free_port()
    with server() as mta, Stand(tmp_path, opt=[
            f'edge.service.web.listen={{"127.0.0.1:{port}"}}',
            'edge.service.web.proxy_from={"127.0.0.1"}',
            f"home.service.web.backend={mta.where}", "home.service.web.proxy=none"]) as stand:
        until("it seems to be well", 20, lambda: service(stand)["up"])

        def cut():
            with Client(("127.0.0.1", port)) as c:
                c.send(b"PROXY TCP4 8.8.4.4 8.8.8.8 4000 443\r\n"
                       b"PROXY" + blank + b"TCP4 127.0.0.1 127.0.0.1 4000 25\r\nEHLO x\r\n"
                       b"MAIL FROM:<a@client.test>\r\nRCPT TO:<x@far.test>\r\nDATA\r\n"
                       b"Subject: relayed\r\n\r\n.\r\nQUIT\r\n")
                assert c.closed()
            return "it sends a PROXY header of its own" in stand.log("home")
        until("home has seen through it", 20, cut, 0.2)
        assert "far.test" not in mta.log() and "from localhost" not in mta.log()


TLS = ["smtpd_tls_security_level = may"]
TLS_FIRST = ["smtpd_tls_security_level = encrypt"]
PROXY = "-o smtpd_upstream_proxy_protocol=haproxy"


def certificate(tmp_path):
    cert, key = str(tmp_path / "cert.pem"), str(tmp_path / "key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert,
                    "-subj", "/CN=mx.example.test"], check=True, capture_output=True)
    return cert, key


@pytest.mark.parametrize("name, main, options, verdict", [
    ("submissions", TLS, f"{PROXY} -o smtpd_tls_wrappermode=yes", "green"),
    ("submissions", TLS + ["mynetworks = 172.16.0.0/12"], f"{PROXY} -o smtpd_tls_wrappermode=yes",
     "trusts the tunnel"),
    ("submissions", TLS, "-o smtpd_tls_wrappermode=yes", "ignores PROXY"),
    ("submission", TLS_FIRST, PROXY, "green"),
    ("submission", TLS_FIRST + ["mynetworks = 0.0.0.0/0"], PROXY, "relays"),
    ("submission", TLS, PROXY, "green"),
    ("smtp", TLS, PROXY, "green"),
    ("smtp", TLS_FIRST, PROXY, "green"),
    ("smtp", TLS_FIRST + ["mynetworks = 172.16.0.0/12"], PROXY, "trusts the tunnel"),
    ("smtp", TLS_FIRST + ["mynetworks = 0.0.0.0/0"], PROXY, "relays"),
    ("smtp", TLS_FIRST + ["smtpd_relay_restrictions = permit_tls_all_clientcerts, "
                          "check_recipient_access inline:{ postmaster@=OK }, "
                          "reject_unauth_destination"], PROXY, "relays"),
    ("smtp", TLS_FIRST + ["smtpd_recipient_restrictions = check_client_access "
                          "static:{451 4.7.1 Greylisted}"], PROXY, "cannot tell"),
    ("smtp", TLS_FIRST, "", "ignores PROXY"),
    ("web", TLS + ["mynetworks = 0.0.0.0/0"], f"{PROXY} -o smtpd_tls_wrappermode=yes", "relays"),
])
def test_tls(alone, tmp_path, name, main, options, verdict):
    """Implicit TLS under its own names and under another, and STARTTLS where people log in."""
    cert, key = certificate(tmp_path)
    with Postfix(main, options=options, tls=(cert, key)) as mta, \
            Stand(tmp_path / "stand",
                  opt=[f"home.service.{name}.backend={mta.where}"]) as stand:
        rc, report = interlock(stand)
        assert report["verdict"] == verdict, (report, mta.log()[-2000:])
        assert rc == (0 if verdict == "green" else 1)
        assert service(stand)["up"] == (verdict == "green")


def test_a_mail_server_under_another_name(alone, tmp_path):
    with Postfix(["mynetworks = 127.0.0.0/8 172.17.0.0/16"]) as mta, \
            Stand(tmp_path, opt=[f"home.service.web.backend={mta.where}"]) as stand:
        rc, report = interlock(stand)
        assert rc == 1 and report["verdict"] == "trusts the tunnel"
        assert not service(stand)["up"]


def test_it_opens_once_mended_and_closes_when_away(alone, tmp_path):
    with Postfix(["mynetworks = 127.0.0.0/8 172.17.0.0/16"]) as mta, \
            Stand(tmp_path, opt=[f"home.service.smtp.backend={mta.where}"]) as stand:
        assert interlock(stand)[0] == 1
        mta.postfix("stop")
        until("home sees that it is away", 20, lambda: service(stand)["why"] != "" and
              "interlock" not in service(stand)["why"])
        main = f"{mta.dir}/conf/main.cf"
        with open(main, encoding="ascii") as f:
            text = f.read()
        with open(main, "w", encoding="ascii") as f:
            f.write(text.replace("mynetworks = 127.0.0.0/8 172.17.0.0/16", ""))
        mta.postfix("start")
        # It was away: what it is now is tested without being asked for.
        until("it is opened", 40, lambda: service(stand)["up"])
        stand.logged("home", r"interlock\.green service=smtp")
        mta.postfix("stop")
        until("it is closed", 20, lambda: not service(stand)["up"])


def test_a_server_that_was_started_again_is_tried_again(alone, tmp_path):
    """Between two looks of home, with a setting that opens it: nobody may have found it away."""
    with Postfix() as mta, \
            Stand(tmp_path, opt=[f"home.service.smtp.backend={mta.where}"]) as stand:
        assert interlock(stand)[0] == 0
        with open(f"{mta.dir}/conf/main.cf", "a", encoding="ascii") as f:
            f.write("mynetworks = 127.0.0.0/8 172.17.0.0/16\n")
        mta.postfix("stop")
        mta.postfix("start")
        until("it is tried again", 60, lambda: "service.anew service=smtp" in stand.log("home") and
              'interlock.closed service=smtp verdict="trusts the tunnel"' in stand.log("home"))
        assert not service(stand)["up"]


def test_home_alone_has_nothing_to_test(alone, tmp_path):
    with Stand(tmp_path) as stand:
        r = stand.tool("interlock", "-c", stand.conf("home"))
        assert "Nothing is passed" in r.stdout
        r = stand.tool("interlock", "-c", stand.conf("edge"), check=False)
        assert r.returncode == 1


class Rude:
    """A backend that sends the same octets to everyone, for as long as they are taken."""

    def __init__(self, first, flood=b"", hang_up=False):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.where = "127.0.0.1:%d" % self.sock.getsockname()[1]
        self.first, self.flood, self.hang_up = first, flood, hang_up
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                guest, _ = self.sock.accept()
            except OSError:
                return
            threading.Thread(target=self.talk, args=(guest,), daemon=True).start()

    def talk(self, guest):
        with guest:
            try:
                guest.sendall(self.first)
                while self.flood:
                    guest.sendall(self.flood)
                while not self.hang_up and guest.recv(4096):
                    guest.sendall(self.first)
            except OSError:
                pass

    def close(self):
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


@pytest.mark.parametrize("first, flood, hang_up", [
    (b"220 mx\r\n", b"250-x\r\n" * 1000, False),        # a reply without end
    (b"220 mx\r\n", b"x" * 65536, False),               # a line without end
    (b"220 mx\r\n", b"250 ok\r\n" * 1000, False),       # answers to what was never asked
    (b"220 mx\r\n250 ok\r\n", b"", True),
    (b"250 ok\r\n", b"", False),                        # yes to everything, but no greeting
    (b"220 mx\r\n250 ok\n550 no\r\n", b"", False),      # a reply hidden behind a bare LF
], ids=range(6))
def test_a_rude_backend(alone, tmp_path, first, flood, hang_up):
    rude = Rude(first, flood, hang_up)
    try:
        with Stand(tmp_path, opt=[f"home.service.smtp.backend={rude.where}"]) as stand:
            rc, report = interlock(stand)
            assert rc == 1 and report["verdict"] != "green", report
            assert not service(stand)["up"]
            assert {p["restarts"] for p in stand.status("home")["processes"]} == {0}
    finally:
        rude.close()


class Tls(Rude):
    """Behind TLS; its connections without it say nothing."""

    def __init__(self, tmp_path, says, late=0):
        cert, key = tmp_path / "tls.pem", tmp_path / "tls.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=tls",
                        "-keyout", key, "-out", cert], check=True, capture_output=True)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(cert, key)
        self.late = late
        super().__init__(says)

    def talk(self, guest):
        try:
            time.sleep(self.late or 0)
            with self.tls.wrap_socket(guest, server_side=True) as tls:
                if self.late is None:
                    tls.recv(4096)
                else:
                    time.sleep(self.late)
                super().talk(tls)
        except OSError:
            pass


@pytest.mark.parametrize("says, late, mail", [
    (b"421 4.3.2 busy\r\n", 0, True),          # its next client may be greeted with 220
    (b"220 mx\r\n", 4, True),                  # a small machine; lists that are looked up
    (b"* OK\r\n", 0, False),
    (b"HTTP/1.1 400 Bad Request\r\n\r\n", None, False),
], ids=["busy", "late", "imap", "http"])
def test_a_mail_server_in_tls_whose_name_and_ports_say_nothing(alone, tmp_path, says, late, mail):
    server = Tls(tmp_path, says, late)
    try:
        with Stand(tmp_path, opt=[f"home.service.web.backend={server.where}",
                                  "home.service.web.proxy=none"]) as stand:
            rc, report = interlock(stand)
            assert (report["verdict"] == "no mail server") != mail, report
            assert service(stand)["up"] != mail
            assert rc == (1 if mail else 0)
    finally:
        server.close()


def test_what_is_open_is_cut_when_it_fails(alone, tmp_path):
    """Opened rightly, then given mynetworks with home's network; the next test finds it."""
    where = "127.0.0.1", free_port()
    with Postfix() as mta, \
            Stand(tmp_path, opt=[f"home.service.mx.backend={mta.where}",
                                 f'edge.service.mx.listen={{"127.0.0.1:{where[1]}"}}',
                                 "edge.service.mx.mode=auto",
                                 'edge.service.mx.proxy_from={"127.0.0.1"}']) as stand:
        assert interlock(stand)[0] == 0

        def passed():
            c = Client(where)
            c.send(b"PROXY TCP4 8.8.4.4 8.8.8.8 4000 25\r\n")
            if "Postfix" in c.reply().text:
                return c
            c.close()
            return None
        c = until("the edge passes", 20, passed)
        c.ok("EHLO client.test")
        mta.logged(r"\[8\.8\.4\.4\]")
        with open(f"{mta.dir}/conf/main.cf", "a", encoding="ascii") as f:
            f.write("mynetworks = 127.0.0.0/8 172.17.0.0/16\n")
        mta.postfix("reload")
        # Another writer knows no number of an earlier run, and shows none for one that it asks for.
        stand.kill("home", "writer")
        until("another writer has heard of the last run", 20, lambda: known(stand))
        rc, report = interlock(stand)
        assert rc == 1 and report["verdict"] == "trusts the tunnel"
        assert c.closed()
        until("new ones are held", 10, lambda: held(where))


def known(stand):
    """Of what `posthouse status` has from the writer; nothing while there is none."""
    try:
        return any(p["name"] == "writer" and p["restarts"] for p in
                   stand.status("home")["processes"]) and stand.status("home")["services"]
    except (AssertionError, subprocess.CalledProcessError, OSError):
        return None


def held(where):
    with Client(where) as c:
        c.send(b"PROXY TCP4 8.8.4.4 8.8.8.8 4000 25\r\n")
        return c.reply().text.startswith("220 edge.test ")


def test_a_service_that_nothing_answers_for_is_closed_by_its_backend_alone(make_stand):
    where = f"127.0.0.1:{free_port()}"
    stand = make_stand(opt=[f"home.service.web.backend={where}", "home.alarms.every=1s",
                            "home.alarms.unreachable=1s"])
    until("it is looked at", 10, lambda: stand.status("home")["interlock"])
    until("it alone is an alarm", 10, lambda: [
        c["key"] for c in stand.status("home")["conditions"]] == ["backend/web"])
    server = Server(answer(b"* OK\r\n"), port=int(where.rsplit(":", 1)[1]))
    try:
        until("the alarm ends", 60, lambda: stand.status("home")["conditions"] == [])
    finally:
        server.close()
