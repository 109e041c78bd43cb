"""One member in eleven is stuck for half of the time."""

import threading

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

TITLE = "A stuck member"

METHOD = """\
The scenario of Linkerd's "Beyond Round Robin" (2016), at a rate that this machine serves: eleven
members answer after {normal} ± {jitter} ms; one of them after {stuck} ms from second {since} to
second {until} of {seconds}. {rate} requests/s, evenly spaced. The share answered within 1 s of the
moment a request was due, in percent: the median of {runs} runs, all balancers side by side, each
with back ends of its own (together they keep the machine a quarter busy; no run counts whose median
latency shows otherwise). Linkerd published {published} for its peak EWMA."""

RUNS, RATE, SECONDS = 3, 250, 60
MEMBERS, NORMAL, JITTER, STUCK = 11, 167, 5, 2000
SINCE, UNTIL = 15, 45
PUBLISHED, WANTED = 99.9, 99.93

CONTENDERS = {
    "ours, leasttime": ours("lbmethod=leasttime"),
    "stock byrequests": stock("byrequests"),
    "stock bybusyness": stock("bybusyness"),
    "nginx least_conn": of_nginx("least_conn;"),
    "HAProxy leastconn": of_haproxy("leastconn"),
}


def _measure(start):
    with server(start, MEMBERS) as (running, members):
        for n in range(MEMBERS):
            members.behave(n, delay_ms=NORMAL, jitter_ms=JITTER, seed=n)
        changes = [
            threading.Timer(SINCE, members.behave, (0,), {"delay_ms": STUCK}),
            threading.Timer(UNTIL, members.behave, (0,), {"delay_ms": NORMAL, "jitter_ms": JITTER}),
        ]
        sending = load(running.port, rate=RATE, seconds=SECONDS, within=1000)
        for change in changes:
            change.start()
        seen = result(sending)
        for change in changes:
            change.join()
        assert seen["requests"] == RATE * SECONDS, seen
        assert seen["p50"] < NORMAL + 2 * JITTER, f"the machine was busy otherwise: {seen}"
        return 100 * seen["in_time"] / seen["requests"]


def run():
    """{contender: [% within 1 s]}."""
    return measured(CONTENDERS, _measure, RUNS, together=True)


def section(found):
    """The section's Markdown."""
    method = METHOD.format(normal=NORMAL, jitter=JITTER, stuck=STUCK, since=SINCE, until=UNTIL,
                           seconds=SECONDS, rate=RATE, runs=RUNS, published=PUBLISHED)
    late = {name: 100 - share for name, share in medians(found).items()}
    picture = plot.bars("stuck", "One member in eleven is stuck for half of the time",
                        "not answered within 1 s, %", late, low=0.01, log=True,
                        wanted=100 - PUBLISHED)
    return "\n\n".join([method, picture, table(["balancer", "within 1 s, %", "runs"],
                                                 rows(found, "{:.3f}".format))])


def summary(found):
    """Its lines of the summary."""
    share = medians(found)
    ours = share["ours, leasttime"]
    best = max(peers(share), key=share.get)
    return [Case("a stuck member: within 1 s, %", f"{best} {share[best]:.2f}",
                 f"{ours:.2f} (leasttime)", f"≥ {WANTED}", ours >= WANTED)]
