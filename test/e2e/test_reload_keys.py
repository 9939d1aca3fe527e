"""Every key of both configurations at SIGHUP: it is followed, or refused as needing a restart."""

import contextlib
import glob
import json
import os
import re
import subprocess
import tempfile
import time

import pytest

from kit.hooks import Script, Webhook
from kit.passed import Server, answer, connect, header
from kit.ports import free_port
from kit.routing import route, write
from kit.smtp import Client, Closed, send_mail
from kit.stand import Stand, message, posthouse, until


class Reloads:
    """A stand whose configurations are changed key by key, and given back after each test."""

    def __init__(self, stand, server, mx):
        self.stand, self.server, self.mx = stand, server, mx
        self.first = {r: self.text(r) for r in ("edge", "home")}

    def text(self, role):
        return read(self.stand.conf(role))

    def put(self, role, text):
        """A reload that has come to its end, or was refused."""
        at = len(self.stand.log(role))
        write(self.stand.conf(role), text)
        self.stand.hup(role)
        self.stand.logged(role, r"config\.(reloaded|refused) ", at)
        return self.stand.log(role)[at:]

    def set(self, role, **keys):
        """section__key=value, or section__title__key=value; on top of the first configuration."""
        text = self.first[role]
        for name, value in keys.items():
            text = with_key(text, name.split("__"), value)
        said = self.put(role, text)
        assert "config.refused" not in said, said

    def back(self):
        for role, text in self.first.items():
            if self.text(role) != text:
                self.put(role, text)


def with_key(text, path, value):
    """libconfuse text with the key in its section, made where there is none."""
    *section, key = path
    line = f"{key} = {value}\n"
    if not section:
        return line + re.sub(rf"^{key} = .*\n", "", text, flags=re.M)
    head = section[0]
    if len(section) > 1:
        head += f' "{section[1].replace("_", ".")}"'
    block = re.search(rf"^{re.escape(head)} \{{\n(.*?)^\}}\n", text, re.M | re.S)
    if block is None:
        return text + f"{head} {{\n{line}}}\n"
    body = re.sub(rf"^\t{key} = .*\n", "", block.group(1), flags=re.M)
    return text[:block.start()] + f"{head} {{\n{line}{body}}}\n" + text[block.end():]


@pytest.fixture(scope="module", name="running")
def one_stand():
    """For all tests of this file, as each gives its configuration back."""
    server, mx = Server(answer(b"* hello\r\n")), ("127.0.0.1", free_port())
    with tempfile.TemporaryDirectory(prefix="ph-") as dir_:
        stand = Stand(os.path.join(dir_, "s"), opt=[
            f'edge.service.mx.listen={{"{mx[0]}:{mx[1]}"}}', "edge.service.mx.mode=pass",
            'edge.service.mx.proxy_from={"127.0.0.1"}', "edge.service.mx.home={home}",
            f"home.service.mx.backend={server.where}",
            "home.service.mx.allow_private=true"])
        try:
            yield Reloads(stand, server, mx)
            assert stand.complaints() == []
        finally:
            stand.down()
            server.close()


@pytest.fixture(name="r")
def given_back(running):
    yield running
    running.back()


# --- what is seen of an edge ---------------------------------------------------------------------

def session(r, **kw):
    c = Client(r.stand.smtp, **kw)
    try:
        c.hello()
        return c
    except BaseException:
        c.close()
        raise


def ehlo(r, words):
    with session(r) as c:
        return words in c.ok("EHLO again.test").text


def rcpt(r, to, sender="a@client.test"):
    with session(r) as c:
        c.ok(f"MAIL FROM:<{sender}>")
        return c.cmd(f"RCPT TO:<{to}>").code


def mail(r, octets=None, **kw):
    return send_mail(r.stand.smtp, octets or message(), **kw).code


def line(r):
    with session(r) as c:
        return c.cmd("NOOP " + "x" * 1000).code


def recipients(r):
    with session(r) as c:
        c.ok("MAIL FROM:<a@client.test>")
        c.send(b"RCPT TO:<alice@example.test>\r\n" * 101)
        return [c.reply().code for _ in range(101)][-1]


def until_closed(r, command):
    with session(r) as c:
        for n in range(1, 1000):
            if c.cmd(command).code == 421:
                return n
    return 0


def hops(r):
    return mail(r, message(extra="Received: from a by b; Mon, 1 Jan 2024 00:00:00 +0000\r\n" * 15))


def second(r):
    with session(r), Client(r.stand.smtp) as c:
        return c.reply().code


def ends(r, begin):
    """Whether it is ended by its edge, in the time that a test has for it."""
    with session(r) as c:
        begin(c)
        c.sock.settimeout(20)
        return c.closed()


def bare_lf(r):
    return mail(r, b"Subject: x\r\n\r\na\nb\r\n")


def auth(r):
    with session(r) as c:
        return "AUTH" in c.starttls().text


def passes(r, client="8.8.4.4"):
    """How a client of the passed service is greeted; "": it is closed."""
    with connect(r.mx, header(client=client)) as s, contextlib.suppress(ConnectionResetError):
        return s.recv(100)[:3].decode()
    return ""


def another_passes(r, client="8.8.4.4"):
    """While one is passed."""
    with connect(r.mx, header()) as s:
        if s.recv(100) != b"* hello\r\n":
            return None
        return passes(r, client)


def passed_ends(r, says=b""):
    """Whether the edge ends a passed connection on which the client says so much now and then."""
    until_s = time.monotonic() + 20
    with connect(r.mx, header()) as s:
        s.settimeout(0.3)
        try:
            while time.monotonic() < until_s:
                with contextlib.suppress(TimeoutError):
                    if not s.recv(100):
                        return True
                s.sendall(says)
        except OSError:
            return True
    return False


def verdicts(r):
    before = r.stand.counter("edge", "verdicts_asked")
    assert mail(r) == 250
    return r.stand.counter("edge", "verdicts_asked") > before


def pairs_at(r):
    r.stand.tool("pair", "-c", r.stand.conf("edge"), "probe", "probe.test")
    return r.stand.tool("pair", "-c", r.stand.conf("edge"), "probe", "probe.test").stdout


def alarm(r, role, words):
    return any(words in a for a in r.stand.status(role)["alarms"])


def peer(r, role, what):
    return r.stand.status(role)["peers"][0][what]


def logs_more(r):
    at = len(r.stand.log("edge"))
    assert mail(r) == 250
    r.stand.edge_empty()
    return " debug " in r.stand.log("edge")[at:]


T, F = True, False
# Keys with their value, what is looked at, and what it then is: each step in turn, by SIGHUP.
EDGE = [
    ("bare_lf", bare_lf, [(dict(bare_lf="normalize"), 250), (dict(bare_lf="refuse"), 550)]),
    ("verdict", verdicts, [({}, F), (dict(verdict="30s"), T), (dict(verdict="0s"), F)]),
    ("limits.verdicts", verdicts, [(dict(verdict="30s", limits__verdicts=0), F),
                                   (dict(verdict="30s", limits__verdicts=1), T)]),
    ("tunnel.address", lambda r: "mx9.test:7" in json.dumps(pairs_at(r)),
     [({}, F), (dict(tunnel__address='"mx9.test:7"'), T)]),
    ("home.domains", lambda r: rcpt(r, "alice@new.test"),
     [({}, 550), (dict(home__home__domains='{"example.test", "new.test"}'), 250)]),
    ("home.key", lambda r: peer(r, "edge", "connections") > 0,
     [({}, T), (dict(home__home__key=f'"sha256:{"0" * 64}"'), F), ({}, T)]),
    ("service.home", lambda r: rcpt(r, "alice@example.test"),
     [({}, 250), (dict(service__smtp__home='{"nobody"}'), 550)]),
    ("service.auth", auth, [({}, F), (dict(service__smtp__auth="true"), T)]),
    ("service.mode", passes, [({}, "* h"), (dict(service__mx__mode="hold"), "220")]),
    ("service.proxy_from", passes,
     [({}, "* h"), (dict(service__mx__proxy_from='{"192.0.2.1"}'), ""), ({}, "* h")]),
    ("service.allow_private", lambda r: passes(r, "10.1.2.3"),
     [(dict(service__mx__allow_private="true"), "* h"), ({}, "")]),
    ("limits.line", line, [({}, 250), (dict(limits__line=512), 500)]),
    ("limits.recipients", recipients, [({}, 250), (dict(limits__recipients=100), 452)]),
    ("limits.size", lambda r: ehlo(r, "SIZE 70000"), [({}, F), (dict(limits__size=70000), T)]),
    ("limits.errors", lambda r: until_closed(r, "WRONG"),
     [(dict(limits__errors=3), 4), (dict(limits__errors=5), 6)]),
    ("limits.commands", lambda r: until_closed(r, "NOOP") in range(90, 110),
     [({}, F), (dict(limits__commands=100), T)]),
    ("limits.hops", hops, [({}, 250), (dict(limits__hops=10), 554)]),
    ("limits.connections", second, [({}, 220), (dict(limits__connections=1), 421)]),
    ("limits.client_connections", second, [({}, 220), (dict(limits__client_connections=1), 421)]),
    ("limits.command_timeout", lambda r: ends(r, lambda c: None),
     [(dict(limits__command_timeout="1s"), T)]),
    ("limits.data_timeout", lambda r: ends(r, lambda c: (
        c.begin("a@client.test", ["alice@example.test"]), c.ok("DATA", 354))),
     [(dict(limits__data_timeout="1s"), T)]),
    ("limits.session_timeout", lambda r: ends(r, lambda c: None),
     [(dict(limits__session_timeout="1s"), T)]),
    ("limits.handshake_timeout", lambda r: ends(r, lambda c: c.ok("STARTTLS", 220)),
     [(dict(limits__handshake_timeout="1s"), T)]),
    ("limits.streams", another_passes, [({}, "* h"), (dict(limits__streams=1), "")]),
    ("limits.streams_home", another_passes, [({}, "* h"), (dict(limits__streams_home=1), "")]),
    ("limits.streams_client", lambda r: another_passes(r, "8.8.8.8"),
     [({}, "* h"), (dict(limits__streams_client=1), "")]),
    ("limits.passed_idle_timeout", passed_ends, [(dict(limits__passed_idle_timeout="1s"), T)]),
    ("limits.passed_total_timeout", lambda r: passed_ends(r, b"x"), [
        (dict(limits__passed_idle_timeout="1s", limits__passed_total_timeout="1s"), T)]),
    ("hold.reserve", mail, [({}, 250), (dict(hold__reserve="1024T"), 452), ({}, 250)]),
    # The message is as long as it may be, and sealed a little longer.
    ("hold.quota", lambda r: mail(r, message(body=("x" * 70 + "\r\n") * 905)), [
        (dict(limits__size="64K"), 250), (dict(limits__size="64K", hold__quota="64K"), 452)]),
    ("home.quota", lambda r: mail(r, message(body=("x" * 70 + "\r\n") * 2000)), [
        ({}, 250), (dict(home__home__quota="64K"), 452), ({}, 250)]),
    ("alarms.disk", lambda r: alarm(r, "edge", "above hold.reserve"),
     [({}, F), (dict(alarms__disk="1024T"), T), ({}, F)]),
    ("alarms.certificate", lambda r: alarm(r, "edge", "ends on"),
     [({}, F), (dict(alarms__certificate="365d"), T)]),
    ("log", logs_more, [(dict(log='"debug"'), T), ({}, F)]),
]

def goes(to):
    """Where home would bring it, or what it decides instead."""
    def look(r):
        said = route(r.stand, f"{to}@example.test")
        return said if isinstance(said, str) else said.get("mailbox", said["decision"])
    return look


HOME = [
    ("mailboxes.users", goes("carol"),
     [({}, "refused"), (dict(mailboxes__users='{"alice", "carol"}'), "carol"), ({}, "refused")]),
    ("mailboxes.command", goes("carol"),
     [(dict(mailboxes__command='"echo carol"'), "carol"),
      (dict(mailboxes__command='"echo dave"'), "refused"), ({}, "refused")]),
    ("mailboxes.path", goes("carol"),
     [(dict(mailboxes__command='"echo carol"', mailboxes__path='"/nowhere"'), "deferred"),
      (dict(mailboxes__command='"echo carol"'), "carol"), ({}, "refused")]),
    ("mailboxes.catch_all", goes("any"),
     [({}, "refused"), (dict(mailboxes__catch_all="bob"), "bob")]),
    ("mailboxes.roles", goes("abuse"), [({}, "refused"), (dict(mailboxes__roles="bob"), "bob")]),
    ("mailboxes.edges_refuse", lambda r: rcpt(r, "nobody@example.test"),
     [({}, 550), (dict(mailboxes__edges_refuse="false"), 250), ({}, 550)]),
    ("domain.aliases", goes("sales"),
     [({}, "refused"), (dict(domain__example_test__aliases='{"sales: bob"}'), "bob")]),
    ("domain.tags", goes("alice-x"),
     [({}, "refused"), (dict(domain__example_test__tags='"-"'), "alice")]),
    ("domain.dots", goes("al.ice"),
     [({}, "refused"), (dict(domain__example_test__dots="false"), "alice")]),
    ("domain.case", goes("ALICE"),
     [({}, "alice"), (dict(domain__example_test__case="true"), "refused")]),
    ("domain.own", goes("alice"),
     [({}, "alice"), (dict(domain__example_test__own="true"), "refused"), ({}, "alice")]),
    ("domain.catch_all", goes("any"),
     [({}, "refused"), (dict(domain__example_test__catch_all="bob"), "bob")]),
    ("domain.refuse", goes("any"),
     [(dict(mailboxes__catch_all="bob"), "bob"),
      (dict(mailboxes__catch_all="bob", domain__example_test__refuse="true"), "refused")]),
    ("domain.roles", goes("abuse"),
     [({}, "refused"), (dict(domain__example_test__roles="bob"), "bob")]),
    ("service.streams", another_passes,
     [({}, "* h"), (dict(service__mx__streams=1), ""), ({}, "* h")]),
    ("tunnel.streams", another_passes, [({}, "* h"), (dict(tunnel__streams=1), ""), ({}, "* h")]),
    ("tunnel.connections", lambda r: peer(r, "home", "connections"),
     [({}, 2), (dict(tunnel__connections=3), 3), (dict(tunnel__connections=1), 1)]),
    ("service.backend", passes,
     [({}, "* h"), (dict(service__mx__backend='"127.0.0.1:9"'), ""), ({}, "* h")]),
    ("hold.reserve", lambda r: alarm(r, "home", "hold.reserve"),
     [({}, F), (dict(hold__reserve="1024T"), T), ({}, F)]),
    ("alarms.disk", lambda r: alarm(r, "home", "above hold.reserve"),
     [({}, F), (dict(alarms__disk="1024T"), T), ({}, F)]),
]


# How all others follow: the test that sees it, or the place where it is looked up each time anew,
# each as PATH: WORDS that are in that file, or in one of that folder.
ELSEWHERE = {
    "edge": {
        "postmaster": "src/edge: conf->postmaster",
        "tls.cert": "test/e2e/test_reload.py: test_starttls_ends_with_its_section",
        "tls.key": "test/e2e/test_reload.py: test_starttls_ends_with_its_section",
        "tunnel.key": "src/edge: tunnels_rekey(e, to == &e->tunnel_pem)",
        "home.recipient": "test/unit/homes_test.c: a_reload_moves_a_domain",
        "service.default_home": "src/edge: s->default_home",
        "bucket.puts": "src/edge: conf_of(b)->puts",
        "bucket.patience": "src/edge: conf_of(b)->patience_ms",
        "limits.handover": "src/edge: conf->handover",
        "limits.connect_timeout": "src/edge: edge_conf(e)->connect_ms",
        "limits.passed_memory": "src/edge: conf->passed_memory",
        "hold.max_hold": "src/store: c->hold->max_hold_ms",
        "hold.share": "test/unit/spool_test.c: what_a_client_keeps_itself_is_reloaded",
    },
    "home": {
        "log": "src/priv: p->common->log_level",
        "edge.address": "src/home: d->edge->peer.address",
        "edge.key": "src/home: c->has_pin",
        "worker.domains": "src/home: w->domains",
        "worker.mac_key": "src/home: edges_worker_keys",
        "worker.token": "src/home: push_gate_token",
        "worker.edges": "src/home: w->edges",
        "worker.password": "src/home: edges_worker_password",
        "worker.smtp": "src/ctl: ->smtp",
        "probe.url": "src/ctl: .url",
        "probe.token": "src/ctl: token",
        "probe.targets": "src/ctl: targets",
        "bucket.poll": "src/home: pace_configure(&b->pace, c->poll_ms, c->requests)",
        "bucket.requests": "src/home: pace_configure(&b->pace, c->poll_ms, c->requests)",
        "bucket.keep": "src/home: conf_of(b)->keep_ms",
        "bucket.fetches": "src/home: conf_of(b)->fetches",
        "bucket.old": "src/home: conf_of(b)->old",
        "service.proxy": "test/unit/post_test.c: a_reload_takes_the_service_to_another_place",
        "service.allow_private": "test/e2e/test_passage_home.py: test_a_reload_changes_services",
        "service.url": "src/ctl: ->url",
        "service.size": "src/home: s->size < quota",
        "service.rate": "src/home: s->rate",
        "service.bytes": "src/home: s->bytes",
        "interlock.control": "src/home: conf->interlock_control",
        "interlock.addresses": "src/home: conf->interlock_addresses",
        "tunnel.key": "src/home: edges_apply(t, true)",
        "age.key": "src/home: take_keys",
        "age.recovery": "src/home: conf->recovery",
        "deliver.deliveries": "src/home: c->conf->deliveries",
        "deliver.retry_max": "src/home: c->conf->retry_max_ms",
        "filter.timeout": "src/home: c->conf->filter.timeout_ms",
        "filter.size": "src/home: c->conf->filter.size",
        "filter.on_reject": "src/home: c->conf->filter.on_reject",
        "mailboxes.file": "src/home: h->proc->home->users_file",
        "mailboxes.refresh": "src/home: r->refresh_ms = conf->users_refresh_ms",
        "mailboxes.callout": "src/home: .callout = conf->callout",
        "mailboxes.stale_after": "src/home: tunnel_conf(t)->stale_after_ms",
        "hold.quota": "src/store: .quota = h->quota",
        "hold.max_hold": "src/store: c->hold->max_hold_ms",
        "parked.keep": "src/store: .parked_keep_ms",
        "alarms.mail": "src/herald: a->mail",
        "alarms.from": "src/herald: a->from",
        "alarms.relay": "src/herald: relay",
        "alarms.user": "src/herald: user",
        "alarms.password": "src/herald: alarms.password",
        "alarms.tls": "src/herald: tls",
    },
}
BOTH = {
    "alarms.command": "test_alarms_go_another_way",
    "alarms.webhook": "test_alarms_go_another_way",
    "alarms.webhook_file": "src/priv: alarms.webhook_file",
    "alarms.token": "src/priv: alarms.token",
    "alarms.every": "src/store: conf_of(d)->every_ms",
    "alarms.after": "src/store: a->after_ms",
    "alarms.repeat": "src/store: a->repeat_ms",
    "alarms.oldest": "src/store: a->oldest_ms",
    "alarms.count": "src/store: a->count",
    "alarms.unreachable": "src/store: a->unreachable_ms",
    "alarms.certificate": "src/store: certificate_ms",
}
TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


@pytest.mark.parametrize("role, table", [("edge", EDGE), ("home", HOME)], ids=["edge", "home"])
def test_a_new_key_is_not_forgotten(role, table):
    """Whoever adds one says here how a reload brings it, or makes it one that needs a restart."""
    said = subprocess.run([posthouse(), "config", role, "--json"], check=True, capture_output=True)
    follow = {k["key"] for k in json.loads(said.stdout) if k["reloadable"]}
    seen, elsewhere = {key for key, *_ in table}, {**BOTH, **ELSEWHERE[role]}
    assert follow - seen - set(elsewhere) == set(), "nothing says that a reload brings these"
    assert (seen | set(ELSEWHERE[role])) - follow == set(), "a reload brings none of these"
    for key, where in elsewhere.items():
        path, _, words = where.rpartition(": ")
        path = os.path.join(TOP, path) if path else __file__
        files = glob.glob(path + "/*.c") if os.path.isdir(path) else [path]
        assert any(words in read(f) for f in files), (key, where)


def read(path):
    with open(path, encoding="utf-8") as f:
        return f.read()


def steps(table):
    return [pytest.param(look, todo, id=key) for key, look, todo in table]


def follow(r, role, look, todo):
    for keys, wanted in todo:
        r.set(role, **keys)
        last = []

        def now():
            try:
                last[:] = [look(r)]
            except (AssertionError, Closed, OSError) as e:      # what was open before is closing
                last[:] = [repr(e)]
            return last == [wanted]
        try:
            until(f"{wanted!r} with {keys}", 10, now, 0.05)
        except AssertionError as e:
            raise AssertionError(f"{e}; it is {last}") from None


@pytest.mark.parametrize("look, todo", steps(EDGE))
def test_an_edge_follows(r, look, todo):
    follow(r, "edge", look, todo)


@pytest.mark.parametrize("look, todo", steps(HOME))
def test_a_home_follows(r, look, todo):
    follow(r, "home", look, todo)


@pytest.mark.parametrize("role", ["edge", "home"])
def test_alarms_go_another_way(r, role, tmp_path):
    script = Script(tmp_path)
    tmp_path.chmod(0o755)
    with Webhook() as one, Webhook() as two:
        for keys, heard in ((dict(alarms__webhook=f'"{one.url}"'), one),
                            (dict(alarms__webhook=f'"{two.url}"'), two)):
            r.set(role, **keys)
            until("it is told", 10, lambda heard=heard: try_roads(r, role) and heard.heard)
        r.set(role, alarms__command=f'"{script.path}"')
        n = len(two.heard)
        until("it is told by the command", 10, lambda: try_roads(r, role) and script.told())
        assert len(two.heard) == n


def try_roads(r, role):
    r.stand.tool("alarm", "--test", "-c", r.stand.conf(role), check=False)
    return True


@pytest.mark.parametrize("role, keys, words", [
    ("edge", dict(service__smtp__listen='{"127.0.0.1:1"}'), "service.listen"),
    ("edge", dict(service__smtp__listen='{"127.0.0.1:1", "127.0.0.1:2"}'), "service.listen"),
    ("edge", dict(service__more__listen='"127.0.0.1:1"'), "service"),
    ("edge", dict(tunnel__listen='"127.0.0.1:1"'), "tunnel.listen"),
    ("edge", dict(hold__memory="1M"), "hold.memory"),
    ("edge", dict(hostname="other.test"), "hostname"),
    ("home", dict(deliver__maildir='"/tmp"'), "deliver.maildir"),
    ("home", dict(filter__rspamd='"127.0.0.1:1"'), "filter.rspamd"),
    ("home", dict(dns__timeout="1s"), "dns.timeout"),
], ids=lambda v: "-".join(v) if isinstance(v, dict) else None)
def test_what_needs_a_restart_is_refused_and_named(r, role, keys, words):
    text = r.first[role]
    for name, value in keys.items():
        text = with_key(text, name.split("__"), value)
    said = r.put(role, text)
    assert re.search(rf"config\.refused {r.stand.conf(role)}:\d+: {words}: only a restart changes "
                     r"it: restart this (edge|home), or undo it", said), said
    assert "config.reloaded" not in said
    until("it is an alarm", 10, lambda: alarm(r, role, "only a restart changes it"))
    assert mail(r) == 250
