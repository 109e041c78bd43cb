"""docs/bench/README.md: one section for each bench, replaced when that bench runs."""

import datetime
import os
import re
import subprocess
import tomllib

from harness.paths import APACHE, ROOT

PAGE = ROOT / "docs" / "bench" / "README.md"

HEAD = """\
# What mod_athena costs, and what it spares

Written by `make bench`. Where nothing else is said, every httpd has a direct `ProxyPass` (plain) and a
farm of three members on loopback, chosen by `roundrobin` here and by `byrequests` in stock
mod_proxy_balancer.
"""


def table(head, rows):
    """A Markdown table whose columns line up."""
    cells = [head, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
             + " |" for row in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write(title, circumstances, text):
    """Puts a section into the page, in place of the one of that title."""
    sections = {}
    if PAGE.exists():
        for section in PAGE.read_text().split("\n## ")[1:]:
            sections[section.split("\n", 1)[0]] = section
    sections[title] = f"{title}\n\n{circumstances}\n\n{text}\n"
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(HEAD + "".join(f"\n## {sections[key]}" for key in sorted(sections)))


def circumstances():
    """When, where and what is measured: to be asked before the measuring makes a load of its own."""
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*:\s*(.*)", info.read())
    cpu = model[1] if model else os.uname().machine
    server = _first_line(APACHE, "-v").removeprefix("Server version: ")
    with (ROOT / "Cargo.toml").open("rb") as manifest:
        version = tomllib.load(manifest)["workspace"]["package"]["version"]
    commit = _first_line("git", "-C", ROOT, "describe", "--always", "--dirty")
    return (f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores (load average before: "
            f"{os.getloadavg()[0]:.1f}), {server}, mod_athena {version} ({commit}).")


def _first_line(*command):
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.splitlines()[0]
