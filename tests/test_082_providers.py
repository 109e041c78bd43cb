"""Providers, both ways: our methods under mod_proxy_balancer, others' under our engine."""

import re
import threading

import pytest
from harness import manager
from harness.client import Client, Closed, fetch
from harness.engine import Engine
from harness.farms import served
from harness.httpd import CONNECT_FAILED
from harness.load import ab, at_once
from harness.plugin import compiled
from harness.waiting import free_port, wait_until

OURS = ["roundrobin", "leastconn", "leasttime", "traffic"]


@pytest.fixture(scope="session")
def plugins(tmp_path_factory):
    """The sample method and the third party's provider, where httpd's children can read them."""
    made = {}

    def get(name, **options):
        key = (name, str(options))
        if key not in made:
            place = tmp_path_factory.mktemp(name)
            made[key] = {name: compiled(name, place, **options)}
        return made[key]

    return get


def dead():
    return f"http://127.0.0.1:{free_port()}"


def section(lines, settings):
    """A farm whose members have lines of their own, for mod_proxy_balancer."""
    members = "\n".join(f'  BalancerMember {line}' for line in lines)
    return (f'<Proxy "balancer://farm_one">\n{members}\n  ProxySet {settings}\n</Proxy>\n'
            'ProxyPass "/farm/" "balancer://farm_one/"\n')


def figures(server):
    """What mod_status tells of the members, also while the engine is off."""
    answer = fetch(server.port, "/server-status?auto")
    assert answer.status == 200, answer
    found = re.findall(r"^Athena\[[^]]*\]: (\S+) (.*)$", answer.body.decode(), re.M)
    return [dict(pair.split("=") for pair in rest.split()) for _, rest in found]


STATUS = '<Location "/server-status">\nSetHandler server-status\n</Location>\n'


# ---- ours under mod_proxy_balancer -------------------------------------------------------------


@pytest.mark.parametrize("method", OURS)
def test_the_next_set_is_balanced_when_the_first_is_out(httpd, backends, method):
    members = backends(2)
    one, two = members.urls
    server = httpd("event", engine="off", conf=section(
        [f"{dead()} retry=600", f"{one} lbset=1", f"{two} lbset=1"], f"lbmethod={method}"))
    server.expect(CONNECT_FAILED)
    assert all(fetch(server.port, "/farm/x").status == 200 for _ in range(40))
    assert sum(members.requests()) == 40
    # leasttime has reasons of its own for unequal shares.
    least = 1 if method == "leasttime" else 15
    assert min(members.requests()) >= least, members.requests()


@pytest.mark.parametrize("method", OURS)
def test_spares_and_standbys_stand_in(httpd, backends, method):
    members = backends(3)
    one, spare, standby = members.urls
    server = httpd("event", engine="off", conf=section(
        [f"{dead()} retry=600", one, f"{spare} status=+R", f"{standby} status=+H"],
        f"lbmethod={method}"))
    server.expect(CONNECT_FAILED)
    assert all(fetch(server.port, "/farm/x").status == 200 for _ in range(40))
    used, stood_in, idle = members.requests()
    least = 1 if method == "leasttime" else 15
    assert min(used, stood_in) >= least and idle == 0, members.requests()


def test_a_member_in_error_is_back_after_its_retry(httpd, backends):
    members = backends(2, apart=True)
    server = httpd("event", engine="off", conf=section(
        [f"{url} retry=1" for url in members.urls], "lbmethod=roundrobin"))
    server.expect(CONNECT_FAILED)
    members.kill(1)
    assert all(fetch(server.port, "/farm/x").status == 200 for _ in range(10))
    members.restart(1)
    wait_until(lambda: fetch(server.port, "/farm/x").member == 1, what="the member in service")


def test_errors_of_a_run_with_the_engine_do_not_outlast_it(make_httpd, backends):
    """A graceful restart keeps that a member was in error; nobody would end it with the engine off."""
    members = backends(2, apart=True)
    conf = section([f"{url} retry=600" for url in members.urls], "lbmethod=roundrobin")
    server = make_httpd("event", conf=conf)
    server.expect(CONNECT_FAILED)
    server.start()
    members.kill(1)
    assert all(fetch(server.port, "/farm/x").status == 200 for _ in range(4))
    members.restart(1)
    server.engine = "off"
    server.graceful()
    assert {fetch(server.port, "/farm/x").member for _ in range(6)} == {0, 1}


def test_counts_while_the_engine_is_off(httpd, backends):
    members = backends(1)
    server = httpd("event", engine="off", modules=["status"], conf=STATUS + section(
        [f"{dead()} retry=600", f"{members.urls[0]} disablereuse=On"], "lbmethod=roundrobin"))
    server.expect(CONNECT_FAILED)
    with Client(server.port) as client:
        assert [client.get("/farm/x").status for _ in range(5)] == [200] * 5
    wait_until(lambda: figures(server)[1]["served"] == "5", what="five answers")
    # The first request went to the dead one first: an attempt each.
    lost, good = figures(server)
    assert (lost["elected"], lost["served"], lost["failed"]) == ("1", "0", "1")
    assert (good["elected"], good["failed"], good["inflight"]) == ("5", "0", "0")


def test_a_connection_that_breaks_is_no_answer(httpd, backends):
    """For a kept-alive client mod_proxy_http closes without a word, and calls it a success."""
    members = backends(1)
    server = httpd("event", engine="off", modules=["status"], conf=STATUS + section(
        [f"{members.urls[0]} disablereuse=On"], "lbmethod=leastconn"))
    server.expect(r"AH01102|AH00898|AH01097")
    with Client(server.port) as client:
        assert client.get("/farm/x").status == 200
        with pytest.raises((Closed, ConnectionResetError)):
            client.get("/farm/x?close=1")
    wait_until(lambda: figures(server)[0]["inflight"] == "0", what="nothing under way")
    assert (figures(server)[0]["served"], figures(server)[0]["failed"]) == ("1", "1")


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_the_manager_switches_among_ours(httpd, backends, mpm):
    members = backends(3)
    server = httpd(mpm, engine="off", children=8, conf=manager.CONF + section(
        members.urls, f"lbmethod=leasttime {manager.NONCE}"))
    assert "roundrobin" in manager.edit(server.port, b_lbm="roundrobin")
    members.reset()
    assert ab(server.port, "/farm/x", 300, 8).failed == 0
    # A child learns of it with its next request, before it chooses.
    assert members.requests() == [100, 100, 100]


def test_the_manager_switches_to_ours_from_stock(httpd, backends):
    """The board does not know the farm yet: served by mod_proxy's own counters, and said so."""
    members = backends(2)
    server = httpd("event", engine="off", conf=manager.CONF + section(
        [*members.urls, f"{dead()} status=+D"], f"lbmethod=byrequests {manager.NONCE}"))
    manager.edit(server.port, b_lbm="leastconn")
    assert ab(server.port, "/farm/x", 200, 4).failed == 0
    assert min(members.requests()) >= 40, members.requests()
    assert server.lines(r"ATH0153: balancer://farm_one")
    server.expect(r"ATH0153")


def test_the_manager_takes_a_member_out_at_once(httpd, backends):
    members = backends(2)
    server = httpd("event", engine="off", conf=manager.CONF + section(
        members.urls, f"lbmethod=roundrobin {manager.NONCE}"))
    manager.edit(server.port, w=members.urls[0], w_status_D="1")
    members.reset()
    assert all(fetch(server.port, "/farm/x").status == 200 for _ in range(10))
    assert members.requests() == [0, 10]


@pytest.mark.parametrize("method", ["byrequests", "bybusyness", "bytraffic"])
def test_stock_names_belong_to_stock_modules(httpd, backends, method):
    """With stock's modules loaded the board stays out of it; without them ours serve."""
    members = backends(2)
    for loaded in (True, False):
        server = httpd("event", engine="off", balancer=loaded,
                       modules=[] if loaded else ["slotmem_shm", "proxy_balancer", "status"],
                       conf=("" if loaded else STATUS)
                       + section(members.urls, f"lbmethod={method}"))
        members.reset()
        assert all(fetch(server.port, "/farm/x?size=9999").status == 200 for _ in range(10))
        assert members.requests() == [5, 5]
        assert (server.directory / "athena.board").exists() != loaded


# ---- others' under our engine ------------------------------------------------------------------


def test_a_third_partys_provider_is_asked(httpd, backends, plugins, balancer):
    """The finder complains when two threads are in it at a time."""
    members = backends(3)
    server = httpd("event", balancer=balancer, plugins=plugins("lbmethod_last"), children=32,
                   conf=served(members.urls, settings="lbmethod=last"))
    assert ab(server.port, "/farm/x", 400, 32).failed == 0
    assert members.requests() == [0, 0, 400]
    assert Engine(server).farm()["method"] == "last"


def test_it_sees_errors_and_states(httpd, backends, plugins, balancer):
    members = backends(3, apart=True)
    one, two, three = members.urls
    server = httpd("event", balancer=balancer, plugins=plugins("lbmethod_last"), conf=section(
        [one, f"{two} retry=600", f"{three} status=+D"], "lbmethod=last"))
    server.expect(CONNECT_FAILED)
    assert fetch(server.port, "/farm/x").member == 1
    members.kill(1)
    assert [fetch(server.port, "/farm/x").member for _ in range(6)] == [0] * 6
    engine = Engine(server)
    assert engine.column("failed") == [0, 1, 0]
    assert engine.column("error") == [None, "no connection", None]


def test_it_may_not_have_its_way(httpd, backends, plugins, balancer):
    """It names a member that this request was at, or that is in error, or none of the farm."""
    members = backends(3, apart=True)
    members.behave(2, close="head")
    server = httpd("event", balancer=balancer, plugins=plugins("lbmethod_last"), conf=served(
        members.urls, settings="lbmethod=last", each="retry=600 disablereuse=On"))
    server.expect(CONNECT_FAILED + "|AH01102|AH00898|AH01097")
    # Broken there, replayed: it names the same one, still free of errors.
    assert fetch(server.port, "/farm/x", headers={"X-Last": "2"}).member == 0
    members.kill(1)
    for _ in range(3):
        assert fetch(server.port, "/farm/x", headers={"X-Last": "1"}).member == 0
    # Its refusal is a refusal.
    assert fetch(server.port, "/farm/x", headers={"X-Last": "-1"}).status == 503
    assert fetch(server.port, "/farm/x", headers={"X-Last": "0"}).member == 0


def test_what_it_writes_is_taken_over(httpd, backends, plugins):
    """The parent looks about every ten seconds, whoever changed mod_proxy's structures."""
    members = backends(2)
    disabling = plugins("lbmethod_last", replace={
        "    apr_sleep(200);\n": "    workers[0]->s->status |= PROXY_WORKER_DISABLED;\n"})
    server = httpd("prefork", plugins=disabling,
                   conf=served(members.urls, settings="lbmethod=last"))
    assert fetch(server.port, "/farm/x").member == 1
    wait_until(lambda: Engine(server).column("on") == [False, True], 30, "the parent's look")


def test_it_sees_our_counts(httpd, backends, plugins):
    members = backends(1)
    server = httpd("event", balancer=False, plugins=plugins("lbmethod_last"), children=32,
                   conf="LogLevel lbmethod_last:debug\n"
                        + served(members.urls, settings="lbmethod=last"))
    waiting = threading.Thread(target=fetch, args=(server.port, "/farm/x?delay=1500"))
    waiting.start()
    wait_until(lambda: Engine(server).in_flight() == 1, what="a request under way")
    assert fetch(server.port, "/farm/x").status == 200
    waiting.join()
    assert server.lines(r"last: http://127.0.0.1:\d+ busy=1 elected=1")


def test_sessions_come_first(httpd, backends, plugins):
    """The provider's or mod_proxy's balance takes note of them, under the same lock."""
    members = backends(3)
    server = httpd("event", plugins=plugins("lbmethod_last"), children=32, conf=section(
        [f"{url} route=r{n}" for n, url in enumerate(members.urls)],
        "lbmethod=last stickysession=SID"))
    answers = at_once(16, lambda n: fetch(server.port, "/farm/x",
                                          headers={"Cookie": f"SID=x.r{n % 2}"}))
    assert [answer.member for answer in answers] == [n % 2 for n in range(16)]
    assert fetch(server.port, "/farm/x").member == 2


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_the_manager_switches_to_it(httpd, backends, plugins, mpm):
    members = backends(3)
    server = httpd(mpm, plugins=plugins("lbmethod_last"), children=8, conf=manager.CONF + served(
        members.urls, settings=f"lbmethod=roundrobin {manager.NONCE}"))
    assert ab(server.port, "/farm/x", 60, 8).failed == 0
    manager.edit(server.port, b_lbm="last")
    members.reset()
    assert ab(server.port, "/farm/x", 100, 8).failed == 0
    assert members.requests() == [0, 0, 100]
    assert Engine(server).farm()["method"] == "last"


# httpd's own, and ours where that is not loaded.
HEARTBEATS = ["lbmethod_heartbeat", None]


def monitored(provider):
    return ["slotmem_shm", "heartmonitor"] + [provider] * bool(provider)


@pytest.mark.parametrize("provider", HEARTBEATS)
def test_heartbeat_goes_by_what_it_has_heard(httpd, directory, backends, balancer, provider):
    """It knows servers by host alone, so one has another name."""
    members = backends(2)
    heard = directory / "heartbeats"
    urls = [f"http://localhost:{members.ports[0]}", members.urls[1]]

    def hear(*hosts, busy=1):
        fresh = directory / "fresh"
        fresh.write_text("".join(f"{host} &ready=3&busy={busy}&lastseen=0\n" for host in hosts))
        fresh.chmod(0o644)
        fresh.rename(heard)

    hear("127.0.0.1")
    server = httpd("event", balancer=balancer, modules=monitored(provider),
                   conf=f'HeartbeatMaxServers 0\nHeartbeatStorage "{heard}"\n'
                        + served(urls, settings="lbmethod=heartbeat"))
    server.expect(r"ATH0112|ATH0425|AH01213")
    assert Engine(server).farm()["method"] == "heartbeat"
    assert {fetch(server.port, "/farm/x").member for _ in range(8)} == {1}
    hear("localhost")
    assert {fetch(server.port, "/farm/x").member for _ in range(8)} == {0}
    hear("localhost", "127.0.0.1")
    assert {fetch(server.port, "/farm/x").member for _ in range(40)} == {0, 1}
    # A quarter of 3.
    hear("localhost", "127.0.0.1", busy=0)
    assert fetch(server.port, "/farm/x").status == 503
    hear("192.0.2.1")
    assert fetch(server.port, "/farm/x").status == 503
    heard.unlink()
    assert fetch(server.port, "/farm/x").status == 503


@pytest.mark.parametrize("provider", HEARTBEATS)
def test_heartbeat_through_mod_heartmonitor(httpd, backends, provider):
    """Servers tell it by POST here; their datagrams end in the same table."""
    members = backends(2)
    urls = [f"http://localhost:{members.ports[0]}", members.urls[1]]
    server = httpd("event", modules=monitored(provider),
                   conf='HeartbeatListen 239.0.0.1:27999\n'
                        '<Location "/heard">\nSetHandler heartbeat\n</Location>\n'
                        + served(urls, settings="lbmethod=heartbeat"))
    server.expect(r"ATH0112")
    assert fetch(server.port, "/farm/x").status == 503
    for _ in range(2):
        answer = fetch(server.port, "/heard", method="POST", body=b"v=1&ready=40&busy=1")
        assert answer.status == 200, answer
        assert {fetch(server.port, "/farm/x").member for _ in range(8)} == {1}
        server.graceful()


def test_heartbeat_is_mod_proxy_balancers_with_the_engine_off(httpd, directory, backends):
    members = backends(2)
    heard = directory / "heartbeats"
    heard.write_text("127.0.0.1 &ready=3&busy=1&lastseen=0\n")
    heard.chmod(0o644)
    urls = [f"http://localhost:{members.ports[0]}", members.urls[1]]
    server = httpd("event", engine="off", modules=monitored(None),
                   conf=f'HeartbeatMaxServers 0\nHeartbeatStorage "{heard}"\n'
                        + section(urls, "lbmethod=heartbeat"))
    assert {fetch(server.port, "/farm/x").member for _ in range(8)} == {1}


# ---- traffic and bytraffic ---------------------------------------------------------------------


@pytest.mark.parametrize("method", ["traffic", "bytraffic"])
def test_bytes_decide(httpd, backends, balancer, method):
    members = backends(2)
    settings = f"lbmethod={method}" + (" halflife=3600" if method == "traffic" else "")
    server = httpd("event", balancer=balancer, conf=served(members.urls, settings=settings))
    assert {fetch(server.port, "/farm/x?size=100").member for _ in range(2)} == {0, 1}
    loaded = fetch(server.port, "/farm/x?size=500000").member
    for _ in range(20):
        assert fetch(server.port, "/farm/x?size=10").member == 1 - loaded
    # Bytes that clients send count as well.
    body = b"y" * 600_000
    fetch(server.port, "/farm/x", method="POST", body=body)
    assert fetch(server.port, "/farm/x").member == loaded


def test_bytraffic_shares_requests_without_bodies(httpd, backends, balancer):
    """As stock httpd does, which counts headers: not all of them go to the one that is behind."""
    members = backends(2)
    server = httpd("event", balancer=balancer, conf=served(
        members.urls, settings="lbmethod=bytraffic", weights=[1, 2]))
    assert fetch(server.port, "/farm/x?size=700").member == 0
    members.reset()
    for _ in range(30):
        fetch(server.port, "/farm/x", method="HEAD")
    light, heavy = members.requests()
    assert 8 <= light <= 10 and heavy == 30 - light


def test_bytraffic_begins_anew_with_a_start(httpd, backends):
    """As in stock httpd, or a member that is added would get everything for days."""
    members = backends(2)
    server = httpd("event", conf=served(members.urls, settings="lbmethod=bytraffic"))
    assert fetch(server.port, "/farm/x?size=500000").member == 0
    assert fetch(server.port, "/farm/x").member == 1
    server.graceful()
    assert fetch(server.port, "/farm/x").member == 0
    assert Engine(server).members()[0]["bytes_out"] >= 500_000


def test_bytraffic_begins_anew_with_a_member(httpd, backends):
    """One that was out of service for a while does not get all requests until it has caught up."""
    members = backends(2)
    server = httpd("event", conf=manager.CONF + served(
        members.urls, settings=f"lbmethod=bytraffic {manager.NONCE}") + "LogLevel athena:info\n")

    def seen(times):
        wait_until(lambda: len(server.lines(r"ATH0113")) == times, what="the watch's look")

    manager.edit(server.port, w=members.urls[1], w_status_D="1")
    seen(1)
    for _ in range(5):
        assert fetch(server.port, "/farm/x?size=100000").member == 0
    manager.edit(server.port, w=members.urls[1], w_status_D="0")
    seen(2)
    members.reset()
    for _ in range(10):
        fetch(server.port, "/farm/x?size=1000")
    assert members.requests() == [5, 5]


def test_traffic_by_weight(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(
        members.urls, settings="lbmethod=traffic halflife=3600", weights=[1, 3]))
    assert ab(server.port, "/farm/x?size=1000", 800, 8).failed == 0
    light, heavy = members.requests()
    assert 160 <= light <= 240 and heavy == 800 - light, members.requests()


# ---- mod_athena.h ------------------------------------------------------------------------------


def sample(plugins, **options):
    return plugins("athena_sample", **options)


@pytest.mark.parametrize("load", ["first", "last"])
def test_the_sample_balances_a_farm(httpd, backends, plugins, mpm, balancer, load):
    members = backends(3)
    server = httpd(mpm, balancer=balancer, load=load, plugins=sample(plugins), conf=served(
        members.urls, settings="lbmethod=sample", weights=[1, 2, 3]))
    for _ in range(60):
        assert fetch(server.port, "/farm/x").status == 200
    assert members.requests() == [10, 20, 30]
    assert Engine(server).farm()["method"] == "sample"


def test_the_sample_gets_its_reports(httpd, backends, plugins):
    members = backends(2, apart=True)
    server = httpd("event", balancer=False, plugins=sample(plugins),
                   conf="LogLevel athena_sample:debug\n" + served(
                       members.urls, settings="lbmethod=sample", each="retry=600 disablereuse=On"))
    server.expect(CONNECT_FAILED + "|AH01102|AH00898|AH01097")

    def reports(pattern):
        return len(server.lines(r"sample: 127.0.0.1:\d+ " + pattern))

    assert fetch(server.port, "/farm/x").member == 0
    assert reports("outcome=0 status=200 first_byte=yes took=yes failure=0 served=1 failed=0") == 1
    assert fetch(server.port, "/farm/x?status=500").member == 1
    assert reports("outcome=0 status=500 .* failure=1 served=1") == 1
    # It passes over the one that failed, though it has not had more.
    assert [fetch(server.port, "/farm/x").member for _ in range(4)] == [0] * 4
    members.behave(0, close="head")
    assert fetch(server.port, "/farm/x").member == 1
    assert reports("outcome=3 status=0 first_byte=no .* failure=1") == 1
    members.kill(0)
    members.behave(1, status=500)
    # Now both have failed, and the dead one is asked when it has had less.
    lost = "outcome=1 status=0 first_byte=no .* failure=1"
    wait_until(lambda: fetch(server.port, "/farm/x").status == 500 and reports(lost) == 1,
               what="a report of the dead one")


def test_the_samples_refusals_and_mistakes(httpd, backends, plugins):
    members = backends(2)
    server = httpd("event", plugins=sample(plugins),
                   conf=served(members.urls, settings="lbmethod=sample"))
    refused = fetch(server.port, "/farm/x", headers={"X-Sample-Nobody": "1"})
    assert refused.status == 503 and refused.header("Retry-After")
    assert fetch(server.port, "/farm/x", headers={"X-Sample-Mistake": "1"}).member == 0
    assert server.lines(r"ATH0151: farm farm_one: lbmethod=sample chose member 2 of 2")
    server.expect(r"ATH0151|ATH0112")


def test_the_sample_serves_the_stock_balancer(httpd, backends, plugins):
    members = backends(2)
    server = httpd("event", engine="off", plugins=sample(plugins),
                   conf="LogLevel athena_sample:debug\n"
                        + section([members.urls[0], f"{members.urls[1]} loadfactor=3"],
                                  "lbmethod=sample"))
    assert all(fetch(server.port, "/farm/x").status == 200 for _ in range(40))
    assert members.requests() == [10, 30]
    assert len(server.lines(r"sample: 127.0.0.1:\d+ outcome=0 status=200")) == 40


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_both_modules_are_reloaded_in_either_order(httpd, backends, plugins, mpm, balancer):
    members = backends(2)
    server = httpd(mpm, balancer=balancer, plugins=sample(plugins), conf=served(
        members.urls, settings="lbmethod=sample"))
    for order in ("last", "first", "first", "last"):
        server.load = order
        load = threading.Thread(target=at_once, args=(
            4, lambda _: ab(server.port, "/farm/x", 100, 2)))
        load.start()
        server.graceful()
        load.join()
        assert [fetch(server.port, "/farm/x").status for _ in range(10)] == [200] * 10
    Engine(server).wait_idle()
    # A crash would be in the error log, and fail the test.
    assert sum(Engine(server).column("served")) == sum(members.requests()) >= 1640


@pytest.mark.parametrize("name", ["leastconn", "bytraffic", "sample_with_a_long_name"])
def test_names_that_cannot_be(httpd, backends, plugins, name):
    members = backends(2)
    variant = sample(plugins, replace={'"sample"': f'"{name}"'})
    server = httpd("event", balancer=False, plugins=variant,
                   conf=served(members.urls, settings="lbmethod=leastconn"))
    assert fetch(server.port, "/farm/x").status == 200
    assert server.messages().count(f"ATH0152: method {name} of another module is left out") >= 1
    server.expect(r"ATH0152")


def test_a_method_that_is_not_there_any_more(make_httpd, backends, plugins):
    members = backends(1)
    said = make_httpd("event").refuses(served(members.urls, settings="lbmethod=sample"))
    assert "lbmethod=sample" in said and "roundrobin" in said
