"""A store that answers as it is told: an S3 server in memory that believes every signature, for the
answers that a real one gives too seldom."""

import datetime
import email.utils
import hashlib
import http.server
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

PAGE = 1000


def error(status, code, **headers):
    body = f"<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>no</Message></Error>"
    return status, {"content-type": "application/xml", **headers}, body.encode()


class LyingStore:
    """Usable as a context.  lie: (method, key, query) -> an answer in place of the true one, or a
    function that makes one of the request's If-Match, or None; or a number of octets after which
    the true one is cut.  conditions: what If-Match said, and whether it was so."""

    key, secret, name = "KEY", "SECRET", "mail"

    def __init__(self, lie=None):
        self.objects, self.asked, self.lie = {}, [], lie or (lambda *_: None)
        self.asked_s = []       # when, by a clock that never jumps
        self.conditions = []
        store = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self):
                url = urllib.parse.urlsplit(self.path)
                key = urllib.parse.unquote(url.path).partition("/")[2].partition("/")[2]
                query = dict(urllib.parse.parse_qsl(url.query, keep_blank_values=True))
                store.asked_s.append(time.monotonic())
                store.asked.append((self.command, key))
                lie = store.lie(self.command, key, query)
                cut = lie if isinstance(lie, int) else None
                condition = self.headers.get("if-match")
                status, headers, body = store.truth(self.command, key, query, condition) \
                    if lie is None or cut is not None else \
                    lie(condition) if callable(lie) else lie
                self.send_response(status)
                for k, v in headers.items():
                    self.send_header(k, v)
                if status != 204:
                    self.send_header("content-length", str(len(body)))
                self.end_headers()
                if self.command != "HEAD":
                    self.wfile.write(body[:cut])
                self.close_connection = cut is not None

            do_GET = do_HEAD = do_DELETE = do_PUT = answer

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.endpoint = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()

    def put(self, key, body, meta=None, at=None):
        self.objects[key] = (body, meta or {}, at or time.time())

    def keys(self, prefix=""):
        return sorted(k for k in list(self.objects) if k.startswith(prefix))

    def etag(self, key):
        return f'"{hashlib.md5(self.objects[key][0]).hexdigest()}"' if key in self.objects else ""

    def truth(self, method, key, query, condition=None):
        if not key and method == "GET":
            return error(404, "NoSuchLifecycleConfiguration") if "lifecycle" in query else \
                self.page(query)
        if condition is not None:
            self.conditions.append(condition == self.etag(key))
            if not self.conditions[-1]:
                return error(412, "PreconditionFailed")
        if method == "DELETE":
            self.objects.pop(key, None)
            return 204, {}, b""
        if key not in self.objects:
            return error(404, "NoSuchKey")
        body, meta, at = self.objects[key]
        return 200, {"etag": self.etag(key),
                     "last-modified": email.utils.formatdate(at, usegmt=True),
                     **{f"x-amz-meta-{k}": v for k, v in meta.items()}}, body

    def page(self, query):
        names = [k for k in self.keys(query.get("prefix", ""))
                 if k > query.get("continuation-token", "")]
        items = ""
        for k in names[:PAGE]:
            body, _, at = self.objects[k]
            when = datetime.datetime.fromtimestamp(at, datetime.timezone.utc)
            items += (f"<Contents><Key>{escape(k)}</Key><Size>{len(body)}</Size><LastModified>"
                      f"{when.strftime('%Y-%m-%dT%H:%M:%S.000Z')}</LastModified></Contents>")
        more = "<IsTruncated>false</IsTruncated>" if len(names) <= PAGE else \
            f"<IsTruncated>true</IsTruncated><NextContinuationToken>{escape(names[PAGE - 1])}" \
            "</NextContinuationToken>"
        return 200, {"content-type": "application/xml"}, (
            f"<?xml version=\"1.0\"?><ListBucketResult>{more}{items}</ListBucketResult>").encode()
