"""Agents that tell how their member is, in the words of HAProxy's agent checks."""

import re
import socket
import threading
from urllib.parse import quote

import pytest
from harness.api import Api
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.waiting import wait_until


class Agent:
    """Tells everybody who connects the same line, and closes unless it `hangs`; None: keeps silent."""

    def __init__(self):
        self.line = b"up 100%\n"
        self.asked = 0
        self.hangs = False
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.held = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            self.asked += 1
            if self.line is not None:
                client.sendall(self.line)
            if self.line is None or self.hangs:
                self.held.append(client)
            else:
                client.close()

    def stop(self):
        self.socket.close()


@pytest.fixture
def agents():
    started = [Agent(), Agent()]
    yield started
    for one in started:
        one.stop()


def farm_of(members, agents, settings="lbmethod=roundrobin"):
    conf = farm(members.urls, settings=settings)
    for url, agent in zip(members.urls, agents, strict=True):
        conf = conf.replace(f'"{url}"', f'"{url}" agent=:{agent.port}')
    return conf + 'ProxyPass "/farm/" "http://farm_one/"\n'


def says(server, engine, agent, line, key, wanted):
    """The agent says it, and the document shows it."""
    agent.line = line
    wait_until(lambda: engine.column(key)[0] == wanted, what=f"{line}: {key} {wanted}")


def test_an_agents_words_take_effect_and_are_taken_back(httpd, backends, agents, mpm):
    members = backends(2)
    server = httpd(mpm, balancer=False, conf=farm_of(members, agents))
    engine = Engine(server)
    one = agents[0]
    assert engine.column("agent") == [None, None]
    says(server, engine, one, b"down#disk full\r\n", "up", False)
    assert engine.column("agent") == ["down ready 100%", None]
    assert len(server.lines(r"ATH0303.*its agent says down ready 100% \(disk full\)")) == 1
    says(server, engine, one, b"75%\n", "up", False)
    says(server, engine, one, b"up maint\n", "up", True)
    assert engine.column("on") == [False, True]
    says(server, engine, one, b"drain", "drain", True)
    assert engine.column("usable") == [False, True]
    metrics = fetch(server.port, "/athena/metrics").body.decode()
    assert re.findall(r"^athena_member_draining\{.*\} (\d)$", metrics, re.MULTILINE) == ["1", "0"]
    says(server, engine, one, b"ready,50%", "usable", True)
    assert engine.column("weight") == [1.0, 1.0], "people's value is left alone"
    wait_until(lambda: engine.column("agent")[0] == "up ready 50%", what="half the weight")
    before = members.requests()
    assert [fetch(server.port, "/farm/x").status for _ in range(30)] == [200] * 30
    served = [now - then for now, then in zip(members.requests(), before, strict=True)]
    assert served == [10, 20]


def test_a_silent_agent_changes_nothing_and_holds_nobody_up(httpd, backends, agents):
    silent, other = agents
    silent.line = None
    members = backends(2)
    server = httpd("event", balancer=False,
                   conf=farm_of(members, agents, "lbmethod=roundrobin expectupdate=5"))
    server.expect("ATH0304: farm farm_one: member .* its agent at 127.0.0.1:.* does not answer")
    server.expect("ATH0301: farm farm_one: member .* is out: it has not reported for 5 s")
    engine = Engine(server)
    other.line = b"drain\n"
    wait_until(lambda: engine.column("drain") == [False, True], what="the other is heard")
    wait_until(lambda: silent.asked >= 2, what="asked again")
    wait_until(lambda: engine.column("in") == [False, True], what="out")
    assert len(server.lines("ATH0304")) == 1
    silent.line = b"up\n"
    wait_until(lambda: engine.column("in") == [True, True], what="in again")
    assert len(server.lines("ATH0302")) == 1


def test_a_line_that_does_not_end_is_no_answer(httpd, backends, agents):
    one, other = agents
    server = httpd("event", balancer=False, conf=farm_of(backends(2), agents))
    server.expect("ATH0304: farm farm_one: member .* its agent at 127.0.0.1:.* does not answer")
    engine = Engine(server)
    one.hangs = other.hangs = True
    one.line, other.line = b"maxconn:3", b"maxconn:30\n"
    wait_until(lambda: server.lines("ATH0304"), what="given up")
    assert engine.column("agent") == [None, "up ready 100% maxconn:30"]
    assert engine.column("maxconn") == [None, None], "people's value is left alone"
    one.hangs = False
    wait_until(lambda: engine.column("agent")[0] == "up ready 100% maxconn:3", what="heard")


def test_what_an_agent_said_outlives_a_graceful_restart(httpd, backends, agents):
    server = httpd("event", balancer=True, conf=farm_of(backends(2), agents))
    engine = Engine(server)
    says(server, engine, agents[0], b"down\n", "up", False)
    agents[0].line = b"hello, world#!\n"
    server.graceful(alone=True)
    assert engine.column("up") == [False, True]
    asked = agents[0].asked
    wait_until(lambda: agents[0].asked > asked + 1, what="asked by the new generation")
    assert engine.column("up") == [False, True]


def test_what_an_agent_said_ends_with_its_line(httpd, backends, agents):
    members = backends(2)
    server = httpd("event", balancer=False, conf=farm_of(members, agents))
    engine, one = Engine(server), agents[0]
    says(server, engine, one, b"down maint 10% maxconn:1\n", "up", False)
    server.conf = server.conf.replace(f" agent=:{one.port}", "")
    server.graceful(alone=True)
    assert engine.column("agent") == [None, None]
    assert engine.column("usable") == [True, True]
    assert [fetch(server.port, "/farm/x").status for _ in range(4)] == [200] * 4
    said = server.lines("ATH0390")
    assert len(said) == 1 and "said (down maint 10% maxconn:1) is forgotten" in said[0], said
    # What nobody is asked for stays: only another update takes it back.
    name = members.urls[0].removeprefix("http://")
    push = f'h={name},agent="maint"'.encode()
    assert fetch(server.port, "/athena/update/phys/", method="POST", body=push).status == 200
    server.graceful(alone=True)
    assert engine.column("usable") == [False, True]
    assert len(server.lines("ATH0390")) == 1


def test_what_an_agent_would_say_can_be_pushed(httpd, backends):
    members = backends(2)
    server = httpd("event", balancer=False, conf=served(members.urls, settings="lbmethod=roundrobin"))
    engine = Engine(server)
    name = members.urls[0].removeprefix("http://")

    def push(words, method="POST"):
        query = f'h={name},agent="{words}"'
        if method == "GET":
            return fetch(server.port, "/athena/update/phys/?E" + quote(query, safe="")).status
        return fetch(server.port, "/athena/update/phys/", method=method, body=query.encode()).status

    server.expect(r"ATH\d+: .*refused")
    assert push("down", method="GET") == 403, "a state, and nobody's key"
    assert push("hello") == 400
    assert push("down#disk full") == 200
    assert engine.column("usable") == [False, True]
    assert push("up 50%") == 200
    assert engine.column("usable") == [True, True]
    served_by = [fetch(server.port, "/farm/x").member for _ in range(9)]
    assert sorted(served_by) == [0] * 3 + [1] * 6
    assert len(server.lines("ATH0303")) == 2


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_an_added_members_agent_is_asked_until_it_is_removed(httpd, backends, agents, mpm):
    members, (one, other) = backends(2), agents
    server = httpd(mpm, balancer=False, children=4, conf="AthMemberAllow http://127.0.0.1\n"
                   + served(members.urls[:1], settings="lbmethod=roundrobin"))
    api, engine, there = Api(server), Engine(server), "/farms/farm_one/members"
    one.line = b"down\n"

    def add(agent):
        document = {"url": members.urls[1], "name": "new", "agent": f"localhost:{agent.port}"}
        if agent is one:
            document["agent"] = f":{agent.port}"
        assert api.ask("POST", there, document).status == 201

    add(one)
    wait_until(lambda: engine.column("usable") == [True, False], what="down by its agent's word")
    assert {fetch(server.port, "/farm/x").member for _ in range(8)} == {0}
    server.graceful(alone=True)
    one.line = b"up\n"
    wait_until(lambda: engine.column("usable") == [True, True], what="up again")
    assert {fetch(server.port, "/farm/x").member for _ in range(8)} == {0, 1}
    # Another one has its seat, and an agent by a name.
    assert api.ask("DELETE", f"{there}/new?force=1").status == 204
    server.expect("ATH0254")
    assert "AthMemberAllow" in api.refused(there, {"url": members.urls[1], "agent": "localhost:9"},
                                           403, method="POST")
    server.conf = server.conf.replace("http://127.0.0.1\n", "http://127.0.0.1 localhost\n")
    server.graceful(alone=True)
    add(other)
    wait_until(lambda: other.asked > 0, what="the other asked")
    asked = one.asked
    wait_until(lambda: other.asked > 2, what="the other asked again")
    assert one.asked == asked


def test_addresses_that_are_none_stop_the_start(make_httpd, backends):
    urls = backends(1).urls
    server = make_httpd("event")
    said = server.refuses("AthEngine On\n" + farm(urls, each="agent=8081"))
    assert "agent=8081: must be HOST:PORT, or :PORT for the member's own host" in said, said
