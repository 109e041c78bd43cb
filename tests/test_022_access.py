"""What `<Proxy>` forbids is forbidden on every road, also where stock lets requests through."""

import pytest
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm
from harness.waiting import free_port

DENIED = "Require all denied\n</Proxy>\n"
MATCH_DENIED = "Require all denied\n</ProxyMatch>\n"

SECTIONS = {
    "the farm's own": "",  # filled below: Require stands beside the members
    "trailing slash": f'<Proxy "balancer://closed/">\n{DENIED}',
    "another case": f'<Proxy "balancer://CLOSED">\n{DENIED}',
    "by name": f'<Proxy "http://closed/">\n{DENIED}',
    "wildcard": f'<Proxy "balancer://closed/*">\n{DENIED}',
    "match": '<ProxyMatch "^balancer://closed/">\n' + MATCH_DENIED,
    "match by name": '<ProxyMatch "^http://closed/">\n' + MATCH_DENIED,
    "wildcard in another case": f'<Proxy "balancer://CLOS*D/*">\n{DENIED}',
    "match in another case": f'<ProxyMatch "^balancer://CLOSED/">\n{MATCH_DENIED}',
    "match of any name": f'<ProxyMatch "^http://[^/]*SED/">\n{MATCH_DENIED}',
}

ROADS = """
    RewriteEngine On
    ProxyPass "/name/"      "http://closed/"
    ProxyPass "/case/"      "http://Closed/"
    ProxyPass "/balancer/"  "balancer://closed/"
    ProxyPass "/balcase/"   "balancer://Closed/"
    RewriteRule "^/rewrite/(.*)" "http://closed/$1" [P]
    <Location "/handler/">
      SetHandler "proxy:http://closed/"
    </Location>
    <Location "/handlerbal/">
      SetHandler "proxy:balancer://closed/"
    </Location>
    <Directory "${DOCS}">
      RewriteEngine On
      RewriteRule "^perdir/(.*)" "http://closed/$1" [P]
      RewriteRule "^perdirbal/(.*)" "balancer://closed/$1" [P]
      AllowOverride FileInfo
    </Directory>
    <Location "/handlerexpr/">
      SetHandler "proxy:%{unescape:http}://closed/"
    </Location>
    <Location "/handlerexprbal/">
      SetHandler "proxy:balancer://%{tolower:CLOSED}/"
    </Location>
    ProxyPass "/open/" "http://closedish/"
    ProxyPass "/openbal/" "balancer://closedish/"
"""
# The targets of rules in a directory's .htaccess.
HTACCESS = {"hta": "http://closed", "htabal": "balancer://closed", "htacase": "HTTP://Closed"}
PATHS = ["name", "case", "balancer", "balcase", "rewrite", "handler", "handlerbal", "handlerexpr",
         "handlerexprbal", "perdir", "perdirbal", *HTACCESS]


def serve(make_httpd, conf, **options):
    server = make_httpd("event", modules=["rewrite", "setenvif"], **options)
    docs = server.directory / "docs"
    for name, target in HTACCESS.items():
        (docs / name).mkdir(parents=True)
        rule = f'RewriteEngine On\nRewriteRule "^(.*)" "{target}/$1" [P]\n'
        (docs / name / ".htaccess").write_text(rule)
    server.defines["DOCS"] = docs
    server.conf = 'DocumentRoot "${DOCS}"\n' + conf + ROADS
    server.expect(r"AH01630")
    return server.start()


@pytest.mark.parametrize("name", SECTIONS)
def test_denied_on_every_road(make_httpd, backends, balancer, name):
    members = backends(1)
    closed = farm(members.urls, name="closed")
    if not SECTIONS[name]:
        closed = closed.replace("</Proxy>", "Require all denied\n</Proxy>")
    conf = closed + SECTIONS[name] + farm(members.urls, name="closedish")
    server = serve(make_httpd, conf, balancer=balancer)
    statuses = {path: fetch(server.port, f"/{path}/x").status for path in PATHS}
    assert statuses == dict.fromkeys(PATHS, 403)
    assert members.requests() == [0]
    # A name that only begins alike is another farm.
    assert fetch(server.port, "/open/x").status == 200
    assert fetch(server.port, "/openbal/x").status == 200


@pytest.mark.parametrize("rules", [
    """<If "%{QUERY_STRING} == 'q'">\nRequire all denied\n</If>\n""",
    """<If "%{QUERY_STRING} != 'q'">\nRequire all granted\n</If>\n"""
    "<Else>\nRequire all denied\n</Else>\n",
    'SetEnvIfExpr "%{QUERY_STRING} == \'q\'" blocked\n<RequireAll>\nRequire all granted\n'
    "Require not env blocked\n</RequireAll>\n",
], ids=["If", "Else", "SetEnvIf"])
def test_what_a_request_is_asked_for_is_asked_on_every_road(
        make_httpd, backends, balancer, rules):
    members = backends(1)
    closed = farm(members.urls, name="closed").replace("</Proxy>", rules + "</Proxy>")
    dead = farm([f"http://127.0.0.1:{free_port()}"], name="before", settings="forward=closed",
                each="status=+D")
    conf = closed + dead + farm(members.urls, name="closedish") \
        + 'ProxyPass "/forward/" "http://before/"\n'
    server = serve(make_httpd, conf, balancer=balancer)
    roads = [*PATHS, "forward"]
    for query, status in (("q", 403), ("", 200)):
        assert {road: fetch(server.port, f"/{road}/x?{query}").status for road in roads} \
            == dict.fromkeys(roads, status)


def test_a_section_with_a_path_holds_below_it(make_httpd, backends, balancer):
    members = backends(1)
    conf = (farm(members.urls, name="closed") + farm(members.urls, name="closedish")
            + '<Proxy "balancer://closed/secret">\n' + DENIED)
    server = serve(make_httpd, conf, balancer=balancer)
    for path in ("name", "balancer"):
        assert fetch(server.port, f"/{path}/secret/x").status == 403
        assert fetch(server.port, f"/{path}/public/x").status == 200


@pytest.mark.parametrize("section", [
    '<Proxy "balancer://CLOSED/Secret*">\n' + DENIED,
    '<ProxyMatch "^balancer://CLOSED/Secret">\n' + MATCH_DENIED,
], ids=["wildcard", "match"])
def test_a_pattern_is_the_same_for_a_name_in_any_case_but_not_for_a_path(
        make_httpd, backends, balancer, section):
    members = backends(1)
    conf = farm(members.urls, name="closed") + farm(members.urls, name="closedish") + section
    server = serve(make_httpd, conf, balancer=balancer)
    for path in ("name", "case", "balancer", "balcase"):
        assert fetch(server.port, f"/{path}/Secret/x").status == 403, path
        assert fetch(server.port, f"/{path}/secret/x").status == 200, path


@pytest.mark.parametrize("section, held, free", [
    ('<ProxyMatch "^balancer://closed(?!.*Public)">\n' + MATCH_DENIED, "public/x", "Public/x"),
    ('<ProxyMatch "^balancer://closed.[^P]">\n' + MATCH_DENIED, "p/x", "P/x"),
    (f'<Proxy "balancer://*.JSP">\n{DENIED}', "a.JSP", "a.jsp"),
    (f'<Proxy "balancer://closed*Admin*">\n{DENIED}', "x/Admin", "x/admin"),
    ('<ProxyMatch "^balancer://SHOP/admin|^balancer://CLOSED/x">\n' + MATCH_DENIED, "x", "X"),
    ('<ProxyMatch "^(balancer://SHOP/admin|balancer://Clo[^/]*/x)">\n' + MATCH_DENIED, "x", "X"),
    ('<ProxyMatch "^balancer://(?<CODES>[a-z]+)/x">\n' + MATCH_DENIED, "x", "X"),
    ('<ProxyMatch "^http://closed:80/x">\n' + MATCH_DENIED, "x", "X"),
    (f'<Proxy "http://closed:80/x*">\n{DENIED}', "x", "X"),
    (f'<Proxy "http://closed*Secret*">\n{DENIED}', "Secret/x", "secret/x"),
    # What grants opens no more than it says.
    (f'<Proxy "balancer://closed">\n{DENIED}<ProxyMatch "^balancer://Closed.*Public">\n'
     "Require all granted\n</ProxyMatch>\n", "public/x", "Public/x"),
])
def test_no_pattern_is_walked_past(make_httpd, backends, balancer, section, held, free):
    members = backends(1)
    conf = (farm(members.urls, name="closed") + farm(members.urls, name="closedish")
            + farm([f"http://127.0.0.1:{free_port()}"], name="before", settings="forward=closed",
                   each="status=+D") + section + 'ProxyPass "/forward/" "http://before/"\n')
    server = serve(make_httpd, conf, balancer=balancer)
    # A handler's path is a file's.
    roads = [path for path in PATHS if not path.startswith("handler")] + ["forward"]
    for path, status in ((held, 403), (free, 200)):
        assert {road: fetch(server.port, f"/{road}/{path}").status for road in roads} \
            == dict.fromkeys(roads, status), path


@pytest.mark.parametrize("section", ["balancer://clo", "http://CLO", "balancer://c"])
def test_the_beginning_of_a_name_holds_for_all_that_begin_so(
        make_httpd, backends, balancer, section):
    members = backends(1)
    conf = (farm(members.urls, name="closed") + farm(members.urls, name="other")
            + farm(members.urls, name="closedish")
            + f'<Proxy "{section}">\n{DENIED}' + 'ProxyPass "/other/" "http://other/"\n')
    server = serve(make_httpd, conf, balancer=balancer)
    roads = [*PATHS, "open", "openbal"]
    assert {road: fetch(server.port, f"/{road}/x").status for road in roads} \
        == dict.fromkeys(roads, 403)
    assert fetch(server.port, "/other/x").status == 200
    said = server.lines("ATH0020")
    assert len(said) == section.startswith("balancer")
    assert all("a <Proxy> section of this name holds for closed, closedish" in line for line in said)
    server.expect("ATH0020")


def test_named_groups_are_set_on_every_road(make_httpd, backends, balancer):
    members = backends(1)
    conf = (farm(members.urls, name="closed") + farm(members.urls, name="closedish")
            + '<ProxyMatch "^balancer://(?<WHO>[^/]+)/(?<WHAT>[^/]*)">\n'
            """Require expr "%{tolower:%{env:MATCH_WHO}} != 'closed' || %{env:MATCH_WHAT} == 'open'"\n"""
            "</ProxyMatch>\n")
    server = serve(make_httpd, conf, balancer=balancer)
    assert {path: fetch(server.port, f"/{path}/x").status for path in PATHS} \
        == dict.fromkeys(PATHS, 403)
    for path in ("name", "case", "balancer", "balcase"):
        assert fetch(server.port, f"/{path}/open").status == 200, path
    assert fetch(server.port, "/open/x").status == 200


def test_what_is_allowed_is_served(make_httpd, backends, balancer):
    members = backends(1)
    closed = farm(members.urls, name="closed").replace("</Proxy>", "Require local\n</Proxy>")
    conf = ("<Location />\nRequire all granted\n</Location>\n" + closed
            + farm(members.urls, name="closedish"))
    server = serve(make_httpd, conf, balancer=balancer)
    assert {path: fetch(server.port, f"/{path}/x").status for path in PATHS} \
        == dict.fromkeys(PATHS, 200)


def test_a_request_that_is_rewritten_to_another_target_goes_there(make_httpd, backends, balancer):
    """A farm with rules is found early; what a fixup says then holds all the same."""
    members = backends(3)
    opened = farm(members.urls[:1], name="one").replace("</Proxy>", "Require all granted\n</Proxy>")
    server = make_httpd("event", modules=["rewrite"], balancer=balancer)
    server.conf = opened + farm(members.urls[1:2], name="two") + f"""
        ProxyPass "/app/" "http://one/"
        <Location "/app/elsewhere">
          RewriteEngine On
          RewriteRule "." "{members.urls[2]}/theirs" [P]
        </Location>
        <Location "/app/farm">
          RewriteEngine On
          RewriteRule "." "http://two/theirs" [P]
        </Location>
        """
    server.start()
    for path, member in (("x", 0), ("farm", 1), ("elsewhere", 2)):
        answer = fetch(server.port, f"/app/{path}")
        assert (answer.status, answer.member) == (200, member), path
        assert answer.header("X-Target") == ("/x" if member == 0 else "/theirs")
    assert Engine(server).column("elected", "one") == [1]


STRANGE = """
    ProxyPass "/port/" "balancer://Closed:8080/"
    ProxyPass "/user/" "balancer://u:p@closed/"
    ProxyPassMatch "^/match/([^/]*)/(.*)$" "balancer://$1/$2"
    <Location "/sethandler/">
      SetHandler "proxy:balancer://u@CLOSED/"
    </Location>
    <Location "/dir/">
      RewriteEngine On
      RewriteRule "." "balancer://u@closed/x" [P]
    </Location>
"""


def test_no_spelling_leads_past_this_module(make_httpd, backends, balancer):
    """What mod_proxy_balancer would look up by the farm's name."""
    members = backends(1)
    closed = farm(members.urls, name="closed").replace("</Proxy>", "Require local\n</Proxy>")
    server = serve(make_httpd, closed + farm(members.urls, name="closedish") + STRANGE,
                   balancer=balancer)
    server.expect(r"AH01144|ATH0415|AH01157")
    for path in ("port", "user", "match/u@closed", "match/closed:8080", "match/x%3Fu@closed",
                 "sethandler", "dir"):
        assert fetch(server.port, f"/{path}/x").status == 403, path
    assert members.requests() == [0]
    assert len(server.lines("ATH0415")) == 7
    assert fetch(server.port, "/match/unknown/x").status == 500


def test_the_standard_port_is_no_other_spelling(make_httpd, backends, balancer):
    members = backends(2)
    closed = farm(members.urls[:1], name="closed")
    conf = (closed.replace("</Proxy>", "Require all denied\n</Proxy>")
            + farm(members.urls[1:], name="closedish")
            + 'ProxyPass "/c80/" "balancer://Closed:80/"\n'
            'ProxyPass "/o80/" "balancer://closedish:80/"\n')
    server = serve(make_httpd, conf, balancer=balancer)
    assert fetch(server.port, "/c80/x").status == 403
    assert fetch(server.port, "/o80/x").member == 1
    assert [found["name"] for found in Engine(server).farms()] == ["closed", "closedish"]


def test_a_client_of_a_forward_proxy_asks_for_no_farm(make_httpd, backends, balancer):
    members = backends(1)
    server = make_httpd("event", balancer=balancer,
                        conf="ProxyRequests On\n" + farm(members.urls))
    server.start()
    server.expect("ATH0415|ATH0442")
    for name in (b"farm_one", b"FARM_ONE:80", b"farm_one:81"):
        with Client(server.port) as client:
            assert client.get(b"balancer://" + name + b"/x").status == 403
    assert members.requests() == [0]
