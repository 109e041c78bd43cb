"""slowstart: who has just come into service gets a small part of its share.

The time is so long that the part stays what it is at the beginning, a twentieth.
"""

import pytest
from harness.api import Api
from harness.farms import served
from harness.load import ab
from harness.waiting import wait_until

SLOW = "slowstart=3600 retry=1"


@pytest.mark.parametrize("method", ["roundrobin", "byrequests", "leastconn", "leasttime", "random",
                                    "bytraffic"])
def test_a_recovered_member_holds_back(httpd, backends, method):
    members = backends(3, apart=True)
    server = httpd("event", conf=served(members.urls, each=SLOW, settings=f"lbmethod={method}"))
    assert ab(server.port, "/farm/x", 300, 2).failed == 0
    members.kill(1)
    server.expect(r"ATH0110|AH0(0957|0959|1114)")

    def said(tag):
        # Several at once, since leasttime gives single requests to the fastest.
        ab(server.port, "/farm/x", 40, 8)
        return server.lines(tag)
    wait_until(lambda: said("ATH0110"), what="its end")
    members.restart(1)
    wait_until(lambda: said("ATH0111"), what="its return")
    members.reset()
    assert ab(server.port, "/farm/x", 400, 4).failed == 0
    one, back, other = members.requests()
    assert one + back + other == 400
    assert back <= 60, (one, back, other)


def test_a_new_member_and_one_that_is_enabled_hold_back(httpd, backends, balancer):
    members = backends(3)
    line = f'BalancerMember "{members.urls[1]}" {SLOW}'
    server = httpd("event", balancer=balancer, conf=served(
        members.urls, each=SLOW, settings="lbmethod=roundrobin").replace(line, f"{line} status=+D"))
    ab(server.port, "/farm/x", 300, 2)
    assert members.requests() == [150, 0, 150], "nobody holds back after the start"
    server.conf = served(members.urls, each=SLOW, settings="lbmethod=roundrobin")
    server.graceful()
    members.reset()
    ab(server.port, "/farm/x", 400, 2)
    one, enabled, other = members.requests()
    assert 0 <= enabled <= 60 and one + other >= 340

    server.conf = served(members.urls[1:], each=SLOW, settings="lbmethod=roundrobin")
    server.graceful()
    server.conf = served(members.urls, each=SLOW, settings="lbmethod=roundrobin")
    server.graceful()
    members.reset()
    ab(server.port, "/farm/x", 400, 2)
    new, _, other = members.requests()
    assert new <= 60 and other > 300


def test_a_member_that_is_at_it_need_not_go_on(httpd, backends):
    """By another value at run time."""
    members = backends(2)
    server = httpd("event", conf=served(
        members.urls, each=SLOW, settings="lbmethod=roundrobin"))
    api, its = Api(server), f"/farms/farm_one/members/127.0.0.1:{members.ports[1]}"
    api.patch(its, on=False)
    api.patch(its, on=True)
    ab(server.port, "/farm/x", 100, 1)
    one, enabled = members.requests()
    assert enabled < 30 and one + enabled == 100
    api.patch(its, slowstart=None)
    members.reset()
    ab(server.port, "/farm/x", 100, 1)
    assert members.requests() == [50, 50]
