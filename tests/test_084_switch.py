"""Two lines more in a configuration of mod_proxy_balancer: the same answers, in the same order."""

import random
from collections import Counter

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.httpd import CONNECT_FAILED
from harness.manager import CONF, NONCE, edit
from harness.waiting import wait_until

# What a site of mod_proxy_balancer has: sets, a spare, a standby, sessions, failonstatus.
SHOP = """
<Proxy "balancer://shop">
  BalancerMember "{0}" route=a loadfactor=2 retry=3
  BalancerMember "{1}" route=b
  BalancerMember "{2}" route=c redirect=a loadfactor=1.5
  BalancerMember "{3}" route=d status=+R
  BalancerMember "{4}" route=e status=+H
  BalancerMember "{5}" route=f lbset=1 loadfactor=3
  BalancerMember "{6}" lbset=1
  ProxySet lbmethod=byrequests stickysession=SID|sid failonstatus=503,504
</Proxy>
ProxyPass "/shop/" "balancer://shop/"
Header always set X-Name "%{{BALANCER_NAME}}e"
Header always set X-Route "%{{BALANCER_WORKER_ROUTE}}e"
Header always set X-Sticky "%{{BALANCER_SESSION_STICKY}}e"
Header always set X-Session "%{{BALANCER_SESSION_ROUTE}}e"
Header always set X-Changed "%{{BALANCER_ROUTE_CHANGED}}e"
"""
SAID = ("X-Name", "X-Route", "X-Sticky", "X-Session", "X-Changed")
# httpd's own, and ours for the same.
EXPECTED = f"{CONNECT_FAILED}|AH01174|AH01170"


def visits(seed, count, routes="abcdefx"):
    """Targets and headers of requests, half of them with a session."""
    drawn = random.Random(seed)
    for _ in range(count):
        session = f"id.{drawn.choice(routes)}"
        yield drawn.choice([("/shop/x", {}), ("/shop/x", {}),
                            ("/shop/x", {"Cookie": f"y=z; SID={session}"}),
                            (f"/shop/x;sid={session}", {})])


def told(answer):
    return (answer.status, answer.member, *map(answer.header, SAID))


def in_order(server, requests):
    """Everything a client and the logs learn, request by request."""
    return [told(fetch(server.port, target, headers=headers)) for target, headers in requests]


def shares(server, count):
    answers = [fetch(server.port, "/shop/x") for _ in range(count)]
    return Counter((answer.status, answer.member) for answer in answers)


def story(server, members):
    """One day of the shop: what is the same in any order, then what shares agree in."""
    calm = in_order(server, visits(1, 120))
    failed = in_order(server, [("/shop/x?status=503", {"Cookie": "SID=id.a"})])
    replaced = shares(server, 35)  # the spare for member 0
    wait_until(lambda: fetch(server.port, "/shop/x;sid=id.a").member == 0, what="member 0 back")
    back = shares(server, 45)
    for n in (0, 1, 2):
        members.kill(n)
    spare = shares(server, 8)
    members.kill(3)
    standby = shares(server, 8)
    redirected = in_order(server, [("/shop/x", {"Cookie": "SID=id.c"})] * 2)
    members.kill(4)
    second_set = shares(server, 40)
    sessions = in_order(server, [("/shop/x", {"Cookie": "SID=id.f"})] * 3)
    return {"equal": [calm, failed, redirected, sessions],
            "close": [replaced, back, spare, standby, second_set]}


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_two_lines_change_no_answer(httpd, backends, mpm):
    days = []
    for engine in ("stock", "on"):
        members = backends(7, apart=True)
        server = httpd(mpm, engine=engine, modules=["headers"], conf=SHOP.format(*members.urls))
        server.expect(EXPECTED)
        days.append(story(server, members))
        server.stop()
    before, after = days
    for one, other in zip(before["equal"], after["equal"], strict=True):
        assert other == one
    for one, other in zip(before["close"], after["close"], strict=True):
        apart = {key: (one[key], other[key]) for key in one | other}
        assert all(abs(a - b) <= 1 for a, b in apart.values()), apart


TEN = CONF + f"""
<Proxy "balancer://farm_one">
  ProxySet {NONCE} lbmethod={{method}}
  {{members}}
</Proxy>
ProxyPass "/balancer-manager" "!"
ProxyPass "/farm/" "balancer://farm_one/"
"""


def while_one_changes(httpd, members, engine, method, what):
    """Who answers, while somebody changes the last member again and again."""
    section = "\n".join(f'BalancerMember "{url}"' for url in members.urls)
    server = httpd(engine=engine, conf=TEN.format(method=method, members=section))
    answers = []
    for step in range(12):
        answers += [fetch(server.port, "/farm/x").member for _ in range(5)]
        value = 1 - step % 2
        field, key, shown = {"off": ("w_status_D", "on", not value),
                             "drain": ("w_status_N", "drain", bool(value)),
                             "weight": ("w_lf", "weight", value + 1)}[what]
        edit(server.port, w=members.urls[-1], **{field: value + (what == "weight")})
        if engine == "on":
            wait_until(lambda: Engine(server).members()[-1][key] == shown, what="the change")
    server.stop()
    return answers


@pytest.mark.parametrize("what", ["off", "drain", "weight"])
def test_a_member_that_people_change_again_and_again(httpd, backends, what):
    members = backends(10)
    stock, ours = (while_one_changes(httpd, members, engine, "byrequests", what)
                   for engine in ("stock", "on"))
    assert ours == stock


@pytest.mark.parametrize("what", ["off", "weight"])
def test_a_rotation_goes_on_whatever_changes(httpd, backends, what):
    answers = while_one_changes(httpd, backends(10), "on", "roundrobin", what)
    others = [Counter(answers)[n] for n in range(9)]
    assert max(others) - min(others) <= 1, others


def test_the_way_back_with_parameters_where_a_farm_is_a_host_again(httpd, backends):
    """AthEngine Off: they stop no start, and what is mod_proxy's own holds for the farm."""
    members = backends(2)
    section = "".join(f'BalancerMember "{url}" route={route}\n'
                      for url, route in zip(members.urls, "ab"))
    server = httpd("event", engine="off", conf=f'<Proxy "balancer://shop">\n{section}</Proxy>\n'
                   'ProxyPass "/b/" "http://shop/" retry=5 timeout=7\n'
                   'ProxyPass "/a/" "http://shop/" ejectafter=5 stickysession=SID queue=3\n'
                   'ProxyPass "/shop/" "balancer://shop/"\n')
    for member, route in enumerate("ab"):
        answers = [fetch(server.port, "/shop/x", headers={"Cookie": f"SID=1.{route}"})
                   for _ in range(3)]
        assert [answer.member for answer in answers] == [member] * 3
