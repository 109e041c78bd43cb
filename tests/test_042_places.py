"""maxconn: one limit for all children, kept by one request neither way, whatever is killed."""

import os
import struct

import pytest
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import served
from harness.load import Load, at_once, held
from harness.waiting import wait_until

LIMIT = 5


def peaks(members):
    return [member["peak"] for _, member in sorted(members.stats().items())]


def many(server, count, target="/farm/x?delay=50"):
    """So many clients at once; the statuses they got."""
    return [answer.status for answer in at_once(count, lambda _: fetch(server.port, target))]


def filled(server, members, count, target="/farm/x"):
    """The same, of which nobody leaves before all have come."""
    return [answer.status for answer in held(members, count, lambda _: fetch(server.port, target))]


@pytest.mark.parametrize("mpm", ["prefork", "event"])
@pytest.mark.parametrize("method", ["roundrobin", "leastconn", "byrequests"])
def test_no_member_gets_one_more(httpd, backends, mpm, method):
    members = backends(2)
    server = httpd(mpm, children=32,
                   conf=served(members.urls, each=f"maxconn={LIMIT}", settings=f"lbmethod={method}"))
    statuses = filled(server, members, 60)
    assert set(statuses) == {200, 503}
    assert statuses.count(200) == 2 * LIMIT
    assert peaks(members) == [LIMIT, LIMIT]
    Engine(server).wait_idle()
    # All places are free again.
    members.reset()
    assert filled(server, members, 2 * LIMIT) == [200] * 2 * LIMIT
    assert peaks(members) == [LIMIT, LIMIT]


def test_places_of_killed_children_come_back(httpd, backends):
    members = backends(2)
    server = httpd("prefork", children=32, conf=served(members.urls, each=f"maxconn={LIMIT}"))
    engine = Engine(server)
    for _ in range(3):
        with Load(server.port, lambda _: ("GET", "/farm/x?delay=20"), clients=30) as load:
            wait_until(lambda: len(load.results) > 100, what="load")
            server.kill_children(half=True)
            seen = len(load.results)
            wait_until(lambda: len(load.results) > seen + 200, what="load after the kill")
        engine.wait_idle()
    wait_until(lambda: members.total("now") == 0, what="the back ends are idle")
    members.reset()
    # As soon as there are children enough again, all places are taken.
    wait_until(lambda: many(server, 20, "/farm/x?delay=300") and peaks(members) >= [LIMIT, LIMIT],
               what="no place was lost")
    assert peaks(members) == [LIMIT, LIMIT]


def test_a_session_goes_elsewhere_unless_it_may_not(httpd, backends):
    members = backends(2)
    routes = "".join(f'  BalancerMember "{url}" route={route} maxconn=1\n'
                     for url, route in zip(members.urls, "ab", strict=True))
    conf = "".join(
        f'<Proxy "balancer://{name}">\n{routes}ProxySet stickysession=sid {settings}\n</Proxy>\n'
        f'ProxyPass "/{name}/" "http://{name}/"\n'
        for name, settings in (("free", ""), ("bound", "nofailover=On")))
    server = httpd("event", conf=conf)
    for name, expected in (("free", (200, 1)), ("bound", (503, None))):
        with Client(server.port) as busy:
            members.behave(0, hold=True)
            busy.send(f"GET /{name}/x?sid=1.a HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            wait_until(lambda: members.total("now") == 1, what="the member is full")
            answer = fetch(server.port, f"/{name}/x?sid=2.a")
            assert (answer.status, answer.member) == expected
            members.release()
            assert busy.answer().member == 0


def test_a_class_has_its_places(httpd, backends):
    members = backends(1)
    server = httpd("event", modules=["setenvif"], conf="""
        AthQos gold priority=1 reserve=40
        SetEnvIf Request_URI "gold" ATH_CLASS=gold
        """ + served(members.urls, each=f"maxconn={LIMIT}"))
    assert sorted(filled(server, members, 2 * LIMIT)) == [200] * 3 + [503] * 7
    assert peaks(members) == [3]
    assert sorted(filled(server, members, 2 * LIMIT, "/farm/gold")) == [200] * 5 + [503] * 5
    assert peaks(members) == [5]


def take_free_slots(server):
    """As if so many children lived already: their owner is this process."""
    with next(server.directory.glob("*.board")).open("r+b") as board:
        board.seek(24)
        count, = struct.unpack("=I", board.read(4))
        board.seek(4096)
        owners = struct.unpack(f"={count}Q", board.read(8 * count))
        board.seek(4096)
        board.write(struct.pack(f"={count}Q", *(owner or 1 << 32 | os.getpid() for owner in owners)))


def test_requests_of_a_child_without_a_slot_count_towards_no_limit(httpd, backends):
    """Nobody could take them back: they would be taken for an error, and places given away twice."""
    members = backends(1)
    server = httpd("prefork", children=1, conf="ServerLimit 8\nMaxRequestWorkers 8\n"
                   + served(members.urls, each="maxconn=3"))
    engine = Engine(server)
    server.expect("ATH0121")
    take_free_slots(server)
    assert filled(server, members, 6) == [200] * 6
    assert server.lines("ATH0121")
    engine.wait_idle()


def test_a_changed_limit_takes_effect_with_a_graceful_restart(httpd, backends):
    members = backends(1)
    server = httpd("event", conf=served(members.urls, each="maxconn=2"))
    assert sorted(filled(server, members, 4)) == [200, 200, 503, 503]
    server.conf = served(members.urls, settings="maxconn=3")
    server.graceful()
    assert sorted(filled(server, members, 4)) == [200, 200, 200, 503]
