"""One member in five is ten times slower than the others."""

from .contest import load, of_haproxy, of_nginx, ours, result, rows, server, stock
from .page import table

TITLE = "A slow member"

METHOD = """\
Five members answer {places} requests at a time each, after times drawn from an exponential
distribution: four with a mean of 5 ms, one of 50 ms. {rate} requests/s, evenly spaced, for
{seconds} s after {warmup} s that do not count; latency counts from the moment a request was due.
99th percentiles in ms, the median of {runs} runs that take turns. Had no request gone to the slow
member, the 99th percentile were 23 ms."""

RUNS, RATE, SECONDS, WARMUP, PLACES = 3, 800, 12, 2, 8
MEANS = [5, 5, 5, 5, 50]

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
        return seen["p99"]


def run():
    """The section's text."""
    found = rows(CONTENDERS, _measure, RUNS, "{:.1f}".format)
    method = METHOD.format(places=PLACES, rate=RATE, seconds=SECONDS, warmup=WARMUP, runs=RUNS)
    return method + "\n\n" + table(["balancer", "p99, ms", "runs"], found)
