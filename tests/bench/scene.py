"""What is compared: farms in httpds that differ in nothing else.

Every httpd has `/plain/`, a direct ProxyPass to the first member, and `/farm/`, all of them.
"""

import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from harness.backend import Backends
from harness.farms import served
from harness.httpd import Httpd

PLAIN, FARM = "/plain/", "/farm/"

# httpd-conf/athena.conf has such a section. Any one section costs every request to anywhere some
# 900 instructions, so stock httpd gets it as well.
_SECTION = '<Location "/athena">\n  Require local\n</Location>\n'

STOCK = "stock byrequests"
OURS = "ours, roundrobin"
OURS_ALONE = "ours, without mod_proxy_balancer"
OURS_LEASTTIME = "ours, leasttime"
_KINDS = {
    STOCK: ({"engine": "stock", "balancer": True}, "byrequests"),
    OURS: ({"engine": "on", "balancer": True}, "roundrobin"),
    OURS_ALONE: ({"engine": "on", "balancer": False}, "roundrobin"),
    OURS_LEASTTIME: ({"engine": "on", "balancer": True}, "leasttime"),
}


class Scene:
    """Back ends and the servers in front of them, in a directory that ends with them."""

    def __init__(self, directory, members):
        self.directory, self.members = directory, members
        self._running = []

    def start(self, kind, mpm, make=Httpd, further="", **how):
        """An httpd of one of the kinds above with `further` lines, made by `make` (as `Httpd` is)."""
        options, method = _KINDS[kind]
        urls = self.members.urls
        farm = served(urls, settings=f"lbmethod={method}")
        if kind == STOCK:
            farm = farm.replace('"http://farm_one/"', '"balancer://farm_one/"') + _SECTION
        conf = f'ProxyPass "{PLAIN}" "{urls[0]}/"\n' + farm
        httpd = make(self._place(), mpm, conf=conf + further, **options, **how)
        self._running.append(httpd)
        return httpd.start()

    def start_peer(self, balancer, method, count):
        """A peer (`peers.nginx`, `peers.haproxy`) in front of the first so many members."""
        peer = balancer(self._place(), self.members.ports[:count], method, "")
        self._running.append(peer)
        return peer

    def _place(self):
        place = self.directory / f"server{len(self._running)}"
        place.mkdir()
        return place

    def stop(self):
        for server in self._running:
            server.stop()
        self.members.stop()


@contextmanager
def scene(count=3, members=Backends):
    """A scene with so many `members` of a kind."""
    directory = Path(tempfile.mkdtemp(prefix="athena-bench-"))
    # Children of httpd run as another user.
    directory.chmod(0o755)
    stage = Scene(directory, members(directory, count))
    try:
        yield stage
    finally:
        stage.stop()
        shutil.rmtree(directory)
