"""Many farms, and many members: they start, serve and are restarted.

mod_proxy reads a farm's lines in a time that grows with their square, so a farm has 3,000 here.
"""

from pathlib import Path

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.load import ab

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


ONE_CHILD = ("StartServers 1\nServerLimit 1\nThreadsPerChild 8\nMaxRequestWorkers 8\n"
             "MinSpareThreads 1\nMaxSpareThreads 8\n")


def private(server):
    """KiB that belong to the children alone."""
    lines = [line for pid in server.child_pids()
             for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_Dirty:"))


def test_members_share_the_memory_that_an_answer_takes(httpd, backends):
    """In stock httpd each member keeps its own."""
    few, many = 50, 400
    member_urls = urls(backends(1).urls[0], many)

    def grown(engine, method):
        conf = ONE_CHILD + served(member_urls, settings=f"lbmethod={method}")
        if engine == "stock":
            conf = conf.replace('"http://farm_one/"', '"balancer://farm_one/"')
        server = httpd("event", engine=engine, conf=conf)
        ab(server.port, "/farm/x", few, 1)
        before = private(server)
        ab(server.port, "/farm/x", many, 1)
        return (private(server) - before) / (many - few)

    ours, stock = grown("on", "roundrobin"), grown("stock", "byrequests")
    assert stock > 25, "a member's memory in stock httpd, in KiB"
    assert ours < 0.8 * stock, (ours, stock)
