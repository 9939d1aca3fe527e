"""Debian's unbound as the whole of DNS: what a test says is there, and nothing else is."""

import shutil
import subprocess
import tempfile

from kit.ports import free_port
from kit.stand import until

CONF = """
server:
  interface: {at}@{port}
  do-daemonize: no
  use-syslog: no
  username: ""
  chroot: ""
  directory: "{dir}"
  pidfile: ""
  module-config: "iterator"
  local-zone: "." static
{data}
remote-control:
  control-enable: no
"""


class Dns:
    """Usable as a context.  records: lines of a zone file, names in full."""

    def __init__(self, records, at="127.0.0.1", port=0):
        self.dir, self.port = tempfile.mkdtemp(prefix="ph-dns-"), port or free_port()
        data = "\n".join(f"  local-data: '{r}'" for r in records)
        with open(f"{self.dir}/conf", "w", encoding="ascii") as f:
            f.write(CONF.format(at=at, port=self.port, dir=self.dir, data=data))
        self.log = open(f"{self.dir}/log", "a+", encoding="utf-8")   # where we read moves no writer
        self.child = subprocess.Popen(["unbound", "-d", "-c", f"{self.dir}/conf"],
                                      stdout=self.log, stderr=self.log)
        until("DNS answers", 20, self.answers, 0.1)

    def answers(self):
        self.log.seek(0)
        assert self.child.poll() is None, self.log.read()
        return "start of service" in self.log.read()

    def __enter__(self):
        return self

    def __exit__(self, kind, value, tb):
        self.child.kill()
        self.child.wait(60)
        self.log.close()
        shutil.rmtree(self.dir, ignore_errors=True)
