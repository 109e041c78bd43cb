"""The query mode, against a file of the same size."""

from harness.client import fetch

from .callgrind import Counted
from .page import Case, table
from .scene import OURS_ALONE, scene
from .throughput import MPMS, PAIRS, compare, ratios

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
    """Ratios by MPM as of the throughput, and instructions by path."""
    found = {"ratios": {}, "instructions": {}}
    for mpm in MPMS:
        with scene() as stage:
            httpd = _httpd(stage, mpm)
            seen = compare((httpd.port, QUERY), (httpd.port, FILE))
            found["ratios"][mpm] = {"query ÷ file": seen}
            print(mpm, seen, flush=True)
    with scene() as stage:
        httpd = _httpd(stage, "prefork", make=Counted)
        with httpd.client() as client:
            for path in (QUERY, FILE):
                httpd.count(client, path, 200)
                found["instructions"][path] = httpd.count(client, path, 1000).total
        httpd.stop()
    print(found["instructions"], flush=True)
    return found


def section(found):
    """The section's Markdown."""
    counts = found["instructions"]
    instructions = table(["path", "instructions", "÷ file"],
                         [[f"`{path}`", f"{count:.0f}", f"{count / counts[FILE]:.3f}"]
                          for path, count in counts.items()])
    return "\n\n".join([METHOD.format(pairs=PAIRS), ratios(found["ratios"]), instructions])


def summary(found):
    """Its lines of the summary."""
    told = []
    for mpm, compared in found["ratios"].items():
        low, middle, high = compared["query ÷ file"]["ratio"]
        told.append(Case(f"query mode ÷ a file of that size, requests/s, {mpm}", "–",
                         f"{middle:.2f} ({low:.2f} … {high:.2f})", "≥ 1", high >= 1))
    return told
