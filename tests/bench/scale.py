"""Requests per second of a farm of a thousand members."""

from .peers import Members, haproxy, nginx
from .scene import FARM, OURS, OURS_LEASTTIME, PLAIN, STOCK, scene
from .throughput import MPMS, PAIRS, cases, compare, over_plain, picture, ratios, show

TITLE = "Many members"

METHOD = """\
A farm of {members:,} members ÷ a direct ProxyPass to one of them in the same httpd: {pairs} pairs as
above, after {warm:,} requests, so that each process has a connection to each member. Of the peers, a
farm of {members:,} ÷ a farm of one. What a choice costs among them in instructions stands
[above](#instructions).

A part of the difference is no balancer's: at such rates a connection to one of {members:,} members rests
for longer than the kernel keeps back a TCP acknowledgement, to send it along with the next request. Each
request then makes five packets instead of four; and no cache holds the connections. What
mod_proxy, httpd and APR keep of one is fetched while its request is prepared (src/warm.rs); what the
kernel keeps cannot be.

In nine runs, each method's median under either MPM lay between 0.87 and 0.93. What just reaches its line
in one run may miss it by 0.02 in the next."""

MEMBERS, WARM = 1000, 20_000
# What the interval of farm ÷ plain is to reach.
WANTED = 0.92
NO_MPM = "–"
PEERS = {"nginx round robin": (nginx, ""), "HAProxy roundrobin": (haproxy, "roundrobin")}


def run():
    """As of the throughput, and of the peers."""
    found = {NO_MPM: {}}
    for name, balancer in PEERS.items():
        with scene(MEMBERS, Members) as stage:
            farm, one = (stage.start_peer(*balancer, count).port for count in (MEMBERS, 1))
            seen = found[NO_MPM][_over_one(name)] = compare((farm, FARM), (one, FARM), warm=WARM)
            print(name, seen, flush=True)
    for mpm, settled in MPMS.items():
        found[mpm] = {}
        for kind in (STOCK, OURS, OURS_LEASTTIME):
            with scene(MEMBERS, Members) as stage:
                httpd = stage.start(kind, mpm, further=settled)
                sides = (httpd.port, FARM), (httpd.port, PLAIN)
                seen = found[mpm][over_plain(kind)] = compare(*sides, warm=WARM)
                print(mpm, kind, seen, flush=True)
    return found


def _over_one(peer):
    return f"{peer}: farm ÷ a farm of one"


def section(found):
    """The section's Markdown."""
    method = METHOD.format(members=MEMBERS, pairs=PAIRS, warm=WARM)
    title = f"Requests per second among {MEMBERS:,} members"
    return "\n\n".join([method, picture("scale", title, found), ratios(found)])


def summary(found):
    """Its lines of the summary."""
    peers = [f"{name} {show(found[NO_MPM][_over_one(name)]['ratio'])}" for name in PEERS]
    by_mpm = {mpm: found[mpm] for mpm in MPMS}
    return cases(by_mpm, MEMBERS, WANTED, peers)
