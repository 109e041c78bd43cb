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


def ours(settings, mpm="event", children=128, **farm):
    """mod_athena without mod_proxy_balancer; `farm` as `served` takes it."""
    def start(place, members):
        conf = served(members.urls, settings=settings, **farm)
        return Httpd(place, mpm, balancer=False, children=children, conf=conf).start()
    return start


def stock(method, mpm="event", children=128, **farm):
    """mod_proxy_balancer."""
    def start(place, members):
        conf = served(members.urls, settings=f"lbmethod={method}", **farm)
        conf = conf.replace('"http://farm_one/"', '"balancer://farm_one/"')
        return Httpd(place, mpm, engine="stock", children=children, conf=conf).start()
    return start


def of_nginx(method, each="max_fails=0"):
    """`each` stands on every member's line, or is one for each."""
    return lambda place, members: nginx(place, members.ports, method, each)


def of_haproxy(method, each=""):
    """Likewise."""
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


def measured(contenders, measure, runs, *, together=False):
    """What each contender's runs came to. The contenders take turns, or run side by side where they
    leave the machine idle most of the time."""
    seen = {name: [] for name in contenders}
    with ThreadPoolExecutor(len(contenders) if together else 1) as pool:
        for _ in range(runs):
            for name, value in zip(contenders, pool.map(measure, contenders.values()), strict=True):
                seen[name].append(value)
                print(f"{name}: {value}", flush=True)
    return seen


def medians(found, value=lambda run: run):
    """The median of each contender's runs, in what `value` takes of one."""
    return {name: median(map(value, runs)) for name, runs in found.items()}


def rows(found, show, value=lambda run: run):
    """A row for each contender: the median of its runs, and all of them."""
    middle = medians(found, value)
    return [[name, show(middle[name]), ", ".join(show(value(run)) for run in runs)]
            for name, runs in found.items()]


def peers(values):
    """Those that are not ours."""
    return {name: value for name, value in values.items() if not name.startswith("ours")}
