"""posthouse doctor tries the way on which a Worker pushes mail home."""

import json
import os
import subprocess

import pytest

from kit.etc import own_file
from kit.ports import free_port
from kit.push_home import PushHome, tls_proxy
from kit.push_peers import HttpsHome
from kit.stand import posthouse
from kit.worker import EDGE

AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
if os.geteuid() != 0 or not os.path.exists(AUTHORITIES):
    pytest.skip("needs root, for authorities of its own, and ca-certificates",
                allow_module_level=True)


def tried(home, certs):
    """(check, state, text, advice) of all that it says of pushing."""
    r = subprocess.run([*own_file(AUTHORITIES, f"{certs}/ca.pem"), posthouse(), "doctor", "-c",
                        home.conf, "--json"], check=False, capture_output=True, text=True,
                       timeout=120)
    assert home.token not in r.stdout + r.stderr
    (found,) = [tuple(o[k] for k in ("check", "state", "text", "advice"))
                for o in json.loads(r.stdout) if o["check"].startswith("push")]
    assert r.returncode == 1 or found[1] != "fail"
    return found


def test_it_leads_home_or_not(certs):
    port = free_port()
    with PushHome(service=f'url = "https://localhost:{port}/"') as home, \
            tls_proxy(home, port, certs):
        check, state, text, advice = tried(home, certs)
        assert (check, state, advice) == (f"push {EDGE}", "ok", "")
        assert "knows this Worker's token" in text

        token = f"{home.dir}/state/worker-{EDGE}.token"
        os.rename(token, token + ".old")
        home.tool("keygen")
        home.token = home.key("token")      # home was not told of it
        check, state, text, advice = tried(home, certs)
        assert (check, state) == (f"push {EDGE}", "fail") and "answered 401" in text
        assert "reload home" in advice
        os.rename(token + ".old", token)

        home.stop()
        check, state, text, advice = tried(home, certs)
        assert (check, state) == (f"push {EDGE}", "fail") and "answered 502" in text
        assert "does home run" in advice


@pytest.mark.parametrize("status", [200, 301, 404, 405, 503])
def test_who_answers_in_its_place_is_told_apart(certs, status):
    with HttpsHome(certs, lambda *_: (status, "hello\nyou"), False) as other, \
            PushHome(service=f'url = "{other.url}"') as home:
        check, state, text, _ = tried(home, certs)
        assert (check, state) == (f"push {EDGE}", "fail")
        assert f"answered {status}, and not by home's push service: hello" in text
        ((method, path, headers, body),) = other.asked
        assert (method, body) == ("GET", b"") and path.startswith("/mail/")
        assert headers["authorization"] == f"Bearer {home.token}"


def test_nobody_is_there(certs):
    with PushHome(service=f'url = "https://localhost:{free_port()}"') as home:
        check, state, text, advice = tried(home, certs)
        assert (check, state) == ("push", "warn") and "cannot be asked from here" in text and advice


def test_a_certificate_of_another_name(certs):
    with HttpsHome(certs, lambda *_: (200, "")) as other, \
            PushHome(service=f'url = "{other.url.replace("localhost", "127.0.0.1")}"') as home:
        check, state, text, _ = tried(home, certs)
        assert (check, state) == ("push", "warn") and "cannot be asked from here" in text
        assert other.asked == []
