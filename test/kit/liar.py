"""A mail server for held mail that keeps what it takes in memory, and lies where a test says so."""

import re
import socketserver
import threading

OFFERS = ("PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE 10000000")


class Server(socketserver.ThreadingTCPServer):
    """
    SMTP, or LMTP, on `where`. says(verb, session) -> the reply in place of the usual one (octets,
    as they are), None for the usual, or HANG_UP; verb is b"GREETING", b"EHLO", b"MAIL", b"RCPT",
    b"DATA", and for the end of data b"." (in LMTP one for each recipient).
    """

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, says=lambda verb, session: None, lmtp=False, proxy=False, at="127.0.0.1",
                 port=0, offers=OFFERS):
        self.says, self.lmtp, self.proxy, self.offers = says, lmtp, proxy, offers
        self.mails = []         # (recipients, octets, what the PROXY header said), as they came
        self.heard = []         # (number of the session, line)
        self.sessions = 0
        super().__init__((at, port), Session)
        self.port = self.server_address[1]
        self.where = f"{at}:{self.port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.shutdown()
        self.server_close()


HANG_UP = b""


class HungUp(Exception):
    pass


class Session(socketserver.StreamRequestHandler):
    def handle(self):
        self.rcpts, self.header = [], None
        self.server.sessions += 1
        self.number = self.server.sessions
        try:
            if self.server.proxy:
                self.header = self.read_proxy()
            self.say(b"GREETING", b"220 liar.test ESMTP\r\n")
            while line := self.rfile.readline():
                self.server.heard.append((self.number, line))
                self.command(line)
        except (HungUp, ConnectionError):
            pass

    def read_proxy(self):
        head = self.rfile.read(16)
        rest = self.rfile.read(int.from_bytes(head[14:16], "big"))
        return ".".join(str(b) for b in rest[:4])

    def say(self, verb, usual, kept=None):
        """Whether it is a yes; then `kept` is, before anybody can have heard that."""
        reply = self.server.says(verb, self)
        if reply == HANG_UP and reply is not None:
            raise HungUp
        reply = usual if reply is None else reply
        yes = reply[:1] in b"23"
        if yes and kept:
            self.server.mails.append(kept)
        self.wfile.write(reply)
        return yes

    def command(self, line):
        verb = line.split()[0].upper()
        if verb in (b"EHLO", b"LHLO", b"HELO"):
            words = [b"liar.test"] + [o.encode() for o in self.server.offers]
            self.say(b"EHLO", b"".join(b"250%c%s\r\n" % (b" " if w is words[-1] else b"-", w)
                                       for w in words))
        elif verb == b"RCPT":
            if self.say(verb, b"250 2.1.5 ok\r\n"):
                self.rcpts.append(re.search(rb"<(.*)>", line).group(1).decode())
        elif verb == b"DATA":
            if self.say(verb, b"354 go\r\n"):
                self.data()
        elif verb == b"QUIT":
            self.wfile.write(b"221 2.0.0 bye\r\n")
            raise HungUp
        else:
            if verb in (b"MAIL", b"RSET"):
                self.rcpts = []
            self.say(verb, b"250 2.0.0 ok\r\n")

    def data(self):
        octets = b""
        while (line := self.rfile.readline()) != b".\r\n":
            if not line:
                raise HungUp
            octets += line[1:] if line.startswith(b".") else line
        self.octets = octets
        for kept in [[r] for r in self.rcpts] if self.server.lmtp else [self.rcpts]:
            self.say(b".", b"250 2.0.0 kept\r\n", (kept, octets, self.header))
        self.rcpts = []
