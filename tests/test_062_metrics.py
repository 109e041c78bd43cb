"""What Prometheus scrapes."""

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served
from harness.load import ab
from harness.paths import ROOT
from harness.waiting import wait_until

METRICS = "/athena/metrics"
_SERIES = re.compile(r'(?P<name>\w+)(\{(?P<labels>.*)\})? (?P<value>\S+)')
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


def scrape(server):
    """All series: from (name, labels) to values."""
    answer = fetch(server.port, METRICS)
    assert answer.status == 200
    assert answer.header("Content-Type") == "text/plain; version=0.0.4; charset=utf-8"
    series = {}
    for line in answer.body.decode().splitlines():
        if not line.startswith("#"):
            found = _SERIES.fullmatch(line)
            labels = frozenset(_LABEL.findall(found["labels"] or ""))
            assert (found["name"], labels) not in series, line
            series[found["name"], labels] = float(found["value"])
    return series


def values(series, name, label, **wanted):
    """The values of a family by one of its labels, of those with the wanted ones."""
    found = {}
    for (family, labels), value in series.items():
        labels = dict(labels)
        if family == name and wanted.items() <= labels.items():
            found[labels[label]] = value
    return found


def test_every_answer_is_counted(httpd, backends, mpm):
    members = backends(3)
    server = httpd(mpm, conf=served(members.urls, settings="lbmethod=roundrobin"))
    members.behave(1, status=404)
    members.behave(2, status=503)
    assert ab(server.port, "/farm/x", 300, 8).complete == 300
    Engine(server).wait_idle()
    series = scrape(server)
    names = [f"127.0.0.1:{port}" for port in members.ports]
    received = dict(zip(names, members.requests(), strict=True))
    assert values(series, "athena_member_elected_total", "member") == received
    for name, code in zip(names, ["2xx", "4xx", "5xx"], strict=True):
        classes = values(series, "athena_member_requests_total", "code_class", member=name)
        assert sorted(classes) == ["1xx", "2xx", "3xx", "4xx", "5xx"]
        assert classes.pop(code) == received[name]
        assert not any(classes.values())
        first_bytes = values(series, "athena_member_first_byte_seconds_bucket", "le", member=name)
        assert first_bytes["+Inf"] == received[name]
        ranges = sorted(first_bytes, key=float)
        assert [first_bytes[le] for le in ranges] == sorted(first_bytes.values())
    assert values(series, "athena_farm_requests_total", "farm") == {"farm_one": 300}
    assert set(values(series, "athena_member_in_flight", "member").values()) == {0}


def test_promtool_finds_nothing_wrong(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(members.urls))
    assert ab(server.port, "/farm/x", 20, 2).failed == 0
    page = fetch(server.port, METRICS).body
    check = subprocess.run(["promtool", "check", "metrics"], input=page, capture_output=True)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_waits_for_a_place_are_counted(httpd, backends):
    members = backends(1)
    server = httpd("event", conf=served(members.urls, each="maxconn=1",
                                        settings="queue=10 queuetimeout=30000"))
    members.hold()
    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(fetch, server.port, "/farm/x") for _ in range(4)]
        wait_until(lambda: Engine(server).farm()["queued"] == 3, what="three in line")
        began = monotonic()
        wait_until(lambda: monotonic() > began + 0.025, what="more than the first range")
        members.release()
        assert [one.result().status for one in asked] == [200] * 4
    Engine(server).wait_idle()
    series = scrape(server)
    assert values(series, "athena_farm_queued", "farm") == {"farm_one": 0}
    (waited,) = values(series, "athena_farm_queue_wait_seconds_count", "farm").values()
    assert waited == 3
    ranges = values(series, "athena_farm_queue_wait_seconds_bucket", "le")
    assert ranges["+Inf"] == 3 and ranges["0.025"] == 0


def test_a_member_that_is_gone_leaves_no_series(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(members.urls))
    both = set(values(scrape(server), "athena_member_up", "member"))
    assert len(both) == 2
    server.conf = served(members.urls[:1])
    server.graceful(alone=True)
    left = {f"127.0.0.1:{members.ports[0]}"}
    for (_, labels) in scrape(server):
        assert dict(labels).get("member", *left) in left


@pytest.mark.parametrize("header, status", [({}, 200), ({"Host": "evil.example"}, 403)])
def test_who_may_scrape(httpd, header, status):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"]))
    server.expect("ATH0130")
    assert fetch(server.port, METRICS, headers=header).status == status


def test_the_dashboard_asks_for_what_there_is(httpd, backends):
    members = backends(2)
    server = httpd("event", conf=served(members.urls))
    assert ab(server.port, "/farm/x", 20, 2).failed == 0
    told = {name for name, _ in scrape(server)}
    dashboard = json.loads((ROOT / "docs/grafana.json").read_text())
    queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    asked = {name for query in queries for name in re.findall(r"\bathena_\w+", query)}
    assert len(queries) >= 6 and asked <= told, asked - told
