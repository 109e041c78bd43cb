"""The module's own balancer-manager, where mod_proxy_balancer is not loaded."""

import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from urllib.parse import urlencode

import pytest
from harness import manager
from harness.api import Api
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import served
from harness.forms import FOREIGN, FORM, submit
from harness.load import shared

PAGE = "/balancer-manager"
SETTINGS = "lbmethod=roundrobin"


class Page(HTMLParser):
    """What a browser would make of the page: its forms, with the fields they send."""

    def __init__(self, html):
        super().__init__()
        self.forms, self.tags, self._fields = {}, set(), []
        self._form = self._select = None
        self.feed(html)
        for form, name, value in self._fields:
            self.forms[form][name] = value

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.add(tag)
        if tag == "form":
            # Those without an id have a button alone.
            self._form = given.get("id")
            if self._form:
                self.forms[self._form] = {}
        elif tag == "input" and self._form:
            self._fields.append((self._form, given["name"], given["value"]))
        elif tag == "select":
            self._select = (self._form, given["name"])
        elif tag == "option" and "selected" in given:
            self._fields.append((*self._select, given["value"]))


def page(server, **headers):
    answer = fetch(server.port, PAGE, headers=headers)
    assert answer.status == 200, answer
    return Page(answer.body.decode())


def change(server, member, **fields):
    """Loads the page, changes fields of a member's form, submits it."""
    form = list(page(server).forms.values())[member]
    assert set(fields) <= set(form)
    answer = submit(server, PAGE, {**form, **fields})
    assert answer.status == 200, answer
    return answer


def start(httpd, members, *, mpm="event", settings=SETTINGS, more="", **options):
    return httpd(mpm, balancer=False, children=8,
                 conf=manager.CONF + served(members.urls, settings=settings, **options) + more)


def test_a_child_that_has_yet_to_hear_of_a_member_takes_its_form(httpd, backends):
    members = backends(2)
    server = httpd("prefork", balancer=False, children=8, conf="AthMemberAllow http://127.0.0.1\n"
                   + manager.CONF + served(members.urls[:1], settings=SETTINGS))
    # Each keeps a child, and another one adds the member.
    kept = [Client(server.port) for _ in range(4)]
    assert {client.get("/server-status").status for client in kept} == {404}
    assert Api(server).ask("POST", "/farms/farm_one/members", {"url": members.urls[1]}).status == 201
    fields = {**list(page(server).forms.values())[1], "seen": "", "w_lf": "2.00"}
    origin = f"localhost:{server.port}"
    for client in kept:
        answer = client.request("POST", PAGE, {
            "Host": origin, "Origin": f"http://{origin}", "Sec-Fetch-Site": "same-origin",
            "Content-Type": FORM}, urlencode(fields).encode())
        assert answer.status == 200, answer
        client.close()
    assert Engine(server).column("weight") == [1.0, 2.0]


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_a_form_steers_all_children(httpd, backends, mpm):
    members = backends(3)
    server = start(httpd, members, mpm=mpm)
    engine = Engine(server)
    change(server, 0, w_status_D="1")
    shared(server, members, [0, 30, 30])
    assert engine.column("on") == [False, True, True]
    change(server, 0, w_status_D="0")
    change(server, 1, w_status_N="1")
    shared(server, members, [30, 0, 30])
    assert engine.column("drain") == [False, True, False]
    change(server, 1, w_status_N="0")
    change(server, 2, w_lf="2")
    shared(server, members, [20, 20, 40])
    change(server, 0, w_ls="1")
    shared(server, members, [0, 20, 40])
    change(server, 1, w_status_H="1")
    shared(server, members, [0, 0, 60])
    change(server, 2, w_status_S="1")
    shared(server, members, [0, 60, 0])
    said = server.lines("ATH0252")
    assert len(said) == 8 and "by somebody from 127.0.0.1 through balancer-manager" in said[0]
    assert ": on=off (was on), by" in said[0]
    server.graceful(alone=True)
    assert engine.column("weight") == [1.0, 1.0, 2.0]
    shared(server, members, [0, 60, 0])
    server.restart()
    shared(server, members, [0, 60, 0])


def test_the_page_shows_what_is_in_force(httpd, backends):
    members = backends(2)
    server = start(httpd, members, weights=[1.5, None], each="route=a&b")
    server.expect("ATH0141")
    first, second = page(server).forms.values()
    assert first["w"] == members.urls[0] and first["b"] == "farm_one"
    assert (first["w_lf"], second["w_lf"]) == ("1.50", "1.00")
    assert first["w_status_I"] == "0" and len(first["nonce"]) == 32
    answer = change(server, 1, w_status_I="1", w_status_R="1", w_ls="5")
    shown = list(Page(answer.body.decode()).forms.values())[1]
    assert (shown["w_status_I"], shown["w_status_R"], shown["w_ls"]) == ("1", "1", "5")
    html = fetch(server.port, PAGE).body.decode()
    assert "Method <b>roundrobin</b>" in html and "a&amp;b" in html
    assert ": as it was" in change(server, 1).body.decode()
    assert fetch(server.port, PAGE, method="HEAD").status == 200


def test_scripts_for_the_stock_page_go_on_working(httpd, backends):
    members = backends(2)
    server = start(httpd, members, settings=f"{SETTINGS} {manager.NONCE}")
    manager.edit(server.port, w=members.urls[0], w_status_D=1)
    shared(server, members, [0, 20])
    manager.edit(server.port, w=members.urls[0], w_status_D=0, w_lf="3.00")
    shared(server, members, [15, 5])


def test_nothing_in_a_browser_can_be_led_astray(httpd, backends):
    members = backends(1)
    server = start(httpd, members)
    answer = fetch(server.port, PAGE)
    policy = answer.header("Content-Security-Policy")
    style = re.search(r"<style>(.*)</style>", answer.body.decode(), re.DOTALL).group(1)
    digest = b64encode(sha256(style.encode()).digest()).decode()
    assert policy.split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{digest}'", "img-src data:",
        "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
    assert answer.header("X-Content-Type-Options") == "nosniff"
    assert answer.header("X-Frame-Options") == "DENY"
    assert answer.header("Cache-Control") == "no-store"
    assert answer.header("Content-Type") == "text/html; charset=utf-8"
    # Nothing that the policy would have to allow.
    assert not page(server).tags & {"script", "img", "iframe"}


@pytest.mark.parametrize("text", ["<script>alert(1)</script>", "\"'><img src=x onerror=y>"])
def test_what_comes_in_is_text(httpd, backends, text):
    members = backends(1)
    server = start(httpd, members)
    server.expect("ATH0222")
    form = next(iter(page(server).forms.values()))
    for field in ["b", "w", "w_lf", text]:
        answer = submit(server, PAGE, {**form, field: text})
        assert answer.status in (400, 404), answer
        html = answer.body.decode()
        assert text not in html and not Page(html).tags & {"script", "img"}
        assert "Nothing was changed" in html
    # Nor does the page repeat its own address unescaped.
    odd = fetch(server.port, PAGE + "/%22%3E%3Cscript%3E", headers={"Host": "localhost"})
    assert odd.status in (200, 404) and b"<script>" not in odd.body


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_changes_come_from_the_page_alone(httpd, backends, headers):
    members = backends(2)
    server = start(httpd, members)
    server.expect("ATH0222")
    form = {**next(iter(page(server).forms.values())), "w_status_D": "1"}
    assert submit(server, PAGE, form, **headers).status == 403
    assert Engine(server).column("on") == [True, True]
    # The same with the page's own Referer, as older browsers have it.
    own = f"http://localhost:{server.port}{PAGE}"
    assert submit(server, PAGE, form, Origin=None, Sec_Fetch_Site=None, Referer=own).status == 200
    assert Engine(server).column("on") == [False, True]


def test_the_nonce_is_the_farms(httpd, backends):
    members, others = backends(1), backends(1)
    server = start(httpd, members, more=served(others.urls, path="/two/", name="two"))
    server.expect("ATH0222")
    one, two = page(server).forms.values()
    assert one["nonce"] != two["nonce"]
    for nonce in ["", "x", one["nonce"][:-1], one["nonce"] + "0", two["nonce"]]:
        assert submit(server, PAGE, {**one, "nonce": nonce, "w_status_D": "1"}).status == 403
    without = {key: value for key, value in one.items() if key != "nonce"}
    assert submit(server, PAGE, without).status == 403
    assert Engine(server).column("on") == [True]
    server.graceful(alone=True)
    disabled = submit(server, PAGE, {**one, "w_status_D": "1"})
    assert disabled.status == 403, "a restart makes new ones"


@pytest.mark.parametrize("nonce, sent, status", [
    ("None", None, 200), ("tested", "tested", 200), ("tested", "guessed", 403)])
def test_the_configurations_nonce(httpd, backends, nonce, sent, status):
    members = backends(2)
    server = start(httpd, members, settings=f"{SETTINGS} nonce={nonce}")
    server.expect("ATH0222")
    fields = {"b": "farm_one", "w": members.urls[0], "w_status_D": "1"}
    assert submit(server, PAGE, {**fields, **({"nonce": sent} if sent else {})}).status == status
    assert Engine(server).column("on") == [status != 200, True]


BAD = {
    "a weight": ({"w_lf": "0"}, 400, "w_lf=0: must be a number from 0.01 to 100"),
    "a set": ({"w_ls": "100"}, 400, "w_ls=100: must be a whole number from 0 to 99"),
    "a state": ({"w_status_D": "on"}, 400, "w_status_D=on: must be 0 or 1"),
    "a field": ({"w_unknown": "1"}, 400, "w_unknown"),
    "a farm": ({"b": "nobody"}, 404, "b=nobody: no farm of this server"),
    "a member": ({"w": "http://192.0.2.1"}, 404, "no member of farm farm_one"),
}


@pytest.mark.parametrize("fields, status, reason", BAD.values(), ids=BAD)
def test_a_form_is_taken_whole_or_not_at_all(httpd, backends, fields, status, reason):
    members = backends(2)
    server = start(httpd, members)
    server.expect("ATH0222")
    form = next(iter(page(server).forms.values()))
    answer = submit(server, PAGE, {**form, "w_status_D": "1", "w_ls": "3", **fields})
    assert answer.status == status and reason in answer.body.decode()
    assert Engine(server).column("on") == [True, True]
    assert Engine(server).column("lbset") == [0, 0]


def test_only_forms_of_a_forms_size(httpd, backends):
    members = backends(1)
    server = start(httpd, members)
    server.expect("ATH0222|AH01626|AH01630")
    form = next(iter(page(server).forms.values()))
    assert submit(server, PAGE, form, Content_Type="text/plain").status == 415
    assert submit(server, PAGE, {**form, "w_lf": "1" * 10_000}).status == 413
    assert submit(server, PAGE, b"\xff\xfe%zz&&&=;%00").status == 400
    assert submit(server, PAGE, b"").status in (403, 404)
    for method in ["PUT", "DELETE", "PATCH"]:
        assert fetch(server.port, PAGE, method=method).status == 405
    # A GET changes nothing, whatever it says.
    fetch(server.port, f"{PAGE}?{urlencode({**form, 'w_status_D': '1'})}")
    assert Engine(server).column("on") == [True]


def test_require_guards_it(httpd, backends):
    members = backends(1)
    server = httpd("event", balancer=False, conf=served(members.urls, settings=SETTINGS) + """
        <Location "/balancer-manager">
          SetHandler balancer-manager
          Require ip 192.0.2.1
        </Location>
        """)
    server.expect("AH01630")
    assert fetch(server.port, PAGE).status == 403
    assert fetch(server.port, PAGE, method="POST", body=b"").status == 403


def test_each_server_shows_its_own_farms(httpd, backends):
    members, others = backends(1), backends(1)
    hosts = """
        <VirtualHost *:${ATH_PORT}>
          ServerName localhost
        </VirtualHost>
        <VirtualHost *:${ATH_PORT}>
          ServerName other.test
          %s
        </VirtualHost>
        """ % served(others.urls, path="/two/", name="two")
    server = start(httpd, members, more=hosts)
    farms = lambda host: [form["b"] for form in page(server, Host=host).forms.values()]
    assert farms("localhost") == ["farm_one"]
    assert farms("other.test") == ["farm_one", "two"]


def test_without_the_engine_nobody_answers(httpd, backends):
    members = backends(1)
    server = httpd("event", balancer=False, engine="off",
                   conf=manager.CONF + f'ProxyPass "/farm/" "{members.urls[0]}/"\n')
    assert fetch(server.port, PAGE).status == 404


def test_stocks_own_page_comes_first(httpd, backends):
    members = backends(1)
    server = httpd("event", balancer=True,
                   conf=manager.CONF + served(members.urls, settings=SETTINGS))
    own = {"Host": "localhost", "Referer": f"http://localhost{PAGE}"}
    assert b"Load Balancer Manager for" in fetch(server.port, PAGE, headers=own).body
