"""What a Worker pushes to: home's push service, an SMTP listener; both in TLS."""

import base64
import http.server
import socket
import socketserver
import ssl
import threading
import time

PASSWORD = "open sesame"


def server_side(certs, name="localhost"):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certs}/{name}.pem", f"{certs}/{name}.key")
    return context


class HttpsHome(http.server.ThreadingHTTPServer):
    """Answers with answer(method, headers, body) -> (status, text); keeps what was asked.
    posthouse: whether it is one, which names the object that it answers about."""

    daemon_threads = True

    def __init__(self, certs, answer, posthouse=True):
        super().__init__(("127.0.0.1", 0), HttpsRequest)
        self.posthouse = posthouse
        self.socket = server_side(certs).wrap_socket(self.socket, server_side=True)
        self.url = f"https://localhost:{self.server_address[1]}"
        self.answer, self.asked = answer, []
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # a client that went away is what some tests want

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.shutdown()
        self.server_close()


class HttpsRequest(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):  # pylint: disable=arguments-differ
        pass

    def do_PUT(self):  # pylint: disable=invalid-name
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        headers = {k.lower(): v for k, v in self.headers.items()}
        self.server.asked.append((self.command, self.path, headers, body))
        status, text = self.server.answer(self.command, self.headers, body)
        self.send_response(status)
        self.send_header("content-length", str(len(text)))
        if self.server.posthouse:
            self.send_header("posthouse-id", self.path.removeprefix("/mail/"))
        self.end_headers()
        self.wfile.write(text.encode())

    do_DELETE = do_GET = do_PUT


class SmtpListener(socketserver.ThreadingTCPServer):
    """
    Takes mail after STARTTLS and AUTH, whole transactions in took: (MAIL, RCPT, octets). replies:
    for a verb, a whole EHLO, or "." for the end of data, what to say (None: hang up; a number:
    seconds to wait).
    xclient: of which attributes it takes one's word, after a login that it forgets over it, as
    Postfix does; then "EHLO again" is its EHLO.
    """

    daemon_threads, allow_reuse_address = True, True

    def __init__(
        self,
        certs,
        offers=("PIPELINING", "8BITMIME", "CHUNKING", "SIZE 40000000"),
        piece=1 << 16,
        xclient="",
        **replies,
    ):
        self.certs, self.offers, self.piece, self.xclient = certs, offers, piece, xclient
        self.replies, self.took, self.heard = replies, [], []
        super().__init__(("127.0.0.1", 0), SmtpSession)
        self.port = self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.shutdown()
        self.server_close()


class Gone(Exception):
    pass


class SmtpSession(socketserver.BaseRequestHandler):
    def line(self):
        while b"\r\n" not in self.held:
            self.more()
        line, _, self.held = self.held.partition(b"\r\n")
        return line

    def more(self):
        some = self.request.recv(1 << 20)
        if not some:
            raise Gone
        self.held += some

    def say(self, verb, usual):
        reply = self.server.replies.get(verb, usual)
        if reply is None:
            raise Gone
        if isinstance(reply, (int, float)):
            time.sleep(reply)
            raise Gone
        octets = reply.encode() + b"\r\n"
        for at in range(0, len(octets), self.server.piece):  # no reply comes in one piece
            self.request.sendall(octets[at : at + self.server.piece])
        if reply.startswith("421"):
            raise Gone
        return reply

    def handle(self):
        self.held, self.secure, self.user, self.hello = b"", False, None, "EHLO"
        self.request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            self.say("greeting", "220 home.test ESMTP")
            while self.command(self.line().decode()):
                pass
        except (Gone, OSError):
            pass

    def command(self, line):
        verb = line.split(":")[0].split(" ")[0].upper()
        self.server.heard.append(line)
        if verb == "EHLO":
            offers = [*self.server.offers, "AUTH PLAIN LOGIN" if self.secure else "STARTTLS"]
            if self.user and self.server.xclient:
                offers.insert(0, f"XCLIENT {self.server.xclient}")
            self.say(
                line if line in self.server.replies else self.hello,
                "\r\n".join(
                    ["250-home.test"] + [f"250-{o}" for o in offers[:-1]] + [f"250 {offers[-1]}"]
                ),
            )
        elif verb == "STARTTLS":
            self.say(verb, "220 go on")
            self.request = server_side(self.server.certs).wrap_socket(
                self.request, server_side=True
            )
            self.held, self.secure = b"", True
        elif verb == "AUTH":
            _, user, password = base64.b64decode(line.split(" ")[2]).decode().split("\0")
            self.user = user if password == PASSWORD else None
            self.say(verb, "235 2.7.0 welcome" if self.user else "535 5.7.8 wrong")
        elif verb == "XCLIENT" and self.user and self.server.xclient:
            if self.say(verb, "220 home.test ESMTP").startswith("2"):
                self.user, self.hello = None, "EHLO again"
        elif verb == "MAIL":
            self.mail, self.rcpt = line, None
            self.say(verb, "250 2.1.0 ok" if self.user else "530 5.7.0 log in first")
        elif verb == "RCPT":
            if self.say(verb, "250 2.1.5 ok").startswith("2"):
                self.rcpt = line
        elif verb == "BDAT":
            size = int(line.split(" ")[1])
            while len(self.held) < size:
                self.more()
            octets, self.held = self.held[:size], self.held[size:]
            self.end(octets)
        elif verb == "DATA":
            self.say(verb, "354 go on" if self.rcpt else "554 5.5.1 no recipient")
            if self.rcpt:
                lines = []
                while (said := self.line()) != b".":
                    lines.append(said[1:] if said[:1] == b"." else said)
                self.end(b"".join(one + b"\r\n" for one in lines))
        elif verb == "QUIT":
            self.say(verb, "221 bye")
            return False
        else:
            self.say(verb, "500 5.5.2 what?")
        return True

    def end(self, octets):
        if self.rcpt and self.server.replies.get(".", "250").startswith("250"):
            self.server.took.append((self.mail, self.rcpt, octets))
        self.say(".", "250 2.0.0 taken")
