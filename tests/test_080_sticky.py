"""Sessions: the same answers and the same variables as stock mod_proxy_balancer, where it is right."""

import itertools
from collections import namedtuple

import pytest
from harness import manager, servers
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import served
from harness.httpd import CONNECT_FAILED
from harness.waiting import free_port, wait_until

VARIABLES = ["SESSION_STICKY", "SESSION_ROUTE", "NAME", "WORKER_NAME", "WORKER_ROUTE",
             "ROUTE_CHANGED"]
TELL = "".join(f'Header always set X-{name} "%{{BALANCER_{name}}}e"\n' for name in VARIABLES)
Told = namedtuple("Told", ["status", "member", *(name.lower() for name in VARIABLES)])

# Who serves: (engine, mod_proxy_balancer, MPM).
WITH, ALONE, STOCK = ("on", True, "event"), ("on", False, "prefork"), ("stock", True, "event")
OURS, ALL = [WITH, ALONE], [WITH, ALONE, STOCK]
NAMES = {WITH: "balancer", ALONE: "alone", STOCK: "stock"}


def ask(port, target="/farm/x", cookie=None):
    """One request, and what it was told of its session; unset variables are None."""
    answer = fetch(port, target, headers={"Cookie": cookie} if cookie else {})
    told = (answer.header(f"X-{name}") for name in VARIABLES)
    return Told(answer.status, answer.member, *(None if v == "(null)" else v for v in told))


def farm_of(lines, settings, *, section="", on_pass="", path="/farm/"):
    """A farm whose member lines are given whole, reached in the way stock knows too."""
    members = "".join(f"  BalancerMember {line}\n" for line in lines)
    setting = f"  ProxySet {settings}\n" if settings else ""
    return (f'<Proxy "balancer://farm_one" {section}>\n{members}{setting}</Proxy>\n'
            f'ProxyPass "{path}" "balancer://farm_one{path}" {on_pass}\n{TELL}')


def routed(urls, each=""):
    """Members with the routes a, b, c, …"""
    return [f'"{url}" route={route} {each}' for url, route in zip(urls, "abcdefgh")]


@pytest.fixture
def serve(httpd):
    def start(who, conf, **options):
        engine, balancer, mpm = who
        return httpd(mpm, engine=engine, balancer=balancer, modules=["headers"], conf=conf,
                     **options)
    return start


def check(told, urls, member, sticky, route, changed, routes="abcdefgh"):
    """The six variables, exactly; `member` None is any member."""
    assert told.status == 200, told
    if member is not None:
        assert told.member == member, told
    assert told == Told(200, told.member, sticky, route, "balancer://farm_one", urls[told.member],
                        routes[told.member], changed)


# ---- where the session is found ---------------------------------------------------------------

# settings, [(target, cookie, member, SESSION_STICKY, SESSION_ROUTE, ROUTE_CHANGED)].
J, j = "JSESSIONID", "jsessionid"
ANY = None
FOUND = {
    "cookie and parameter": ("stickysession=JSESSIONID|jsessionid", [
        ("/farm/x", None, ANY, None, None, "1"),
        ("/farm/x", "JSESSIONID=1.b", 1, J, "b", None),
        ("/farm/x", "v=1; JSESSIONID=1.c; w=2", 2, J, "c", None),
        ("/farm/x", "v=1,JSESSIONID=1.c", 2, J, "c", None),
        ("/farm/x", "JSESSIONID =1.c", 2, J, "c", None),
        ("/farm/x", "JSESSIONID=.c", 2, J, "c", None),
        ("/farm/x;jsessionid=1.b", None, 1, j, "b", None),
        ("/farm/x;jsessionid=1.b", "JSESSIONID=1.c", 1, j, "b", None),
        ("/farm/x;jsessionid=1.b?v=1", None, 1, j, "b", None),
        ("/farm/x?jsessionid=1.b", None, 1, j, "b", None),
        ("/farm/x?v=1&jsessionid=1.b&w=2", None, 1, j, "b", None),
        ("/farm/x?jsessionid=1.b", "JSESSIONID=1.c", 1, j, "b", None),
        # The parameter wins, even when it has no route.
        ("/farm/x;jsessionid=1", "JSESSIONID=1.c", ANY, None, None, "1"),
        ("/farm/x;jsessionid=1.zz", "JSESSIONID=1.c", ANY, j, "zz", "1"),
        ("/farm/x;jsessionid=", "JSESSIONID=1.c", 2, J, "c", None),
        # Neither another name nor another case.
        ("/farm/x;JSESSIONID=1.b", None, ANY, None, None, "1"),
        ("/farm/x", "jsessionid=1.b", ANY, None, None, "1"),
        ("/farm/x", "xJSESSIONID=1.b", ANY, None, None, "1"),
        ("/farm/x", "JSESSIONIDx=1.b", ANY, None, None, "1"),
        ("/farm/x", "v=JSESSIONID=1.b", ANY, None, None, "1"),
        # Values without a route, or with nobody's.
        ("/farm/x", "JSESSIONID=1", ANY, None, None, "1"),
        ("/farm/x", "JSESSIONID=", ANY, None, None, "1"),
        ("/farm/x", "JSESSIONID=1.", ANY, J, "", "1"),
        ("/farm/x", "JSESSIONID=1.zz", ANY, J, "zz", "1"),
        ("/farm/x", "JSESSIONID=1.B", ANY, J, "B", "1"),
        ("/farm/x", "JSESSIONID=1.b.c", ANY, J, "b.c", "1"),
        ("/farm/x;jsessionid=1.b;v=1", None, ANY, j, "b;v=1", "1"),
    ]),
    "one name for both": ("stickysession=sid", [
        ("/farm/x", "sid=1.b", 1, "sid", "b", None),
        ("/farm/x;sid=1.b", None, 1, "sid", "b", None),
        ("/farm/x?sid=1.b", None, 1, "sid", "b", None),
        ("/farm/x?sid=1.b", "sid=1.c", 1, "sid", "b", None),
    ]),
    "scolonpathdelim": ("stickysession=sid scolonpathdelim=On", [
        ("/farm/x;sid=1.b;v=1", None, 1, "sid", "b", None),
        ("/farm/x?sid=1.b;v=1", None, 1, "sid", "b", None),
        ("/farm/x;v=1;sid=1.b", None, 1, "sid", "b", None),
    ]),
    "stickysessionsep": ("stickysession=sid stickysessionsep=!", [
        ("/farm/x", "sid=1.a!b", 1, "sid", "b", None),
        ("/farm/x", "sid=1.b", ANY, None, None, "1"),
        ("/farm/x?sid=!c", None, 2, "sid", "c", None),
    ]),
    "no separator": ("stickysession=sid stickysessionsep=Off", [
        ("/farm/x", "sid=b", 1, "sid", "b", None),
        ("/farm/x", "sid=1.b", ANY, "sid", "1.b", "1"),
        ("/farm/x", "sid=", ANY, None, None, "1"),
    ]),
    "no stickysession": ("", [
        ("/farm/x", "JSESSIONID=1.b", ANY, None, None, None),
        ("/farm/x;jsessionid=1.b", None, ANY, None, None, None),
    ]),
}


@pytest.mark.parametrize("who", ALL, ids=NAMES.get)
@pytest.mark.parametrize("settings, table", FOUND.values(), ids=FOUND)
def test_found(serve, backends, who, settings, table):
    members = backends(3)
    server = serve(who, farm_of(routed(members.urls), settings))
    for (target, cookie, *expected), _ in itertools.product(table, range(2)):
        told = ask(server.port, target, cookie)
        print(target, cookie)
        check(told, members.urls, *expected)


# Where stock is wrong: it finds a name within another one, and reads beyond a path segment.
EXACT = [
    ("/farm/x;xjsessionid=1.b", None, ANY, None, None, "1"),
    ("/farm/x?xjsessionid=1.b", None, ANY, None, None, "1"),
    ("/farm/x?v=jsessionid=1.b", None, ANY, None, None, "1"),
    ("/farm/x?xjsessionid=1.b&jsessionid=1.c", "JSESSIONID=1.a", 2, j, "c", None),
    ("/farm/xjsessionid=1.b/y;jsessionid=1.c", None, 2, j, "c", None),
    ("/farm/x;jsessionid=1.b/y", None, 1, j, "b", None),
    ("/farm/x?jsessionid=&v=1.c", "JSESSIONID=1.b", 1, J, "b", None),
    ("/farm/x", 'JSESSIONID="1.b"', 1, J, "b", None),
]


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_names_are_exact(serve, backends, who):
    members = backends(3)
    conf = farm_of(routed(members.urls), "stickysession=JSESSIONID|jsessionid")
    server = serve(who, conf)
    for target, cookie, *expected in EXACT:
        print(target, cookie)
        check(ask(server.port, target, cookie), members.urls, *expected)


HELICON = "routeregex=!(.*)$"
PLACES = {
    "ProxySet": {"settings": f"stickysession=sid {HELICON}"},
    "ProxyPass": {"settings": "", "on_pass": f"stickysession=sid {HELICON}"},
    "<Proxy>": {"settings": "", "section": f'stickysession=sid "{HELICON}"'},
}


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
@pytest.mark.parametrize("place", PLACES)
def test_routeregex(serve, backends, who, place):
    members = backends(3)
    server = serve(who, farm_of(routed(members.urls), **PLACES[place]))
    for target, cookie, *expected in [
        ("/farm/x", "sid=data!b", 1, "sid", "b", None),
        ("/farm/x", "sid=d.c!b", 1, "sid", "b", None),
        ("/farm/x?sid=data!c", "sid=data!b", 2, "sid", "c", None),
        ("/farm/x;sid=data!c", None, 2, "sid", "c", None),
        ("/farm/x", "sid=data.b", ANY, None, None, "1"),
        ("/farm/x", "sid=data!", ANY, "sid", "", "1"),
        ("/farm/x", "sid=data!zz", ANY, "sid", "zz", "1"),
    ]:
        print(target, cookie)
        check(ask(server.port, target, cookie), members.urls, *expected)


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_a_regex_of_words(serve, backends, who):
    """Backslashes arrive, and the first group counts, not the whole match."""
    members = backends(3)
    settings = r'stickysession=sid "routeregex=^(?:[^-]+)-(\\w+)-\\d+$"'
    server = serve(who, farm_of(routed(members.urls), settings))
    check(ask(server.port, cookie="sid=x.y-b-17"), members.urls, 1, "sid", "b", None)
    check(ask(server.port, cookie="sid=x.y-b-z"), members.urls, ANY, None, None, "1")


# ---- states of the session's member -----------------------------------------------------------

# each member's parameters, [(route asked for, member, ROUTE_CHANGED)].
STATES = {
    "draining": (["route=a status=+N", "route=b"], [("a", 0, None), ("b", 1, None)]),
    "stopped": (["route=a status=+S", "route=b"], [("a", 1, "1")]),
    "disabled": (["route=a status=+D", "route=b"], [("a", 1, "1")]),
    "standby": (["route=a", "route=b status=+H"], [("b", 1, None), ("a", 0, None)]),
    "spare": (["route=a", "route=b status=+R"], [("b", 1, None)]),
    "another set": (["route=a", "route=b lbset=5"], [("b", 1, None)]),
    "redirect": (["route=a status=+D redirect=c", "route=b", "route=c"], [("a", 2, "1")] * 4),
    "redirect over two": (["route=a status=+D redirect=b", "route=b status=+D redirect=c",
                           "route=c", "route=d"], [("a", 2, "1")] * 4),
    "redirect to a draining one": (["route=a status=+D redirect=c", "route=b", "route=c status=+N"],
                                   [("a", 2, "1")] * 3),
    "redirect of a usable one": (["route=a redirect=b", "route=b"], [("a", 0, None)] * 3),
    "redirect to nobody": (["route=a status=+D redirect=zz", "route=b"], [("a", 1, "1")]),
    "redirect in a circle": (["route=a status=+D redirect=c", "route=b",
                              "route=c status=+S redirect=a"], [("a", 1, "1"), ("c", 1, "1")]),
}


@pytest.mark.parametrize("who", ALL, ids=NAMES.get)
@pytest.mark.parametrize("each, table", STATES.values(), ids=STATES)
def test_states(serve, backends, who, each, table):
    members = backends(len(each))
    lines = [f'"{url}" {parameters}' for url, parameters in zip(members.urls, each)]
    server = serve(who, farm_of(lines, "stickysession=sid"))
    for route, member, changed in table:
        told = ask(server.port, cookie=f"sid=1.{route}")
        check(told, members.urls, member, "sid", route, changed)


@pytest.mark.parametrize("who", ALL, ids=NAMES.get)
def test_a_standby_with_the_same_route(serve, backends, who):
    """It stands in for the member whose sessions it knows, and only then."""
    members = backends(3)
    lines = [f'"{members.urls[0]}" route=a status=+H', f'"{members.urls[1]}" route=a',
             f'"{members.urls[2]}" route=b']
    server = serve(who, farm_of(lines, "stickysession=sid"))
    server.expect(r"ATH0141: .*route=a")
    check(ask(server.port, cookie="sid=1.a"), members.urls, 1, "sid", "a", None, "aab")
    lines[1] += " status=+D"
    server.conf = farm_of(lines, "stickysession=sid")
    server.restart()
    check(ask(server.port, cookie="sid=1.a"), members.urls, 0, "sid", "a", None, "aab")


# ---- failover ---------------------------------------------------------------------------------


def with_dead(members, parameters="", retry=600):
    """Member 0 (route a) does not listen; the others have b and c."""
    urls = [f"http://127.0.0.1:{free_port()}", *members.urls[1:]]
    lines = routed(urls, f"retry={retry}")
    lines[0] += f" {parameters}"
    return urls, lines


@pytest.mark.parametrize("who", ALL, ids=NAMES.get)
@pytest.mark.parametrize("route_in", ["cookie", "path", "query"])
def test_failover_changes_the_route(serve, backends, who, route_in):
    members = backends(3)
    urls, lines = with_dead(members)
    server = serve(who, farm_of(lines, "stickysession=sid"))
    server.expect(CONNECT_FAILED)
    target, cookie = {"cookie": ("/farm/x", "sid=1.a"), "path": ("/farm/x;sid=1.a", None),
                      "query": ("/farm/x?sid=1.a", None)}[route_in]
    # The request that finds out, and those after it.
    for _ in range(3):
        told = ask(server.port, target, cookie)
        assert told.member in (1, 2)
        check(told, urls, ANY, "sid", "a", "1")
    check(ask(server.port, cookie="sid=1.c"), urls, 2, "sid", "c", None)


@pytest.mark.parametrize("who", ALL, ids=NAMES.get)
def test_failover_goes_where_redirect_says(serve, backends, who):
    members = backends(3)
    urls, lines = with_dead(members, "redirect=c")
    server = serve(who, farm_of(lines, "stickysession=sid"))
    server.expect(CONNECT_FAILED)
    for _ in range(4):
        check(ask(server.port, cookie="sid=1.a"), urls, 2, "sid", "a", "1")


@pytest.mark.parametrize("who", ALL, ids=NAMES.get)
def test_nofailover(serve, backends, who):
    members = backends(3)
    urls, lines = with_dead(members)
    server = serve(who, farm_of(lines, "stickysession=sid nofailover=On"))
    server.expect(CONNECT_FAILED + r"|ATH0112|AH0116[67]|AH01170")
    found_out = ask(server.port, cookie="sid=1.a")
    assert found_out == Told(503, None, "sid", "a", "balancer://farm_one", urls[0], "a", None)
    for _ in range(2):
        assert ask(server.port, cookie="sid=1.a") == Told(503, *[None] * 7)
    # Other sessions, routes of nobody and new clients are balanced as ever.
    check(ask(server.port, cookie="sid=1.b"), urls, 1, "sid", "b", None)
    check(ask(server.port, cookie="sid=1.zz"), urls, ANY, "sid", "zz", "1")
    check(ask(server.port, cookie="sid=1"), urls, ANY, None, None, "1")
    check(ask(server.port), urls, ANY, None, None, "1")


@pytest.mark.parametrize("who", ALL, ids=NAMES.get)
@pytest.mark.parametrize("letter", ["D", "S"])
def test_nofailover_and_a_member_that_people_took_out(serve, backends, who, letter):
    members = backends(2)
    lines = routed(members.urls)
    lines[0] += f"status=+{letter}"
    server = serve(who, farm_of(lines, "stickysession=sid nofailover=On"))
    server.expect(r"ATH0112|AH0116[67]")
    assert ask(server.port, cookie="sid=1.a") == Told(503, *[None] * 7)
    check(ask(server.port, cookie="sid=1.b"), members.urls, 1, "sid", "b", None)


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_nofailover_and_fallback(serve, backends, who):
    """For such a session nothing is usable: the fallback answers, with a URL of its own."""
    members = backends(3)
    _, lines = with_dead(members)
    settings = f"stickysession=sid nofailover=On fallback={members.urls[0]}/outage"
    server = serve(who, farm_of(lines, settings))
    server.expect(CONNECT_FAILED + "|ATH0112")
    for _ in range(2):
        answer = fetch(server.port, "/farm/x", headers={"Cookie": "sid=1.a"})
        assert (answer.status, answer.header("X-Target")) == (200, "/outage")


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_nofailover_503_says_when_to_come_back(serve, backends, who):
    members = backends(3)
    _, lines = with_dead(members)
    server = serve(who, farm_of(lines, "stickysession=sid nofailover=On"))
    server.expect(CONNECT_FAILED + "|ATH0112")
    answer = fetch(server.port, "/farm/x", headers={"Cookie": "sid=1.a"})
    assert answer.status == 503 and int(answer.header("Retry-After")) > 0


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_a_replay_respects_nofailover(serve, backends, who):
    """`retryon` would go on to another member; a session that may not leave gets its answer."""
    members = backends(2)
    for settings, status in [("nofailover=On", 503), ("nofailover=Off", 200)]:
        members.reset()
        members.behave(0, status=503)
        server = serve(who, farm_of(routed(members.urls),
                                    f"stickysession=sid retryon=503 retrybudget=100 {settings}"))
        told = ask(server.port, cookie="sid=1.a")
        assert (told.status, told.member) == (status, 0 if status == 503 else 1)
        assert told.route_changed == (None if status == 503 else "1")
        server.stop()


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_a_session_probes_its_member(serve, backends, who):
    """A member in error is probed by a request of its own session, and is back."""
    members = backends(2, apart=True)
    server = serve(who, farm_of(routed(members.urls, "retry=1"), "stickysession=sid"))
    server.expect(CONNECT_FAILED)
    members.kill(0)
    check(ask(server.port, cookie="sid=1.a"), members.urls, 1, "sid", "a", "1")
    members.restart(0)
    back = wait_until(lambda: next((told for told in [ask(server.port, cookie="sid=1.a")]
                                    if told.member == 0), None), what="the session at its member")
    check(back, members.urls, 0, "sid", "a", None)
    check(ask(server.port, cookie="sid=1.a"), members.urls, 0, "sid", "a", None)
    assert Engine(server).farm()["usable"] == 2


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_forcerecovery_of_a_pinned_session(serve, backends, who):
    """All members in error: the session's own is tried, no other one."""
    members = backends(2, apart=True)
    settings = "stickysession=sid nofailover=On"
    server = serve(who, farm_of(routed(members.urls, "retry=600"), settings))
    server.expect(CONNECT_FAILED + "|ATH0112")
    for n, route in enumerate("ab"):
        members.kill(n)
        assert ask(server.port, cookie=f"sid=1.{route}").status == 503
    for n in range(2):
        members.restart(n)
    told = wait_until(lambda: next((told for told in [ask(server.port, cookie="sid=1.b")]
                                    if told.status == 200), None), what="the forced recovery")
    check(told, members.urls, 1, "sid", "b", None)
    assert Engine(server).column("usable") == [False, True]


# ---- the cookie of our own --------------------------------------------------------------------


def cookies_of(answer):
    return [value for name, value in answer.headers if name.lower() == "set-cookie"]


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_stickyissue(serve, backends, who):
    members = backends(3, apart=True)
    server = serve(who, farm_of(routed(members.urls, "retry=600"),
                                "stickysession=ROUTEID stickyissue=On lbmethod=roundrobin"))
    server.expect(CONNECT_FAILED)
    first = fetch(server.port, "/farm/x")
    home = first.member
    assert cookies_of(first) == [f"ROUTEID=.{'abc'[home]}; Path=/; HttpOnly"]
    jar = {"Cookie": cookies_of(first)[0].split(";")[0]}
    for _ in range(6):
        again = fetch(server.port, "/farm/x", headers=jar)
        assert (again.member, cookies_of(again)) == (home, [])
    # It moves once, and says so once.
    members.kill(home)
    moved = fetch(server.port, "/farm/x", headers=jar)
    assert moved.status == 200 and moved.member != home
    assert cookies_of(moved) == [f"ROUTEID=.{'abc'[moved.member]}; Path=/; HttpOnly"]
    jar = {"Cookie": cookies_of(moved)[0].split(";")[0]}
    for _ in range(6):
        again = fetch(server.port, "/farm/x", headers=jar)
        assert (again.member, cookies_of(again)) == (moved.member, [])


ATTRIBUTES = {
    "path": ("stickyattrs=Path=/farm", "sid=.a; Path=/farm"),
    "all": ('stickyattrs="domain=example.com; Max-Age=60; Secure; HttpOnly; samesite=lax"',
            "sid=.a; Path=/; Domain=example.com; Max-Age=60; Secure; HttpOnly; SameSite=Lax"),
    "unquoted": ("stickyattrs=Secure;SameSite=None", "sid=.a; Path=/; Secure; SameSite=None"),
    "separator": ("stickysessionsep=!", "sid=!a; Path=/; HttpOnly"),
    "no separator": ("stickysessionsep=Off", "sid=a; Path=/; HttpOnly"),
    "routeregex": ("stickysessionsep=! routeregex=!(.*)$", "sid=!a; Path=/; HttpOnly"),
}


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
@pytest.mark.parametrize("settings, cookie", ATTRIBUTES.values(), ids=ATTRIBUTES)
def test_stickyattrs(serve, backends, who, settings, cookie):
    members = backends(1)
    server = serve(who, farm_of(routed(members.urls),
                                f"stickysession=sid stickyissue=On {settings}"))
    assert cookies_of(fetch(server.port, "/farm/x")) == [cookie]
    jar = {"Cookie": cookie.split(";")[0]}
    assert cookies_of(fetch(server.port, "/farm/x", headers=jar)) == []


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_the_applications_cookie_comes_first(serve, backends, who):
    members = backends(1)
    own = [["Set-Cookie", "x=y"], ["set-cookie", "sid=17.a; Path=/app"]]
    members.behave(0, headers=own)
    server = serve(who, farm_of(routed(members.urls), "stickysession=sid stickyissue=On"))
    assert cookies_of(fetch(server.port, "/farm/x")) == ["x=y", "sid=17.a; Path=/app"]
    members.behave(0, headers=[["Set-Cookie", "xsid=1"]])
    assert cookies_of(fetch(server.port, "/farm/x")) == ["xsid=1", "sid=.a; Path=/; HttpOnly"]


def test_the_applications_cookie_comes_first_over_fastcgi(httpd, directory):
    """PHP's own, which stands among other headers there."""
    php = servers.php_fpm(directory, "a")
    server = httpd("event", modules=["proxy_fcgi"], conf=served(
        [php.fcgi], settings="stickysession=PHPSESSID stickyissue=On", each="route=a"))
    try:
        cookie, = cookies_of(fetch(server.port, "/farm/count.php"))
        assert cookie.startswith("PHPSESSID=") and not cookie.startswith("PHPSESSID=.")
    finally:
        php.stop()


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_a_session_in_the_url_needs_no_cookie(serve, backends, who):
    members = backends(2)
    server = serve(who, farm_of(routed(members.urls), "stickysession=sid stickyissue=On"))
    assert cookies_of(fetch(server.port, "/farm/x;sid=1.b")) == []


# ---- hostile input, the log, refusals ---------------------------------------------------------

HOSTILE = [b"sid=" + tail for tail in (
    b".", b"..", b"\xff\xfe.\x80", b".%00", b"." + b"a" * 7000, b"a" * 7000, b".a\t", b"\".a",
    b".a.a.a.a", b"=.a", b".(", b".$(reboot)", b".a' OR 1=1", b"." + b"b;" * 2000)]


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
@pytest.mark.parametrize("settings", ["", "routeregex=!(.*)$", "stickysessionsep=Off"])
def test_hostile_values(serve, backends, who, settings):
    members = backends(2)
    server = serve(who, farm_of(routed(members.urls),
                                f"stickysession=sid stickyissue=On stickysessionsep=! {settings}")
                   + "LogLevel athena:debug")
    with Client(server.port) as client:
        for value in HOSTILE:
            value = value.replace(b".", b"!")
            assert client.request("GET", "/farm/x", {"Cookie": value}).status == 200, value[:40]
    # Nothing of the client's comes back in a header of ours.
    answer = fetch(server.port, "/farm/x", headers={"Cookie": 'sid=!a"b\\ \xe4'})
    own = "" if "Off" in settings else "!"
    assert cookies_of(answer) in [[f"sid={own}{route}; Path=/; HttpOnly"] for route in "ab"]


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_one_debug_line_a_decision(serve, backends, who):
    members = backends(3)
    lines = [f'"{members.urls[0]}" route=a', f'"{members.urls[1]}" route=b status=+D redirect=a',
             f'"{members.urls[2]}" route=c status=+S']
    server = serve(who, farm_of(lines, "stickysession=S|s") + "LogLevel athena:debug")
    name = members.urls[0].removeprefix("http://")
    table = [
        (None, f"neither cookie S nor parameter s: any member: {name}"),
        ("S=1.a", f"S in the cookie has route 'a': its member: {name}"),
        ("S=1", f"S in the cookie has no route: any member: {name}"),
        ("S=1.zz", f"S in the cookie has route 'zz': no member has this route, any member: {name}"),
        ("S=1.b", f"S in the cookie has route 'b': redirected within the farm: {name}"),
        ("S=1.c", f"S in the cookie has route 'c': its member is unusable, any other: {name}"),
    ]
    for n, (cookie, line) in enumerate(table, 1):
        assert ask(server.port, cookie=cookie).member == 0
        told = server.lines(r"ATH0140")
        assert len(told) == n and line in told[-1], told[-1]
    ask(server.port, "/farm/x;s=1.a")
    assert "s in the URL has route 'a'" in server.lines("ATH0140")[-1]


@pytest.mark.parametrize("who", OURS, ids=NAMES.get)
def test_the_reason(serve, backends, who):
    members = backends(2)
    conf = farm_of(routed(members.urls), "stickysession=sid")
    server = serve(who, conf + 'Header always set X-Reason "%{ATH_REASON}e"')
    for cookie, reason in [("sid=1.a", "sticky"), ("sid=1.zz", "method"), ("x=y", "method")]:
        answer = fetch(server.port, "/farm/x", headers={"Cookie": cookie})
        assert answer.header("X-Reason") == reason


def one(settings, parameters="route=a"):
    return farm_of([f'"http://127.0.0.1:9" {parameters}'], settings)


REFUSED = {
    "regex": (one("stickysession=sid routeregex=!(.*"),
              ["httpd.conf", "ProxySet", "routeregex=!(.*", "unclosed group"]),
    "regex on ProxyPass": (farm_of(['"http://127.0.0.1:9"'], "", on_pass="routeregex=[a"),
                           ["ProxyPass", "routeregex=[a", "unclosed character class"]),
    "regex in <Proxy>": (farm_of(['"http://127.0.0.1:9"'], "", section="routeregex=*(a)"),
                         ["Proxy", "routeregex=*(a)", "repetition"]),
    "regex without group": (one("stickysession=sid routeregex=abc"), ["routeregex=abc", "group"]),
    "regex on a member": (one("stickysession=sid", "routeregex=(a)"),
                          ["BalancerMember", "routeregex", "ProxySet"]),
    "regex without session": (one("routeregex=(a)"), ["farm_one", "routeregex", "stickysession"]),
    "issue of what": (one("stickyissue=On"), ["farm_one", "stickyissue=On", "stickysession"]),
    "issue maybe": (one("stickysession=sid stickyissue=maybe"), ["stickyissue=maybe", "On or Off"]),
    "attributes of nothing": (one("stickysession=sid stickyattrs=Secure"),
                              ["farm_one", "stickyattrs", "stickyissue=On"]),
    "attribute": (one("stickysession=sid stickyissue=On stickyattrs=Safe"),
                  ["stickyattrs=Safe", "Path", "SameSite=Strict|Lax|None"]),
    "separator in a route": (one("stickysession=sid", "route=a.b"),
                             ["farm_one", "127.0.0.1:9", "route=a.b", "'.'", "stickysessionsep"]),
    "separator of one's own": (one("stickysession=sid stickysessionsep=-", "route=a-b"),
                               ["route=a-b", "'-'"]),
    "no cookie": (one("stickysession=sid stickyissue=On", '"route=a;b"'),
                  ["route=a;b", "stickyissue=On", "cookie"]),
    "no cookie's name": (one('"stickysession=s id" stickyissue=On'), ["s id", "cookie"]),
    "not read back": (one("stickysession=sid stickyissue=On routeregex=!(.*)$"),
                      ["sid=.a", "routeregex", "stickysessionsep"]),
}


@pytest.mark.parametrize("conf, words", REFUSED.values(), ids=REFUSED)
def test_refused(make_httpd, conf, words):
    server = make_httpd("event", modules=["headers"])
    said = server.refuses(conf)
    assert all(word in said for word in words), said


def test_warnings(serve, backends):
    members = backends(3)
    lines = [f'"{url}" route=a' for url in members.urls[:2]] + [f'"{members.urls[2]}"']
    server = serve(WITH, farm_of(lines, "stickysession=sid stickyissue=On"))
    names = [url.removeprefix("http://") for url in members.urls]
    assert server.lines(rf"ATH0141: farm farm_one: route=a .*{names[0]}, {names[1]}")
    assert server.lines(rf"ATH0142: farm farm_one: member {names[2]}: has no route")
    server.expect("ATH014[12]")
    check(ask(server.port, cookie="sid=1.a"), members.urls, 0, "sid", "a", None, "aa-")


def test_a_separator_matters_to_sessions_only(serve, backends):
    """Without stickysession, or with a regex, a route may hold what it likes."""
    members = backends(1)
    for settings in ("", r'stickysession=sid "routeregex=^(.*)$"'):
        server = serve(WITH, farm_of([f'"{members.urls[0]}" route=a.b'], settings))
        assert ask(server.port, cookie="sid=a.b").worker_route == "a.b"
        server.stop()


def test_a_route_that_mod_proxys_own_page_changes_is_found(serve, backends):
    urls = backends(3).urls
    server = serve(WITH, farm_of(routed(urls), f"stickysession=sid {manager.NONCE}") + manager.CONF)
    manager.edit(server.port, w=urls[2], w_wr="new")
    wait_until(lambda: {ask(server.port, "/farm/x;sid=1.new").member for _ in range(6)} == {2},
               what="the member of the new route")
    assert len({ask(server.port, "/farm/x;sid=1.c").member for _ in range(6)}) > 1
