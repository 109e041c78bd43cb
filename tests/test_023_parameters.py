"""mod_proxy's own parameters: on a farm's ProxyPass they apply, and bad values are refused."""

import re

import pytest
from harness import manager
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm
from harness.httpd import CONNECT_FAILED
from harness.waiting import free_port

A = "http://127.0.0.1:9"  # nothing is ever sent there
LONG = "x" * 64

# On BalancerMember, on ProxySet, on ProxyPass: what httpd must say about it.
REFUSED = {
    "lbset": ("lbset=100", None, None, "BalancerMember lbset=100: .* from 0 to 99"),
    "lbset, no number": ("lbset=abc", None, None, "BalancerMember lbset=abc: .* from 0 to 99"),
    "loadfactor": ("loadfactor=0", None, None, "BalancerMember loadfactor=0: .* from 1 to 100"),
    "loadfactor, text": ("loadfactor=2x", None, None, "loadfactor=2x: .* from 1 to 100"),
    "status letter": ("status=+X", None, None, r"BalancerMember status=\+X: .*D \(disabled\)"),
    "retry": ("retry=99999999999", None, None, "BalancerMember retry=99999999999: .*seconds"),
    "retry, unit": ("retry=500ms", None, None, "BalancerMember retry=500ms: .*seconds"),
    "max": ("max=9999999", None, None, "BalancerMember max=9999999: .* 1000000"),
    "min, text": ("min=few", None, None, "BalancerMember min=few: .* number"),
    "route": (f"route={LONG}", None, None, f"BalancerMember route={LONG}: .* 63"),
    "farm's key": ("lbmethod=byrequests", None, None,
                   "BalancerMember: lbmethod belongs to the farm: write it on ProxySet"),
    "timeout": (None, "timeout=0", None, "ProxySet timeout=0: .*from 1 to"),
    "maxattempts": (None, "maxattempts=lots", None, "ProxySet maxattempts=lots: .* number"),
    "stickysession": (None, f"stickysession={LONG}", None, f"stickysession={LONG}: .* 63"),
    "failonstatus": (None, "failonstatus=5xx", None, "failonstatus=5xx: .* from 100 to 599"),
    "nofailover": (None, "nofailover=maybe", None, "nofailover=maybe: must be On or Off"),
    "member's key": (None, None, "retry=5",
                     "ProxyPass: retry belongs to the member: write it on BalancerMember"),
    "upgrade": (None, None, "upgrade=websocket", "ProxyPass: upgrade belongs to the member"),
    "unknown": (None, None, "speed=9", "ProxyPass: speed is no parameter of farms"),
    "value on ProxyPass": (None, None, "growth=0", "ProxyPass growth=0: .* from 1 to 100"),
}


@pytest.mark.parametrize("member, settings, passed, said", REFUSED.values(), ids=REFUSED)
def test_refuses(make_httpd, member, settings, passed, said):
    conf = farm([A], each=member or "", settings=settings or "")
    server = make_httpd("event")
    output = server.refuses(conf + f'ProxyPass "/" "http://farm_one/" {passed or ""}')
    assert re.search(said, output), output


@pytest.mark.parametrize("lines", [("name=app01", "name=app01"), ("", "name=127.0.0.1:9")])
def test_a_name_is_one_members_alone(make_httpd, lines):
    first, second = lines
    other = "http://127.0.0.1:10"
    server = make_httpd("event")
    name = second.removeprefix("name=")
    said = server.refuses(f'''AthEngine On
        <Proxy "balancer://farm_one">
          BalancerMember "{A}" {first}
          BalancerMember "{other}" {second}
        </Proxy>''')
    assert (f"farm farm_one: name={name}: must be one member's alone: {A} and {other} have it"
            in said), said


@pytest.mark.parametrize("url", ["http://localhost:80", "HTTP://LOCALHOST:80/x/", "https://a:443/%20",
                                 "http://[::1]:80/", "ajp://a:8009", "http://u:p@a:80/", "http://a:81"])
def test_a_member_at_any_port_has_our_parameters(make_httpd, balancer, url):
    """mod_proxy leaves its scheme's own port out of a worker's name."""
    server = make_httpd("event", balancer=balancer, conf=farm([url], each="maxconn=3"))
    done = server.run("-t")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("first, second", [(A, A), (A, f"{A}/app"), (A, f"{A}/"),
                                           ("unix:/x|http://a/", "unix:/y|http://a/")])
def test_two_members_that_mod_proxy_takes_for_one(make_httpd, first, second):
    """It passes over the second line's parameters; ours would have taken the first one's place."""
    server = make_httpd("event")
    said = server.refuses(farm([first, second], each="maxconn=3"))
    assert f"BalancerMember {second}: mod_proxy takes it for {first.split('|')[-1]}," in said, said
    both = farm([second, first], each="maxconn=3")
    server.conf = both
    assert (server.run("-t").returncode == 0) == (second.startswith(f"{A}/"))


@pytest.mark.parametrize("first, second", [(A, f"{A}/a"), (f"{A}/a", f"{A}/ab"),
                                           ("unix:/x|fcgi://localhost", "unix:/y|fcgi://localhost")])
def test_a_member_that_mod_proxy_passes_over_is_told_of(httpd, first, second, balancer):
    """As in stock httpd it starts, with one member; nothing of ours stands on the second line."""
    server = httpd("event", balancer=balancer, modules=["proxy_fcgi"], conf=f'''<Proxy "balancer://farm_one">
          BalancerMember "{first}"
          BalancerMember "{second}" loadfactor=3
          BalancerMember "http://b.example"
        </Proxy>''')
    server.expect("ATH0430|AH01150")
    assert len(Engine(server).column("name")) == 2
    (said,) = server.lines("ATH0430")
    one = first.split("|")[-1]
    assert f": BalancerMember {second}: mod_proxy takes it for {one}, which stands before it" in said
    assert ".conf:" in said


def test_values_that_stock_takes_in_earnest(httpd):
    each = ("loadfactor=1.5 retry=0 lbset=99 status=+D-D+H max=20 min=1 smax=5 ttl=60 acquire=500ms "
            "timeout=30 keepalive=On disablereuse=off flushpackets=auto flushwait=20 ping=500ms "
            "connectiontimeout=5 upgrade=ANY addressttl=-1 route=a redirect=a")
    settings = ("stickysession=JSESSIONID|jsessionid stickysessionsep=Off nofailover=off timeout=5 "
                "maxattempts=2 lbmethod=byrequests scolonpathdelim=on failontimeout=On growth=5 "
                '"failonstatus=500, 503" forcerecovery=Off nonce=None')
    server = httpd("event", conf=farm([A], each=each, settings=settings))
    member = Engine(server).members()[0]
    assert (member["weight"], member["lbset"], member["standby"]) == (1.5, 99, True)


def test_a_stated_default_can_be_written(httpd):
    """A member so does without what its farm's line says for all."""
    words = ("ejectafter=off retryon=none trytimeout=off fallback=none forward=none queue=off "
             "routeregex=none score=unset hashbalance=Off maxconn=9 slowstart=30 draintimeout=60 "
             "agent=:9 expectupdate=60")
    conf = farm([A, "http://127.0.0.1:10"], settings=words)
    undone = "maxconn=off slowstart=Off draintimeout=OFF agent=off expectupdate=off forward=None"
    server = httpd("event", balancer=False, conf=conf.replace(f'"{A}"', f'"{A}" {undone}'))
    server.expect("ATH0304")
    engine = Engine(server)
    for key, there in [("maxconn", 9), ("slowstart", 30), ("draintimeout", 60), ("forward", None)]:
        assert engine.column(key) == [None, there], key


def test_engine_off_reads_no_values(httpd):
    """What stock takes is taken as ever; `http://NAME` is a host."""
    httpd("event", engine="off", conf=farm([A], each="lbset=abc retry=5s", settings="maxattempts=x")
          + 'ProxyPass "/" "http://farm_one/" retry=5')


# The line's parameters, and the members (None: one that is dead) with their own.
APPLIED = {
    "f_method": ("lbmethod=leastconn", ["{a}"]),
    "f_sticky": ("stickysession=sid", ["{a} route=a", "{b} route=b"]),
    "f_separator": ("stickysession=sid stickysessionsep=-", ["{a} route=a", "{b} route=b"]),
    "f_semicolon": ("stickysession=sid scolonpathdelim=On", ["{a} route=a", "{b} route=b"]),
    "f_nofailover": ("stickysession=sid nofailover=On", ["{a} route=a", "{dead} route=d"]),
    "f_attempts": ("maxattempts=0", ["{dead}", "{a}"]),
    "f_status": ("failonstatus=500", ["{a}"]),
    "f_timeout": ("failontimeout=On", ["{a} timeout=1"]),
    "f_forced": ("forcerecovery=On", ["{dead}"]),
    "f_recovery": ("forcerecovery=Off", ["{dead}"]),
    "f_growth": ("growth=1 nonce=tested", ["{a}"]),
}


@pytest.mark.parametrize("spelling", ["http", "balancer"])
def test_a_virtual_hosts_line_speaks_for_that_host(httpd, backends, balancer, spelling):
    """As in stock httpd, whichever way it names the main server's farm. What puts a member in error is for all."""
    members = backends(2)
    hosts = "".join(f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName {name}.example
          ProxyPass "/" "{spelling}://farm_one/" {params}
        </VirtualHost>""" for name, params in (("usual", ""), ("other", "stickysession=other failonstatus=500")))
    server = httpd("event", balancer=balancer, conf=f"""
        <Proxy "balancer://farm_one">
          BalancerMember "{members.urls[0]}" route=a
          BalancerMember "{members.urls[1]}" route=b
          ProxySet stickysession=usual
        </Proxy>{hosts}""")
    server.expect("ATH0110")

    def ask(host, path="/x", **headers):
        return fetch(server.port, path, headers={"Host": f"{host}.example", **headers})

    for host in ("usual", "other"):
        for name in ("usual", "other"):
            seen = {ask(host, Cookie=f"{name}=1.b").member for _ in range(4)}
            # Else the turns go on, and 0 has had fewer.
            assert (0 not in seen) == (name == host), (host, name)
    engine = Engine(server)
    assert ask("usual", "/x?status=500").status == 500
    assert sorted(engine.column("error"), key=str) == [None, "failonstatus"]


@pytest.mark.parametrize("spelling", ["http", "balancer"])
def test_parameters_on_proxypass_apply(httpd, backends, spelling):
    members = backends(2)
    names = {"a": members.urls[0], "b": members.urls[1],
             "dead": f"http://127.0.0.1:{free_port()}"}
    conf = manager.CONF
    for name, (params, lines) in APPLIED.items():
        listed = "\n".join(f"BalancerMember {line.format(**names)}" for line in lines)
        conf += (f'<Proxy "balancer://{name}">\n{listed}\n</Proxy>\n'
                 f'ProxyPass "/{name}/" "{spelling}://{name}/" {params}\n')
    server = httpd("event", conf=conf)
    server.expect(f"{CONNECT_FAILED}|ATH0112|ATH0220|AH01102|AH00898")
    engine = Engine(server)

    def ask(name, rest="x", cookie=""):
        return fetch(server.port, f"/{name}/{rest}", headers={"Cookie": cookie})

    assert engine.farm("f_method")["method"] == "leastconn"
    assert {ask("f_sticky", cookie="sid=1.b").member for _ in range(4)} == {1}
    assert {ask("f_separator", cookie="sid=1-b").member for _ in range(4)} == {1}
    assert {ask("f_semicolon", "x;sid=1.b;y=2").member for _ in range(4)} == {1}
    assert [ask("f_nofailover", cookie="sid=1.d").status for _ in range(3)] == [503] * 3
    assert ask("f_attempts").status == 503
    assert ask("f_status", "x?status=500").status == 500
    assert engine.column("error", "f_status") == ["failonstatus"]
    assert ask("f_timeout", "x?delay=1800").status == 503
    assert engine.column("error", "f_timeout") == ["failontimeout"]
    for name, attempts in (("f_forced", 2), ("f_recovery", 1)):
        assert [ask(name).status for _ in range(2)] == [503, 503]
        assert engine.column("elected", name) == [attempts]
    manager.edit(server.port, "f_growth", b_nwrkr=members.urls[1], b_wyes="1")
    assert len(engine.members("f_growth")) == 2
