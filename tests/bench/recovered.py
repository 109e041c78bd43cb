"""A member comes back: how much of the load does it get at once?"""

import time
from statistics import median

from harness.waiting import wait_until

from . import plot
from .contest import load, measured, of_haproxy, of_nginx, ours, peers, result, server, stock
from .page import Case, table

TITLE = "A member that comes back"

METHOD = """\
Four members answer after 5 ms; one is killed and started again while {rate} requests/s come in. Its
share of the requests that the back ends counted in each of the {seconds} seconds after its first one
(after {patience} s if it gets none), in percent, the median of {runs} runs, all balancers side by side:
25 is its fair share. `slowstart={slow}` here and `retry=1`; HAProxy checks every 200 ms and has
`slowstart {slow}s`; nginx has `fail_timeout=1s`, stock httpd `retry=1`."""

RUNS, RATE, SECONDS, SLOW, PATIENCE = 3, 200, 12, 10, 6
FAIR = 25

CONTENDERS = {
    **{f"ours, {method} slowstart={SLOW}":
       ours(f"lbmethod={method} slowstart={SLOW}", each="retry=1")
       for method in ("roundrobin", "leastconn", "leasttime")},
    "stock byrequests": stock("byrequests", each="retry=1"),
    "stock bybusyness": stock("bybusyness", each="retry=1"),
    "nginx least_conn": of_nginx("least_conn;", each="max_fails=1 fail_timeout=1s"),
    f"HAProxy leastconn slowstart {SLOW}s": of_haproxy(
        "leastconn", each=f"check inter 200ms slowstart {SLOW}s"),
}


def _measure(start):
    with server(start, 4, apart=True) as (running, members):
        for n in range(4):
            members.behave(n, delay_ms=5)
        sending = load(running.port, rate=RATE, seconds=SECONDS + PATIENCE + 6)
        wait_until(lambda: all(members.requests()), what="load on all members")
        members.kill(0)
        time.sleep(2)  # For the failure to be noticed: how differs from one to the other.
        members.restart(0)
        members.behave(0, delay_ms=5)
        until = time.monotonic() + PATIENCE
        while not members.requests()[0] and time.monotonic() < until:
            time.sleep(0.02)
        shares = []
        began, before = time.monotonic(), members.requests()
        for second in range(1, SECONDS + 1):
            time.sleep(max(0, began + second - time.monotonic()))
            now = members.requests()
            got = [after - former for after, former in zip(now, before, strict=True)]
            shares.append(100 * got[0] / sum(got))
            before = now
        result(sending)
        return shares


def run():
    """{contender: [[% of each second]]}."""
    return measured(CONTENDERS, _measure, RUNS, together=True)


def _middle(found):
    """The medians of each second."""
    return {name: [median(second) for second in zip(*runs, strict=True)]
            for name, runs in found.items()}


def section(found):
    """The section's Markdown."""
    shares = _middle(found)
    shown = [0, 1, 4, SECONDS - 1]
    rows = [[name, *(f"{seconds[second]:.1f}" for second in shown),
             ", ".join(f"{run[0]:.1f}" for run in found[name])] for name, seconds in shares.items()]
    method = METHOD.format(rate=RATE, runs=RUNS, seconds=SECONDS, slow=SLOW,
                           patience=PATIENCE)
    picture = plot.lines("recovered", "A member comes back", "second after its first request",
                         "its share, % (25 is fair)",
                         {name: list(enumerate(seconds, 1)) for name, seconds in shares.items()})
    head = ["second", *(str(second + 1) for second in shown), "first second of the runs"]
    return "\n\n".join([method, picture, table(head, rows)])


def summary(found):
    """Its lines of the summary."""
    shares = _middle(found)
    first = {name: seconds[0] for name, seconds in shares.items()}
    last = {name: median(seconds[-3:]) for name, seconds in shares.items()}
    ours = [name for name in first if name.startswith("ours")]
    most, least = max(ours, key=first.get), min(ours, key=last.get)
    def told(shares):
        return ", ".join(f"{name} {share:.0f}" for name, share in peers(shares).items())
    return [
        Case("a member that comes back: its share in the first second, %", told(first),
             f"{first[most]:.1f} ({most.split()[1]})", f"≤ {FAIR / 2:g}, half of what is fair",
             first[most] <= FAIR / 2),
        Case("… and after its slow start, %", told(last),
             f"{last[least]:.1f} ({least.split()[1]})", f"≥ {FAIR / 2:g}",
             last[least] >= FAIR / 2),
    ]
