"""Changes over the API: in all children, over restarts, all or nothing, for whom it is meant."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import pytest
from harness.api import Api
from harness.board import board_locked
from harness.changed import ALLOWED, FARM, member, start
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.httpd import CONNECT_FAILED, TURNED_AWAY
from harness.load import Load
from harness.manager import edit
from harness.waiting import free_port, wait_until


def shares(server, count=60):
    """How many of so many requests each member got, whichever children serve them."""
    went = [fetch(server.port, "/farm/x").member for _ in range(count)]
    return [went.count(n) for n in range(3)]


def test_a_change_holds_for_the_next_request_of_each_child(httpd, backends, balancer):
    """Requests that begin once the change has been answered know of it, by the back ends' own log."""
    members = backends(3)
    # A kept connection is one child's: 32 children serve the clients, and one the API.
    server = httpd("prefork", balancer=balancer, children=33,
                   conf=served(members.urls, settings="lbmethod=roundrobin"))
    server.expect(TURNED_AWAY)
    api = Api(server)
    with Load(server.port, lambda n: ("GET", "/farm/x"), clients=32, rate=500) as load:
        load.later(1)
        for out, key in enumerate(["on", "up", "drain"]):
            api.patch(member(members, out), **{key: key == "drain"})
            begun_later = load.later(2)
            deliveries = members.deliveries()
            assert begun_later and not any(
                out in deliveries[load.identity(one.number)] for one in begun_later)
            api.patch(member(members, out), **{key: key != "drain"})
            assert {one.member for one in load.later(2)} == {0, 1, 2}
    assert load.failed() == []


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_each_change_of_a_member_holds_everywhere(httpd, backends, balancer, mpm):
    members = backends(3)
    server = start(httpd, members, mpm, balancer, settings="lbmethod=roundrobin stickysession=sid")
    server.expect(r"ATH0112")
    api, engine = Api(server), Engine(server)
    assert api.patch(member(members, 0), on=False)["on"] is False
    assert shares(server) == [0, 30, 30]
    api.patch(member(members, 0), on=True, weight=2)
    assert shares(server) == [30, 15, 15]
    api.patch(member(members, 1), drain=True, route="b")
    assert shares(server) == [40, 0, 20]
    assert {fetch(server.port, "/farm/x;sid=1.b").member for _ in range(8)} == {1}
    api.patch(member(members, 2), up=False)
    assert engine.column("up") == [True, True, False]
    assert shares(server) == [60, 0, 0]
    api.patch(member(members, 1), drain=False, lbset=1, maxconn=7, slowstart=9, redirect="c",
              draintimeout=99)
    assert shares(server) == [60, 0, 0]
    keys = ("weight", "on", "drain", "lbset", "up", "route", "maxconn", "slowstart", "redirect",
            "draintimeout")
    before = [[one[key] for key in keys] for one in engine.members()]
    assert before[0][:2] == [2.0, True]
    assert before[1] == [1.0, True, False, 1, True, "b", 7, 9, "c", 99]
    for restart in (lambda: server.graceful(alone=True), server.restart):
        restart()
        assert [[one[key] for key in keys] for one in engine.members()] == before
        assert shares(server) == [60, 0, 0]
    api.patch(member(members, 2), up=True)
    assert shares(server) == [40, 0, 20]


def test_sessions_are_redirected(httpd, backends, balancer):
    members = backends(3)
    conf = served(members.urls, settings="lbmethod=roundrobin stickysession=sid")
    for n, url in enumerate(members.urls):
        conf = conf.replace(f'"{url}"', f'"{url}" route=r{n}')
    server = httpd("prefork", balancer=balancer, children=8, conf=conf)
    server.expect(r"ATH0112")
    api = Api(server)
    ask = lambda: {fetch(server.port, "/farm/x;sid=1.r0").member for _ in range(9)}
    api.patch(member(members, 0), on=False, redirect="r2")
    for restart in (lambda: None, lambda: server.graceful(alone=True), server.restart):
        restart()
        assert ask() == {2}
    api.patch(member(members, 0), redirect=None)
    assert ask() == {1, 2}


def test_a_route_of_mod_proxys_own_page_is_kept(httpd, backends):
    members = backends(1)
    server = httpd("event", balancer=True, conf=served(members.urls, settings="nonce=tested", each="route=a")
                   + '<Location "/balancer-manager">\nSetHandler balancer-manager\n</Location>\n')
    server.expect(r"ATH0112")
    api, one = Api(server), member(members, 0)
    edit(server.port, w=members.urls[0], w_wr="b", w_rr="c")
    for restart in (lambda: None, lambda: server.graceful(alone=True)):
        document = api.patch(one, lbset=api.get(one)["lbset"] + 1)
        assert (document["route"], document["redirect"]) == ("b", "c")
        restart()
    assert [api.get(one)[key] for key in ("route", "redirect", "lbset")] == ["b", "c", 2]
    document = api.patch(one, route="a", redirect=None)
    assert (document["route"], document["redirect"]) == ("a", None)


def test_how_long_a_member_drains(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(members.urls, each="draintimeout=600"))
    api = Api(server)
    api.patch(member(members, 0), drain=True, draintimeout=1)
    wait_until(lambda: Engine(server).column("on") == [False, True], what="its end")
    assert "member 127.0.0.1" in server.lines("ATH0231.*has drained for 1 s")[0]
    api.patch(member(members, 0), draintimeout=None)
    assert Engine(server).column("on") == [True, True]


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_the_method_changes_in_all_children(httpd, backends, balancer, mpm):
    """In turn, then by traffic, most of it to the one whose answers are small."""
    members = backends(3)
    server = start(httpd, members, mpm, balancer)
    api = Api(server)
    assert shares(server) == [20, 20, 20]
    for n in (1, 2):
        members.behave(n, size=200_000)
    assert api.patch(FARM, method="traffic")["method"] == "traffic"
    for restart in (lambda: None, lambda: server.graceful(alone=True), server.restart):
        restart()
        assert api.get(FARM)["method"] == "traffic"
        assert shares(server)[0] > 40
    said = api.refused(FARM, {"method": "nosuch"}, 422)
    assert said == "method=nosuch: there is no such lbmethod"
    said = api.refused(FARM, {"method": "hash"}, 422)
    assert said.startswith("method=hash: needs a table that only a start makes"), said
    assert api.patch(FARM, method="roundrobin")["method"] == "roundrobin"
    assert shares(server) == [20, 20, 20]


def test_the_configuration_wins_when_it_changes(httpd, backends):
    members = backends(3)
    server = start(httpd, members, each="route=a maxconn=5")
    server.expect(r"ATH0141")
    api = Api(server)
    api.patch(FARM, method="leastconn")
    api.patch(member(members, 0), maxconn=None, route="z", weight=3)
    server.conf = server.conf.replace("maxconn=5", "maxconn=6").replace("roundrobin", "random")
    server.graceful(alone=True)
    one = api.get(FARM)
    assert (one["method"], one["members"][0]["maxconn"]) == ("random", 6)
    # What the configuration did not touch goes on.
    assert (one["members"][0]["route"], one["members"][0]["weight"]) == ("z", 3.0)
    said = " ".join(server.lines("notice.*ATH0385"))
    assert "lbmethod=leastconn set at run time gives way to the configuration's lbmethod=random" \
        in said
    assert "maxconn=off set at run time gives way to the configuration's maxconn=6" in said


def test_a_farm_is_switched_off_and_forwarded(httpd, backends, balancer):
    members, others = backends(3), backends(1)
    server = start(httpd, members, balancer=balancer,
                   conf=ALLOWED + farm(others.urls, name="farm_two")
                   + farm([f"http://127.0.0.1:{free_port()}"], name="farm_down", each="retry=600"))
    server.expect(r"ATH0112|" + CONNECT_FAILED)
    api = Api(server)
    api.patch(FARM, on=False)
    answer = fetch(server.port, "/farm/x")
    assert answer.status == 503 and answer.header("Retry-After")
    api.patch(FARM, forward="farm_two")
    assert fetch(server.port, "/farm/some/path?q").header("X-Target") == "/some/path?q"
    assert others.requests() == [1]
    # The target is down: its own fallback, else ours.
    api.patch(FARM, forward="farm_down", fallback=f"{others.urls[0]}/ours")
    assert fetch(server.port, "/farm/x").header("X-Target") == "/ours"
    api.patch("/farms/farm_down", fallback=f"{others.urls[0]}/theirs")
    assert fetch(server.port, "/farm/x").header("X-Target") == "/theirs"
    for restart in (lambda: server.graceful(alone=True), server.restart):
        restart()
        one = api.get(FARM)
        assert (one["on"], one["forward"]) == (False, "farm_down")
        assert fetch(server.port, "/farm/x").header("X-Target") == "/theirs"
    # A chain of three, the last of which serves.
    api.patch("/farms/farm_down", forward="farm_two")
    assert fetch(server.port, "/farm/x").header("X-Target") == "/x"
    api.patch(FARM, on=True, forward=None)
    assert fetch(server.port, "/farm/x").header("X-Target") == "/x"
    assert sum(members.requests()) == 1


def test_circles_are_refused_when_they_would_be_made(httpd, backends):
    members = backends(3)
    server = start(httpd, members, conf=farm(members.urls, name="farm_two",
                                             settings="forward=farm_three")
                   + farm(members.urls, name="farm_three"))
    api = Api(server)
    api.patch(FARM, forward="farm_two")
    said = api.refused("/farms/farm_three", {"forward": "farm_one"}, 422)
    assert said.startswith("farms forward in a circle: ")
    assert "farm_two to farm_three" in said and "farm_three to farm_one" in said
    of_member = f"/farms/farm_three/members/127.0.0.1:{members.ports[0]}"
    assert "in a circle" in api.refused(of_member, {"forward": "farm_three"}, 422)
    assert "no farm of this name" in api.refused(FARM, {"forward": "nosuch"}, 422)
    assert api.refused(FARM, {"fallback": "http://farm_two/x"}, 422).startswith(
        "farm farm_one: fallback=http://farm_two/x: this is a farm")
    assert api.get("/farms/farm_three")["forward"] is None


def test_a_farm_that_is_gone_is_given_up(httpd, backends):
    members = backends(3)
    others = farm(members.urls, name="farm_four")
    server = start(httpd, members, conf=others + farm(members.urls, name="farm_two")
                   + farm(members.urls, name="farm_three"))
    server.expect(r"ATH0253")
    api = Api(server)
    api.patch(FARM, forward="farm_two")
    api.patch("/farms/farm_three", forward="farm_one")
    api.patch("/farms/farm_four", forward="farm_one")
    server.conf = served(members.urls) + others + farm(members.urls, name="farm_three")
    server.graceful(alone=True)
    assert api.get(FARM)["forward"] is None
    # What others were set to holds.
    assert api.get("/farms/farm_three")["forward"] == "farm_one"
    assert api.get("/farms/farm_four")["forward"] == "farm_one"
    (said,) = server.lines("ATH0253")
    assert "farm farm_one: " in said and "forward=farm_two: there is no farm of this name" in said
    # A circle ends at one of those that people made it with.
    server.conf = (served(members.urls, settings="forward=farm_three") + others
                   + farm(members.urls, name="farm_three"))
    server.graceful(alone=True)
    forwards = {name: api.get(f"/farms/{name}")["forward"]
                for name in ("farm_one", "farm_three", "farm_four")}
    assert forwards == {"farm_one": "farm_three", "farm_three": None, "farm_four": "farm_one"}
    assert len(server.lines("ATH0253")) == 2 and "circle" in server.lines("ATH0253")[1]


BAD = {
    "no JSON": (b"{", 400, "the body is not JSON"),
    "no object": (b"[1]", 400, "the body must be a JSON object"),
    "nothing": (b"", 400, "the body is not JSON"),
    "unknown": ({"colour": "red"}, 422, "colour: cannot be changed; what can: weight, lbset, maxconn, on"),
    "range": ({"weight": 0}, 422, "weight=0: must be a number from 0.01 to 100"),
    "type": ({"on": "yes"}, 422, 'on="yes": must be true or false'),
    "null": ({"weight": None}, 422, "weight=null: must be a number"),
    "no place": ({"maxconn": 0}, 422, "maxconn=0: must be a whole number from 1 to 1000000"),
    "fraction": ({"maxconn": 1.5}, 422, "maxconn=1.5: must be a whole number from 1 to 1000000"),
    "route": ({"route": "a.b"}, 422, "route=a.b holds '.'"),
    "too large": (b" " * 17_000, 413, "a body has at most 16384 bytes"),
}


@pytest.mark.parametrize("document, status, reason", BAD.values(), ids=BAD)
def test_a_change_is_taken_whole_or_not_at_all(httpd, backends, document, status, reason):
    members = backends(3)
    server = start(httpd, members, settings="stickysession=sid")
    api = Api(server)
    before = api.get(member(members, 0))
    if isinstance(document, dict):
        document = {"drain": True, "lbset": 3, **document}
    assert api.refused(member(members, 0), document, status).startswith(reason)
    assert api.get(member(members, 0)) == before
    assert api.events() == []


def test_several_members_at_once(httpd, backends, balancer):
    members = backends(3)
    server = start(httpd, members, "prefork", balancer)
    api = Api(server)
    names = [f"127.0.0.1:{port}" for port in members.ports]
    tag = api.ask("GET", FARM).header("ETag")
    document = {"method": "leastconn",
                "members": {names[0]: {"weight": 2, "lbset": 1}, names[2]: {"on": False}}}
    answer = api.ask("PATCH", FARM, document, If_Match=tag)
    assert answer.status == 200
    one = json.loads(answer.body)
    assert one["method"] == "leastconn"
    assert [(m["weight"], m["lbset"], m["on"]) for m in one["members"]] == [
        (2.0, 1, True), (1.0, 0, True), (1.0, 0, False)]
    told = {(event["member"], event["what"]) for event in api.events()}
    assert told == {(names[0], "weight=2.00 (was 1.00), lbset=1 (was 0)"), (names[2], "on=off (was on)"),
                    (None, "method=leastconn (was roundrobin)")}
    for document, status, reason in [
            (document, 412, "somebody else has changed it"),
            ({"members": {names[1]: {"on": False}, names[0]: {"weight": 0}}}, 422,
             f"member {names[0]}: weight=0: must be"),
            ({"members": {names[1]: {"on": False}, "nobody": {}}}, 422, "farm farm_one has no member nobody"),
            ({"members": {names[1]: {"on": False}}, "method": "nosuch"}, 422, "method=nosuch: there is no"),
            ({"members": {names[1]: {"on": False, "name": "x"}}}, 422, f"member {names[1]}: name: cannot be"),
            ({"members": {names[1]: True}}, 422, f"member {names[1]}: must be an object"),
            ({"members": [names[1]]}, 422, "members: must be an object, changes by members' names"),
            ({"member": {}}, 422, "member: cannot be changed; what can: on, method, forward, fallback, members")]:
        assert api.refused(FARM, document, status, If_Match=tag if status == 412 else "*").startswith(reason)
        assert api.get(FARM)["members"] == one["members"] and len(api.events()) == 3


def test_lists_are_not_sent_twice(httpd, backends):
    members = backends(1)
    server = start(httpd, members)
    api = Api(server)
    tags = {}
    for path in ("/farms", f"{FARM}/members"):
        first = api.ask("GET", path)
        tag = tags[path] = first.header("ETag")
        again = api.ask("GET", path, If_None_Match=f'"other", {tag}')
        assert (again.status, again.header("ETag"), again.body) == (304, tag, b"")
        assert api.ask("HEAD", path, If_None_Match=tag).status == 304
        assert api.ask("GET", path, If_None_Match='"0"').body == first.body
    # From now on times are measured, which fade by themselves.
    shares(server, 1)
    for path, tag in tags.items():
        assert api.ask("GET", path, If_None_Match=tag).status == 200
    # They fade, and nothing else happens.
    engine = Engine(server)
    engine.wait_idle()
    tag, was = api.ask("GET", "/farms").header("ETag"), engine.column("ttfb_ewma_ms")
    wait_until(lambda: engine.column("ttfb_ewma_ms") != was, what="time passing")
    assert api.ask("GET", "/farms", If_None_Match=tag).status == 304
    # What changes by itself is no part of a farm's own: it is always sent.
    tag = api.ask("GET", FARM).header("ETag")
    assert api.ask("GET", FARM, If_None_Match=tag).status == 200
    # As mod_deflate writes it.
    assert api.ask("PATCH", FARM, {"on": True}, If_Match=tag[:-1] + '-gzip"').status == 200


def test_a_tag_is_compared_as_a_strong_one(httpd, backends):
    """A client that has lost its tag overwrites nothing."""
    members = backends(1)
    api = Api(start(httpd, members))
    tag = api.ask("GET", FARM).header("ETag")
    for path in (FARM, member(members, 0)):
        for named in ("", tag.strip('"'), f"{tag}, x"):
            assert "If-Match must be" in api.refused(path, {"on": False}, 412, If_Match=named)
        api.refused(path, {"on": False}, 412, If_Match=f"W/{api.ask('GET', path).header('ETag')}")
    assert api.ask("GET", FARM).header("ETag") == tag


def test_a_change_waits_for_no_other(httpd, backends):
    """Somebody has the farm's lock: 503, and nothing is changed."""
    members = backends(1)
    server = start(httpd, members)
    api = Api(server)
    with board_locked(server):
        answer = api.ask("PATCH", FARM, {"on": False})
        assert answer.status == 503 and answer.header("Retry-After") == "1"
        assert "another change" in json.loads(answer.body)["detail"]
        assert api.get(FARM)["on"] is True
    assert api.patch(FARM, on=False)["on"] is False


def test_a_name_of_several_farms(httpd, backends):
    hosts = "".join(f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName {name}.test
          {served(backends(1).urls, name="same")}
        </VirtualHost>""" for name in ("one", "two"))
    server = httpd("event", balancer=False, conf=hosts)
    api = Api(server)
    names = [f"same@{name}.test:{server.port}" for name in ("one", "two")]
    for method, path, document in (("GET", "/farms/same", None), ("PATCH", "/farms/same", {"on": False}),
                                   ("POST", "/farms/same/members", {"url": "http://127.0.0.1:9"}),
                                   ("DELETE", "/farms/same/members/x", None)):
        said = api.refused(path, document, 409, method=method)
        said, told = said.split(": ")
        assert (said, sorted(told.split())) == ("several farms have this name", names)
    said = fetch(server.port, "/athena/?farm=same")
    assert said.status == 409 and all(name in said.body.decode() for name in names)
    for name in ("same@two.test", names[1]):
        shown = fetch(server.port, f"/athena/?farm={quote(name)}")
        assert shown.status == 200 and names[1] in shown.body.decode()
        assert names[0] not in shown.body.decode()
    said = fetch(server.port, "/athena/?farm=nosuch")
    assert said.status == 404 and "changed" not in said.body.decode()
    assert api.patch(f"/farms/{names[1]}", on=False)["on"] is False
    assert {one["server"]: one["on"] for one in Engine(server).farms()} \
        == {f"one.test:{server.port}": True, f"two.test:{server.port}": False}


def test_errors_are_problems(httpd, backends):
    members = backends(3)
    server = start(httpd, members)
    api = Api(server)
    assert api.refused("/farms/nosuch", {}, 404) == "there is no farm nosuch"
    assert "has no member" in api.refused(f"{FARM}/members/nosuch", {}, 404)
    assert "nothing at" in api.refused("/nosuch", None, 404, method="GET")
    assert "Content-Type" in api.refused(FARM, b"{}", 415, Content_Type="text/plain")
    for method, path, allowed in (("DELETE", FARM, "GET, HEAD, PATCH"),
                                  ("PATCH", "/farms", "GET, HEAD"),
                                  ("POST", "/events", "GET, HEAD")):
        answer = api.ask(method, path, {})
        assert (answer.status, answer.header("Allow")) == (405, allowed)


def test_two_administrators(httpd, backends):
    members = backends(3)
    server = start(httpd, members)
    api = Api(server)
    one = member(members, 0)
    tag = api.ask("GET", one).header("ETag")
    # Counters move, what can be changed does not.
    shares(server, 9)
    assert api.ask("GET", one).header("ETag") == tag
    answers = [api.ask("PATCH", one, {"weight": weight}, If_Match=tag) for weight in (2, 3)]
    assert [answer.status for answer in answers] == [200, 412]
    assert answers[0].header("ETag") == api.ask("GET", one).header("ETag") != tag
    assert api.get(one)["weight"] == 2.0
    assert api.ask("PATCH", one, {"weight": 3}, If_Match="*").status == 200
    assert "read it again" in api.refused(FARM, {"on": False}, 412, If_Match=tag)


def test_of_many_at_once_one_is_first(httpd, backends):
    members = backends(3)
    server = start(httpd, members, "prefork")
    api = Api(server)
    tag = api.ask("GET", FARM).header("ETag")
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(api.ask, "PATCH", FARM, {"method": method}, If_Match=tag)
                 for method in ["leastconn", "random"] * 4]
    statuses = sorted(answer.result().status for answer in asked)
    assert statuses == [200] + [412] * 7
    assert len(api.events()) == 1


def test_what_a_browser_may_be_made_to_send(httpd, backends):
    members = backends(3)
    server = start(httpd, members)
    server.expect(r"ATH0254|ATH0130")
    api = Api(server)
    host = f"localhost:{server.port}"
    for headers in ({"Origin": "http://evil.example"}, {"Sec_Fetch_Site": "cross-site"},
                    {"Referer": "http://evil.example/page"}, {"Host": "evil.example"},
                    {"Origin": "http://localhost:1"}, {"Origin": "http://localhost"}):
        api.refused(FARM, {"on": False}, 403, **{"Host": host, **headers})
    assert api.get(FARM)["on"] is True and api.events() == []
    own = {"Host": host, "Origin": f"http://{host}", "Sec_Fetch_Site": "same-origin"}
    assert api.ask("PATCH", FARM, {"on": False}, **own).status == 200


def update_key(server, name="update.key", key="correct-horse-battery\n", mode=0o640):
    path = server.directory / name
    path.write_text(key)
    path.chmod(mode)


def test_a_get_with_the_key_changes_states(make_httpd, backends):
    members = backends(3)
    server = make_httpd("event", conf=served(members.urls) + "AthUpdateKey file:update.key\n")
    update_key(server)
    server.start()
    server.expect(r"ATH0280")
    query = f"/athena/update/phys/?h=127.0.0.1:{members.ports[0]},s=off"
    for wrong in ("", ",k=correct-horse-batter", ",k=correct-horse-battery-", ",k="):
        assert fetch(server.port, query + wrong).status in (400, 403)
    assert Engine(server).column("on") == [True, True, True]
    assert fetch(server.port, query + ",k=correct-horse-battery").status == 200
    assert Engine(server).column("on") == [False, True, True]
    # Each change has its own, and none is wrong.
    right, names = ",k=correct-horse-battery", [f"h=127.0.0.1:{port}" for port in members.ports]
    for second in ("s=off", "s=off,k=x", "load=1,k=x"):
        for both in ((f"s=on{right}", second), (second, f"s=on{right}")):
            query = "&".join(f"{name},{what}" for name, what in zip(names, both))
            assert fetch(server.port, f"/athena/update/phys/?{query}").status == 403, query
    assert Engine(server).column("on") == [False, True, True]
    for alone, status in [("load=1,k=x", 403), ("load=1,k=", 400), ("s=off,k=x", 403)]:
        for method in ("GET", "POST"):
            answer = fetch(server.port, f"/athena/update/phys/?{names[1]},{alone}", method=method)
            assert answer.status == status, (alone, method, answer)
    assert fetch(server.port, f"/athena/update/phys/?{names[1]},load=1{right}").status == 200
    query = f"{names[0]},s=on{right}&{names[1]},s=off{right}&{names[2]},load=1"
    assert fetch(server.port, f"/athena/update/phys/?{query}").status == 200
    assert Engine(server).column("on") == [True, False, True]


def test_a_virtual_host_does_without_the_main_servers_key(make_httpd, backends):
    members = backends(1)
    server = make_httpd("event", conf=farm(members.urls) + "AthUpdateKey file:update.key\n" + "".join(
        f"<VirtualHost *:${{ATH_PORT}}>\nServerName {name}\n{line}</VirtualHost>\n"
        for name, line in (("localhost", ""), ("keyless.localhost", "AthUpdateKey none\n"))))
    update_key(server)
    server.start()
    server.expect("ATH0280")
    query = f"/athena/update/phys/?h=127.0.0.1:{members.ports[0]},s=off"
    for key in ("", "correct-horse-battery"):
        answer = fetch(server.port, f"{query},k={key}", headers={"Host": "keyless.localhost"})
        assert answer.status in (400, 403), answer
    assert Engine(server).column("on") == [True]
    assert fetch(server.port, f"{query},k=correct-horse-battery").status == 200


def test_keys_are_read(make_httpd, backends):
    conf = farm(backends(1).urls)
    server = make_httpd("event")
    update_key(server, "short", "short")
    update_key(server, "open", mode=0o644)
    os.mkfifo(server.directory / "pipe", 0o600)
    assert "must stand in a file" in server.refuses(conf + "AthUpdateKey secret\n")
    assert "cannot be read" in server.refuses(conf + "AthUpdateKey file:nosuch\n")
    assert "must be 16 to 128" in server.refuses(conf + "AthUpdateKey file:short\n")
    assert "has mode 0644" in server.refuses(conf + "AthUpdateKey file:open\n")
    assert "must be a regular file" in server.refuses(conf + "AthUpdateKey file:pipe\n")


def test_the_first_of_a_name_stays_the_first(httpd, backends, directory):
    """Servers of one name are numbered in the configuration's order: one more moves nobody's changes."""
    url, extra = backends(1).urls[0], directory / "last.conf"

    def host(name):
        return f"""
            <VirtualHost *:${{ATH_PORT}}>
              ServerName v.test
              {served([url], name=name)}
            </VirtualHost>"""

    extra.write_text(host("two"))
    server = httpd("event", balancer=False, conf=host("one") + f'\nInclude "{extra}"\n')

    def servers():
        return {one["name"]: one["server"] for one in Engine(server).farms()}

    name = f"v.test:{server.port}"
    assert servers() == {"one": name, "two": f"{name}#2"}
    Api(server).patch(f"/farms/two@{name}%232", on=False)
    extra.write_text(host("two") + host("three"))
    server.graceful(alone=True)
    assert servers() == {"one": name, "two": f"{name}#2", "three": f"{name}#3"}
    assert {one["name"]: one["on"] for one in Engine(server).farms()} \
        == {"one": True, "two": False, "three": True}


def test_a_virtual_host_called_main_is_not_the_main_server(httpd, backends):
    url = backends(1).urls[0]
    host = f"""
        <VirtualHost *>
          ServerName main
          {served([url], name="hosts")}
        </VirtualHost>"""
    server = httpd("event", balancer=False, conf=served([url], name="own") + host)
    servers = {one["name"]: one["server"] for one in Engine(server).farms()}
    assert servers == {"own": "main", "hosts": "main#2"}
