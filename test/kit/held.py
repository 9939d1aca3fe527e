"""Mail that an edge holds, as from a stranger's address, and that ends in a mail server."""

import socket

from kit.ports import free_port
from kit.stand import message, until

CLIENT = "9.9.9.9"
MX = free_port()


def opts(*more):
    """At its other service the edge is told who its client is, as by a load balancer."""
    return [f'edge.service.mx.listen={{"127.0.0.1:{MX}"}}', "edge.service.mx.mode=hold",
            'edge.service.mx.home={"home"}', 'edge.service.mx.proxy_from={"127.0.0.1"}',
            "home.deliver.retry_max=1s", *(f"home.deliver.{m}" for m in more)]


def send(mark, rcpts=("alice@example.test",), client=CLIENT, end=b"250", helo="client.test",
         body=None):
    with socket.create_connection(("127.0.0.1", MX), 20) as s:
        s.sendall(f"PROXY TCP4 {client} 127.0.0.1 40000 25\r\n".encode())
        lines = s.makefile("rb")

        def ask(text, code):
            if text:
                s.sendall(text)
            line = lines.readline()
            while line[3:4] == b"-":
                line = lines.readline()
            assert line.startswith(code), line
        ask(b"", b"220")
        ask(f"EHLO {helo}\r\n".encode(), b"250")
        ask(b"MAIL FROM:<a@client.test>\r\n", b"250")
        for r in rcpts:
            ask(f"RCPT TO:<{r}>\r\n".encode(), b"250")
        ask(b"DATA\r\n", b"354")
        octets = body or message(mark, f".{mark}\r\n..\r\n")
        ask(octets.replace(b"\r\n.", b"\r\n..") + b".\r\n", end)


def delivered(stand, n=1, seconds=30):
    until(f"{n} delivered", seconds, lambda: stand.counter("home", "delivered") >= n)
    until("home holds nothing", 10, lambda: stand.queue("home") == [])


def shown(stand):
    d = stand.status("home")["delivery"]
    return d["by"], d["identity"], d["notes"]
