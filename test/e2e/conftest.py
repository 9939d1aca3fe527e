"""Fixtures: stands that are taken down again, whatever happened."""

import os
import shutil
import sys
import tempfile
import uuid

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kit.certs import own_ca                    # noqa: E402  (the path comes first)
from kit.radosgw import MISSING, Radosgw        # noqa: E402
from kit.stand import Stand                     # noqa: E402

os.environ["LC_ALL"] = "C.UTF-8"        # what commands print depends on it


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


def take_down(stand):
    """Down, with nothing in the logs that should never be there."""
    if os.path.exists(os.path.join(stand.dir, "stand.json")):
        stand.down()
    assert stand.complaints() == []


def show_logs(stand):
    for role in ("edge", "home"):
        try:
            print(f"--- {role}.log\n" + stand.log(role)[-6000:])
        except OSError:
            pass


@pytest.fixture
def make_stand(request):
    """make_stand(**as kit.stand.Stand) -> Stand in a short path of its own."""
    made = []

    def make(**kw):
        dir_ = tempfile.mkdtemp(prefix="ph-")
        os.rmdir(dir_)
        made.append(Stand(dir_, **kw))
        return made[-1]
    yield make
    failed = getattr(request.node, "report_call", None) is None or request.node.report_call.failed
    for stand in made:
        if failed:
            show_logs(stand)
        try:
            take_down(stand)
        finally:
            shutil.rmtree(stand.dir, ignore_errors=True)


@pytest.fixture
def stand(make_stand):
    return make_stand()


@pytest.fixture(scope="module")
def shared():
    """One stand for a whole file: for tests that only send, and tell their mail apart by a mark."""
    dir_ = tempfile.mkdtemp(prefix="ph-")
    os.rmdir(dir_)
    made = Stand(dir_)
    yield made
    show_logs(made)
    try:
        take_down(made)
    finally:
        shutil.rmtree(dir_, ignore_errors=True)


@pytest.fixture
def mark(request):
    """A word that nobody else sends."""
    name = "".join(c if c.isalnum() else "-" for c in request.node.name)
    return f"mark-{uuid.uuid4().hex[:12]}-{name}-end"


@pytest.fixture(scope="module")
def ceph():
    """A real S3 server for a whole file, which makes a bucket for each test that asks for one."""
    if MISSING:
        pytest.skip(f"no radosgw here: {', '.join(MISSING)}")
    with Radosgw() as r:
        yield r


@pytest.fixture(scope="module", name="certs")
def made_certs(tmp_path_factory):
    """A folder that kit.certs.own_ca filled, for localhost."""
    dir_ = tmp_path_factory.mktemp("ca")
    own_ca(dir_, "localhost")
    return str(dir_)
