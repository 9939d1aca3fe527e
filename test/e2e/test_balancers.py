"""
haproxy and nginx: load balancers before an edge, whose PROXY headers name the client, and servers
behind a home, which read the header that home writes.
"""

import os

import pytest

from kit.balancers import NGINX_HTTP, haproxy, nginx
from kit.certs import own_ca
from kit.netns import NEAR, internet
from kit.passed import Server, echo, read_all
from kit.ports import free_port
from kit.smtp import Client
from kit.stand import header, message, until

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a network namespace")

CLIENTS = "8.8.4.4", "2001:4860:4860::8844"

# How haproxy may be told to speak: `server ... HERE`.
HAPROXY_SAYS = {
    "v1": "send-proxy",
    "v2": "send-proxy-v2",
    "v2 with a checksum": "send-proxy-v2 proxy-v2-options crc32c",
    "v2 with all it has": "send-proxy-v2 proxy-v2-options "
                          "crc32c,unique-id,authority,ssl,cert-cn,ssl-cipher,cert-sig,cert-key",
}


@pytest.fixture(name="world")
def world_fixture():
    with internet(*CLIENTS) as beyond:
        yield beyond


class Front:
    """A stand with one service that is held and one that is passed, for balancers at 127.0.0.1."""

    def __init__(self, make_stand, proxy_from="127.0.0.1"):
        self.server = Server(echo)
        self.held, self.passed = free_port(), free_port()
        self.stand = make_stand(opt=[
            f'edge.service.mx.listen={{"127.0.0.1:{self.held}"}}', "edge.service.mx.mode=hold",
            f'edge.service.mx.proxy_from={{"{proxy_from}"}}',
            f'edge.service.echo.listen={{"127.0.0.1:{self.passed}"}}',
            f'edge.service.echo.proxy_from={{"{proxy_from}"}}',
            f"home.service.echo.backend={self.server.where}"])

    def sends(self, beyond, client, port, mark):
        """A stranger's message through a balancer; the Received line that the edge wrote."""
        c = Client.on(beyond.connect(client, port))
        with c:
            c.hello()
            c.begin("a@client.test", ["alice@example.test"])
            assert c.data(message(subject=mark)).code == 250
        mail, = self.stand.wait_marked("alice", mark)
        return header(mail, "received")

    def speaks(self, beyond, client, port):
        """A stranger's connection through a balancer; whether it was passed."""
        try:
            with beyond.connect(client, port) as s:
                s.sendall(b"hello")
                return s.recv(100) == b"hello"
        except ConnectionError:
            return False

    def wait_passed(self, beyond, port):
        until("the service is passed", 20, lambda: self.speaks(beyond, CLIENTS[0], port), 0.1)
        self.server.clients.clear()

    def names(self, beyond, held, passed, mark):
        """Every client's mail and connection is his, by whatever way it came."""
        for client in CLIENTS:
            named = f"[IPv6:{client}]" if ":" in client else f"[{client}]"
            assert named in self.sends(beyond, client, held, f"{mark}-{client}.")
            with beyond.connect(client, passed) as s:
                s.sendall(b"hello")
                assert s.recv(100) == b"hello"
                assert self.server.clients[-1] == (client, s.getsockname()[1])


@pytest.fixture(name="front")
def front_fixture(world, make_stand):
    made = []

    def make(**kw):
        made.append(Front(make_stand, **kw))
        return made[-1]
    yield make
    for f in made:
        f.server.close()


def listen(name, port, to, says):
    return f"""
listen {name}
  bind {NEAR[0]}:{port}
  bind [{NEAR[1]}]:{port}
  unique-id-format %ci:%cp_%fi:%fp_%Ts_%rt:%pid
  server edge 127.0.0.1:{to} {says}
"""


@pytest.mark.parametrize("says", HAPROXY_SAYS)
def test_haproxy_names_the_client(front, world, mark, says):
    f = front()
    held, passed = free_port(), free_port()
    with haproxy(listen("held", held, f.held, HAPROXY_SAYS[says]) +
                 listen("passed", passed, f.passed, HAPROXY_SAYS[says]), (NEAR[0], held)):
        f.wait_passed(world, passed)
        f.names(world, held, passed, mark)


def test_nginx_names_the_client(front, world, mark):
    f = front()
    held, passed = free_port(), free_port()
    servers = "".join(f"  server {{ listen {NEAR[0]}:{port}; listen [{NEAR[1]}]:{port};\n"
                      f"    proxy_protocol on; proxy_pass 127.0.0.1:{to}; }}\n"
                      for port, to in ((held, f.held), (passed, f.passed)))
    with nginx(f"stream {{\n{servers}}}\n", (NEAR[0], held)):
        f.wait_passed(world, passed)
        f.names(world, held, passed, mark)


def test_a_balancer_that_nobody_named_is_refused(front, world, mark):
    """What it sends for its clients is no command and no mail; the log says what to mend."""
    f = front(proxy_from="192.0.2.1")
    ports = {says: (free_port(), free_port()) for says in HAPROXY_SAYS}
    text = "".join(listen(f"{kind}-{n}", port, to, HAPROXY_SAYS[says])
                   for n, says in enumerate(HAPROXY_SAYS)
                   for kind, port, to in (("held", ports[says][0], f.held),
                                          ("passed", ports[says][1], f.passed)))
    with haproxy(text, (NEAR[0], ports["v1"][0])):
        for says, (held, passed) in ports.items():
            before = len(f.stand.log("edge"))
            with Client.on(world.connect(CLIENTS[0], held)) as c:
                replies = [c.reply().text, c.reply().text]
                assert replies[0].startswith("220 ") and replies[1].startswith("421 4.3.5 "), says
                assert c.closed()
            assert not f.speaks(world, CLIENTS[0], passed), says
            f.stand.logged("edge", r"smtp\.refuse service=mx peer=127\.0\.0\.1: it sends a PROXY "
                           "header", before)
            f.stand.logged("edge", r"pass\.refuse service=echo peer=127\.0\.0\.1:", before)
    assert f.server.clients == [] and f.stand.queue("edge") == []


def test_haproxy_looks_whether_we_are_there(front, world, mark):
    """Its checks speak for itself (LOCAL): they find the edge there, and are never passed home."""
    f = front()
    held, passed = free_port(), free_port()
    check = "send-proxy-v2 check check-send-proxy inter 200ms fall 8"
    with haproxy(listen("held", held, f.held, check) + "  option smtpchk EHLO lb.test\n" +
                 listen("passed", passed, f.passed, check), (NEAR[0], held)) as lb:
        f.wait_passed(world, passed)
        until("it has looked", 10,
              lambda: f.stand.log("edge").count("a load balancer, for itself") > 3)
        f.names(world, held, passed, mark)
        assert "DOWN" not in lb.log(), lb.log()
        assert {who for who, _ in f.server.clients} == set(CLIENTS)


# --- behind a home ---------------------------------------------------------------------------

# What each sees of the client that a PROXY header names, said to him.
RECEIVERS = {
    "haproxy": (haproxy, """
frontend web
  mode http
  option httplog
  bind 127.0.0.1:{port} accept-proxy
  http-request return status 200 content-type text/plain lf-string "%[src] %[src_port]\\n"
"""),
    "nginx http": (nginx, f"""
http {{
{NGINX_HTTP}
  access_log off;
  server {{
    listen 127.0.0.1:{{port}} proxy_protocol;
    set_real_ip_from 127.0.0.1;
    real_ip_header proxy_protocol;
    return 200 "$remote_addr $proxy_protocol_port\\n";
  }}
}}
"""),
    "nginx stream": (nginx, """
stream {
  server {
    listen 127.0.0.1:{port} proxy_protocol;
    return "$proxy_protocol_addr $proxy_protocol_port\\n";
  }
}
"""),
}


@pytest.mark.parametrize("version", ["v2", "v1"])
@pytest.mark.parametrize("name", RECEIVERS)
def test_servers_at_home_see_the_client(world, make_stand, name, version):
    port, public = free_port(), free_port()
    run, text = RECEIVERS[name]
    with run(text.replace("{port}", str(port)), ("127.0.0.1", port)) as server:
        stand = make_stand(opt=[
            f'edge.service.web.listen={{"{NEAR[0]}:{public}", "[{NEAR[1]}]:{public}"}}',
            f"home.service.web.backend=127.0.0.1:{port}", f"home.service.web.proxy={version}"])

        def ask(client):
            try:
                with world.connect(client, public) as s:
                    if name != "nginx stream":      # which hears nothing and hangs up
                        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
                    who = s.getsockname()[1]
                    return read_all(s), f"{client} {who}\n".encode()
            except ConnectionResetError:
                return b"", b""
        until("the service is passed", 20, lambda: ask(CLIENTS[0])[0], 0.1)
        for client in CLIENTS:
            said, true = ask(client)
            assert said.endswith(true), (said, true, server.log())


# Their own certificates, behind a PROXY header.
SITES = """
http {
%s
  access_log off;
  server {
    listen 127.0.0.1:{port} ssl proxy_protocol;
    server_name {name};
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_certificate {certs}/{name}.pem;
    ssl_certificate_key {certs}/{name}.key;
    location / {
      return 200 "$server_name for $proxy_protocol_addr\\n";
    }
    location /large {
      root {dir};
    }
  }
}
""" % NGINX_HTTP


def test_two_homes_share_https(world, make_stand, tmp_path):
    """curl, which believes the test's own authority only, reaches each home by its name."""
    names, public = ("example.test", "other.test"), free_port()
    own_ca(tmp_path, *names)
    ports = {name: free_port() for name in names}
    servers = [nginx(SITES.replace("{port}", str(ports[name])).replace("{name}", name)
                     .replace("{certs}", str(tmp_path)), ("127.0.0.1", ports[name]))
               for name in names]
    octets = os.urandom(5 << 20)
    with servers[0], servers[1]:
        with open(f"{servers[1].dir}/large", "wb") as f:
            f.write(octets)
        stand = make_stand(opt=[
            f'edge.service.web.listen={{"{NEAR[0]}:{public}", "[{NEAR[1]}]:{public}"}}',
            f"home.service.web.backend=127.0.0.1:{ports['example.test']}"])
        stand.add_home("other", "other.test",
                       opt=[f"service.web.backend=127.0.0.1:{ports['other.test']}"])

        def curl(name, client, path="/", *more):
            near = f"[{NEAR[1]}]" if ":" in client else NEAR[0]
            return world.run("curl", "-sS", "--max-time", 60, "--cacert", tmp_path / "ca.pem",
                             "--interface", client, "--resolve", f"{name}:{public}:{near}",
                             *more, f"https://{name}:{public}{path}")
        for name in names:
            until(f"{name} is passed", 20, lambda n=name: curl(n, CLIENTS[0]).returncode == 0, 0.2)
        for client in CLIENTS:
            for name in names:
                for http in ("--http1.1", "--tls-max 1.2", "--tlsv1.3"):
                    r = curl(name, client, "/", *http.split())
                    assert r.stdout == f"{name} for {client}\n", (r, stand.log("edge")[-2000:])
        got = tmp_path / "got"
        assert curl("other.test", CLIENTS[0], "/large", "-o", got).returncode == 0
        assert got.read_bytes() == octets
        r = curl("third.test", CLIENTS[0])
        assert r.returncode == 35 and "unrecognized name" in r.stderr, r
        stand.logged("edge", f"pass.refuse service=web peer={CLIENTS[0]}:")
