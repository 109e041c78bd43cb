"""Loading, starting, and refusing to start."""

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.paths import CONF

A = "http://127.0.0.1:9"  # nothing of these tests is ever sent there


@pytest.mark.parametrize("load", ["first", "last"])
def test_serves_in_any_load_order(httpd, backends, mpm, balancer, load):
    members = backends(2)
    server = httpd(mpm, balancer=balancer, load=load, conf=served(members.urls))
    answers = [fetch(server.port, f"/farm/{n}") for n in range(4)]
    assert [answer.status for answer in answers] == [200] * 4
    assert {answer.member for answer in answers} == {0, 1}


def test_the_files_that_users_copy(httpd, backends, mpm, balancer):
    members = backends(3)
    ports = {f"ATH_BACKEND_{n}": f"127.0.0.1:{port}" for n, port in enumerate(members.ports, 1)}
    server = httpd(mpm, balancer=balancer, modules=["status"], defines=ports,
                   conf=f'Include "{CONF}/athena-demo.conf"\nCustomLog access.log athena')
    assert all(fetch(server.port, f"/reports/{n}").status == 200 for n in range(60))
    assert members.requests() == [10, 20, 30]
    assert fetch(server.port, "/quick/").status == 200
    assert fetch(server.port, "/server-status").status == 200
    assert [farm["name"] for farm in Engine(server).farms()] == ["farm_one", "farm_two"]
    log = (server.directory / "access.log").read_text().splitlines()
    assert len([line for line in log if "farm=farm_one member=127.0.0.1:" in line]) == 60


def test_engine_off_changes_nothing(make_httpd, backends):
    members = backends(2)
    conf = farm(members.urls, settings="lbmethod=byrequests") + """
        ProxyPass "/name/" "http://farm_one/"
        ProxyPass "/balancer/" "balancer://farm_one/"
    """
    seen = []
    for engine in ("stock", "off"):
        server = make_httpd("event", engine=engine, conf=conf).start()
        # The farm's name is no host: stock looks it up and fails.
        server.expect(r"AH00898")
        members.reset()
        statuses = [fetch(server.port, path).status for path in
                    ("/name/x", "/balancer/x", "/athena/api/v1/farms", "/athena/", "/")]
        seen.append((statuses, members.requests()))
        server.stop()
    stock, off = seen
    assert stock == off
    assert stock[0][1] == 200


@pytest.mark.parametrize("method", ["roundrobin", "leastconn", "leasttime"])
def test_methods_serve_the_stock_balancer(httpd, backends, method):
    members = backends(2)
    conf = farm(members.urls, settings=f"lbmethod={method}")
    server = httpd("event", engine="off", conf=conf + 'ProxyPass "/" "balancer://farm_one/"')
    assert all(fetch(server.port, "/").status == 200 for _ in range(10))
    assert min(members.requests()) > 0


REFUSED = {
    "no flag": ("AthEngine Maybe", ["AthEngine", "On", "Off"]),
    "class without priority": ("AthQos gold", ["AthQos gold", "priority=N"]),
    "class of no farm": ("AthQos gold priority=1 farm=nosuch", ["AthQos gold", "farm=nosuch"]),
    "all reserved": (farm([A]) + "AthQos a priority=1 reserve=60\nAthQos b priority=2 reserve=40",
                     ["AthQos", "farm_one", "100", "99"]),
    "all and a network": ("AthTrust 10.0.0.1\nAthTrust all", ["AthTrust all: must stand alone"]),
    "no network": ("AthTrust 10.0.0.0/99", ["AthTrust", "10.0.0.0/99", "network"]),
    "no directory": ("AthSHMFile /nonexistent/place/athena.board",
                     ["AthSHMFile", "/nonexistent/place/athena.board"]),
    "member without scheme": (farm(["127.0.0.1:8080"]),
                              ["BalancerMember", "127.0.0.1:8080", "http://"]),
    "farm's key on a member": (farm([A], each="ejectafter=3"),
                               ["BalancerMember", "ejectafter", "farm", "ProxySet"]),
    "no number": (farm([A], settings="ejectafter=many"), ["ejectafter", "many"]),
    "too much": (farm([A], settings="retrybudget=500"), ["retrybudget", "500", "100"]),
    "no status": (farm([A], settings="retryon=abc"), ["retryon", "abc"]),
    "no time": (farm([A], settings="trytimeout=-1"), ["trytimeout", "-1"]),
    "a shorter way's method": ("AthFarm f http://a lbmethod=fastest",
                               ["AthFarm: lbmethod=fastest", "roundrobin"]),
    "a shorter way's key": ("AthFarm f http://a speed=9", ["AthFarm f: speed is no parameter"]),
    "a shorter way's value": ("AthFarm f http://a queue=x", ["AthFarm f: queue=x: must be"]),
    "a shorter way's member": ("AthFarm f http://", ["AthFarm f: http://: a member is a URL"]),
    "a member's key alone": (farm([A], each="maxconn"),
                             ["BalancerMember: maxconn: needs a value", "maxconn=N|off"]),
    "a farm's key alone": (farm([A]) + 'ProxyPass "/" "http://farm_one/" queue = 3',
                           ["ProxyPass: queue: needs a value", "queue=N|off"]),
    "no method": (farm([A], settings="lbmethod=fastest"), ["ProxySet", "lbmethod=fastest", "roundrobin", "bytraffic"]),
}


@pytest.mark.parametrize("conf, words", REFUSED.values(), ids=REFUSED)
def test_refuses(make_httpd, conf, words):
    said = make_httpd("event").refuses(conf)
    assert all(word in said for word in words), said


@pytest.mark.parametrize("wrong, words", {
    "forward to nobody": (farm([A], settings="forward=farm_tow"), "farm farm_one: forward=farm_tow"),
    "forward in a circle": (farm([A], settings="forward=farm_two")
                            + farm([A], name="farm_two", settings="forward=farm_one"), "in a circle"),
    "nobody hears": (farm([A], settings="lbmethod=heartbeat"),
                     "no such method without mod_heartmonitor or mod_lbmethod_heartbeat; there"),
    "no score": (farm([A], settings="lbmethod=stats"), "farm farm_one: lbmethod=stats needs score="),
    "a name twice": (farm([A, "http://127.0.0.1:2"], each="name=x"), "farm farm_one: name=x"),
    "a route with the separator": (farm([A], settings="stickysession=sid", each="route=a.b"),
                                   "route=a.b holds '.'"),
    "a class of no farm": ("AthQos gold priority=1 farm=nosuch", "AthQos gold farm=nosuch"),
    "fallback to a farm": (farm([A], settings="fallback=http://farm_up/"),
                           "farm farm_one: fallback=http://farm_up/: this is a farm"),
    "a board in no directory": ("AthSHMFile /nonexistent/x", "/nonexistent/x\": cannot create it"),
    "a board that is a directory": ("AthSHMFile /tmp", "\"/tmp\" is not a regular file"),
    "a board that is none": ("AthSHMFile /etc/hosts", "\"/etc/hosts\" is a file of something else"),
}.values())
def test_what_a_start_refuses_is_refused_before_it(httpd, backends, balancer, wrong, words):
    """By `-t`, and by `-k graceful`, which leaves the running httpd alone."""
    server = httpd("event", balancer=balancer, conf=served(backends(1).urls, name="farm_up"))
    right, children = server.conf, server.child_pids()
    server.conf = right + wrong
    for options in (["-t"], ["-k", "graceful"]):
        done = server.run(*options)
        assert done.returncode == 1 and words in done.stdout, done
    assert fetch(server.port, "/farm/x").status == 200 and server.child_pids() == children
    server.conf = right
    done = server.run("-t")
    assert done.returncode == 0 and "Syntax OK" in done.stdout, done


def test_unwritable_board_for_a_plain_file(make_httpd, directory):
    """A board whose place is taken by a directory."""
    (directory / "athena.board").mkdir()
    said = make_httpd("event").refuses(f'AthSHMFile "{directory}/athena.board"')
    assert "AthSHMFile" in said and f"{directory}/athena.board" in said


@pytest.mark.parametrize("mode", [0o644, 0o600])
def test_a_file_of_something_else_is_left_alone(make_httpd, directory, mode):
    file = directory / "important.txt"
    file.write_text("no board\n")
    file.chmod(mode)
    said = make_httpd("event").refuses(f'AthSHMFile "{file}"')
    assert f'ATH0010: AthSHMFile: board "{file}" is a file of something else; name one' in said
    assert [path.name for path in directory.glob("important*")] == ["important.txt"]
    assert file.read_text() == "no board\n"


def test_a_board_that_another_httpd_uses(make_httpd, httpd):
    board = f'AthSHMFile "{httpd("event", conf=served([A])).directory}/athena.board"'
    assert "in use by another httpd; stop that one, or name another file" in make_httpd(
        "event").refuses(board)


def test_empty_farm_is_a_warning(httpd, balancer):
    """And what it says happens: its name is no host's."""
    server = httpd("event", balancer=balancer,
                   conf='<Proxy "balancer://farm_none">\n</Proxy>\n' + served([A])
                   + 'ProxyPass "/none/" "http://farm_none/"\n')
    assert server.lines(r"ATH0020: .*farm_none")
    server.expect(r"ATH0020: .*farm_none|ATH0112: farm farm_none")
    assert fetch(server.port, "/none/x").status == 503


def test_a_target_that_looks_like_a_farm_is_a_warning(httpd):
    server = httpd("event", conf=served([A]) + 'ProxyPass "/lost/" "http://farm_onr/"')
    assert server.lines(r"ATH0021: .*farm_onr")
    server.expect(r"ATH0021: .*farm_onr")


@pytest.mark.parametrize("damage", [b"", b"not a board\n" * 1000, bytes(1 << 20)],
                         ids=["empty", "text", "zeros"])
def test_damaged_board_is_set_aside(httpd, backends, damage):
    members = backends(1)
    server = httpd("event", conf='AthSHMFile "athena.board"\n' + served(members.urls))
    server.stop()
    board = next(server.directory.glob("athena.board*"))
    board.write_bytes(damage)
    server.start()
    assert fetch(server.port, "/farm/x").status == 200
    why = "not a board" if damage else "it is shorter than a board"
    assert server.lines(rf"ATH0011: .*not usable \({why}\) .*athena\.board")
    server.expect(r"ATH0011: .*athena\.board")


def test_same_section_twice_merges_as_in_stock(httpd, backends):
    members = backends(2)
    first, second = members.urls
    server = httpd("event", conf=farm([first]) + served([second]))
    assert {fetch(server.port, "/farm/x").member for _ in range(6)} == {0, 1}


def test_a_board_survives_another_configuration(httpd, backends):
    """More farms and members than at the last start: the board grows in place."""
    members = backends(3)
    server = httpd("event", conf=served(members.urls[:1]))
    assert fetch(server.port, "/farm/x").status == 200
    more = [f"http://127.0.0.1:{port}/p{n}/" for port in members.ports for n in range(100)]
    server.conf = served(members.urls) + farm(more, name="farm_big")
    server.graceful(alone=True)
    engine = Engine(server)
    assert len(engine.members("farm_big")) == 300
    assert engine.column("served") == [1, 0, 0]
    assert {fetch(server.port, "/farm/x").member for _ in range(9)} == {0, 1, 2}

