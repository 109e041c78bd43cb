"""Web sockets as members' protocol: sessions, and the loss of a member with sockets open."""

import pytest
from harness.client import Closed
from harness.engine import Engine
from harness.httpd import CONNECT_FAILED
from harness.waiting import wait_until
from harness.websocket import WebSocket


@pytest.mark.parametrize("scheme, module, each", [
    ("http", "proxy_http", "upgrade=websocket"), ("ws", "proxy_wstunnel", "")])
def test_sockets_of_sessions(httpd, backends, mpm, scheme, module, each):
    members = backends(2, apart=True)
    lines = "".join(f'  BalancerMember "{url.replace("http", scheme, 1)}" route={route} retry=600 {each}\n'
                    for url, route in zip(members.urls, "ab"))
    server = httpd(mpm, modules=[module], conf=f"""
        <Proxy "balancer://farm_one">
        {lines}  ProxySet lbmethod=roundrobin stickysession=sid
        </Proxy>
        ProxyPass "/farm/" "http://farm_one/"
        CustomLog sockets.log "%{{BALANCER_WORKER_ROUTE}}e %{{BALANCER_ROUTE_CHANGED}}e" env=ATH_MEMBER
    """)
    server.expect(CONNECT_FAILED + "|AH01102|AH10212")
    engine = Engine(server)

    def opened(route):
        return WebSocket(server.port, "/farm/ws", Cookie=f"sid=1.{route}")

    with opened("a") as first, opened("b") as second, opened("b") as third:
        sockets = [first, second, third]
        assert [socket.answer.member for socket in sockets] == [0, 1, 1]
        assert engine.column("inflight") == [1, 2]
        assert [socket.say("hello") for socket in sockets] == ["hello"] * 3
        members.kill(1)
        for lost in (second, third):
            with pytest.raises((Closed, ConnectionError)):
                lost.say("still there?")
        assert first.say("hello again") == "hello again"
        with opened("b") as moved:
            assert moved.answer.member == 0
            assert moved.say("hello") == "hello"
    engine.wait_idle()
    log = server.directory / "sockets.log"
    wait_until(lambda: log.read_text().count("\n") == 4, what="four sockets logged")
    assert sorted(log.read_text().splitlines()) == ["a -", "a 1", "b -", "b -"]
    assert engine.column("usable") == [True, False]
