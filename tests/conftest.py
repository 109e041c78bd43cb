"""Fixtures: each test gets its own directory, back ends and httpd, and answers for the error log."""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.backend import Backends
from harness.httpd import MPMS, Httpd


@contextmanager
def _directory():
    """A directory that httpd's children, another user, can reach."""
    path = Path(tempfile.mkdtemp(prefix="athena-"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path)


@pytest.fixture
def directory():
    with _directory() as path:
        yield path


@pytest.fixture(scope="module")
def module_directory():
    """For what a file of tests starts once."""
    with _directory() as path:
        yield path


@pytest.fixture
def backends(directory):
    """Starts back ends: `backends(3)`, `backends(3, apart=True)`."""
    started = []

    def start(members=3, **options):
        place = directory / f"farm{len(started)}"
        place.mkdir()
        started.append(Backends(place, members, **options))
        return started[-1]

    yield start
    for one in started:
        one.stop()


@pytest.fixture
def make_httpd(directory):
    """Makes an httpd without starting it."""
    made = []

    def make(*arguments, **options):
        place = directory / f"httpd{len(made)}"
        place.mkdir()
        made.append(Httpd(place, *arguments, **options))
        return made[-1]

    yield make
    complaints = []
    for one in made:
        one.stop()
        print(one.messages())  # shown when the test failed
        complaints += one.complaints()
    assert not complaints, (
        f"{len(complaints)} unexpected in the error log:\n" + "\n".join(complaints[:10]))


@pytest.fixture
def httpd(make_httpd):
    """Starts an httpd: `httpd(mpm, balancer=…, conf=…)`."""
    return lambda *arguments, **options: make_httpd(*arguments, **options).start()


@pytest.fixture(params=MPMS)
def mpm(request):
    return request.param


@pytest.fixture(params=[True, False], ids=["balancer", "alone"])
def balancer(request):
    """With mod_proxy_balancer loaded, and without."""
    return request.param
