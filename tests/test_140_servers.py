"""Protocols for real: application servers of Debian as members, and the sessions on them."""

import itertools
from collections import namedtuple

import pytest
from harness import servers
from harness.engine import Engine
from harness.httpd import CONNECT_FAILED
from harness.load import at_once
from harness.visitor import Visitor
from harness.waiting import wait_until

# What the protocols' modules say of a member that is gone.
GONE = r"AH0(0866|0896|1079)|AH10101|AH02454"

# A protocol: who speaks it, its page, the farm's settings, and visitors enough to tell.
Spoken = namedtuple("Spoken", "instances page settings visitors module")
ISSUED = "stickysession=ROUTEID stickyissue=On"
TOMCAT = ("count.jsp", "stickysession=JSESSIONID|jsessionid", 200)
PYTHON = ("count", "stickysession=SID", 40)
SPOKEN = {
    "http": Spoken("tomcat", *TOMCAT, "proxy_http"),
    "ajp": Spoken("tomcat", *TOMCAT, "proxy_ajp"),
    "fcgi": Spoken("php_fpm", "count.php", ISSUED, 40, "proxy_fcgi"),
    "uwsgi": Spoken("uwsgi", *PYTHON, "proxy_uwsgi"),
    "scgi": Spoken("uwsgi", *PYTHON, "proxy_scgi"),
    "h2c": Spoken("nghttpd", "count", ISSUED, 40, "proxy_http2"),
}


@pytest.fixture(scope="module")
def instances(module_directory):
    """Two instances of a server, with the routes a and b: started once for all its protocols."""
    started = {}

    def start(kind):
        if kind not in started:
            started[kind] = []
            for route in "ab":
                place = module_directory / f"{kind}-{route}"
                place.mkdir()
                # One by TCP, one by a Unix socket where the server has them.
                options = {"unix": route == "b"} if kind == "php_fpm" else {}
                started[kind].append(getattr(servers, kind)(place, route, **options))
        return started[kind]

    yield start
    for server in itertools.chain.from_iterable(started.values()):
        server.stop()


def seen(answer):
    """Status, who answered, the session's count, and whether the route was said to be changed."""
    route, _, count = answer.body.decode().strip().partition(" ")
    return answer.status, route, count and int(count), answer.header("X-Changed") == "1"


@pytest.mark.parametrize("protocol", [
    pytest.param(name, marks=pytest.mark.xdist_group(spoken.instances))
    for name, spoken in SPOKEN.items()])
def test_sessions_outlive_the_loss_of_an_instance(httpd, instances, protocol):
    kind, page, settings, count, module = SPOKEN[protocol]
    a, b = instances(kind)
    members = "".join(f'  BalancerMember "{getattr(server, protocol)}" route={server.route} retry=1\n'
                      for server in (a, b))
    server = httpd("event", modules=["headers", module], conf=f"""
        <Proxy "balancer://farm_one">
        {members}  ProxySet lbmethod=roundrobin {settings}
        </Proxy>
        ProxyPass "/app/" "http://farm_one/"
        Header always set X-Changed "%{{BALANCER_ROUTE_CHANGED}}e"
    """)
    server.expect(f"{CONNECT_FAILED}|{GONE}")
    visitors = [Visitor(server.port, f"/app/{page}") for _ in range(count)]
    counted = kind != "nghttpd"

    def visits(some=range(count)):
        """Some visit once, eight at a time."""
        answers = [None] * count

        def work(first):
            for n in some[first::8]:
                answers[n] = seen(visitors[n].visit())

        assert at_once(8, work) == [None] * 8
        return answers[some.start:some.stop]

    def told(route, times, changed=False):
        return 200, route, times if counted else "", changed

    first = visits()
    home = [route for _, route, *_ in first]
    assert sorted(home) == ["a"] * (count // 2) + ["b"] * (count // 2)
    assert [times for *_, times, _ in first] == [1 if counted else ""] * count
    assert visits() == [told(route, 2) for route in home]

    # Lost when half of them have been there a third time.
    third = visits(range(count // 2))
    b.kill()
    third += visits(range(count // 2, count))
    moved = [n for n in range(count) if third[n] == told("a", 1, True)]
    assert moved and all(home[n] == "b" for n in moved)
    assert all(third[n] == told(home[n], 3) for n in range(count) if n not in moved)
    fourth = visits()
    for n in range(count):
        if home[n] == "a":
            assert fourth[n] == told("a", 4)
        elif n in moved:
            assert fourth[n] == told("a", 2)
        else:
            assert fourth[n] == told("a", 1, True)

    # It comes back: those who know only the other one stay there, new ones find it.
    b.start()
    wait_until(lambda: seen(Visitor(server.port, f"/app/{page}").visit())[1] == "b", 10,
               "the instance serving again")
    assert {route for _, route, *_ in visits()} == {"a"}
    Engine(server).wait_idle()
    for visitor in visitors:
        visitor.close()
