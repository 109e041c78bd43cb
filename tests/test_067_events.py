"""Who changed what: events."""

from harness.api import Api
from harness.changed import ALLOWED, FARM, member, start
from harness.client import fetch
from harness.farms import served
from harness.httpd import CONNECT_FAILED
from harness.manager import edit
from harness.waiting import wait_until


def test_what_requests_find_out_is_an_event(httpd, backends):
    members = backends(3, apart=True)
    server = start(httpd, members, each="retry=1")
    server.expect(CONNECT_FAILED)
    members.kill(1)
    api = Api(server)
    wait_until(lambda: fetch(server.port, "/farm/x").status == 200 and api.events(), what="the end")
    members.restart(1)
    wait_until(lambda: fetch(server.port, "/farm/x").member == 1, what="its return")
    told = [(event["member"], event["what"], event["who"], event["through"])
            for event in api.events()]
    name = f"127.0.0.1:{members.ports[1]}"
    assert told[0] == (name, "up=off (was on)", "no connection", "health")
    assert told[-1] == (name, "up=on (was off)", "an answer", "health")


def test_who_changed_what_and_when(httpd, backends, balancer):
    members = backends(3)
    server = start(httpd, members, balancer=balancer,
                   settings="lbmethod=roundrobin nonce=tested",
                   conf='<Location "/balancer-manager">\nSetHandler balancer-manager\n</Location>\n')
    server.expect(CONNECT_FAILED)
    api = Api(server)
    one = f"127.0.0.1:{members.ports[0]}"
    api.patch(member(members, 0), weight=2.5, on=False)
    api.patch(member(members, 0), weight=2.5)
    api.patch(FARM, on=True)
    edit(server.port, w=members.urls[0], w_status_D="0")
    wait_until(lambda: len(api.events()) == 2, what="the edit among the events")
    first, second = api.events()
    assert first["what"] == "weight=2.50 (was 1.00), on=off (was on)"
    assert (first["farm"], first["member"]) == ("farm_one", one)
    assert (first["who"], first["through"]) == ("somebody from 127.0.0.1", "api")
    assert first["at"].endswith("Z") and first["at"] <= second["at"]
    assert second["what"] == "on=on (was off)"
    assert second["through"] == ("mod_proxy" if balancer else "balancer-manager")
    (line,) = server.lines("ATH0252.*through api")
    assert f"farm farm_one: member {one}: weight=2.50 (was 1.00), on=off (was on), by " in line
    server.restart()
    assert api.events() == [first, second]


def test_every_change_is_told_once(httpd, backends):
    members = backends(2)
    server = httpd("event", balancer=False, conf=ALLOWED + served(
        members.urls[:1], settings="nonce=tested") + '<Location "/balancer-manager">\n'
        "SetHandler balancer-manager\n</Location>\n")
    api, one = Api(server), f"127.0.0.1:{members.ports[0]}"
    added = f"127.0.0.1:{members.ports[1]}"
    api.patch(FARM, fallback="http://127.0.0.1/", members={one: {"weight": 2}})
    api.patch(member(members, 0), lbset=1)
    assert api.ask("POST", f"{FARM}/members", {"url": members.urls[1]}).status == 201
    assert api.ask("DELETE", f"{FARM}/members/{added}?force=1").status == 204
    edit(server.port, w=members.urls[0], w_ls="2")
    for way, line in [("update", f"h={one},l=3"), ("mirror", f"v=1\nh={one},l=4")]:
        answer = fetch(server.port, f"/athena/{way}/phys/", method="POST", body=line.encode())
        assert answer.status == 200
    # What holds already is no change.
    api.patch(member(members, 0), lbset=4)
    told = [(event["member"], event["what"].split(" ")[0], event["through"], event["who"])
            for event in api.events()]
    who = "somebody from 127.0.0.1"
    assert told == [
        (one, "weight=2.00", "api", who), (None, "fallback=http://127.0.0.1/", "api", who),
        (one, "lbset=1", "api", who), (added, "added", "api", who), (added, "removed", "api", who),
        (one, "lbset=2", "balancer-manager", who), (one, "lbset=3", "update", who),
        (one, "lbset=4", "update", who)]
    lines = server.lines("ATH0252:|ATH0381:|ATH0382:")
    assert [line.rsplit(", by ")[1] for line in lines] == [f"{who} through {told[2]}" for told in told]
