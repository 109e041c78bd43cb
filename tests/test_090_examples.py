"""Configurations from other manuals, articles and slides, as shown there (see examples/)."""

from pathlib import Path

import pytest
from harness.ajp import Ajp
from harness.client import fetch
from harness.httpd import CONNECT_FAILED

EXAMPLES = Path(__file__).parent / "examples"


@pytest.fixture
def example(httpd):
    """Starts an example; addresses by the names they have in it."""

    def start(name, *, modules=(), **addresses):
        conf = (EXAMPLES / f"{name}.conf").read_text()
        return httpd("event", conf=conf, defines=addresses, modules=modules)

    return start


def addresses(members, *names):
    return {name: f"127.0.0.1:{port}" for name, port in zip(names, members.ports, strict=True)}


def ask(server, path, count, **headers):
    """The answers to `count` requests, one after the other."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answers = [fetch(server.port, path, headers=named) for _ in range(count)]
    assert {answer.status for answer in answers} == {200}, answers
    return answers


def who(answers):
    return [answer.member for answer in answers]


def location(server, members, path, said, host="www.site.com"):
    """The Location that a client gets when every member says `said`."""
    for n in range(members.count):
        members.behave(n, status=302, headers=[["Location", said]])
    return fetch(server.port, path, headers={"Host": host}).header("Location")


def test_athena(example, backends):
    members = backends(2, apart=True)
    www = backends(1)
    server = example("athena", **addresses(members, "one", "two"), **addresses(www, "www"))
    server.expect(f"{CONNECT_FAILED}|ATH0112")
    answers = ask(server, "/reports/today?x", 4)
    assert sorted(who(answers)) == [0, 0, 1, 1]
    assert {answer.header("X-Target") for answer in answers} == {"/reports/today?x"}
    # All are sick: a complete alternative URL.
    members.kill(0)
    assert set(who(ask(server, "/reports/x", 3))) == {1}
    members.kill(1)
    assert {answer.header("X-Target") for answer in ask(server, "/reports/x", 3)} == {"/outage/"}
    assert www.requests() == [3]


def test_the_patch_of_2003(example, backends):
    members = backends(2, apart=True)
    server = example("lb_patch", **addresses(members, "downstreamserver1", "downstreamserver2"))
    server.expect(CONNECT_FAILED)
    # In the order they appear in the configuration, and under the path that was asked for.
    assert who(ask(server, "/snoop", 4)) == [0, 1, 0, 1]
    assert ask(server, "/file500.html", 1)[0].header("X-Target") == "/file500.html"
    # A resource that is not found is no reason to go elsewhere; a connection refused is.
    before = sum(members.requests())
    for status in (404, 500):
        assert fetch(server.port, f"/snoop?status={status}").status == status
    assert sum(members.requests()) == before + 2
    members.kill(0)
    assert set(who(ask(server, "/snoop", 4))) == {1}


def test_the_balancers_manual(example, backends):
    members = backends(2)
    server = example("manual_balancer", **addresses(members, "server50", "server51"))
    # A visit that comes from no page of the manager.
    server.expect("AH10187")
    assert sorted(who(ask(server, "/test/x", 4))) == [0, 0, 1, 1]
    page = ask(server, "/balancer-manager", 1)[0].body.decode()
    assert "balancer://mycluster" in page and all(url in page for url in members.urls)
    for url in members.urls:
        seen = location(server, members, "/test/x", f"{url}/next")
        assert seen == "http://www.site.com/test/next"


def test_regular_expressions(example, backends):
    members = backends(1)
    server = example("slides_regex", **addresses(members, "backend"))
    for host in ("match", "tilde"):
        answer = ask(server, "/images/a.gif", 1, Host=host)[0]
        assert (answer.member, answer.header("X-Target")) == (0, "/images/a.gif")
        assert fetch(server.port, "/images/a.png", headers={"Host": host}).status == 404


def test_what_would_not_work_in_2006_works(example, backends):
    members = backends(2)
    server = example("slides_reverse", **addresses(members, "php1", "php2"))
    assert sorted(who(ask(server, "/apps/x", 5))) == [0, 1, 1, 1, 1]
    for url in members.urls:
        seen = location(server, members, "/apps/x", f"{url}/next")
        assert seen == "http://www.site.com/apps/next"


def test_the_workaround_of_2006(example, backends):
    members = backends(2)
    server = example("slides_workaround", **addresses(members, "php1", "php2"))
    for url in members.urls:
        # mod_proxy's own work; it takes the slash of the member's URL off with it.
        seen = location(server, members, "/apps/x", f"{url}//next")
        assert seen == "http://www.site.com/apps/next"
        assert location(server, members, "/apps/x", f"{url}/") == "http://www.site.com/apps"


def test_helicon(example, backends):
    static, app = backends(2), backends(2, apart=True)
    server = example("helicon", **addresses(static, "static1", "static2"),
                  **addresses(app, "app1", "app2"), app1_host="127.0.0.1", app2_host="127.0.0.1")
    server.expect(CONNECT_FAILED)
    site = {"Host": "www.site.com"}
    answers = ask(server, "/static/a.css", 4, **site)
    assert sorted(who(answers)) == [0, 0, 1, 1]
    assert {answer.header("X-Target") for answer in answers} == {"/media/a.css"}
    for url in static.urls:
        seen = location(server, static, "/static/x", f"{url}/media/next")
        assert seen == "http://www.site.com/static/next"
    # [session_data]![backend_id]
    assert sorted(who(ask(server, "/x", 4, **site))) == [0, 0, 1, 1]
    for n in range(2):
        cookie = f"a=b; sessionid=some.data!app{n + 1}"
        assert who(ask(server, "/x", 3, Cookie=cookie, **site)) == [n] * 3
    assert location(server, app, "/x", f"{app.urls[0]}/next") == "http://www.site.com/next"
    # No line names the second application server.
    assert location(server, app, "/x", f"{app.urls[1]}/next") == f"{app.urls[1]}/next"
    for n in range(2):
        app.behave(n, headers=[["Set-Cookie", f"sessionid=1!app{n + 1}; Domain=127.0.0.1"]])
        answer = ask(server, "/x", 1, Cookie=f"sessionid=1!app{n + 1}", **site)[0]
        assert answer.header("Set-Cookie") == f"sessionid=1!app{n + 1}; Domain=www.site.com"
    # One server is down: all its requests go to the other.
    app.kill(0)
    assert who(ask(server, "/x", 3, Cookie="sessionid=1!app1", **site)) == [1] * 3


def test_the_balancers_manual_sticks_by_mod_headers(example, backends):
    members = backends(2)
    server = example("manual_headers", modules=["headers"],
                  **addresses(members, "server50", "server51"))
    first = ask(server, "/test/x", 1)[0]
    cookie = first.header("Set-Cookie")
    assert cookie == f"ROUTEID=.{first.member + 1}; path=/"
    for answer in ask(server, "/test/x", 4, Cookie=cookie.split(";")[0]):
        assert (answer.member, answer.header("Set-Cookie")) == (first.member, None)
    other = ask(server, "/test/x", 1, Cookie="ROUTEID=.3")[0]
    assert other.header("Set-Cookie") == f"ROUTEID=.{other.member + 1}; path=/"


def test_the_balancers_manual_sticks_as_tomcat_does(example, backends):
    members = backends(2)
    server = example("manual_servlets", modules=["headers"],
                  **addresses(members, "server50", "server51"))
    cookie = {"Cookie": "JSESSIONID=abc.node2"}
    for path, headers, sticky, member in [
        ("/test/x", cookie, "JSESSIONID", 1),
        ("/test/x;jsessionid=abc.node1", {}, "jsessionid", 0),
        ("/test/x?jsessionid=abc.node1", {}, "jsessionid", 0),
        # The request parameter is used where both provide a route.
        ("/test/x;jsessionid=abc.node1?y", cookie, "jsessionid", 0),
    ]:
        for answer in ask(server, path, 2, **headers):
            route = f"node{member + 1}"
            seen = [answer.header(f"X-{name}")
                    for name in ("Sticky", "Session-Route", "Worker-Route", "Changed")]
            assert answer.member == member, (path, headers)
            assert seen == [sticky, route, route, "(null)"], (path, headers)


def test_pooling(example, backends):
    members = backends(3, apart=True)
    server = example("slides_pooling", **addresses(members, "www1", "www3", "www2"))
    server.expect(CONNECT_FAILED)
    # The slide's ProxyPass has no slash behind foo: /x would be balancer://foox, as in stock httpd.
    assert sorted(who(ask(server, "/?size=1000", 6))) == [0, 0, 0, 1, 1, 1]
    members.kill(0)
    members.kill(1)
    assert set(who(ask(server, "/", 3))) == {2}


def test_cluster_sets(example, backends):
    members = backends(5, apart=True)
    names = ("php1", "php2", "phpbkup", "offsite1", "offsite2")
    server = example("slides_sets", modules=["access_compat"], **addresses(members, *names))
    server.expect(f"{CONNECT_FAILED}|AH10187")
    shares = who(ask(server, "/apps/x?size=1000", 10))
    assert (shares.count(0), shares.count(1)) == (2, 8)
    # The standby of the first set before the second set.
    members.kill(0)
    members.kill(1)
    assert set(who(ask(server, "/apps/x", 3))) == {2}
    members.kill(2)
    assert set(who(ask(server, "/apps/x?size=1000", 4))) == {3, 4}
    page = ask(server, "/balancer-manager", 1)[0].body.decode()
    assert all(url in page for url in members.urls)


@pytest.fixture
def tomcats():
    started = [Ajp("tc1"), Ajp("tc2")]
    yield started
    for one in started:
        one.stop()


def test_all_together(example, backends, tomcats):
    members, images = backends(3), backends(1)
    server = example("slides_together", modules=["proxy_ajp"],
                  **addresses(members, "php1", "php2", "phpbkup"), **addresses(images, "images"),
                  tc1=tomcats[0].address, tc2=tomcats[1].address)
    shares = who(ask(server, "/apps/x?size=1000", 10))
    assert (shares.count(0), shares.count(1), shares.count(2)) == (2, 8, 0)
    bodies = [answer.body for answer in ask(server, "/serv/x", 10)]
    assert (bodies.count(b"tc1"), bodies.count(b"tc2")) == (2, 8)
    assert ask(server, "/images/x", 1)[0].header("X-Target") == "/x"
    assert images.requests() == [1]
