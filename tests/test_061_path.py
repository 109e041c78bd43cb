"""Where the engine answers (AthPath), and where it leaves the path to the application."""

import pytest
from harness.client import fetch
from harness.farms import farm

DOCUMENT = "/api/v1/farms"


def ask(server, path, host="localhost"):
    """`engine`, or the number of the back end that answered."""
    answer = fetch(server.port, path, headers={"Host": host})
    if answer.member is not None:
        return answer.member
    assert answer.status in (200, 404), answer
    return "engine" if answer.status == 200 else None


def hosts(**lines):
    """Virtual hosts that give everything to the farm, each with lines of its own."""
    return "".join(f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName {name}.test
          {line}
          ProxyPass "/" "http://farm_one/"
        </VirtualHost>
        """ for name, line in lines.items())


def test_a_wildcard_alias_names_no_domain_but_its_own(httpd, backends):
    """Who has a visitor's browser ask by a name of their own (DNS rebinding) is not let in."""
    members = backends(1)
    server = httpd("event", conf=farm(members.urls) + hosts(
        ours="ServerAlias *.example.com", www="ServerAlias www.*", any="ServerAlias *"))
    for name, status in [("any.test", 200), ("evil.test", 403), ("www.evil.test", 403),
                         ("a.example.com", 200), ("localhost", 200)]:
        answer = fetch(server.port, "/athena" + DOCUMENT, headers={"Host": name})
        assert answer.status == status, name
    server.expect(r"ATH0\d+: .*Host \"(www\.)?evil\.test\" is neither a name of this server")


def test_each_server_has_its_own_path(httpd, backends, mpm):
    members = backends(1)
    server = httpd(mpm, conf=farm(members.urls) + hosts(
        plain="", moved="AthPath /ath/", given="AthPath none"))
    assert ask(server, "/athena" + DOCUMENT, "plain.test") == "engine"
    assert ask(server, "/ath" + DOCUMENT, "plain.test") == 0
    assert ask(server, "/ath" + DOCUMENT, "moved.test") == "engine"
    assert ask(server, "/athena" + DOCUMENT, "moved.test") == 0
    for path in ["/athena" + DOCUMENT, "/athena/", "/athena", "/ath" + DOCUMENT]:
        assert ask(server, path, "given.test") == 0


def test_virtual_hosts_inherit_the_path(httpd, backends):
    members = backends(1)
    server = httpd("event", conf="AthPath /ath\n" + farm(members.urls) + hosts(
        plain="", back="AthPath /athena", given="AthPath none"))
    assert ask(server, "/ath" + DOCUMENT, "plain.test") == "engine"
    assert ask(server, "/athena" + DOCUMENT, "plain.test") == 0
    assert ask(server, "/athena" + DOCUMENT, "back.test") == "engine"
    assert ask(server, "/ath" + DOCUMENT, "back.test") == 0
    assert ask(server, "/ath" + DOCUMENT, "given.test") == 0


def test_none_for_all_but_one(httpd, backends):
    members = backends(1)
    server = httpd("event", conf="AthPath none\n" + farm(members.urls) + hosts(
        plain="", admin="AthPath /athena"))
    assert ask(server, "/athena" + DOCUMENT, "plain.test") == 0
    assert ask(server, "/athena" + DOCUMENT, "admin.test") == "engine"


@pytest.mark.parametrize("path", ["/athenaeum", "/athenaeum/api/v1/farms", "/Athena/api/v1/farms",
                                  "/x/athena/api/v1/farms", "/athena.html"])
def test_only_whole_segments_are_the_engines(httpd, backends, path):
    members = backends(1)
    server = httpd("event", conf=farm(members.urls) + hosts(plain=""))
    assert ask(server, path, "plain.test") == 0


@pytest.mark.parametrize("path", ["athena", "/", "", "//", "/a?b", "/a#b", "/a%20b", "/a /b",
                                  "//a", "/a//b", "/a//", "/a/../b", "/a/.", "/./a"])
def test_a_path_that_is_none(make_httpd, path):
    line = f"AthPath {path}" if " " in path else f'AthPath "{path}"'
    said = make_httpd("event").refuses(line)
    assert "AthPath" in said and "none" in said


@pytest.mark.parametrize("conf, told", [
    ("ProxyRequests On\n", True), ("", False), ("ProxyRequests On\nAthTrust 127.0.0.1\n", False),
    ("ProxyRequests On\nAthPath none\n", False), ("ProxyRequests On\nAthEngine Off\n", False),
])
def test_a_forward_proxy_beside_a_trusted_loopback_is_told_of(httpd, conf, told):
    server = httpd("event", conf=conf)
    server.expect("ATH0442")
    assert bool(server.lines("ATH0442: ProxyRequests On")) is told
