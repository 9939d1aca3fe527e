"""
The mail servers that people have at home as the end of held mail: each takes it, from its true
client where it can be told, judges it by that, and is reached as its owner has set it up.
"""

import os
import re

import pytest

from kit.authority import Authority
from kit.dovecot import Dovecot
from kit.held import CLIENT, delivered, opts, send, shown
from kit.lmtp import Lmtp
from kit.maddy import BINARY, Maddy
from kit.mtas import Exim, OpenSmtpd, Postfix
from kit.ports import free_port
from kit.stand import until

NO_RELAY = ['match from any for domain "example.test" action "local"']


def via(mta):
    return opts("via=service smtp") + [f"home.service.smtp.backend={mta.where}"]


def test_exim_is_told_the_client_by_proxy(make_stand, mark):
    with Exim() as mta:
        stand = make_stand(opt=via(mta))
        send(mark)
        send(mark, client="8.8.4.4")
        delivered(stand, 2)
        assert shown(stand) == ("smtp", "proxy", [])
        with open(f"{mta.dir}/log-main", encoding="utf-8") as f:
            log = f.read()
        for client in (CLIENT, "8.8.4.4"):
            assert re.search(rf"<= a@client\.test H=.*\[{re.escape(client)}\]", log), log


def test_opensmtpd_is_told_the_client_by_proxy(make_stand, mark):
    with OpenSmtpd(match=NO_RELAY) as mta:
        stand = make_stand(opt=via(mta))
        send(mark)
        send(mark, client="8.8.4.4")
        delivered(stand, 2)
        assert shown(stand) == ("smtp", "proxy", [])
        for client in (CLIENT, "8.8.4.4"):
            mta.logged(f"address={client}")


def test_opensmtpd_without_proxy_takes_it_and_status_says_what_it_cannot_judge(make_stand, mark):
    with OpenSmtpd(match=NO_RELAY, listen="") as mta:
        stand = make_stand(opt=opts(f"smtp={mta.where}"))
        send(mark)
        delivered(stand)
        by, identity, notes = shown(stand)
        assert (by, identity) == ("smtp", "none")
        assert len(notes) == 1 and "filters that judge the sender's address" in notes[0]


# mailcow's listener for PROXY and what it asks of strangers, less what needs a name server, a
# database or rspamd. It trusts all private networks, and Dovecot has the mailboxes.
MAILCOW = (
    "mynetworks = 127.0.0.0/8 [::1]/128 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 [fc00::]/7",
    "mydestination = localhost.localdomain, localhost",
    "virtual_mailbox_domains = example.test",
    "virtual_mailbox_maps = inline:{ alice@example.test=alice, bob@example.test=bob }",
    "virtual_transport = lmtp:inet:127.0.0.1:%d",
    "recipient_delimiter = +",
    "disable_vrfy_command = yes",
    "postscreen_access_list = permit_mynetworks",
    "postscreen_cache_map = btree:$data_directory/postscreen_cache",
    "postscreen_greet_action = enforce",
    "postscreen_greet_banner = $smtpd_banner",
    "postscreen_greet_wait = 1s",
    "smtpd_data_restrictions = reject_unauth_pipelining, permit",
    "smtpd_helo_required = yes",
    "smtpd_helo_restrictions = permit_mynetworks, reject_non_fqdn_helo_hostname",
    "smtpd_recipient_restrictions = permit_mynetworks, reject_invalid_helo_hostname, "
    "reject_unauth_destination",
    "smtpd_sender_restrictions = permit_mynetworks, reject_unlisted_sender",
    "smtpd_hard_error_limit = ${stress?{1}:{5}}",
    "smtpd_soft_error_limit = 3",
    "smtputf8_enable = no",
)


def test_mailcows_postfix_judges_held_mail_by_its_true_client(make_stand, mark):
    with Lmtp() as boxes:
        main = [line % boxes.port if "%d" in line else line for line in MAILCOW]
        with Postfix(main, service="postscreen",
                     options="-o postscreen_upstream_proxy_protocol=haproxy") as mta:
            stand = make_stand(opt=via(mta))
            send(mark, ("alice@example.test", "bob+tag@example.test"))
            delivered(stand, 2)
            assert shown(stand) == ("smtp", "proxy", [])
            for user in ("alice", "bob"):
                until(f"{user} has it", 20, lambda user=user: boxes.mails(user))
                assert len(boxes.mails(user)) == 1
            mta.logged(rf"client=unknown\[{CLIENT}\]")
            # A trusted network's would have been let through with that.
            send("other-" + mark, helo="no-full-name", client="8.8.4.4")
            until("it is judged", 20, lambda: [o["state"] for o in stand.queue("home")] ==
                  ["parked"])
            id_ = stand.queue("home")[0]["id"]
            assert "need fully-qualified hostname" in \
                stand.tool("show", id_, "-c", stand.conf("home")).stdout


# --- STARTTLS and AUTH --------------------------------------------------------------------------

SUBMISSION = """-o smtpd_sasl_auth_enable=yes -o smtpd_tls_auth_only=yes
  -o smtpd_sasl_type=dovecot -o smtpd_sasl_path=inet:127.0.0.1:%d
  -o smtpd_tls_security_level=encrypt -o smtpd_delay_reject=no
  -o smtpd_relay_restrictions=permit_sasl_authenticated,reject"""


@pytest.fixture(name="submission")
def submission_fixture(tmp_path):
    """(an authority, a function that makes a Postfix with a certificate) and what it asks."""
    made = []
    boxes = tmp_path / "boxes"
    boxes.mkdir()
    os.chmod(tmp_path, 0o755)
    os.chown(boxes, 65534, 65534)
    dovecot = Dovecot(str(boxes))

    def postfix(tls):
        made.append(Postfix(["local_transport = discard:"], tls=tls,
                            options=SUBMISSION % dovecot.auth))
        return made[-1]
    yield Authority(tmp_path), postfix
    for m in made:
        m.__exit__(None, None, None)
    dovecot.stop()


def password(tmp_path, word="x"):
    name = tmp_path / "password"
    name.write_text(word + "\n")
    name.chmod(0o600)
    return name


def test_a_password_goes_to_a_server_whose_certificate_is_right(make_stand, mark, submission,
                                                                tmp_path):
    authority, postfix = submission
    mta = postfix(authority.cert("127.0.0.1"))
    stand = make_stand(opt=opts(f"smtp={mta.where}", "tls=verify", f"authorities={authority.pem}",
                                "user=alice", f"password={password(tmp_path)}"))
    send(mark)
    send(mark)
    delivered(stand, 2)
    mta.logged("sasl_username=alice", times=2)


# What is wrong, and the words that say so; nothing of it may cost mail.
WRONG = {
    "its authority is another one": ("127.0.0.1", "other", "x", "certificate"),
    "its certificate is for another address": ("127.0.0.9", "ca", "x", "certificate"),
    "the password is wrong": ("127.0.0.1", "ca", "y",
                              "does not take our user name and password"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_nothing_goes_and_nothing_is_lost_while(make_stand, mark, submission, tmp_path, wrong):
    ip, believed, word, words = WRONG[wrong]
    authority, postfix = submission
    pem = Authority(tmp_path, "other").pem if believed == "other" else authority.pem
    mta = postfix(authority.cert(ip))
    stand = make_stand(opt=opts(f"smtp={mta.where}", "tls=verify", f"authorities={pem}",
                                "user=alice", f"password={password(tmp_path, word)}"))
    send(mark)
    until("it is said", 20, lambda: [a for a in stand.status("home")["alarms"] if words in a])
    until("it waits", 20, lambda: [o["state"] for o in stand.queue("home")] == ["deferred"])
    assert "status=sent" not in mta.log()
    if wrong == "the password is wrong":        # mended, and taken by SIGHUP
        password(tmp_path)
        os.kill(stand.pid("home"), 1)
        delivered(stand)


def test_tls_is_used_where_offered_whatever_the_certificate(make_stand, mark, tmp_path):
    with Postfix(["local_transport = discard:", "smtpd_tls_received_header = yes"], options=(
            "-o smtpd_tls_security_level=encrypt -o smtpd_tls_loglevel=1"),
            tls=Authority(tmp_path).cert("127.0.0.9")) as mta:
        stand = make_stand(opt=opts(f"smtp={mta.where}"))
        send(mark)
        delivered(stand)
        mta.logged("TLS connection established from")


def test_a_server_that_wants_tls_first_refuses_us_and_not_the_mail(make_stand, mark, tmp_path):
    with Postfix(["local_transport = discard:"], options="-o smtpd_tls_security_level=encrypt",
                 tls=Authority(tmp_path).cert("127.0.0.1")) as mta:
        stand = make_stand(opt=opts(f"smtp={mta.where}", "tls=off"))
        send(mark)
        until("it is said", 20, lambda: "STARTTLS" in stand.log("home"))
        until("it waits", 20, lambda: [o["state"] for o in stand.queue("home")] == ["deferred"])


@pytest.mark.skipif(not os.access(BINARY, os.X_OK), reason="no Maddy: tools/need builds it where "
                    "Go is")
def test_maddy_takes_it_by_starttls_and_auth(make_stand, mark, tmp_path):
    authority = Authority(tmp_path)
    with Maddy(authority.cert("127.0.0.1"), free_port()) as mta:
        stand = make_stand(opt=opts(
            f"smtp={mta.where}", "tls=verify", f"authorities={authority.pem}",
            "user=alice@example.test", f"password={password(tmp_path, 'secret')}"))
        send(mark, ("alice@example.test", "bob@example.test"))
        delivered(stand, 2)
        for user in ("alice", "bob"):
            mails = mta.mails(user)
            assert len(mails) == 1 and mark.encode() in mails[0], mta.log()
            assert b"X-Posthouse-Id: " in mails[0]
