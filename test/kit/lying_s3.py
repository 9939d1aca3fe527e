"""An S3 server that does what a real one should not: it says what a test tells it to."""

import http.server
import threading

PAGE = ('<?xml version="1.0"?><ListBucketResult><IsTruncated>{more}</IsTruncated>{next}{objects}'
        "</ListBucketResult>")
OBJECT = ("<Contents><Key>{0}</Key><LastModified>2026-01-01T00:00:00.000Z</LastModified>"
          "<Size>5</Size></Contents>")


def page(*keys, token=None):
    return PAGE.format(more="true" if token else "false",
                       next=f"<NextContinuationToken>{token}</NextContinuationToken>"
                       if token else "", objects="".join(OBJECT.format(k) for k in keys))


def error(code):
    return f"<Error><Code>{code}</Code><Message>No.</Message></Error>"


class Liar(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        asked = f"{self.command} {self.path}", self.rfile.read(length)
        self.server.asked.append(asked[0])
        self.server.fields = {k.lower(): v for k, v in self.headers.items()}
        status, fields, body = self.server.says(*asked)
        body = body if isinstance(body, bytes) else body.encode()
        self.send_response(status)
        fields = {"Content-Length": str(len(body)), **fields}
        for name, value in fields.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
        self.close_connection = int(fields["Content-Length"]) != len(body)

    do_GET = do_PUT = do_DELETE = do_HEAD = answer


class LyingS3(http.server.ThreadingHTTPServer):
    """says(request line, body) -> (status, fields, body); fields has those of the last request.
    Usable as a context."""

    daemon_threads = True

    def __init__(self, says):
        super().__init__(("127.0.0.1", 0), Liar)
        self.says, self.asked, self.fields = says, [], {}
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()
