"""
A real S3 server: Ceph's radosgw over one monitor and one object store in memory, all on loopback
and below one folder.  It takes some seconds to start: one for a whole file of tests.
"""

import glob
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import uuid

from kit.ports import free_port
from kit.s3 import Bucket
from kit.stand import until

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
MISSING = [p for p in PROGRAMS if shutil.which(p) is None]
KEY, SECRET, REGION = "TESTACCESS", "TESTSECRET", "auto"
CONF = """[global]
fsid = {fsid}
mon_host = v1:127.0.0.1:{mon}
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 1
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_max_pg_per_osd = 2000
mon_warn_on_pool_no_redundancy = false
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
run_dir = {dir}/run
pid_file = {dir}/run/$name.pid
ms_bind_ipv4 = true
admin_socket = {dir}/run/$name.asok
log_file = {dir}/$name.log
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
[mon]
mon_data = {dir}/mon
mon_cluster_log_file = {dir}/cluster.log
[osd]
osd_objectstore = memstore
memstore_device_bytes = 2147483648
osd_data = {dir}/osd
osd_class_dir = {classes}
osd_class_load_list = *
osd_max_object_name_len = 2048
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:{port}{tls}
rgw_data = {dir}/rgw
rgw_enable_ops_log = false
rgw_run_sync_thread = false
rgw_enable_quota_threads = false
rgw_enable_gc_threads = false
rgw_thread_pool_size = 32
rgw_override_bucket_index_max_shards = 1
"""


class Radosgw:
    """Usable as a context.  cert: (certificate, key), files; then `tls` is an endpoint as well."""

    def __init__(self, cert=None):
        self.dir, self.port = tempfile.mkdtemp(prefix="ph-ceph-"), free_port()
        self.children, self.cert, self.numbers = [], cert, itertools.count()
        self.tls = f"https://127.0.0.1:{free_port()}"
        try:
            self.start()
        except BaseException:
            self.down()
            raise

    @property
    def endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.down()

    def bucket(self, name=None):
        """One that was not there."""
        b = Bucket(self.endpoint, name or f"mail{next(self.numbers)}", KEY, SECRET, REGION)
        assert b.ask("PUT", "", raw=True)[0] == 200
        return b

    def reader(self, key, secret):
        """Credentials that may read, and nothing else."""
        self.run("radosgw-admin", "subuser", "create", "--uid=posthouse",
                 "--subuser=posthouse:reader", "--access=read", "--key-type=s3",
                 f"--access-key={key}", f"--secret-key={secret}", timeout=120)

    # --- the parts ---

    def run(self, *words, timeout=120, check=True):
        return subprocess.run(words, env=dict(os.environ, CEPH_CONF=f"{self.dir}/ceph.conf"),
                              check=check, capture_output=True, text=True, timeout=timeout)

    def spawn(self, *words):
        with open(f"{self.dir}/{words[0]}.out", "ab") as out:
            self.children.append(subprocess.Popen(
                words, env=dict(os.environ, CEPH_CONF=f"{self.dir}/ceph.conf"), stdout=out,
                stderr=out, start_new_session=True))
        return self.children[-1]

    def start(self):
        fsid, osd, mon = str(uuid.uuid4()), str(uuid.uuid4()), free_port()
        for part in ("mon", "osd", "rgw", "run"):
            os.mkdir(f"{self.dir}/{part}")
        classes = os.path.dirname(glob.glob("/usr/lib/*/rados-classes/libcls_rgw.so")[0])
        tls = "" if self.cert is None else (
            f" ssl_endpoint={self.tls[8:]} ssl_certificate={self.cert[0]}"
            f" ssl_private_key={self.cert[1]}")
        with open(f"{self.dir}/ceph.conf", "w", encoding="ascii") as f:
            f.write(CONF.format(dir=self.dir, fsid=fsid, mon=mon, port=self.port, tls=tls,
                                classes=classes))
        monmap = f"{self.dir}/monmap"
        self.run("monmaptool", "--create", "--addv", "a", f"[v1:127.0.0.1:{mon}]", "--fsid", fsid,
                 monmap)
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", monmap, "--keyring", "/dev/null")
        self.spawn("ceph-mon", "-i", "a", "-f")
        until("the monitor answers", 60, lambda: self.answers("ceph", "osd", "new", osd), 0.1)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self.start_osd()
        self.run("radosgw-admin", "user", "create", "--uid=posthouse", "--display-name=posthouse",
                 f"--access-key={KEY}", f"--secret-key={SECRET}", timeout=180)
        self.spawn("radosgw", "-n", "client.rgw", "-f")
        until("radosgw answers", 90, lambda: self.answers(
            "curl", "-s", "-o", "/dev/null", self.endpoint), 0.1)

    def answers(self, *words):
        try:
            return self.run(*words, timeout=30, check=False).returncode == 0
        except subprocess.TimeoutExpired:
            return False

    def start_osd(self):
        """It gives up when the monitor's map has not reached it yet: then once more."""
        child = self.spawn("ceph-osd", "-i", "0", "-f")
        for _ in range(100):
            if child.poll() is not None:
                self.children.remove(child)
                child = self.spawn("ceph-osd", "-i", "0", "-f")
            if "1 up" in self.run("ceph", "osd", "stat", check=False).stdout:
                return
        raise AssertionError("no object store")

    def down(self):
        for child in reversed(self.children):
            child.send_signal(signal.SIGKILL)
            child.wait()
        shutil.rmtree(self.dir, ignore_errors=True)
