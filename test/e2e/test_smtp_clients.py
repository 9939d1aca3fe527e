"""Foreign SMTP clients against a stand: what they send arrives, once, as it was."""

import os
import re
import shutil
import socket
import ssl
import subprocess

import pytest

from kit import exim
from kit.ports import free_port
from kit.smtp import Client, send_mail
from kit.stand import header, message


def run(*words, timeout=120, **kw):
    return subprocess.run([str(w) for w in words], check=False, capture_output=True, text=True,
                          timeout=timeout, **kw)


def test_swaks_plain(shared, mark):
    host, port = shared.smtp
    r = run("swaks", "--server", host, "--port", port, "--to", "alice@example.test",
            "--from", "s@client.test", "--helo", "swaks.client.test",
            "--header", f"Subject: {mark}", "--local-interface", "127.9.8.7")
    assert r.returncode == 0, r.stdout + r.stderr
    mail, = shared.wait_marked("alice", mark)
    received = header(mail, "received")
    assert "127.9.8.7" in received and "swaks.client.test" in received
    assert header(mail, "return-path") == "<s@client.test>"
    assert header(mail, "delivered-to") == "alice@example.test"
    assert header(mail, "x-posthouse-id")


def test_swaks_starttls(shared, mark):
    host, port = shared.smtp
    for version in ("tlsv1_2", "tlsv1_3"):
        r = run("swaks", "--server", host, "--port", port, "--to", "bob@example.test",
                "--from", "s@client.test", "--tls", "--tls-protocol", version,
                "--header", f"Subject: {mark}-{version}")
        assert r.returncode == 0, r.stdout + r.stderr
        mail, = shared.wait_marked("bob", f"{mark}-{version}")
        assert "TLS" in header(mail, "received")
        assert "ESMTPS" in header(mail, "received")


def test_swaks_pipelined(shared, mark):
    host, port = shared.smtp
    r = run("swaks", "--server", host, "--port", port,
            "--to", "alice@example.test,bob@example.test", "--from", "s@client.test",
            "--pipeline", "--header", f"Subject: {mark}")
    assert r.returncode == 0, r.stdout + r.stderr
    for user in ("alice", "bob"):
        mail, = shared.wait_marked(user, mark)
        assert " for <" not in header(mail, "received"), \
            "several recipients: none is named to the other"


def test_smtp_source(shared, mark):
    host, port = shared.smtp
    r = run("smtp-source", "-s", 10, "-m", 200, "-l", 5000, "-f", "s@client.test",
            "-t", "alice@example.test", "-S", mark, f"{host}:{port}")
    assert r.returncode == 0, r.stderr
    found = shared.wait_marked("alice", mark, 200)
    assert len({header(m, "message-id") for m in found}) == 200


def test_smtp_source_keeps_the_connection(shared, mark):
    host, port = shared.smtp
    r = run("smtp-source", "-d", "-s", 4, "-m", 100, "-l", 100000, "-f", "s@client.test",
            "-t", "bob@example.test", "-S", mark, f"{host}:{port}")
    assert r.returncode == 0, r.stderr
    shared.wait_marked("bob", mark, 100)


def test_exim_chunking(shared, mark):
    if exim.binary() is None:
        pytest.fail("exim4 is not unpacked: tools/need test does that")
    body = "".join(f"{mark} line {i} {'x' * 900}\r\n" for i in range(400)) + ".\r\n..dots\r\n"
    out = exim.send(shared.smtp, "s@client.test", ["alice@example.test"],
                    message(subject=mark, body=body))
    assert " K" in out or "BDAT" in out, out
    mail, = shared.wait_marked("alice", f"Subject: {mark}")
    assert mail.endswith(body.replace("\r\n", "\n").encode())


def test_curl(shared, mark, tmp_path):
    host, port = shared.smtp
    text = tmp_path / "m"
    text.write_bytes(message(subject=mark, body=".\r\ndot above\r\n"))
    for extra in ([], ["--ssl-reqd", "-k"]):
        r = run("curl", "-sS", f"smtp://{host}:{port}/client.test", "--mail-from", "s@client.test",
                "--mail-rcpt", "alice@example.test", "-T", text, *extra)
        assert r.returncode == 0, r.stderr
    for mail in shared.wait_marked("alice", mark, 2):
        assert mail.endswith(b"\n\n.\ndot above\n")


def test_openssl_s_client(shared):
    host, port = shared.smtp
    for version in ("-tls1_2", "-tls1_3"):
        r = run("openssl", "s_client", "-starttls", "smtp", "-connect", f"{host}:{port}", version,
                "-crlf", "-ign_eof", "-CAfile", shared.env["CERT"], "-verify_return_error",
                input="quit\n")
        assert "Verify return code: 0" in r.stdout or "Verification: OK" in r.stdout, \
            r.stdout + r.stderr
        assert re.search(r"^221 ", r.stdout, re.M), r.stdout
    for version in ("-tls1", "-tls1_1"):
        r = run("openssl", "s_client", "-starttls", "smtp", "-connect", f"{host}:{port}", version,
                "-ign_eof", "-cipher", "ALL:@SECLEVEL=0", input="quit\n")
        assert r.returncode != 0 and not re.search(r"^221 ", r.stdout, re.M)


def test_nothing_said_before_the_handshake_counts_after_it(shared, mark):
    """RFC 3207 4.2; a whole plaintext transaction pipelined behind STARTTLS must vanish."""
    c = Client(shared.smtp)
    c.hello()
    c.send(b"STARTTLS\r\nEHLO evil.test\r\n"
           b"MAIL FROM:<evil@client.test>\r\nRCPT TO:<alice@example.test>\r\n")
    r = c.reply()
    if r.code == 220:
        ctx = ssl.create_default_context()
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        try:
            c.sock = ctx.wrap_socket(c.sock, server_hostname="edge.test")
        except (ssl.SSLError, OSError):
            return      # plaintext where a ClientHello was due: no session at all
        c.buf = b""
        assert c.cmd("DATA").code == 503
    else:
        assert r.code == 501, r.text
        assert c.cmd("DATA").code == 503
    c.close()


def test_state_before_starttls_is_forgotten(shared):
    with Client(shared.smtp) as c:
        c.hello()
        c.begin("s@client.test", ["alice@example.test"])
        assert c.cmd("STARTTLS").code == 503, "not in the middle of a transaction"
        c.ok("RSET")
        c.ok("STARTTLS", 220)
        ctx = ssl.create_default_context()
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        c.sock = ctx.wrap_socket(c.sock, server_hostname="edge.test")
        assert c.cmd("DATA").code == 503
        ehlo = c.ok("EHLO client.test").text
        assert "STARTTLS" not in ehlo
        assert c.cmd("STARTTLS").code in (502, 503)


def test_commands(shared):
    shared.wait_policy()
    with Client(shared.smtp) as c:
        ehlo = c.hello().text
        for word in ("SIZE", "PIPELINING", "8BITMIME", "CHUNKING", "ENHANCEDSTATUSCODES",
                     "STARTTLS", "SMTPUTF8", "DSN"):
            assert re.search(rf"^250[- ]{word}\b", ehlo, re.M), f"{word} is not in\n{ehlo}"
        assert "AUTH" not in ehlo
        c.ok("NOOP")
        assert c.cmd("VRFY alice").code == 252
        assert c.cmd("HELP").code == 214
        assert c.cmd("AUTH PLAIN AGEAYg==").code in (500, 502, 503)
        assert c.cmd("EXPN alice").code in (500, 502)
        assert c.cmd("XYZZY").code == 500
        r = c.cmd("RCPT TO:<alice@example.test>")
        assert r.code == 503 and " 5.5.1 " in r.text
        c.ok("MAIL FROM:<s@client.test>")
        c.ok("RSET")
        assert c.cmd("DATA").code == 503
        assert c.cmd("QUIT").code == 221


@pytest.mark.parametrize("rcpt", [
    "x@foreign.test", "alice%foreign.test@foreign.test", "@foreign.test:alice@elsewhere.test",
    "@example.test:x@foreign.test", "alice@[127.0.0.1]", "alice@[IPv6:::1]",
    '"alice@example.test"@foreign.test', "alice@example.test.foreign.test",
    "alice@sub.example.test", "foreign.test!alice", "alice@",
    "alice@example.test@foreign.test",
])
def test_no_relay(shared, rcpt):
    with Client(shared.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<s@client.test>")
        r = c.cmd(f"RCPT TO:<{rcpt}>")
        assert 500 <= r.code < 600 and re.match(r"5\d\d[ -]5\.\d+\.\d+ ", r.text), r.text


@pytest.mark.parametrize("rcpt", ["x%foreign.test@example.test", "foreign.test!x@example.test",
                                  '"x@foreign.test"@example.test'])
def test_percent_and_bang_stay_local(shared, rcpt):
    """They are judged on the domain after the last @: ours, and there no mailbox is called so."""
    shared.wait_policy()
    with Client(shared.smtp) as c:
        c.hello()
        c.cmd("MAIL FROM:<a@client.test>")
        r = c.cmd(f"RCPT TO:<{rcpt}>")
    assert r.code == 550 and " 5.1.1 " in r.text


@pytest.mark.parametrize("rcpt", ["postmaster@example.test", "PostMaster@example.test",
                                  "postmaster", "Postmaster"])
def test_postmaster(shared, mark, rcpt):
    with Client(shared.smtp) as c:
        c.hello()
        c.begin("s@client.test", [rcpt])
        assert c.data(message(subject=mark)).code == 250
    shared.wait_marked("alice", mark)


def test_smtputf8(shared, mark):
    shared.wait_policy()
    with Client(shared.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<jürgen@client.test> SMTPUTF8 BODY=8BITMIME".encode())
        c.ok("RCPT TO:<alice@example.test>")
        assert c.data(f"Subject: {mark} ü\r\n\r\nü\r\n".encode()).code == 250
    mail, = shared.wait_marked("alice", mark)
    assert "Return-Path: <jürgen@client.test>".encode() in mail
    assert "UTF8SMTP" in header(mail, "received")


def test_a_mailbox_in_any_script(make_stand, mark):
    stand = make_stand(users="jürgen,почта")
    stand.wait_policy()
    with Client(stand.smtp) as c:
        c.hello()
        c.ok("MAIL FROM:<s@client.test> SMTPUTF8".encode())
        for name in ("jürgen", "почта"):
            c.ok(f"RCPT TO:<{name}@example.test>".encode())
        for name in ("jurgen", "почт"):
            r = c.cmd(f"RCPT TO:<{name}@example.test>".encode())
            assert r.lines == ["550 5.1.1 No such mailbox here"]
        assert c.data(f"Subject: {mark} ü\r\n\r\nü\r\n".encode()).code == 250
    for name in ("jürgen", "почта"):
        mail, = stand.wait_marked(name, mark)
        assert f"Delivered-To: {name}@example.test".encode() in mail


def test_utf8_without_smtputf8_is_refused(shared):
    with Client(shared.smtp) as c:
        c.hello()
        r = c.cmd("MAIL FROM:<jürgen@client.test>".encode())
        assert 500 <= r.code < 600, r.text


def test_helo_speaks_plain_smtp(shared, mark):
    with Client(shared.smtp) as c:
        assert c.reply().code == 220
        assert c.cmd("HELO old.client.test").lines[0].startswith("250 ")
        c.begin("s@client.test", ["bob@example.test"])
        assert c.data(message(subject=mark)).code == 250
    mail, = shared.wait_marked("bob", mark)
    assert re.search(r"\bwith SMTP\b", header(mail, "received"))


def test_ipv6_is_listened_on(make_stand, mark):
    if not os.path.exists("/proc/net/if_inet6") or not socket.has_ipv6:
        pytest.skip("this kernel has no IPv6")
    s = make_stand(up=False)
    shutil.rmtree(s.dir, ignore_errors=True)
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("no ::1 on this machine")
    port = free_port()
    s.env = s.read_env(s.run("up", s.dir, "--opt", f'edge.service.six.listen={{"[::1]:{port}"}}',
                             "--opt", "edge.service.six.home=home",
                             "--opt", "edge.service.six.mode=hold"))
    with Client(("::1", port)) as c:
        c.hello()
        c.begin("s@client.test", ["alice@example.test"])
        assert c.data(message(subject=mark)).code == 250
    mail, = s.wait_marked("alice", mark)
    assert "[IPv6:::1]" in header(mail, "received")
