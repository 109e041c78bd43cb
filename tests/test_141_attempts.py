"""What attempts come to, over each protocol that is not HTTP/1.1: one set of rules for all."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from harness.api import Api
from harness.client import Client, Closed, break_off, fetch
from harness.engine import Engine
from harness.farms import served
from harness.hostile import Hostile
from harness.httpd import ONE_CHILD
from harness.load import at_once
from harness.plugin import compiled
from harness.waiting import free_port, wait_until

PROTOCOLS = {"ajp": "proxy_ajp", "fcgi": "proxy_fcgi", "h2c": "proxy_http2", "scgi": "proxy_scgi",
             "uwsgi": "proxy_uwsgi"}


@pytest.fixture(params=PROTOCOLS)
def protocol(request):
    return request.param


@pytest.fixture
def farm(httpd, protocol):
    """Starts members with these behaviours, and an httpd in front of them: (httpd, members)."""
    started = []

    def start(*behaviours, settings="", each="", more="", dead=0, first=()):
        for name, behaviour in zip("abc", behaviours):
            started.append(Hostile(protocol, name))
            started[-1].behaviour = behaviour
        urls = [*first, *(f"{protocol}://127.0.0.1:{free_port()}" for _ in range(dead))]
        urls += [member.url for member in started]
        server = httpd("event", modules=[PROTOCOLS[protocol], "reqtimeout"], conf=served(
            urls, settings=f"lbmethod=roundrobin {settings}", each=each) + more)
        server.expect(r"\[(proxy|core)\w*:error\]|ATH0110")
        return server, started

    yield start
    for member in started:
        member.stop()


def ask(server, method="GET", target="/farm/x"):
    answer = fetch(server.port, target, method=method, body=b"once" if method == "POST" else None)
    return answer.status, answer.body.decode() if answer.status == 200 else None


def test_headers_that_the_protocol_has_no_room_for(farm, protocol):
    """Any client can send them: they are no member's fault, and not sent to the next."""
    server, members = farm("answer", "answer", settings="ejectafter=1")
    headers = {f"X-{nth}": "x" * 8_000 for nth in range(9)}
    status = {"ajp": 400, "h2c": 431, "uwsgi": 431}.get(protocol, 200)
    for _ in range(4):
        assert fetch(server.port, "/farm/x", headers=headers).status == status
    engine = Engine(server)
    assert engine.column("elected") == [2, 2] and engine.column("failed") == [0, 0]
    assert engine.column("usable") == [True, True]
    assert sum(member.requests for member in members) == (4 if status == 200 else 0)


def head(line, *headers):
    return "\r\n".join([f"{line} HTTP/1.1", "Host: localhost", *headers, "", ""]).encode()


def status_of(server, request):
    with Client(server.port) as client:
        client.send(request)
        return client.answer().status


def nobody_failed(server):
    engine = Engine(server)
    engine.wait_idle()
    return sum(engine.column("failed")) == 0 and all(engine.column("usable"))


@pytest.mark.parametrize("each", ["", "ping=5"])
@pytest.mark.parametrize("protocol", ["ajp"], indirect=True)
def test_a_head_that_a_packet_has_no_room_for(farm, each):
    """mod_proxy_ajp answers it as a broken connection where the path or the secret is what is too much."""
    server, members = farm("answer", "answer", settings="ejectafter=1", each=f"secret=hush {each}")
    statuses = [status_of(server, head(f"{method} /farm/{'p' * length}", "Content-Length: 0"))
                for method in ("GET", "DELETE", "PATCH") for length in range(8_000, 8_164, 4)]
    assert set(statuses) == {200, 400}
    assert nobody_failed(server)
    assert sum(member.requests for member in members) == statuses.count(200)


@pytest.mark.parametrize("protocol", ["h2c", "uwsgi"], indirect=True)
def test_headers_at_the_limit(farm):
    server, members = farm("answer", "answer", settings="ejectafter=1")
    fill = [f"X-{nth}: {'x' * 7_700}" for nth in range(8)]
    statuses = [status_of(server, head("GET /farm/x", *fill, f"Y: {'y' * length}"))
                for length in range(1_000, 4_400, 50)]
    assert set(statuses) == {200, 431}
    assert nobody_failed(server)
    assert sum(member.requests for member in members) == statuses.count(200)


def test_a_large_request_that_fits_breaks_as_any(farm, protocol):
    server, _ = farm("close")
    count = 6 if protocol == "ajp" else 58
    large = [f"X-{nth}: {'x' * 1_000}" for nth in range(count)]
    assert status_of(server, head("POST /farm/x", *large, "Content-Length: 4") + b"once") == 502
    assert Engine(server).column("failed") == [1]


@pytest.mark.parametrize("protocol", ["ajp"], indirect=True)
@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_a_coding_that_the_protocol_does_not_know(farm, method):
    server, _ = farm("answer", settings="ejectafter=1")
    server.expect("AH10396")
    request = head(f"{method} /farm/x", "Transfer-Encoding: gzip, chunked") + b"4\r\nonce\r\n0\r\n\r\n"
    assert status_of(server, request) == 501
    assert nobody_failed(server)


@pytest.mark.parametrize("protocol", ["h2c"], indirect=True)
def test_what_breaks_at_trailers_is_no_failure(farm):
    """HTTP/2 does not allow all that HTTP/1.1 does, and members reset the stream."""
    server, _ = farm("close")
    request = head("POST /farm/x", "Transfer-Encoding: chunked") + b"4\r\nonce\r\n0\r\n%s\r\n"
    assert status_of(server, request % b"TE: gzip\r\n") == 502
    assert nobody_failed(server)
    assert status_of(server, request % b"") == 502
    assert Engine(server).column("failed") == [1]


@pytest.mark.parametrize("protocol", ["fcgi", "h2c"], indirect=True)
def test_a_body_in_pieces_that_are_wrong(farm):
    server, _ = farm("answer", settings="ejectafter=1")
    request = head("POST /farm/x", "Transfer-Encoding: chunked") + b"4\r\nonce\r\nzz\r\n"
    assert status_of(server, request) == 400
    assert nobody_failed(server)


def test_a_body_that_does_not_come(farm):
    server, _ = farm("answer", settings="ejectafter=1", more="RequestReadTimeout body=1")
    server.expect("AH03382")
    assert status_of(server, head("POST /farm/x", "Content-Length: 4")) == 408
    assert nobody_failed(server)


def test_refused(farm):
    """Out at once, and the request goes on, whatever it is."""
    server, members = farm("answer", dead=1)
    assert ask(server, "POST") == (200, "a")
    assert ask(server, "POST") == (200, "a")
    assert Engine(server).column("usable") == [False, True]
    assert members[0].requests == 2


def test_a_body_that_was_read_for_a_member_of_another_protocol(farm, protocol):
    """mod_proxy_http reads up to 16 KiB before it connects."""
    server, members = farm("answer", first=[f"http://127.0.0.1:{free_port()}"], each="retry=0")
    # Of a longer one, an AJP container asks for the rest; HTTP/2 has a window.
    most = {"ajp": 8_000, "h2c": 65_000}.get(protocol, 400_000)
    lengths = [length for length in (1, 5_000, 16_384, 40_000, 400_000) if length < most]
    for length in lengths:
        body = bytes(n % 251 for n in range(length))
        assert fetch(server.port, "/farm/x", method="POST", body=body).status == 200
        assert members[0].body == body
    assert Engine(server).column("failed") == [len(lengths), 0]


def test_disabled_before_the_connection(farm, protocol):
    """Its requests that wait for one go on, whatever they are, and nobody is in error for that."""
    server, members = farm("hang", "answer", each="max=1 acquire=20000", more=ONE_CHILD)
    engine = Engine(server)
    member = f"/farms/farm_one/members/{engine.members()[0]['name']}"
    with ThreadPoolExecutor(2) as pool:
        hangs = pool.submit(ask, server)
        wait_until(lambda: members[0].requests == 1, what="the only connection is in use")
        assert ask(server) == (200, "b")
        waits = pool.submit(ask, server, "POST")
        wait_until(lambda: engine.column("inflight") == [2, 0], what="a request waits for it")
        Api(server).patch(member, on=False)
        members[0].behaviour = "answer"
        members[0].cut()
        assert waits.result() == (200, "b")
        assert hangs.result() == (200, "a")
    assert not server.lines("ATH0110")
    Api(server).patch(member, on=True)
    assert engine.column("usable") == [True, True]
    assert sorted(ask(server) for _ in range(2)) == [(200, "a"), (200, "b")]


def test_broken_before_the_first_byte(farm, protocol):
    server, members = farm("close", "close", "close")
    # mod_proxy_http2 itself sends a request without a body to the member again.
    once = 2 if protocol == "h2c" else 1
    for target in ("/farm/x", "/farm/x?with=arguments"):
        before = sum(member.requests for member in members)
        assert ask(server, target=target) == (502, None)
        assert sum(member.requests for member in members) == before + 2 * once, "replayed once"
    before = sum(member.requests for member in members)
    assert ask(server, "POST") == (502, None)
    assert sum(member.requests for member in members) == before + 1, "never replayed"
    engine = Engine(server)
    assert engine.column("usable") == [True] * 3
    assert sum(engine.column("failed")) == 5


@pytest.mark.parametrize("protocol", ["ajp", "fcgi", "h2c", "scgi"], indirect=True)
def test_of_a_head_that_nothing_follows_nothing_stays(farm):
    """Over uwsgi it is an answer without a body."""
    server, members = farm("head", "answer", settings="lbmethod=first")
    answer = fetch(server.port, "/farm/x")
    assert (answer.status, answer.body) == (200, b"b") and members[0].requests
    assert [value for name, value in answer.headers if name in ("Set-Cookie", "ETag")] == ["by=b"]


def test_a_body_in_pieces_goes_to_one_member(farm, protocol):
    server, members = farm("close", "answer")
    with Client(server.port) as client:
        answer = client.exchange(b"PUT /farm/x HTTP/1.1\r\nHost: localhost\r\n"
                                 b"Transfer-Encoding: chunked\r\n\r\n4\r\nonce\r\n0\r\n\r\n")
    # For scgi and uwsgi httpd wants to know the length.
    assert answer.status == (411 if protocol in ("scgi", "uwsgi") else 502)
    assert members[1].requests == 0


def test_uploads_that_clients_break_off(farm):
    """They are no member's fault."""
    server, _ = farm("answer", "answer", settings="ejectafter=2")
    server.expect("AH03382")
    for _ in range(6):
        break_off(server.port, "/farm/x")
    engine = Engine(server)
    engine.wait_idle()
    assert engine.column("failed") == [0, 0] and engine.column("usable") == [True, True]


def test_posts_are_delivered_once(farm):
    """A member that breaks connections, and then is gone with some open."""
    server, members = farm("close", "answer", each="disablereuse=off retry=600")
    bodies = range(320)

    def post(first):
        statuses = []
        for n in bodies[first::8]:
            if n == len(bodies) // 2:
                members[0].die()
            statuses.append(ask(server, "POST")[0])
        return statuses

    statuses = [status for some in at_once(8, post) for status in some]
    assert set(statuses) == {200, 502}
    # What was cut off before it was read is not counted.
    assert len(bodies) - 8 <= sum(member.requests for member in members) <= len(bodies)
    assert Engine(server).column("usable") == [False, True]


def test_a_stale_connection_is_no_failure(farm):
    server, members = farm("stale", "answer", each="disablereuse=off")
    assert [ask(server)[0] for _ in range(20)] == [200] * 20
    assert Engine(server).column("failed") == [0, 0]
    assert Engine(server).column("served") == [10, 10]


def test_timeout(farm, protocol):
    server, members = farm("hang", "answer", settings="trytimeout=200")
    assert sorted(ask(server)[0] for _ in range(2)) == [200, 504]
    assert ask(server, "POST")[0] == 504
    assert members[0].requests == (3 if protocol == "h2c" else 2)
    assert members[1].requests == 1
    assert Engine(server).column("usable") == [True, True]


@pytest.mark.parametrize("override", ["Off", "On"])
def test_answers_of_the_application(farm, override):
    """Whoever writes the page, the member's or httpd's own."""
    server, members = farm("error", "answer", more=f"ProxyErrorOverride {override}")
    assert sorted(ask(server)[0] for _ in range(6)) == [200] * 3 + [500] * 3
    assert [member.requests for member in members] == [3, 3]
    engine = Engine(server)
    assert engine.column("served") == [3, 3] and engine.column("failed") == [0, 0]


def exchange(server):
    """All that a client gets on a connection of its own."""
    with socket.create_connection(("127.0.0.1", server.port), 30) as client:
        client.sendall(b"GET /farm/x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: client.recv(65536), b""))


def is_one_page(said, status):
    return (said.startswith(b"HTTP/1.1 %d " % status) and said.count(b"<html>") == 1
            and said.endswith(b"</html>\n"))


@pytest.mark.parametrize("protocol", ["fcgi"], indirect=True)
def test_a_page_that_the_protocols_module_sends_is_the_answer(farm):
    """mod_proxy_fcgi does not leave it to others to override errors."""
    server, members = farm("error", "answer", more="ProxyErrorOverride On",
                           settings="lbmethod=first retryon=500 retrybudget=100")
    assert is_one_page(exchange(server), 500)
    assert [member.requests for member in members] == [1, 0]


def test_a_module_that_fails_with_a_page_of_its_own(httpd, directory):
    """As mod_proxy_http2 of some releases: nobody can be asked any more."""
    urls = [f"h2c://127.0.0.1:{free_port()}" for _ in range(2)]
    server = httpd("event", modules=["proxy_http2"], conf=served(urls, settings="lbmethod=first"),
                   plugins={"dies": compiled("dies", directory)})
    server.expect("ATH0110")
    assert is_one_page(exchange(server), 503)
    assert Engine(server).column("usable") == [False, True]


def test_broken_in_the_body(farm):
    server, members = farm("begin", each="flushpackets=on")
    with Client(server.port) as client:
        client.send(b"GET /farm/x HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.answer_head().status == 200
        client.take(1)
        members[0].cut()
        with pytest.raises(Closed):
            while client.take(1):
                pass
    assert members[0].requests == 1
    member, = Engine(server).members()
    assert (member["served"], member["usable"]) == (1, True)
