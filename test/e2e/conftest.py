"""Fixtures: stands that are taken down again, whatever happened."""

import os
import shutil
import sys
import tempfile

import pytest

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from kit.stand import Stand     # noqa: E402  (the path comes first)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


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
            stand.down()
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
    with Stand(dir_) as made:
        yield made
        show_logs(made)
    shutil.rmtree(dir_, ignore_errors=True)


@pytest.fixture
def mark(request):
    """A word that no other test sends."""
    return "mark-" + "".join(c if c.isalnum() else "-" for c in request.node.name).lower() + "-end"
