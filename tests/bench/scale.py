"""What a choice costs among many members."""

from harness.client import Client

from .callgrind import Counted
from .interval import median_interval
from .page import table
from .scene import FARM, OURS, OURS_LEASTTIME, PLAIN, STOCK, scene
from .throughput import compare

TITLE = "Many members"

METHOD = """\
Instructions as above, after every member has had two requests: farm − plain is what the choice and
the accounting cost, also at the sizes for which stock httpd is not asked. Requests/s as below, under
event with one child of {threads} threads, after every member has had requests from it."""

COUNTED = {3: [STOCK, OURS, OURS_LEASTTIME], 1000: [STOCK, OURS, OURS_LEASTTIME],
           10_000: [OURS, OURS_LEASTTIME]}
N = 500
TIMED, THREADS = 1000, 32


def _counted(stage, kind, members):
    """farm − plain, in instructions a request."""
    httpd = stage.start(kind, "prefork", Counted)
    with Client(httpd.port) as client:
        httpd.count(client, PLAIN, 200)
        httpd.count(client, FARM, max(200, 2 * members))
        plain, farm = (httpd.count(client, path, N).total for path in (PLAIN, FARM))
    httpd.stop()
    return farm - plain


def _instructions():
    rows = []
    for members, kinds in COUNTED.items():
        with scene(members) as stage:
            costs = {kind: _counted(stage, kind, members) for kind in kinds}
        for kind, cost in costs.items():
            ratio = f"{cost / costs[STOCK]:.3f}" if STOCK in costs else "–"
            rows.append([str(members), kind, f"{cost:.0f}", ratio])
            print("  ".join(rows[-1]), flush=True)
    return table(["members", "httpd", "farm − plain", "÷ stock's"], rows)


def _throughput():
    rows = []
    with scene(TIMED) as stage:
        for kind in (STOCK, OURS, OURS_LEASTTIME):
            httpd = stage.start(kind, "event", children=1)
            farm, plain = (httpd.port, FARM), (httpd.port, PLAIN)
            low, middle, high = median_interval(compare(farm, plain, warm=20 * TIMED)[0])
            rows.append([kind, f"{middle:.3f}", f"{low:.3f} … {high:.3f}"])
            print("  ".join(rows[-1]), flush=True)
            httpd.stop()
    return table([f"{TIMED} members ÷ plain", "median", "95 % interval"], rows)


def run():
    """The section's text."""
    method = METHOD.format(threads=THREADS)
    return "\n\n".join([method, _instructions(), _throughput()])
