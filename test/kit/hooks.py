"""Who is told of alarms: a webhook, a relay that takes submissions, and a command's file."""

import base64
import http.server
import json
import os
import socketserver
import ssl
import threading


def behind_tls(server, files):
    """From the first octet; files: (certificate, key), or None for none."""
    if files:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        # The handshake in the thread of its connection, else one that fails ends them all.
        server.socket = context.wrap_socket(server.socket, server_side=True,
                                            do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()


class Webhook:
    """On a port of loopback; answers what the test says, and keeps what it was sent."""

    def __init__(self, tls=None):
        self.status, self.location, self.flood, self.silent = 200, None, False, False
        self.heard, self.tokens = [], []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):      # noqa: N802 (http.server names it so)
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.tokens.append(self.headers.get("Authorization"))
                hook.asked.append(self.path)
                if hook.silent:
                    hook.over.wait(60)
                    return
                if hook.status // 100 == 2:
                    assert self.headers["Content-Type"] == "application/json"
                    hook.heard.append(json.loads(body))
                self.send_response(hook.status)
                if hook.location:
                    self.send_header("Location", hook.location)
                self.end_headers()
                try:
                    for _ in range(100000 if hook.flood else 0):
                        self.wfile.write(b"x" * 1000)
                except OSError:
                    pass

            def log_message(self, *args):
                pass

        self.asked, self.over = [], threading.Event()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None
        behind_tls(self.server, tls)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/alarm"

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.over.set()
        self.server.shutdown()
        self.server.server_close()

    def events(self, key):
        return [n["event"] for n in self.heard if n["key"] == key]


class Relay:
    """A submission server with AUTH PLAIN, in the clear or behind TLS, on loopback."""

    def __init__(self, user="home", password="secret", at=("127.0.0.1", 0), tls=None):
        self.mails, self.refuses, self.auths = [], None, 0
        want = base64.b64encode(f"\0{user}\0{password}".encode()).decode()
        relay = self

        class Handler(socketserver.StreamRequestHandler):
            def say(self, text):
                self.wfile.write(text.encode() + b"\r\n")

            def data(self, sender, rcpts):
                self.say("354 go on")
                lines = []
                while (line := self.rfile.readline()) not in (b".\r\n", b""):
                    lines.append(line[1:] if line.startswith(b".") else line)
                relay.mails.append((sender, rcpts, b"".join(lines)))
                self.say("250 2.0.0 taken")

            def handle(self):
                self.say("220 relay.test ESMTP")
                known, sender, rcpts = False, None, []
                while line := self.rfile.readline():
                    words = line.decode("ascii").strip()
                    verb = words.split(" ")[0].upper()
                    if verb in ("EHLO", "HELO"):
                        self.say("250-relay.test\r\n250 AUTH PLAIN")
                    elif verb == "AUTH":
                        known = words == f"AUTH PLAIN {want}"
                        relay.auths += known
                        self.say("235 2.7.0 welcome" if known else "535 5.7.8 no")
                    elif verb == "MAIL":
                        sender = words
                        self.say("250 ok" if known else "530 5.7.0 AUTH first")
                    elif verb == "RCPT":
                        rcpts.append(words)
                        self.say(relay.refuses or "250 ok")
                    elif verb == "DATA":
                        self.data(sender, rcpts)
                    elif verb == "QUIT":
                        self.say("221 bye")
                        return
                    else:
                        self.say("250 ok")

        socketserver.ThreadingTCPServer.allow_reuse_address = True
        self.server = socketserver.ThreadingTCPServer(at, Handler)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None      # clients that do not believe us
        behind_tls(self.server, tls)
        self.port = self.server.server_address[1]

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.server.shutdown()
        self.server.server_close()


class Script:
    """A command that appends its POSTHOUSE_ variables to a file, in a directory of the test's."""

    def __init__(self, dir_, then=""):
        self.path, self.file = os.path.join(dir_, "tell.sh"), os.path.join(dir_, "told")
        with open(self.path, "w", encoding="ascii") as f:
            f.write("#!/bin/sh\necho \"$#\" $(env | cut -d= -f1 | sort) >> " + self.file + ".env\n"
                    "echo \"$POSTHOUSE_EVENT|$POSTHOUSE_KEY|$POSTHOUSE_TEXT|$POSTHOUSE_ROLE\" >> "
                    + self.file + "\n" + then + "\n")
        os.chmod(self.path, 0o755)

    def told(self):
        try:
            with open(self.file, encoding="ascii") as f:
                return [line.rstrip("\n").split("|") for line in f]
        except FileNotFoundError:
            return []

    def events(self, key):
        return [e[0] for e in self.told() if e[1] == key]
