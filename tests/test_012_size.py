"""Many farms, and many members: they start, serve and are restarted.

mod_proxy reads a farm's lines in a time that grows with their square, so a farm has 3,000 here.
"""

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served

FARMS, MEMBERS = 1000, 10


def urls(backend, count, first=0):
    return [f"{backend}/{number:06}" for number in range(first, first + count)]


def test_a_thousand_farms(httpd, backends):
    backend = backends(1).urls[0]
    server = httpd("event", balancer=False, conf="".join(
        served(urls(backend, MEMBERS, first=n * MEMBERS), path=f"/{n}/", name=f"farm_{n}")
        for n in range(FARMS)))
    for _ in range(2):
        for farm in (0, FARMS // 2, FARMS - 1):
            assert fetch(server.port, f"/{farm}/x").status == 200
        server.graceful(alone=True)
    assert sum(Engine(server).column("elected", f"farm_{FARMS - 1}")) == 2


@pytest.mark.parametrize("method", ["leasttime", "hash"])
def test_a_farm_of_thousands(httpd, backends, method):
    members = backends(1)
    server = httpd("event", balancer=False, conf=served(
        urls(members.urls[0], 3000), settings=f"lbmethod={method} hashkey=uri"))
    assert [fetch(server.port, f"/farm/{n}").status for n in range(50)] == [200] * 50
    assert members.requests() == [50]
    assert len([count for count in Engine(server).column("elected") if count]) > 40
