"""Lists of mailboxes that change while home runs, and what home makes of them."""

import json
import os

from kit.stand import until


def write(path, text):
    with open(path + ".new", "w", encoding="utf-8") as f:
        f.write(text)
    os.rename(path + ".new", path)


def route(stand, address, *words):
    r = stand.tool("route", "-c", stand.conf("home"), "--json", *words, address, check=False)
    return json.loads(r.stdout) if r.stdout else r.stderr


def with_file(make_stand, text, conf="", **kw):
    stand = make_stand(**kw)
    path = os.path.join(stand.dir, "mailboxes")
    write(path, text)
    os.chmod(path, 0o644)
    stand.stop("home")
    stand.change("home", "mailboxes {", f'{conf}\nmailboxes {{\n\tfile = "{path}"\n')
    stand.start("home")
    until("home has read it", 10, lambda: isinstance(route(stand, "x@example.test"), dict))
    return stand, path
