"""Events as they happen: server-sent events of the API."""

import json
import socket

import pytest
from harness.api import Api
from harness.farms import farm
from harness.waiting import wait_until

FARM = "/farms/farm_one"
WATCHERS = 8


class Stream:
    """A client that follows the events."""

    def __init__(self, server, accept="text/event-stream", **headers):
        self.socket = socket.create_connection(("127.0.0.1", server.port), 30)
        lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.socket.sendall("\r\n".join([
            "GET /athena/api/v1/events HTTP/1.0", "Host: 127.0.0.1",
            f"Accept: {accept}", *lines, "", ""]).encode())
        self.file = self.socket.makefile("rb")
        self.status = int(self.file.readline().split()[1])
        self.headers = dict(self._headers())

    def _headers(self):
        while line := self.file.readline().decode().strip():
            name, value = line.split(": ", 1)
            yield name.lower(), value

    def next(self):
        """The next event, None at the end; comments are passed over."""
        number = None
        while line := self.file.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name == "id":
                number = int(value)
            elif name == "data":
                event = json.loads(value)
                assert event["number"] == number
                return event
        return None

    def close(self):
        self.file.close()
        self.socket.close()


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_events_come_as_they_happen_and_go_on_where_one_was(httpd, mpm):
    server = httpd(mpm, conf=farm(["http://127.0.0.1:9"]))
    api = Api(server)
    api.patch(FARM, on=False)
    stream = Stream(server)
    assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")
    for on in (True, False, True):
        api.patch(FARM, on=on)
    seen = [stream.next() for _ in range(3)]
    assert seen == api.events()[1:]
    stream.close()
    again = Stream(server, Last_Event_ID=seen[0]["number"])
    assert [again.next() for _ in range(2)] == seen[1:]
    server.graceful()
    assert again.next() is None
    later = Stream(server, Last_Event_ID=seen[1]["number"])
    assert later.next() == seen[2]
    later.close()
    assert api.ask("GET", "/events", Last_Event_ID="x").status == 400


@pytest.mark.parametrize("mpm", ["prefork", "event"])
def test_there_are_few_streams_for_all_children(httpd, mpm):
    server = httpd(mpm, children=16, conf=farm(["http://127.0.0.1:9"]))
    streams = [Stream(server) for _ in range(WATCHERS)]
    assert {stream.status for stream in streams} == {200}
    refused = Stream(server)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    api = Api(server)
    api.patch(FARM, on=False)
    assert {stream.next()["what"] for stream in streams} == {"on=off (was on)"}
    for stream in streams:
        stream.close()

    def accepted():
        stream = Stream(server)
        stream.close()
        return stream.status == 200

    # Sooner than the second comment would find their connections reset.
    wait_until(accepted, seconds=4, what="a place that is free again", every=0.3)


@pytest.mark.parametrize("weight, kind", [
    ("q=0", "application/json"), ("Q=0.000", "application/json"), ("q=0.5", "text/event-stream"),
    ("x=0", "text/event-stream")])
def test_a_stream_with_weight_0_is_not_wanted(httpd, weight, kind):
    server = httpd("event", conf=farm(["http://127.0.0.1:9"]))
    stream = Stream(server, accept=f"text/event-stream; {weight}, application/json")
    assert (stream.status, stream.headers["content-type"]) == (200, kind)
    stream.close()
