"""`timeout=` of a farm: requests wait for a usable member, and burn nothing meanwhile."""

import os
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from harness import manager
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.httpd import CONNECT_FAILED
from harness.waiting import free_port, wait_until

QUIET = f"{CONNECT_FAILED}|ATH0112|ATH022[23]"


def cpu_seconds(server):
    """What all children have used."""
    ticks = 0
    for pid in server.child_pids():
        with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
            ticks += sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))
    return ticks / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_requests_wait_for_a_member_that_comes_back(httpd, backends, mpm, balancer):
    members = backends(2, apart=True)
    server = httpd(mpm, balancer=balancer, children=16, conf=served(
        members.urls, each="retry=1", settings="timeout=30 maxattempts=1"))
    server.expect(QUIET)
    for n in (0, 1):
        members.kill(n)
    # Who finds out has had its attempts.
    assert fetch(server.port, "/farm/x").status == 503
    before = cpu_seconds(server)
    with ThreadPoolExecutor(12) as pool:
        waiting = [pool.submit(fetch, server.port, "/farm/x") for _ in range(12)]
        # Probes go on while others wait; who probed in vain twice has had its attempts.
        wait_until(lambda: min(Engine(server).column("elected")) >= 3, what="probes")
        members.restart(1)
        answers = [one.result() for one in waiting]
    assert cpu_seconds(server) - before < 0.5
    served_ones = [answer for answer in answers if answer.status == 200]
    assert {answer.member for answer in served_ones} == {1} and len(served_ones) >= 2, answers
    assert {answer.status for answer in answers} <= {200, 503}
    Engine(server).wait_idle()


def test_a_member_that_people_take_back(httpd, backends):
    """Nobody is in error: all members are disabled, until one is not."""
    members = backends(2)
    server = httpd("event", balancer=False, conf=manager.CONF + served(
        members.urls, each="status=+D", settings="timeout=30 nonce=tested"))
    server.expect(QUIET)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(fetch, server.port, "/farm/x") for _ in range(4)]
        manager.edit(server.port, w=members.urls[1], w_status_D="0")
        answers = [one.result() for one in waiting]
    assert [(answer.status, answer.member) for answer in answers] == [(200, 1)] * 4


def test_half_of_all_workers_may_wait(httpd, backends):
    """The others are for those that find a member, and the rest is told at once."""
    members, well = backends(1), backends(1)
    server = httpd("prefork", children=16, conf=manager.CONF + served(
        members.urls, each="status=+D", settings="timeout=60 nonce=tested") + served(
            well.urls, name="well", path="/well"))
    server.expect(QUIET)
    half = 16  # Of MaxRequestWorkers, twice the children at the start.
    with ThreadPoolExecutor(half + 6) as pool:
        asked = [pool.submit(fetch, server.port, "/farm/x") for _ in range(half + 6)]
        told = lambda: [one.result() for one in asked if one.done()]
        wait_until(lambda: len(told()) == 6, what="those that may not wait")
        assert {answer.status for answer in told()} == {503}
        assert fetch(server.port, "/well/x").status == 200
        manager.edit(server.port, w=members.urls[0], w_status_D="0")
        assert [one.result().status for one in asked].count(200) == half
    Engine(server).wait_idle()


INSTEAD = {
    "nothing": ("forcerecovery=Off", 503, None),
    "fallback": ("fallback=http://{www}/outage/", 200, "/outage/"),
    "redirect": ("fallback=redirect:http://away.example/", 302, None),
    # The last thing before it gives up.
    "forced": ("forcerecovery=On", 503, None),
}


@pytest.mark.parametrize("settings, status, target", INSTEAD.values(), ids=INSTEAD)
def test_the_order_when_the_time_is_over(httpd, backends, settings, status, target):
    www = backends(1)
    settings = settings.format(www=f"127.0.0.1:{www.ports[0]}")
    server = httpd("event", conf=served([f"http://127.0.0.1:{free_port()}"],
                                        settings=f"timeout=1 {settings}"))
    server.expect(QUIET)
    # One member: the first request had its attempt.
    assert fetch(server.port, "/farm/x").status == status
    began = monotonic()
    answer = fetch(server.port, "/farm/x")
    assert monotonic() - began >= 1.0
    assert (answer.status, answer.header("X-Target")) == (status, target)
    forced = "forcerecovery=On" in settings
    assert Engine(server).column("elected") == [1 + forced]


def test_what_balancer_manager_sets_holds_at_once(httpd):
    server = httpd("event", conf=manager.CONF + served(
        [f"http://127.0.0.1:{free_port()}"], settings="forcerecovery=Off nonce=tested"))
    server.expect(QUIET)
    assert [fetch(server.port, "/farm/x").status for _ in range(2)] == [503, 503]
    manager.edit(server.port, b_tmo="1")
    began = monotonic()
    assert fetch(server.port, "/farm/x").status == 503
    assert monotonic() - began >= 1.0
