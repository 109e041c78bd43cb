"""What the engine tells, and to whom."""

import re
import socket

import pytest
from harness.client import Client, fetch
from harness.engine import FARMS, Engine
from harness.farms import farm, served
from harness.httpd import CONNECT_FAILED
from harness.load import ab
from harness.waiting import free_port

MEMBER = {
    "name": str, "url": str, "route": str, "weight": float, "lbset": int, "on": bool, "up": bool,
    "in": bool, "drain": bool, "standby": bool, "usable": bool, "inflight": int, "elected": int,
    "served": int, "failed": int, "bytes_in": int, "bytes_out": int, "ttfb_ewma_ms": float,
    "pushes": int, "stats": dict,
}
FARM = {"name": str, "server": str, "method": str, "on": bool, "usable": int, "elected": int,
        "members": list}


def shape(document, model):
    assert set(model) <= set(document), set(model) - set(document)
    wrong = {key: document[key] for key, kind in model.items() if type(document[key]) is not kind}
    assert not wrong


def test_the_farms_document(httpd, backends, mpm, balancer):
    members = backends(2)
    server = httpd(mpm, balancer=balancer, conf=served(
        members.urls, settings="lbmethod=roundrobin", each="route=a", weights=[2, 1.5]))
    assert ab(server.port, "/farm/x", 100, 4).failed == 0
    engine = Engine(server)
    engine.wait_idle()
    (one,) = engine.farms()
    shape(one, FARM)
    assert (one["name"], one["server"], one["method"], one["on"], one["usable"]) \
        == ("farm_one", "main", "roundrobin", True, 2)
    for member, port in zip(one["members"], members.ports, strict=True):
        shape(member, MEMBER)
        assert (member["name"], member["url"], member["route"]) \
            == (f"127.0.0.1:{port}", f"http://127.0.0.1:{port}", "a")
        assert member["on"] and member["up"] and member["in"] and member["usable"]
        assert not member["drain"] and not member["standby"]
    assert [member["weight"] for member in one["members"]] == [2.0, 1.5]
    answer = fetch(server.port, FARMS)
    assert answer.header("Content-Type").startswith("application/json")


def test_an_unused_member_has_no_time(httpd):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"]))
    member = Engine(server).members()[0]
    assert member["ttfb_ewma_ms"] is None and member["served"] == 0


def test_failures_are_no_time(httpd):
    server = httpd("event", conf=served([f"http://127.0.0.1:{free_port()}"], each="retry=0"))
    server.expect(f"{CONNECT_FAILED}|ATH0112")
    assert [fetch(server.port, "/farm/x").status for _ in range(3)] == [503] * 3
    member = Engine(server).members()[0]
    assert member["ttfb_ewma_ms"] is None and (member["served"], member["failed"]) == (0, 3)
    assert fetch(server.port, "/athena/status/phys/?f=%t").body == b"-\n"
    assert b"first_byte_ewma_seconds{" not in fetch(server.port, "/athena/metrics").body


def test_names_of_members_that_share_an_address(httpd):
    server = httpd("event", conf=farm(["http://127.0.0.1:9/a", "http://127.0.0.1:9/b",
                                       "http://127.0.0.1:10", "http://127.0.0.1:11/c",
                                       "h2c://127.0.0.1:11/c", "unix:/s|http://h"]))
    assert Engine(server).column("name") == [
        "127.0.0.1:9/a", "127.0.0.1:9/b", "127.0.0.1:10", "http://127.0.0.1:11/c",
        "h2c://127.0.0.1:11/c", "unix:/s"]


@pytest.mark.parametrize("header", ["X-Forwarded-For", "Forwarded", "Via"])
def test_forwarded_requests_are_not_loopback(httpd, header):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"]))
    server.expect(r"\[client")
    value = {"Forwarded": "for=192.0.2.1", "Via": "1.1 proxy"}.get(header, "127.0.0.1")
    assert fetch(server.port, FARMS, headers={header: value}).status == 403
    assert fetch(server.port, FARMS).status == 200


@pytest.mark.parametrize("host, status", [
    ("localhost", 200), ("127.0.0.1", 200), ("[::1]", 200), ("LOCALHOST:80", 200),
    ("evil.example", 403), ("localhost.evil.example", 403),
])
def test_host_must_be_ours(httpd, host, status):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"]))
    server.expect(r"\[client")
    assert fetch(server.port, FARMS, headers={"Host": host}).status == status


def test_effective_address_must_be_trusted_too(httpd):
    server = httpd("event", modules=["remoteip"], conf=farm(["http://127.0.0.1:9"]) + """
        RemoteIPHeader X-Client
        RemoteIPInternalProxy 127.0.0.1
        <Location "/athena">
          Require all granted
        </Location>
    """)
    server.expect(r"\[client")
    assert fetch(server.port, FARMS, headers={"X-Client": "192.0.2.1"}).status == 403
    assert fetch(server.port, FARMS).status == 200


@pytest.mark.parametrize("proxy, client, status", [
    ("Internal", "127.0.0.1", 403), ("Internal", "::1", 403), ("Internal", "192.0.2.1", 200),
    ("Trusted", "192.0.2.1", 200), ("Trusted", "127.0.0.1", 403),
])
def test_loopback_is_not_what_a_proxy_says(httpd, proxy, client, status):
    """mod_remoteip takes the header away when it has gone by it."""
    server = httpd("event", modules=["remoteip"], conf=farm(["http://127.0.0.1:9"]) + f"""
        RemoteIPHeader X-Forwarded-For
        RemoteIP{proxy}Proxy 127.0.0.1
        AthTrust 127.0.0.0/8 ::1 192.0.2.0/24
        <Location "/athena">
          Require all granted
        </Location>
    """)
    server.expect(r"\[client")
    assert fetch(server.port, FARMS, headers={"X-Forwarded-For": client}).status == status
    assert fetch(server.port, FARMS).status == 200


def own_address():
    """An address of this machine that is not loopback, if it has one. Sends nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return None
        return probe.getsockname()[0]


@pytest.mark.skipif(own_address() is None, reason="this machine has loopback only")
def test_other_addresses_need_trust(make_httpd):
    address = own_address()
    for trust, status in (("", 403), (f"AthTrust {address}\nAthTrust ::1 127.0.0.1", 200)):
        server = make_httpd("event", conf=farm(["http://127.0.0.1:9"]) + f"""
            Listen {address}:${{ATH_PORT}}
            {trust}
            <Location "/athena">
              Require all granted
            </Location>
        """).start()
        server.expect(r"\[client")
        asked = fetch(server.port, FARMS, host=address, headers={"Host": address})
        assert asked.status == status, trust
        assert fetch(server.port, FARMS).status == 200
        server.stop()


def test_require_holds_besides(httpd):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"])
                   + '<Location "/athena">\nRequire all denied\n</Location>')
    server.expect(r"AH01630")
    assert fetch(server.port, FARMS).status == 403


def test_only_reading(httpd):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"]))
    server.expect(r"\[client")
    with Client(server.port) as client:
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert 400 <= client.request(method, FARMS, {}, b"{}").status < 500, method
        assert client.request("HEAD", FARMS).status == 200
    assert fetch(server.port, "/athena/api/v1/nosuch").status == 404


def test_a_section_in_mod_status(httpd, backends):
    members = backends(1)
    server = httpd("event", modules=["status"], conf=served(members.urls)
                   + '<Location "/server-status">\nSetHandler server-status\n</Location>')
    assert fetch(server.port, "/farm/x").status == 200
    page = fetch(server.port, "/server-status").body.decode()
    assert "farm_one" in page and f"127.0.0.1:{members.ports[0]}" in page


def test_variables_for_the_log(httpd, backends, balancer):
    members = backends(1)
    names = ["BALANCER_NAME", "BALANCER_WORKER_NAME", "BALANCER_WORKER_ROUTE", "ATH_FARM",
             "ATH_MEMBER", "ATH_ATTEMPTS", "ATH_REASON", "ATH_TTFB_US"]
    fields = " ".join(f"%{{{name}}}e" for name in names)
    server = httpd("event", balancer=balancer,
                   conf=served(members.urls, each="route=a") + f'CustomLog access.log "{fields}"')
    assert fetch(server.port, "/farm/x?delay=20").status == 200
    server.stop()
    line = (server.directory / "access.log").read_text().split()
    told = dict(zip(names, line, strict=True))
    address = f"127.0.0.1:{members.ports[0]}"
    assert told["BALANCER_NAME"] == "balancer://farm_one"
    assert told["BALANCER_WORKER_NAME"] == f"http://{address}"
    assert (told["BALANCER_WORKER_ROUTE"], told["ATH_FARM"], told["ATH_MEMBER"]) \
        == ("a", "farm_one", address)
    assert told["ATH_ATTEMPTS"] == "1" and re.fullmatch(r"[\w-]+", told["ATH_REASON"])
    assert int(told["ATH_TTFB_US"]) >= 20_000


def test_variables_count_the_attempts_and_name_the_last_member(httpd, backends):
    members = backends(1)
    dead = f"127.0.0.1:{free_port()}"
    names = ["ATH_ATTEMPTS", "ATH_MEMBER", "BALANCER_WORKER_NAME", "ATH_REASON"]
    fields = " ".join(f"%{{{name}}}e" for name in names)
    server = httpd("event", modules=["headers"], conf="".join([
        served([f"http://{dead}", *members.urls], settings="lbmethod=first", each="retry=60"),
        served([f"http://{dead}"], name="gone", path="/gone/", each="retry=0"),
        f'CustomLog access.log "{fields}"\nHeader set X-Said "{fields}"\n']))
    server.expect(CONNECT_FAILED)
    address = f"127.0.0.1:{members.ports[0]}"
    answers = [fetch(server.port, path) for path in ["/farm/x", "/farm/x", "/gone/x"]]
    assert [answer.status for answer in answers] == [200, 200, 503]
    said = [f"2 {address} http://{address} method", f"1 {address} http://{address} method"]
    # What is set for an answer is known when it passes.
    assert [answer.header("x-said") for answer in answers[:2]] == said
    server.stop()
    log = (server.directory / "access.log").read_text().splitlines()
    # A thread writes its line after the answer, perhaps later than the next one does.
    assert sorted(log) == sorted([*said, f"1 {dead} http://{dead} method"])


def test_variables_name_the_farm_where_nothing_was_usable(httpd, backends):
    members = backends(1)
    fields = "%U %>s %{ATH_FARM}e %{ATH_ATTEMPTS}e %{ATH_MEMBER}e"
    farms = {"nothing": "", "fallback": f"fallback={members.urls[0]}/outage",
             "redirect": "fallback=redirect:http://a/", "elsewhere": f"forward={members.urls[0]}/f/"}
    server = httpd("event", conf=f'CustomLog access.log "{fields}"\n' + "".join(
        served(members.urls, name=name, path=f"/{name}/", each="status=+D", settings=setting)
        for name, setting in farms.items()))
    server.expect("ATH0112")
    statuses = [fetch(server.port, f"/{name}/").status for name in farms]
    assert statuses == [503, 200, 302, 200]
    server.stop()
    log = (server.directory / "access.log").read_text().splitlines()
    assert sorted(log) == sorted(f"/{name}/ {status} {name} 0 -"
                                 for name, status in zip(farms, statuses, strict=True))


def test_debug_explains_every_choice(httpd, backends):
    members = backends(2)
    server = httpd("event", conf="LogLevel athena:debug\n" + served(members.urls))
    for _ in range(5):
        fetch(server.port, "/farm/x")
    assert len(server.lines(r"\[athena:debug\].*farm_one.*127\.0\.0\.1:")) >= 5


def test_a_member_by_ipv6(httpd):
    """Its name is host:port as a URL has it, wherever it is asked for."""
    server = httpd("event", conf=farm(["http://[::1]:8080", "http://127.0.0.1:8080"]))
    assert Engine(server).column("name") == ["[::1]:8080", "127.0.0.1:8080"]
    for path in ("[::1]:8080", "%5B::1%5D:8080"):
        answer = fetch(server.port, f"/athena/api/v1/farms/farm_one/members/{path}")
        assert answer.status == 200, answer
    answer = fetch(server.port, '/athena/status/phys/?h=[::1]:8080,f="%h"')
    assert (answer.status, answer.body) == (200, b"[::1]:8080\n"), answer
