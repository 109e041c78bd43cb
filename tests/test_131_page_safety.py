"""What nobody may do to the manager's page and to the API behind it."""

import json
import re
import socket
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import quote, urlencode

import pytest
from harness.api import API, Api
from harness.browser import browser
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.forms import FOREIGN, FORM, submit
from harness.waiting import wait_until

pytestmark = pytest.mark.xdist_group("browser")

PAGE = "/athena/"
REFUSED = "ATH0130|ATH0222|ATH0254"


class Page(HTMLParser):
    """Tags, and the hidden fields of each form."""

    def __init__(self, html):
        super().__init__()
        self.html = html
        self.tags, self.handlers, self.forms = [], [], []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        given = dict(attributes)
        self.handlers += [name for name in given if name.startswith("on") or name == "style"]
        if tag == "form":
            self.forms.append({})
        elif tag == "input" and given.get("type") == "hidden":
            self.forms[-1][given["name"]] = given["value"]


def load(server, query=""):
    answer = fetch(server.port, PAGE + query)
    assert answer.status == 200, answer
    return Page(answer.body.decode())


def of_member(server):
    """The fields of the first member's forms, and what disables it."""
    form = next(form for form in load(server).forms if "w" in form)
    return {**form, "w_on": "off"}


def start(httpd, members, **options):
    server = httpd("event", balancer=False, conf=served(members.urls, **options))
    server.expect(REFUSED)
    return server


@pytest.mark.parametrize("headers", FOREIGN.values(), ids=FOREIGN)
def test_other_sites_change_nothing(httpd, backends, headers):
    members = backends(1)
    server = start(httpd, members)
    fields = of_member(server)
    before = Engine(server).farms()
    assert submit(server, PAGE, fields, **headers).status == 403
    path = f"{API}/farms/farm_one/members/127.0.0.1:{members.ports[0]}"
    if headers != {"Origin": None}:  # The API is for other clients than browsers, too.
        document = {key: value for key, value in headers.items() if value is not None}
        answer = fetch(server.port, path, method="PATCH", body=b'{"on":false}', headers={
            "Host": "localhost", "Content-Type": "application/json", **document})
        assert answer.status == 403, answer
    assert Engine(server).farms() == before
    assert submit(server, PAGE, fields).status == 200
    assert Engine(server).column("on") == [False]


def test_what_a_page_elsewhere_makes_a_browser_send(httpd, backends):
    """A real browser on another site: a form, an image, fetches of every kind, a frame."""
    members = backends(1)
    server = start(httpd, members)
    at = f"http://localhost:{server.port}"
    member = f"{at}{API}/farms/farm_one/members/127.0.0.1:{members.ports[0]}"
    fields = of_member(server)
    before = Engine(server).farms()
    inputs = "".join(f'<input name="{name}" value="{value}">' for name, value in fields.items())
    trap = f"""<!doctype html><title>trap</title>
        <form id=f method=post action="{at}{PAGE}" target=t>{inputs}</form>
        <iframe name=t></iframe><iframe id=framed src="{at}{PAGE}"></iframe>
        <img src="{at}{PAGE}?{urlencode(fields)}"><img src="{member}?on=false">""".encode()

    class Trap(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(trap)

        def log_message(self, *_):
            pass

    evil = ThreadingHTTPServer(("127.0.0.1", 0), Trap)
    Thread(target=evil.serve_forever, daemon=True).start()
    try:
        with browser() as page:
            page.open(f"http://127.0.0.1:{evil.server_port}/")
            page.run("document.getElementById('f').submit()")
            wait_until(lambda: server.lines("ATH0222: refused: "), what="the form refused")
            outcomes = page.driver.execute_async_script("""
                const done = arguments[arguments.length - 1], [, path] = arguments;
                const ways = [["PATCH", "application/json", "{}"], ["POST", "text/plain", '{"on":false}'],
                              ["DELETE", null, null], ["POST", "application/x-www-form-urlencoded", "on=off"]];
                Promise.allSettled(ways.map(([method, type, body]) => fetch(path, {method, body,
                    credentials: "include", headers: type ? {"Content-Type": type} : {}})))
                  .then(all => done(all.map(one => one.status)));""", None, member)
            assert outcomes == ["rejected"] * 4
            # Nothing of it can be read, or framed.
            page.driver.switch_to.frame("framed")
            assert not page.all("form")
    finally:
        evil.shutdown()
        evil.server_close()
    assert Engine(server).farms() == before and Api(server).events() == []


@pytest.mark.parametrize("field", ["add", "b_forward", "b_fallback"])
@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://127.0.0.1.evil.test/",
                                 "http://127.0.0.1@evil.test/", "unix:/run/x.sock|http://127.0.0.1/"])
def test_requests_go_where_the_configuration_allows(httpd, backends, field, url):
    members = backends(1)
    server = httpd("event", balancer=False,
                   conf="AthMemberAllow http://127.0.0.1\n" + served(members.urls))
    server.expect(REFUSED)
    before = Engine(server).farms()
    form = next(form for form in load(server).forms if "w" not in form)
    form.pop("seen", None)
    assert submit(server, PAGE, {**form, field: url}).status in (400, 403, 422)
    assert Engine(server).farms() == before


def test_a_get_changes_nothing(httpd, backends):
    members = backends(1)
    server = start(httpd, members)
    fields = of_member(server)
    before = Engine(server).farms()
    for query in [urlencode(fields), urlencode({**fields, "farm": "farm_one"})]:
        for method in ["GET", "HEAD"]:
            fetch(server.port, f"{PAGE}?{query}", method=method)
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"]:
        answer = fetch(server.port, PAGE, method=method)
        assert (answer.status, answer.header("Allow")) == (405, "GET, HEAD, POST"), method
    assert Engine(server).farms() == before


def test_the_policy_allows_what_the_page_has_and_nothing_else(httpd, backends):
    members = backends(1)
    server = start(httpd, members)
    answer = fetch(server.port, PAGE)
    text = answer.body.decode()
    digest = lambda tag: b64encode(sha256(re.search(
        f"<{tag}>(.*)</{tag}>", text, re.DOTALL).group(1).encode()).digest()).decode()
    assert answer.header("Content-Security-Policy").split("; ") == [
        "default-src 'none'", f"style-src 'sha256-{digest('style')}'", "img-src data:",
        "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
        f"script-src 'sha256-{digest('script')}'", "connect-src 'self'"]
    for name, value in {"X-Frame-Options": "DENY", "X-Content-Type-Options": "nosniff",
                        "Referrer-Policy": "same-origin", "Cache-Control": "no-store",
                        "Content-Type": "text/html; charset=utf-8"}.items():
        assert answer.header(name) == value
    page = Page(text)
    assert not page.handlers and page.tags.count("script") == page.tags.count("style") == 1
    assert not re.search(r'(?:src|href|action)="(?:https?:)?//', text), "nothing from elsewhere"


MARKUP = ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</style><svg onload=a>"]


@pytest.mark.parametrize("text", MARKUP)
def test_what_comes_in_is_text(httpd, backends, text):
    members = backends(1)
    server = start(httpd, members)
    fields = of_member(server)
    answers = [submit(server, PAGE, {**fields, field: text}) for field in
               ["b", "w", "w_lf", "w_wr", "w_forward", "b_lbm", "b_fallback", text]]
    answers.append(fetch(server.port, f"{PAGE}?farm={quote(text)}"))
    answers.append(fetch(server.port, f"{PAGE}?{quote(text)}"))
    answers.append(fetch(server.port, PAGE, headers={"Host": text}))
    # Some of it may be a route.
    answers.append(fetch(server.port, PAGE))
    for answer in answers:
        html = answer.body.decode()
        assert text not in html, answer
        page = Page(html)
        assert not page.handlers and not {"img"} & set(page.tags)
        assert page.tags.count("script") <= 1


def test_names_of_the_configuration_are_text(httpd, backends):
    """Members' names, routes, URLs, targets and statistics, in the browser itself."""
    members = backends(1)
    markup = "<img/src=x/onerror=document.title=1>"
    route = "<b>r</b>"
    server = httpd("event", balancer=False, conf=farm(
        [f"{members.urls[0]}/a'%3Cb%3E"], each=f'route="{route}" "forward=http://x.test/{markup}"',
        settings=f'"fallback=http://x.test/{markup}"'))
    server.expect(f"ATH0141|{REFUSED}")
    answer = fetch(server.port, f"/athena/update/phys/?{quote('h=*,load=1')}")
    assert answer.status < 500
    text = fetch(server.port, PAGE).body.decode()
    page = Page(text)
    assert not page.handlers and not {"img", "b>r"} & set(page.tags) and route not in text
    with browser() as chromium:
        chromium.open(f"http://localhost:{server.port}{PAGE}")
        wait_until(lambda: chromium.text("#live") == "Live", what="live")
        assert route in chromium.text("[data-member]")
        assert markup in chromium.text(".note")
        assert chromium.driver.title == "Athena" and not chromium.complaints()


# Whatever tells of farms, members and requests for them.
TELLING = [PAGE, f"{PAGE}?farm=farm_one", f"{API}/farms", f"{API}/farms/farm_one/members", f"{API}/events",
           "/athena/metrics", "/athena/status/phys/", "/athena/status/farm/", "/athena/mirror/phys/",
           "/athena/mirror/farm/", "/server-status"]


@pytest.mark.parametrize("text", MARKUP)
def test_what_people_and_members_say_is_text_wherever_it_is_told(httpd, backends, text):
    members = backends(2)
    server = httpd("event", balancer=False, modules=["status"], conf=served(members.urls[:1])
                   + "AthMemberAllow http://127.0.0.1\n"
                   + '<Location "/server-status">\nSetHandler server-status\n</Location>')
    server.expect(REFUSED)
    api, quiet = Api(server), text.replace(" ", "/")
    first = f"/farms/farm_one/members/127.0.0.1:{members.ports[0]}"
    route = 422 if '"' in text or " " in text else 200
    for path, document, status in [
            (first, {"route": text}, route), (first, {"redirect": quiet}, 422 if '"' in text else 200),
            (first, {"forward": f"http://127.0.0.1/{quiet}"}, 200), (first, {text: 1}, 422),
            ("/farms/farm_one", {"fallback": f"redirect:http://127.0.0.1/{quiet}"}, 200),
            ("/farms/farm_one", {"method": text}, 422)]:
        assert api.ask("PATCH", path, document).status == status, document
    url = members.urls[1]
    for document, status in [
            ({"url": f"{url}/{quiet}", "route": text}, 201), ({"url": f"{url}/{quiet}/2"}, 201),
            ({"url": url, "name": text}, 422), ({"url": url, "agent": text}, 422),
            ({"url": url, text: 1}, 422), ({"url": text}, 422)]:
        assert api.ask("POST", "/farms/farm_one/members", document).status == status, document
    assert quiet in api.get("/farms/farm_one/members")[-1]["name"]
    for name in (text, quiet, f"a{text}", "load"):
        query = quote(f'h=farm_one/127.0.0.1:{members.ports[0]},{name}=1', safe="")
        answer = fetch(server.port, f"/athena/update/phys/?E{query}", headers={"User-Agent": text})
        assert answer.status == (200 if name == "load" else 400)
        assert answer.header("Content-Type").startswith("text/plain")
    for path in TELLING:
        answer = fetch(server.port, path, headers={"Referer": text})
        assert answer.status == 200, path
        if answer.header("Content-Type").startswith("text/html"):
            page = Page(answer.body.decode())
            assert text not in page.html and quiet not in page.html, path
            assert not page.handlers and page.tags.count("script") <= 1
            assert not {"img", "svg"} & set(page.tags) - ({"svg"} if PAGE in path else set())
        else:
            assert answer.header("X-Content-Type-Options") == "nosniff", path
    metrics = fetch(server.port, "/athena/metrics").body.decode()
    for labels in re.findall(r"\{(.*)\} ", metrics):
        assert re.fullmatch(r'(\w+="([^"\\]|\\["\\n])*",?)*', labels), labels


def test_hosts_names_and_routes_that_are_no_text_stop_the_start(make_httpd, backends):
    (url,) = backends(1).urls
    server = make_httpd("event")
    for word in ["name=<b>", "name=a/b", 'name="a b"', "agent=<b>:80", "forward=<b>"]:
        said = server.refuses(farm([url], each=word))
        assert f"{word.split('=')[0]}=" in said and "must be" in said, said


@pytest.mark.parametrize("headers", [{"X-Forwarded-For": "127.0.0.1"}, {"Forwarded": "for=127.0.0.1"},
                                     {"Via": "1.1 front"}, {"Host": "evil.test"}], ids=str)
def test_through_a_front_nothing_is_changed(httpd, backends, headers):
    """TLS ends at a server on this machine: whoever comes through it is not loopback."""
    members = backends(1)
    server = httpd("event", balancer=False,
                   conf="AthMemberAllow http://127.0.0.1\n" + served(members.urls))
    server.expect(REFUSED)
    before, fields, api = Engine(server).farms(), of_member(server), Api(server)
    member = f"/farms/farm_one/members/127.0.0.1:{members.ports[0]}"
    told = {name.replace("-", "_"): value for name, value in headers.items()}
    for method, path, document in [("PATCH", "/farms/farm_one", {"on": False}), ("PATCH", member, {"on": False}),
                                   ("POST", "/farms/farm_one/members", {"url": "http://127.0.0.1:9"}),
                                   ("DELETE", member, None)]:
        assert api.ask(method, path, document, **told).status == 403, method
    assert submit(server, PAGE, fields, **told).status == 403
    for way, line in [("update", ""), ("mirror", "v=1\n")]:
        line += f"h=farm_one/127.0.0.1:{members.ports[0]},w=2,load=1"
        answer = fetch(server.port, f"/athena/{way}/phys/", method="POST", body=line.encode(), headers=headers)
        assert answer.status == 403
    assert Engine(server).farms() == before and api.events() == []


def test_nonces_cannot_be_guessed(make_httpd, backends):
    members = backends(1)
    nonces = set()
    server = make_httpd("event", balancer=False, conf=served(members.urls)
                        + "".join(farm(["http://127.0.0.1:9"], name=f"f{n}") for n in range(20)))
    server.expect(REFUSED)
    for _ in range(3):
        server.start()
        made = {form["nonce"] for form in load(server).forms}
        assert len(made) == 21 and all(re.fullmatch("[0-9a-f]{32}", nonce) for nonce in made)
        assert not made & nonces, "a restart makes new ones"
        nonces |= made
        fields = of_member(server)
        for nonce in ["", fields["nonce"][:-1], fields["nonce"].upper() + "0", *(made - {fields["nonce"]})]:
            assert submit(server, PAGE, {**fields, "nonce": nonce}).status == 403
        assert Engine(server).column("on") == [True]
        server.stop()
    # No half of them, and no digit, says more than another.
    halves = [half for nonce in nonces for half in (nonce[:16], nonce[16:])]
    assert len(set(halves)) == len(halves)
    counts = [sum(nonce.count(digit) for nonce in nonces) for digit in "0123456789abcdef"]
    assert min(counts) > 126 / 3 and max(counts) < 126 * 3, counts


@pytest.mark.parametrize("headers", [
    {"Host": "evil.test"}, {"Host": "localhost.evil.test"}, {"Host": "127.0.0.1.evil.test"},
    {"X-Forwarded-For": "192.0.2.1"}, {"X-Forwarded-For": "127.0.0.1"},
    {"Forwarded": "for=127.0.0.1"}, {"Via": "1.1 front"}], ids=str)
@pytest.mark.parametrize("path", [PAGE, "/athena", f"{API}/farms", f"{PAGE}?farm=farm_one"])
def test_a_rebound_name_or_a_front_is_not_loopback(httpd, headers, path):
    server = httpd("event", balancer=False, conf=farm(["http://127.0.0.1:9"]))
    server.expect(REFUSED)
    answer = fetch(server.port, path, headers={"Host": "localhost", **headers})
    assert answer.status == 403 and b"farm_one" not in answer.body


@pytest.mark.parametrize("body, status", {
    b"": 404, b"\xff\xfe%zz&&&=;%00": 400, b"b=farm_one&b=farm_one": 400,
    b"b=farm_one&w_on=off&" + b"x" * 9000: 413, b"&" * 8000: 404, b'{"on":false}': 400}.items(),
    ids=lambda value: repr(value)[:24])
def test_bodies_that_are_no_forms(httpd, backends, body, status):
    members = backends(1)
    server = start(httpd, members)
    before = Engine(server).farms()
    assert submit(server, PAGE, body).status == status
    assert submit(server, PAGE, body, Content_Type="multipart/form-data; boundary=x").status == 415
    assert submit(server, PAGE, body, Content_Type=None).status == 415
    assert Engine(server).farms() == before


@pytest.mark.parametrize("document", [
    b"", b"{", b"[]", b"null", b'{"on":' + b"[" * 5000, b'{"on":1e999}', b'{"on":"\xff"}',
    b'{"weight":-1}', b'{"weight":1e308}', b'{"nobody":1}', b'{"on":false,"weight":"x"}',
    b'{"on":false,"pad":"' + b"x" * 20_000 + b'"}', json.dumps({"route": "x" * 64}).encode()],
    ids=lambda value: repr(value)[:24])
def test_documents_that_are_none(httpd, backends, document):
    members = backends(1)
    server = start(httpd, members)
    before = Engine(server).farms()
    path = f"/farms/farm_one/members/127.0.0.1:{members.ports[0]}"
    answer = Api(server).ask("PATCH", path, document)
    assert answer.status in (400, 413, 422), answer
    assert json.loads(answer.body)["status"] == answer.status
    assert Engine(server).farms() == before


def test_a_body_that_never_ends_is_given_up(httpd, backends):
    members = backends(1)
    server = start(httpd, members)
    for length in [b"Content-Length: 100000000", b"Transfer-Encoding: chunked"]:
        with socket.create_connection(("127.0.0.1", server.port)) as client:
            client.sendall(b"POST /athena/ HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n"
                           b"Content-Type: " + FORM.encode() + b"\r\n" + length + b"\r\n\r\n")
            piece = b"2000\r\n" + b"x" * 0x2000 + b"\r\n" if b"chunked" in length else b"x" * 0x2000
            client.sendall(piece * 4)
            assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    assert Engine(server).column("on") == [True]


def test_require_holds_besides(httpd, backends):
    members = backends(1)
    server = httpd("event", balancer=False, conf=served(members.urls) + """
        <Location "/athena">
          Require ip 192.0.2.1
        </Location>
        """)
    server.expect("AH01630")
    assert fetch(server.port, PAGE).status == 403
    assert submit(server, PAGE, {"b": "farm_one", "b_on": "off"}).status == 403
    assert fetch(server.port, "/farm/x").status == 200
