"""The methods' promises, by the back ends' own counts."""

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.load import ab, held
from harness.waiting import wait_until


@pytest.mark.parametrize("keepalive", [False, True], ids=["close", "kept"])
def test_roundrobin_is_exact(httpd, backends, mpm, balancer, keepalive):
    members = backends(3)
    server = httpd(mpm, balancer=balancer, children=32,
                   conf=served(members.urls, settings="lbmethod=roundrobin", weights=[1, 2, 3]))
    done = ab(server.port, "/farm/x", 6000, 32, keepalive=keepalive)
    assert (done.complete, done.failed) == (6000, 0)
    counts = members.requests()
    if keepalive:
        # httpd may close a kept connection under a request, which ab takes for complete: exact is
        # what came through.
        cycles, rest = divmod(sum(counts), 6)
        assert all(cycles * weight <= count <= cycles * weight + min(weight, rest)
                   for count, weight in zip(counts, [1, 2, 3], strict=True)), counts
    else:
        assert counts == [1000, 2000, 3000]
    engine = Engine(server)
    engine.wait_idle()
    assert engine.column("served") == counts


def test_a_rotation_in_parts_is_exact(httpd, backends, mpm):
    """Many members: each child has a part of the turns to itself, and helps the others with theirs."""
    members, rounds = backends(1), 12
    urls = [f"{members.urls[0]}/{nth:03}" for nth in range(300)]
    server = httpd(mpm, children=8, conf=served(urls, settings="lbmethod=roundrobin"))
    for concurrency in (1, 3, 8):
        requests = len(urls) * rounds // 3
        done = ab(server.port, "/farm/x", requests, concurrency)
        assert (done.complete, done.failed) == (requests, 0)
    engine = Engine(server)
    engine.wait_idle()
    assert engine.column("served") == [rounds] * len(urls)
    assert members.requests() == [rounds * len(urls)]


def test_roundrobin_with_fractions_is_exact(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(members.urls, settings="lbmethod=roundrobin",
                                        weights=[1.5, 1]))
    assert ab(server.port, "/farm/x", 1000, 8).failed == 0
    assert members.requests() == [600, 400]


def test_byrequests_keeps_stock_shares(httpd, backends, mpm):
    members = backends(3)
    server = httpd(mpm, balancer=False, children=32,
                   conf=served(members.urls, settings="lbmethod=byrequests", weights=[1, 2, 3]))
    assert ab(server.port, "/farm/x", 3000, 32).failed == 0
    spread = [abs(got - fair) for got, fair in zip(members.requests(), [500, 1000, 1500])]
    assert max(spread) <= 32, members.requests()


@pytest.mark.parametrize("method", ["leastconn", "bybusyness"])
def test_requests_in_flight_are_spread(httpd, backends, mpm, method):
    """All at once: each member carries its share, over all children."""
    members = backends(3)
    server = httpd(mpm, balancer=False, children=32,
                   conf=served(members.urls, settings=f"lbmethod={method}"))
    answers = held(members, 30, lambda _: fetch(server.port, "/farm/x"))
    assert [answer.status for answer in answers] == [200] * 30
    # Two children may decide on the same picture.
    assert max(member["peak"] for member in members.stats().values()) <= 12, members.stats()


@pytest.mark.parametrize("method", ["leastconn", "leasttime", "bybusyness"])
def test_a_slow_member_gets_less(httpd, backends, balancer, method):
    members = backends(3)
    members.behave(0, delay_ms=250)
    server = httpd("event", balancer=balancer,
                   conf=served(members.urls, settings=f"lbmethod={method}"))

    def shared():
        assert ab(server.port, "/farm/x", 800, 16).failed == 0
        slow, *fast = members.requests()
        return 0 < slow < min(fast) / 2
    # At the start, a fast one may be slow: its connections are made, and its threads.
    wait_until(shared, what="a slow member that gets less")


def test_leasttime_is_no_sinkhole(httpd, backends):
    """A member that fails at once is the fastest, and must not get the load for it."""
    members = backends(3)
    members.behave(0, status=500)
    for n in (1, 2):
        members.behave(n, delay_ms=5)
    server = httpd("event", conf=served(members.urls, settings="lbmethod=leasttime"))
    ab(server.port, "/farm/x", 1500, 16)
    failing, *fine = members.requests()
    assert failing < min(fine), members.requests()


def test_weights_count_in_leastconn(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(members.urls, settings="lbmethod=leastconn",
                                        weights=[1, 3]))
    held(members, 32, lambda _: fetch(server.port, "/farm/x"))
    light, heavy = (member["peak"] for _, member in sorted(members.stats().items()))
    assert light <= 11 and heavy >= 21, members.stats()
