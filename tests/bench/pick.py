"""One pick, timed by criterion beside other balancers written in Rust (tests/bench/pick)."""

import json
import os
import subprocess
import tempfile
from pathlib import Path

from harness.paths import ROOT

from . import plot
from .page import Case, table

TITLE = "One pick"

METHOD = """\
criterion's medians, in ns. Ours are whole elections: a probe that is due, states, failures, sets and
limits are looked at. The peers are the crates that docs.rs has, used as their documentation does:
pingora-load-balancing selects only (and looks at health), so ours only elects beside it; tower's
balancer counts its requests in flight, and `PeakEwma` times them, so ours does the same beside it."""

SIZES = [3, 1_000, 10_000]

# Ours, and the peers that do the same.
RIVALS = [
    (["ours roundrobin"], ["pingora RoundRobin"]),
    (["ours random"], ["pingora Random"]),
    (["ours hash"], ["pingora Consistent"]),
    (["ours random, counted", "ours leastconn, counted"], ["tower p2c PendingRequests"]),
    (["ours leasttime, counted and timed"], ["tower p2c PeakEwma"]),
]


def cargo(binary, *arguments, **environment):
    """Builds and runs a program of that crate; what it printed."""
    command = ["cargo", "run", "--quiet", "--release", "--locked", "--manifest-path",
               str(ROOT / "tests/bench/pick/Cargo.toml"), "--bin", binary, "--", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True,
                          env=os.environ | environment)
    return done.stdout


def run():
    """{name: {size: [low, median, high]}} in ns, the interval of 95 %."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="athena-bench-") as place:
        print(cargo("pick", "--bench", CRITERION_HOME=place), flush=True)
        for told in Path(place).rglob("new/benchmark.json"):
            what = json.loads(told.read_text())
            median = json.loads(told.with_name("estimates.json").read_text())["median"]
            interval = median["confidence_interval"]
            found.setdefault(what["function_id"], {})[what["value_str"]] = [
                interval["lower_bound"], median["point_estimate"], interval["upper_bound"]]
    return found


def _median(found, name, size):
    return found[name][str(size)][1]


def section(found):
    """The section's Markdown."""
    names = [name for ours, peers in RIVALS for name in (*ours, *peers)]
    rows = [[name, *(f"{_median(found, name, size):.0f}" for size in SIZES)] for name in names]
    picture = plot.lines(
        "pick", "One pick", "members", "ns",
        {name: [(size, _median(found, name, size)) for size in SIZES] for name in names}, log="xy")
    return "\n\n".join([METHOD, picture,
                        table(["ns a pick among", *(f"{size:,}" for size in SIZES)], rows)])


def summary(found):
    """Its lines of the summary."""
    ratios = [(_median(found, peer, size) / _median(found, one, size), one, peer, size)
              for ours, peers in RIVALS for one in ours for peer in peers for size in SIZES]
    least, one, peer, size = min(ratios)
    def growth(start):
        return max(_median(found, name, SIZES[-1]) / _median(found, name, SIZES[1])
                   for name in found if name.startswith(start))
    return [
        Case("one pick, peer's time ÷ ours, least of all", f"{peer} among {size:,}",
             f"{least:.2f} ({one})", "> 1", least > 1),
        Case("one pick among 10,000 ÷ among 1,000, most", f"pingora {growth('pingora'):.2f}, "
             f"tower {growth('tower'):.2f}", f"{growth('ours'):.2f}", "≤ 2", growth("ours") <= 2),
    ]
