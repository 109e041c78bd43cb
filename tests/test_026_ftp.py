"""Members that speak FTP, through mod_proxy_ftp."""

import pytest
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import served
from harness.ftp import Ftp
from harness.httpd import CONNECT_FAILED


@pytest.fixture
def archives():
    started = [Ftp(f"archive {n}") for n in range(3)]
    yield started
    for one in started:
        one.stop()


def body(server, path="/farm/pub/who.txt"):
    answer = fetch(server.port, path)
    return answer.status, answer.body.decode()


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_farm_of_archives(httpd, archives, mpm, balancer):
    server = httpd(mpm, balancer=balancer, modules=["proxy_ftp"], conf=served(
        [one.url for one in archives[:2]], settings="lbmethod=roundrobin", each="retry=60"))
    seen = [body(server) for _ in range(6)]
    assert sorted(seen) == sorted([(200, "archive 0"), (200, "archive 1")] * 3)
    assert fetch(server.port, "/farm/pub/none.txt").status == 404
    assert [one.sent for one in archives] == [3, 3, 0]
    engine = Engine(server)
    engine.wait_idle()
    assert engine.column("up") == [True, True]
    # One of them goes: its requests go to the other, at once. A child may just learn that its control
    # connection has ended.
    server.expect(CONNECT_FAILED + r"|AH00898: (No such thing|Error reading from remote server)")
    archives[0].stop()
    assert {body(server) for _ in range(4)} == {(200, "archive 1")}
    assert engine.column("error") == ["no connection", None]


def test_an_absolute_request_target_leads_nowhere_else(httpd, archives):
    server = httpd("event", modules=["proxy_ftp"], conf=served([archives[0].url]))
    elsewhere = archives[2].url.replace("ftp", "http")
    with Client(server.port) as client:
        answer = client.get(f"{elsewhere}/farm/pub/who.txt")
    assert (answer.status, answer.body) == (200, b"archive 0")
    assert archives[2].sent == 0
