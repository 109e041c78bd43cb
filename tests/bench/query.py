"""The query mode, against a file of the same size."""

from harness.client import Client, fetch

from .callgrind import Counted
from .interval import median_interval
from .page import table
from .scene import OURS_ALONE, scene
from .throughput import MPMS, PAIRS, compare

TITLE = "The query mode"

METHOD = """\
`/athena/balance/?farm_one` against a file with the same number of bytes, served by the same httpd:
{pairs} pairs as for the throughput, and instructions a request as above."""

QUERY, FILE = "/athena/balance/?farm_one", "/member.txt"


def _httpd(stage, mpm, **how):
    """An httpd, and a file as large as its answers."""
    root = stage.directory / "root"
    root.mkdir(exist_ok=True)
    root.chmod(0o755)
    further = f'DocumentRoot "{root}"\n<Directory "{root}">\n  Require all granted\n</Directory>\n'
    httpd = stage.start(OURS_ALONE, mpm, further=further, **how)
    (root / FILE.strip("/")).write_bytes(b"x" * len(fetch(httpd.port, QUERY).body))
    return httpd


def run():
    """The section's text."""
    rows = []
    for mpm in MPMS:
        with scene() as stage:
            httpd = _httpd(stage, mpm)
            ratios, rates = compare((httpd.port, QUERY), (httpd.port, FILE))
            low, middle, high = median_interval(ratios)
            rows.append([mpm, f"{middle:.3f}", f"{low:.3f} … {high:.3f}",
                         f"{median_interval(rates)[1]:.0f}"])
            print("  ".join(rows[-1]), flush=True)
    with scene() as stage:
        httpd = _httpd(stage, "prefork", make=Counted)
        counts = {}
        with Client(httpd.port) as client:
            for path in (QUERY, FILE):
                httpd.count(client, path, 200)
                counts[path] = httpd.count(client, path, 1000).total
        httpd.stop()
    print(counts, flush=True)
    instructions = table(["path", "instructions", "÷ file"],
                         [[f"`{path}`", f"{count:.0f}", f"{count / counts[FILE]:.3f}"]
                          for path, count in counts.items()])
    head = ["MPM", "query ÷ file", "95 % interval", "queries/s"]
    return "\n\n".join([METHOD.format(pairs=PAIRS), table(head, rows), instructions])
