"""Updates below the engine's path: statistics by anybody who may, changes by POST."""

import json

import pytest
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm, served
from test_100_query import ask

DEAD, OTHER = "http://127.0.0.1:9", "http://127.0.0.1:10"
PHYS, FARM = "/athena/update/phys/", "/athena/update/farm/"
CHANGED = r"ATH0252"


def post(server, target, body, status=200, **headers):
    return ask(server, target, status, method="POST", body=body.encode(), headers=headers)


def stats(server, farm_name="farm_one"):
    return Engine(server).column("stats", farm_name)


def test_statistics_by_get(httpd, mpm):
    server = httpd(mpm, conf=farm([DEAD, OTHER], name="one") + farm([DEAD], name="two"))
    assert ask(server, f"{PHYS}?h=127.0.0.1:9,load=0.7,queue=12&h=one/127.0.0.1:10,load=-1e3") \
        == ["one@main/127.0.0.1:9: reported", "two@main/127.0.0.1:9: reported",
            "one@main/127.0.0.1:10: reported"]
    assert stats(server, "one") == [{"load": 0.7, "queue": 12.0}, {"load": -1000.0}]
    assert stats(server, "two") == [{"load": 0.7, "queue": 12.0}]
    ask(server, f"{PHYS}?h=127.0.0.1:9,n=two,load=2")
    assert stats(server, "two") == [{"load": 2.0, "queue": 12.0}]
    assert ask(server, '/athena/status/phys/?n=two,f="%{load}s,%{queue}s,%{nosuch}s"') == ["2,12,-"]


def test_the_method_follows_what_is_pushed(httpd, backends, mpm):
    members = backends(2)
    server = httpd(mpm, conf=served(
        members.urls, settings='lbmethod=stats score="0.7*load + queue/100"'))
    names = [url.removeprefix("http://") for url in members.urls]
    with Client(server.port) as client:
        for better in (0, 1, 0):
            ask(server, f"{PHYS}?h={names[better]},load=0.1,queue=1"
                f"&h={names[1 - better]},load=0.9,queue=1")
            assert {client.get("/farm/x").member for _ in range(10)} == {better}
            assert ask(server, "/athena/balance/?farm_one") == [names[better]]


@pytest.mark.parametrize("query, status", [
    ("h=127.0.0.1:9,load=1&h=nosuch,load=1", 404),
    ("h=127.0.0.1:9,load=1&h=127.0.0.1:10,load=nan", 400),
    ("h=127.0.0.1:9,load=1&h=127.0.0.1:10,load=inf", 400),
    ("h=127.0.0.1:9,load=1&h=127.0.0.1:10," + "x" * 33 + "=1", 400),
    ("h=127.0.0.1:9,load=1&h=127.0.0.1:10," + ",".join(f"s{n}=1" for n in range(17)), 409),
    ("h=127.0.0.1:9,load=1&h=127.0.0.1:10,s=off", 403),
    ("h=127.0.0.1:9,load=1&h=127.0.0.1:10", 400),
    ("load=1", 400),
    ("h=127.0.0.1:9,s=off,g=N", 400),
    ("h=nosuch/127.0.0.1:9,load=1", 404),
])
def test_all_or_nothing(httpd, query, status):
    server = httpd("event", conf=farm([DEAD, OTHER]))
    before = Engine(server).farms()
    assert len(ask(server, f"{PHYS}?{query}", status)) == 1
    assert Engine(server).farms() == before


def test_names_of_several_lines_fit_together(httpd):
    server = httpd("event", conf=farm([DEAD, OTHER]))
    ask(server, f"{PHYS}?h=127.0.0.1:9," + ",".join(f"s{n}=1" for n in range(15)))
    before = Engine(server).farms()
    for second in ("h=127.0.0.1:9,t2=1", "h=127.0.0.1:9,u=down,t2=1"):
        said = post(server, PHYS, f"h=127.0.0.1:10,s=drain\nh=127.0.0.1:9,t1=1\n{second}\n", 409)
        assert len(said) == 1 and said[0].startswith("t2: the member has 16 other"), said
        assert Engine(server).farms() == before
    # The same name twice needs one place.
    assert len(post(server, PHYS, "h=127.0.0.1:9,t1=1\nh=127.0.0.1:9,t1=2\n")) == 2
    assert stats(server)[0]["t1"] == 2


def test_changes_by_post(httpd):
    server = httpd("event", conf=farm([DEAD, OTHER]))
    engine = Engine(server)
    assert post(server, PHYS, "h=127.0.0.1:9,w=2.5,l=1\nh=127.0.0.1:10,s=drain,load=3\n") \
        == ["farm_one@main/127.0.0.1:9: weight=2.50 (was 1.00), lbset=1 (was 0)",
            "farm_one@main/127.0.0.1:10: drain=on (was off)"]
    first, second = engine.members()
    assert (first["weight"], first["lbset"], second["drain"], second["stats"]) \
        == (2.5, 1, True, {"load": 3.0})
    assert len(server.lines(CHANGED)) == 2
    assert all("through update" in line for line in server.lines(CHANGED))
    assert post(server, f"{PHYS}?h=127.0.0.1:10,s=drain", "") \
        == ["farm_one@main/127.0.0.1:10: as it was"]
    for body, on, up in (("s=off", False, True), ("s=on", True, True), ("u=down", True, False),
                         ("u=up", True, True), ("g=HD", False, True), ("g=-", True, True)):
        post(server, PHYS, f"h=127.0.0.1:10,{body}")
        member = engine.members()[1]
        assert (member["on"], member["up"], member["standby"]) == (on, up, body == "g=HD"), body
    assert not member["drain"]


def test_a_farm_is_switched(httpd, backends):
    members = backends(1)
    server = httpd("event", conf=served(members.urls))
    server.expect(r"ATH0112|ATH0281")
    assert post(server, FARM, "n=farm_one,s=off") == ["farm_one@main: on=off (was on)"]
    assert ask(server, '/athena/status/farm/?n=farm_one,f="%s"') == ["off"]
    assert fetch(server.port, "/farm/x").status == 503
    assert ask(server, "/athena/balance/?farm_one", 503) == ["-"]
    post(server, FARM, "n=farm_one,s=on")
    assert fetch(server.port, "/farm/x").status == 200


@pytest.mark.parametrize("headers", [
    {"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "http://localhost:1"},
    {"Referer": "http://evil.example/"}, {"Origin": "null"},
])
def test_pages_elsewhere_change_nothing(httpd, headers):
    server = httpd("event", conf=farm([DEAD]))
    before = Engine(server).farms()
    post(server, PHYS, "h=127.0.0.1:9,s=off", 403, **headers)
    ask(server, f"{PHYS}?h=127.0.0.1:9,load=1", 403, headers=headers)
    assert Engine(server).farms() == before
    assert post(server, PHYS, "h=127.0.0.1:9,load=1", Origin="http://localhost") \
        == ["farm_one@main/127.0.0.1:9: reported"]


def test_rules_for_updates_alone(httpd):
    server = httpd("event", conf=farm([DEAD]) + """
        AthAllowDiverseMulti On
        <Location "/athena/update">
          Require all denied
        </Location>
        """)
    server.expect(r"AH01630")
    assert fetch(server.port, f"{PHYS}?h=127.0.0.1:9,load=1").status == 403
    ask(server, "/athena/balance/?farm_one&update/phys/?h=127.0.0.1:9,load=1", 403)
    ask(server, "/athena/balance/?farm_one")
    assert stats(server) == [{}]


def test_what_is_pushed_outlives_restarts(httpd):
    server = httpd("event", conf=farm([DEAD]))
    ask(server, f"{PHYS}?h=127.0.0.1:9,load=0.25")
    post(server, PHYS, "h=127.0.0.1:9,s=drain")
    server.graceful(alone=True)
    server.restart()
    (member,) = Engine(server).members()
    assert (member["stats"], member["drain"]) == ({"load": 0.25}, True)


def test_bodies_have_a_limit(httpd):
    server = httpd("event", conf=farm([DEAD]))
    line = "h=127.0.0.1:9,load=1\n"
    assert len(post(server, PHYS, line * 2000)) == 2000
    post(server, PHYS, line * 20_001, 400)
    post(server, PHYS, "x" * (4 << 20), 400)
    post(server, PHYS, "x" * ((4 << 20) + 1), 413)
    assert json.dumps(stats(server)) == '[{"load": 1.0}]'
