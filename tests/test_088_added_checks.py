"""Members that people add are checked by the module itself: mod_proxy_hcheck does not see them."""

import json
import os
import socket
import subprocess
import threading
import time
from contextlib import suppress

import pytest
from harness.api import API, Api
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import served
from harness.load import Load, at_once
from harness.waiting import free_port, wait_until

MEMBERS = "/farms/farm_one/members"
ALLOWED = "AthMemberAllow http://127.0.0.1 http://localhost ajp://127.0.0.1\n"


class Checked:
    """A member: answers requests with 200, and checks (of /app/health) as it is told; None: not at all.
    Counts checks, and how many there were at a time."""

    def __init__(self):
        self.health = b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"
        self.checks, self.most, self.asked = 0, 0, b""
        self._under_way, self._lock = 0, threading.Lock()
        self.port = free_port()
        self.socket = None
        self.listen()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/app"

    def listen(self):
        self.socket = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._serve, args=(self.socket,), daemon=True).start()

    def close(self):
        with suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _serve(self, listener):
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._answer, args=(client,), daemon=True).start()

    def _answer(self, client):
        with suppress(OSError), client:
            request = client.recv(65536)
            if b" /app/health " not in request and not request.startswith(b"\x12\x34"):
                client.sendall(b"HTTP/1.1 200 OK\r\nX-Member: 1\r\nContent-Length: 2\r\n"
                               b"Connection: close\r\n\r\nok" if request else b"")
                return
            self._count(1)
            self.asked = request
            if self.health is None:
                client.recv(1)  # until the other side has enough
            # The other side may be at the next one as soon as it has read this.
            self._count(-1)
            client.sendall(self.health or b"")

    def _count(self, step):
        with self._lock:
            self.checks += step > 0
            self._under_way += step
            self.most = max(self.most, self._under_way)

    def status(self, code):
        self.health = b"HTTP/1.0 %d X\r\n\r\n" % code


@pytest.fixture
def checked():
    member = Checked()
    yield member
    member.close()


@pytest.fixture
def other():
    member = Checked()
    yield member
    member.close()


def start(httpd, members, mpm="event", *, conf=ALLOWED, **options):
    return httpd(mpm, balancer=False, children=4,
                 conf=conf + served(members.urls, settings="lbmethod=roundrobin"), **options)


def add(api, url, **parameters):
    answer = api.ask("POST", MEMBERS, {"url": url, "name": "new", **parameters})
    assert answer.status == 201, answer


def health(engine, up):
    """It is shown, and what for."""
    def shown():
        member = engine.members()[-1]
        wanted = (up, up, None if up else "check")
        return (member["up"], member["usable"], member["error"]) == wanted
    # A child that has the watch and ends leaves it to another after 10 seconds.
    wait_until(shown, 30, f"up: {up}")


def who(server, requests=8):
    """Who answers, asked in several children; more at a time, and prefork would end some after it."""
    answers = at_once(requests, lambda _: fetch(server.port, "/farm/x"))
    assert {answer.status for answer in answers} == {200}
    return {answer.member for answer in answers}


GET = {"hcmethod": "GET", "hcuri": "/health", "hcinterval": "100ms"}


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_check_takes_a_member_out_and_in_for_all_children(httpd, backends, checked, other, mpm):
    server = start(httpd, backends(1), mpm)
    server.expect("ATH0370: farm farm_one: member new is down: its check failed: status 503")
    api, engine = Api(server), Engine(server)
    add(api, checked.url, **GET)
    with Load(server.port, lambda n: ("GET", "/farm/x"), rate=200, clients=4) as load:
        wait_until(lambda: checked.checks > 2, what="checks")
        checked.status(503)
        health(engine, False)
        assert who(server) == {0}
        checked.status(301)
        health(engine, True)
        wait_until(lambda: 1 in who(server, 4), what="requests to it")
    assert load.failed() == []
    request = b"GET /app/health HTTP/1.0\r\nHost: 127.0.0.1:%d\r\n\r\n" % checked.port
    assert checked.asked == request and checked.most == 1
    assert len(server.lines("ATH0370")) == len(server.lines("ATH0371")) == 1
    told = [(event["what"], event["who"], event["through"]) for event in api.events()
            if event["member"] == "new" and event["through"] == "health"]
    assert told == [("up=off (was on)", "check", "health"), ("up=on (was off)", "check", "health")]
    # Removed, it is left alone, while another that has its seat is checked.
    assert api.ask("DELETE", f"{MEMBERS}/new?force=1").status == 204
    add(api, other.url, **GET)
    wait_until(lambda: other.checks > 0, what="a check of the other")
    checks = checked.checks
    wait_until(lambda: other.checks > 3, what="checks of the other")
    assert checked.checks <= checks + 1 and engine.column("up") == [True, True]


def test_so_many_in_a_row(httpd, backends, checked):
    server = start(httpd, backends(1))
    server.expect("ATH0370")
    engine = Engine(server)
    checked.status(500)
    # By a name, of whose addresses it listens at one.
    add(Api(server), checked.url.replace("127.0.0.1", "localhost"), **GET, hcfails=3, hcpasses=2)
    seen = checked.checks
    health(engine, False)
    assert checked.checks >= seen + 3
    checked.status(200)
    good = checked.checks
    health(engine, True)
    assert checked.checks >= good + 2


def test_a_listener_that_closes_and_opens(httpd, backends, checked):
    server = start(httpd, backends(1))
    server.expect("ATH0370: .*its check failed: no connection")
    engine = Engine(server)
    add(Api(server), checked.url, hcmethod="TCP", hcinterval="100ms")
    health(engine, True)
    checked.close()
    health(engine, False)
    assert '<span class="why">check</span>' in fetch(server.port, "/athena/").body.decode()
    failed = engine.column("failed")
    assert who(server) == {0}
    assert engine.column("failed") == failed
    checked.listen()
    health(engine, True)


def test_a_ping_of_ajp(httpd, backends, checked):
    server = start(httpd, backends(1))
    server.expect("ATH0370: .*its check failed: closed without an answer")
    engine = Engine(server)
    checked.health = b"AB\x00\x01\x09"
    add(Api(server), f"ajp://127.0.0.1:{checked.port}", hcmethod="CPING", hcinterval="100ms",
        lbset=1)
    wait_until(lambda: checked.checks > 1, what="checks")
    assert checked.asked == b"\x12\x34\x00\x01\x0a" and engine.column("up") == [True, True]
    checked.health = b""
    health(engine, False)
    checked.health = b"AB\x00\x01\x09"
    health(engine, True)


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_checks_outlive_restarts_and_children(httpd, backends, checked, mpm):
    server = start(httpd, backends(1), mpm)
    server.expect("ATH0370")
    engine = Engine(server)
    add(Api(server), checked.url, **GET)
    checked.status(503)
    health(engine, False)
    for restart in (lambda: server.graceful(alone=True), server.restart):
        restart()
        # It is not asked first whether it is still down.
        assert who(server) == {0} and engine.column("up") == [True, False]
        checks = checked.checks
        wait_until(lambda: checked.checks > checks + 1, what="more checks")
    assert engine.column("up") == [True, False]
    server.kill_children()
    wait_until(lambda: fetch(server.port, "/athena/api/v1/farms").status == 200, what="children")
    checked.status(200)
    health(engine, True)
    assert checked.most == 1


def test_hostile_answers_fail_and_hold_nobody_up(httpd, backends, checked):
    server = start(httpd, backends(1))
    server.expect("ATH0370")
    api, engine = Api(server), Engine(server)
    add(api, checked.url, **GET, timeout=3)
    for answer in (b"\0" * 100_000, b"HTTP/1.1 2000 OK\r\n\r\n", b"", b"HTTP/1.1 200"[:9], None):
        checked.health = answer
        health(engine, False)
        assert who(server, 4) == {0}
        checked.status(200)
        health(engine, True)
    checked.health = b"HTTP/1.0 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 3_000_000
    checks = checked.checks
    wait_until(lambda: checked.checks > checks + 2, what="checks")
    assert engine.column("up") == [True, True]
    reasons = [line.rsplit("failed: ", 1)[1] for line in server.lines("ATH0370")]
    assert reasons == ["an answer that is none", "an answer that is none",
                       "closed without an answer", "an answer that is none", "no answer in time"]


def test_a_template_of_mod_proxy_hcheck(httpd, backends, checked):
    templates = ('ProxyHCTemplate short hcmethod=GET hcuri=/nowhere hcinterval=100ms hcfails=2\n'
                 'ProxyHCExpr good {%{REQUEST_STATUS} =~ /^2/}\n'
                 'ProxyHCTemplate complex hcmethod=GET hcexpr=good\n')
    server = start(httpd, backends(1), conf=ALLOWED + templates, modules=["proxy_hcheck"])
    server.expect("ATH0370|ATH0254")
    api, engine = Api(server), Engine(server)

    def refused(**parameters):
        return api.refused(MEMBERS, {"url": checked.url, **parameters}, 422, method="POST")

    assert refused(hctemplate="none") == "hctemplate=none: Unknown ProxyHCTemplate name: none"
    assert "its hcexpr is not for a member" in refused(hctemplate="complex")
    assert "not for a member" in refused(hcexpr="good")
    add(api, checked.url, hctemplate="short", hcuri="/health")
    wait_until(lambda: checked.checks > 1, what="checks")
    checked.status(404)
    health(engine, False)
    server.graceful(alone=True)
    checked.status(200)
    health(engine, True)


def test_refusals_say_what_is_allowed(httpd, backends):
    server = start(httpd, backends(1), conf="AthMemberAllow 127.0.0.1:80\n")
    server.expect("ATH0254")
    api, url = Api(server), "http://127.0.0.1"

    def refused(status, url=url, **parameters):
        return api.refused(MEMBERS, {"url": url, **parameters}, status, method="POST")

    assert refused(422, hcmethod="get12").startswith("hcmethod=get12: must be one of None, TCP, ")
    assert refused(422, hcinterval="0").startswith("hcinterval=0: must be seconds from 1")
    for uri in ("health", "http://127.0.0.2/", "/a b", "/a\r\nX: y"):
        refused(422, hcmethod="GET", hcuri=uri)
    assert refused(422, hctemplate="t") == "hctemplate=t: mod_proxy_hcheck is not loaded"
    for scheme in ("https", "fcgi"):
        text = refused(422, url=f"{scheme}://127.0.0.1:80", hcmethod="GET")
        assert text == f"hcmethod=GET: a member by {scheme}:// can be checked with TCP only"


def may_open(server, files):
    """Sets how many files one process may have open, as the user that it runs as."""
    user = "www-data" if os.geteuid() == 0 else None
    subprocess.run(["prlimit", f"--pid={server.process.pid}", f"--nofile={files}:"], check=True,
                   user=user, group=user)


def test_checks_wait_for_a_file_descriptor(httpd, backends, checked):
    """In one process of one thread, whose client has its connection already."""
    server = httpd("prefork", balancer=False, one_process=True, conf=ALLOWED + served(backends(1).urls))
    server.expect("ATH0391: agents are not asked, and added members not checked: .*open files")
    body = json.dumps({"url": checked.url, **GET}).encode()
    with Client(server.port) as client:
        assert client.get(f"{API}/farms").status == 200
        may_open(server, 3)
        added = client.request("POST", API + MEMBERS, {"Content-Type": "application/json"}, body)
        assert added.status == 201, added
        wait_until(lambda: server.lines("ATH0391"), what="a look of the watch")
        time.sleep(1.2)  # and more of them
        assert len(server.lines("ATH0391")) == 1 and checked.checks == 0
        may_open(server, 256)
        wait_until(lambda: checked.checks > 0, what="a check")
