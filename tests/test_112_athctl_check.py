"""athctl check tells what the module does."""

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from test_110_athctl import DEAD, athctl


def told(tmp_path, text, code=0):
    part = tmp_path / "part.conf"
    part.write_text(text)
    return athctl(9, "check", part, code=code)


@pytest.mark.parametrize("text, code, said", [
    (f'{farm([DEAD])}ProxyPass "/" "balancer://farm_one:8080/"\n', 1,
     ["refused: ", "part.conf:4: ProxyPass balancer://farm_one:8080/: a farm takes no port"]),
    (farm([DEAD, f"{DEAD}/b"]), 0,
     [", 1 member (", "ignored: ", f"BalancerMember {DEAD}/b: mod_proxy takes it for {DEAD}, which"]),
    (farm(["http://a", "http://b"], each="route=x", settings="stickysession=s"), 0,
     ["  ignored  route=x is the route of http://a, http://b: its sessions go to the first"]),
    (f"LoadModule proxy_module p.so\nBalancerPersist On\n{farm([DEAD], settings='growth=2')}", 0,
     ["part.conf:5: growth=2: without mod_proxy_balancer", ":2: BalancerPersist: without mod_proxy_balancer"]),
    (farm(["ajp://a"], each='"Secret=PASS WORD" route=a'), 0,
     ["  member   ajp://a Secret=… route=a\n"]),
    (f"{farm([DEAD])}ProxyPass / balancer://farm_one/ secret=PASSWORD timeout=2\n", 1,
     ["  reached  ProxyPass / balancer://farm_one/ secret=… timeout=2 ("]),
    (farm([DEAD], name="a.b") + farm([DEAD]) + f"AthFarm c.d {DEAD}\n", 0,
     ["  changes  http://farm_one/ names it too", "  changes  http://c.d/ names it too"]),
    (f'<VirtualHost *:80>\nServerName v\n{farm([DEAD])}</VirtualHost>\n' * 2, 0,
     ["farm_one@v:80: ", "farm_one@v:80#2: "]),
])
def test_of_a_part(tmp_path, text, code, said):
    what = told(tmp_path, text, code)
    assert [piece for piece in said if piece not in what] == [], what
    assert "PASS" not in what and "//a.b/ names it too" not in what


@pytest.mark.parametrize("text", [
    farm(["http://a", "http://b"], each="route=x"),
    farm(["http://a"], each="route=x", settings="stickysession=s") + farm(
        ["http://b"], each="route=x", settings="stickysession=s", name="other"),
    farm([DEAD], settings="growth=2") + "BalancerPersist On\n",
    f'{farm([DEAD])}ProxyPass "/" "balancer://farm_one:80/"\n'])
def test_nothing_is_wrong_with(tmp_path, text):
    what = told(tmp_path, text)
    assert "ignored" not in what, what


def test_it_says_what_a_start_says(httpd, balancer):
    """The same members, servers, and requests refused; the modules that are loaded."""
    host = '<VirtualHost {0}>\nServerName shop\n{1}</VirtualHost>\n'
    members = [DEAD, f"{DEAD}/b", "http://127.0.0.2:80/c", "http://127.0.0.2/c/d"]
    conf = served(members, settings="growth=2 stickysession=s", each="route=r") + "".join([
        'ProxyPass "/port/" "balancer://farm_one:8080/"\n',
        *(host.format(address, farm([DEAD], name="other")) for address in ("*:81", "*:81", "[::1]"))])
    server = httpd("event", balancer=balancer, conf=conf)
    server.expect("ATH0430|ATH0141|ATH0415|AH01150")
    assert fetch(server.port, "/port/").status == 403
    said = athctl(9, "check", server.directory / "httpd.conf", code=1)
    assert "-D DUMP_CONFIG" in said.splitlines()[0]
    farms = {one["server"]: one for one in Engine(server).farms()}
    for name, one in farms.items():
        title = one["name"] if name == "main" else f"{one['name']}@{name}"
        assert f"\n{title}: lbmethod=byrequests, {len(one['members'])} member" in said, said
    assert len(farms) == 4
    assert said.count("mod_proxy takes it for") == len(server.lines("ATH0430")) == 2
    assert said.count("route=r is the route of") == len(server.lines("ATH0141")) == 1
    assert ("growth=2: without mod_proxy_balancer" in said) == (not balancer)
    assert "balancer://farm_one:8080/: a farm takes no port" in said
