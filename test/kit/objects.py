"""Held objects, as an edge or a Worker makes them (doc/OBJECT), for tests that put them in a bucket
themselves."""

import hashlib
import hmac
import secrets
import subprocess
import uuid


def transcript(id_, edge, sender, rcpts, octets, *, whole=True):
    """What lies inside the seal."""
    head = (f"EHLO client.test\r\n"
            f"XCLIENT NAME=[UNAVAILABLE] ADDR=203.0.113.7 PORT=4711 PROTO=ESMTP HELO=client.test "
            f"DESTADDR=[UNAVAILABLE] DESTPORT=[UNAVAILABLE]\r\n"
            f"XFORWARD IDENT={id_} SOURCE=REMOTE NAME={edge}\r\n"
            f"MAIL FROM:<{sender}> BODY=8BITMIME\r\n")
    head += "".join(f"RCPT TO:<{r}>\r\n" for r in rcpts)
    end = b"QUIT\r\n" if whole else b""
    return head.encode() + b"BDAT %d LAST\r\n" % len(octets) + octets + end


def seal(octets, *recipients):
    words = [w for r in recipients for w in ("-r", r)]
    return subprocess.run(["age", *words], input=octets, check=True, capture_output=True).stdout


class Signer:
    """Who signs objects under a name with a key."""

    def __init__(self, name, key=None):
        self.name, self.key = name, key or secrets.token_bytes(32)

    def mac(self, id_, sealed):
        return hmac.new(self.key, b"posthouse-object-1" + id_.bytes +
                        hashlib.sha256(sealed).digest(), "sha256").hexdigest()

    def meta(self, id_, sealed):
        return {"posthouse-mac": self.mac(id_, sealed), "posthouse-edge": self.name}

    def make(self, recipient, octets, *, rcpts=("alice@example.test",), sender="a@client.test",
             id_=None, inner=None):
        """(name, sealed, metadata) of a message; inner: the id that stands inside, if another."""
        id_ = id_ or uuid.uuid4()
        sealed = seal(transcript(inner or id_, self.name, sender, rcpts, octets), recipient)
        return f"pending/{id_}.age", sealed, self.meta(id_, sealed)
