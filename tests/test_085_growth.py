"""Members that balancer-manager adds at run time (growth=), and what BalancerPersist remembers."""

import concurrent.futures

import pytest
from harness import manager
from harness.api import Api
from harness.board import board_locked
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.httpd import BROKEN, CONNECT_FAILED, ONE_CHILD
from harness.load import Load, shared
from harness.waiting import wait_until

GROWING = f"lbmethod=roundrobin growth=3 {manager.NONCE}"


def add(server, url):
    """As a person does: adds the member, then enables it."""
    manager.edit(server.port, b_wyes=1, b_nwrkr=url)
    manager.edit(server.port, w=url, w_status_D=0)


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_member_that_is_added_serves_in_all_children(httpd, backends, mpm):
    members = backends(4)
    server = httpd(mpm, children=8,
                   conf=manager.CONF + served(members.urls[:2], settings=GROWING))
    engine = Engine(server)
    shared(server, members, [40, 40, 0, 0])
    with Load(server.port, lambda n: ("GET", "/farm/x"), rate=200, clients=8) as load:
        add(server, members.urls[2])
        wait_until(lambda: len(load.results) > 100, what="some load")
        shown = wait_until(lambda: len(engine.members()) == 3 and engine.members()[2])
        assert shown["name"] == members.urls[2].removeprefix("http://")
        wait_until(lambda: engine.column("on") == [True] * 3, what="the new member on")
    assert load.failed() == []
    shared(server, members, [40, 40, 40, 0])
    # The next one, and what people set of both.
    add(server, members.urls[3])
    manager.edit(server.port, w=members.urls[2], w_lf="2.00")
    shared(server, members, [20, 20, 40, 20])
    engine.wait_idle()
    assert len(server.lines("ATH0220")) == 2


def test_a_new_member_is_disabled_until_somebody_enables_it(httpd, backends):
    members = backends(3)
    server = httpd("event", conf=manager.CONF + served(members.urls[:2], settings=GROWING))
    manager.edit(server.port, b_wyes=1, b_nwrkr=members.urls[2])
    engine = Engine(server)
    wait_until(lambda: engine.column("on") == [True, True, False], what="a third member, disabled")
    name = engine.column("name")[2]
    said = Api(server).refused(f"/farms/farm_one/members/{name}", None, 409, method="DELETE")
    assert said == (f"member {name} was not added over the API: take its line out if it is configured, "
                    "or drain it")
    shared(server, members, [5, 5, 0])


def test_a_new_member_fails_over_and_comes_back(httpd, backends):
    members = backends(2)
    gone = backends(1)
    server = httpd("prefork", children=4, conf=manager.CONF + served(
        members.urls, settings=f"{GROWING} maxattempts=2", each="retry=1"))
    server.expect(CONNECT_FAILED)
    gone.kill(0)
    add(server, gone.urls[0])
    engine = Engine(server)
    wait_until(lambda: fetch(server.port, "/farm/x").status == 200
               and engine.column("up") == [True, True, False], what="the new member found out")
    assert {fetch(server.port, "/farm/x").status for _ in range(20)} == {200}


def test_it_is_not_lost_when_another_member_goes_out(httpd, backends):
    """A child that does not know it yet leaves the plan to those that do."""
    members = backends(3)
    server = httpd("prefork", children=2, conf=manager.CONF + served(
        members.urls[:2], settings=f"{GROWING} failonstatus=502", each="retry=600"))
    server.expect("ATH0110")
    with Client(server.port) as client:
        client.send(b"GET /farm/x?delay=2000&status=502 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: members.total("now") == 1, what="a request under way")
        add(server, members.urls[2])
        # All children but one know it.
        wait_until(lambda: {fetch(server.port, "/farm/x").member for _ in range(12)} == {0, 1, 2})
        gone = client.answer().member
        # That child is kept from serving others.
        assert {fetch(server.port, "/farm/x").member for _ in range(12)} == {0, 1, 2} - {gone}


def test_it_is_not_lost_when_the_parent_takes_an_edit_over(httpd, backends):
    members = backends(3)
    server = httpd("event", conf=ONE_CHILD + manager.CONF + served(members.urls[:2], settings=GROWING))
    add(server, members.urls[2])
    shared(server, members, [10, 10, 10])
    with board_locked(server):
        manager.edit(server.port, w=members.urls[0], w_lf="2.00")
    engine = Engine(server)
    assert engine.column("weight") == [1.0] * 3, "left to the parent"
    wait_until(lambda: engine.column("weight") == [2.0, 1.0, 1.0], 30, "the parent's look")
    assert {fetch(server.port, "/farm/x").member for _ in range(20)} == {0, 1, 2}


def test_without_persistence_a_restart_forgets_it(httpd, backends):
    """As in stock httpd: only BalancerPersist keeps members that no line names."""
    members = backends(3)
    server = httpd("event", conf=manager.CONF + served(members.urls[:2], settings=GROWING))
    add(server, members.urls[2])
    shared(server, members, [5, 5, 5])
    server.graceful(alone=True)
    shared(server, members, [5, 5, 0])
    assert len(Engine(server).members()) == 2
    add(server, members.urls[2])
    shared(server, members, [5, 5, 5])
    server.restart()
    shared(server, members, [5, 5, 0])


def test_it_joins_a_farm_that_a_virtual_host_inherits(httpd, backends):
    """Virtual hosts share the main server's members, but each has free slots of its own."""
    members = backends(3)
    hosts = """
        <VirtualHost *:${ATH_PORT}>
          ServerName localhost
        </VirtualHost>
        <VirtualHost *:${ATH_PORT}>
          ServerName other.test
          ProxyPass "/farm/" "http://farm_one/"
        </VirtualHost>
        """
    server = httpd("prefork", children=8, conf=manager.CONF + farm(
        members.urls[:1], settings=GROWING) + hosts)

    def seen():
        return {fetch(server.port, "/farm/x", headers={"Host": "other.test"}).member
                for _ in range(12)}

    assert seen() == {0}
    add(server, members.urls[1])
    wait_until(lambda: seen() == {0, 1}, what="the member added in the main server")
    manager.edit(server.port, b_wyes=1, b_nwrkr=members.urls[2], host="other.test")
    manager.edit(server.port, w=members.urls[2], w_status_D=0, host="other.test")
    wait_until(lambda: seen() == {0, 1, 2}, what="the member added in the virtual host")
    wait_until(lambda: len(Engine(server).members()) == 3, what="both in the document")


def test_our_methods_elect_it_with_the_engine_off(httpd, backends):
    members = backends(3)
    server = httpd("prefork", engine="off", children=4, conf=manager.CONF + served(
        members.urls[:2], settings=GROWING).replace("http://farm_one", "balancer://farm_one"))
    shared(server, members, [10, 10, 0])
    add(server, members.urls[2])
    shared(server, members, [10, 10, 10])


# ---- BalancerPersist ---------------------------------------------------------------------------


@pytest.mark.parametrize("restart", ["graceful", "stop and start"])
def test_persistence_keeps_members_and_what_people_set(httpd, backends, restart):
    members = backends(3)
    server = httpd("event", conf="BalancerPersist On\n" + manager.CONF + served(
        members.urls[:2], settings=GROWING))
    engine = Engine(server)
    add(server, members.urls[2])
    manager.edit(server.port, w=members.urls[0], w_lf="2.00")
    shared(server, members, [20, 10, 10])
    elected = engine.column("elected")
    for _ in range(2):
        server.graceful(alone=True) if restart == "graceful" else server.restart()
        assert engine.column("weight") == [2.0, 1.0, 1.0]
        assert engine.column("elected") == elected, "counters go on"
    shared(server, members, [20, 10, 10])
    # It can still be steered, and one more may come.
    manager.edit(server.port, w=members.urls[2], w_status_D=1)
    shared(server, members, [20, 10, 0])


def test_a_changed_configuration_wins_over_persistence(httpd, backends):
    """Stock httpd would go on with what it stored; here the board's rule holds."""
    members = backends(2)
    common = "BalancerPersist On\n" + manager.CONF
    settings = f"lbmethod=roundrobin {manager.NONCE}"
    server = httpd("event", conf=common + served(members.urls, settings=settings))
    manager.edit(server.port, w=members.urls[0], w_lf="2.00")
    manager.edit(server.port, w=members.urls[1], w_status_N=1)
    engine = Engine(server)
    wait_until(lambda: engine.column("weight") == [2.0, 1.0], what="the edit in force")
    server.conf = common + served(members.urls, settings=settings, weights=[3, None])
    server.graceful(alone=True)
    assert engine.column("weight") == [3.0, 1.0]
    assert server.lines("ATH0385: .*loadfactor=2.00 set at run time gives way to .*loadfactor=3.00")
    assert engine.column("drain") == [False, True], "what did not change stays"
    server.restart()
    assert engine.column("weight") == [3.0, 1.0]
    page = manager.edit(server.port)
    assert "<td>3.00</td>" in page, "mod_proxy_balancer agrees"


def test_what_persistence_knows_counts_where_the_board_knows_nothing(httpd, backends):
    """A site that comes from stock httpd keeps what its operators set there."""
    members = backends(2)
    conf = "BalancerPersist On\n" + manager.CONF + served(
        members.urls, settings=f"lbmethod=byrequests {manager.NONCE}")
    server = httpd("event", engine="stock", conf=conf.replace("http://farm_one", "balancer://farm_one"))
    manager.edit(server.port, w=members.urls[0], w_lf="2.00")
    manager.edit(server.port, w=members.urls[1], w_status_N=1)
    server.stop()
    server.engine, server.conf = "on", conf
    server.start()
    engine = Engine(server)
    assert engine.column("weight") == [2.0, 1.0]
    assert engine.column("drain") == [False, True]
    # From now on the board knows: the file may be removed, or old.
    for stored in server.directory.glob("**/*persist*"):
        stored.unlink()
    server.graceful(alone=True)
    assert engine.column("weight") == [2.0, 1.0]


def test_an_error_is_not_restored(httpd, backends):
    """A stop forgets errors, whatever mod_proxy_balancer stored."""
    members = backends(2, apart=True)
    server = httpd("event", conf="BalancerPersist On\n" + manager.CONF + served(
        members.urls, settings="lbmethod=roundrobin", each="retry=600"))
    server.expect(CONNECT_FAILED)
    members.kill(0)
    engine = Engine(server)
    wait_until(lambda: fetch(server.port, "/farm/x") and engine.column("up") == [False, True],
               what="the member in error")
    server.graceful(alone=True)
    assert engine.column("up") == [False, True], "a graceful restart remembers"
    members.restart(0)
    server.restart()
    assert engine.column("up") == [True, True]
    assert {fetch(server.port, "/farm/x").member for _ in range(4)} == {0, 1}


@pytest.mark.parametrize("restart", ["graceful", "stop and start"])
def test_a_bound_that_is_gone_is_not_restored(httpd, backends, restart):
    """mod_proxy_balancer stores the members' times, that of a member that was added as well."""
    members = backends(2)
    members.behave(0, delay_ms=600)
    members.behave(1, delay_ms=600)
    def conf(setting):
        return "BalancerPersist On\n" + manager.CONF + ONE_CHILD + served(
            members.urls[:1], settings=f"{GROWING} {setting}", each="max=1 acquire=5000 timeout=7")
    server = httpd("event", conf=conf("trytimeout=200"))
    server.expect(BROKEN)
    add(server, members.urls[1])
    assert {fetch(server.port, "/farm/x").status for _ in range(2)} == {504}
    server.conf = conf("maxattempts=0")
    server.graceful(alone=True) if restart == "graceful" else server.restart()
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: fetch(server.port, "/farm/x"), range(3)))
    assert [answer.status for answer in answers] == [200] * 3
    assert {answer.member for answer in answers} == {0, 1}
