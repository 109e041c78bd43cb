"""Who gets what: weights over several processes, two choices, consistent hashing."""

import json

from harness.load import ab

from . import plot
from .contest import PATH, measured, of_haproxy, of_nginx, ours, server, stock
from .page import Case, table
from .pick import program

TITLE = "Shares"

# httpd takes no weight above 100; the engine's own test goes to 128.
WEIGHTS = range(1, 101)
PICKS = sum(WEIGHTS)
PROCESSES, RUNS = 8, 3

ROTATION = """\
Envoy's `edf_scheduler_test` over a real server: {members} members of weights 1 to {members},
{picks:,} requests over {processes} connections to prefork's {processes} processes (nginx and HAProxy
have two workers). Exact is as many requests as weight at each member, by the back ends' own counts.
The largest deviation of any member, in requests, the worst of {runs} runs; and how many members were
exact then."""

REST = """\
Without a server, by the engine and the crates (tests/bench/pick). Two choices: 100,000 picks among
three members, the last of which is busy. Hashing: a million keys over 500 members; the fewest and the
most keys of a member, of the mean, and the keys whose member is another when one goes (0.2 % is the
least); and the shares of our table, which the keys' own chance blurs. Zipf's law with the exponent 1.1: 10,000 keys over 20 members, 2,000 requests under way; the
most loaded member at any time, of the mean, and the requests that went elsewhere than their key's."""

PREFORK = {"mpm": "prefork", "children": PROCESSES, "weights": WEIGHTS}
CONTENDERS = {
    "ours, roundrobin": ours("lbmethod=roundrobin", **PREFORK),
    "stock byrequests": stock("byrequests", **PREFORK),
    "nginx round robin": of_nginx("", each=[f"weight={weight}" for weight in WEIGHTS]),
    "HAProxy roundrobin": of_haproxy("roundrobin", each=[f"weight {weight}" for weight in WEIGHTS]),
}


def _measure(start):
    with server(start, len(WEIGHTS)) as (running, members):
        members.reset()  # Who starts a peer asks it whether it is up.
        done = ab(running.port, PATH, PICKS, PROCESSES, keepalive=True)
        assert done.failed == 0 and done.complete == PICKS, done
        off = [abs(got - weight) for got, weight in zip(members.requests(), WEIGHTS, strict=True)]
        return {"off": max(off), "exact": off.count(0)}


def run():
    """{"rotation": {contender: [{"off", "exact"}]}}, and what `shares` prints."""
    return {"rotation": measured(CONTENDERS, _measure, RUNS), **json.loads(program("shares"))}


def _worst(found):
    return {name: max(runs, key=lambda run: run["off"]) for name, runs in found["rotation"].items()}


def section(found):
    """The section's Markdown."""
    worst = _worst(found)
    rotation = ROTATION.format(members=len(WEIGHTS), picks=PICKS, processes=PROCESSES, runs=RUNS)
    rows = [[name, str(run["off"]), f"{run['exact']} of {len(WEIGHTS)}"]
            for name, run in worst.items()]
    hashing = [[name, f"{found['spread'][name][0]:.3f} … {found['spread'][name][1]:.3f}",
                f"{found['moved'][name]:.3f}"] for name in found["spread"]]
    low, high = found["table"]
    hashing.append(["ours, by its table", f"{low:.3f} … {high:.3f}", ""])
    zipf = [[name, f"{most:.2f}", f"{elsewhere:.1f}"]
            for name, (most, elsewhere) in found["zipf"].items()]
    picture = plot.bars("balance", "Keys of the member that has most, of the mean (500 members)",
                        "of the mean", {name: most for name, (_, most) in found["spread"].items()})
    shares = " / ".join(f"{share:.2f}" for share in found["two_choices"])
    return "\n\n".join([
        rotation, table(["balancer", "largest deviation", "exact"], rows),
        REST, f"`random` with the last of three busy: {shares} %.", picture,
        table(["hashing", "keys of a member, of the mean", "moved, %"], hashing),
        table(["Zipf", "most loaded, of the mean", "elsewhere, %"], zipf)])


def summary(found):
    """Its lines of the summary."""
    worst = {name: run["off"] for name, run in _worst(found).items()}
    told = ", ".join(f"{name} {off}" for name, off in worst.items() if not name.startswith("ours"))
    off = worst["ours, roundrobin"]
    first, second, busy = found["two_choices"]
    moved, peer = found["moved"]["ours"], found["moved"]["pingora Consistent"]
    wider, largest = found["spread"]["pingora Consistent"][1], found["table"][1]
    most, _ = found["zipf"]["ours hashbalance=1.25"]
    return [
        Case("weights 1 to 100 over 8 processes: largest deviation, requests", told, str(off),
             "0", off == 0),
        Case("two choices, one of three busy, %", "Envoy 44.45 / 44.45 / 11.1",
             f"{first:.1f} / {second:.1f} / {busy:.1f}", "50 / 50 / 0 (± 1)",
             busy == 0 and abs(first - second) <= 2),
        Case("hashing, 500 members: keys moved when one goes, %", f"pingora {peer:.2f}",
             f"{moved:.2f}", "≤ 1.2", moved <= 1.2),
        Case("hashing, 500 members: the largest share of the key space, of the mean",
             f"pingora {wider:.2f}, by keys", f"{largest:.3f}", "≤ 1.01", largest <= 1.01),
        Case("hashing, Zipf 1.1, `hashbalance=1.25`: the fullest, of the mean",
             f"{found['zipf']['ours hashbalance=off'][0]:.2f} without it", f"{most:.2f}", "≤ 1.25",
             most <= 1.25),
    ]
