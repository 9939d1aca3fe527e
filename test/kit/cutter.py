"""A wire that is cut at the worst moment."""

import socket
import threading


class Cutter:
    """Between home and a server: the first answer to an end of data never arrives."""

    def __init__(self, port):
        self.to, self.cut, self.hang = port, 0, False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                s, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.carry, args=(s,), daemon=True).start()

    def carry(self, client):
        server = socket.create_connection(("127.0.0.1", self.to))
        ended = threading.Event()

        def back():
            while octets := server.recv(65536):
                if ended.is_set() and self.cut == 0:
                    self.cut += 1
                    if not self.hang:
                        client.shutdown(socket.SHUT_RDWR)
                    return
                client.sendall(octets)
        threading.Thread(target=back, daemon=True).start()
        seen = b""
        try:
            while octets := client.recv(65536):
                seen = (seen + octets)[-70000:]
                if b"\r\n.\r\n" in seen:
                    ended.set()
                server.sendall(octets)
        except OSError:
            pass
        server.close()
