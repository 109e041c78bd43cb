"""One member in five is ten times slower than the others."""

from operator import itemgetter

from . import plot
from .contest import (
    load,
    measured,
    medians,
    of_haproxy,
    of_nginx,
    ours,
    peers,
    result,
    rows,
    server,
    stock,
)
from .page import Case, table

TITLE = "A slow member"

METHOD = """\
Five members answer {places} requests at a time each, after times drawn from an exponential
distribution: four with a mean of 5 ms, one of 50 ms. {rate} requests/s, evenly spaced, for
{seconds} s after {warmup} s that do not count; latency counts from the moment a request was due.
99th percentiles in ms, the median of {runs} runs that take turns. Had no request gone to the slow
member, the 99th percentile were 23 ms."""

RUNS, RATE, SECONDS, WARMUP, PLACES = 3, 800, 12, 2, 8
MEANS = [5, 5, 5, 5, 50]
# Milliseconds, of leasttime's 99th percentile.
WANTED = 32

# By name, one request in how many is slower.
PERCENTILES = {"p50": 2, "p90": 10, "p99": 100, "p999": 1000}

CONTENDERS = {
    "ours, leasttime": ours("lbmethod=leasttime"),
    "ours, leastconn": ours("lbmethod=leastconn"),
    "stock byrequests": stock("byrequests"),
    "stock bybusyness": stock("bybusyness"),
    "nginx least_conn": of_nginx("least_conn;"),
    "HAProxy leastconn": of_haproxy("leastconn"),
}


def _measure(start):
    with server(start, len(MEANS)) as (running, members):
        for n, mean in enumerate(MEANS):
            members.behave(n, delay_ms=mean, exponential=True, seed=n, places=PLACES)
        seen = result(load(running.port, rate=RATE, seconds=SECONDS + WARMUP, warmup=WARMUP))
        assert seen["well"] == seen["requests"] == RATE * SECONDS, seen
        return {name: seen[name] for name in PERCENTILES}


def run():
    """{contender: [{percentile: ms}]}."""
    return measured(CONTENDERS, _measure, RUNS)


def section(found):
    """The section's Markdown."""
    method = METHOD.format(places=PLACES, rate=RATE, seconds=SECONDS, warmup=WARMUP, runs=RUNS)
    percentiles = {name: medians(found, itemgetter(name)) for name in PERCENTILES}
    picture = plot.lines(
        "slow", "One member in five is ten times slower", "one request in so many is slower", "ms",
        {name: [(PERCENTILES[at], percentiles[at][name]) for at in PERCENTILES] for name in found},
        log="xy")
    found = [[name, p99, f"{percentiles['p50'][name]:.1f}", f"{percentiles['p999'][name]:.1f}", runs]
             for name, p99, runs in rows(found, "{:.1f}".format, itemgetter("p99"))]
    head = ["balancer", "p99, ms", "p50", "p99.9", "p99 of the runs"]
    return "\n\n".join([method, picture, table(head, found)])


def summary(found):
    """Its lines of the summary."""
    p99 = medians(found, itemgetter("p99"))
    ours = p99["ours, leasttime"]
    best = min(peers(p99), key=p99.get)
    return [Case("a slow member: p99, ms", f"{best} {p99[best]:.1f}", f"{ours:.1f} (leasttime)",
                 f"≤ {WANTED}", ours <= WANTED)]
