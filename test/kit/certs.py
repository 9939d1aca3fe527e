"""Certificates that only a test believes."""

import datetime
import os
import subprocess
import tempfile


def own_ca(dir_, *names):
    """A certificate authority of the test's own, and a certificate by it for each name."""
    def openssl(*words):
        subprocess.run(["openssl", *words], check=True, capture_output=True, cwd=dir_)
    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"]
    openssl("req", "-x509", *new, "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=test CA",
            "-addext", "basicConstraints=critical,CA:true")
    for name in names:
        openssl("req", "-x509", *new, "-keyout", f"{name}.key", "-out", f"{name}.pem",
                "-CA", "ca.pem", "-CAkey", "ca.key",
                "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}")


def certify(stand, days, name="mx.edge.test"):
    """A stand's key with a certificate for that name that ends in so many days, some of them past;
    the file, and the day."""
    end = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(days=days)
    made = os.path.join(stand.dir, "made.cert")
    d = tempfile.mkdtemp(dir=stand.dir)
    open(f"{d}/index", "w", encoding="ascii").close()
    with open(f"{d}/ca.conf", "w", encoding="ascii") as f:
        f.write(f"[ca]\ndefault_ca = a\n[a]\nnew_certs_dir = {d}\ndatabase = {d}/index\n"
                f"rand_serial = yes\ndefault_md = sha256\npolicy = p\nx509_extensions = x\n"
                f"[p]\ncommonName = supplied\n[x]\nsubjectAltName = DNS:{name}\n")
    cert, key = (os.path.join(stand.dir, "tls." + s) for s in ("cert", "key"))
    subprocess.run(["openssl", "req", "-new", "-key", key, "-subj", "/CN=edge.test",
                    "-out", f"{d}/csr"], check=True, capture_output=True)
    subprocess.run(["openssl", "ca", "-batch", "-selfsign", "-config", f"{d}/ca.conf",
                    "-keyfile", key, "-in", f"{d}/csr", "-out", made, "-notext",
                    "-startdate", "20250101000000Z", "-enddate", f"{end:%Y%m%d%H%M%SZ}"],
                   check=True, capture_output=True)
    os.replace(made, cert)
    return cert, f"{end:%Y-%m-%d}"
