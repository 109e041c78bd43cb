"""`draintimeout=`: a draining member serves its sessions so long, then is stopped."""

import pytest
from harness import manager
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm
from harness.waiting import wait_until

OVER = r"ATH0231: farm farm_one: member .* has drained for \d+ s"


def conf(urls, settings="", first=""):
    a, b = urls
    return manager.CONF + farm(
        [f'{a}" route=a {first} "name=a', f'{b}" route=b "name=b'],
        settings=f"stickysession=sid nonce=tested {settings}",
    ) + 'ProxyPass "/farm/" "http://farm_one/"\n'


def of_a_session(server):
    return fetch(server.port, "/farm/x", headers={"Cookie": "sid=1.a"}).member


@pytest.mark.parametrize("where", ["farm", "member"])
def test_sessions_of_a_draining_member_leave_it_in_time(httpd, backends, where):
    members = backends(2)
    on_farm = "draintimeout=2" if where == "farm" else ""
    own = "draintimeout=2" if where == "member" else ""
    server = httpd("event", balancer=False, conf=conf(members.urls, on_farm, own))
    server.expect("ATH0223")
    manager.edit(server.port, w=members.urls[0], w_status_N="1")
    assert of_a_session(server) == 0
    assert {fetch(server.port, "/farm/x").member for _ in range(4)} == {1}
    member = Engine(server).members()[0]
    assert (member["on"], member["drain"]) == (True, True)
    wait_until(lambda: of_a_session(server) == 1, what="the session elsewhere")
    member = Engine(server).members()[0]
    assert (member["on"], member["drain"], member["usable"]) == (False, True, False)
    assert len(server.lines(OVER)) == 1
    # Whoever ends the draining puts it back.
    manager.edit(server.port, w=members.urls[0], w_status_N="0")
    assert of_a_session(server) == 0
    assert Engine(server).column("on") == [True, True]


@pytest.mark.parametrize("how", ["graceful", "restart"])
def test_its_beginning_outlives_restarts(httpd, backends, how):
    members = backends(2)
    server = httpd("event", conf=conf(members.urls, "draintimeout=3600", "status=+N"))
    assert of_a_session(server) == 0
    # Over since long, had it begun anew it would not be.
    server.conf = conf(members.urls, "draintimeout=1", "status=+N")
    wait_until(lambda: Engine(server).members()[0]["elected"] > 0, what="a session served")
    if how == "graceful":
        server.graceful(alone=True)
    else:
        server.restart()
    wait_until(lambda: of_a_session(server) == 1, 1.5, "the session elsewhere")
    assert server.lines(OVER)
