"""What selects a farm, and what never does."""

import subprocess

import pytest
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.load import h2load
from harness.waiting import free_port
from harness.websocket import echo

ROADS = {
    "ProxyPass by name": ("/pp/x", "/pp/x", 'ProxyPass "/pp/" "http://farm_one/pp/"'),
    "ProxyPass by balancer": ("/bal/x", "/bal/x", 'ProxyPass "/bal/" "balancer://farm_one/bal/"'),
    "https in front of the name": ("/tls/x", "/x", 'ProxyPass "/tls/" "https://farm_one/"'),
    "default port": ("/port/x", "/x", 'ProxyPass "/port/" "http://farm_one:80/"'),
    "another case": ("/case/x", "/x", 'ProxyPass "/case/" "http://Farm_ONE/"'),
    "ProxyPassMatch": ("/match/x", "/m/x", 'ProxyPassMatch "^/match/(.*)$" "http://farm_one/m/$1"'),
    "ProxyPassMatch, balancer": ("/matchb/x", "/m/x",
                                 'ProxyPassMatch "^/matchb/(.*)$" "balancer://farm_one/m/$1"'),
    "Location": ("/loc/x", "/l/x",
                 '<Location "/loc/">\nProxyPass "http://farm_one/l/"\n</Location>'),
    "RewriteRule": ("/rw/x", "/r/x", 'RewriteRule "^/rw/(.*)" "http://farm_one/r/$1" [P]'),
    "RewriteRule, balancer": ("/rwb/x", "/r/x",
                              'RewriteRule "^/rwb/(.*)" "balancer://farm_one/r/$1" [P]'),
    # SetHandler appends the file's name, whatever it is.
    "SetHandler": ("/sh/x", None,
                   '<Location "/sh/">\nSetHandler "proxy:http://farm_one/"\n</Location>'),
    "SetHandler, balancer": ("/shb/x", None,
                             '<Location "/shb/">\nSetHandler "proxy:balancer://farm_one/"\n'
                             "</Location>"),
}


def test_every_road_leads_to_the_farm(httpd, backends, mpm, balancer):
    members = backends(2)
    conf = farm(members.urls) + "RewriteEngine On\n" + "\n".join(line for *_, line in ROADS.values())
    server = httpd(mpm, balancer=balancer, modules=["rewrite"], conf=conf)
    for road, (path, target, _) in ROADS.items():
        answers = [fetch(server.port, path) for _ in range(4)]
        assert [answer.status for answer in answers] == [200] * 4, road
        assert {answer.member for answer in answers} == {0, 1}, road
        if target is not None:
            assert {answer.header("X-Target") for answer in answers} == {target}, road
    assert sum(Engine(server).column("served")) == 4 * len(ROADS)


def test_per_directory_rewrite(make_httpd, backends):
    members = backends(2)
    server = make_httpd("event", modules=["rewrite"])
    docs = server.directory / "docs"
    docs.mkdir()
    server.conf = farm(members.urls) + f"""
        DocumentRoot "{docs}"
        <Directory "{docs}">
          RewriteEngine On
          RewriteRule "^pd/(.*)" "http://farm_one/p/$1" [P]
        </Directory>
    """
    server.start()
    answer = fetch(server.port, "/pd/x")
    assert (answer.status, answer.header("X-Target")) == (200, "/p/x")


def test_base_paths_stand_before_the_target(httpd, backends):
    members = backends(2)
    urls = [members.urls[0] + "/base", members.urls[1] + "/base/"]
    server = httpd("event", conf=served(urls))
    targets = {(answer.member, answer.header("X-Target"))
               for answer in (fetch(server.port, "/farm/a/b?c") for _ in range(6))}
    assert targets == {(0, "/base/a/b?c"), (1, "/base/a/b?c")}


def test_a_unix_sockets_host_is_no_farm(httpd, backends, balancer):
    """mod_proxy takes the socket off the target of a ProxyPass line."""
    members, sockets = backends(1), backends(1, unix=True)
    target = f"unix:{sockets.paths[0]}|http://App/"
    server = httpd("event", balancer=balancer, modules=["rewrite"],
                   conf=farm(members.urls, name="app") + f"""
        RewriteEngine On
        ProxyPass "/pass/" "{target}"
        <Location "/location/">
          ProxyPass "{target}"
        </Location>
        ProxyPassMatch "^/match/(.*)$" "{target}$1"
        RewriteRule "^/rewrite/(.*)" "{target}$1" [P]
        <Location "/handler/">
          SetHandler "proxy:{target}"
        </Location>
        ProxyPass "/farm/" "balancer://app/"
        """)
    for asked, path in enumerate(("pass", "location", "match", "rewrite", "handler")):
        assert fetch(server.port, f"/{path}/x").status == 200
        assert sockets.requests() == [asked + 1], path
    assert fetch(server.port, "/farm/x").status == 200
    assert (members.requests(), Engine(server).column("served", "app")) == ([1], [1])


def test_a_unix_sockets_host_that_requests_fill_in_is_no_farm(httpd, backends, balancer):
    """Whatever a client writes there, the socket has the request."""
    members, sockets = backends(1), backends(1, unix=True)
    socket = f"unix:{sockets.paths[0]}|http://"
    server = httpd("event", balancer=balancer, modules=["setenvif"],
                   conf="".join(farm(members.urls, name=name) for name in ("app", "app-x", "plain")) + f"""
        ProxyPassInterpolateEnv On
        SetEnvIf X-Name "(.*)" NAME=$1
        ProxyPassMatch "^/match/([^/]+)/(.*)$" "{socket}$1/$2"
        ProxyPassMatch "^/raw/([^/]+)/(.*)$" "{socket}$1/$2" nocanon
        ProxyPassMatch "^/part/(.*)$" "{socket}app-$1"
        ProxyPass "/filled/" "{socket}${{NAME}}/" interpolate
        <LocationMatch "^/location/([^/]+)/(.*)$">
          ProxyPassMatch "{socket}$1/$2"
        </LocationMatch>
        ProxyPass "/farm/" "balancer://app/"
        ProxyPass "/other/" "http://plain/"
        """)
    server.expect(r"AH00111: Config variable \$\{NAME\} is not defined")
    paths = ("match/app/x", "match/APP:80/x", "raw/app/x", "part/x/y", "filled/x", "location/app/x")
    for asked, path in enumerate(paths):
        assert fetch(server.port, f"/{path}", headers={"X-Name": "app"}).status == 200
        assert sockets.requests() == [asked + 1], path
    for path in ("farm", "other"):
        assert fetch(server.port, f"/{path}/x").status == 200
    assert members.requests() == [2]


@pytest.mark.parametrize("first", ["socket", "farm"])
def test_a_unix_sockets_host_and_a_farm_are_told_apart(make_httpd, first):
    """mod_proxy would send the requests of both to whatever its first line names."""
    lines = {"socket": '''<Location "/socket/">
                 ProxyPass "unix:/s|http://App/x/"
               </Location>''',
             "farm": 'ProxyPass "/farm/" "http://app/"'}
    second, = lines.keys() - {first}
    known = farm(["http://127.0.0.1:1"], name="app")
    server = make_httpd("event")
    said = server.refuses(known + lines[first] + "\n" + lines[second])
    assert "unix:/s|http://App/x/: http://app/ on another line of this server is the farm app" in said
    for line in lines.values():
        server.conf = known + line
        assert server.run("-t").returncode == 0


def test_unix_socket_members(httpd, backends, mpm, balancer):
    members = backends(2, unix=True)
    server = httpd(mpm, balancer=balancer, conf=served(members.urls)
                   + 'ProxyPass "/bal/" "balancer://farm_one/"')
    for path in ("/farm/x", "/bal/x"):
        answers = [fetch(server.port, path) for _ in range(6)]
        assert {answer.member for answer in answers} == {0, 1}
        assert {answer.header("X-Target") for answer in answers} == {"/x"}


def test_https_members(httpd, backends, directory):
    """A vhost with TLS plays the member."""
    members = backends(1)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-addext", "basicConstraints=critical,CA:FALSE",
                    "-keyout", directory / "key", "-out", directory / "cert"], check=True, capture_output=True)
    port = free_port()
    server = httpd("event", modules=["ssl", "socache_shmcb", "headers"], conf=f"""
        Listen 127.0.0.1:{port}
        SSLSessionCache "shmcb:tls(65536)"
        SSLProxyEngine On
        SSLProxyVerify none
        SSLProxyCheckPeerName Off
        <VirtualHost 127.0.0.1:{port}>
          ServerName localhost
          SSLEngine On
          SSLCertificateFile "{directory}/cert"
          SSLCertificateKeyFile "{directory}/key"
          Header always set X-Over-TLS yes
          ProxyPass "/" "{members.urls[0]}/"
        </VirtualHost>
    """ + served([f"https://127.0.0.1:{port}"]))
    server.expect(r"AH01882")  # Debian updates OpenSSL without mod_ssl
    answer = fetch(server.port, "/farm/x")
    assert (answer.status, answer.member, answer.header("X-Over-TLS")) == (200, 0, "yes")


def test_websockets(httpd, backends, mpm, balancer):
    members = backends(2)
    server = httpd(mpm, balancer=balancer, conf=served(members.urls, each="upgrade=websocket"))
    seen = {echo(server.port, "/farm/ws", f"hello {n}") for n in range(4)}
    assert {text for _, text in seen} == {f"hello {n}" for n in range(4)}
    assert {member for member, _ in seen} == {0, 1}
    Engine(server).wait_idle()


@pytest.mark.parametrize("mpm", ["worker", "event"])
def test_http2_clients(httpd, backends, mpm, balancer):
    members = backends(2)
    server = httpd(mpm, balancer=balancer, modules=["http2"],
                   conf="Protocols h2c http/1.1\n" + served(members.urls))
    assert h2load(server.port, "/farm/x", 200, 4).failed == 0
    assert members.requests() == [100, 100]


def test_virtual_hosts(httpd, backends):
    shared, own = backends(1), backends(1)
    own.behave(0, headers=[["X-Own", "yes"]])
    server = httpd("event", conf=farm(shared.urls) + """
        <VirtualHost *:${ATH_PORT}>
          ServerName first.example
          ProxyPass "/one/" "http://farm_one/"
        </VirtualHost>
        <VirtualHost *:${ATH_PORT}>
          ServerName second.example
    """ + farm(own.urls, name="farm_own") + """
          ProxyPass "/one/" "http://farm_one/"
          ProxyPass "/own/" "http://farm_own/"
        </VirtualHost>
    """)

    def ask(host, path):
        return fetch(server.port, path, headers={"Host": host})

    assert ask("first.example", "/one/x").header("X-Own") is None
    assert ask("second.example", "/one/x").status == 200
    assert ask("second.example", "/own/x").header("X-Own") == "yes"
    assert (shared.requests(), own.requests()) == ([2], [1])
    assert {farm["name"] for farm in Engine(server).farms()} >= {"farm_one", "farm_own"}


def test_members_of_an_inherited_farm(make_httpd, backends):
    """A vhost that gives an inherited farm members of its own gets them, or a clear error."""
    shared, own = backends(1), backends(1)
    own.behave(0, headers=[["X-Own", "yes"]])
    server = make_httpd("event", conf=farm(shared.urls) + """
        <VirtualHost *:${ATH_PORT}>
          ServerName first.example
    """ + served(own.urls) + "</VirtualHost>\n")
    try:
        server.start()
    except AssertionError:
        said = server.refuses(server.conf)
        assert "farm_one" in said and "BalancerInherit" in said
    else:
        assert fetch(server.port, "/farm/x").header("X-Own") == "yes"


@pytest.mark.parametrize("line", ["AthFarm", "LBServerCluster"])
def test_a_shorter_way_to_members_of_an_inherited_farm(make_httpd, line):
    """Whoever wrote the one directive is not told of another."""
    said = make_httpd("event").refuses(farm(["http://127.0.0.1:9"]) + f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName first.example
          {line} farm_one http://127.0.0.1:10
        </VirtualHost>
    """)
    assert "farm farm_one is inherited" in said and "BalancerMember" not in said, said


def test_a_dotted_name_is_declared_in_one_server(httpd, backends):
    """In others it is the host's."""
    members = backends(2)
    server = httpd("event", conf=farm(members.urls[:1], name="farm.dot") + f"""
        ProxyPass "/dot/" "http://farm.dot/"
        <VirtualHost *:${{ATH_PORT}}>
          ServerName first.example
        </VirtualHost>
        <VirtualHost *:${{ATH_PORT}}>
          ServerName second.example
          BalancerInherit Off
          ProxyPassInherit Off
          AthFarm Farm.Dot {members.urls[1]}
          ProxyPass "/dot/" "http://farm.dot/"
        </VirtualHost>
    """)
    server.expect("AH00898")

    def ask(host):
        return fetch(server.port, "/dot/x", headers={"Host": host})

    assert ask("first.example").status >= 500
    assert ask("second.example").member == 1
    assert members.requests() == [0, 1]


def test_what_a_virtual_host_does_not_inherit_is_not_its_own(httpd, backends):
    """Even where it has no line of this module."""
    members = backends(1)
    away = "fallback=redirect:http://away.example/"
    server = httpd("event", conf=f"""
        AthFarm farm.dot http://127.0.0.1:9
        AthFarm farm_one http://127.0.0.1:9 {away}
        <VirtualHost *:${{ATH_PORT}}>
          ServerName first.example
          BalancerInherit Off
          ProxyPassInherit Off
          {farm(members.urls, name="farm.dot")}
          {farm(members.urls, each="status=+D")}
          ProxyPass "/balancer/" "balancer://farm.dot/"
          ProxyPass "/host/" "http://farm.dot/"
          ProxyPass "/one/" "balancer://farm_one/"
        </VirtualHost>
    """)
    server.expect("AH00898|ATH0112")
    assert fetch(server.port, "/balancer/x").status == 200
    assert fetch(server.port, "/host/x").status >= 500
    assert fetch(server.port, "/one/x").status == 503
    assert members.requests() == [1]


@pytest.mark.parametrize("spelling", ["http", "balancer"])
def test_parameters_on_a_virtual_hosts_line_are_the_farms(make_httpd, backends, spelling):
    """Also where the farm is the main server's: never silently ignored."""
    conf = farm(backends(1).urls, each="status=+D") + f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName first.example
          ProxyPass "/farm/" "{spelling}://farm_one/" fallback=redirect:http://away.example/
        </VirtualHost>
    """
    server = make_httpd("event", conf=conf).start()
    server.expect("ATH0112")
    answer = fetch(server.port, "/farm/x", headers={"Host": "first.example"})
    assert (answer.status, answer.header("Location")) == (302, "http://away.example/")


def test_what_never_selects_a_farm(httpd, backends):
    members = backends(1)
    server = httpd("event", conf=farm(members.urls) + farm(members.urls, name="farm.dot")
                   + farm(["http://farm_loop"], name="farm_loop") + """
        ProxyRequests On
        ProxyPass "/port/"   "http://farm_one:8081/"
        ProxyPass "/dot/"    "http://farm.dot/"
        ProxyPass "/dotbal/" "balancer://farm.dot/"
        ProxyPass "/longer/" "http://farm_one.invalid/"
        ProxyPass "/loop/"   "http://farm_loop/"
    """)
    # None of these names is a host anywhere: stock looks them up and fails.
    server.expect(r"AH00898|ATH0021|ATH0110|ATH0112|ATH0442")
    for path in ("/port/x", "/dot/x", "/longer/x", "/loop/x"):
        assert fetch(server.port, path).status >= 500, path
    # A client's own choice of target or Host is not the configuration's.
    with Client(server.port) as client:
        forward = client.exchange(b"GET http://farm_one/x HTTP/1.1\r\nHost: farm_one\r\n\r\n")
        assert forward.status >= 400
    assert fetch(server.port, "/x", headers={"Host": "farm_one"}).status == 404
    assert members.requests() == [0]
    assert fetch(server.port, "/dotbal/x").status == 200


def methods(server):
    return {one["name"]: one["method"] for one in Engine(server).farms()}


@pytest.mark.parametrize("lines", [
    'ProxyPass "/farm/" "balancer://farm_one/" hashkey=uri lbmethod=hash',
    '<Proxy "balancer://farm_one" lbmethod=hash>\nProxySet hashkey=uri\n</Proxy>\n'
    'ProxyPass "/farm/" "balancer://farm_one/"',
    '<Proxy "balancer://farm_one">\nProxySet lbmethod=hash hashkey=uri\n</Proxy>\n'
    'ProxyPass "/farm/" "balancer://farm_one/"',
    'AthFarm farm_one lbmethod=hash hashkey=uri\nProxyPass "/farm/" "balancer://farm_one/"',
    'ProxyPass "/farm/" "http://farm_one/" lbmethod=hash hashkey=uri',
    'ProxyPass "/farm/" "balancer://farm_one/"\n</VirtualHost>\n<VirtualHost *>\nServerName x.example\n'
    'ProxyPass "/farm/" "balancer://farm_one/" lbmethod=hash hashkey=uri',
], ids=["ProxyPass", "section", "ProxySet", "AthFarm", "by name", "another"])
def test_a_virtual_hosts_lbmethod_is_the_farms(httpd, backends, balancer, lines):
    """A farm has one method, in whatever server's lines, and requests go by what is told."""
    members = backends(3)
    server = httpd("event", balancer=balancer, conf=farm(members.urls) + f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName localhost
          {lines}
        </VirtualHost>
    """)
    assert methods(server) == {"farm_one": "hash"}
    for n in range(20):
        assert len({fetch(server.port, f"/farm/{n}").member for _ in range(3)}) == 1
    assert sum(count > 0 for count in members.requests()) > 1


def test_a_virtual_hosts_lbmethod_is_checked(make_httpd):
    said = make_httpd("event").refuses(farm(["http://127.0.0.1:9"]) + """
        <VirtualHost *:${ATH_PORT}>
          ServerName localhost
          ProxyPass "/farm/" "balancer://farm_one/" lbmethod=stats
        </VirtualHost>
    """)
    assert "farm farm_one: lbmethod=stats needs score=" in said, said


def test_names_that_a_request_fills_in_are_no_farms(httpd, backends, balancer):
    members = backends(2)
    server = httpd("event", balancer=balancer, conf=farm(members.urls) + """
        ProxyPassMatch "^/one(/.*)$" "balancer://farm_one$1" stickysession=sid
        ProxyPassMatch "^/(farm_[a-z]+)/(.*)$" "balancer://$1/$2"
        ProxyPass "/who/" "balancer://${NOBODY}/" interpolate
    """)
    server.expect("AH00111")  # what is no variable of the configuration
    for path in ("/one/x", "/farm_one/x"):
        assert {fetch(server.port, path).member for _ in range(4)} == {0, 1}
    assert set(methods(server)) == {"farm_one"}
    assert server.lines("ATH0020") == []
    assert b'farm="farm_one$1' not in fetch(server.port, "/athena/metrics").body


def test_a_name_that_a_request_fills_in_takes_no_parameters_of_ours(make_httpd):
    said = make_httpd("event").refuses(farm(["http://127.0.0.1:9"]) + (
        'ProxyPassMatch "^(/.*)$" "balancer://farm_one$1" hashkey=uri\n'))
    assert "hashkey is for farms and their members, and balancer://farm_one$1 is none" in said, said


@pytest.mark.parametrize("target, said", [
    ("balancer://farm_one/", "ATH0020: farm farm_one of virtual host alone.example has no members"),
    ("http://farm_one/", "ATH0021: .* no farm here is called farm_one"),
])
def test_a_virtual_host_that_inherits_nothing_is_told_so(httpd, target, said):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"]) + f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName alone.example
          BalancerInherit Off
          ProxyPassInherit Off
          ProxyPass "/farm/" "{target}"
        </VirtualHost>
    """)
    assert server.lines(said)
    server.expect(said)
