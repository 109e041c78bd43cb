"""One member in four fails at once: does it draw the load?"""

from pathlib import Path

from harness.load import wrk

from . import plot
from .contest import PATH, measured, medians, of_haproxy, of_nginx, ours, peers, rows, server, stock
from .page import Case, table

TITLE = "A member that fails at once"

METHOD = """\
Of four members the first answers with 500 at once, the others answer after 20 ms. wrk keeps
{connections} connections busy for {seconds} s, each request with another key for `hash`; for `first`
the members have `maxconn={places}`, `stats` goes by `score="inflight / weight"`. The share of requests
that the back ends counted at the broken member, in percent: the median of {runs} runs that take turns.
Blind turns would give it 25."""

RUNS, SECONDS, CONNECTIONS, PLACES = 3, 3, 32, 12
KEYS = Path(__file__).with_name("keys.lua")

# Each of our methods, and what it needs.
METHODS = {"roundrobin": "", "leastconn": "", "leasttime": "", "random": "",
           "hash": "hashkey=query:key", "first": f"maxconn={PLACES}", "traffic": "",
           "byrequests": "", "bybusyness": "", "bytraffic": "", "stats": 'score="inflight / weight"'}

CONTENDERS = {
    "ours, leasttime": ours("lbmethod=leasttime"),
    **{f"ours, {method} ejectafter=5": ours(f"lbmethod={method} {needs} ejectafter=5")
       for method, needs in METHODS.items()},
    "stock byrequests": stock("byrequests"),
    "stock bybusyness": stock("bybusyness"),
    "nginx least_conn": of_nginx("least_conn;"),
    "HAProxy leastconn": of_haproxy("leastconn"),
    "HAProxy random(2)": of_haproxy("random(2)"),
}


def _measure(start):
    with server(start, 4) as (running, members):
        members.behave(0, status=500)
        for n in range(1, 4):
            members.behave(n, delay_ms=20)
        wrk(running.port, PATH, SECONDS, CONNECTIONS, script=KEYS)
        counted = members.requests()
        return 100 * counted[0] / sum(counted)


def run():
    """{contender: [% to the broken one]}."""
    return measured(CONTENDERS, _measure, RUNS)


def section(found):
    """The section's Markdown."""
    method = METHOD.format(connections=CONNECTIONS, seconds=SECONDS, runs=RUNS, places=PLACES)
    picture = plot.bars("broken", "One member in four fails at once", "requests to it, %",
                        medians(found), low=0.01, log=True)
    return "\n\n".join([method, picture, table(["balancer", "to the broken one, %", "runs"],
                                                 rows(found, "{:.2f}".format))])


def summary(found):
    """Its lines of the summary."""
    share = medians(found)
    best = min(peers(share), key=share.get)
    told = f"{best} {share[best]:.1f}, stock bybusyness {share['stock bybusyness']:.1f}"
    ejecting = {name: value for name, value in share.items() if "ejectafter" in name}
    worst = max(ejecting, key=ejecting.get)
    alone = share["ours, leasttime"]
    return [
        Case("a broken member, `leasttime`: its share, %", told, f"{alone:.2f}", "≤ 10",
             alone <= 10),
        Case("a broken member, `ejectafter=5`, the worst of our methods: its share, %", told,
             f"{ejecting[worst]:.2f} ({worst.split()[1]})", "≤ 2", ejecting[worst] <= 2),
    ]
