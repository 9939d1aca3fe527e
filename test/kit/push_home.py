"""A home that no edge is paired with: Workers push to it, through a TLS proxy or straight."""

import hashlib
import hmac
import http.client
import json
import os
import re
import signal
import shutil
import socketserver
import subprocess
import tempfile
import threading
import uuid

from kit.balancers import NGINX_HTTP, nginx
from kit.ports import free_port
from kit.stand import ENDED, NEVER, posthouse, until
from kit.worker import EDGE

DOMAIN = "example.test"


class Backend(socketserver.ThreadingTCPServer):
    """A mail server that says to RCPT and to the end of a message what replies has."""

    daemon_threads = allow_reuse_address = True

    def __init__(self, **replies):
        super().__init__(("127.0.0.1", 0), BackendSession)
        self.port, self.replies, self.took = self.server_address[1], replies, []
        threading.Thread(target=self.serve_forever, args=(0.05,), daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.shutdown()
        self.server_close()


class BackendSession(socketserver.StreamRequestHandler):
    def say(self, text):
        self.wfile.write(text.encode() + b"\r\n")

    def handle(self):
        self.say("220 backend.test ESMTP")
        for line in self.rfile:
            verb = line[:4].upper()
            if verb == b"QUIT":
                self.say("221 2.0.0 bye")
                return
            if verb == b"DATA":
                self.say("354 go on")
                body = b""
                while (piece := self.rfile.readline()) not in (b".\r\n", b""):
                    body += piece
                reply = self.server.replies.get(".", "250 2.0.0 taken")
                if reply[0] == "2":
                    self.server.took.append(body)
                self.say(reply)
            elif verb == b"RCPT":
                self.say(self.server.replies.get("RCPT", "250 2.1.5 yes"))
            else:
                self.say("250 2.0.0 yes")


class PushHome:
    """Usable as a context. more: lines of home.conf; service: keys of service "push"."""

    def __init__(self, more="", service="", deliver=None, domains=(DOMAIN,)):
        self.dir, self.port = tempfile.mkdtemp(prefix="ph-push-"), free_port()
        os.chmod(self.dir, 0o755)
        self.maildir, self.conf = f"{self.dir}/mail", f"{self.dir}/home.conf"
        os.mkdir(self.maildir)
        self.child, self.killed = None, False
        names = ", ".join(f'"{d}"' for d in domains)
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(f'state = "{self.dir}/state"\ncontrol = "{self.dir}/control"\nuser = ""\n'
                    f'worker "{EDGE}" {{ domains = {{{names}}} }}\n'
                    f'service "push" {{ listen = {{"127.0.0.1:{self.port}"}} {service} }}\n'
                    f'deliver {{ {deliver or f"maildir = {chr(34)}{self.maildir}{chr(34)}"} }}\n'
                    f'mailboxes {{ users = {{"alice", "bob"}} }}\n{more}\n')
        said = self.tool("keygen").stdout
        self.recipient = re.search(r"age1\w+", said).group()
        self.mac_key, self.token = (self.key(what) for what in ("mac", "token"))
        self.start()

    def key(self, what):
        with open(f"{self.dir}/state/worker-{EDGE}.{what}", encoding="ascii") as f:
            return f.read().strip()

    def tool(self, *words):
        return subprocess.run([posthouse(), *words, "-c", self.conf], check=True,
                              capture_output=True, text=True, timeout=300)

    def start(self):
        with open(f"{self.dir}/log", "ab") as log:
            self.child = subprocess.Popen([posthouse(), "home", "-c", self.conf], stdout=log,
                                          stderr=log)
        try:
            until("home takes pushed mail", 20, self.answers, 0.1)
        except AssertionError:
            self.child.kill()
            self.child.wait()
            raise

    def answers(self):
        assert self.child.poll() is None, self.log()
        try:
            return self.ask("DELETE", f"/mail/{uuid.uuid4()}")[0] == 204
        except (OSError, http.client.HTTPException):     # it died in the middle
            return False

    def stop(self):
        self.child.send_signal(signal.SIGTERM)
        self.child.wait(90)

    def kill(self, process):
        """One process of it alone, which is started again."""
        self.killed = True
        found = json.loads(self.tool("status", "--json").stdout)["processes"]
        (pid,) = [p["pid"] for p in found if p["name"] == process]
        os.kill(pid, signal.SIGKILL)

    def log(self):
        with open(f"{self.dir}/log", encoding="utf-8", errors="replace") as f:
            return f.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        if self.child.poll() is None:
            self.stop()
        log = self.log()
        if kind is not None:
            print(log[-6000:])
        shutil.rmtree(self.dir, ignore_errors=True)
        assert [line for line in log.splitlines() if NEVER.search(line) or
                (ENDED.search(line) and not self.killed)] == []

    # --- what a Worker would say ----------------------------------------------------------

    def ask(self, method, path, body=None, token=None, **headers):
        """(status, text); headers with _ for -, None leaves one out."""
        said = {"authorization": f"Bearer {self.token if token is None else token}", **headers}
        c = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            c.request(method, path, body,
                      {k.replace("_", "-"): v for k, v in said.items() if v is not None})
            answer = c.getresponse()
            return answer.status, answer.read().decode()
        finally:
            c.close()

    def object(self, mark, to="alice@" + DOMAIN, id_=None, key=None, edge=EDGE):
        """(id, sealed, MAC) of a message with mark in it."""
        id_ = id_ or uuid.uuid4()
        said = (f"EHLO client.test\r\nXCLIENT NAME=[UNAVAILABLE] ADDR=203.0.113.7 "
                f"PORT=[UNAVAILABLE] PROTO=ESMTP HELO=client.test DESTADDR=[UNAVAILABLE] "
                f"DESTPORT=[UNAVAILABLE]\r\nXFORWARD IDENT={id_} SOURCE=REMOTE NAME={edge}\r\n"
                f"MAIL FROM:<a@client.test>\r\nRCPT TO:<{to}>\r\n").encode()
        mail = f"Subject: {mark}\r\n\r\n{mark}\r\n".encode()
        said += b"BDAT %d LAST\r\n" % len(mail) + mail + b"QUIT\r\n"
        sealed = subprocess.run(["age", "-r", self.recipient], input=said, check=True,
                                capture_output=True).stdout
        mac = hmac.new(bytes.fromhex(key or self.mac_key), b"posthouse-object-1" + id_.bytes +
                       hashlib.sha256(sealed).digest(), "sha256").hexdigest()
        return id_, sealed, mac

    def put(self, made, **headers):
        id_, sealed, mac = made
        return self.ask("PUT", f"/mail/{id_}", sealed, posthouse_mac=mac, **headers)

    # --- what became of it ----------------------------------------------------------------

    def mails(self, user="alice"):
        new = f"{self.maildir}/{user}/new"
        found = []
        for name in sorted(os.listdir(new)) if os.path.isdir(new) else ():
            with open(f"{new}/{name}", "rb") as f:
                found.append(f.read())
        return found

    def wait_mails(self, n, user="alice", seconds=20):
        until(f"{n} messages for {user}", seconds, lambda: len(self.mails(user)) >= n)
        assert len(self.mails(user)) == n
        return self.mails(user)


def tls_proxy(home, port, certs, name="localhost"):
    """nginx where an HTTPS tunnel would end: TLS there, HTTP/1.1 to home."""
    return nginx("http {\n" + NGINX_HTTP + f"""
  access_log off;
  client_max_body_size 64m;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certs}/{name}.pem;
    ssl_certificate_key {certs}/{name}.key;
    location / {{
      proxy_pass http://127.0.0.1:{home.port};
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_read_timeout 40s;
    }}
  }}
}}
""", ("127.0.0.1", port))
