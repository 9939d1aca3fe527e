"""Maddy, where tools/need could build it: a loopback endpoint with STARTTLS and AUTH, and IMAP."""

import imaplib
import os
import subprocess

from kit.mtas import CACHE, Mta

BINARY = os.path.join(os.environ.get("POSTHOUSE_BENCH_BIN", f"{CACHE}/bin"), "maddy")

# The parts of its own example that home's mail passes.
CONF = """
state_dir {dir}/state
runtime_dir {dir}/run
hostname mx.example.test
tls file {cert} {key}
auth.pass_table local_authdb {{
    table sql_table {{
        driver sqlite3
        dsn credentials.db
        table_name passwords
    }}
}}
storage.imapsql local_mailboxes {{
    driver sqlite3
    dsn imapsql.db
}}
smtp tcp://127.0.0.1:{port} {{
    auth &local_authdb
    default_source {{
        destination example.test {{
            deliver_to &local_mailboxes
        }}
        default_destination {{
            reject 550 5.1.1 "User doesn't exist"
        }}
    }}
}}
imap tcp://127.0.0.1:{imap} {{
    auth &local_authdb
    storage &local_mailboxes
    insecure_auth yes
}}
"""


class Maddy(Mta):
    """alice@example.test, whose password is "secret" and who has a mailbox; so has bob."""

    name = "maddy"

    def __init__(self, tls, imap):
        super().__init__()
        self.imap = imap
        for d in ("state", "run"):
            os.makedirs(f"{self.dir}/{d}")
        self.conf = self.write("maddy.conf", CONF.format(
            dir=self.dir, port=self.port, imap=imap, cert=tls[0], key=tls[1]))
        for user in ("alice@example.test", "bob@example.test"):
            self.tool("creds", "create", "-p", "secret", user)
            self.tool("imap-acct", "create", user)
        with open(f"{self.dir}/mail.log", "wb") as log:
            self.child = subprocess.Popen([BINARY, "--config", self.conf, "run"],
                                          stdout=log, stderr=log)
        self.began()

    def tool(self, *words):
        subprocess.run([BINARY, "--config", self.conf, *words], check=True, capture_output=True)

    def mails(self, user):
        c = imaplib.IMAP4("127.0.0.1", self.imap, timeout=60)
        c.login(f"{user}@example.test", "secret")
        c.select("INBOX")
        out = [c.fetch(n, "(BODY.PEEK[])")[1][0][1] for n in c.search(None, "ALL")[1][0].split()]
        c.logout()
        return out

    def close(self):
        self.child.terminate()
        self.child.wait(60)
