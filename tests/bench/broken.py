"""One member in four fails at once: does it draw the load?"""

from harness.load import wrk

from .contest import PATH, of_haproxy, of_nginx, ours, rows, server, stock
from .page import table

TITLE = "A member that fails at once"

METHOD = """\
Three members answer after 20 ms, a fourth with 500 at once. wrk keeps {connections} connections busy
for {seconds} s. The share of requests that the back ends counted at the broken member, in percent:
the median of {runs} runs that take turns. Blind turns would give it 25."""

RUNS, SECONDS, CONNECTIONS = 3, 5, 32

METHODS = ["roundrobin", "leastconn", "leasttime", "random", "traffic"]

CONTENDERS = {
    "ours, leasttime": ours("lbmethod=leasttime"),
    **{f"ours, {method} ejectafter=5": ours(f"lbmethod={method} ejectafter=5")
       for method in METHODS},
    "stock byrequests": stock("byrequests"),
    "stock bybusyness": stock("bybusyness"),
    "nginx least_conn": of_nginx("least_conn;"),
    "HAProxy leastconn": of_haproxy("leastconn"),
    "HAProxy random(2)": of_haproxy("random(2)"),
}


def _measure(start):
    with server(start, 4) as (running, members):
        for n in range(3):
            members.behave(n, delay_ms=20)
        members.behave(3, status=500)
        wrk(running.port, PATH, SECONDS, CONNECTIONS)
        counted = members.requests()
        return 100 * counted[3] / sum(counted)


def run():
    """The section's text."""
    found = rows(CONTENDERS, _measure, RUNS, "{:.2f}".format)
    method = METHOD.format(connections=CONNECTIONS, seconds=SECONDS, runs=RUNS)
    return method + "\n\n" + table(["balancer", "to the broken one, %", "runs"], found)
