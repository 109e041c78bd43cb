"""Whatever a client sends, no child dies of it."""

import time

import pytest
from harness import manager
from harness.board import board_locked
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.load import at_once
from harness.plugin import compiled

LONG = b"a" * 7000
PATHS = [
    b"/farm/" + LONG, b"/farm/?" + LONG, b"/farm/%", b"/farm/%zz", b"/farm/%00", b"/farm/a%00b",
    b"/farm/%2e%2e/%2e%2e/etc/passwd", b"/farm/../../x", b"/farm/\xff\xfe\x80", b"/farm/\x01\x7f",
    b"/farm/a b", b"/farm//////", b"/farm/;;;;", b"/farm/?" + b"&" * 5000, b"/farm/%ff%fe",
    b"/farm/@evil/", b"/farm/http://farm_one/", b"/farm/http:%2f%2ffarm_one%2f", b"/farm/{}|\\^`\"<>",
    b"http://farm_one/", b"balancer://farm_one/farm/", b"http://localhost/farm/x", b"*", b"/farm",
    b"/athena/api/v1/farms/" + LONG, b"/athena/api/v1/farms/%00", b"/athena/api/v1/\xff",
    b"/athena/%s%n%x", b"/farm/%25s%25n",
]
HOSTS = [b"", b"farm_one", b"balancer://farm_one", b"[", b"[::1", b"a:b:c", b"\xff\xfe", b"h" * 7000,
         b"localhost:99999", b"..", b"%00", b"localhost:80:80", b"a@b"]
HEADERS = [
    b"Cookie: " + b"=;" * 3000, b"Cookie: \xff=\xfe; ROUTEID=" + LONG, b"X: \x80\x81", b"X-Y:",
    b"Connection: Upgrade\r\nUpgrade: websocket", b"Connection: close, X-Member, Host",
    b"Transfer-Encoding: gzip, chunked", b"Content-Length: -1", b"Content-Length: 99999999999999999",
    b"Expect: 200-maybe", b"Range: bytes=0-,0-,0-", b" folded: x", b"X-Forwarded-For: " + b"1," * 3000,
    b"\r\n".join(b"X-%d: y" % n for n in range(99)),
]


def requests():
    for path in PATHS:
        yield b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    for host in HOSTS:
        yield b"GET /farm/x HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        yield b"GET /athena/api/v1/farms HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
    for header in HEADERS:
        yield b"GET /farm/x HTTP/1.1\r\nHost: localhost\r\n" + header + b"\r\n\r\n"
    for line in (b"GET /farm/x\r\n\r\n", b"GET /farm/x HTTP/9.9\r\n\r\n", b"\x00\r\n\r\n",
                 b"X" * 20 + b" /farm/x HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\r\n\r\n\r\n",
                 b"GET /farm/x HTTP/1.0\r\n\r\n", b"POST /farm/x HTTP/1.1\r\nHost: a\r\n"
                 b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"):
        yield line


def send_all(port):
    for request in requests():
        with Client(port, timeout=5) as client:
            try:
                client.exchange(request)
            except (OSError, ValueError):
                pass  # closed, or no HTTP: the server's right


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_no_child_dies(httpd, backends, mpm, balancer):
    members = backends(2)
    server = httpd(mpm, balancer=balancer, children=4, conf=served(members.urls)
                   + "AllowEncodedSlashes On\nRequestReadTimeout handshake=0 header=2 body=2",
                   modules=["reqtimeout"])
    server.expect(r"\[client")
    old = server.child_pids()
    send_all(server.port)
    assert old <= server.child_pids()
    assert fetch(server.port, "/farm/x").status == 200
    Engine(server).wait_idle()


def test_no_wrong_access_under_valgrind(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(members.urls), valgrind=True)
    server.expect(r"\[client")
    send_all(server.port)
    assert fetch(server.port, "/farm/x").status == 200
    Engine(server).wait_idle()
    server.stop()
    assert not server.valgrind_errors()


def test_who_keeps_all_locks_delays_others_once(httpd, backends):
    """People and a restart, with a change to be taken over in every farm: not once a farm."""
    members = backends(1)
    farms = [f"farm{n}" for n in range(10)]
    server = httpd("event", conf=manager.CONF + "".join(
        farm(members.urls, name=name, settings=manager.NONCE) for name in farms))

    def edit(n):
        return manager.edit(server.port, farm=farms[n], w=members.urls[0], w_lf="2.00")

    with board_locked(server):
        begun = time.monotonic()
        assert not [page for page in at_once(len(farms), edit) if isinstance(page, Exception)]
        server.graceful()
        assert time.monotonic() - begun < 5


def test_a_child_that_writes_over_shared_texts(httpd, backends, directory, balancer):
    """The others and the parent, which takes over what it changed, read no further than the arrays."""
    server = httpd("prefork", balancer=balancer,
                   plugins={"overwrite": compiled("overwrite", directory)},
                   conf=served(backends(2).urls, each="route=a redirect=b")
                   + '<Location "/overwrite">\nSetHandler overwrite\n</Location>\n')
    server.expect("ATH0141")
    assert fetch(server.port, "/overwrite").status == 200
    for member in Engine(server).members():
        assert (member["url"], member["route"], member["redirect"]) == ("", "", None)
        assert member["drain"]
    server.stop()
    assert server.process.returncode == 0
