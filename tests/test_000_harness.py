"""The harness itself, against stock mod_proxy_balancer: what it promises to see, it sees."""

import os

import pytest
from harness import farms
from harness.client import Client, Closed, fetch
from harness.h2 import abort_in_body
from harness.httpd import CONNECT_FAILED
from harness.load import Load, ab, at_once, h2load, wrk
from harness.waiting import wait_until
from harness.websocket import echo


def farm(backends, settings="lbmethod=byrequests"):
    return farms.farm(backends.urls, settings=settings) + 'ProxyPass "/farm/" "balancer://farm_one/"'


def test_stock_farm_is_counted_by_its_members(httpd, backends, mpm):
    members = backends(3)
    server = httpd(mpm, engine="stock", conf=farm(members))
    # Event may close kept connections, which ab does not see (tests/test_040_accounting.py).
    done = ab(server.port, "/farm/x", 300, 8, keepalive=mpm == "prefork")
    assert (done.complete, done.failed) == (300, 0)
    # Stock's own count: shared without atomics, so only nearly even.
    assert sum(members.requests()) == 300
    # Counted when an answer has been written, which its client may know before.
    wait_until(lambda: members.total("answered") == 300, what="all answers counted")
    assert min(members.requests()) > 90
    assert len(server.child_pids()) >= 2


def test_load_generators_and_clients(httpd, backends):
    members = backends(2)
    server = httpd("event", engine="stock", modules=["http2"],
                   conf="Protocols h2c http/1.1\n" + farm(members))
    assert h2load(server.port, "/farm/x", 200, 4).complete == 200
    assert wrk(server.port, "/farm/x", 1, 4).failed == 0
    with Load(server.port, lambda n: ("POST" if n % 2 else "GET", "/farm/x"), rate=400,
              tag="run-") as load:
        wait_until(lambda: len(load.results) >= 100)
    assert not load.failed()
    deliveries = members.deliveries()
    assert sum(map(len, deliveries.values())) == len(load.results)
    assert all(deliveries[load.identity(result.number)] == [result.member]
               for result in load.results)
    # Leaving in mid body, over either protocol.
    members.reset()
    assert abort_in_body(server.port, "/farm/x?size=3000000&slow=50") > 0
    with Client(server.port, rcvbuf=4096) as client:
        client.send(b"GET /farm/x?size=3000000&slow=50 HTTP/1.1\r\nHost: h\r\n\r\n")
        assert client.answer_head().status == 200
        client.abort()
    wait_until(lambda: members.total("aborted") == 2, what="both aborts seen behind")


def test_back_end_behaviour(backends, directory):
    members = backends(2, apart=True)
    port = members.ports[0]
    assert fetch(port, b"/a%2fb;c\xc3\xa9?d").header("X-Target") == "/a%2fb;c\u00c3\u00a9?d"
    assert fetch(port, "/?status=404&size=10").body == b"x" * 10
    for early, query in ((True, "close=1"), (False, "close=body&size=1000")):
        with pytest.raises(Closed) as closed:
            fetch(port, f"/?{query}")
        assert closed.value.early == early
    members.behave(1, status=503, headers=[["Location", "/there"]], close_after=2)
    with Client(members.ports[1]) as client:
        assert client.get("/").header("Location") == "/there"
        assert client.get("/").status == 503
        with pytest.raises(ConnectionError):  # closed, or reset for having sent into it
            client.get("/")
    at_once(5, lambda n: fetch(port, "/?delay=300"))
    assert members.stats()[0]["peak"] == 5
    assert echo(port, "/ws", "hello") == (0, "hello")
    members.kill(0)
    with pytest.raises(ConnectionRefusedError):
        fetch(port, "/")
    members.restart(0)
    assert fetch(port, "/").member == 0
    sockets = backends(1, unix=True)
    assert os.path.exists(sockets.paths[0])


def test_unix_socket_members(httpd, backends):
    members = backends(2, unix=True)
    server = httpd("event", engine="stock", conf=farm(members))
    assert {fetch(server.port, "/farm/x").member for _ in range(8)} == {0, 1}


def test_error_log_is_read(httpd, backends):
    members = backends(1, apart=True)
    server = httpd("event", engine="stock", conf=farm(members))
    members.kill(0)
    assert fetch(server.port, "/farm/x").status == 503
    assert any("AH00957" in line for line in server.complaints())
    server.expect(CONNECT_FAILED)
    assert not server.complaints()


def test_crashes_are_seen(httpd, backends):
    server = httpd("prefork", engine="stock", conf=farm(backends(1)))
    old = server.child_pids()
    os.kill(min(old), 11)
    wait_until(server.complaints, what="the crash in the log")
    server.expect(r"AH0005[12]: child pid \d+ exit signal Segmentation")
    assert not server.complaints()
    server.kill_children()
    wait_until(lambda: fetch(server.port, "/farm/x").status == 200)


def test_restarts(httpd, backends, mpm):
    server = httpd(mpm, engine="stock", conf=farm(backends(1)))
    old = server.child_pids()
    server.graceful()
    wait_until(lambda: not old & server.child_pids(), what="the old generation gone")
    assert fetch(server.port, "/farm/x").status == 200
    server.restart()
    assert fetch(server.port, "/farm/x").status == 200


def test_refusals_are_told(make_httpd):
    said = make_httpd("event", engine="stock").refuses("NoSuchDirective here")
    assert "NoSuchDirective" in said
    with pytest.raises(AssertionError, match="took this configuration"):
        make_httpd("event", engine="stock").refuses("# nothing wrong")
