"""Whose fault it was: a client's, or a member's; and what probes go by."""

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from harness.client import Client, break_off, fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.httpd import CONNECT_FAILED, ONE_CHILD
from harness.waiting import free_port, wait_until

WRONG_CHUNK = (b"POST /farm/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
               b"zz\r\n\r\n")


class Scripted:
    """A member that answers each request with what `answer` says of its number, without Content-Length."""

    def __init__(self, answer):
        self._answer, self.requests, self._lock = answer, 0, threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=(self._listener.accept()[0],),
                                 daemon=True).start()

    def _serve(self, connection):
        with connection, suppress(OSError):
            while connection.recv(65536):
                with self._lock:
                    self.requests += 1
                    answer = self._answer(self.requests)
                connection.sendall(answer)

    def stop(self):
        self._listener.close()


def bad_request(server):
    with Client(server.port) as client:
        client.send(WRONG_CHUNK)
        return client.answer().status


def bad_path(server):
    """With `AllowEncodedSlashes NoDecode` mod_proxy makes no URL of it."""
    return fetch(server.port, "/farm/%25zz").status


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_body_that_cannot_be_read_is_no_members_fault(httpd, backends, mpm, balancer):
    members = backends(4)
    server = httpd(mpm, balancer=balancer, conf=served(
        members.urls, settings="ejectafter=2 lbmethod=roundrobin"))
    server.expect("AH01095")
    assert {bad_request(server) for _ in range(20)} == {400}
    engine = Engine(server)
    engine.wait_idle()
    assert engine.column("usable") == [True] * 4
    assert engine.column("failed") == engine.column("served") == [0] * 4
    assert members.requests() == [0] * 4


@pytest.mark.parametrize("wrong", [bad_request, bad_path])
def test_a_probe_that_showed_nothing_is_the_next_requests(httpd, backends, balancer, wrong):
    members = backends(1, apart=True)
    server = httpd("event", balancer=balancer, conf="AllowEncodedSlashes NoDecode\n" + served(
        members.urls, each="retry=2"))
    server.expect(CONNECT_FAILED + "|ATH0112|AH01095")
    members.kill(0)
    assert fetch(server.port, "/farm/x").status == 503
    members.restart(0)
    engine = Engine(server)
    wait_until(lambda: wrong(server) == 400, 10, "its probe, for a request that is wrong")
    assert engine.column("up") == [False]
    assert fetch(server.port, "/farm/x").status == 200
    assert engine.column("up") == [True]


def test_a_probe_that_waits_in_vain_is_the_only_one_of_its_time(httpd, backends, balancer):
    members = backends(1, apart=True)
    server = httpd("event", balancer=balancer, conf=served(
        members.urls, settings="trytimeout=300 forcerecovery=Off", each="retry=3"))
    server.expect(CONNECT_FAILED + "|ATH0112|AH01102|AH00898")
    members.kill(0)
    assert fetch(server.port, "/farm/x").status == 503
    members.restart(0)
    members.behave(0, hold=True)
    wait_until(lambda: fetch(server.port, "/farm/x").status == 504, 10, "the probe")
    assert [fetch(server.port, "/farm/x").status for _ in range(3)] == [503] * 3
    members.release()


def test_a_probe_goes_by_the_head_of_its_answer(httpd, backends, balancer):
    """However long the rest takes; and what is old when it ends says nothing new."""
    members = backends(1, apart=True)
    server = httpd("event", balancer=balancer, conf=served(members.urls, each="retry=1"))
    server.expect(CONNECT_FAILED + "|ATH0112|AH01110")
    members.kill(0)
    assert fetch(server.port, "/farm/x").status == 503
    members.restart(0)
    engine = Engine(server)
    with Client(server.port, timeout=60) as client:
        def begins():
            client.send(b"GET /farm/x?size=1000000&slow=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            return client.answer_head().status == 200 or client.close() or client.open()
        wait_until(begins, 10, "the probe")
        wait_until(lambda: engine.column("up") == [True], what="the member back")
        assert engine.column("inflight") == [1]
        assert [fetch(server.port, "/farm/x").status for _ in range(3)] == [200] * 3


def test_a_head_that_is_wrong_is_an_answer(httpd, balancer):
    """On a kept connection, too: the member had not closed it."""
    def answer(n):
        return (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" if n == 1
                else b"HTTP/1.1 200 OK\r\nnocolon\r\n\r\n")
    wrong = [Scripted(answer) for _ in range(2)]
    server = httpd("event", balancer=balancer, conf=ONE_CHILD + served(
        [member.url for member in wrong], settings="lbmethod=roundrobin"))
    server.expect(r"AH01106|AH10124|AH00898|AH01102|AH01097|AH01098")
    assert [fetch(server.port, "/farm/x").status for _ in range(2)] == [200, 200]
    assert fetch(server.port, "/farm/x").status == 502
    assert [member.requests for member in wrong] == [2, 2]
    assert Engine(server).column("failed") == [1, 1]
    assert fetch(server.port, "/farm/x", method="DELETE").status == 502
    assert sum(member.requests for member in wrong) in (5, 6)
    for member in wrong:
        member.stop()


def test_each_attempt_has_the_forward_proxy_of_its_own_member(httpd, backends, balancer):
    """ProxyRemote: mod_proxy looks once, by the first member's URL."""
    members, dead = backends(3), [f"http://127.0.0.1:{free_port()}" for _ in range(3)]
    direct, proxy, sorry = members.urls
    through = "http://127.0.0.9:81"
    server = httpd("event", balancer=balancer, conf=(
        served([dead[0], direct], path="/a/", name="farm_a", settings="lbmethod=first")
        + served([dead[1], through], path="/b/", name="farm_b", settings="lbmethod=first")
        + served([dead[0]], path="/c/", name="farm_c", settings=f"fallback={sorry}/sorry")
        + f'ProxyRemote "{dead[0]}" "{dead[2]}"\nProxyRemote "{through}" "{proxy}"\n'))
    server.expect(CONNECT_FAILED + "|ATH0112")
    for path, member, target in [("/a/x", 0, "/x"), ("/b/x", 1, f"{through}/x"),
                                 ("/c/x", 2, "/sorry")]:
        for _ in range(2):
            answer = fetch(server.port, path)
            assert (answer.status, answer.member, answer.header("X-Target")) == (200, member, target)
    assert Engine(server).column("up", "farm_a") == [False, True]


@pytest.mark.parametrize("path", ["/fall%20back;x=1/sorry.php?reason=down&x=%2F", "/a%2Fb", "/x"])
def test_a_fallback_is_fetched_as_it_is_written(httpd, backends, balancer, path):
    members = backends(1)
    server = httpd("event", balancer=balancer, conf=served(
        [f"http://127.0.0.1:{free_port()}"], settings=f'"fallback={members.urls[0]}{path}"'))
    server.expect(CONNECT_FAILED + "|ATH0112")
    answer = fetch(server.port, "/farm/some%20path?with=query")
    assert (answer.status, answer.header("X-Target")) == (200, path)


def test_uploads_that_clients_break_off(httpd, backends, balancer):
    members = backends(2)
    server = httpd("event", balancer=balancer, conf=served(members.urls, settings="ejectafter=2"))
    server.expect(r"AH01095|AH01097|AH02608")
    for _ in range(6):
        break_off(server.port, "/farm/x")
    engine = Engine(server)
    engine.wait_idle()
    assert engine.column("failed") == [0, 0] and engine.column("usable") == [True, True]


def test_the_cookie_of_a_session_is_kept_by_no_cache(httpd, backends, balancer):
    members = backends(1)
    members.behave(0, headers=[["Cache-Control", "max-age=60"]])
    server = httpd("event", balancer=balancer, conf=farm(
        members.urls, settings="stickysession=ROUTEID stickyissue=On", each="route=a")
        + 'ProxyPass "/farm/" "http://farm_one/"\n')
    first = fetch(server.port, "/farm/x")
    assert first.header("Set-Cookie") and first.header("Cache-Control") \
        == 'max-age=60, no-cache="Set-Cookie"'
    again = fetch(server.port, "/farm/x", headers={"Cookie": "ROUTEID=.a"})
    assert (again.header("Set-Cookie"), again.header("Cache-Control")) == (None, "max-age=60")


def test_a_replay_does_not_wait_for_the_rest_of_an_answer(httpd, backends, balancer):
    """What is thrown away may take for ever; and of it nothing stays."""
    half = Scripted(lambda n: b"HTTP/1.1 503 No\r\nX-Half: 1\r\nContent-Length: 10\r\n\r\nhalf,")
    members = backends(1)
    members.behave(0, headers=[["Cache-Control", "max-age=60"]])
    server = httpd("event", balancer=balancer, conf=served(
        [half.url, *members.urls], settings="lbmethod=roundrobin retryon=503"))
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(fetch, server.port, "/farm/x").result(20)
    assert (answer.status, answer.member, half.requests) == (200, 0, 1)
    assert answer.header("X-Half") is None and answer.header("Expires") is None
    half.stop()
