"""What can carry a TCP stream to a server behind it: posthouse, and its peers with their configurations."""

import os
import shutil
import socket
import subprocess

from common import Stand, cpu_s, temp

from kit.ports import free_port
from kit.stand import until

CLIENT = "8.8.8.8"      # in the bench's own network (bench/pass): any address that is no private one
BUILT = os.environ.get("POSTHOUSE_BENCH_BIN", "/var/cache/posthouse-test/bin")
os.environ["PATH"] += ":" + BUILT


class Missing(Exception):
    """Why a peer does not take part."""


def listens(port):
    """Without connecting: a server of one client at a time would take that for a client."""
    with open("/proc/net/tcp", encoding="ascii") as f:
        return any(w[1].endswith(f":{port:04X}") and w[3] == "0A" for w in map(str.split, f))


def certificate(dir_):
    """A key, and a certificate for localhost that who pins it can trust."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", f"{dir_}/key.pem", "-out", f"{dir_}/cert.pem", "-days", "30", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True)
    with open(f"{dir_}/both.pem", "w", encoding="ascii") as out:
        for name in ("key.pem", "cert.pem"):
            with open(f"{dir_}/{name}", encoding="ascii") as f:
                out.write(f.read())
    os.chmod(f"{dir_}/both.pem", 0o600)


class Passer:
    """
    One way to the backends, name -> port on loopback: `ports` has the same names. A subclass
    says what must be installed, writes its configuration and starts its processes, and which
    of them run at home (AT_HOME, by their number).
    """

    name, needs, AT_HOME = "", (), ()

    def __init__(self, backends):
        missing = [p for p in self.needs if shutil.which(p) is None]
        if missing:
            raise Missing(f"{missing[0]} is not installed (`tools/need bench`)")
        self.backends, self.children = backends, []
        self.ports = {b: free_port() for b in backends}
        self.dir = temp("ph-pass-")
        os.makedirs(self.dir, 0o700)
        self.link = free_port()     # between the two halves, where there are two
        try:
            self.start()
            for port in self.ports.values():
                until(f"{self.name} listens", 20, lambda p=port: self.alive() and listens(p), 0.05)
        except BaseException:
            self.close()
            raise

    def start(self):
        raise NotImplementedError

    def file(self, name, text):
        path = f"{self.dir}/{name}"
        with open(path, "w", encoding="ascii") as f:
            f.write(text)
        return path

    def run(self, *words):
        words = [shutil.which(words[0]), *words[1:]]
        with open(f"{self.dir}/log", "ab") as log:
            self.children.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                  cwd=self.dir))

    def alive(self):
        if any(c.poll() is not None for c in self.children):
            with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
                raise RuntimeError(f"{self.name} ended:\n{f.read()}")
        return True

    def sides(self):
        """The processes of the edge's side, and those of home's."""
        home = [self.children[i].pid for i in self.AT_HOME]
        return [c.pid for c in self.children if c.pid not in home], home

    def cpu_s(self):
        return sum(cpu_s(c.pid) for c in self.children)

    def close(self):
        for c in self.children:
            c.terminate()
        for c in self.children:
            try:
                c.wait(10)
            except subprocess.TimeoutExpired:
                c.kill()
                c.wait()


class Direct(Passer):
    name = "direct"

    def __init__(self, backends):
        self.ports, self.children = backends, []


class Posthouse(Passer):
    """An edge and a home on loopback; their SMTP service stays `hold` and has no part in this."""

    name = "posthouse"

    def __init__(self, backends, opt=()):
        self.ports, self.children = {b: free_port() for b in backends}, []
        self.stand = Stand(temp("ph-pass-"), opt=[
            *(f'edge.service.{b}.listen={{"127.0.0.1:{p}"}}' for b, p in self.ports.items()),
            *(f"home.service.{b}.backend=127.0.0.1:{p}" for b, p in backends.items()),
            *(f"home.service.{b}.proxy=none" for b in backends), *opt])
        try:
            self.wait_up()
        except BaseException:
            self.close()
            raise

    def wait_up(self):
        """A service that is not up yet is closed at once, without a word."""
        def up(port):
            with speaker(port, CLIENT) as s:
                s.settimeout(0.2)
                try:
                    return s.recv(1) != b""
                except TimeoutError:
                    return True
                except ConnectionResetError:
                    return False
        for b, port in self.ports.items():
            until(f"{b} is passed", 20, lambda p=port: up(p), 0.1)

    def sides(self):
        return [self.stand.pid("edge")], [self.stand.pid("home")]

    def cpu_s(self):
        return sum(cpu_s(self.stand.pid(role)) for role in ("edge", "home"))

    def close(self):
        self.stand.down()


class Stunnel(Passer):
    """A pair, as one would put it between a small server and home: TLS 1.3, both sides pinned, as ours are."""

    name, needs, AT_HOME = "stunnel pair", ("stunnel4", "openssl"), (0,)

    def start(self):
        certificate(self.dir)
        links = {b: free_port() for b in self.backends}
        head = "foreground = yes\npid =\ndebug = 3\nsslVersionMin = TLSv1.3\n"
        server, client = head, head + "client = yes\n"
        pinned = f"cert = {self.dir}/both.pem\nCAfile = {self.dir}/cert.pem\nverifyPeer = yes\n"
        for b, port in self.backends.items():
            server += f"[{b}]\naccept = 127.0.0.1:{links[b]}\nconnect = 127.0.0.1:{port}\n" + pinned
            client += (f"[{b}]\naccept = 127.0.0.1:{self.ports[b]}\nconnect = 127.0.0.1:{links[b]}\n"
                       + pinned)
        self.run("stunnel4", self.file("server.conf", server))
        self.run("stunnel4", self.file("client.conf", client))


class Ssh(Passer):
    """ssh -R: home dials out, as ours does. The server has a configuration and keys of its own."""

    name, needs, AT_HOME = "ssh -R", ("ssh", "sshd", "ssh-keygen"), (1,)

    def start(self):
        for key in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"{self.dir}/{key}"], check=True)
        os.makedirs("/run/sshd", 0o755, exist_ok=True)      # where its unprivileged half goes to live
        self.run("sshd", "-D", "-e", "-f", self.file("sshd.conf", f"""
Port {self.link}
ListenAddress 127.0.0.1
HostKey {self.dir}/host
AuthorizedKeysFile {self.dir}/user.pub
StrictModes no
PermitRootLogin yes
UsePAM no
UseDNS no
PidFile none
AllowTcpForwarding yes
"""))
        until("sshd listens", 10, lambda: self.alive() and listens(self.link), 0.05)
        roads = [w for b, port in self.backends.items()
                 for w in ("-R", f"127.0.0.1:{self.ports[b]}:127.0.0.1:{port}")]
        self.run("ssh", "-F", "none", "-N", "-T", "-i", f"{self.dir}/user", "-o", "IdentitiesOnly=yes",
                 "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null",
                 "-o", "ExitOnForwardFailure=yes", "-p", str(self.link), *roads, "root@127.0.0.1")


class Nginx(Passer):
    name, needs = "nginx, one hop, no TLS", ("nginx",)
    MODULE = "/usr/lib/nginx/modules/ngx_stream_module.so"

    def start(self):
        if not os.path.exists(self.MODULE):
            raise Missing("nginx's stream module is not installed (`tools/need bench`)")
        servers = "".join(f"server {{ listen 127.0.0.1:{self.ports[b]} backlog=2000; "
                          f"proxy_pass 127.0.0.1:{port}; }}\n" for b, port in self.backends.items())
        self.run("nginx", "-e", f"{self.dir}/log", "-p", self.dir, "-c", self.file("nginx.conf", f"""
load_module {self.MODULE};
daemon off; pid {self.dir}/pid; worker_processes auto;
events {{ worker_connections 4000; }}
stream {{ {servers} }}
"""))


class Haproxy(Passer):
    name, needs = "haproxy, one hop, no TLS", ("haproxy",)

    def start(self):
        text = "global\n maxconn 4000\ndefaults\n mode tcp\n timeout connect 5s\n timeout client 10m\n" \
               " timeout server 10m\n"
        for b, port in self.backends.items():
            text += f"listen {b}\n bind 127.0.0.1:{self.ports[b]} backlog 2000\n server s 127.0.0.1:{port}\n"
        self.run("haproxy", "-db", "-f", self.file("haproxy.cfg", text))


class Frp(Passer):
    """As it comes, with the TLS that is its default, and insisted on."""

    name, needs, AT_HOME = "frp, TLS", ("frps", "frpc"), (1,)

    def start(self):
        self.run("frps", "-c", self.file("frps.toml", f"""
bindAddr = "127.0.0.1"
bindPort = {self.link}
proxyBindAddr = "127.0.0.1"
auth.token = "bench"
transport.tls.force = true
"""))
        until("frps listens", 10, lambda: self.alive() and listens(self.link), 0.05)
        self.run("frpc", "-c", self.file("frpc.toml", f"""
serverAddr = "127.0.0.1"
serverPort = {self.link}
auth.token = "bench"
transport.tls.enable = true
""" + "".join(f"""
[[proxies]]
name = "{b}"
type = "tcp"
localIP = "127.0.0.1"
localPort = {port}
remotePort = {self.ports[b]}
""" for b, port in self.backends.items())))


class Rathole(Passer):
    name, needs, AT_HOME = "rathole, TLS", ("rathole", "openssl"), (1,)

    def start(self):
        certificate(self.dir)
        subprocess.run(["openssl", "pkcs12", "-export", "-in", f"{self.dir}/cert.pem", "-inkey", f"{self.dir}/key.pem",
                        "-out", f"{self.dir}/both.pfx", "-passout", "pass:bench"], check=True, capture_output=True)
        transport = 'transport.type = "tls"\ntransport.tls.'
        server = f'[server]\nbind_addr = "127.0.0.1:{self.link}"\ndefault_token = "bench"\n{transport}' \
                 f'pkcs12 = "{self.dir}/both.pfx"\ntransport.tls.pkcs12_password = "bench"\n'
        client = f'[client]\nremote_addr = "127.0.0.1:{self.link}"\ndefault_token = "bench"\n{transport}' \
                 f'trusted_root = "{self.dir}/cert.pem"\ntransport.tls.hostname = "localhost"\n'
        for b, port in self.backends.items():
            server += f'[server.services.{b}]\nbind_addr = "127.0.0.1:{self.ports[b]}"\n'
            client += f'[client.services.{b}]\nlocal_addr = "127.0.0.1:{port}"\n'
        self.run("rathole", self.file("server.toml", server))
        until("rathole listens", 10, lambda: self.alive() and listens(self.link), 0.05)
        self.run("rathole", self.file("client.toml", client))


def speaker(port, source=CLIENT):
    """A connection as a client from elsewhere makes it."""
    s = socket.create_connection(("127.0.0.1", port), 20, (source, 0))
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s
