"""The text requests below the engine's path: balance and status."""

from collections import Counter

import pytest
from harness.api import Api
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.load import ab

DEAD = "http://127.0.0.1:9"
BALANCE = "/athena/balance/"
PHYS = "/athena/status/phys/"


def ask(server, target, status=200, **options):
    """The answer's lines."""
    answer = fetch(server.port, target, **options)
    assert answer.status == status, (target, answer)
    assert answer.header("Content-Type").startswith("text/plain")
    assert answer.header("Cache-Control") == "no-store"
    text = answer.body.decode()
    assert text.endswith("\n"), answer
    return text.splitlines()


def test_the_two_requests_of_the_original(httpd, backends, mpm, balancer):
    members = backends(2)
    server = httpd(mpm, balancer=balancer, conf="AthPath /ath\n" + farm(
        members.urls[:1], each="name=app01") + farm(members.urls[1:], name="farm_two"))
    address = f"127.0.0.1:{members.ports[0]}"
    assert ask(server, "/ath/balance/?farm_one") == [address]
    assert ask(server, '/ath/status/phys/?Eh=app01,f="%h,%c"') == ["app01,0"]


def test_both_modes_share_the_board(httpd, backends, mpm):
    """One rotation over queries and requests, by the back ends' own counts."""
    members = backends(3)
    server = httpd(mpm, conf=served(members.urls, settings="lbmethod=roundrobin"))
    names = [url.removeprefix("http://") for url in members.urls]
    told, sent = Counter(), Counter()
    with Client(server.port) as client:
        for _ in range(30):
            told[client.get(f"{BALANCE}?farm_one").body.decode().strip()] += 1
            sent[names[client.get("/farm/x").member]] += 1
    assert all((told + sent)[name] == 20 for name in names)
    engine = Engine(server)
    engine.wait_idle()
    assert engine.column("elected") == [20, 20, 20] and engine.farm()["elected"] == 60
    assert sum(engine.column("served")) == 30


def test_queries_are_never_in_flight(httpd):
    server = httpd("event", conf=farm([DEAD, "http://127.0.0.1:10"], settings="lbmethod=leastconn"))
    load = ab(server.port, f"{BALANCE}?farm_one", 400, 8)
    assert load.failed == 0 and load.complete == 400
    engine = Engine(server)
    assert engine.column("inflight") == [0, 0] and sum(engine.column("elected")) == 400
    # Ties rotate.
    assert min(engine.column("elected")) > 100


def test_several_farms_one_line_each(httpd):
    server = httpd("event", conf=farm([DEAD]) + farm(
        ["http://127.0.0.1:10", "http://app.example"], name="two", settings="lbmethod=roundrobin"))
    lines = ask(server, f'{BALANCE}?farm_one&two&TWO&two,f="%n/%h,%e,%w"')
    assert lines[0] == "127.0.0.1:9"
    assert {lines[1], lines[2]} == {"127.0.0.1:10", "app.example"}
    assert lines[3] in ("two/127.0.0.1:10,2,1", "two/app.example:80,2,1")


def test_what_a_farm_is_asked_with_a_session(httpd):
    server = httpd("event", conf=f"""
        <Proxy "balancer://farm_one">
          BalancerMember "http://127.0.0.1:9" route=a
          BalancerMember "http://127.0.0.1:10" route=b
          BalancerMember "http://127.0.0.1:11" route=c status=+D redirect=b
          ProxySet stickysession=SID nofailover=On lbmethod=roundrobin
        </Proxy>
        """)
    for key, port in (("s1.a", 9), ("s1.b", 10), ("a", 9), ("s1.c", 10)):
        assert ask(server, f"{BALANCE}?farm_one,key={key}") == [f"127.0.0.1:{port}"] * 1
    others = {ask(server, f"{BALANCE}?farm_one,key=s1.zz")[0] for _ in range(6)}
    assert others == {"127.0.0.1:9", "127.0.0.1:10"}


@pytest.mark.parametrize("fallback", ["http://www.example.com/outage/",
                                      "redirect:http://www.example.com/outage/"])
def test_nothing_usable_is_the_fallback(httpd, fallback):
    server = httpd("event", conf=farm([DEAD], each="status=+D", settings=f"fallback={fallback}"))
    server.expect(r"ATH0281")
    assert ask(server, f"{BALANCE}?farm_one") == ["http://www.example.com/outage/"]


def test_nothing_usable_and_no_fallback(httpd):
    server = httpd("event", conf=farm([DEAD], each="status=+D") + farm([DEAD], name="two"))
    server.expect(r"ATH0281")
    assert ask(server, f"{BALANCE}?farm_one", 503) == ["-"]
    assert int(fetch(server.port, f"{BALANCE}?farm_one").header("Retry-After")) >= 1
    assert ask(server, f"{BALANCE}?farm_one&two", 503) == ["-", "127.0.0.1:9"]


def test_a_farm_that_forwards(httpd):
    server = httpd("event", conf=farm([DEAD], each="status=+D", settings="forward=two") + farm(
        [DEAD], each="status=+D", name="two", settings="forward=three") + farm(
        ["http://127.0.0.1:10"], name="three") + farm(
        [DEAD], each="status=+D", name="four", settings="forward=http://app.example/"))
    assert ask(server, f'{BALANCE}?farm_one&four&farm_one,f="%n,%e"') \
        == ["127.0.0.1:10", "http://app.example/", "three,2"]


def test_a_query_is_forwarded_as_far_as_a_request(httpd, backends):
    members = backends(1)
    hops = "".join(farm([DEAD], name=f"c{n}", each="status=+D", settings=f"forward=c{n + 1}")
                   for n in range(18))
    server = httpd("event", conf=hops + farm(members.urls, name="c18") + "".join(
        f'ProxyPass "/{n}/" "http://c{n}/"\n' for n in (1, 2)))
    server.expect("ATH0281|ATH0251|ATH0112")
    for n, status in ((2, 200), (1, 503)):
        assert fetch(server.port, f"/{n}/x").status == status
        assert fetch(server.port, f"{BALANCE}?c{n}").status == status


def test_a_hash_farm_goes_by_the_key(httpd):
    server = httpd("event", conf=farm([f"http://127.0.0.1:{port}" for port in range(9, 13)],
                                      settings="lbmethod=hash hashkey=query:id"))
    told = {key: {ask(server, f"{BALANCE}?farm_one,key={key}")[0] for _ in range(3)}
            for key in range(12)}
    assert all(len(lines) == 1 for lines in told.values())
    assert len(set.union(*told.values())) > 1


def test_a_member_in_error_is_not_told(httpd, backends):
    members = backends(1)
    server = httpd("event", conf=served([DEAD, *members.urls], settings="lbmethod=roundrobin"))
    server.expect(r"AH00957|AH00959|AH01114|ATH0110")
    with Client(server.port) as client:
        assert [client.get("/farm/x").status for _ in range(2)] == [200, 200]
    told = {ask(server, f"{BALANCE}?farm_one")[0] for _ in range(4)}
    assert told == {f"127.0.0.1:{members.ports[0]}"}


def vhosts():
    return "".join(f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName {name}.test
          {farm([f"http://127.0.0.1:{port}"], name="both")}
        </VirtualHost>
        """ for name, port in (("one", 9), ("two", 10)))


def test_names_that_nobody_has_or_two(httpd):
    server = httpd("event", conf=farm([DEAD]) + vhosts())
    assert ask(server, f"{BALANCE}?nosuch", 404) == ['no farm "nosuch"']
    assert ask(server, f"{BALANCE}?farm_one&nosuch", 404) == ['no farm "nosuch"']
    (line,) = ask(server, f"{BALANCE}?both", 409)
    names = sorted(line.rpartition(": ")[2].split())
    assert [name.partition(":")[0] for name in names] == ["both@one.test", "both@two.test"]
    assert [ask(server, f"{BALANCE}?{name}")[0] for name in names] \
        == ["127.0.0.1:9", "127.0.0.1:10"]
    assert ask(server, f"{PHYS}?h=nosuch", 404) == ['no member "nosuch"']
    assert ask(server, f"{PHYS}?h=farm_one/nosuch", 404) == ['no member "nosuch"']
    # What was found before the farm that is not there was not elected.
    assert Engine(server).farm()["elected"] == 0


def test_a_host_means_the_server_where_it_is_one_alone(httpd):
    named = farm([DEAD], name="f"), farm(["http://127.0.0.1:10"], name="g")
    server = httpd("event", conf="".join(f"""
        <VirtualHost *:{port}>
          ServerName Shop.test:{port}
          {farms}
        </VirtualHost>
        """ for port, farms in ((80, named[0]), (81, "".join(named)))))
    api = Api(server)
    assert ask(server, f"{BALANCE}?g@shop.test") == ["127.0.0.1:10"]
    assert ask(server, f"{PHYS}?h=g@shop.test/127.0.0.1:10,f=%S") == ["shop.test:81"]
    assert api.ask("GET", "/farms/g@SHOP.test").status == 200
    assert ask(server, f"{BALANCE}?f@shop.test:81") == ["127.0.0.1:9"]
    (line,) = ask(server, f"{BALANCE}?f@shop.test", 409)
    assert sorted(line.rpartition(": ")[2].split()) == ["f@shop.test:80", "f@shop.test:81"]
    assert api.refused("/farms/f@shop.test", None, 409, method="GET") == line
    assert ask(server, f"{BALANCE}?g@shop", 404) == ['no farm "g@shop"']


def test_status_lines(httpd):
    server = httpd("event", conf=farm(
        [DEAD, "http://127.0.0.1:10/base"], weights=[2.5, 1],
        settings="lbmethod=leastconn"))
    letters = "%h|%q|%n|%S|%a|%A|%r|%m|%s|%u|%i|%g|%w|%l|%U|%c|%e|%o|%x|%I|%O|%t|%{load}s|%%"
    first, second = ask(server, f'{PHYS}?n=farm_one,f="{letters}"')
    assert first == ("127.0.0.1:9|farm_one@main/127.0.0.1:9|farm_one|main|127.0.0.1:9|"
                     "http://127.0.0.1:9|-|leastconn|on|up|in|-|2.5|0|1|0|0|0|0|0|0|-|-|%")
    assert second.split("|")[5] == "http://127.0.0.1:10/base"
    assert ask(server, PHYS) == ["farm_one@main/127.0.0.1:9 on up in 2.5 0 0",
                                 "farm_one@main/127.0.0.1:10 on up in 1 0 0"]
    assert ask(server, "/athena/status/farm/") == ["farm_one main on leastconn 2 2 0 0"]
    assert ask(server, '/athena/status/farm?n=FARM_ONE@main,f="%n%%"') == ["farm_one%"]
    (engine,) = ask(server, '/athena/status/engine/?Ef="%25N%20%25M %U %c %V"'.replace(" ", "%20"))
    assert engine.startswith("1 2 2 0 ") and engine.split()[4][0].isdigit()


def test_a_member_of_several_farms(httpd):
    server = httpd("event", conf="".join(
        farm([DEAD], name=name, each="name=app01") for name in ("one", "two")))
    assert ask(server, f'{PHYS}?h=app01,f="%n/%h"') == ["one/app01", "two/app01"]
    assert ask(server, f'{PHYS}?h=two/app01,f="%n/%h"') == ["two/app01"]
    assert ask(server, f'{PHYS}?h=two@main/app01,f="%n/%h"') == ["two/app01"]
    assert ask(server, f'{PHYS}?h=app01,n=two,f="%n/%h"') == ["two/app01"]


def test_refusals_are_lines_too(httpd):
    server = httpd("event", conf=farm([DEAD]))
    server.expect("ATH0130")
    paths = ["balance/?farm_one", "balance", "status/phys/", "status", "update/phys/?load=1",
             "update/", "mirror/farm", "mirror/x"]
    for path in paths:
        for headers in ({"Host": "evil.example"}, {"Via": "1.1 proxy"}):
            assert ask(server, f"/athena/{path}", 403, headers=headers) == ["this client may not ask"]
    for path in ["status", "update/", "mirror/x/%0A", "status/phys/x"]:
        (line,) = ask(server, f"/athena/{path}", 404)
        assert line.startswith('there is nothing at "/'), line
    for path in ["/athena/", "/athena/statuses"]:
        answer = fetch(server.port, path, headers={"Host": "evil.example"})
        assert answer.status == 403 and answer.header("Content-Type").startswith("text/html")


def test_only_reading(httpd):
    server = httpd("event", conf=farm([DEAD]))
    with Client(server.port) as client:
        head = client.request("HEAD", f"{BALANCE}?farm_one")
        assert head.status == 200 and head.body == b""
        for method in ("PUT", "DELETE", "PATCH"):
            answer = client.request(method, f"{BALANCE}?farm_one")
            assert answer.status == 405 and "GET" in answer.header("Allow")


@pytest.mark.parametrize("query, error", [
    ("h=a&&h=b", "position 5: nothing between two separators"),
    ('Ef="%25h%20%25z"', "position 12: %z is not there"),
    ("&".join(["h=a"] * 17), "position 65: more than 16 requests (AthMaxEmbed)"),
    ("h=a&balance/?farm_one", "position 5: a request of another kind needs AthAllowDiverseMulti"),
])
def test_an_error_names_position_and_reason(httpd, query, error):
    server = httpd("event", conf=farm([DEAD]))
    (line,) = ask(server, f"{PHYS}?{query}", 400)
    assert line.startswith(error)


def test_a_farm_may_be_called_as_a_key_is(httpd):
    server = httpd("event", conf="".join(farm([DEAD], name=name) for name in ("f", "key")))
    assert ask(server, f"{BALANCE}?f,f=%h") == ask(server, f"{BALANCE}?key,key=x,f=%h") == ["127.0.0.1:9"]


def test_a_body_of_updates_has_limits_of_its_own(httpd):
    server = httpd("event", conf=farm([DEAD]))
    post = {"method": "POST", "body": b"h=127.0.0.1:9\n" * 20_001}
    (line,) = ask(server, "/athena/mirror/phys/", 400, **post)
    assert line == f"position {20_000 * 14 + 1}: more than 20000 requests in one body"
    (line,) = ask(server, PHYS, 413, **post)
    assert line == "a body has at most 8192 bytes here"
    (line,) = ask(server, BALANCE, 400, method="POST", body=b"farm_one\n" * 17)
    assert line == "position 145: more than 16 requests in one body"


def test_an_answer_is_bounded(httpd):
    many = [f"http://127.0.0.1:{n}" for n in range(9, 509)]
    server = httpd("event", conf="AthMaxEmbed 1000\n" + farm(many))
    long = '%%{nosuch}s' + 'x' * 7900
    assert len(ask(server, f'{PHYS}?n=farm_one,f="{long}"')) == 500
    for query in ("&".join(["n=farm_one"] * 201), f'n=farm_one,f="{"%q" * 3000}"'):
        (line,) = ask(server, PHYS, 413, method="POST", body=query.encode())
        assert "at most" in line
    # Then nothing is done.
    body = b"v=1\nh=127.0.0.1:9,s=off\n" + b"n=farm_one\n" * 201
    (line,) = ask(server, "/athena/mirror/phys/", 413, method="POST", body=body)
    assert line == "a query is about at most 100000 farms and members"
    assert Engine(server).farm()["members"][0]["on"] is True


@pytest.mark.parametrize("body", [b"", b"n=farm_one"])
def test_a_page_elsewhere_may_not_ask_by_post(httpd, body):
    server = httpd("event", conf=farm([DEAD]))
    for header in ({"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert len(ask(server, PHYS, 403, method="POST", body=body, headers=header)) == 1
    assert len(ask(server, PHYS, method="POST", body=body)) == 1


def test_a_query_may_not_be_longer_than_8192_bytes(httpd):
    server = httpd("event", conf="LimitRequestLine 20000\n" + farm([DEAD]))
    assert ask(server, f"{BALANCE}?{'x' * 8192}", 404)
    assert ask(server, f"{BALANCE}?{'x' * 8193}", 414)
    assert fetch(server.port, f"{BALANCE}?{'x' * 30000}").status == 414


def test_requests_of_different_kinds(httpd):
    server = httpd("event", conf=farm([DEAD]) + """
        AthAllowDiverseMulti On
        AthMaxEmbed 3
        <Location "/athena/status/phys">
          Require all denied
        </Location>
        """)
    server.expect(r"AH01630")
    assert ask(server, f'{BALANCE}?farm_one&status/farm/?f="%n,%e"&farm_one') \
        == ["127.0.0.1:9", "farm_one,1", "127.0.0.1:9"]
    assert ask(server, f"{BALANCE}?{'&'.join(['farm_one'] * 4)}", 400)
    # The rules of a path hold for its requests, wherever they stand; then nothing is done.
    assert ask(server, f"{BALANCE}?farm_one&status/phys/?h=127.0.0.1:9", 403) \
        == ["status/phys/ is not for you"]
    assert Engine(server).farm()["elected"] == 2


def test_each_path_can_have_rules_of_its_own(httpd):
    paths = {"balance": "?farm_one", "status/phys": "", "status/farm": "", "status/engine": ""}
    rules = "".join(f"""
        <Location "/athena/{path}">
          Require expr "%{{HTTP:X-For}} == '{path}'"
        </Location>
        """ for path in paths)
    server = httpd("event", conf=farm([DEAD]) + rules)
    server.expect(r"AH01630")
    for own in paths:
        for path, query in paths.items():
            answer = fetch(server.port, f"/athena/{path}/{query}", headers={"X-For": own})
            assert answer.status == (200 if path == own else 403), (own, path)


@pytest.mark.parametrize("line, says", [
    ("AthMaxEmbed 0", "from 1 to 1000"), ("AthMaxEmbed many", "from 1 to 1000"),
    ("AthAllowDiverseMulti 1", "must be On or Off"),
])
def test_directives(make_httpd, line, says):
    said = make_httpd("event").refuses(line)
    assert line.split()[0] in said and says in said
