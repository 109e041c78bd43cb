"""The engine's own numbers, as its API tells them."""

import json

from .api import API
from .client import fetch
from .waiting import wait_until

FARMS = f"{API}/farms"


class Engine:
    """Reads an httpd's farms document."""

    def __init__(self, httpd):
        self.httpd = httpd

    def farms(self):
        answer = fetch(self.httpd.port, FARMS)
        assert answer.status == 200, answer
        return json.loads(answer.body)["farms"]

    def farm(self, name="farm_one"):
        return next(farm for farm in self.farms() if farm["name"] == name)

    def members(self, farm="farm_one"):
        """A farm's members in configuration order."""
        return self.farm(farm)["members"]

    def column(self, key, farm="farm_one"):
        """One field of all members in configuration order."""
        return [member[key] for member in self.members(farm)]

    def in_flight(self, farm="farm_one"):
        return sum(self.column("inflight", farm))

    def wait_idle(self, seconds=10.0, farm="farm_one"):
        wait_until(lambda: self.in_flight(farm) == 0, seconds, f"in flight 0 in {farm}")

    def wait_usable(self, count, seconds=10.0, farm="farm_one"):
        wait_until(lambda: self.farm(farm)["usable"] == count, seconds, f"{count} usable in {farm}")
