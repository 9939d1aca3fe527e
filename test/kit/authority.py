"""A certificate authority of a test's own."""

import os
import subprocess


class Authority:
    """`pem` is its certificate; cert(ip) makes (certificate, key) files for an address."""

    def __init__(self, dir_, name="ca"):
        self.dir, self.name = str(dir_), name
        self.pem, self.key = self.make(name, "-x509", "-subj", f"/CN={name}")

    def make(self, name, *words):
        cert, key = f"{self.dir}/{name}.pem", f"{self.dir}/{name}.key"
        subprocess.run(["openssl", "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
                        "-nodes", "-keyout", key, "-out", cert, "-days", "30", *words], check=True,
                       capture_output=True)
        os.chmod(self.dir, 0o755)
        os.chmod(key, 0o644)
        return cert, key

    def cert(self, ip):
        name = f"{self.name}-{ip}"
        request, key = self.make(name, "-subj", "/CN=server")
        with open(f"{self.dir}/{name}.ext", "w", encoding="ascii") as f:
            f.write(f"subjectAltName=IP:{ip}\n")
        subprocess.run(["openssl", "x509", "-req", "-in", request, "-CA", self.pem, "-CAkey",
                        self.key, "-CAcreateserial", "-days", "30", "-extfile", f.name, "-out",
                        f"{self.dir}/{name}.crt"], check=True, capture_output=True)
        return f"{self.dir}/{name}.crt", key
