"""`expectupdate`: members that do not report are out."""

from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.waiting import wait_until


def test_a_member_that_never_reports_goes_out(httpd, backends, mpm):
    members = backends(2)
    conf = served(members.urls, settings="lbmethod=roundrobin expectupdate=1")
    # One that nothing is expected of stays.
    conf = conf.replace(f'"{members.urls[1]}"', f'"{members.urls[1]}" expectupdate=86400')
    server = httpd(mpm, balancer=False, conf=conf)
    engine = Engine(server)
    wait_until(lambda: engine.column("in") == [False, True], what="out")
    assert engine.column("usable") == [False, True]
    assert engine.members()[0]["up"] and engine.members()[0]["on"]
    before = members.requests()
    assert [fetch(server.port, "/farm/x").status for _ in range(20)] == [200] * 20
    assert [now - then for now, then in zip(members.requests(), before, strict=True)] == [0, 20]
    server.expect("ATH0301: farm farm_one: member .* is out: it has not reported for 1 s")
    assert len(server.lines("ATH0301")) == 1


def test_the_log_says_so_without_requests(httpd, backends):
    server = httpd("event", balancer=False,
                   conf=served(backends(3).urls, settings="expectupdate=1"))
    server.expect("ATH0301")
    wait_until(lambda: len(server.lines("ATH0301")) == 3, what="the watch")
    server.expect("ATH0112: farm farm_one")
    assert fetch(server.port, "/farm/x").status == 503
