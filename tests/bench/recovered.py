"""A member comes back: how much of the load does it get at once?"""

import time

from harness.waiting import wait_until

from .contest import load, of_haproxy, of_nginx, ours, result, rows, server, stock
from .page import table

TITLE = "A member that comes back"

METHOD = """\
Four members answer after 5 ms; one is killed and started again while {rate} requests/s come in. Its
share of the requests that the back ends counted in the second after its first one, in percent, the
median of {runs} runs that take turns: 25 is its fair share. `slowstart=10` here and `retry=1`;
HAProxy checks every 200 ms and has `slowstart 10s`; nginx has `fail_timeout=1s`."""

RUNS, RATE = 3, 400

CONTENDERS = {
    **{f"ours, {method} slowstart=10": ours(f"lbmethod={method} slowstart=10", each="retry=1")
       for method in ("roundrobin", "leastconn", "leasttime")},
    "stock byrequests": stock("byrequests", each="retry=1"),
    "stock bybusyness": stock("bybusyness", each="retry=1"),
    "nginx least_conn": of_nginx("least_conn;", each="max_fails=1 fail_timeout=1s"),
    "HAProxy leastconn": of_haproxy("leastconn", each="check inter 200ms slowstart 10s"),
}


def _measure(start):
    with server(start, 4, apart=True) as (running, members):
        for n in range(4):
            members.behave(n, delay_ms=5)
        sending = load(running.port, rate=RATE, seconds=12)
        wait_until(lambda: all(members.requests()), what="load on all members")
        members.kill(0)
        time.sleep(2)  # For the failure to be noticed: how differs from one to the other.
        members.restart(0)
        members.behave(0, delay_ms=5)
        wait_until(lambda: members.requests()[0], what="a request for the member")
        before = members.requests()
        time.sleep(1)
        got = [after - former for after, former in zip(members.requests(), before, strict=True)]
        result(sending)
        return 100 * got[0] / sum(got)


def run():
    """The section's text."""
    found = rows(CONTENDERS, _measure, RUNS, "{:.1f}".format)
    method = METHOD.format(rate=RATE, runs=RUNS)
    return method + "\n\n" + table(["balancer", "first second, %", "runs"], found)
