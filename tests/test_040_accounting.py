"""10,000 requests, a tenth of the clients gone in mid body: our counts equal the back ends'."""

import pytest
from harness.client import Client
from harness.engine import Engine
from harness.farms import served
from harness.h2 import abort_in_body
from harness.load import ab, at_once, h2load

TOTAL, ABORTS, CLIENTS = 10_000, 1_000, 10
PAGE, DOWNLOAD = "/farm/x", "/farm/x?size=300000"


def leave_in_mid_body(port):
    with Client(port, rcvbuf=4096) as client:
        client.send(f"GET {DOWNLOAD} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert client.answer_head().status == 200
        client.take(1000)
        client.abort()


def check(server, members):
    engine = Engine(server)
    engine.wait_idle()
    assert sum(members.requests()) == TOTAL
    assert engine.column("served") == members.requests()
    assert engine.column("failed") == [0, 0, 0]  # a client that leaves is no fault of the member
    assert members.total("now") == 0


def run(port, load, leave):
    """The load and the leavers side by side."""
    def part(n):
        if n == 0:
            return load()
        for at in range(ABORTS // CLIENTS):
            leave(at)
        return None

    done, *left = at_once(CLIENTS + 1, part)
    assert not [error for error in left if error is not None], left
    assert (done.complete, done.failed) == (TOTAL - ABORTS, 0)


def test_http1(httpd, backends, mpm, balancer):
    members = backends(3)
    server = httpd(mpm, balancer=balancer, children=32, conf=served(members.urls))
    # Event may close a kept connection under a request when all threads of a child are busy, as they
    # are for a moment after the start; ab takes such a request for complete.
    run(server.port, lambda: ab(server.port, PAGE, TOTAL - ABORTS, 16, keepalive=mpm == "prefork"),
        lambda _: leave_in_mid_body(server.port))
    check(server, members)


@pytest.mark.parametrize("mpm", ["worker", "event"])
def test_http2(httpd, backends, mpm, balancer):
    members = backends(3)
    server = httpd(mpm, balancer=balancer, modules=["http2"], children=32,
                   conf="Protocols h2c http/1.1\n" + served(members.urls))
    run(server.port, lambda: h2load(server.port, PAGE, TOTAL - ABORTS, 8),
        lambda n: abort_in_body(server.port, DOWNLOAD, reset_stream=n % 2 == 0))
    check(server, members)


def test_bytes_are_the_members(httpd, backends):
    members = backends(1)
    server = httpd("event", conf=served(members.urls))
    with Client(server.port) as client:
        for _ in range(10):
            assert client.request("POST", "/farm/x?size=1000", {}, b"y" * 100).status == 200
    engine = Engine(server)
    engine.wait_idle()
    member = engine.members()[0]
    assert members.total("body_bytes") == 1000
    assert member["bytes_in"] + member["bytes_out"] >= 11_000
