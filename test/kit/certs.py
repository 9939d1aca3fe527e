"""Certificates that only a test believes."""

import subprocess


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
