"""queue: requests wait for a place, best class first, and none of them is lost."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from statistics import median

import pytest
from harness import h2
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import served
from harness.load import Load, at_once, h2load, held
from harness.waiting import wait_until

LIMIT = 5
# Room for 200 requests under way and waiting: at most half of all workers wait.
EVENT = "StartServers 12\nMaxSpareThreads 384\nMaxRequestWorkers 384\n"


def peaks(members):
    return [member["peak"] for _, member in sorted(members.stats().items())]


def farm(members, settings="queue=300 queuetimeout=60000", each=f"maxconn={LIMIT}"):
    return served(members.urls, each=each, settings=settings)


def sessions(members, each, settings):
    """The two members, of the routes a and b."""
    lines = "".join(f'BalancerMember "{url}" route={route} {one}\n' for url, route, one
                    in zip(members.urls, "ab", each, strict=True))
    return (f'<Proxy "balancer://farm_one">\n{lines}'
            f'ProxySet lbmethod=leastconn stickysession=sid queuetimeout=60000 {settings}\n'
            '</Proxy>\nProxyPass "/farm/" "http://farm_one/"\n')


@contextmanager
def asking(server, members):
    """Asks in the background, in the order of the calls. In the end, the members answer."""
    engine = Engine(server)
    with ThreadPoolExecutor(16) as pool:
        def ask(target="x", *, in_flight=None, queued=None):
            asked = pool.submit(fetch, server.port, f"/farm/{target}")
            wait_until(lambda: in_flight in (None, engine.in_flight())
                       and queued in (None, engine.farm()["queued"]), what="it has come so far")
            return asked
        try:
            yield ask
        finally:
            members.release()
    engine.wait_idle()


def many(server, count, target="/farm/x?delay=30"):
    return at_once(count, lambda _: fetch(server.port, target))


def test_200_clients_and_ten_places(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=EVENT + farm(members))
    wait_until(lambda: len(server.child_pids()) >= 12, what="all children")
    answers = many(server, 200)
    assert [answer.status for answer in answers] == [200] * 200
    assert peaks(members) == [LIMIT, LIMIT]
    assert sum(members.requests()) == 200
    Engine(server).wait_idle()


def test_prefork_keeps_half_of_its_children_from_waiting(httpd, backends):
    members = backends(2)
    server = httpd("prefork", children=32, conf=farm(members))
    # 10 under way, 32 of 64 workers waiting.
    assert [answer.status for answer in many(server, 40)] == [200] * 40
    answers = many(server, 200, "/farm/x?delay=100")
    refused = [answer for answer in answers if answer.status != 200]
    assert all((answer.status, answer.header("Retry-After")) == (503, "1") for answer in refused)
    assert len(refused) < 190
    assert peaks(members) == [LIMIT, LIMIT]
    Engine(server).wait_idle()


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_killed_children_leave_no_place_taken_and_nobody_in_line(httpd, backends, mpm):
    members = backends(2)
    server = httpd(mpm, children=32, conf=farm(members))
    # A killed child's entries count until the parent has noticed its end.
    with Load(server.port, lambda _: ("GET", "/farm/x?delay=20"), clients=30) as load:
        for _ in range(2):
            seen = len(load.results)
            wait_until(lambda: len(load.results) > seen + 100, what="load")
            server.kill_children(half=True)
        seen = len(load.results)
        wait_until(lambda: len(load.results) > seen + 200, what="load after the kill")
    assert all(result.status == 200 or result.error for result in load.results)
    Engine(server).wait_idle()
    wait_until(lambda: members.total("now") == 0, what="the back ends are idle")
    members.reset()
    wait_until(lambda: {a.status for a in many(server, 25, "/farm/x?delay=100")} == {200}
               and peaks(members) >= [LIMIT, LIMIT], what="no place was lost, nor one in line")
    assert peaks(members) == [LIMIT, LIMIT]


def test_gold_does_not_wait_for_bronze(httpd, backends):
    members = backends(1)
    server = httpd("event", modules=["setenvif"], conf=EVENT + """
        AthQos gold priority=1
        AthQos bronze priority=9
        SetEnvIf Request_URI "/(gold|bronze)" ATH_CLASS=$1
        CustomLog waits.log "%{ATH_CLASS}e %{ATH_QUEUE_US}e"
        """ + farm(members))
    wait_until(lambda: len(server.child_pids()) >= 12, what="all children")
    bronze = Load(server.port, lambda _: ("GET", "/farm/bronze?delay=20"), clients=60,
                  reconnect=True)
    gold = Load(server.port, lambda _: ("GET", "/farm/gold?delay=20"), clients=2,
                reconnect=True)
    with bronze, gold:
        wait_until(lambda: len(bronze.results) > 300 and len(gold.results) > 50, 30, "answers")
    assert not bronze.failed() and not gold.failed()
    lines = (server.directory / "waits.log").read_text().split("\n")
    waits = {name: [int(line.split()[1]) for line in lines if line.startswith(name)]
             for name in ("gold", "bronze")}
    assert median(waits["gold"]) < median(waits["bronze"]) / 3
    assert peaks(members) == [LIMIT]


def test_who_cannot_wait_is_told(httpd, backends):
    members = backends(1)
    server = httpd("event", conf=farm(members, "queue=1 queuetimeout=300", "maxconn=1"))
    with Client(server.port) as busy:
        members.hold()
        busy.send(b"GET /farm/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: members.total("now") == 1, what="the member is full")
        answers = at_once(3, lambda _: fetch(server.port, "/farm/x"))
        assert [(a.status, a.header("Retry-After")) for a in answers] == [(503, "1")] * 3
        members.release()
        assert busy.answer().status == 200
    assert fetch(server.port, "/farm/x").status == 200


def test_a_client_that_goes_away_leaves_the_line(httpd, backends):
    members = backends(1)
    server = httpd("event", conf="LogLevel athena:debug\n"
                   + farm(members, "queue=1 queuetimeout=60000", "maxconn=1"))
    with Client(server.port) as busy:
        members.hold()
        busy.send(b"GET /farm/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: members.total("now") == 1, what="the member is full")
        with Client(server.port) as leaver:
            leaver.send(b"GET /farm/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
            wait_until(lambda: Engine(server).farm()["queued"] == 1, what="it stands in line")
            assert fetch(server.port, "/farm/x").status == 503
            leaver.abort()
        wait_until(lambda: server.lines("ATH0341.*the client has gone"), what="it has left")
        members.release()
        assert fetch(server.port, "/farm/x").status == 200
    assert members.requests() == [2]


def test_first_fills_members_in_their_order(httpd, backends):
    members = backends(3)
    server = httpd("event", conf=farm(members, "lbmethod=first", "maxconn=4"))
    assert [fetch(server.port, "/farm/x").member for _ in range(6)] == [0] * 6
    assert sorted(a.member for a in held(members, 6, lambda _: fetch(server.port, "/farm/x"))) == [0] * 4 + [1] * 2
    assert peaks(members) == [4, 2, 0]


def test_streams_of_one_connection_wait_each_for_itself(httpd, backends):
    members = backends(1)
    server = httpd("event", modules=["http2", "setenvif"], conf=EVENT + """
        Protocols h2c http/1.1
        LogLevel athena:debug
        AthQos gold priority=1 reserve=50
        SetEnvIf Request_URI "gold" ATH_CLASS=gold
        """ + farm(members, each="maxconn=2"))
    assert h2load(server.port, "/farm/x?delay=5", 60, 2).failed == 0
    # The other place is for gold.
    assert peaks(members) == [1]
    engine = Engine(server)
    engine.wait_idle()
    members.hold()
    with h2.Connection(server.port) as client:
        first = client.ask("/farm/x")
        wait_until(lambda: members.total("now") == 1, what="the place is taken")
        leaver, stayer = client.ask("/farm/x"), client.ask("/farm/x")
        wait_until(lambda: engine.farm()["queued"] == 2, what="two in line")
        gold = client.ask("/farm/gold")
        wait_until(lambda: members.total("now") == 2, what="gold has its own place")
        client.reset(leaver)
        wait_until(lambda: engine.farm()["queued"] == 1, what="one has left the line")
        members.release()
        assert {client.ok() for _ in range(3)} == {first, stayer, gold}
    assert server.lines("ATH0341.*the client has gone")
    assert members.requests() == [63]
    engine.wait_idle()


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_sessions_of_a_draining_member_pass_who_waits_for_another(httpd, backends, mpm):
    members = backends(2)
    server = httpd(mpm, conf=sessions(members, ("maxconn=5 status=+N", "maxconn=1"), "queue=1"))
    members.behave(1, hold=True)
    with asking(server, members) as ask:
        busy, waiter = ask(in_flight=1), ask(queued=1)
        # The line is full, too; and it is none for these.
        assert [fetch(server.port, "/farm/x?sid=1.a").member for _ in range(5)] == [0] * 5
        assert fetch(server.port, "/farm/x").status == 503
        assert not waiter.done()
    assert [one.result().member for one in (busy, waiter)] == [1, 1]


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_session_that_waits_for_its_own_member_holds_up_nobody(httpd, backends, mpm):
    members = backends(2)
    server = httpd(mpm, children=8, conf=sessions(members, ("maxconn=1",) * 2, "queue=4 nofailover=On"))
    members.hold()
    with asking(server, members) as ask:
        busy = [ask("x?sid=1.a", in_flight=1), ask(in_flight=2)]
        pinned = ask("x?sid=2.a", queued=1)
        others = [ask(queued=queued) for queued in (2, 3, 4)]
        members.behave(1)
        assert [one.result(10).member for one in others] == [1] * 3
        assert [fetch(server.port, "/farm/x").member for _ in range(5)] == [1] * 5
        assert not pinned.done()
    assert [one.result().member for one in (*busy, pinned)] == [0, 1, 0]


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_class_has_its_places_while_another_waits(httpd, backends, mpm):
    members = backends(1)
    server = httpd(mpm, children=8, modules=["setenvif"], conf="""
        AthQos gold priority=1
        AthQos batch priority=9 reserve=50
        SetEnvIf Request_URI "/(gold|batch)" ATH_CLASS=$1
        """ + farm(members, each="maxconn=4"))
    members.hold()
    with asking(server, members) as ask:
        gold = [ask("gold", in_flight=1), ask("gold", in_flight=2), ask("gold", queued=1)]
        batch = [ask("batch", in_flight=3), ask("batch", in_flight=4), ask("batch", queued=2)]
    assert [one.result().status for one in gold + batch] == [200] * 6
    assert peaks(members) == [4]


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_who_finds_nothing_passes_the_call_on(httpd, backends, mpm):
    members = backends(2)
    server = httpd(mpm, children=8, conf=farm(members, "lbmethod=first queue=9 retrybudget=100"
                                              " queuetimeout=60000", "maxconn=1"))
    server.expect("AH01102|AH00898")
    members.behave(0, close="head")
    members.behave(1, hold=True)
    with asking(server, members) as ask:
        # They have been to the first member, which is free, and so may only go to the other.
        busy = ask()
        wait_until(lambda: members.requests() == [1, 1], what="the other one is full")
        been = [ask(queued=queued) for queued in (1, 2, 3)]
        wait_until(lambda: members.requests()[0] == 4 and Engine(server).farm()["queued"] == 3,
                   what="all have been there")
        members.behave(0)
        assert [fetch(server.port, "/farm/x").member for _ in range(5)] == [0] * 5
        assert not any(one.done() for one in been)
    assert [one.result().member for one in (busy, *been)] == [1] * 4
