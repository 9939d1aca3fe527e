"""
People who are not at home and log in there: curl as a mail program, IMAP to Dovecot, submission to
Postfix. The servers' logs name each by his own address, which is what fail2ban reads.
"""

import os
import re
import shutil

import pytest

from kit.dovecot import Dovecot
from kit.mtas import Postfix
from kit.netns import NEAR, internet
from kit.ports import free_port
from kit.stand import message, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")

CLIENTS = "8.8.4.4", "2001:4860:4860::8844"
PUBLIC = {"imap": 143, "imaps": 993, "submission": 587, "submissions": 465}

# As Debian's master.cf has them, uncommented.
SUBMISSION = """-o smtpd_upstream_proxy_protocol=haproxy -o smtpd_sasl_auth_enable=yes
  -o smtpd_tls_auth_only=yes -o smtpd_sasl_type=dovecot -o smtpd_sasl_path=inet:127.0.0.1:%d
  -o smtpd_recipient_restrictions= -o smtpd_relay_restrictions=permit_sasl_authenticated,reject
  """
STARTTLS = "-o smtpd_tls_security_level=encrypt"
IMPLICIT = "-o smtpd_tls_wrappermode=yes"


@pytest.fixture(name="world")
def world_fixture():
    with internet(*CLIENTS) as beyond:
        yield beyond


def offer(make_stand, backends):
    """A stand whose edge has these services at their public ports."""
    opt = ["home.user=nobody"]      # Dovecot serves nobody's mail as root
    for name, where in backends.items():
        opt += [f'edge.service.{name}.listen={{"{NEAR[0]}:{PUBLIC[name]}", '
                f'"[{NEAR[1]}]:{PUBLIC[name]}"}}', f"home.service.{name}.backend={where}"]
    return make_stand(opt=opt)


def curl(world, client, url, *words, password="x"):
    near = f"[{NEAR[1]}]" if ":" in client else NEAR[0]
    return world.run("curl", "-sS", "-k", "--max-time", 60, "--interface", client, "--ssl-reqd",
                     "-u", f"alice:{password}", *words, url.format(near=near))


def test_imap(world, make_stand):
    """By STARTTLS and by TLS at once."""
    starttls, tls, plain = free_port(), free_port(), free_port()
    stand = offer(make_stand, {"imap": f"127.0.0.1:{starttls}", "imaps": f"127.0.0.1:{tls}"})
    dovecot = Dovecot(stand.env["MAILDIR"],
                      tls=(stand.env["CERT"], os.path.join(stand.dir, "tls.key")), imaps=plain,
                      proxied=starttls, imaps_proxy=tls)
    try:
        for url in ("imap://{near}/", "imaps://{near}/"):
            until(f"{url} is passed", 20,
                  lambda u=url: curl(world, CLIENTS[0], u).returncode == 0, 0.2)
            for client in CLIENTS:
                dovecot.forget_log()
                r = curl(world, client, url)
                assert r.returncode == 0 and "INBOX" in r.stdout, (r, dovecot.log())
                assert curl(world, client, url, password="wrong").returncode == 67
                until("Dovecot logs him", 5, lambda c=client: re.search(
                    rf"Login: user=<alice>.* rip={re.escape(c)}, lip=[^,]*,.* TLS", dovecot.log()))
                until("and his mistake", 5, lambda c=client: re.search(
                    rf"auth failed.* user=<alice>.* rip={re.escape(c)},", dovecot.log()))
    finally:
        dovecot.stop()
        shutil.rmtree(dovecot.dir, ignore_errors=True)


@pytest.mark.parametrize("name, how, url", [
    ("submission", STARTTLS, "smtp://{near}:587/phone.test"),
    ("submissions", IMPLICIT, "smtps://{near}:465/phone.test"),
], ids=["STARTTLS", "TLS"])
def test_submission(world, make_stand, tmp_path, name, how, url):
    """Who has the password sends to the world; who has not is refused, and named."""
    port = free_port()
    stand = offer(make_stand, {name: f"127.0.0.1:{port}"})
    octets = tmp_path / "mail"
    octets.write_bytes(message())
    dovecot = Dovecot(stand.env["MAILDIR"])

    def send(client, *words, **kw):
        return curl(world, client, url, "--mail-from", "alice@example.test", "--mail-rcpt",
                    "x@far.test", "-T", octets, *words, **kw)
    try:
        with Postfix(["smtpd_error_sleep_time = 0"], options=SUBMISSION % dovecot.auth + how,
                     port=port, tls=(stand.env["CERT"], os.path.join(stand.dir, "tls.key"))) as mta:
            until("the interlock has cleared it", 90, lambda: send(CLIENTS[0]).returncode == 0, 0.2)
            for client in CLIENTS:
                at = len(mta.log())
                assert send(client).returncode == 0, mta.log()
                mta.logged(r"to=<x@far\.test>, relay=none, .* status=sent", at)
                mta.logged(rf"client=unknown\[{re.escape(client)}\], sasl_method=PLAIN, "
                           "sasl_username=alice", at)
                assert send(client, password="wrong").returncode == 67
                mta.logged(rf"unknown\[{re.escape(client)}\]: SASL PLAIN authentication failed", at)
                near = NEAR[":" in client]
                r = world.run("swaks", "--server", f"[{near}]" if ":" in near else near,
                              "-6" if ":" in client else "-4", "--local-interface", client,
                              "--port", PUBLIC[name], "--tls" if how == STARTTLS else "-tlsc",
                              "--to", "x@far.test", "--from", "alice@example.test")
                assert r.returncode == 24 and re.search(r"^<~\* +[45]", r.stdout, re.M), r.stdout
                mta.logged(rf"NOQUEUE: reject: RCPT from unknown\[{re.escape(client)}\]", at)
    finally:
        dovecot.stop()
        shutil.rmtree(dovecot.dir, ignore_errors=True)
