"""Members that people add over the API and remove again, while requests run."""

import json
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest
from harness.api import Api
from harness.board import board_locked
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.httpd import TURNED_AWAY
from harness.load import Load, shared
from harness.waiting import wait_until

FARM = "/farms/farm_one"
MEMBERS = f"{FARM}/members"
ALLOWED = "AthMemberAllow http://127.0.0.1\n"


def start(httpd, members, mpm="event", balancer=False, *, conf=ALLOWED, **options):
    options.setdefault("settings", "lbmethod=roundrobin")
    return httpd(mpm, balancer=balancer, children=8, conf=conf + served(members, **options))


def add(api, url, **parameters):
    answer = api.ask("POST", MEMBERS, {"url": url, **parameters})
    assert answer.status == 201, answer
    return json.loads(answer.body)


def remove(api, name, status=204, query=""):
    answer = api.ask("DELETE", f"{MEMBERS}/{name}{query}")
    assert answer.status == status, answer
    return answer


def names(server, count=1):
    """The members' names, the same however often and whichever child is asked."""
    told = {tuple(Engine(server).column("name")) for _ in range(count)}
    assert len(told) == 1, told
    return list(told.pop())


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_fifty_come_and_go_under_load(httpd, backends, balancer, mpm):
    members = backends(3)
    server = start(httpd, members.urls[:1], mpm, balancer)
    server.expect(TURNED_AWAY)
    api, engine = Api(server), Engine(server)
    first = names(server)
    urls = [f"{members.urls[1 + n % 2]}/m{n}" for n in range(50)]
    # A restart ends kept connections.
    with Load(server.port, lambda n: ("GET", "/farm/x"), rate=500, clients=6,
              reconnect=True) as load:
        wait_until(lambda: len(load.results) > 50, what="some load")
        added = [add(api, url, weight=1 + n % 2)["name"] for n, url in enumerate(urls)]
        assert names(server, 16) == first + added
        server.graceful()
        assert names(server, 16) == first + added
        begun = len(load.results)
        wait_until(lambda: len(load.results) > begun + 200, what="load for all of them")
        assert min(engine.column("elected")) > 0
        for n, name in enumerate(added):
            # At once, or when what is under way has ended.
            answer = api.ask("DELETE", f"{MEMBERS}/{name}" + ("?force=1" if n % 2 else ""))
            assert answer.status == 204 or (answer.status == 202 and n % 2 == 0), answer
        wait_until(lambda: names(server) == first, what="all of them gone")
        assert names(server, 16) == first
        begun = len(load.results)
        wait_until(lambda: len(load.results) > begun + 100, what="load after it")
    assert load.failed() == []
    shared(server, members, [40, 0, 0])
    engine.wait_idle()
    assert len(server.lines("ATH0381")) == len(server.lines("ATH0382")) == 50
    for again in (lambda: server.graceful(alone=True), server.restart):
        again()
        assert names(server, 16) == first
        shared(server, members, [20, 0, 0])


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_added_members_outlive_restarts(httpd, backends, balancer, mpm):
    members = backends(4)
    server = start(httpd, members.urls[:1], mpm, balancer)
    api, engine = Api(server), Engine(server)
    one = add(api, members.urls[1], name="one", weight=2.3, route="b", timeout=7)
    add(api, members.urls[2], standby=True, slowstart=9, maxconn=5)
    add(api, members.urls[3], lbset=1)
    remove(api, members.urls[3].removeprefix("http://"), query="?force=1")
    assert (one["name"], one["weight"], one["route"]) == ("one", 2.3, "b")
    # Whichever way it is said, it is the same weight.
    assert api.patch(f"{MEMBERS}/one", weight=2.3)["weight"] == 2.3
    api.patch(f"{MEMBERS}/one", weight=3)
    shared(server, members, [10, 30, 0, 0])
    keys = ("name", "url", "route", "weight", "lbset", "standby", "slowstart", "maxconn", "served",
            "on")
    before = [[one[key] for key in keys] for one in engine.members()]
    assert engine.column("added") == [False, True, True]
    for restart in (lambda: server.graceful(alone=True), server.restart, server.restart):
        restart()
        assert [[one[key] for key in keys] for one in engine.members()] == before
    shared(server, members, [10, 30, 0, 0])
    # Another one takes the seat that was left.
    add(api, members.urls[3])
    shared(server, members, [10, 30, 0, 10])


def test_a_member_that_is_configured_by_now_is_not_added_twice(httpd, backends):
    members = backends(2)
    server = start(httpd, members.urls[:1])
    add(Api(server), members.urls[1], weight=2)
    shared(server, members, [10, 20])
    server.conf = ALLOWED + served(members.urls, settings="lbmethod=roundrobin")
    server.write_conf()
    for restart in (lambda: server.graceful(alone=True), server.restart):
        restart()
        assert len(names(server)) == 2
        shared(server, members, [10, 10])
    said = Api(server).refused(f"{MEMBERS}/{names(server)[1]}?force=1", None, 409, method="DELETE")
    assert "take its line out" in said


def test_refusals_change_nothing(httpd, backends):
    members = backends(2)
    server = start(httpd, members.urls[:1])
    server.expect("ATH0254")
    api, other = Api(server), members.urls[1]
    before = names(server)

    def refused(document, status, **headers):
        return api.refused(MEMBERS, document, status, method="POST", **headers)

    for url in ("http://127.0.0.2:80", "https://127.0.0.1:80", "http://127.0.0.1.evil"):
        assert "AthMemberAllow" in refused({"url": url}, 403)
    for url in ("http://127.0.0.1@evil:80", "unix:/tmp/s|http://127.0.0.1", "", "127.0.0.1:80",
                "http://127.0.0.1:0", "http://127.0.0.1:65536", "xyz://127.0.0.1/",
                "balancer://127.0.0.1/", "unix://127.0.0.1", "http://127.0.0.1/|http://evil/"):
        assert "url: must be SCHEME://HOST" in refused({"url": url}, 422)
    for url in (members.urls[0], members.urls[0] + "/"):
        assert "has a member of this URL" in refused({"url": url}, 409)
    assert "has a member of this name" in refused({"url": other, "name": before[0]}, 409)
    assert "url: must be text" in refused({"weight": 1}, 422)
    assert refused({"url": other, "bogus": 1}, 422) == "bogus: unknown parameter"
    assert refused({"url": other, "lbset": 100}, 422).startswith("lbset=100: must be")
    assert "not for a member" in refused({"url": other, "hcexpr": "ok"}, 422)
    assert "belongs to the farm" in refused({"url": other, "lbmethod": "hash"}, 422)
    for one, two in (({"weight": 1}, {"loadfactor": 2}), ({"on": True}, {"status": "+D"})):
        said = refused({"url": other, **one, **two}, 422)
        assert all(key in said for key in (*one, *two)) and "one of them" in said, said
    assert refused({"url": other, "weight": [1]}, 422) == "weight=[1]: must be a number, or a text"
    assert refused({"url": other, "name": 7}, 422) == "name=7: must be a text"
    for secret in ("7" * 64, "7" * 600, 77777, "77777\n"):
        assert "777" not in refused({"url": other, "secret": secret}, 422)
    for field, value in (("forward", "http://169.254.169.254/"), ("agent", "169.254.169.254:80")):
        assert "AthMemberAllow" in refused({"url": other, field: value}, 403)
    assert "no farm of this name" in refused({"url": other, "forward": "nosuch"}, 422)
    assert "in a circle" in refused({"url": other, "forward": "farm_one"}, 422)
    assert "JSON" in refused(b"{", 400)
    refused({"url": other}, 403, Origin="http://evil.example")
    assert api.ask("DELETE", f"{MEMBERS}/nobody").status == 404
    assert "was not added over the API" in api.refused(f"{MEMBERS}/{before[0]}", None, 409, method="DELETE")
    assert names(server) == before
    # As many as there are seats, and no more.
    for n in range(64):
        add(api, f"{other}/m{n}")
    assert "no seat is free" in refused({"url": other}, 507)
    remove(api, names(server)[-1], query="?force=1")
    add(api, other, name="last")


def test_no_scheme_leads_to_a_unix_socket(httpd, backends):
    members = backends(1)
    server = start(httpd, members.urls, conf="AthMemberAllow 10.99.99.99\n")
    for scheme in ("unix", "UNIX", "Unix"):
        url = f"{scheme}://10.99.99.99/tmp/secret.sock|http://whatever/x/"
        said = Api(server).refused(MEMBERS, {"url": url}, 422, method="POST")
        assert "SCHEME one of http, https," in said
    assert len(names(server)) == 1


@pytest.mark.parametrize("restart", ["graceful", "full"])
def test_one_that_is_no_longer_allowed_is_seen_and_removed(httpd, backends, restart):
    members = backends(3)
    conf = served(members.urls[:1], settings="lbmethod=roundrobin nonce=tested")
    server = start(httpd, members.urls[:1], conf=ALLOWED, settings="lbmethod=roundrobin nonce=tested")
    server.expect("ATH0380")
    api = Api(server)
    first, second = (add(api, url)["name"] for url in members.urls[1:])
    server.conf = "AthMemberAllow https://127.0.0.1\n" + conf
    server.graceful(alone=True) if restart == "graceful" else server.restart()
    one = api.get(FARM)
    assert len(one["members"]) == 1 and api.ask("GET", f"{MEMBERS}/{first}").status == 404
    reason = "AthMemberAllow does not name this host"
    assert one["unused"] == [
        {"name": name, "url": url, "reason": f"{url}: {reason}"}
        for name, url in zip([first, second], members.urls[1:], strict=True)]
    page = fetch(server.port, "/athena/").body.decode()
    assert page.count("was added and is not used") == 2 and reason in page
    remove(api, first)
    form = urlencode({"b": "farm_one", "nonce": "tested", "w": members.urls[2], "remove": "1"}).encode()
    answer = fetch(server.port, "/athena/", method="POST", body=form, headers={
        "Content-Type": "application/x-www-form-urlencoded", "Origin": "http://localhost"})
    assert answer.status == 200 and f"{second} of farm farm_one: removed" in answer.body.decode()
    assert all(api.get(FARM)["unused"] == [] for _ in range(8))
    assert len(server.lines("ATH0382.*which was not used, removed")) == 2
    server.conf = ALLOWED + conf
    server.restart()
    assert len(names(server)) == 1


def test_a_farm_that_an_added_member_forwards_to_may_go(httpd, backends):
    members, others = backends(2), backends(1)
    server = start(httpd, members.urls[:1], settings="stickysession=sid", each="route=a",
                   conf=ALLOWED + farm(others.urls, name="farm_two"))
    server.expect("ATH0253")
    api = Api(server)
    name = add(api, members.urls[1], route="b", forward="farm_two", agent=":9")["name"]
    api.patch(f"{MEMBERS}/{name}", on=False)
    assert fetch(server.port, "/farm/x;sid=1.b").status == 200 and others.requests() == [1]
    server.conf = ALLOWED + served(members.urls[:1], settings="stickysession=sid", each="route=a")
    for restart in (lambda: server.graceful(alone=True), server.restart):
        restart()
        assert Engine(server).column("forward") == [None, None]
        assert fetch(server.port, "/farm/x;sid=1.b").member == 0


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_connections_to_removed_members_do_not_pile_up(httpd, backends, mpm):
    members = backends(2)
    server = start(httpd, members.urls[:1], mpm)

    def descriptors():
        return sum(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in server.child_pids())

    seen = []
    with Client(server.port) as client:
        for n in range(200):
            document = json.dumps({"url": f"{members.urls[1]}/{n}", "name": f"m{n}"}).encode()
            json_type = {"Content-Type": "application/json"}
            added = client.request("POST", f"/athena/api/v1{MEMBERS}", json_type, document)
            assert added.status == 201
            assert {client.get("/farm/x").member for _ in range(2)} == {0, 1}
            gone = client.request("DELETE", f"/athena/api/v1{MEMBERS}/m{n}?force=1")
            assert gone.status == 204
            seen.append(descriptors())
    assert max(seen[100:]) <= max(seen[:100]) + 8, seen


def test_an_agents_port_is_named_too(httpd, backends):
    members = backends(1)
    server = start(httpd, members.urls,
                   conf=f"AthMemberAllow http://127.0.0.1:{members.ports[0]} 127.0.0.1:9\n")
    server.expect("ATH0254")
    api, url = Api(server), members.urls[0]
    for agent in (":10", "127.0.0.1:10"):
        said = api.refused(MEMBERS, {"url": f"{url}/a", "agent": agent}, 403, method="POST")
        assert said == "127.0.0.1:10: AthMemberAllow does not name this host"
    for agent in (":9", "127.0.0.1:9"):
        add(api, f"{url}/{agent[0]}", agent=agent)


def test_nobody_may_add_without_leave(httpd, backends):
    members = backends(2)
    server = start(httpd, members.urls[:1], conf="")
    server.expect("ATH0254")
    api = Api(server)
    assert "AthMemberAllow" in api.refused(MEMBERS, {"url": members.urls[1]}, 403, method="POST")
    assert len(names(server)) == 1


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_sessions_end_with_a_member_that_drains(httpd, backends, mpm):
    members = backends(2)
    server = start(httpd, members.urls[:1], mpm,
                   settings="lbmethod=roundrobin stickysession=sid", each="route=a")
    api = Api(server)
    name = add(api, members.urls[1], route="b", draintimeout=1)["name"]
    assert {fetch(server.port, "/farm/x;sid=1.b").member for _ in range(8)} == {1}
    members.behave(1, delay_ms=1500)
    with Client(server.port) as client:
        client.open()
        document = json.loads(remove(api, name, 202).body)
        assert document["drain"] is True
        # Its session still; nobody new.
        assert fetch(server.port, "/farm/x").member == 0
        assert client.request("GET", "/farm/x;sid=1.b").member == 1
    wait_until(lambda: len(names(server)) == 1, 5, "the member gone")
    assert {fetch(server.port, "/farm/x;sid=1.b").member for _ in range(4)} == {0}
    assert name not in fetch(server.port, "/athena/metrics").body.decode()


def test_who_ends_the_draining_keeps_the_member(httpd, backends):
    """Also one that drains again later, for other reasons."""
    members = backends(2)
    server = start(httpd, members.urls[:1], settings="lbmethod=roundrobin stickysession=sid", each="route=a")
    api, engine = Api(server), Engine(server)
    name = add(api, members.urls[1], route="b", draintimeout=1)["name"]
    remove(api, name, 202)
    for drain in (False, True):
        assert api.patch(f"{MEMBERS}/{name}", drain=drain)["drain"] is drain
    wait_until(lambda: engine.column("on") == [True, False], what="its draining over")
    time.sleep(1.5)  # some looks of the watch
    assert names(server)[1:] == [name]
    assert server.lines("ATH0382") == []


def test_a_request_under_way_outlives_its_member(httpd, backends):
    members = backends(2)
    server = start(httpd, members.urls[:1])
    server.expect(TURNED_AWAY)
    api, engine = Api(server), Engine(server)
    members.behave(1, delay_ms=1500)
    name = add(api, members.urls[1])["name"]
    with Load(server.port, lambda n: ("GET", "/farm/x"), rate=20, clients=4) as load:
        wait_until(lambda: engine.column("inflight")[-1] > 0, what="a request at it")
        remove(api, name, 204, "?force=1")
        assert len(names(server)) == 1
        # Its seat is not another's yet, so that the counts stay true.
        again = add(api, members.urls[1])["name"]
        assert engine.column("name")[-1] == again and engine.column("served")[-1] == 0
        remove(api, again, query="?force=1")
    assert load.failed() == []
    engine.wait_idle()


def test_what_a_member_says_of_itself_is_mapped_at_every_mount(httpd, backends):
    members = backends(2)
    conf = ALLOWED + served(members.urls[:1], settings="lbmethod=roundrobin") + (
        'ProxyPassReverse "/farm/" "http://farm_one/"\n'
        'ProxyPass "/other/" "http://farm_one/"\n'
        'ProxyPassReverse "/other/" "http://farm_one/"\n')
    server = httpd("event", children=4, conf=conf)
    add(Api(server), members.urls[1] + "/app")
    for n, base in ((0, ""), (1, "/app")):
        location = f"{members.urls[n]}{base}/next"
        members.behave(n, status=302, headers=[("Location", location)])
    for mount in ("/farm/", "/other/"):
        told = {(answer.member, answer.header("Location").split("/", 3)[3])
                for answer in (fetch(server.port, mount + "x") for _ in range(8))}
        assert told == {(0, mount[1:] + "next"), (1, mount[1:] + "next")}


@pytest.mark.parametrize("behind", ["/\r\nX-Evil: 1", "/a b", "/\x7f", "/\u00e4"])
def test_a_url_is_printable(httpd, backends, behind):
    members = backends(1)
    server = start(httpd, members.urls)
    api = Api(server)
    said = api.refused(MEMBERS, {"url": members.urls[0] + behind}, 422, method="POST")
    assert said == "url: must be printable ASCII characters without a blank"
    assert len(names(server)) == 1


def test_the_location_leads_to_the_member(httpd, backends):
    members = backends(1)
    server = start(httpd, members.urls)
    api = Api(server)
    url = members.urls[0] + "/a%3Fb"
    answer = api.ask("POST", MEMBERS, {"url": url})
    assert answer.status == 201
    found = fetch(server.port, answer.header("Location"))
    assert found.status == 200 and json.loads(found.body)["url"] == url


def children(server, count=4):
    """Clients that each keep a child of prefork, none of which has heard of what comes now."""
    kept = [Client(server.port) for _ in range(count)]
    assert {client.get("/server-status").status for client in kept} == {404}
    return kept


def test_a_farms_tag_knows_in_every_child_who_was_added(httpd, backends):
    members = backends(2)
    server = start(httpd, members.urls[:1], "prefork")
    api = Api(server)
    kept = children(server, 6)
    before = api.ask("GET", FARM).header("ETag")
    add(api, members.urls[1])
    path = f"/athena/api/v1{FARM}"

    def change(client, tag):
        headers = {"Content-Type": "application/json", "If-Match": tag}
        return client.request("PATCH", path, headers, b'{"on": true}').status

    after = kept[0].get(path).header("ETag")
    assert after != before
    assert [change(client, before) for client in kept[1:3]] == [412] * 2
    assert [change(client, after) for client in kept[3:]] == [200] * 3
    for client in kept:
        client.close()


def test_a_member_that_is_added_within_a_change_is_seen_by_it(httpd, backends):
    members = backends(2)
    server = start(httpd, members.urls[:1], "prefork")
    api = Api(server)
    before = api.ask("GET", FARM).header("ETag")
    with Client(server.port) as slow:
        slow.send(f"PATCH /athena/api/v1{FARM} HTTP/1.1\r\nHost: localhost\r\nIf-Match: {before}\r\n"
                  "Content-Type: application/json\r\nContent-Length: 12\r\n\r\n".encode())
        time.sleep(0.2)
        add(api, members.urls[1])
        slow.send(b'{"on": true}')
        assert slow.answer().status == 412


def test_what_is_pushed_about_a_new_member_waits_for_it(httpd, backends):
    members = backends(2)
    server = start(httpd, members.urls[:1], "prefork")
    kept = children(server, 1)[0]
    add(Api(server), members.urls[1], name="late")
    # Another child takes it in, or somebody changes the farm.
    with board_locked(server):
        kept.send(b"GET /athena/update/phys/?h=late,load=1 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        time.sleep(0.1)
    assert kept.answer().status == 200
    kept.close()
    assert Engine(server).column("stats") == [{}, {"load": 1.0}]


@pytest.mark.parametrize("restart", ["graceful", "restart"])
def test_the_engine_off_for_a_while_keeps_what_people_changed(httpd, backends, restart):
    """The way back and forth: members that were added, and maxconn set at run time."""
    members = backends(3)
    server = start(httpd, members.urls[:2], each="maxconn=5", balancer=True)
    api, engine = Api(server), Engine(server)
    add(api, members.urls[2], weight=2, maxconn=9)
    api.patch(f"{MEMBERS}/{names(server)[0]}", maxconn=7)
    keys = ("name", "url", "weight", "maxconn", "added")
    before = [[one[key] for key in keys] for one in engine.members()]
    assert [one[3] for one in before] == [7, 5, 9]
    server.conf = server.conf.replace("http://farm_one/", "balancer://farm_one/")
    for engine_is in ("off", "on"):
        server.engine = engine_is
        getattr(server, restart)()
        answers = [fetch(server.port, "/farm/x").member for _ in range(8)]
        # mod_proxy_balancer's members are those of the configuration.
        assert set(answers) == ({0, 1} if engine_is == "off" else {0, 1, 2})
    assert [[one[key] for key in keys] for one in engine.members()] == before
    assert server.lines("ATH0385") == server.lines("ATH0380") == server.lines("ATH0440") == []


@pytest.mark.parametrize("restart", ["graceful", "restart"])
def test_a_farm_is_its_servers(httpd, backends, restart):
    """In any case of the server's name; under another name it begins anew, and the log says so."""
    members = backends(2)
    served_there = served(members.urls[:1])

    def conf(host):
        return f"""{ALLOWED}
            <VirtualHost *:${{ATH_PORT}}>
              ServerName {host}
              {served_there}
            </VirtualHost>
        """
    server = httpd("event", conf=conf("www.shop.example"))
    api, engine = Api(server), Engine(server)
    add(api, members.urls[1])
    api.patch(f"{MEMBERS}/{names(server)[0]}", drain=True)
    api.patch(FARM, method="leastconn")
    owner = f"www.shop.example:{server.port}"
    for host in ("WWW.Shop.example", "www.shop.example"):
        server.conf = conf(host)
        server.graceful(alone=True)
        assert engine.column("drain") == [True, False]
        assert engine.farm()["server"] == owner
    assert server.lines("ATH0440") == []
    server.conf = conf("shop.example")
    getattr(server, restart)()
    assert engine.column("drain") == [False]
    [line] = server.lines("notice.*ATH0440")
    assert f"farm farm_one@{owner} is not" in line
    assert "its members (2), members they added (1)" in line


def test_maxconn_does_not_hold_with_the_engine_off(httpd, backends):
    """Places are not ours to give then: mod_proxy_balancer never runs out of them."""
    members = backends(1)
    server = httpd("event", engine="off", conf=farm(
        members.urls, each="maxconn=1", settings="lbmethod=leastconn")
        + 'ProxyPass "/farm/" "balancer://farm_one/"\n')
    with Load(server.port, lambda n: ("GET", "/farm/x?delay_ms=100"), rate=100, clients=8) as load:
        wait_until(lambda: len(load.results) > 30, what="load")
    assert load.failed() == []
