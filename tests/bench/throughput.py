"""Requests per second, as ratios of interleaved pairs."""

from harness.load import ab

from .interval import median_interval
from .page import table
from .scene import FARM, OURS, PLAIN, STOCK, scene

TITLE = "Throughput"

METHOD = """\
{pairs} pairs a line: each is two rounds of {seconds} s, right after each other and in alternating
order, of ApacheBench over {connections} kept-alive connections; its value is the ratio of their
requests/s. The table has the median of these ratios with its 95 % interval (order statistics, no
assumption on the distribution); `plain ÷ plain` compares a path with itself and shows the noise.
Three members have three times the connections of one, which the kernel schedules differently: what
that alone does to a ratio shows in the line of stock httpd."""

PAIRS = 40
SECONDS = 0.5
CONNECTIONS = 4
MPMS = ["prefork", "event"]


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
    """The ratios over ÷ under, one for each pair, and the rates of `over`, which is sent `warm`
    requests first."""
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
    return ratios, rates


def _comparisons(ours, stock):
    farm, plain = (ours.port, FARM), (ours.port, PLAIN)
    return {
        "plain ÷ plain (control)": (plain, plain),
        "farm ÷ plain": (farm, plain),
        "farm ÷ stock byrequests": (farm, (stock.port, FARM)),
        "stock byrequests ÷ its plain": ((stock.port, FARM), (stock.port, PLAIN)),
    }


def run():
    """The section's text."""
    rows = []
    for mpm in MPMS:
        with scene() as stage:
            ours, stock = (stage.start(kind, mpm) for kind in (OURS, STOCK))
            for what, (over, under) in _comparisons(ours, stock).items():
                ratios, rates = compare(over, under)
                low, middle, high = median_interval(ratios)
                rows.append([mpm, what, f"{middle:.3f}", f"{low:.3f} … {high:.3f}",
                             f"{median_interval(rates)[1]:.0f}"])
                print("  ".join(rows[-1]), flush=True)
    method = METHOD.format(pairs=PAIRS, seconds=SECONDS, connections=CONNECTIONS)
    head = ["MPM", "ratio", "median", "95 % interval", "requests/s"]
    return method + "\n\n" + table(head, rows)
