"""`forward=`: where the requests of a farm or a member go that cannot serve them."""

import socket

from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.httpd import CONNECT_FAILED
from harness.waiting import free_port, wait_until

OFF = "status=+D"
UNUSABLE = r"ATH0112"


def dead():
    return f"http://127.0.0.1:{free_port()}"


def test_a_chain_of_three(httpd, backends, balancer):
    """Disabled, then down, then one that serves: path, query and body go along."""
    members = backends(1)
    down = dead()
    server = httpd("event", balancer=balancer,
                   conf=served([dead()], each=OFF, settings="forward=farm_two")
                   + farm([down], name="farm_two", each="retry=600",
                          settings="forward=Farm_Three")
                   + farm(members.urls, name="farm_three"))
    server.expect(CONNECT_FAILED)
    for _ in range(3):
        answer = fetch(server.port, "/farm/some/path?and=query", method="POST", body=b"12345")
        assert (answer.status, answer.member) == (200, 0)
        assert answer.header("X-Target") == "/some/path?and=query"
    engine = Engine(server)
    engine.wait_idle(farm="farm_three")
    # Each farm counts what it gave to a member of its own: farm_two found out that its is down.
    elected = {one["name"]: one["elected"] for one in engine.farms()}
    assert elected == {"farm_one": 0, "farm_two": 1, "farm_three": 3}
    assert members.total("body_bytes") == 15


def test_the_last_farms_fallback_comes_first(httpd, backends, balancer):
    members = backends(2)
    ours, theirs = (f"{url}/outage" for url in members.urls)
    chain = farm([dead()], name="bare", each=OFF) + farm(
        [dead()], name="last", each=OFF, settings=f"fallback={theirs}")
    conf = chain
    for name, target in (("to_bare", "bare"), ("to_last", "last")):
        conf += served([dead()], name=name, path=f"/{name}/", each=OFF,
                       settings=f"forward={target} fallback={ours}")
    server = httpd("event", balancer=balancer, conf=conf)
    server.expect(UNUSABLE)
    for path, member in (("/to_bare/x?y", 0), ("/to_last/x?y", 1)):
        answer = fetch(server.port, path)
        assert (answer.status, answer.member) == (200, member)
        assert answer.header("X-Target") == "/outage"


def test_to_a_url(httpd, backends, balancer):
    """The request's path and query follow the URL; when nobody is there, the fallback answers."""
    members = backends(1)
    gone = {"gone": dead(), "unknown": "http://nowhere.invalid"}
    server = httpd("event", balancer=balancer,
                   conf=served([dead()], each=OFF, settings=f"forward={members.urls[0]}/other/")
                   + "".join(served([dead()], path=f"/{name}/", name=name, each=OFF,
                                    settings=f"forward={url} fallback={members.urls[0]}/outage")
                             for name, url in gone.items()))
    server.expect(CONNECT_FAILED + "|" + UNUSABLE + "|AH00898: DNS lookup failure")
    assert fetch(server.port, "/farm/x?y=1").header("X-Target") == "/other/x?y=1"
    for name in gone:
        answer = fetch(server.port, f"/{name}/x?y=1", method="POST", body=b"12345")
        assert (answer.status, answer.header("X-Target")) == (200, "/outage")
    assert members.total("body_bytes") == 10


def test_a_url_that_got_the_request_is_the_last_to_get_it(httpd, backends):
    """An answer that httpd's own page replaces, and a member that does not say 100 (Continue)."""
    members = backends(2)
    members.behave(0, status=503)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        urls = {"busy": members.urls[0], "silent": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        server = httpd("event", conf="ProxyErrorOverride On\nProxyTimeout 1\n" + "".join(
            served([dead()], path=f"/{name}/", name=name, each=OFF,
                   settings=f"forward={url} fallback={members.urls[1]}/outage")
            for name, url in urls.items()))
        server.expect("AH01102|AH00898")
        for name in urls:
            answer = fetch(server.port, f"/{name}/x", method="POST", body=b"once",
                           headers={"Expect": "100-continue"})
            assert answer.status == 503
    assert members.requests() == [1, 0]


def test_a_failed_attempt_leaves_nothing_on_the_page(httpd, backends, balancer):
    """And however the request ends, the log says how long it waited."""
    members = backends(1)
    unknown = ["http://nowhere.invalid"]
    closed = farm(members.urls, name="closed", settings="queue=1").replace(
        "</Proxy>", "Require all denied\n</Proxy>")
    server = httpd("event", balancer=balancer, conf=(
        served(unknown, name="alone", path="/alone/", settings="queue=1")
        + served(unknown, name="refused", path="/refused/", settings="forward=closed") + closed
        + 'CustomLog waits.log "%U %{ATH_QUEUE_US}e"\n'))
    server.expect(f"AH00898: DNS lookup failure|ATH0110|AH01630|{UNUSABLE}")
    for path, status in [("/alone/x", 503), ("/refused/x", 403)]:
        answer = fetch(server.port, path)
        assert answer.status == status and b"DNS lookup" not in answer.body
    wait_until(lambda: (server.directory / "waits.log").read_text()
               == "/alone/x 0\n/refused/x 0\n", what="the log")


def test_a_sessions_variables_do_not_go_along(httpd, backends, balancer):
    members = backends(1)
    server = httpd("event", balancer=balancer, modules=["headers"], conf=served(
        [dead()], each="route=a", settings="forward=away stickysession=ROUTEID")
        + farm(members.urls, name="away", each="route=b") + """
        Header set X-Session "%{BALANCER_SESSION_STICKY}e %{BALANCER_SESSION_ROUTE}e"
        Header add Set-Cookie "ROUTEID=.%{BALANCER_WORKER_ROUTE}e" env=BALANCER_ROUTE_CHANGED
        """)
    server.expect(CONNECT_FAILED)
    answer = fetch(server.port, "/farm/x", headers={"Cookie": "ROUTEID=.c"})
    assert (answer.status, answer.member, answer.header("Set-Cookie")) == (200, 0, None)
    assert answer.header("X-Session") == "(null) (null)"


def test_sessions_of_a_member(httpd, backends, balancer):
    """A member that is disabled, or found down, gives its own sessions to the other farm."""
    members = backends(2)
    conf = f"""<Proxy "balancer://farm_one">
      BalancerMember "{members.urls[0]}" route=a
      BalancerMember "{dead()}" route=b status=+D forward=farm_two
      BalancerMember "{dead()}" route=c status=+H retry=600 forward=farm_two
      ProxySet stickysession=sid
    </Proxy>
    ProxyPass "/farm/" "http://farm_one/"
    """
    server = httpd("event", balancer=balancer, conf=conf + farm(members.urls[1:], name="farm_two"))
    server.expect(CONNECT_FAILED)
    went = [fetch(server.port, f"/farm/x;sid=1.{route}").member for route in "abcabc"]
    assert went == [0, 1, 1, 0, 1, 1]
    assert fetch(server.port, "/farm/x").member == 0


def test_sections_of_the_farm_finally_used(httpd, backends, balancer):
    members = backends(1)
    closed = farm(members.urls, name="closed").replace("</Proxy>", "Require all denied\n</Proxy>")
    server = httpd("event", balancer=balancer,
                   conf=served([dead()], each=OFF, settings="forward=closed") + closed)
    server.expect(r"AH01630")
    assert fetch(server.port, "/farm/x").status == 403
    assert members.requests() == [0]


def test_redirects_of_the_member_that_answered(httpd, backends, balancer):
    """ProxyPassReverse of the farm that was asked holds for who answers in its place."""
    members = backends(1)
    members.behave(0, headers=[["Location", f"{members.urls[0]}/next"]])
    server = httpd("event", balancer=balancer,
                   conf=served([dead()], each=OFF, settings="forward=farm_two")
                   + 'ProxyPassReverse "/farm/" "http://farm_one/"\n'
                   + farm(members.urls, name="farm_two"))
    assert fetch(server.port, "/farm/x").header("Location") == "http://localhost/farm/next"


def test_circles_and_strangers_are_refused(make_httpd, backends):
    members = backends(1)
    server = make_httpd("event")
    one = farm(members.urls, settings="forward=farm_two")
    two = farm(members.urls, name="farm_two", each="forward=farm_one")
    said = server.refuses(one + two)
    assert "farms forward in a circle: " in said
    assert "farm_one to farm_two" in said and "farm_two to farm_one" in said
    assert "farm farm_one: forward=farm_two: there is no farm of this name" in server.refuses(one)
    same = farm(members.urls, name="farm_two", settings="forward=http://farm_two/")
    assert "this is a farm: write its name alone" in server.refuses(same)
    bad = farm(members.urls, settings="forward=/path")
    assert "forward=/path: must be a farm's name, or an absolute" in server.refuses(bad)
    for value in ("http://127.0.0.1:9?x=1", "http://127.0.0.1:9/#x"):
        for key in ("forward", "fallback"):
            said = server.refuses(farm(members.urls, settings=f"{key}={value}"))
            assert f"{key}={value}: must be " in said and "with a / before any ?" in said
