"""Statistics pushed while requests run: the choice follows them, in all children."""

import threading

from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.load import ab, at_once
from harness.waiting import wait_until

SCORE = 'lbmethod=stats score="0.7*load + queue/100"'


def named(members, **options):
    """A farm whose members are app0, app1, ..."""
    conf = served(members.urls, **options)
    for n, url in enumerate(members.urls):
        conf = conf.replace(f'"{url}"', f'"{url}" name=app{n}')
    return conf


def push(server, member, **statistics):
    pairs = ",".join(f"{name}={value}" for name, value in statistics.items())
    answer = fetch(server.port, f"/athena/update/phys/?h={member},{pairs}")
    assert answer.status == 200, answer


def test_the_choice_follows_under_load_in_all_children(httpd, backends, mpm):
    members = backends(4)
    server = httpd(mpm, balancer=False, children=16, conf=named(members, settings=SCORE))
    for n in range(4):
        push(server, f"app{n}", load=0.5, queue=12)
    loads = [threading.Thread(target=ab, args=(server.port, "/farm/load", 1500, 4))
             for _ in range(2)]
    for load in loads:
        load.start()
    for turn in range(12):
        best = (turn * 3) % 4
        push(server, f"app{best}", load=0.1)
        # From the answer to the update on, whoever is asked.
        answers = at_once(8, lambda _: fetch(server.port, "/farm/x"))
        assert [answer.member for answer in answers] == [best] * 8, turn
        push(server, f"app{best}", load=0.9)
        push(server, f"app{best}", load=0.5)
    for load in loads:
        load.join()
    engine = Engine(server)
    assert engine.column("stats") == [{"load": 0.5, "queue": 12.0}] * 4
    # A tie of all: they take turns.
    members.reset()
    assert ab(server.port, "/farm/x", 400, 1).failed == 0
    assert members.requests() == [100] * 4


def test_a_member_that_stops_reporting_is_out_until_it_reports(httpd, backends):
    members = backends(3)
    server = httpd("event", balancer=False,
                   conf=named(members, settings="lbmethod=roundrobin expectupdate=4"))
    engine = Engine(server)

    def silent_is_out():
        for n in (0, 2):
            push(server, f"app{n}", load=1)
        return engine.column("in") == [True, False, True]

    server.expect("ATH0301: farm farm_one: member app1 is out: it has not reported for 4 s")
    wait_until(silent_is_out, what="out")
    answers = [fetch(server.port, "/farm/x").member for _ in range(12)]
    assert sorted(answers) == [0] * 6 + [2] * 6
    for n in range(3):
        push(server, f"app{n}", load=1)
    assert engine.column("in") == [True] * 3
    answers = [fetch(server.port, "/farm/x").member for _ in range(12)]
    assert sorted(answers) == [0] * 4 + [1] * 4 + [2] * 4
    assert [len(server.lines(tag)) for tag in ("ATH0301", "ATH0302")] == [1, 1]


def test_statistics_outlive_restarts(httpd, backends):
    members = backends(2)
    server = httpd("event", balancer=True, conf=named(members, settings=SCORE))
    push(server, "app0", load=0.7, queue=12)
    push(server, "app1", load=0.6, queue=0)
    engine = Engine(server)
    for restart in (lambda: server.graceful(alone=True), server.restart):
        restart()
        assert engine.column("stats") == [{"load": 0.7, "queue": 12.0}, {"load": 0.6, "queue": 0.0}]
        assert [fetch(server.port, "/farm/x").member for _ in range(4)] == [1] * 4
    # Another formula counts from the restart on.
    server.conf = server.conf.replace("0.7*load + queue/100", "0-load")
    server.graceful(alone=True)
    assert [fetch(server.port, "/farm/x").member for _ in range(4)] == [0] * 4
