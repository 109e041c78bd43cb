"""What was found: docs/bench/data/NAME.json, from which the page is drawn."""

import datetime
import json
import os
import re
import subprocess
import tomllib

from harness.paths import APACHE, ROOT

from .peers import HAPROXY, NGINX

PLACE = ROOT / "docs" / "bench"


def save(name, circumstances, found):
    """What a bench found, and where."""
    path = _path(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"circumstances": circumstances, "found": found}
    path.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n")


def load(name):
    """(circumstances, found), or nothing if it has not run."""
    path = _path(name)
    if not path.exists():
        return None
    record = json.loads(path.read_text())
    return record["circumstances"], record["found"]


def _path(name):
    return PLACE / "data" / f"{name}.json"


def circumstances():
    """When, where and what is measured: to be asked before the measuring makes a load of its own."""
    with open("/proc/cpuinfo") as info:
        model = re.search(r"model name\s*:\s*(.*)", info.read())
    cpu = model[1] if model else os.uname().machine
    server = _first_line(APACHE, "-v").removeprefix("Server version: ")
    nginx = _first_line(NGINX, "-v").removeprefix("nginx version: ")
    haproxy = " ".join(_first_line(HAPROXY, "-v").split()[::2][:2])
    with (ROOT / "Cargo.toml").open("rb") as manifest:
        version = tomllib.load(manifest)["workspace"]["package"]["version"]
    # What earlier benches wrote here is no change of the code.
    commit = _first_line("git", "-C", ROOT, "describe", "--always", "--exclude=*")
    code = subprocess.run(["git", "-C", ROOT, "diff", "--quiet", "HEAD", "--", ".",
                           ":!docs/bench"], check=False)
    commit += "-dirty" if code.returncode else ""
    return (f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores (load average before: "
            f"{os.getloadavg()[0]:.1f}), {server}, {nginx}, {haproxy}, "
            f"mod_athena {version} ({commit}).")


def _first_line(*command):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True)
    return done.stdout.splitlines()[0]
