"""Debian's exim4 as a sender, run from where tools/need unpacked it (it
conflicts with Postfix as a package)."""

import os
import subprocess
import tempfile

HERE = os.environ.get("POSTHOUSE_EXIM", "/var/cache/posthouse-test/exim")

CONF = """
primary_hostname = exim.client.test
exim_path = {binary}
spool_directory = {dir}/spool
log_file_path = {dir}/log-%s
never_users =
trusted_users = root
timezone =
keep_environment =
local_interfaces = 127.0.0.1
log_selector = +all
begin routers
all:
  driver = manualroute
  domains = *
  transport = smtp
  route_list = * {host}
  self = send
begin transports
smtp:
  driver = smtp
  port = {port}
  hosts_try_chunking = *
  hosts_try_fastopen =
  hosts_avoid_tls = {avoid_tls}
  tls_verify_certificates =
  tls_try_verify_hosts =
  allow_localhost
begin retry
"""


def binary():
    name = os.path.join(HERE, "usr/sbin/exim4")
    return name if os.access(name, os.X_OK) else None


def send(where, sender, rcpts, octets, tls=True):
    """Delivers one message in the foreground; Exim's own log, which names BDAT use by `K`."""
    with tempfile.TemporaryDirectory(prefix="ph-exim-") as tmp:
        os.chmod(tmp, 0o755)
        return send_from(tmp, where, sender, rcpts, octets, tls)


def send_from(tmp, where, sender, rcpts, octets, tls):
    with open("/etc/passwd", encoding="utf-8") as f, \
            open(f"{tmp}/passwd", "w", encoding="utf-8") as out:
        out.write(f.read() + "Debian-exim:x:65533:65533::/:/bin/false\n")
    with open("/etc/group", encoding="utf-8") as f, \
            open(f"{tmp}/group", "w", encoding="utf-8") as out:
        out.write(f.read() + "Debian-exim:x:65533:\n")
    with open(f"{tmp}/exim.conf", "w", encoding="utf-8") as f:
        f.write(CONF.format(binary=binary(), dir=tmp, host=where[0], port=where[1],
                            avoid_tls="" if tls else "*"))
    os.makedirs(f"{tmp}/spool", exist_ok=True)
    for name in (tmp, f"{tmp}/spool"):
        os.chown(name, 65533, 65533)
    # Exim looks its own user up before it reads anything: give it one that only it sees.
    script = (f"mount --bind {tmp}/passwd /etc/passwd && mount --bind {tmp}/group /etc/group && "
              f"exec {binary()} -C {tmp}/exim.conf -odf -oi -f {sender} {' '.join(rcpts)}")
    r = subprocess.run(["unshare", "-m", "sh", "-c", script], input=octets.replace(b"\r\n", b"\n"),
                       check=False, capture_output=True, timeout=120)
    log = ""
    try:
        with open(f"{tmp}/log-main", encoding="utf-8") as f:
            log = f.read()
    except FileNotFoundError:
        pass
    assert r.returncode == 0 and "Completed" in log, f"{r.returncode} {r.stderr.decode()}{log}"
    return log
