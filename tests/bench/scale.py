"""Requests per second of a farm of a thousand members."""

from .scene import FARM, OURS, OURS_LEASTTIME, PLAIN, STOCK, scene
from .throughput import CONNECTIONS, MPMS, PAIRS, cases, compare, over_plain, picture, ratios

TITLE = "Many members"

METHOD = """\
A farm of {members:,} members ÷ a direct ProxyPass to one of them in the same httpd: {pairs} pairs as
above, after {warm:,} requests, so that each process has a connection to each member. Prefork has
{children} children, as many as ApacheBench has connections; event has two. What a choice costs among
them in instructions stands [above](#instructions)."""

MEMBERS, WARM = 1000, 20_000
# What the interval of farm ÷ plain is to reach.
WANTED = 0.92
# None comes or goes meanwhile: a new one would have no connections yet.
SETTLED = {"prefork": f"StartServers {CONNECTIONS}\nMaxSpareServers {CONNECTIONS}\n"
                      f"MaxRequestWorkers {CONNECTIONS}\n",
           "event": ""}


def run():
    """As of the throughput."""
    found = {}
    for mpm in MPMS:
        found[mpm] = {}
        with scene(MEMBERS) as stage:
            for kind in (STOCK, OURS, OURS_LEASTTIME):
                httpd = stage.start(kind, mpm, further=SETTLED[mpm])
                sides = (httpd.port, FARM), (httpd.port, PLAIN)
                seen = found[mpm][over_plain(kind)] = compare(*sides, warm=WARM)
                print(mpm, kind, seen, flush=True)
                httpd.stop()
    return found


def section(found):
    """The section's Markdown."""
    method = METHOD.format(members=MEMBERS, pairs=PAIRS, warm=WARM, children=CONNECTIONS)
    title = f"Requests per second among {MEMBERS:,} members"
    return "\n\n".join([method, picture("scale", title, found), ratios(found)])


def summary(found):
    """Its lines of the summary."""
    return cases(found, MEMBERS, WANTED)
