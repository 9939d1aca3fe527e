"""What Postfix asks of others: a policy service that greylists, and a server of passwords."""

import ipaddress
import socketserver
import threading
import time


class Service(socketserver.ThreadingTCPServer):
    """On loopback, in threads, until close(); `where` is what Postfix calls it."""

    daemon_threads = True

    def __init__(self, handler):
        super().__init__(("127.0.0.1", 0), handler)
        self.where = "inet:127.0.0.1:%d" % self.server_address[1]
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def close(self):
        self.shutdown()
        self.server_close()


class Greylist(Service):
    """
    Postfix's SMTPD_POLICY_README: who is new (his network, sender and recipient) is told 450 4.2.0,
    and welcome `delay` seconds later.
    """

    def __init__(self, delay=3600):
        self.delay, self.seen = delay, {}
        super().__init__(Asked)

    def judge(self, query):
        ip = ipaddress.ip_address(query["client_address"])
        net = ipaddress.ip_network((ip, 24 if ip.version == 4 else 64), strict=False)
        first = self.seen.setdefault((net, query["sender"], query["recipient"]), time.monotonic())
        if time.monotonic() - first < self.delay:
            return "450 4.2.0 Greylisted, come again later"
        return "DUNNO"


class Asked(socketserver.StreamRequestHandler):
    def handle(self):
        query = {}
        for line in self.rfile:
            name, _, value = line.decode("latin-1").rstrip("\n").partition("=")
            if name:
                query[name] = value
                continue
            self.wfile.write(f"action={self.server.judge(query)}\n\n".encode())
            query = {}


class Passwords(Service):
    """As much of Dovecot's authentication protocol as makes Postfix offer AUTH; it knows nobody."""

    def __init__(self):
        super().__init__(Auth)


class Auth(socketserver.StreamRequestHandler):
    def handle(self):
        self.wfile.write(b"VERSION\t1\t1\nMECH\tPLAIN\tplaintext\nSPID\t1\nCUID\t1\n"
                         b"COOKIE\t0123456789abcdef0123456789abcdef\nDONE\n")
        for line in self.rfile:
            words = line.split(b"\t")
            if words[0] == b"AUTH":
                self.wfile.write(b"FAIL\t" + words[1] + b"\n")
