"""What it costs to look at many members."""

import os
from pathlib import Path

from harness.client import Client

from .page import Case, table
from .scene import FARM, OURS_ALONE, scene

TITLE = "Looking at many members"

METHOD = """\
Processor time of httpd's children, in the kernel too, for one look at {members} members by a local
client, after every member has had two requests."""

MEMBERS, LOOKS = 1000, 100
SCRAPE = "/athena/metrics"
PATHS = [SCRAPE, "/athena/api/v1/farms", "/athena/"]


def _spent(httpd):
    """Milliseconds of processor time of all children so far."""
    ticks = 0
    for pid in httpd.child_pids():
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
        ticks += int(fields[11]) + int(fields[12])  # utime and stime, see proc(5)
    return 1000 * ticks / os.sysconf("SC_CLK_TCK")


def run():
    """Bytes and milliseconds by path."""
    found = {}
    with scene(MEMBERS) as stage:
        httpd = stage.start(OURS_ALONE, "prefork", children=1)
        with Client(httpd.port) as client:
            for _ in range(2 * MEMBERS):
                assert client.request("GET", FARM).status == 200
            for path in PATHS:
                size = len(client.request("GET", path).body)
                before = _spent(httpd)
                for _ in range(LOOKS):
                    assert client.request("GET", path).status == 200
                found[path] = {"bytes": size, "ms": (_spent(httpd) - before) / LOOKS}
                print(path, found[path], flush=True)
    return found


def section(found):
    """The section's Markdown."""
    rows = [[f"`{path}`", f"{one['bytes'] / 1e6:.1f}", f"{one['ms']:.1f}"]
            for path, one in found.items()]
    return "\n\n".join([METHOD.format(members=MEMBERS), table(["path", "MB", "ms"], rows)])


def summary(found):
    """Its line of the summary."""
    spent = found[SCRAPE]["ms"]
    return [Case(f"a scrape of {MEMBERS} members, processor ms", "–", f"{spent:.1f}", "≤ 20",
                 spent <= 20)]
