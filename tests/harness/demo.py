"""The demo: httpd with exactly the files of httpd-conf/, real back ends, all on loopback.

`python3 -m harness.demo run DIR` leaves them running, `… stop DIR` ends exactly those processes.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from .backend import Process
from .client import fetch
from .httpd import Httpd
from .paths import CONF
from .waiting import wait_until

REQUESTS = 12


def run(directory):
    if pid := _running(directory, "httpd"):
        sys.exit(f"The demo runs already (httpd {pid}); 'make stop' ends it.")
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(mode=0o755, parents=True)
    backends = _start_backends(directory)
    ports = [member["port"] for member in backends.members]
    httpd = Httpd(
        directory, "event", balancer=False, modules=["status"],
        defines={f"ATH_BACKEND_{n}": f"127.0.0.1:{port}" for n, port in enumerate(ports, 1)},
        conf=f'Include "{CONF}/athena-demo.conf"\nCustomLog access.log athena',
    )
    try:
        httpd.start()
        _show(httpd.port, ports)
    except BaseException:
        stop(directory)
        raise


def _start_backends(directory):
    """Back ends end with their standard input: one that never closes keeps them."""
    never = directory / "backend.stdin"
    os.mkfifo(never)
    # Nor do they hold this program's output: who reads it is told when it ends.
    with never.open("r+b", buffering=0) as stdin, (directory / "backend.log").open("wb") as log:
        backends = Process("--members", 3, "--first", 1, stdin=stdin, stderr=log)
    (directory / "backend.pid").write_text(f"{backends.popen.pid}\n")
    return backends


def _show(port, ports):
    base = f"http://127.0.0.1:{port}"
    print(f"\n{REQUESTS} requests to {base}/reports/, weights 1:2:3:\n")
    for n in range(REQUESTS):
        answer = fetch(port, f"/reports/{n}")
        print(f"  GET /reports/{n:<3} {answer.status}  member {answer.member}"
              f" at 127.0.0.1:{ports[answer.member - 1]}")
    print(f"""
Open
  {base}/reports/           the farm, weighted round robin
  {base}/quick/?delay=50    the same members by response time
  {base}/athena/            the manager's page
  {base}/athena/api/v1/farms
  {base}/server-status

'make stop' ends it.""")


def stop(directory):
    for name in ("httpd", "backend"):
        if pid := _running(directory, name):
            os.kill(pid, signal.SIGTERM)
            wait_until(lambda: not _running(directory, name), 30, f"end of {name} {pid}")
            print(f"stopped {name} {pid}")


def _running(directory, name):
    """The process of a pid file, if it is still the one that was started here."""
    try:
        pid = int((directory / f"{name}.pid").read_text())
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError, ValueError):
        return None
    ours = {"httpd": f"{directory}/httpd.conf", "backend": "--first"}[name].encode()
    return pid if ours in command else None


if __name__ == "__main__":
    {"run": run, "stop": stop}[sys.argv[1]](Path(sys.argv[2]).resolve())
