"""The state of one engine, taken over by another."""

import pytest
from harness.engine import Engine
from harness.farms import farm
from test_100_query import ask
from test_101_update import post

DEAD, OTHER = "http://127.0.0.1:9", "http://127.0.0.1:10"
PHYS, FARM = "/athena/mirror/phys/", "/athena/mirror/farm/"
CHANGED = r"ATH0252"


ALLOW = "AthMemberAllow www.example\n"


def big(farms=100, members=10):
    """100 farms, 1,000 members."""
    return "".join(farm([f"http://127.0.0.1:{9000 + n}" for n in range(members)], name=f"farm{k}")
                   for k in range(farms))


def state(server):
    return ask(server, FARM) + ask(server, PHYS)


def test_a_large_state_moves_to_another_engine(make_httpd):
    first, second = (make_httpd("event", conf=ALLOW + big()).start() for _ in range(2))
    names = [f"farm{k}/127.0.0.1:{9000 + n}" for k in range(100) for n in range(10)]
    changes = "".join(
        f"h={name},w={1 + k % 7}.5,l={k % 3},C={k % 9 + 1},g={['-', 'D', 'HN', 'SI', 'R'][k % 5]},"
        f"u={['up', 'down'][k % 4 == 0]},load={k / 8},a_{k % 3}={k}e{k % 300}\n"
        for k, name in enumerate(names))
    post(first, "/athena/update/phys/", changes)
    post(first, "/athena/update/farm/", "".join(
        f"n=farm{k},s=off,m=leastconn,W=farm{k + 1},F=\"http://www.example/?a={k}&b\"\n"
        for k in range(0, 99, 3)))
    before = state(first)
    assert len(before) == 1 + 100 + 1 + 1000
    assert state(second) != before
    post(second, FARM, "\n".join(ask(first, FARM)))
    post(second, PHYS, "\n".join(ask(first, PHYS)))
    assert state(second) == before == state(first)


def test_the_lines(httpd):
    server = httpd("event", conf=farm([DEAD, OTHER], weights=[2.5, 1]) + farm([DEAD], name="two"))
    ask(server, "/athena/update/phys/?h=farm_one/127.0.0.1:9,load=0.7,queue=12")
    assert ask(server, PHYS) == [
        "v=1",
        "h=farm_one@main/127.0.0.1:9,g=-,u=up,w=2.50,l=0,C=none,r=none,R=none,B=none,D=none,W=none,load=0.7,queue=12",
        "h=farm_one@main/127.0.0.1:10,g=-,u=up,w=1.00,l=0,C=none,r=none,R=none,B=none,D=none,W=none",
        "h=two@main/127.0.0.1:9,g=-,u=up,w=1.00,l=0,C=none,r=none,R=none,B=none,D=none,W=none"]
    assert ask(server, f"{FARM}?n=two") == ["v=1", "n=two@main,s=on,m=byrequests,W=none,F=none"]
    assert len(ask(server, f"{PHYS}?h=127.0.0.1:9")) == 3


def test_what_is_equal_already_changes_nothing(httpd):
    server = httpd("event", conf=farm([DEAD, OTHER]))
    assert post(server, PHYS, "\n".join(ask(server, PHYS))) \
        == [f"farm_one@main/127.0.0.1:{port}: as it was" for port in (9, 10)]
    assert not server.lines(CHANGED)


@pytest.mark.parametrize("body, status", [
    ("h=127.0.0.1:9,w=2", 400), ("v=2\nh=127.0.0.1:9,w=2", 400), ("v=1\nh=nosuch,w=2", 404),
    ("v=1\nh=127.0.0.1:9,w=2\nh=127.0.0.1:10,w=200", 400), ("v=1\nn=farm_one,s=off", 400),
])
def test_all_or_nothing(httpd, body, status):
    server = httpd("event", conf=farm([DEAD, OTHER]))
    before = Engine(server).farms()
    post(server, PHYS, body, status)
    assert Engine(server).farms() == before


def test_a_state_is_not_changed_by_get(httpd):
    server = httpd("event", conf=farm([DEAD]))
    ask(server, f"{PHYS}?v=1&h=127.0.0.1:9,w=2", 403)
    assert Engine(server).column("weight") == [1.0]


def test_targets_are_those_that_are_allowed(httpd):
    server = httpd("event", conf=farm([DEAD]))
    before = Engine(server).farms()
    post(server, FARM, "v=1\nn=farm_one,F=http://evil.example/", 403)
    post(server, PHYS, "v=1\nh=127.0.0.1:9,w=2,W=http://evil.example/", 403)
    assert Engine(server).farms() == before
