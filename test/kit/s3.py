"""Another client of S3, in Python: AWS signature version 4 by the book, over http.client."""

import base64
import datetime
import hashlib
import hmac
import http.client
import ssl
import urllib.parse
import xml.etree.ElementTree as ElementTree

EMPTY = hashlib.sha256(b"").hexdigest()


def quote(text, safe="-._~"):
    return urllib.parse.quote(text, safe=safe)


def sign(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


class Bucket:
    """One bucket of a store; each call is one request, and asserts that it went well."""

    def __init__(self, endpoint, name, key, secret, region="auto", ca=None):
        self.endpoint, self.name, self.key, self.secret = endpoint, name, key, secret
        self.region, self.ca = region, ca

    def ask(self, method, key, body=b"", headers=(), query=(), raw=False):
        """(status, headers, body)."""
        url = urllib.parse.urlsplit(self.endpoint)
        now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
        path = f"/{self.name}" + (f"/{quote(key, '-._~/')}" if key else "")
        asked = "&".join(f"{quote(k)}={quote(v)}" for k, v in sorted(dict(query).items()))
        fields = {"host": url.netloc, "x-amz-date": now,
                  "x-amz-content-sha256": hashlib.sha256(body).hexdigest(),
                  **{k.lower(): v for k, v in dict(headers).items()}}
        names = ";".join(sorted(fields))
        canonical = "\n".join([method, path, asked, *(f"{k}:{fields[k]}" for k in sorted(fields)),
                               "", names, fields["x-amz-content-sha256"]])
        scope = f"{now[:8]}/{self.region}/s3/aws4_request"
        text = "\n".join(["AWS4-HMAC-SHA256", now, scope,
                          hashlib.sha256(canonical.encode()).hexdigest()])
        secret = f"AWS4{self.secret}".encode()
        for part in scope.split("/"):
            secret = sign(secret, part)
        fields["authorization"] = (
            f"AWS4-HMAC-SHA256 Credential={self.key}/{scope}, SignedHeaders={names}, "
            f"Signature={sign(secret, text).hex()}")
        if url.scheme == "https":
            c = http.client.HTTPSConnection(url.hostname, url.port, timeout=60,
                                            context=ssl.create_default_context(cafile=self.ca))
        else:
            c = http.client.HTTPConnection(url.hostname, url.port, timeout=60)
        try:
            c.request(method, path + (f"?{asked}" if asked else ""), body, fields)
            r = c.getresponse()
            answer = r.status, dict((k.lower(), v) for k, v in r.getheaders()), r.read()
        finally:
            c.close()
        assert raw or answer[0] // 100 == 2, answer
        return answer

    def put(self, key, body, meta=()):
        self.ask("PUT", key, body, {f"x-amz-meta-{k}": v for k, v in dict(meta).items()})

    def get(self, key):
        return self.ask("GET", key)[2]

    def delete(self, key):
        self.ask("DELETE", key)

    def keys(self, prefix=""):
        """All of them, over all pages."""
        found, token = [], None
        while True:
            query = {"list-type": "2", "prefix": prefix}
            if token:
                query["continuation-token"] = token
            root = ElementTree.fromstring(self.ask("GET", "", query=query)[2])
            space = root.tag.partition("}")[0] + "}" if root.tag.startswith("{") else ""
            found += [e.findtext(f"{space}Key") for e in root.iter(f"{space}Contents")]
            token = root.findtext(f"{space}NextContinuationToken")
            if not token:
                return found


def rules(bucket, days):
    """The bucket deletes what is so old."""
    body = ("<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Prefix></Prefix>"
            f"<Expiration><Days>{days}</Days></Expiration></Rule></LifecycleConfiguration>")
    body = body.encode()
    bucket.ask("PUT", "", body, {"content-md5": base64.b64encode(
        hashlib.md5(body).digest()).decode()}, {"lifecycle": ""})
