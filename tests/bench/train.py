"""`python3 -m bench.train DIRECTORY`: a load for a module that counts what runs (`ci/train`); the
counts go to DIRECTORY when its httpd ends."""

import os
import sys

from harness.client import Client
from harness.farms import served
from harness.load import ab

from .alone import Alone
from .scene import OURS, PLAIN, scene

# What most requests of most sites run through: each of these as often as the others, and a direct
# ProxyPass. What is not here counts as rare.
FARMS = {
    "roundrobin": "lbmethod=roundrobin",
    "leasttime": "lbmethod=leasttime",
    "leastconn": "lbmethod=leastconn",
    "random": "lbmethod=random",
    "hash": "lbmethod=hash hashkey=path",
    "byrequests": "lbmethod=byrequests",
    "ejecting": "lbmethod=leasttime ejectafter=5 retryon=503",
    "sticky": "lbmethod=roundrobin stickysession=ROUTE",
}
# Members of the small farms; of one whose members are all compared; of one that they are drawn from, with
# turns in parts.
FEW, SOME, MANY = 3, 40, 300
REQUESTS = 4000


def _visit(httpd, path, cookie):
    with Client(httpd.port) as client:
        for _ in range(REQUESTS // 4):
            answer = client.get(path, cookie=cookie)
            assert answer.status == 200, answer


def main(directory):
    # Written to twice: by root, who reads the configuration, and by who serves.
    os.umask(0)
    os.environ["LLVM_PROFILE_FILE"] = f"{directory}/%m.profraw"
    with scene(MANY) as stage:
        urls = stage.members.urls
        farms = {f"/{name}/": served(urls[:FEW], name=name, path=f"/{name}/", settings=settings,
                                     each="route=one" if name == "sticky" else "")
                 for name, settings in FARMS.items()}
        farms |= {f"/{name}/{count}/": served(urls[:count], name=f"{name}_{count}",
                                              path=f"/{name}/{count}/", settings=FARMS[name])
                  for name in ("roundrobin", "leasttime") for count in (SOME, MANY)}
        # The first line that fits a path holds.
        paths = sorted(farms, reverse=True)
        # Event leaves without writing its counts; what we do is the same with both.
        httpd = stage.start(OURS, "prefork", Alone, further="".join(map(farms.get, paths)))
        for path in [PLAIN, *paths]:
            done = ab(httpd.port, path, REQUESTS, 1, keepalive=True)
            assert (done.complete, done.failed) == (REQUESTS, 0), f"{path}: {done}"
        _visit(httpd, "/sticky/", "ROUTE=session.one")
        httpd.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
