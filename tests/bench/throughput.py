"""Requests per second, as ratios of interleaved pairs."""

from harness.load import ab

from . import plot
from .interval import median_interval
from .page import Case, table
from .peers import Members
from .scene import FARM, OURS, OURS_LEASTTIME, PLAIN, STOCK, scene

TITLE = "Throughput"

METHOD = """\
{pairs} pairs a line: each is two rounds of {seconds} s, right after each other and in alternating
order, of ApacheBench over {connections} kept-alive connections; its value is the ratio of their
requests/s. The table has the median of these ratios with its 95 % interval (order statistics, no
assumption on the distribution); `plain ÷ plain` compares a path with itself and shows the noise. The
members are one nginx process with a port for each. Prefork has as many children as there are
connections, event has one.

Fewer instructions than stock's farm − plain need not be less time: ours run once each, theirs in part in
loops. In callgrind's model of first-level caches (32 KiB each; `make bench` does not run it), farm − plain
missed 223 lines of code and 261 of data at ac43345, 336 and 247 before `make train`, stock's 120 and 118. The
sum is some 3 of the 100 microseconds that a request takes on both cores together; and three members have
three times the connections of one, whoever chooses."""

PAIRS = 40
SECONDS = 0.5
CONNECTIONS = 4
# What the interval of farm ÷ plain is to reach.
WANTED = 0.99
# The MPMs, with as many processes as the load keeps busy: none comes or goes meanwhile.
MPMS = {
    "prefork": f"StartServers {CONNECTIONS}\nMaxSpareServers {CONNECTIONS}\n"
               f"MaxRequestWorkers {CONNECTIONS}\n",
    "event": "StartServers 1\nMinSpareThreads 1\nMaxRequestWorkers 32\n",
}

CONTROL = "plain ÷ plain (control)"
OVER_STOCK = "ours, roundrobin: farm ÷ stock byrequests' farm"


def over_plain(kind):
    """The name of the comparison of a kind's farm with its own plain."""
    return f"{kind}: farm ÷ its plain"


def _round(side, n):
    port, path = side
    done = ab(port, path, n, CONNECTIONS, keepalive=True)
    if done.failed or done.complete != n:
        raise AssertionError(f"{path}: {done}, {n} were sent")
    return done.per_second


def _size(side):
    """How many requests take about a round's time; the first ones warm up."""
    rate = 2000
    for _ in range(3):
        rate = _round(side, max(100, int(rate * SECONDS)))
    return int(rate * SECONDS)


def compare(over, under, warm=0):
    """The ratios over ÷ under in pairs: their median, its 95 % interval, and the median rate of
    `over`, which is sent `warm` requests first."""
    if warm:
        _round(over, warm)
    n = min(_size(over), _size(under))
    ratios, rates = [], []
    for pair in range(PAIRS):
        if pair % 2:
            bottom, top = _round(under, n), _round(over, n)
        else:
            top, bottom = _round(over, n), _round(under, n)
        ratios.append(top / bottom)
        rates.append(top)
    return {"ratio": median_interval(ratios), "rate": median_interval(rates)[1]}


def _comparisons(ports):
    """(over, under) by name."""
    def side(kind, path):
        return ports[kind], path
    return {
        CONTROL: (side(OURS, PLAIN), side(OURS, PLAIN)),
        **{over_plain(kind): (side(kind, FARM), side(kind, PLAIN)) for kind in ports},
        OVER_STOCK: (side(OURS, FARM), side(STOCK, FARM)),
    }


def run():
    """{MPM: {comparison: {"ratio": [low, median, high], "rate": requests/s}}}."""
    found = {}
    for mpm, settled in MPMS.items():
        found[mpm] = {}
        with scene(members=Members) as stage:
            ports = {kind: stage.start(kind, mpm, further=settled).port
                     for kind in (STOCK, OURS, OURS_LEASTTIME)}
            for what, sides in _comparisons(ports).items():
                found[mpm][what] = compare(*sides)
                print(mpm, what, found[mpm][what], flush=True)
    return found


def ratios(found):
    """A table of comparisons by MPM."""
    rows = []
    for mpm, compared in found.items():
        for what, seen in compared.items():
            low, middle, high = seen["ratio"]
            rows.append([mpm, what, f"{middle:.3f}", f"{low:.3f} … {high:.3f}", f"{seen['rate']:.0f}"])
    return table(["MPM", "ratio", "median", "95 % interval", "requests/s"], rows)


def picture(name, title, found):
    """The intervals of comparisons by MPM."""
    return plot.intervals(name, title, "ratio, and its 95 % interval",
                          {f"{what}, {mpm}": seen["ratio"] for mpm, compared in found.items()
                           for what, seen in compared.items()})


def cases(found, members, wanted, peers=()):
    """Lines of the summary: farm ÷ plain under each MPM, beside stock's own and what `peers` say."""
    told = []
    for mpm, compared in found.items():
        peer = compared[over_plain(STOCK)]["ratio"]
        ours = {kind: compared[over_plain(kind)]["ratio"] for kind in (OURS, OURS_LEASTTIME)}
        told.append(Case(
            f"farm of {members:,} ÷ plain, requests/s, {mpm}",
            ", ".join([f"stock byrequests {show(peer)}", *peers]),
            ", ".join(f"{show(ratio)} ({kind.split()[1]})" for kind, ratio in ours.items()),
            f"interval reaches {wanted}", all(high >= wanted for _, _, high in ours.values())))
    return told


def show(ratio):
    """A median with its interval."""
    low, middle, high = ratio
    return f"{middle:.2f} ({low:.2f} … {high:.2f})"


def section(found):
    """The section's Markdown."""
    method = METHOD.format(pairs=PAIRS, seconds=SECONDS, connections=CONNECTIONS)
    return "\n\n".join([method, picture("throughput", "Requests per second", found), ratios(found)])


def summary(found):
    """Its lines of the summary."""
    return cases(found, 3, WANTED)
