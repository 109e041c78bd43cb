"""Requests with `Expect: 100-continue`, which mod_proxy_http hands on to members."""

import socket

import pytest
from harness.client import fetch
from harness.engine import Engine
from harness.farms import served


@pytest.fixture
def silent():
    """URLs of two members that take connections and never say a word."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    yield [f"http://127.0.0.1:{listener.getsockname()[1]}" for listener in listeners]
    for listener in listeners:
        listener.close()


def ask(server):
    return fetch(server.port, "/farm/x", method="POST", headers={"Expect": "100-continue"},
                 body=b"once").status


def test_a_slow_url_takes_nobody_down(httpd, silent):
    server = httpd("event", balancer=False, conf=served(silent, settings="trytimeout=200"))
    server.expect("AH01102|AH00898")
    assert [ask(server) for _ in range(2)] == [504, 504]
    assert Engine(server).column("usable") == [True, True]


@pytest.mark.parametrize("ping, settings", [("200ms", ""), ("60", "trytimeout=200")])
def test_a_ping_that_nobody_answers_does(httpd, silent, ping, settings):
    server = httpd("event", balancer=False,
                   conf=served(silent, each=f"ping={ping}", settings=settings))
    server.expect("AH01102|AH00898|ATH0110|ATH0112")
    assert ask(server) == 503
    assert Engine(server).column("usable") == [False, False]
