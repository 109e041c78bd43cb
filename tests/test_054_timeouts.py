"""Time that runs out: for one attempt, for a connection, for the last member."""

import concurrent.futures
import contextlib
import socket

import pytest
from harness.ajp import Ajp
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.httpd import BROKEN, CONNECT_FAILED, ONE_CHILD
from harness.waiting import wait_until


def test_trytimeout_bounds_an_attempt(httpd, backends, balancer):
    members = backends(2)
    members.behave(0, delay_ms=5000)
    server = httpd("event", balancer=balancer, conf=served(members.urls, settings="trytimeout=200"))
    server.expect(BROKEN)
    statuses = [fetch(server.port, "/farm/x").status for _ in range(2)]
    # Neither replayed nor a failure: 504 from the slow one, whichever came first.
    assert sorted(statuses) == [200, 504]
    assert Engine(server).farm()["usable"] == 2


@pytest.mark.parametrize("members_that_hang", [1, 2])
def test_a_timeout_that_takes_the_last_member_out(httpd, backends, balancer, members_that_hang):
    """Nothing is usable then, for the request that finds out as for the next."""
    members = backends(members_that_hang + 1)
    *hanging, well = members.urls
    for at in range(members_that_hang):
        members.behave(at, delay_ms=3000)
    farms = {"fallback": f"fallback={well}/outage", "forward": "forward=well",
             "nothing": "forcerecovery=Off", "forced": ""}
    server = httpd("event", balancer=balancer, conf=farm([well], name="well") + "".join(
        served(hanging, path=f"/{name}/", name=name, each="retry=600",
               settings=f"lbmethod=first trytimeout=100 failontimeout=On {setting}")
        for name, setting in farms.items()))
    server.expect(BROKEN + "|ATH0112")
    for _ in range(2):
        answer = fetch(server.port, "/fallback/x")
        assert (answer.status, answer.header("X-Target")) == (200, "/outage")
        answer = fetch(server.port, "/forward/x")
        assert (answer.status, answer.header("X-Target")) == (200, "/x")
        answer = fetch(server.port, "/nothing/x")
        assert answer.status == 503 and int(answer.header("Retry-After")) > 1
        # The next request is sent to it all the same.
        answer = fetch(server.port, "/forced/x")
        assert (answer.status, answer.header("Retry-After")) == (503, "1")


def test_a_timeout_that_others_could_take_over_is_one(httpd, backends):
    """The third member is well, but this request has been replayed; a POST may never be."""
    members = backends(3)
    server = httpd("event", conf=served(
        members.urls, settings=f"lbmethod=first trytimeout=100 failontimeout=On "
        f"fallback={members.urls[2]}/outage") + served(
            members.urls[:1], path="/one/", name="farm_two",
            settings=f"trytimeout=100 failontimeout=On fallback={members.urls[2]}/outage"))
    server.expect(BROKEN)
    for at in range(2):
        members.behave(at, delay_ms=3000)
    assert fetch(server.port, "/farm/x").status == 504
    assert fetch(server.port, "/farm/x").member == 2
    assert fetch(server.port, "/one/x", method="POST", body=b"once").status == 504


@pytest.mark.parametrize("each", ["status=+I", "retry=0"])
def test_a_timeout_that_takes_nobody_out_is_one(httpd, backends, each):
    members = backends(3)
    fallback = f"fallback={members.urls[2]}/outage"
    server = httpd("event", conf=served(
        members.urls[:2], settings=f"trytimeout=100 failontimeout=On {fallback}", each=each))
    server.expect(BROKEN)
    assert fetch(server.port, "/farm/x?delay=1000").status == 504
    assert Engine(server).column("usable") == [True, True]


def test_a_timeout_that_takes_the_member_of_a_session_out(httpd, backends):
    """With `nofailover`, nobody else is usable for it."""
    members = backends(2)
    members.behave(0, delay_ms=3000)
    conf = served(members.urls, settings="stickysession=sid nofailover=On trytimeout=100 "
                  f"failontimeout=On fallback={members.urls[1]}/outage")
    conf = conf.replace(f'"{members.urls[0]}"', f'"{members.urls[0]}" route=d')
    server = httpd("event", conf=conf)
    server.expect(BROKEN + "|ATH0112")
    for _ in range(2):
        answer = fetch(server.port, "/farm/x", headers={"Cookie": "sid=1.d"})
        assert (answer.status, answer.header("X-Target")) == (200, "/outage")


def test_trytimeout_bounds_the_wait_for_a_connection(httpd, backends, balancer):
    """To a member that takes none; and for the only one there may be, while it is in use."""
    members = backends(2)
    members.behave(0, size=1000, slow_ms=500)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf, contextlib.ExitStack() as stack:
        address = deaf.getsockname()
        for _ in range(4):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
        server = httpd("event", balancer=balancer, conf=ONE_CHILD + served(
            [f"http://127.0.0.1:{address[1]}", members.urls[1]], each="connectiontimeout=60",
            settings="lbmethod=first trytimeout=300") + served(
                members.urls, name="busy", path="/busy/", each="max=1",
                settings="lbmethod=first trytimeout=1000"))
        server.expect(CONNECT_FAILED + "|AH00941")
        assert fetch(server.port, "/farm/x", method="POST", body=b"once").member == 1
    engine = Engine(server)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        takes_long = pool.submit(fetch, server.port, "/busy/x")
        wait_until(lambda: members.total("now") == 1, what="the only connection is in use")
        assert fetch(server.port, "/busy/x", method="POST", body=b"once").member == 1
        assert takes_long.result().member == 0
    assert engine.column("usable", "busy") == [True, True]


def test_an_ajp_member_that_answers_no_ping_is_not_connected(httpd, balancer):
    """Nothing was sent to it, so another one serves; and `trytimeout` bounds the wait."""
    well = Ajp("well")
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as mute:
        server = httpd("event", balancer=balancer, modules=["proxy_ajp"], conf=served(
            [f"ajp://127.0.0.1:{mute.getsockname()[1]}", f"ajp://{well.address}"],
            each="ping=60 retry=600", settings="lbmethod=first trytimeout=200"))
        server.expect("AH00897|AH01012|AH00992|AH00993|AH01030|ATH0110")
        assert [fetch(server.port, "/farm/x").body for _ in range(2)] == [b"well"] * 2
        assert Engine(server).column("usable") == [False, True]
    well.stop()
