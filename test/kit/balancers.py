"""
Debian's haproxy and nginx, as programs of the test: in the foreground, with a configuration and a
directory of their own. They stand in front of an edge or behind a home, and speak PROXY.
"""

import os
import shutil
import socket
import subprocess
import tempfile

from kit.stand import until


class Program:
    """One of them, from the moment it listens at `where`; usable as a context."""

    def __init__(self, name, text, words, where):
        self.dir = tempfile.mkdtemp(prefix=f"ph-{name}-")
        os.chmod(self.dir, 0o755)
        conf = os.path.join(self.dir, f"{name}.cfg")
        with open(conf, "w", encoding="ascii") as f:
            f.write(text.replace("{dir}", self.dir))
        with open(os.path.join(self.dir, "log"), "wb") as log:
            self.child = subprocess.Popen(
                [*words, conf], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.dir)
        try:
            until(f"{name} listens", 10, lambda: self.listens(where), 0.05)
        except AssertionError:
            log = self.log()
            self.__exit__(None, None, None)
            raise AssertionError(f"{name} does not listen:\n{log}") from None

    def listens(self, where):
        assert self.child.poll() is None
        with socket.socket(socket.AF_INET6 if ":" in where[0] else socket.AF_INET) as s:
            return s.connect_ex(where) == 0

    def log(self):
        with open(os.path.join(self.dir, "log"), encoding="utf-8", errors="replace") as f:
            return f.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.child.terminate()
        self.child.wait(60)
        shutil.rmtree(self.dir, ignore_errors=True)


HAPROXY = """
global
  log stdout format raw local0
defaults
  mode tcp
  log global
  option tcplog
  timeout connect 5s
  timeout client 1m
  timeout server 1m
  timeout check 20s
"""


def haproxy(text, where):
    return Program("haproxy", HAPROXY + text, ["/usr/sbin/haproxy", "-db", "-f"], where)


NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
pid {dir}/pid;
error_log stderr info;
events {}
"""
# Where it would keep what is too large for memory: nowhere but in its own directory.
NGINX_HTTP = "".join(f"  {kind}_temp_path {{dir}}/{kind};\n"
                     for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))


def nginx(text, where):
    return Program("nginx", NGINX + text, ["/usr/sbin/nginx", "-e", "stderr", "-c"], where)
