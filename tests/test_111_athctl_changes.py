"""athctl's changes of a real engine."""

import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote

import pytest
from harness.api import Api
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.paths import ATHCTL
from harness.waiting import free_port, wait_until
from test_033_agents import Agent
from test_110_athctl import DEAD, athctl


def named(urls, **options):
    """A farm whose members are called m0, m1, …"""
    section = served(urls, **options)
    for n, url in enumerate(urls):
        section = section.replace(f'"{url}"', f'"{url}" name=m{n} route=r{n}')
    return section


class Meddler:
    """Stands between athctl and an engine, and changes a member once athctl has read it."""

    def __init__(self, server, path, **changes):
        api = Api(server)

        class Between(BaseHTTPRequestHandler):
            def do_GET(self):
                self.pass_on(lambda: api.patch(path, **changes))

            def do_PATCH(self):
                self.pass_on()

            def pass_on(self, meanwhile=lambda: None):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))) or None
                headers = {name: self.headers[name] for name in ("If-Match", "Content-Type")
                           if name in self.headers}
                answer = fetch(server.port, self.path, method=self.command, body=body,
                               headers=headers)
                meanwhile()
                self.send_response(answer.status)
                for name in ("Content-Type", "ETag"):
                    if answer.header(name):
                        self.send_header(name, answer.header(name))
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Between)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


@pytest.mark.parametrize("arguments", [
    ["set", "f/m", "weight=2", "weight=3"], ["set", "f/m", "on=on", "f/n", "ON=off"],
    ["add", "f", "http://127.0.0.1:9", "route=a", "route=b"]])
def test_a_key_stands_once(arguments):
    assert "= stands twice" in athctl(9, *arguments, code=2)


def test_set(httpd, backends):
    members = backends(2)
    server = httpd("prefork", conf=named(members.urls, settings="lbmethod=roundrobin"))
    said = athctl(server, "set", "farm_one/m0", "weight=2.5", "lbset=0", "slowstart=none")
    assert said == "weight: 1.0 -> 2.5\n"
    assert Engine(server).column("weight") == [2.5, 1.0]
    assert athctl(server, "set", "farm_one/m1", "on=off") == "on: on -> off\n"
    assert {fetch(server.port, "/farm/x").member for _ in range(9)} == {0}
    assert athctl(server, "set", "farm_one", "method=leasttime") == \
        "method: roundrobin -> leasttime\n"
    assert Engine(server).farm()["method"] == "leasttime"


def test_set_tells_what_another_holds(httpd, backends):
    members, agent = backends(2), Agent()
    conf = named(members.urls).replace("name=m0", f"name=m0 agent=:{agent.port}")
    server = httpd("event", conf=conf)
    agent.line = b"down\n"
    wait_until(lambda: Engine(server).column("up")[0] is False, what="down")
    assert athctl(server, "set", "farm_one/m0", "up=on") == "up: still off (agent: down ready 100%)\n"
    board = ["--board", server.directory / "athena.board"]
    for where in ([], board):
        assert "down (agent: down ready 100%)" in athctl(server, "status", *where)
    agent.line = b"up 75%\n"
    wait_until(lambda: Engine(server).column("up")[0], what="up")
    assert "ok (agent: up ready 75%)" in athctl(server, "status")
    agent.line = b"maint\n"
    wait_until(lambda: Engine(server).column("on")[0] is False, what="in maintenance")
    assert athctl(server, "set", "farm_one/m0", "on=on") == "on: still off (agent: up maint 75%)\n"
    agent.stop()


def test_set_tells_that_draintimeout_is_over(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=named(members.urls, settings="lbmethod=roundrobin draintimeout=1"))
    server.expect("ATH0231")
    athctl(server, "drain", "farm_one/m0")
    wait_until(lambda: Engine(server).column("on")[0] is False, what="the end of draining")
    still = "on: still off (draintimeout is over; drain=off ends it)\n"
    assert athctl(server, "set", "farm_one/m0", "on=on") == still
    assert athctl(server, "set", "farm_one/m0", "drain=off", "on=on") == \
        "drain: on -> off\non: off -> on\n"


def test_set_of_several(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=named(members.urls))
    said = athctl(server, "set", "farm_one/m0", "farm_one/m1", "weight=2", "lbset=1")
    assert said == "".join(f"{name} lbset: 0 -> 1\n{name} weight: 1.0 -> 2.0\n" for name in ("m0", "m1"))
    athctl(server, "set", "farm_one/m1", "lbset=2")
    assert athctl(server, "set", "farm_one/m0", "farm_one/m1", "lbset=2") == "m0 lbset: 1 -> 2\n"
    line = athctl(server, "set", "farm_one/m0", "farm_one/m9", "weight=3", code=1)
    assert "422: farm farm_one has no member m9" in line
    assert Engine(server).column("weight") == [2.0, 2.0]


@pytest.mark.parametrize("arguments", [
    ["set", "farm_one/m0", "weight=2"], ["drain", "farm_one/m0"], ["remove", "farm_one/m0"],
    ["add", "farm_one", "http://127.0.0.1:10"], ["status"]])
def test_no_redirect_is_followed(make_httpd, arguments):
    """A change would become a read on its way, and be told as done."""
    one = make_httpd("event", conf=named([DEAD])).start()
    there = f"http://127.0.0.1:{one.port}/athena"
    redirect = f"AthPath none\nRedirect permanent /athena {there}\n"
    two = make_httpd("event", conf=redirect, modules=["alias"]).start()
    line = athctl(two, *arguments, code=1)
    assert f"{two.port}/athena/api/v1/farms" in line and f": 301: it is at {there}/api/v1/farms" in line


def test_nobody_is_overwritten(httpd, backends):
    """Somebody changes the member between athctl's reading and its writing."""
    members = backends(1)
    server = httpd("event", conf=named(members.urls))
    between = Meddler(server, "/farms/farm_one/members/m0", weight=7)
    line = athctl(between, "set", "farm_one/m0", "weight=3", code=1)
    between.stop()
    assert line.startswith("athctl: ") and "412: somebody else has changed it since" in line
    assert Engine(server).column("weight") == [7.0]


@pytest.mark.parametrize("arguments, said", [
    (["set", "farm_one/m0", "farm_one/m1"], "athctl: name what changes: KEY=VALUE"),
    (["set", "farm_one/m0", "other/m0", "weight=1"], "athctl: other/m0: changed together are members of"),
    (["set", "farm_one/m0", "weight=0"], "athctl: weight=0: must be"),
    (["set", "farm_one/m0", "color=red"], "athctl: color: cannot be changed; what can: weight, "),
    (["set", "farm_one/m9", "weight=1"], "404: farm farm_one has no member m9"),
    (["set", "farm_one", "method=nosuch"], "422: "),
    (["drain", "nosuch/m0"], "404: there is no farm nosuch"),
    (["remove", "farm_one/m0"], "409: "),
    (["add", "farm_one", "http://203.0.113.9"], "403: "),
    (["status", "--format", "%z"], "400: "),
])
def test_refusals_in_one_line(httpd, arguments, said):
    server = httpd("event", conf=named([DEAD]))
    server.expect("ATH0254")
    line = athctl(server, *arguments, code=1)
    assert said in line and line.count("\n") == 1 and line.startswith("athctl: ")


def test_drain_waits_for_what_is_in_flight(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=named(members.urls, settings="stickysession=sid"))
    answers = []
    path = "/farm/x"
    members.behave(0, hold=True)
    cookie = {"Cookie": "sid=1.r0"}
    slow = threading.Thread(
        target=lambda: answers.append(fetch(server.port, path, headers=cookie)))
    slow.start()
    wait_until(lambda: Engine(server).column("inflight") == [1, 0], what="the slow request")
    late = athctl(server, "drain", "farm_one/m0", "--wait", "--most", "1", code=1)
    assert late == "athctl: farm_one/m0 is not done: 1 in flight, 0 requests of sessions\n"
    assert Engine(server).column("drain") == [True, False]
    members.release()
    said = athctl(server, "drain", "farm_one/m0", "--wait", "--quiet", "1")
    assert said == "farm_one/m0 is empty\n" and Engine(server).in_flight() == 0
    slow.join()
    assert answers[0].member == 0


def test_members_come_and_go(httpd, backends):
    members = backends(2)
    server = httpd("event", conf="AthMemberAllow http://127.0.0.1\n" + named(members.urls[:1]))
    name = athctl(server, "add", "farm_one", members.urls[1], "weight=2", "route=b").strip()
    assert name == f"farm_one/127.0.0.1:{members.ports[1]}"
    added = Engine(server).members()[1]
    assert (added["weight"], added["route"]) == (2.0, "b")
    assert {fetch(server.port, "/farm/x").member for _ in range(6)} == {0, 1}
    slow = threading.Thread(target=lambda: fetch(server.port, "/farm/x?delay=1200"))
    athctl(server, "set", "farm_one/m0", "on=off")
    slow.start()
    wait_until(lambda: Engine(server).column("inflight")[1] == 1, what="the slow request")
    assert athctl(server, "remove", name, "--wait") == f"{name} is removed\n"
    slow.join()
    assert len(Engine(server).members()) == 1


def test_the_second_server_of_a_name_has_farms_of_its_own(httpd):
    port = free_port()
    section = (f"<VirtualHost *:{port}>\nServerName v.example\n" + named([DEAD]) + "</VirtualHost>\n")
    server = httpd("event", conf=f"Listen 127.0.0.1:{port}\nAthMemberAllow http://127.0.0.1\n{section * 2}")
    second = f"farm_one@v.example:{port}#2"
    in_order = lambda: sorted(Engine(server).farms(), key=lambda farm: farm["server"])
    farms = lambda key: [farm[key] for farm in in_order()]
    assert farms("server") == [f"v.example:{port}", f"v.example:{port}#2"]
    assert athctl(server, "set", second, "on=off") == "on: on -> off\n"
    assert farms("on") == [True, False]
    assert athctl(server, "status", second).startswith(f"{second}: byrequests, off, ")
    assert athctl(server, "set", f"{second}/m0", "weight=2") == "weight: 1.0 -> 2.0\n"
    assert athctl(server, "add", second, "http://127.0.0.1:10") == f"{second}/127.0.0.1:10\n"
    assert [len(members) for members in farms("members")] == [1, 2]
    added = Api(server).ask("POST", f"/farms/{quote(second)}/members", {"url": "http://127.0.0.1:11"})
    assert added.status == 201
    assert added.header("Location").endswith(f"/farms/farm_one@v.example:{port}%232/members/127.0.0.1:11")
    assert fetch(server.port, added.header("Location")).status == 200


# What may stand in a URL's path, and so in a member's name.
PATHS = ["/p?q=1", "/p%41", "/h#x", "/%", '/"><b>', "/a//b", "/a/../b", "/=", "/,&x=\\"]


def test_members_of_any_name(make_httpd):
    allow = "AthMemberAllow http://127.0.0.1\n"
    one, two = (make_httpd("event", conf=allow + named([DEAD])).start() for _ in range(2))
    mirrored = lambda: subprocess.run(mirror(one, two), capture_output=True, text=True, timeout=60)
    base = "http://127.0.0.1:10"
    names = [athctl(one, "add", "farm_one", base + path).strip() for path in ["", *PATHS]]
    assert names == [f"farm_one/127.0.0.1:10{path}" for path in ["", *PATHS]]
    for name in names:
        assert athctl(one, "set", name, "weight=2") == "weight: 1.0 -> 2.0\n"
    assert mirrored().returncode == 0
    assert Engine(two).column("name") == Engine(one).column("name")
    assert Engine(two).column("weight") == Engine(one).column("weight") == [1.0] + [2.0] * len(names)
    for name in names:
        assert athctl(one, "remove", name, "--force") == f"{name} is removed\n"
    assert mirrored().stdout == f"{len(names)} differences sent\n"
    assert Engine(two).column("name") == Engine(one).column("name") == ["m0"]


def test_formats(httpd):
    server = httpd("event", conf=named([DEAD, DEAD + "0"]) + farm([DEAD], name="other"))
    assert athctl(server, "status", "farm_one", "--format", '%h "100%%" & %r') == \
        'm0 "100%" & r0\nm1 "100%" & r1\n'
    assert athctl(server, "status", "--of", "farms", "--format", "%n=%M") == \
        "farm_one=2\nother=1\n"
    assert athctl(server, "status", "--of", "engine", "--format", "%N,%M") == "2,3\n"


def mirror(one, two, *options):
    urls = [f"http://127.0.0.1:{server.port}/athena" for server in (one, two)]
    command = [ATHCTL, "mirror", "--from", urls[0], "--to", urls[1], *options]
    return [str(part) for part in command]


def test_mirror(httpd, make_httpd):
    one, two = (make_httpd("event", conf=named([DEAD, DEAD + "0"])).start() for _ in range(2))
    athctl(one, "set", "farm_one/m1", "weight=7", "drain=on")
    run = subprocess.run(mirror(one, two), capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "1 difference sent\n"), run
    assert Engine(two).column("weight") == [1.0, 7.0]
    assert Engine(two).column("drain") == [False, True]
    run = subprocess.run(mirror(one, two), capture_output=True, text=True, timeout=60)
    assert run.stdout == "both say the same\n"


def test_members_that_were_added_are_mirrored(make_httpd):
    allow = "AthMemberAllow http://127.0.0.1 http://[::1]\n"
    one, two = (make_httpd("event", conf=allow + named([DEAD])).start() for _ in range(2))
    two.expect("ATH0254")
    athctl(one, "add", "farm_one", "http://127.0.0.1:10", "route=b", "retry=7", "status=+H")
    athctl(one, "add", "farm_one", "http://127.0.0.1:11/app", "name=app", "secret=x", "weight=3")
    athctl(one, "add", "farm_one", "http://[::1]:13", "weight=3")
    athctl(one, "set", "farm_one/app", "weight=0.5")
    athctl(two, "add", "farm_one", "http://127.0.0.1:12")
    run = lambda: subprocess.run(mirror(one, two), capture_output=True, text=True, timeout=60)
    # Three are added, one is removed, and the weight of one is another by now.
    assert run().stdout == "5 differences sent\n"
    assert run().stdout == "both say the same\n"
    keys = ("name", "url", "route", "weight", "standby", "added")
    shown = [[[one[key] for key in keys] for one in Engine(server).members()] for server in (one, two)]
    assert shown[0] == shown[1] and len(shown[0]) == 4
    assert Engine(one).column("parameters") == [
        None, {"route": "b", "retry": "7", "status": "+H"}, {"name": "app", "loadfactor": "3"}, {"loadfactor": "3"}]
    athctl(one, "remove", "farm_one/app", "--force")
    assert run().stdout == "1 difference sent\n"
    assert Engine(one).column("name") == Engine(two).column("name")
    two.conf = named([DEAD])
    two.graceful(alone=True)
    refused = run()
    assert refused.returncode == 1 and "AthMemberAllow does not name this host" in refused.stderr


def test_a_member_that_was_added_anew_is_mirrored(make_httpd):
    allow = "AthMemberAllow http://127.0.0.1\n"
    one, two = (make_httpd("event", conf=allow + named([DEAD])).start() for _ in range(2))
    run = lambda: subprocess.run(mirror(one, two), capture_output=True, text=True, timeout=60).stdout
    for url, said, *parameters in [
            ("http://127.0.0.1:10", "1 difference sent\n", "weight=3", "slowstart=7"),
            ("http://127.0.0.1:11", "1 difference sent\n", "weight=3", "slowstart=7"),
            ("http://127.0.0.1:11", "1 difference sent\n", "weight=3", "connectiontimeout=500ms", "standby=on"),
            # The same once more is no difference.
            ("http://127.0.0.1:11", "both say the same\n", "weight=3", "connectiontimeout=500ms", "standby=on"),
            ("http://127.0.0.1:11", "1 difference sent\n")]:
        if "m1" in Engine(one).column("name"):
            athctl(one, "remove", "farm_one/m1", "--force")
        athctl(one, "add", "farm_one", url, "name=m1", *parameters)
        assert run() == said, (url, parameters)
        assert run() == "both say the same\n"
        for key in ("name", "url", "weight", "slowstart", "standby", "parameters"):
            assert Engine(two).column(key) == Engine(one).column(key)
    # What is set is not added anew.
    added = len(two.lines("ATH0381"))
    athctl(one, "set", "farm_one/m1", "weight=2", "drain=on")
    assert run() == "1 difference sent\n"
    assert Engine(two).column("weight") == [1.0, 2.0] and len(two.lines("ATH0381")) == added


def test_a_member_whose_name_needs_no_path_there_is_left_alone(make_httpd):
    allow = "AthMemberAllow http://127.0.0.1\n"
    one, two = (make_httpd("event", conf=allow + named([DEAD])).start() for _ in range(2))
    for path in ("", "/p"):
        athctl(one, "add", "farm_one", f"http://127.0.0.1:10{path}")
    athctl(one, "remove", "farm_one/127.0.0.1:10", "--force")
    for said in ("1 difference sent\n", ""):
        run = subprocess.run(mirror(one, two), capture_output=True, text=True, timeout=60)
        assert (run.returncode, run.stdout) == (1, said) and "farm_one@main/127.0.0.1:10/p" in run.stderr
        assert Engine(two).column("url") == Engine(one).column("url")
    assert len(two.lines("ATH0381")) == 1 and not two.lines("ATH0382")


def test_what_only_one_side_has_is_left_out(make_httpd):
    more = named([DEAD, DEAD + "0"]) + farm([DEAD], name="only1") + farm([DEAD], name="shop")
    one = make_httpd("event", conf=more).start()
    two = make_httpd("event", conf=named([DEAD]) + farm([DEAD], name="shop")).start()
    athctl(one, "set", "farm_one/m0", "weight=7")
    athctl(one, "set", "shop", "on=off")
    athctl(one, "set", "only1", "on=off")
    left = ("athctl: not mirrored, since the other side does not have them: "
            "only1@main, farm_one@main/m1\n")
    for said in ("2 differences sent\n", ""):
        run = subprocess.run(mirror(one, two), capture_output=True, text=True, timeout=60)
        assert (run.returncode, run.stdout, run.stderr) == (1, said, left)
        assert Engine(two).column("weight") == [7.0] and not Engine(two).farm("shop")["on"]
    watch = subprocess.Popen(mirror(one, two, "--watch"), stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
    try:
        for weight in (2, 3):
            athctl(one, "set", "farm_one/m0", f"weight={weight}")
            wait_until(lambda weight=weight: Engine(two).column("weight") == [weight],
                       what=f"weight {weight} mirrored")
    finally:
        watch.kill()
    assert watch.communicate()[1] == left


def test_a_member_reports_to_both_sides_or_to_none(make_httpd):
    conf = named([DEAD], settings="expectupdate=6")
    one, two = (make_httpd("event", conf=conf).start() for _ in range(2))
    for server in (one, two):
        server.expect("ATH0301: farm farm_one: member m0 is out")
    is_in = lambda: [Engine(server).column("in") for server in (one, two)]
    push = lambda: fetch(one.port, "/athena/update/phys/?h=m0,load=0.5").status
    watch = subprocess.Popen(mirror(one, two, "--watch"), stdout=subprocess.PIPE, text=True)
    try:
        # The same each time, for longer than it may be silent.
        wait_until(lambda: push() == 200 and Engine(two).column("pushes")[0] >= 8, what="reports")
        assert is_in() == [[True], [True]] and not two.lines("ATH0301")
        wait_until(lambda: is_in() == [[False], [False]], what="out")
        # What is set is no report, nor is what it once pushed.
        athctl(one, "set", "farm_one/m0", "weight=2")
        wait_until(lambda: Engine(two).column("weight") == [2.0], what="the weight mirrored")
        assert fetch(two.port, "/athena/mirror/phys/", method="POST", body=told(one)).status == 200
        assert is_in() == [[False], [False]]
        push()
        wait_until(lambda: is_in() == [[True], [True]], what="in again")
    finally:
        watch.kill()
        said = watch.communicate()[0]
    # The statistic, the weight, and the statistic that is there again; what says nothing new is none.
    assert set(said.splitlines()) == {"1 difference sent"} and said.count("\n") <= 3


def test_the_mirror_rests_with_statistics_of_the_other_side(make_httpd):
    one, two = (make_httpd("event", conf=named([DEAD])).start() for _ in range(2))
    for server, pushed in [(one, "load=1,queue=2"), (two, "queue=2,load=1"), (two, "other=3")]:
        assert fetch(server.port, f"/athena/update/phys/?h=m0,{pushed}").status == 200
    run = subprocess.run(mirror(one, two), capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout) == (0, "both say the same\n"), run


def told(server):
    """What people set, as a mirror tells it to another."""
    answer = fetch(server.port, "/athena/mirror/phys/")
    assert answer.status == 200, answer
    return answer.body


def test_mirror_survives_either_side(make_httpd):
    one, two = (make_httpd("event", conf=named([DEAD])).start() for _ in range(2))
    watch = subprocess.Popen(mirror(one, two, "--watch"), stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE, text=True)
    try:
        for weight, lost in [(2, two), (3, one), (4, two)]:
            lost.stop()
            assert any(f":{lost.port}/" in line and "; again in 1 s" in line
                       for line in watch.stderr)
            lost.start()
            athctl(one, "set", "farm_one/m0", f"weight={weight}")
            wait_until(lambda weight=weight: Engine(two).column("weight") == [weight],
                       what=f"weight {weight} mirrored")
            athctl(two, "set", "farm_one/m0", "weight=9")
            wait_until(lambda weight=weight: Engine(two).column("weight") == [weight],
                       what="the mirrored one made equal again")
        for changes in (["drain=on", "weight=6"], ["lbset=2", "on=off"], ["drain=off"], ["on=on"]):
            athctl(one, "set", "farm_one/m0", *changes)
        wait_until(lambda: told(two) == told(one), what="equal after many changes")
        assert Engine(two).column("weight") == [6.0]
        assert watch.poll() is None
    finally:
        watch.kill()
        watch.communicate()
