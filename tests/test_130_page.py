"""The manager's page as a person sees it: in a browser, over live traffic."""

import re
from contextlib import ExitStack

import pytest
from harness.api import Api
from harness.browser import browser
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.httpd import TURNED_AWAY
from harness.load import Load, ab, shared
from harness.waiting import wait_until

pytestmark = pytest.mark.xdist_group("browser")

PHONE = 390


@pytest.fixture(scope="module")
def chromium():
    with browser() as one:
        yield one


@pytest.fixture
def page(chromium):
    """The browser, which must not have complained."""
    # The last test's page would go on asking an httpd that is gone.
    chromium.open("about:blank")
    chromium.shape(1280, 900)
    chromium.complaints()
    yield chromium
    assert chromium.complaints() == []


@pytest.fixture
def traffic():
    """`traffic(port)`: clients that ask until the test ends; all must be served."""
    with ExitStack() as running:
        loads = []

        def start(port, clients=4, rate=None):
            load = Load(port, lambda n: ("GET", "/farm/x"), clients=clients, rate=rate, reconnect=True)
            loads.append(running.enter_context(load))
            return load

        yield start
    assert loads and all(load.results and not load.failed() for load in loads)


def address(server, query=""):
    return f"http://localhost:{server.port}/athena/{query}"


def start(httpd, members, settings="lbmethod=roundrobin", *, mpm="event", children=8, **options):
    return httpd(mpm, balancer=False, children=children,
                 conf=served(members.urls, settings=settings, **options))


def row(port):
    return f'[data-member="127.0.0.1:{port}"]'


def asked(load):
    """Who is asked by requests that begin from now on, whichever child serves them."""
    return {result.member for result in load.later(3)}


def said(page, pattern):
    wait_until(lambda: re.search(pattern, page.text("#said") or ""), what=f"{pattern!r} said")


def test_a_person_steers_32_children_under_traffic(httpd, backends, page, traffic):
    members = backends(3)
    server = start(httpd, members, mpm="prefork", children=34, each="slowstart=2")
    server.expect(TURNED_AWAY)
    first, second, third = map(row, members.ports)
    # A kept connection is one child's.
    load = traffic(server.port, clients=32, rate=400)
    page.open(address(server))
    wait_until(lambda: page.text("#live") == "Live", what="live")
    assert asked(load) == {0, 1, 2}
    # Disable: asked first.
    page.click(f"{first} details:nth-of-type(1) summary")
    assert Engine(server).column("on") == [True, True, True]
    page.click(f"{first} .panel button[name=w_on]")
    said(page, "on=off")
    assert page.text(f"{first} .pill") == "off"
    assert asked(load) == {1, 2}
    # Enable: it comes back, little by little at first.
    members.reset()
    page.click(f"{first} button[name=w_on][value=on]")
    said(page, "on=on")
    wait_until(lambda: members.requests()[0] > 0, what="back")
    counts = members.requests()
    assert counts[0] < counts[1] / 2, counts
    # Drain.
    page.click(f"{second} details:nth-of-type(2) summary")
    page.click(f"{second} .panel button[name=w_drain]")
    said(page, "drain=on")
    assert page.text(f"{second} .pill") == "draining"
    assert asked(load) == {0, 2}
    page.click(f"{second} button[name=w_drain][value=off]")
    said(page, "drain=off")
    # Weight.
    page.click(f"{third} details:last-of-type summary")
    page.fill(f"{third} [name=w_lf]", "9")
    page.click(f"{third} .panel form:not(.one) button")
    said(page, r"weight=9\.00")

    def most():
        members.reset()
        wait_until(lambda: sum(members.requests()) > 200, what="requests")
        one, two, three = members.requests()
        return three > 2 * (one + two)
    wait_until(most, what="the most for the heaviest")
    # The figures move, and are drawn.
    wait_until(lambda: page.all(f"{third} [data-chart=rate] .line[d]"), what="a chart")
    wait_until(lambda: float(page.text("[data-value=rate]").replace(",", "")) > 0, what="a rate")
    events = [(event["what"].split(" ")[0], event["through"]) for event in Api(server).events()]
    assert events == [(what, "manager") for what in
                      ("on=off", "on=on", "drain=on", "drain=off", "weight=9.00")]


def test_a_farm_and_everything_of_a_member(httpd, backends, page):
    members = backends(2)
    server = start(httpd, members)
    server.expect("ATH0112")
    page.open(address(server))
    one = row(members.ports[0])
    page.click(f"{one} details:last-of-type summary")
    for field, text in {"w_ls": "3", "w_maxconn": "7", "w_slowstart": "5", "w_wr": "a"}.items():
        page.fill(f"{one} [name={field}]", text)
    page.click(f"{one} .panel form:not(.one) button")
    said(page, "lbset=3")
    member = Engine(server).members()[0]
    assert (member["lbset"], member["maxconn"], member["slowstart"], member["route"]) \
        == (3, 7, 5, "a")
    page.click(".title details:last-of-type summary")
    page.fill("[name=b_lbm]", "leastconn")
    page.click(".title .panel form:not(.one) button")
    said(page, "method=leastconn")
    page.click(".title details:first-of-type summary")
    page.click(".title .panel button[name=b_on]")
    said(page, "on=off")
    assert page.text(".title .pill") == "off"
    assert fetch(server.port, "/farm/x").status == 503
    page.click(".title button[name=b_on][value=on]")
    said(page, "on=on")
    assert fetch(server.port, "/farm/x").status == 200
    assert Engine(server).farm()["method"] == "leastconn"


def test_a_member_is_added_and_removed_under_traffic(httpd, backends, page, traffic):
    members = backends(3)
    server = httpd("prefork", balancer=False, children=16, conf="AthMemberAllow http://127.0.0.1\n"
                   + served(members.urls[:2], settings="lbmethod=roundrobin"))
    load = traffic(server.port)
    page.open(address(server))
    assert not page.all("[name=remove]"), "configured ones stay"
    for gone in ("0", "1"):
        page.click(".title details:first-of-type summary")
        page.fill("[name=add]", members.urls[2])
        page.fill("[name=add_name]", "third")
        page.fill("[name=add_weight]", "2")
        page.click(".title details:first-of-type .panel button")
        said(page, "third added")
        assert Engine(server).column("weight") == [1.0, 1.0, 2.0]
        assert 2 in asked(load)
        page.click("[data-member=third] details:nth-of-type(3) summary")
        page.click(f"[data-member=third] [name=remove][value='{gone}']")
        said(page, "removed")
        wait_until(lambda: len(Engine(server).members()) == 2, what="gone")
        assert 2 not in asked(load)
        wait_until(lambda: not page.all("[data-member=third]"), what="gone from the page")


def test_a_mistake_is_told_and_two_people_do_not_overwrite_each_other(httpd, backends, page):
    members = backends(1)
    server = start(httpd, members)
    server.expect("ATH0222")
    page.open(address(server))
    member = row(members.ports[0])
    page.click(f"{member} details:last-of-type summary")
    page.fill(f"{member} [name=w_lf]", "1000")
    page.click(f"{member} .panel form:not(.one) button")
    said(page, "w_lf=1000: must be a number from 0.01 to 100")
    # While it is written, the form stays; what others change is not overwritten.
    Api(server).patch(f"/farms/farm_one/members/127.0.0.1:{members.ports[0]}", weight=2)
    page.fill(f"{member} [name=w_lf]", "5")
    page.click(f"{member} .panel form:not(.one) button")
    said(page, "somebody else has changed it")
    assert Engine(server).column("weight") == [2.0]
    # The browser itself notes answers that refuse.
    refused = page.complaints()
    assert len(refused) == 2 and "400" in refused[0] and "412" in refused[1], refused


def test_what_others_change_is_seen(httpd, backends, page):
    members = backends(2)
    server = start(httpd, members)
    page.open(address(server))
    wait_until(lambda: page.text("#live") == "Live", what="live")
    Api(server).patch(f"/farms/farm_one/members/127.0.0.1:{members.ports[1]}", on=False)
    wait_until(lambda: page.text(f"{row(members.ports[1])} .pill") == "off", what="off seen")


def test_a_button_stays_while_it_is_pressed_and_what_was_said_until_the_next(httpd, backends, page):
    members = backends(2)
    server = start(httpd, members)
    page.open(address(server))
    wait_until(lambda: page.text("#live") == "Live", what="live")
    second = f"/farms/farm_one/members/127.0.0.1:{members.ports[1]}"
    page.click(f"{row(members.ports[0])} details:first-of-type summary")
    with page.pressed(f"{row(members.ports[0])} .panel button[name=w_on]"):
        Api(server).patch(second, weight=2)
        fetch(server.port, "/farm/x")
        wait_until(lambda: page.text(".tiles [data-value=elected]") == "1", what="figures of after it")
    said(page, "on=off")
    assert Engine(server).column("on") == [False, True]
    Api(server).patch(second, on=False)
    wait_until(lambda: page.text(f"{row(members.ports[1])} .pill") == "off", what="off seen")
    assert "on=off" in page.text("#said")


def test_by_keyboard(httpd, backends, page):
    members = backends(1)
    server = start(httpd, members)
    page.open(address(server))
    keys = page.driver.switch_to
    page.run("document.querySelector(arguments[0]).focus()", f"{row(members.ports[0])} summary")
    keys.active_element.send_keys(" ")
    assert len(page.all("details[open]")) == 1
    keys.active_element.send_keys("\ue00c")  # Escape
    assert not page.all("details[open]") and keys.active_element.tag_name == "summary"
    Api(server).patch(f"/farms/farm_one/members/127.0.0.1:{members.ports[0]}", weight=2, lbset=4)
    weight = f"{row(members.ports[0])} [data-label=Weight]"
    wait_until(lambda: "2" in page.text(weight), what="what another changed")
    assert keys.active_element.tag_name == "summary", "the focus stays where it was"
    keys.active_element.send_keys(" ")
    keys.active_element.send_keys("\t")
    keys.active_element.send_keys(" ")
    said(page, "on=off")
    assert keys.active_element.text.startswith("Enable"), "the focus stays with the member"


def test_without_scripts_the_same_forms_work(httpd, backends, page):
    members = backends(2)
    server = start(httpd, members)
    assert ab(server.port, "/farm/x", 40, 2).failed == 0
    page.shape(1280, 900, script=False)
    page.driver.get(address(server))
    first = page.driver.find_element("css selector", row(members.ports[0]))
    assert "in service" in first.text and "20" in first.text
    assert "Live" not in page.driver.find_element("css selector", "header").text
    page.click(f"{row(members.ports[0])} summary")
    page.click(f"{row(members.ports[0])} .panel button[name=w_on]")
    wait_until(lambda: re.search("on=off", page.words("#said")), what="on=off said")
    shared(server, members, [0, 20])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(httpd, backends, page, scheme):
    members = backends(2)
    server = start(httpd, members, each="route=" + "r" * 60)
    page.shape(PHONE, 844, scheme=scheme)
    page.open(address(server))
    wide = "return [document.documentElement.scrollWidth, innerWidth]"
    assert page.run(wide) == [PHONE, PHONE]
    page.click(f"{row(members.ports[1])} details:last-of-type summary")
    assert page.run(wide) == [PHONE, PHONE]
    ground = page.run("return getComputedStyle(document.body).backgroundColor")
    brightness = sum(map(int, re.findall(r"\d+", ground)[:3])) / 3
    assert (brightness < 64) == (scheme == "dark"), ground


def test_a_farm_has_an_address(httpd, backends, page):
    members, others = backends(1), backends(1)
    server = httpd("event", balancer=False, conf=served(members.urls, name="one", path="/one/")
                   + served(others.urls, name="two", path="/two/"))
    page.open(address(server))
    assert [name.text for name in page.all("h2")] == ["one", "two"]
    page.click("#farm-two h2 a")
    wait_until(lambda: page.driver.current_url.endswith("/athena/?farm=two"), what="its address")
    assert [name.text for name in page.all("h2")] == ["two"]
    assert page.driver.title.startswith("two")
    wait_until(lambda: page.text("#live") == "Live", what="live")
    page.click("details summary")
    page.click(".panel button[name=b_on]")
    said(page, "on=off")
    assert [name.text for name in page.all("h2")] == ["two"]
    assert [farm["on"] for farm in Engine(server).farms()] == [True, False]


def test_farms_of_one_name_are_told_apart(httpd, backends, page):
    hosts = "".join(f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName {name}
          {served(backends(1).urls, name="same")}
        </VirtualHost>""" for name in ("localhost", "other.test"))
    server = httpd("event", balancer=False, conf=hosts)
    page.open(address(server))
    servers = {f"{name}:{server.port}" for name in ("localhost", "other.test")}
    assert {name.text for name in page.all("h2")} == {f"same@{name}" for name in servers}
    page.click("[data-server^=other] .title summary")
    page.click("[data-server^=other] .title .panel button")
    said(page, "on=off")
    assert {farm["server"]: farm["on"] for farm in Engine(server).farms()} \
        == {name: name.startswith("localhost") for name in servers}
    page.click("[data-server^=local] h2 a")
    wait_until(lambda: page.driver.title.startswith("same@localhost"), what="its own page")
    wait_until(lambda: page.text("#live") == "Live", what="live")
    assert len(page.all("h2")) == 1
