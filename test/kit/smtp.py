"""An SMTP client that does what it is told, right or wrong, octet for octet."""

import socket
import ssl


class Closed(Exception):
    """The server hung up."""


class Reply:
    def __init__(self, lines):
        self.lines = lines
        self.code = int(lines[-1][:3])
        self.text = "\n".join(lines)

    def __repr__(self):
        return f"Reply({self.text!r})"


class Client:
    """One connection. Everything is bytes on the way out, text in replies."""

    def __init__(self, where, source=None, timeout=60):
        self.buf = b""
        self.sock = socket.create_connection(where, timeout,
                                             source_address=(source, 0) if source else None)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def on(cls, sock):
        """On a connection that is there already."""
        made = cls.__new__(cls)
        made.buf, made.sock = b"", sock
        return made

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.close()

    def close(self):
        self.sock.close()

    def send(self, data):
        self.sock.sendall(data if isinstance(data, bytes) else data.encode())

    def line(self):
        while b"\r\n" not in self.buf:
            got = self.sock.recv(65536)
            if not got:
                raise Closed
            self.buf += got
        line, _, self.buf = self.buf.partition(b"\r\n")
        return line.decode("latin-1")

    def reply(self):
        lines = [self.line()]
        while lines[-1][3:4] == "-":
            lines.append(self.line())
        return Reply(lines)

    def cmd(self, text):
        self.send((text if isinstance(text, bytes) else text.encode()) + b"\r\n")
        return self.reply()

    def ok(self, text, code=250):
        r = self.cmd(text)
        assert r.code == code, f"{text!r}: {r.text}"
        return r

    def hello(self, name="client.test"):
        r = self.reply()
        assert r.code == 220, r.text
        return self.ok(f"EHLO {name}")

    def starttls(self):
        self.ok("STARTTLS", 220)
        assert self.buf == b""
        ctx = ssl.create_default_context()
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        self.sock = ctx.wrap_socket(self.sock, server_hostname="edge.test")
        return self.ok("EHLO client.test")

    def closed(self):
        """Whether the server ends the connection; what it still says is thrown away."""
        try:
            while self.sock.recv(65536):
                pass
            return True
        except ConnectionResetError:
            return True
        except (TimeoutError, socket.timeout):
            return False

    def begin(self, sender, rcpts, params=""):
        self.ok(f"MAIL FROM:<{sender}>{params}")
        for r in rcpts:
            self.ok(f"RCPT TO:<{r}>")

    def data(self, octets):
        """DATA with dots doubled; the final reply. octets end with CRLF."""
        self.ok("DATA", 354)
        self.send((b"\r\n" + octets).replace(b"\r\n.", b"\r\n..")[2:] + b".\r\n")
        return self.reply()

    def bdat(self, octets, chunk):
        """BDAT in chunks of that size, one after the other; the last reply."""
        r, at = None, 0
        while True:
            part = octets[at:at + chunk]
            at += len(part)
            last = at >= len(octets)
            self.send(f"BDAT {len(part)}{' LAST' if last else ''}\r\n".encode() + part)
            r = self.reply()
            if last or r.code != 250:
                return r


def send_mail(where, octets, *, sender="a@client.test", rcpts=("alice@example.test",), params="",
              chunk=0, source=None, tls=False, helo="client.test"):
    """One message in one session; the reply to its end, or to a MAIL or RCPT refused."""
    with Client(where, source) as c:
        c.hello(helo)
        if tls:
            c.starttls()
        r = c.cmd(f"MAIL FROM:<{sender}>{params}")
        if r.code != 250:
            return r
        for rcpt in rcpts:
            r = c.cmd(f"RCPT TO:<{rcpt}>")
            if r.code != 250:
                return r
        r = c.bdat(octets, chunk) if chunk else c.data(octets)
        if r.code == 250:
            c.ok("QUIT", 221)
        return r
