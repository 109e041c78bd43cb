"""Members that die and come back."""

import concurrent.futures
import contextlib
import threading
import time
from datetime import datetime

import pytest
from harness.api import Api
from harness.client import Client, Closed, fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.httpd import BROKEN, CONNECT_FAILED, ONE_CHILD, TURNED_AWAY
from harness.load import Load, ab
from harness.waiting import free_port, wait_until

RETRY = 1


def get_or_post(n):
    return ("POST" if n % 4 == 0 else "GET"), "/farm/x"


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_member_killed_and_restarted_under_load(httpd, backends, mpm, balancer):
    members = backends(3, apart=True)
    server = httpd(mpm, balancer=balancer, children=32,
                   conf=served(members.urls, settings="lbmethod=roundrobin",
                               each=f"retry={RETRY}"))
    server.expect(BROKEN)
    with Load(server.port, get_or_post, rate=600, clients=24) as load:
        wait_until(lambda: len(load.results) >= 600, what="load before the kill")
        members.kill(1)
        down = len(load.results)
        wait_until(lambda: len(load.results) >= down + 900, what="load without the member")
        members.restart(1)
        wait_until(lambda: sum(members.stats()[1]["requests"].values()) > 0, RETRY + 1,
                   "the member serving again")
        back = len(load.results)
        wait_until(lambda: len(load.results) >= back + 700, what="load after the return")
    assert not load.failed("GET")
    posts = [load.identity(result.number) for result in load.results if result.method == "POST"]
    deliveries = members.deliveries()
    assert [identity for identity in posts if len(deliveries[identity]) > 1] == []
    # Its first second is no more than its fair share: it is probed, then takes its turn.
    first = next(at for at, result in enumerate(load.results) if at >= down + 900
                 and result.member == 1)
    second = [result.member for result in load.results[first:first + 600]]
    assert second.count(1) <= len(second) // 3 + 10
    engine = Engine(server)
    engine.wait_idle()
    engine.wait_usable(3)


def test_disabled_before_the_connection(httpd, backends):
    """Requests that wait for a connection to it go on, and it is not in error for that."""
    members = backends(2)
    server = httpd("event", conf=served(members.urls, settings="lbmethod=roundrobin",
                                        each="max=1 acquire=20000")
                   + ONE_CHILD)
    server.expect(TURNED_AWAY)
    engine, member = Engine(server), f"/farms/farm_one/members/127.0.0.1:{members.ports[0]}"

    def post():
        return fetch(server.port, "/farm/x", method="POST", body=b"once").member

    members.behave(0, hold=True)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        held = pool.submit(post)
        wait_until(lambda: members.total("now") == 1, what="the only connection is in use")
        assert post() == 1
        waits = pool.submit(post)
        wait_until(lambda: engine.column("inflight") == [2, 0], what="a request waits for it")
        Api(server).patch(member, on=False)
        members.release()
        assert (held.result(), waits.result()) == (0, 1)
    Api(server).patch(member, on=True)
    assert engine.column("usable") == [True, True]
    assert engine.column("failed") == [0, 0]
    assert sorted(post() for _ in range(2)) == [0, 1]


def test_a_member_put_back_in_service_is_probed_though_that_was_due_before(httpd, backends):
    members = backends(2, apart=True)
    server = httpd("event", conf=served(members.urls, settings="lbmethod=roundrobin",
                                        each=f"retry={RETRY}"))
    engine, api = Engine(server), Api(server)
    member = "/farms/farm_one/members/" + members.urls[1].removeprefix("http://")
    server.expect(BROKEN)
    members.kill(1)
    assert ab(server.port, "/farm/x", 10, 1).failed == 0
    engine.wait_usable(1)
    api.patch(member, on=False)
    due = time.monotonic() + RETRY
    # A request that looks for due members, and finds none in service.
    wait_until(lambda: fetch(server.port, "/farm/x").status == 200 and time.monotonic() > due,
               what="its time over")
    assert fetch(server.port, "/farm/x").status == 200
    members.restart(1)
    api.patch(member, on=True)
    wait_until(lambda: fetch(server.port, "/farm/x").status == 200 and engine.column("usable")[1],
               what="the member probed")


def test_requests_in_flight_at_the_kill(httpd, backends, mpm, balancer):
    """Kept-alive clients, 50 ms answers: each GET is replayed once and answered 200."""
    members = backends(3, apart=True)
    for n in range(3):
        members.behave(n, delay_ms=50)
    server = httpd(mpm, balancer=balancer, children=32,
                   conf=served(members.urls, settings="lbmethod=roundrobin", each="retry=60"))
    server.expect(BROKEN)
    with Load(server.port, lambda _: ("GET", "/farm/x"), clients=16) as load:
        wait_until(lambda: len(load.results) >= 300, what="load before the kill")
        wait_until(lambda: members.stats()[2]["now"] >= 4, what="requests in flight there")
        members.kill(2)
        down = len(load.results)
        wait_until(lambda: len(load.results) >= down + 100, what="load after the kill")
    assert not load.failed()
    deliveries = members.deliveries()
    replayed = [seen for seen in deliveries.values() if len(seen) > 1]
    assert replayed, "some were in flight"
    assert all(len(seen) == 2 and seen[0] == 2 for seen in replayed), replayed


def test_posts_are_never_replayed(httpd, backends, mpm, balancer):
    members = backends(3)
    server = httpd(mpm, balancer=balancer, conf=served(members.urls))
    server.expect(BROKEN)
    for n in range(4):
        answer = fetch(server.port, "/farm/x?close=1", method="POST", body=b"once",
                       headers={"X-Id": f"fresh-{n}"})
        assert answer.status == 502
    with Client(server.port) as client:
        for n in range(4):
            client.get("/farm/x")
            # To a kept client stock httpd closes instead of answering 502: either is honest.
            with contextlib.suppress(Closed):
                answer = client.request("POST", "/farm/x?close=1", {"X-Id": f"kept-{n}"}, b"once")
                assert answer.status == 502
    deliveries = members.deliveries()
    assert {identity: len(seen) for identity, seen in deliveries.items()} \
        == {f"{kind}-{n}": 1 for kind in ("fresh", "kept") for n in range(4)}
    assert Engine(server).farm()["usable"] == 3


@pytest.mark.parametrize("earlier", [0, 1], ids=["fresh client", "kept client"])
def test_one_bad_url_takes_nobody_down(httpd, backends, mpm, balancer, earlier):
    members = backends(3)
    server = httpd(mpm, balancer=balancer, conf=served(members.urls))
    server.expect(BROKEN)
    with Client(server.port) as client:
        for _ in range(earlier):
            assert client.get("/farm/x").status == 200
        members.reset()
        assert client.get("/farm/x?close=1").status == 502
    assert sorted(members.requests()) == [0, 1, 1]
    engine = Engine(server)
    assert engine.farm()["usable"] == 3
    assert engine.column("up") == [True] * 3
    assert {fetch(server.port, "/farm/x").member for _ in range(9)} == {0, 1, 2}


def test_a_remote_proxy_is_no_second_road_for_a_served_request(httpd, backends, balancer):
    """mod_proxy goes on to the next ProxyRemote, or without one, after a 502."""
    members = backends(2)
    server = httpd("event", balancer=balancer, conf=served(members.urls[:1])
                   + f'ProxyRemote "{members.urls[0]}" "{members.urls[1]}"\n')
    server.expect(BROKEN)
    assert fetch(server.port, "/farm/x?close=1", method="POST").status == 502
    assert members.requests() == [0, 1]
    assert fetch(server.port, "/farm/x").member == 1
    assert Engine(server).column("inflight") == [0]


def test_a_url_that_no_loaded_module_takes(httpd, backends, mpm, balancer):
    members, dead = backends(1), f"http://127.0.0.1:{free_port()}"
    server = httpd(mpm, balancer=balancer, conf=served(
        [dead, f"fcgi://127.0.0.1:{free_port()}", *members.urls], settings="lbmethod=roundrobin")
        + served([dead], path="/back/", name="farm_back", settings="fallback=https://127.0.0.1:1/"))
    server.expect(CONNECT_FAILED + r"|ATH0112|ATH0114|ATH0435")
    assert [fetch(server.port, "/farm/x").member for _ in range(3)] == [0, 0, 0]
    assert Engine(server).column("usable") == [False, False, True]
    assert fetch(server.port, "/back/x").status == 503
    assert len(server.lines(r"ATH0114.*fcgi://.*load mod_proxy_fcgi for fcgi://")) == 1
    assert len(server.lines(r"ATH0114.*load mod_proxy_http for https://, and mod_ssl")) == 1


def test_a_name_that_is_unknown(httpd, backends, mpm, balancer):
    members = backends(1)
    server = httpd(mpm, balancer=balancer, conf=served(
        ["http://nowhere.invalid", *members.urls], settings="lbmethod=roundrobin"))
    server.expect(r"AH00898|ATH0110")
    for _ in range(3):
        assert fetch(server.port, "/farm/x", method="POST", body=b"once").status == 200
    assert members.requests() == [3]
    assert Engine(server).column("usable") == [False, True]


def test_one_probe_a_retry_period(httpd, backends, balancer):
    """32 children, one dead member: discovered by what is under way, then one probe a period."""
    members = backends(2)
    dead = f"http://127.0.0.1:{free_port()}"
    server = httpd("prefork", balancer=balancer, children=32,
                   conf=served([*members.urls, dead], settings="lbmethod=roundrobin",
                               each=f"retry={RETRY}"))
    server.expect(CONNECT_FAILED)
    with Load(server.port, lambda _: ("GET", "/farm/x"), rate=500, clients=32) as load:
        wait_until(lambda: len(server.lines("AH00957")) >= 1, what="the discovery")
        seen = len(load.results)
        wait_until(lambda: len(load.results) >= seen + 2200, what="four periods of load")
    assert not load.failed()
    probes = [datetime.strptime(line[1:32], "%a %b %d %H:%M:%S.%f %Y")
              for line in server.lines("AH00957")]
    # What was under way at the discovery comes within a fraction of the period.
    later = [probe for probe in probes if (probe - probes[0]).total_seconds() > RETRY / 2]
    assert len(probes) - len(later) <= 32
    gaps = [(b - a).total_seconds() for a, b in zip(later, later[1:])]
    assert len(later) >= 3 and min(gaps) >= RETRY * 0.95, gaps


def test_leasttime_forgets_what_an_outage_cost(httpd, backends):
    """A member that is back is known by its answers, not by the failures that put it out."""
    members = backends(2, apart=True)
    server = httpd("event", balancer=False,
                   conf=served(members.urls, settings="lbmethod=leasttime", each=f"retry={RETRY}"))
    server.expect(CONNECT_FAILED)
    members.kill(1)
    assert ab(server.port, "/farm/x", 20, 4).failed == 0
    assert server.lines("ATH0110")
    members.restart(1)

    def shared_again():
        members.reset()
        assert ab(server.port, "/farm/x", 20, 4).failed == 0
        return members.requests()[1] >= 5
    wait_until(shared_again, RETRY + 10, "its share")


def test_leasttime_takes_back_one_that_was_killed_at_work(httpd, backends):
    """Neither what the outage cost nor a wait that it cut off holds it back."""
    members = backends(2, apart=True)
    server = httpd("prefork", balancer=False, children=1,
                   conf=served(members.urls, settings="lbmethod=leasttime", each=f"retry={RETRY}"))
    server.expect(BROKEN)
    with Client(server.port) as client:
        # On a connection that is used again, since that is tried once more.
        wait_until(lambda: client.get("/farm/x").status == 200 and all(members.requests()),
                   what="a connection to both")
        for n in range(2):
            members.behave(n, delay_ms=1000)
        asked = threading.Thread(target=client.get, args=("/farm/x",))
        asked.start()
        wait_until(lambda: members.stats()[0]["now"] or members.stats()[1]["now"], what="a request")
        killed = 0 if members.stats()[0]["now"] else 1
        members.kill(killed)
        asked.join()
    members.behave(1 - killed)
    members.restart(killed)

    def shared_again():
        members.reset()
        assert ab(server.port, "/farm/x", 20, 4).failed == 0
        return members.requests()[killed] >= 5
    wait_until(shared_again, RETRY + 10, "its share")


def test_a_stale_connection_is_no_failure(httpd, backends, balancer):
    """Back ends that close kept connections unannounced, after every third answer."""
    members = backends(2)
    for n in range(2):
        members.behave(n, close_after=3)
    server = httpd("event", balancer=balancer, conf=served(members.urls))
    server.expect(BROKEN)
    with Client(server.port) as client:
        assert [client.get("/farm/x").status for _ in range(200)] == [200] * 200
    engine = Engine(server)
    assert engine.farm()["usable"] == 2
    assert engine.column("failed") == [0, 0]


def test_proxy_initial_not_pooled(httpd, backends):
    """Each client's first request has a new connection, its others keep that, as in stock httpd."""
    members = backends(1)
    server = httpd("event", balancer=False, modules=["env"],
                   conf=served(members.urls) + f'ProxyPass "/direct/" "{members.urls[0]}/"\n'
                   + "SetEnv proxy-initial-not-pooled 1\n" + ONE_CHILD)
    for path in ("/farm/x", "/farm/x", "/direct/x", "/direct/x"):
        members.reset()
        with Client(server.port) as client:
            assert [client.get(path).status for _ in range(4)] == [200] * 4
        assert members.total("connections") == 1


def test_come_again_when_somebody_can_serve(httpd, backends, balancer):
    """At once where members are usable, if not to this request; else when one is probed."""
    down, (well,) = f"http://127.0.0.1:{free_port()}", backends(1).urls
    pinned = "stickysession=sid nofailover=On forcerecovery=Off"
    farms = {"retry": farm([down], name="retry", each="retry=0"),
             "ignored": farm([down], name="ignored", each="status=+I"),
             "spent": farm([down, well], name="spent", settings="lbmethod=first maxattempts=0"),
             "alone": farm([down], name="alone", each="retry=600"),
             "pinned": farm([f"{down}", well], name="pinned", settings=pinned).replace(
                 f'"{down}"', f'"{down}" route=d retry=600')}
    server = httpd("event", balancer=balancer, conf="".join(farms.values()) + "".join(
        f'ProxyPass "/{name}/" "http://{name}/"\n' for name in farms))
    server.expect(CONNECT_FAILED + "|ATH0112")
    for name in farms:
        answer = fetch(server.port, f"/{name}/x", headers={"Cookie": "sid=1.d"})
        after = answer.header("Retry-After")
        assert (answer.status, after) == (503, "60" if name in ("alone", "pinned") else "1"), name


def test_a_fallback_that_nobody_is_at(httpd, backends, balancer):
    """503 as without one; from one that breaks off, 502."""
    (well,) = backends(1).urls
    down = f"http://127.0.0.1:{free_port()}"
    urls = {"refused": down, "unknown": "http://nowhere.invalid", "breaks": f"{well}/x?close=1"}
    server = httpd("event", balancer=balancer, conf="".join(
        served([down], path=f"/{name}/", name=name, settings=f"fallback={url}")
        for name, url in urls.items()))
    server.expect(BROKEN + "|ATH0112|ATH0435|AH00898")
    for name in urls:
        for _ in range(2):
            answer = fetch(server.port, f"/{name}/x", method="POST", body=b"once")
            expected = (502, None) if name == "breaks" else (503, "60")
            assert (answer.status, answer.header("Retry-After")) == expected, name
            assert b"DNS lookup" not in answer.body


def test_ejectafter_and_return(httpd, backends, balancer):
    members = backends(3)
    members.behave(0, status=500)
    server = httpd("event", balancer=balancer, conf=served(
        members.urls, settings="lbmethod=roundrobin ejectafter=3 ejecttime=3 maxeject=50"))
    server.expect(r"ATH0110")
    engine = Engine(server)
    for _ in range(15):
        fetch(server.port, "/farm/x")
    assert engine.column("usable") == [False, True, True]
    assert members.requests()[0] == 3
    members.behave(0)
    wait_until(lambda: fetch(server.port, "/farm/x").member == 0, 10, "the ejected one back")
    assert engine.farm()["usable"] == 3


def test_retrybudget_bounds_replays(httpd, backends, balancer):
    """Every answer breaks: replays stay a fifth of the requests, and three a second."""
    members = backends(3)
    server = httpd("event", balancer=balancer, conf=served(members.urls))
    server.expect(BROKEN)
    seconds = 500 / ab(server.port, "/farm/x?close=1", 500, 4).per_second
    assert 500 < sum(members.requests()) <= 650 + 3 * seconds
    assert Engine(server).farm()["usable"] == 3


@pytest.mark.parametrize("settings", ["lbmethod=first", "lbmethod=byrequests maxattempts=1000"])
def test_a_healthy_member_behind_any_number_of_dead_ones(httpd, backends, balancer, settings):
    members, port = backends(1), free_port()
    dead = [f"http://127.0.0.{n}:{port}" for n in range(2, 72)]
    server = httpd("event", balancer=balancer, conf=served(
        [*dead, *members.urls], each="retry=600",
        settings=f"{settings} fallback={members.urls[0]}/no"))
    server.expect(CONNECT_FAILED)
    answer = fetch(server.port, "/farm/x", method="POST", body=b"once")
    assert (answer.status, answer.header("X-Target")) == (200, "/x")
    elected = Engine(server).column("elected")
    assert max(elected) == 1 and elected[-1] == 1


def test_nothing_usable(httpd, backends, balancer):
    dead = [f"http://127.0.0.1:{free_port()}" for _ in range(2)]
    members = backends(1)
    server = httpd("event", balancer=balancer, conf=served(dead, each="retry=600")
                   + served(dead, path="/back/", name="farm_back", each="retry=600",
                            settings=f"fallback={members.urls[0]}/outage")
                   + served(dead[:1], path="/single/", name="farm_single", each="retry=600",
                            settings="fallback=redirect:http://www.example.com/outage/"))
    server.expect(CONNECT_FAILED + r"|ATH0112")
    # The request that discovers the failure takes part in it, also in a farm of one member.
    for _ in range(2):
        answer = fetch(server.port, "/farm/x")
        assert answer.status == 503 and int(answer.header("Retry-After")) > 0
        answer = fetch(server.port, "/back/some/path?and=query")
        assert (answer.status, answer.header("X-Target")) == (200, "/outage")
        answer = fetch(server.port, "/single/x")
        assert (answer.status, answer.header("Location")) \
            == (302, "http://www.example.com/outage/")
