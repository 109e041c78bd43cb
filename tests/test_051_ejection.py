"""Outlier ejection: who is taken out for bad answers, and who is not."""

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.waiting import wait_until

EJECTED = "ATH0110"


def test_half_of_the_answers_of_a_window(httpd, backends):
    members = backends(3)
    server = httpd("event", conf=served(members.urls, settings="lbmethod=roundrobin ejectafter=4"))
    server.expect(EJECTED)
    engine = Engine(server)
    for _ in range(4):
        assert engine.farm()["usable"] == 3
        members.behave(0, status=500)
        assert sorted(fetch(server.port, "/farm/x").status for _ in range(3)) == [200, 200, 500]
        members.behave(0)
        for _ in range(3):
            fetch(server.port, "/farm/x")
    assert engine.column("usable") == [False, True, True]


def test_on_probation_the_first_failure_counts(httpd, backends):
    members = backends(3)
    members.behave(0, status=500)
    server = httpd("event", conf=served(
        members.urls, settings="lbmethod=roundrobin ejectafter=3 ejecttime=2"))
    server.expect(EJECTED)
    engine = Engine(server)
    for _ in range(12):
        fetch(server.port, "/farm/x")
    assert engine.column("usable") == [False, True, True]
    members.behave(0)
    wait_until(lambda: fetch(server.port, "/farm/x").member == 0, what="the ejected one back")
    members.reset()
    members.behave(0, status=500)
    statuses = [fetch(server.port, "/farm/x").status for _ in range(9)]
    assert statuses.count(500) == 1 and members.requests()[0] == 1
    assert any("for 4 s" in line for line in server.lines(EJECTED))


def test_the_last_one_stays_and_ejected_ones_stand_in_for_it(httpd, backends, balancer):
    members = backends(2, apart=True)
    members.behave(0, status=500)
    server = httpd("event", balancer=balancer, conf=served(
        members.urls, each="retry=600",
        settings="lbmethod=roundrobin ejectafter=2 ejecttime=600 maxeject=100"))
    server.expect(EJECTED + "|AH0(0957|0959|1114)")
    engine = Engine(server)
    for _ in range(6):
        fetch(server.port, "/farm/x")
    assert engine.column("usable") == [False, True]
    members.behave(1, status=500)
    assert {fetch(server.port, "/farm/x").status for _ in range(6)} == {500}
    assert engine.column("usable") == [False, True], "nobody could take over"
    members.behave(0)
    members.kill(1)
    assert [fetch(server.port, "/farm/x").status for _ in range(6)] == [200] * 6
    assert engine.column("usable") == [False, False]


@pytest.mark.parametrize("before, after", [
    (("retry=600", "ejectafter=2 ejecttime=600"), ("retry=600", "ejectafter=2 ejecttime=1")),
    (("retry=600", "ejectafter=2 ejecttime=600"), ("retry=600", "")),
    (("retry=1", "ejectafter=2 ejecttime=600"),
     ("retry=1 status=+E", "ejectafter=2 ejecttime=600")),
    (("retry=600", ""), ("retry=1", "")),
])
def test_a_shorter_time_holds_at_a_graceful_restart(httpd, backends, directory, before, after):
    """For who is out already: an operator who takes a limit back need not wait for the old one."""
    members, conf = backends(2, apart=True), directory / "farm.conf"

    def write(each, settings):
        conf.write_text(served(members.urls, each=each, settings=f"lbmethod=roundrobin {settings}"))

    write(*before)
    server = httpd("event", conf=f'Include "{conf}"\n')
    # With status=+E nobody is usable for a moment.
    server.expect(EJECTED + "|AH0(0957|0959|1114)|ATH0112")
    ejects = "ejectafter" in before[1]
    members.behave(0, status=500) if ejects else members.kill(0)
    for _ in range(6):
        fetch(server.port, "/farm/x")
    assert Engine(server).column("usable") == [False, True]
    members.behave(0) if ejects else members.restart(0)
    server.graceful()
    assert Engine(server).column("usable") == [False, True], "nothing has changed"
    write(*after)
    server.graceful()
    wait_until(lambda: fetch(server.port, "/farm/x").member == 0, what="the member back")
