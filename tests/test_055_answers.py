"""Answers that put members in error, or are replaced by other members'."""

import concurrent.futures
import contextlib
import socket
import threading
import urllib.parse

import pytest
from harness import h2
from harness.api import Api
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import served
from harness.httpd import CONNECT_FAILED
from harness.waiting import free_port, wait_until


def test_answers_of_the_application_mark_nobody(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(members.urls))
    for status in (404, 500, 503):
        assert [fetch(server.port, f"/farm/x?status={status}").status for _ in range(6)] \
            == [status] * 6
    assert Engine(server).farm()["usable"] == 2


def test_failonstatus_marks(httpd, backends, balancer):
    members = backends(2)
    members.behave(0, status=503)
    server = httpd("event", balancer=balancer,
                   conf=served(members.urls, settings="failonstatus=503", each="retry=600"))
    server.expect(r"AH01174|ATH0110")
    for _ in range(6):
        fetch(server.port, "/farm/x")
    assert members.requests()[0] == 1
    assert Engine(server).column("usable") == [False, True]


def leave_in_body(port, path):
    with Client(port, rcvbuf=4096) as client:
        client.send(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        client.answer_head()
        client.abort()


@pytest.mark.parametrize("leave", [leave_in_body, h2.abort_in_body])
@pytest.mark.parametrize("settings, counts", [("failonstatus=503", 1), ("ejectafter=2", 2)])
def test_an_answer_counts_though_its_client_leaves(httpd, backends, settings, counts, leave):
    members = backends(2)
    server = httpd("event", modules=["http2"], conf="Protocols h2c http/1.1\n" + served(
        members.urls, settings=f"lbmethod=first {settings}", each="retry=600"))
    server.expect(r"AH01174|ATH0110")
    engine = Engine(server)
    for left in range(counts):
        assert engine.column("usable") == [True, True], left
        leave(server.port, "/farm/x?status=503&size=3000000")
        engine.wait_idle()
    engine.wait_usable(1)
    for _ in range(3):
        leave(server.port, "/farm/x?size=3000000")
        engine.wait_idle()
    wait_until(lambda: None not in engine.column("ttfb_ewma_ms"), what="estimates of both")
    assert engine.column("usable") == [False, True]
    assert engine.column("served") == [counts, 3] and engine.column("failed") == [0, 0]


def test_a_broken_answer_counts_though_its_client_leaves_then(httpd, plain):
    """Over HTTP/2 perhaps before the attempt is at its end."""
    half = plain(b"HTTP/1.1 200 OK\r\nContent-Length: 2000\r\n\r\n" + b"x" * 1000)
    server = httpd("event", modules=["http2"],
                   conf="LogLevel athena:debug\nProtocols h2c http/1.1\n" + served([half.url]))
    server.expect("AH01110")
    for _ in range(30):
        with h2.Connection(server.port) as client, contextlib.suppress(AssertionError):
            client.ask("/farm/x")
            while True:
                client.receive(h2.DATA)
    Engine(server).wait_idle()
    assert len(server.lines(r"BrokenInBody")) == 30


@pytest.mark.parametrize("settings, behaviour", [
    ("failonstatus=500", {"status": 500}),
    ("failontimeout=On trytimeout=200", {"delay": 1000}),
])
def test_one_bad_url_takes_no_farm_down(httpd, backends, settings, behaviour):
    """All members are out for it, and yet any other request finds them, and they are back."""
    members = backends(3)
    server = httpd("event", conf=served(members.urls, settings=f"lbmethod=roundrobin {settings}"))
    server.expect(r"ATH0110|AH00898|AH01102")
    bad = "/farm/bad?" + urllib.parse.urlencode(behaviour)
    for _ in range(3):
        assert fetch(server.port, bad, method="POST").status >= 500
    engine = Engine(server)
    assert engine.column("usable") == [False] * 3
    assert [fetch(server.port, "/farm/good").status for _ in range(9)] == [200] * 9
    assert engine.column("usable") == [True] * 3


def test_whose_errors_come_to_be_ignored_is_usable(httpd, backends):
    members = backends(1)
    server = httpd("event", conf=served(members.urls, settings="failonstatus=503", each="retry=600"))
    server.expect("ATH0110")
    assert fetch(server.port, "/farm/x?status=503").status == 503
    engine = Engine(server)
    assert engine.column("usable") == [False]
    Api(server).patch(f"/farms/farm_one/members/127.0.0.1:{members.ports[0]}", ignore_errors=True)
    assert engine.column("usable") == [True] and engine.farm()["usable"] == 1
    assert engine.column("up") == [False], "its error is not over"
    assert [fetch(server.port, "/farm/x").status for _ in range(3)] == [200] * 3


@pytest.mark.parametrize("settings, behaviour", [
    ("failonstatus=500", {"status": 500}),
    ("failontimeout=On trytimeout=200", {"delay": 1000}),
])
def test_one_bad_url_keeps_no_session_out(httpd, backends, settings, behaviour):
    """With `nofailover` it can only go to its own member, which any other request finds well."""
    members = backends(2)
    server = httpd("event", conf=served(
        members.urls, settings=f"stickysession=sid nofailover=On {settings}").replace(
            f'"{members.urls[0]}"', f'"{members.urls[0]}" route=a').replace(
                f'"{members.urls[1]}"', f'"{members.urls[1]}" route=b'))
    server.expect(r"ATH0110|AH00898|AH01102")
    sessions = [{"Cookie": f"sid=1.{route}"} for route in "ab"]
    bad = "/farm/bad?" + urllib.parse.urlencode(behaviour)
    for session in [*sessions, *sessions]:
        assert fetch(server.port, bad, method="POST", headers=session).status in (500, 504)
    assert Engine(server).column("usable") == [False, False]
    for at, session in enumerate(sessions):
        answer = fetch(server.port, "/farm/good", headers=session)
        assert (answer.status, answer.member) == (200, at)
    assert Engine(server).column("usable") == [True, True]


def test_retryon_replays_answers(httpd, backends, balancer):
    members = backends(2)
    members.behave(0, status=503)
    server = httpd("event", balancer=balancer,
                   conf=served(members.urls, settings="retryon=503 retrybudget=100"))
    assert [fetch(server.port, "/farm/x").status for _ in range(10)] == [200] * 10
    with Client(server.port) as client:
        assert [client.get("/farm/x").status for _ in range(10)] == [200] * 10
    assert members.requests()[0] > 0
    answers = [fetch(server.port, "/farm/x", method="POST", body=b"once") for _ in range(4)]
    assert sorted(answer.status for answer in answers) == [200, 200, 503, 503]


class Plain:
    """A member whose every answer is these bytes."""

    def __init__(self, answer):
        self.accepted, self._answer = 0, answer
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with contextlib.suppress(OSError):
            while True:
                with self._listener.accept()[0] as connection:
                    self.accepted += 1
                    connection.recv(65536)
                    connection.sendall(self._answer)

    def stop(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()


@pytest.fixture
def plain():
    started = []

    def start(answer):
        started.append(Plain(answer))
        return started[-1]

    yield start
    for one in started:
        one.stop()


def test_nothing_stays_of_a_discarded_answer(httpd, plain):
    """What httpd keeps beside the headers neither; that it had ended does not end the next."""
    bad = plain(b"HTTP/1.1 503 No\r\nContent-Type: text/html\r\nX-Bad: 1\r\n"
                b"Connection: close\r\n\r\n<p>No")
    good = plain(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nfine")
    server = httpd("event", balancer=False, conf=served(
        [bad.url, f"http://127.0.0.1:{free_port()}", good.url],
        settings="lbmethod=first retryon=503 retrybudget=100"))
    server.expect(CONNECT_FAILED)
    answer = fetch(server.port, "/farm/x")
    assert (answer.status, answer.body, bad.accepted) == (200, b"fine", 1)
    assert answer.header("Content-Type") is None and answer.header("X-Bad") is None


def test_answers_that_nobody_can_replace_cost_no_budget(httpd, backends):
    members = backends(2)
    members.behave(0, status=503)
    server = httpd("event", conf=served(
        members.urls, settings="lbmethod=first retryon=503 retrybudget=10"))
    api, other = Api(server), f"/farms/farm_one/members/127.0.0.1:{members.ports[1]}"
    api.patch(other, on=False)
    with Client(server.port, reconnect=True) as client:
        assert {client.get("/farm/x").status for _ in range(300)} == {503}
        api.patch(other, on=True)
        assert [client.get("/farm/x").status for _ in range(10)] == [200] * 10
    assert members.requests() == [310, 10]


class Half:
    """A member that answers 503 over uwsgi, half of it at once and the rest when it may."""

    def __init__(self):
        self._may = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"uwsgi://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        with self._listener, self._listener.accept()[0] as connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 503 No\r\nX-Half: 1\r\nContent-Length: 10\r\n\r\nhalf,")
            self._may.wait(60)
            with contextlib.suppress(ConnectionError):
                connection.sendall(b"half.")

    def end(self):
        self._may.set()


def test_a_fallback_is_passed_on_after_a_discarded_answer(httpd, backends, balancer):
    """The member that was to take over is full by the time that the answer has ended."""
    half, members = Half(), backends(2)
    server = httpd("event", balancer=balancer, modules=["proxy_uwsgi"], conf="LogLevel athena:debug\n"
                   + f'<Proxy "balancer://farm_one">\nBalancerMember "{half.url}" route=a\n'
                   + f'BalancerMember "{members.urls[0]}" route=b maxconn=1\n'
                   + f'ProxySet stickysession=sid retryon=503 "fallback={members.urls[1]}/sorry"\n'
                   + '</Proxy>\nProxyPass "/farm/" "http://farm_one/"\n')
    server.expect(r"ATH0112|ATH0340")
    members.behave(0, hold=True)

    def ask(route):
        return fetch(server.port, "/farm/x", headers={"Cookie": f"sid=1.{route}"})

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        first = pool.submit(ask, "a")
        wait_until(lambda: server.lines("ATH0140.*route 'a'.*any other"), what="a successor")
        second = pool.submit(ask, "b")
        wait_until(lambda: Engine(server).column("inflight")[1] == 1, what="its place taken")
        half.end()
        answer = first.result()
        members.release()
        assert second.result().member == 0
    assert (answer.status, answer.member, answer.header("X-Target")) == (200, 1, "/sorry")
    assert answer.body and answer.header("X-Half") is None
