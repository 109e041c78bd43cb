"""Where people may have requests sent to: AthMemberAllow."""

import pytest
from harness.api import Api
from harness.changed import FARM, member, start
from harness.client import fetch
from harness.engine import Engine
from harness.farms import farm, served


def test_where_people_may_send_requests(httpd, backends):
    members = backends(3)
    server = start(httpd, members, conf="AthMemberAllow https://app.example:8443\n"
                   "AthMemberAllow 10.0.0.0/8\n")
    server.expect(r"ATH0254")
    api = Api(server)
    for url in ("http://127.0.0.1/", "https://app.example/", "http://app.example:8443/",
                "https://app.example.evil:8443/", "http://10.evil/"):
        for key, value in (("forward", url), ("fallback", url), ("fallback", f"redirect:{url}")):
            said = api.refused(FARM, {key: value}, 403)
            assert said == f"{url}: AthMemberAllow does not name this host"
        api.refused(member(members, 0), {"forward": url}, 403)
    one = api.get(FARM)
    assert (one["forward"], one["fallback"]) == (None, None)
    api.patch(FARM, forward="https://app.example:8443/x", fallback="redirect:http://10.1.2.3/")
    # By default nowhere; the farm's own configuration needs no leave.
    closed = start(httpd, members, settings="fallback=http://127.0.0.1:9/")
    closed.expect(r"ATH0254")
    api = Api(closed)
    api.refused(FARM, {"forward": "http://10.1.2.3/"}, 403)
    assert api.get(FARM)["fallback"] == "http://127.0.0.1:9/"


# What is behind the last @ before the first / is the host, to httpd.
TWO_HOSTS = ("?@", "#@", "?a@", "?x=1@", "?:p@", "@", "\\@", ";x@", "/?@", "/#@")


def test_nobody_is_sent_to_another_host(httpd, backends):
    """Wherever a URL is accepted, requests go to the host that is allowed, or fail."""
    members, strangers = backends(3), backends(1)
    server = start(httpd, members, conf=f"AthMemberAllow {members.urls[1]}\n")
    server.expect("ATH0254|ATH0112")
    api = Api(server)
    api.patch(FARM, on=False)
    for between in TWO_HOSTS:
        url = f"{members.urls[1]}{between}127.0.0.1:{strangers.ports[0]}/"
        wanted = [200] if between == "/?@" else [403, 422]
        for path, key in ((FARM, "fallback"), (FARM, "forward"), (member(members, 0), "forward")):
            assert api.ask("PATCH", path, {key: url}).status in wanted, (key, url)
            fetch(server.port, "/farm/x")
            api.patch(path, **{key: None})
        line = f'n=farm_one,W="{url}"\n'.encode()
        answer = fetch(server.port, "/athena/update/farm/", method="POST", body=line)
        assert (answer.status == 200) == (between == "/?@"), (url, answer)
        if between[0] in "?#":
            said = api.refused(f"{FARM}/members", {"url": url}, 422, method="POST")
            assert said == "url: must have a / before any ? or #"
    assert strangers.requests() == [0]


@pytest.mark.parametrize("restart", ["graceful", "full"])
def test_targets_that_are_no_longer_allowed_are_given_up(httpd, backends, restart):
    members = backends(3)
    conf = served(members.urls, settings="fallback=http://127.0.0.1:9/own")
    server = start(httpd, members, settings="fallback=http://127.0.0.1:9/own",
                   conf="AthMemberAllow www.example app.example\n")
    server.expect("ATH0431")
    api = Api(server)
    api.patch(FARM, forward="http://www.example/", fallback="redirect:http://www.example/x")
    api.patch(member(members, 0), forward="http://www.example/y")
    api.patch(member(members, 1), forward="http://app.example/")
    server.conf = conf + "AthMemberAllow app.example\n"
    server.graceful(alone=True) if restart == "graceful" else server.restart()
    one = api.get(FARM)
    assert (one["forward"], one["fallback"]) == (None, "http://127.0.0.1:9/own")
    assert Engine(server).column("forward") == [None, "http://app.example/", None]
    told = [line.split("ATH0431: ")[1] for line in server.lines("ATH0431")]
    reason = "AthMemberAllow does not name this host"
    given = "was set to at run time is given up"
    assert told == [
        f"farm farm_one: what forward {given}: forward=http://www.example/: http://www.example/: {reason}",
        f"farm farm_one: what fallback {given}: fallback=redirect:http://www.example/x: "
        f"http://www.example/x: {reason}",
        f"farm farm_one: member 127.0.0.1:{members.ports[0]}: what forward {given}: "
        f"forward=http://www.example/y: http://www.example/y: {reason}",
    ]
    # Nobody is told twice.
    server.restart()
    assert len(server.lines("ATH0431")) == 3


def test_allowed_hosts_are_read(make_httpd, backends):
    conf = farm(backends(1).urls)
    server = make_httpd("event")
    for args in ("10.0.0.0/33", "http://", "host:0", "*.example"):
        said = server.refuses(conf + f"AthMemberAllow {args}\n")
        assert f"AthMemberAllow {args}: must be [SCHEME://]HOST[:PORT]" in said
