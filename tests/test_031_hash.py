"""lbmethod=hash and lbmethod=random, by the back ends' own counts."""

from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.load import ab, held
from harness.waiting import wait_until


def members_of(server, paths, headers=None):
    answers = [fetch(server.port, path, headers=headers) for path in paths]
    assert {answer.status for answer in answers} == {200}
    return [answer.member for answer in answers]


def test_a_key_has_one_member_whichever_balancer_is_asked(httpd, backends):
    members = backends(5)
    settings = "lbmethod=hash hashkey=path hashbalance=off"
    one = httpd("prefork", children=4, conf=served(members.urls, settings=settings))
    other = httpd("event", balancer=False, conf=served(members.urls[::-1], settings=settings))
    paths = [f"/farm/{n}" for n in range(60)]
    chosen = members_of(one, paths)
    assert set(chosen) == set(range(5))
    assert members_of(one, [f"{path}?x={n}" for n, path in enumerate(paths)]) == chosen
    assert members_of(other, paths) == chosen
    one.graceful()
    assert members_of(one, paths) == chosen


def test_each_kind_of_key(httpd, backends):
    members = backends(5)
    keys = ["ip", "uri", "query:user", "cookie:session", "header:X-Tenant"]
    server = httpd("event", conf="".join(
        served(members.urls, path=f"/{n}/", name=f"farm_{n}",
               settings=f"lbmethod=hash hashkey={key} hashbalance=off")
        for n, key in enumerate(keys)))
    values = range(40)

    def ask(farm, path, headers=None):
        return {n: members_of(server, [f"/{farm}/{path(n)}"], headers and headers(n))[0]
                for n in values}

    assert len(set(ask(0, str).values())) == 1
    by_uri = ask(1, lambda n: f"x?{n}")
    assert by_uri == ask(1, lambda n: f"x?{n}") and set(by_uri.values()) == set(range(5))
    for farm, path, headers in [
        (2, lambda n: f"{n}?a=1&user={n % 8}", None),
        (3, str, lambda n: {"Cookie": f"a=b; session={n % 8}"}),
        (4, str, lambda n: {"X-Tenant": str(n % 8)}),
    ]:
        chosen = ask(farm, path, headers)
        assert all(chosen[n] == chosen[n % 8] for n in values), keys[farm]
        assert len(set(chosen.values())) > 1
    # Without the key, requests take turns.
    assert set(ask(4, str).values()) == set(range(5))


def test_keys_of_a_dead_member_move_and_come_back(httpd, backends):
    members = backends(4, apart=True)
    server = httpd("event", conf=served(
        members.urls, each="retry=1", settings="lbmethod=hash hashkey=path hashbalance=off"))
    paths = [f"/farm/{n}" for n in range(60)]
    before = members_of(server, paths)
    members.kill(2)
    server.expect("ATH0110|AH0(0957|0959|1114)")
    during = members_of(server, paths)
    assert 2 not in during
    # Of the others, hardly any moves.
    moved = sum(now != then for now, then in zip(during, before, strict=True) if then != 2)
    assert moved <= 5
    members.restart(2)
    wait_until(lambda: members_of(server, paths) == before, what="all keys back")


def test_one_key_for_all_is_bounded(httpd, backends, mpm):
    members = backends(3)
    server = httpd(mpm, children=32, conf=served(members.urls, settings="lbmethod=hash"))
    answers = held(members, 30, lambda _: fetch(server.port, "/farm/x"))
    assert {answer.status for answer in answers} == {200}
    # 1.25 times the mean of 10.
    peaks = [member["peak"] for member in members.stats().values()]
    assert max(peaks) <= 13 and min(peaks) >= 4, peaks
    engine = Engine(server)
    engine.wait_idle()
    assert engine.farm()["elected"] == 30


def test_random_takes_the_less_loaded_of_two(httpd, backends, mpm):
    members = backends(3)
    members.behave(0, delay_ms=250)
    server = httpd(mpm, children=16, conf=served(members.urls, settings="lbmethod=random"))
    assert ab(server.port, "/farm/x", 800, 12).failed == 0
    slow, *fast = members.requests()
    assert 0 < slow < min(fast) / 2, members.requests()
