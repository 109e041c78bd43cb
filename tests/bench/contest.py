"""Ours and the peers over back ends whose service time is set: who answers in time, who sends
requests to a member that does not."""

import json
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from harness.backend import Backends
from harness.farms import served
from harness.httpd import Httpd
from harness.paths import LOAD

from .peers import haproxy, nginx

PATH = "/farm/x"


def ours(settings, each=""):
    """mod_athena under event, without mod_proxy_balancer."""
    def start(place, members):
        conf = served(members.urls, settings=settings, each=each)
        return Httpd(place, "event", balancer=False, children=128, conf=conf).start()
    return start


def stock(method, each=""):
    """mod_proxy_balancer under event."""
    def start(place, members):
        farm = served(members.urls, settings=f"lbmethod={method}", each=each)
        farm = farm.replace('"http://farm_one/"', '"balancer://farm_one/"')
        return Httpd(place, "event", engine="stock", children=128, conf=farm).start()
    return start


def of_nginx(method, each="max_fails=0"):
    return lambda place, members: nginx(place, members.ports, method, each)


def of_haproxy(method, each=""):
    return lambda place, members: haproxy(place, members.ports, method, each)


@contextmanager
def server(start, count, **kind):
    """Back ends of their own, and a contender in front of them."""
    directory = Path(tempfile.mkdtemp(prefix="athena-bench-"))
    # Children of httpd run as another user.
    directory.chmod(0o755)
    (directory / "farm").mkdir()
    members = Backends(directory / "farm", count, **kind)
    try:
        running = start(directory, members)
        try:
            yield running, members
        finally:
            running.stop()
    finally:
        members.stop()
        shutil.rmtree(directory)


def load(port, *, rate, seconds, **options):
    """Starts an open loop (athena-load); `result` waits for what it saw."""
    command = [LOAD, "--port", port, "--path", PATH, "--rate", rate, "--seconds", seconds]
    for name, value in options.items():
        command += [f"--{name}", value]
    return subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, text=True)


def result(running):
    out, _ = running.communicate(timeout=300)
    assert running.returncode == 0, out
    return json.loads(out)


def rows(contenders, measure, runs, show, *, together=False):
    """A row for each contender: the median of its runs, and all of them. The contenders take turns,
    or run side by side where they leave the machine idle most of the time."""
    seen = {name: [] for name in contenders}
    with ThreadPoolExecutor(len(contenders) if together else 1) as pool:
        for _ in range(runs):
            for name, value in zip(contenders, pool.map(measure, contenders.values()), strict=True):
                seen[name].append(value)
                print(f"{name}: {show(value)}", flush=True)
    return [[name, show(median(values)), ", ".join(map(show, values))]
            for name, values in seen.items()]
