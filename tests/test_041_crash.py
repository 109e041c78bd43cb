"""Children killed, gracefully replaced, stopped and started: the board stays true."""

import pytest
from harness.api import Api
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served
from harness.httpd import CONNECT_FAILED
from harness.load import Load, ab, at_once
from harness.waiting import wait_until


def test_killed_children_leave_nothing_in_flight(httpd, backends, mpm, balancer):
    members = backends(3)
    server = httpd(mpm, balancer=balancer, children=32, conf=served(members.urls))
    engine = Engine(server)

    def killed_meanwhile():
        wait_until(lambda: members.total("now") == 20, what="20 requests in flight behind")
        assert engine.in_flight() == 20
        server.kill_children()
        # The first answer of a new child: the parent repaired before it made that child.
        wait_until(lambda: at_once(1, lambda _: engine.in_flight())[0] == 0, 10,
                   "in flight 0 after the kill")
        engine.wait_idle()

    def part(n):
        return killed_meanwhile() if n == 20 else fetch(server.port, "/farm/x?delay=4000")

    *clients, killer = at_once(21, part)
    assert killer is None, killer
    assert all(isinstance(client, OSError) for client in clients)
    assert ab(server.port, "/farm/x", 90, 4).failed == 0
    engine.wait_idle()


def test_graceful_restarts_under_load(httpd, backends, mpm, balancer):
    members = backends(3)
    server = httpd(mpm, balancer=balancer, children=16, conf=served(members.urls))
    engine = Engine(server)
    with Load(server.port, lambda _: ("GET", "/farm/x?delay=2"), rate=300, clients=8,
              reconnect=True) as load:
        before = 0
        for restart in range(1, 11):
            wait_until(lambda: len(load.results) > 60 * restart, what="load between restarts")
            server.graceful()
            counted = sum(engine.column("served"))
            assert counted > before, "counters go on"
            before = counted
    assert not load.failed()
    engine.wait_idle()
    assert engine.column("served") == members.requests()
    # Had a kept connection been closed instead of answered, the client's second try would show.
    assert sum(members.requests()) == len(load.results)


def loses_its_place(server, members):
    """Whether worker gives the place of a leaving child in its scoreboard to a new one while requests
    are under way; what the older one ends is then counted as ever."""
    engine = Engine(server)
    # Now and then, on a busy machine, worker finds no free place for as long as one cares to wait.
    server.expect("taking over scoreboard slot|AH00288: scoreboard is full")

    def restarted(n):
        if n < 3:
            return fetch(server.port, "/farm/x").status
        wait_until(lambda: members.total("now") == 3, what="requests under way")
        server.graceful()
        try:
            wait_until(lambda: server.lines("taking over scoreboard slot"), seconds=5)
        except AssertionError:
            members.release()
            return False
        assert engine.column("inflight") == [3]
        members.release()
        return True

    members.hold()
    try:
        *answers, taken = at_once(4, restarted)
    finally:
        members.release()
    if taken is False:
        return False
    assert [*answers, taken] == [200, 200, 200, True]
    engine.wait_idle()
    assert ab(server.port, "/farm/x", 50, 2).failed == 0
    assert engine.column("inflight") == [0]
    return True


def test_a_child_whose_place_another_took_serves_on(httpd, backends):
    members = backends(1)
    conf = ("StartServers 1\nServerLimit 1\nThreadsPerChild 25\nMaxRequestWorkers 25\n"
            "MinSpareThreads 1\nMaxSpareThreads 25\nLogLevel mpm_worker:debug\n" + served(members.urls))
    assert any(loses_its_place(httpd("worker", conf=conf), members) for _ in range(3))


def test_stop_and_start_keep_what_was_learnt(httpd, backends, balancer):
    members = backends(3, apart=True)
    server = httpd("event", balancer=balancer,
                   conf=served(members.urls, weights=[1, 2, 3], each="retry=600",
                               settings="lbmethod=roundrobin"))
    engine = Engine(server)
    assert ab(server.port, "/farm/x", 600, 8).failed == 0
    members.kill(0)
    server.expect(CONNECT_FAILED)
    assert ab(server.port, "/farm/x", 60, 1).failed == 0
    engine.wait_usable(2)
    kept = ("weight", "served", "failed", "elected", "bytes_out", "on")
    before = [engine.column(key) for key in kept]
    server.restart()
    assert [engine.column(key) for key in kept] == before
    assert engine.column("inflight") == [0, 0, 0]
    assert all(ewma is not None for ewma in engine.column("ttfb_ewma_ms")[1:])


def test_the_board_may_be_kept_in_memory_only(httpd, backends):
    members = backends(1)
    server = httpd("event", conf="AthSHMFile none\n" + served(members.urls))
    assert ab(server.port, "/farm/x", 100, 4).failed == 0
    engine = Engine(server)
    server.graceful()
    assert engine.column("served") == [100]
    assert not list(server.directory.glob("*.board"))
    server.restart()
    assert engine.column("served") == [0]


def test_another_board_file_waits_for_a_start(httpd, backends):
    members = backends(1)
    served_farm = served(members.urls)
    server = httpd("event", conf=served_farm)
    assert ab(server.port, "/farm/x", 100, 4).failed == 0
    server.conf = "AthSHMFile none\n" + served_farm
    server.expect("ATH0014")
    server.graceful()
    assert server.lines("ATH0014")
    assert Engine(server).column("served") == [100]


def test_garbage_over_the_whole_board(httpd, backends):
    """A child can write the board; the parent neither crashes nor obeys it."""
    members = backends(2)
    server = httpd("event", conf='AthSHMFile "athena.board"\n' + served(members.urls))
    assert fetch(server.port, "/farm/x").status == 200
    board = next(server.directory.glob("athena.board*"))
    for byte in (0xFF, 0x00, 0xA5):
        with board.open("r+b") as file:
            file.write(bytes([byte]) * board.stat().st_size)
        server.graceful()
        server.restart()
        assert fetch(server.port, "/farm/x").status == 200
    server.expect(r"ATH0011: .*board|ATH0121: all child slots")


@pytest.mark.parametrize("mpm", ["prefork", "worker"])
def test_one_process_ends_in_order(httpd, backends, mpm, balancer):
    """`httpd -X`, as for a debugger: its memory goes in the order that mod_proxy wants."""
    members = backends(2)
    server = httpd(mpm, balancer=balancer, one_process=True,
                   conf=served(members.urls[:1]) + "AthMemberAllow 127.0.0.1\n")
    added = Api(server).ask("POST", "/farms/farm_one/members", {"url": members.urls[1]})
    assert added.status == 201
    assert {fetch(server.port, "/farm/x").member for _ in range(4)} == {0, 1}
    server.stop()
    assert server.process.returncode == 0
