"""docs/bench/README.md: a summary, and a section for each bench that has run."""

from typing import NamedTuple

from .data import PLACE, load

PAGE = PLACE / "README.md"

HEAD = """\
# What mod_athena costs, and what it spares

Written by `make bench` (`make bench-NAME` runs one, `make bench-page` only draws the page) from the
figures in [data/](data). The module is the one that `make train` leaves. Where nothing else is said,
every httpd has a direct `ProxyPass` (plain) and a farm of three members on loopback, chosen by
`roundrobin` here and by `byrequests` in stock mod_proxy_balancer."""


class Case(NamedTuple):
    """A line of the summary: texts, and whether what was wanted is reached."""

    case: str
    peers: str
    ours: str
    wanted: str
    reached: bool


def table(head, rows):
    """A Markdown table whose columns line up."""
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def draw(benches):
    """Writes the page and its pictures anew from what the benches, by name, have found so far."""
    cases, sections = [], []
    for name, bench in benches.items():
        if (record := load(name)) is None:
            continue
        circumstances, found = record
        cases += bench.summary(found)
        sections.append("\n\n".join([f"## {bench.TITLE}", circumstances, bench.section(found)]))
    rows = [[case.case, case.peers, case.ours, case.wanted, "yes" if case.reached else "**no**"]
            for case in cases]
    summary = table(["case", "peers", "ours", "wanted", "reached"], rows)
    PAGE.write_text("\n\n".join([HEAD, summary, *sections]) + "\n")
