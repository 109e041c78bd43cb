"""One pick, beside other balancers written in Rust (tests/bench/pick): its time by criterion, its
instructions by callgrind."""

import json
import os
import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from harness.paths import ROOT

from . import plot
from .page import Case, table

TITLE = "One pick"

METHOD = """\
criterion's medians in ns, and instructions by callgrind (what {repeats:,} picks more take). Ours are
whole elections: a probe that is due, states, failures and limits are looked at. The peers are the
crates, used as their documentation does: pingora-load-balancing selects and looks at health, so ours
only elects beside it; tower's balancer counts its requests in flight, and with `PeakEwma` times them,
so ours does the same beside it. tower looks at two members, so does `random`; `leastconn` and
`leasttime` look at all of three, and at the one whose turn it is and seven drawn ones of more."""

SIZES = [3, 1_000, 10_000]

# Ours, and the peer that does the same.
RIVALS = [
    ("ours roundrobin", "pingora RoundRobin"),
    ("ours random", "pingora Random"),
    ("ours hash", "pingora Consistent"),
    ("ours random, counted", "tower p2c PendingRequests"),
    ("ours leasttime, counted and timed", "tower p2c PeakEwma"),
]
# Nobody else's looks at as much.
ALONE = "ours leastconn, counted"
NAMES = [*(name for pair in RIVALS for name in pair), ALONE]

REPEATS = 1000


@cache
def _programs():
    """Builds that crate's; where they are."""
    crate = ROOT / "tests/bench/pick"
    subprocess.run(["cargo", "build", "--quiet", "--release", "--manifest-path",
                    crate / "Cargo.toml", "--target-dir", crate / "target"], check=True)
    return crate / "target/release"


def program(name, *arguments, under=(), **environment):
    """Runs a program of that crate, `under` another one; what they printed."""
    command = [*under, _programs() / name, *arguments]
    done = subprocess.run(list(map(str, command)), check=True, text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, env=os.environ | environment)
    return done.stdout


def _times():
    """(name, size) and its time in ns, as criterion has it: low, median, high of 95 %."""
    with tempfile.TemporaryDirectory(prefix="athena-bench-") as place:
        program("pick", "--bench", CRITERION_HOME=place)
        for told in Path(place).rglob("new/benchmark.json"):
            what = json.loads(told.read_text())
            median = json.loads(told.with_name("estimates.json").read_text())["median"]
            interval = median["confidence_interval"]
            yield what["function_id"], what["value_str"], [
                interval["lower_bound"], median["point_estimate"], interval["upper_bound"]]


def _instructions(name, size):
    """Of one pick."""
    def collected(times):
        said = program("repeat", name, size, times,
                     under=["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"])
        return int(re.search(r"Collected : (\d+)", said)[1])
    return (collected(2 * REPEATS) - collected(REPEATS)) / REPEATS


def run():
    """{name: {size: {"ns": [low, median, high], "instructions"}}}."""
    found = {name: {} for name in NAMES}
    for name, size, times in _times():
        found[name][size] = {"ns": times, "instructions": _instructions(name, size)}
        print(name, size, found[name][size], flush=True)
    return found


def _at(found, name, size):
    """(ns, instructions)."""
    seen = found[name][str(size)]
    return seen["ns"][1], seen["instructions"]


def section(found):
    """The section's Markdown."""
    pictures = [
        plot.lines(file, f"One pick, {unit}", "members", unit,
                   {name: [(size, _at(found, name, size)[place]) for size in SIZES]
                    for name in NAMES}, log="xy")
        for place, (file, unit) in enumerate([("pick", "ns"),
                                              ("pick-instructions", "instructions")])]
    rows = [[name, *(f"{_at(found, name, size)[place]:.0f}" for place in (0, 1) for size in SIZES)]
            for name in NAMES]
    head = ["a pick among", *(f"{size:,}{unit}" for unit in (": ns", ": instructions")
                              for size in SIZES)]
    return "\n\n".join([METHOD.format(repeats=REPEATS), *pictures, table(head, rows)])


def summary(found):
    """Its lines of the summary."""
    cases = []
    for place, unit in enumerate(["ns", "instructions"]):
        for one, peer in RIVALS:
            def told(name, place=place):
                return " / ".join(f"{_at(found, name, size)[place]:.0f}" for size in SIZES)
            faster = all(_at(found, one, size)[place] < _at(found, peer, size)[place]
                         for size in SIZES)
            cases.append(Case(f"one pick among 3 / 1,000 / 10,000, {unit}",
                              f"{peer} {told(peer)}", f"{told(one)} ({one.removeprefix('ours ')})",
                              "less at every size", faster))
    def growth(start):
        return max(_at(found, name, SIZES[-1])[1] / _at(found, name, SIZES[1])[1]
                   for name in found if name.startswith(start))
    cases.append(Case("one pick among 10,000 ÷ among 1,000, instructions, the most",
                      f"pingora {growth('pingora'):.2f}, tower {growth('tower'):.2f}",
                      f"{growth('ours'):.2f}", "≤ 1.1", growth("ours") <= 1.1))
    return cases
