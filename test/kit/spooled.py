"""An edge whose spool is a bucket, and a home that empties it: of a stand, begun anew."""

from kit.drained import write_key


def section(**lines):
    return 'bucket "r2" {\n' + "".join(f"\t{k} = {v}\n" for k, v in lines.items()) + "}\n"


def spool(stand, store, *, secret=None, endpoint=None, **more):
    """Makes the bucket the spool of the stand's edge, started again; the credentials' file."""
    keys = write_key(stand.dir, "edge.keys", f"{store.key}\n{secret or store.secret}")
    stand.stop("edge")
    with open(stand.conf("edge"), "a", encoding="utf-8") as f:
        f.write(f'spool = "s3://{store.name}/pending/"\n'
                + section(endpoint=f'"{endpoint or store.endpoint}"', credentials=f'"{keys}"',
                          **more))
    stand.start("edge")
    return keys


def drains(stand, store, endpoint=None):
    """Home empties it; started again."""
    keys = write_key(stand.dir, "home.keys", f"{store.key}\n{store.secret}")
    stand.stop("home")
    with open(stand.conf("home"), "a", encoding="utf-8") as f:
        f.write(section(endpoint=f'"{endpoint or store.endpoint}"', bucket=f'"{store.name}"',
                        credentials=f'"{keys}"', poll='"1s"'))
    stand.start("home")
