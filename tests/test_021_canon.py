"""The target that a member receives equals, byte for byte, that of a direct ProxyPass."""

import pytest
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm
from harness.httpd import CONNECT_FAILED
from harness.waiting import free_port

TARGETS = [
    b"plain", b"a%20b", b"a%25b", b"a%2520b", b"a%3Bb", b"a;b", b"a;jsessionid=1.r?x", b"%C3%A9",
    b"%c3%a9", b"\xc3\xa9", b"~%7E", b"!$&'()*+,;=:@", b"a%2Bb+c", b"a%2Fb", b"a//b", b"a/./b/../c",
    b"%5Bx%5D", b"%22%3C%3E", b"%23", b"a%3Fb?c", b"dir/", b"", b"?", b"?a=b%20c&d=%2F+e",
    b"?u=http://x/?y", b"?%C3%A9=\xc3\xa9", b"?a%20b;c", b"a%20b?c%20d", b"??", b"a?b#",
]

MODES = {"plain": "", "nocanon": "nocanon", "encoded": "mapping=encoded"}


def conf(direct, members, dead):
    lines = [farm(members), farm([dead, *members], name="farm_retry",
                                 settings="lbmethod=roundrobin", each="retry=0"),
             "AllowEncodedSlashes NoDecode", "RewriteEngine On"]
    for mode, option in MODES.items():
        for road, target in (("direct", direct), ("name", "http://farm_one"),
                             ("balancer", "balancer://farm_one"), ("retry", "http://farm_retry"),
                             ("retrybal", "balancer://farm_retry")):
            lines.append(f'ProxyPass "/{road}-{mode}/" "{target}/x/" {option}')
    for road, target in (("direct", direct), ("name", "http://farm_one"),
                         ("balancer", "balancer://farm_one")):
        lines.append(f'ProxyPassMatch "^/{road}-match/(.*)$" "{target}/x/$1"')
        lines.append(f'RewriteRule "^/{road}-rewrite/(.*)" "{target}/x/$1" [P]')
    return "\n".join(lines)


@pytest.fixture
def ask(httpd, backends, balancer):
    members = backends(1)
    dead = f"http://127.0.0.1:{free_port()}"
    server = httpd("event", balancer=balancer, modules=["rewrite"],
                   conf=conf(members.urls[0], members.urls, dead))

    with Client(server.port, reconnect=True) as client:
        def ask(road, mode, target):
            answer = client.get(f"/{road}-{mode}/".encode() + target)
            return answer.status, answer.header("X-Target")

        ask.server = server
        yield ask


def test_both_spellings_equal_a_direct_pass(ask):
    ask.server.expect(r"\[client")
    differing = []
    for mode in [*MODES, "match", "rewrite"]:
        for target in TARGETS:
            direct = ask("direct", mode, target)
            for road in ("name", "balancer"):
                if (got := ask(road, mode, target)) != direct:
                    differing.append((road, mode, target, got, direct))
    assert not differing


@pytest.mark.parametrize(("slash", "base"), [("", "/j"), ("/", "/j/")])
def test_a_members_path_equals_that_of_a_direct_pass(httpd, backends, balancer, slash, base):
    members = backends(1)
    url = members.urls[0] + base
    server = httpd("event", balancer=balancer, conf=farm([url]) + "".join(
        f'ProxyPass "/{road}{slash}" "{target}"\n' for road, target in (
            ("direct", url), ("name", f"http://farm_one{slash}"),
            ("balancer", f"balancer://farm_one{slash}"))))
    for rest in ("", "x", "?y", "x?y") if slash else ("", "/", "/x", "?y"):
        asked = [fetch(server.port, f"/{road}{slash}{rest}").header("X-Target")
                 for road in ("direct", "name", "balancer")]
        assert asked == asked[:1] * 3 and asked[0].startswith("/j"), (rest, asked)


@pytest.mark.parametrize("rules", ["", "Require all granted"], ids=["no rules", "rules"])
@pytest.mark.parametrize("line", ["DirectoryIndex index.php", "FallbackResource /index.php"])
def test_a_request_that_mod_dir_takes_over(httpd, backends, balancer, tmp_path, line, rules):
    """It goes on under its subrequest's name, and meets no hook again that could tell a farm."""
    members, root = backends(1), tmp_path / "root"
    root.mkdir()
    for place in [root, *root.parents]:
        if place.owner() == root.owner() and place != place.parent:
            place.chmod(place.stat().st_mode | 0o055)
    server = httpd("event", balancer=balancer, modules=["dir"], conf=farm(members.urls)
                   + f'<Proxy "balancer://farm_one">\n{rules}\n</Proxy>\n'
                   + f'DocumentRoot "{root}"\n<Directory "{root}">\n{line}\n</Directory>\n'
                   + 'ProxyPassMatch "^/(.*[.]php)$" "http://farm_one/$1"\n')
    for path in ("/index.php", "/"):
        answer = fetch(server.port, path)
        assert (answer.status, answer.header("X-Target")) == (200, "/index.php")
    assert Engine(server).column("served") == [2]


def test_also_on_a_retry(ask):
    ask.server.expect(CONNECT_FAILED + r"|\[client")
    differing = []
    for mode in MODES:
        for target in TARGETS:
            direct = ask("direct", mode, target)
            for road in ("retry", "retrybal"):
                # Two in a row: one of them begins with the dead member.
                for got in (ask(road, mode, target), ask(road, mode, target)):
                    if got != direct:
                        differing.append((road, mode, target, got, direct))
    assert not differing
    assert len(ask.server.lines("AH00957")) >= len(TARGETS)


def test_clients_name_no_other_host(httpd, backends, balancer):
    """A target without a slash at its end: what a client sends for ? and # is the member's path."""
    members, strangers = backends(1), backends(1)
    server = httpd("event", balancer=balancer, modules=["rewrite"], conf=farm(members.urls) + """
        ProxyPassMatch "^/match(.*)$" "http://farm_one$1"
        ProxyPass "/pass/" "balancer://farm_one"
        ProxyPass "/host/" "http://farm_one"
        RewriteEngine On
        RewriteRule "^/rule(.*)$" "http://farm_one$1" [P]
    """)
    server.expect(r"AH10410|AH10508|ATH0415")
    stranger = f"@127.0.0.1:{strangers.ports[0]}/x"
    for road in ("/match", "/pass/"):
        for sign in ("%3F", "%23", "%3Fa"):
            answer = fetch(server.port, road + sign + stranger)
            assert answer.header("X-Target") == f"/{sign}{stranger}", (road, sign, answer)
    assert fetch(server.port, f"/rule%23{stranger}").header("X-Target") == f"/%23{stranger}"
    for refused in (f"/rule%3F{stranger}", f"/match{stranger}", f"/match:80{stranger}",
                    f"/host/{stranger}", *(f"{road}{more}{stranger}"
                                           for road in ("/match", "/host/", "/rule")
                                           for more in ("x", "%5c", ";", "[", ".x"))):
        assert fetch(server.port, refused).status == 403, refused
    assert strangers.requests() == [0]
    server.expect("ATH0441")


def test_what_a_request_can_make_another_host_of_is_a_warning(httpd):
    server = httpd("event", modules=["rewrite"], conf=farm(["http://127.0.0.1:9"]) + r"""
        ProxyPass "/odd1/" "http://farm_one"
        ProxyPassMatch "^/odd2(.*)$" "http://FARM_ONE$1"
        <Location "/odd3/">
          ProxyPass "http://farm_one"
        </Location>
        RewriteEngine On
        RewriteRule "^/odd4(.*)$" "http://farm_one$1" [P]
        ProxyPass "/even" "http://farm_one"
        ProxyPass "/even/" "http://farm_one/"
        ProxyPass "/even/" "balancer://farm_one"
        ProxyPassMatch "^/even(/.*)$" "http://farm_one$1"
        ProxyPassMatch "^(/even.*)$" "http://farm_one$1"
        ProxyPass ~ "^(/evenly.*)$" "http://farm_one$1"
        <LocationMatch "^/evenmore(/.*)$">
          ProxyPassMatch "http://farm_one$1"
        </LocationMatch>
        RewriteRule "^(.*/even)$" "http://farm_one$1" [P]
        RewriteRule "^/even(.*)$" "http://farm_one$1" [R]
        ProxyPass "/strange/" "http://127.0.0.1:9"
    """)
    said = server.lines("ATH0441")
    assert len(said) == 4, said
    assert all('write a "/" behind the farm' in line for line in said)
    server.expect("ATH0441")
