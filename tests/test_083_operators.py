"""What steers farms from outside: mod_proxy_hcheck and stock's balancer-manager."""

import re
from pathlib import Path

import pytest
from harness import manager
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.httpd import CONNECT_FAILED
from harness.load import at_once
from harness.waiting import wait_until

# What balancer-manager takes for a request from its own page.
OWN = {"Host": "localhost", "Referer": "http://localhost/balancer-manager"}
SETTINGS = f"lbmethod=roundrobin {manager.NONCE}"
CHECKED = "hcmethod=TCP hcinterval=1 hcpasses=1 hcfails=1"


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_health_check_marks_a_member_for_all_children(httpd, backends, mpm, balancer):
    members = backends(3, apart=True)
    server = httpd(mpm, balancer=balancer, children=8, modules=["proxy_hcheck"],
                   conf=served(members.urls, each=CHECKED, settings="lbmethod=roundrobin"))
    server.expect(CONNECT_FAILED + r"|AH03301|AH03302|proxy_hcheck:")
    engine = Engine(server)
    members.kill(0)
    wait_until(lambda: engine.column("up") == [False, True, True], what="the failed check seen")
    # In all children: nobody finds out by a request of his own.
    failed = engine.column("failed")
    answers = at_once(40, lambda _: fetch(server.port, "/farm/x"))
    assert {answer.member for answer in answers} == {1, 2}
    assert engine.column("failed") == failed
    # A graceful restart knows it too.
    server.graceful(alone=True)
    assert engine.column("up") == [False, True, True]
    members.restart(0)
    wait_until(lambda: engine.column("up") == [True, True, True], what="the passed check seen")
    wait_until(lambda: fetch(server.port, "/farm/x").member == 0, what="the member serving again")


@pytest.mark.parametrize("method", ["GET", "GET11", "HEAD", "OPTIONS"])
def test_a_health_check_asks_what_the_member_says(httpd, backends, method, balancer):
    """It answers, but not well."""
    members = backends(2)
    check = f"hcmethod={method} hcuri=/health hcinterval=1"
    server = httpd("prefork", balancer=balancer, children=8, modules=["proxy_hcheck"],
                   conf=served(members.urls, each=check, settings="lbmethod=roundrobin"))
    engine = Engine(server)
    members.behave(1, status=503)
    wait_until(lambda: engine.column("up") == [True, False], what="the failed check seen")
    assert engine.farm()["usable"] == 1
    failed = engine.column("failed")
    answers = at_once(24, lambda _: fetch(server.port, "/farm/x"))
    assert {(answer.status, answer.member) for answer in answers} == {(200, 0)}
    assert engine.column("failed") == failed
    members.behave(1, status=200)
    wait_until(lambda: engine.column("up") == [True, True], what="the passed check seen")
    wait_until(lambda: fetch(server.port, "/farm/x").member == 1, what="the member serving again")


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_balancer_manager_steers_the_engine(httpd, backends, mpm):
    members = backends(3)
    server = httpd(mpm, balancer=True, children=8,
                   conf=manager.CONF + served(members.urls, settings=SETTINGS))
    engine = Engine(server)

    def shares(requests):
        members.reset()
        for _ in range(requests):
            assert fetch(server.port, "/farm/x").status == 200
        return members.requests()

    def in_force(wanted):
        """The back ends' own counts, from the next request on."""
        assert shares(sum(wanted)) == wanted

    manager.edit(server.port, w=members.urls[0], w_status_D=1)
    in_force([0, 3, 3])
    assert engine.column("on") == [False, True, True]
    manager.edit(server.port, w=members.urls[0], w_status_D=0)
    manager.edit(server.port, w=members.urls[1], w_status_N=1)
    in_force([3, 0, 3])
    assert engine.column("drain") == [False, True, False]
    manager.edit(server.port, w=members.urls[1], w_status_N=0)
    manager.edit(server.port, w=members.urls[2], w_lf="2.00")
    in_force([2, 2, 4])
    assert engine.column("weight") == [1.0, 1.0, 2.0]
    manager.edit(server.port, w=members.urls[0], w_ls=1)
    in_force([0, 2, 4])

    server.graceful(alone=True)
    assert engine.column("weight") == [1.0, 1.0, 2.0]
    assert engine.column("lbset") == [1, 0, 0]
    in_force([0, 2, 4])


def test_balancer_manager_shows_our_counts(httpd, backends):
    members = backends(2)
    server = httpd("event", balancer=True,
                   conf=manager.CONF + served(members.urls, settings=SETTINGS))
    for _ in range(10):
        assert fetch(server.port, "/farm/x").status == 200

    def elected():
        page = fetch(server.port, "/balancer-manager?xml=1", headers=OWN).body.decode()
        return re.findall(r"<httpd:elected>(\d+)</httpd:elected>", page)

    assert elected() == ["5", "5"]


def test_no_child_of_prefork_has_a_second_thread_for_nothing(httpd, backends):
    """With two, each system call and each lock of a request costs more."""
    server = httpd("prefork", balancer=True, children=4,
                   conf=manager.CONF + served(backends(2).urls, settings=SETTINGS))
    assert fetch(server.port, "/farm/x").status == 200
    children = server.child_pids()
    assert len(children) >= 4
    assert {len(list(Path(f"/proc/{pid}/task").iterdir())) for pid in children} == {1}
