"""What members say of themselves comes back as the client has to see it."""

import pytest
from harness.client import fetch
from harness.farms import farm

WWW = "http://www.site.com"
SPELLINGS = ["http", "balancer"]
URL_HEADERS = ["Location", "Content-Location", "URI", "Destination"]


@pytest.fixture(params=["event", "prefork"])
def mpm(request):
    return request.param


@pytest.fixture(params=SPELLINGS)
def spelling(request):
    return request.param


def mount(path, url):
    return f'ProxyPass "{path}" "{url}"\nProxyPassReverse "{path}" "{url}"\n'


def says(server, members, path, name, value, *, host="www.site.com", status=200):
    """The header as the client gets it when every member says `value`."""
    for n in range(members.count):
        members.behave(n, status=status, headers=[[name, value]])
    answer = fetch(server.port, path, headers={"Host": host})
    assert answer.status == status
    return answer.header(name)


# Request, what a member says, what the client sees. {0} and {1} are the members of farm_one, {2}
# and {3} of based (with a base path each), {4} is no member.
MAPPED = [
    ("/a/1", "{0}/x/next?p=http://h/#f", WWW + "/a/next?p=http://h/#f"),
    ("/a/1", "{1}/x/", WWW + "/a/"),
    ("/a/1", "{0}/X/next", "{0}/X/next"),
    ("/a/1", "{0}/x", "{0}/x"),
    ("/a/1", "{0}/other", "{0}/other"),
    ("/a/1", "{0}1/x/", "{0}1/x/"),
    ("/a/1", "{4}/x/", "{4}/x/"),
    ("/a/1", "/x/next", "/x/next"),
    ("/a/1", WWW + "/x/next", WWW + "/x/next"),
    ("/a/1", "https:{0:/}/x/next", WWW + "/a/next"),
    ("/a/1", "{0:/}/x/next", WWW + "/a/next"),
    ("/a/1", "https://127.0.0.1/x/next", "https://127.0.0.1/x/next"),
    # Two mounts of one farm: the one that the request came by.
    ("/b/1", "{0}/x/next", WWW + "/b/next"),
    ("/b/1", "{1}/x/next", WWW + "/b/next"),
    ("/b/deep/1", "{0}/x/next", WWW + "/b/deep/next"),
    # In <Location>.
    ("/loc/1", "{0}/l/next", WWW + "/loc/next"),
    ("/noslash/1", "{0}/n/next", WWW + "/noslash/next"),
    ("/noslash/1", "{0}/nnext", "{0}/nnext"),
    # Base paths, and another farm's member.
    ("/c/1", "{2}/base/next", WWW + "/c/next"),
    ("/c/1", "{3}/other/base/next", WWW + "/c/next"),
    ("/c/1", "{3}/other/base", WWW + "/c/"),
    ("/c/1", "{2}/next", "{2}/next"),
    ("/a/1", "{2}/base/next", WWW + "/c/next"),
    # A public URL.
    ("/away/1", "{0}/w/next", "https://cdn.site.com/w/next"),
    # Lines for single members, and paths: mod_proxy's own work.
    ("/single/1", "{0}/s/next", WWW + "/single/next"),
    ("/single/1", "{1}/s/next", "{1}/s/next"),
    ("/single/1", "/p/next", WWW + "/path/next"),
]


class Url(str):
    """A member's URL; `{:/}` leaves its scheme out."""

    def __format__(self, spec):
        return self.removeprefix("http:") if spec == "/" else str(self)


def configured(urls, spelling):
    one, based = f"{spelling}://farm_one", f"{spelling}://based"
    return (
        farm(urls[:2]) + farm([urls[2] + "/base", urls[3] + "/other/base/"], name="based")
        + mount("/a/", f"{one}/x/") + mount("/b/deep/", f"{one}/x/") + mount("/b/", f"{one}/x/")
        + mount("/c/", f"{based}/") + f"""
        <Location "/loc/">
          ProxyPass "{one}/l/"
          ProxyPassReverse "{one}/l/"
        </Location>
        ProxyPass "/noslash" "{one}/n"
        ProxyPassReverse "/noslash" "{one}/n"
        ProxyPass "/away/" "{one}/w/"
        ProxyPassReverse "https://cdn.site.com/w/" "{one}/w/"
        ProxyPass "/single/" "{one}/s/"
        ProxyPassReverse "/single/" "{urls[0]}/s/"
        ProxyPassReverse "/path/" "/p/"
        ProxyPassReverseCookieDomain "farm_one" "www.site.com"
        ProxyPassReverseCookieDomain "app1.site.com" "single.site.com"
        ProxyPassReverseCookiePath "{based}/app" "/c/app"
        ProxyPassReverseCookiePath "/plain" "/stock"
        """)


def test_urls_come_back_under_the_right_mount(httpd, backends, mpm, spelling):
    members = backends(5)
    urls = members.urls
    server = httpd(mpm, conf=configured(urls[:4], spelling))
    for path, said, expected in MAPPED:
        said, expected = (text.format(*map(Url, urls)) for text in (said, expected))
        seen = says(server, members, path, "Location", said, status=302)
        assert seen == expected, (path, said)


def test_every_header_that_holds_urls(httpd, backends, mpm, spelling):
    members = backends(4)
    zero, two = members.urls[0], members.urls[2]
    server = httpd(mpm, conf=configured(members.urls, spelling))
    table = [(name, f"{zero}/x/next", f"{WWW}/b/next") for name in URL_HEADERS] + [
        ("Refresh", f"5; url={zero}/x/next", f"5; url={WWW}/b/next"),
        ("Refresh", f"0;URL='{zero}/x/'", f"0;URL='{WWW}/b/'"),
        ("Refresh", "5", "5"),
        ("Refresh", "5; url=http://other/x/", "5; url=http://other/x/"),
        ("Link", f'<{zero}/x/2>; rel="next", </x/3>, <{two}/base/>;title="<{zero}/x/>"',
         f'<{WWW}/b/2>; rel="next", </x/3>, <{WWW}/c/>;title="<{zero}/x/>"'),
        ("X-Location", f"{zero}/x/next", f"{zero}/x/next"),
    ]
    for name, said, expected in table:
        assert says(server, members, "/b/1", name, said) == expected, name


def test_a_cookies_domain_and_path(httpd, backends, mpm, spelling):
    members = backends(4)
    server = httpd(mpm, conf=configured(members.urls, spelling))
    table = [
        ("/a/1", "s=1; Domain=127.0.0.1; Path=/x", "s=1; Domain=www.site.com; Path=/x"),
        ("/a/1", "s=1;domain=.127.0.0.1;Secure", "s=1;domain=www.site.com;Secure"),
        ("/a/1", "s=1; Domain=site.com", "s=1; Domain=site.com"),
        ("/a/1", "s=1; Domain=app1.site.com; Path=/plain/x",
         "s=1; Domain=single.site.com; Path=/stock"),
        ("/a/1", "domain=127.0.0.1", "domain=127.0.0.1"),
        ("/c/1", "s=1; Path=/base/app/x; HttpOnly", "s=1; Path=/c/app; HttpOnly"),
        ("/c/1", "s=1; Path=/other/base/app", "s=1; Path=/c/app"),
        ("/c/1", "s=1; Path=/app", "s=1; Path=/app"),
        ("/c/1", "s=1; Path=/base/apple", "s=1; Path=/base/apple"),
    ]
    for path, said, expected in table:
        assert says(server, members, path, "Set-Cookie", said) == expected, said


def test_cookies_keep_their_number_and_order(httpd, backends):
    members = backends(4)
    server = httpd("event", conf=configured(members.urls, "http"))
    cookies = ["a=1; Domain=127.0.0.1", "b=2", "c=3; Domain=127.0.0.1"]
    for n in range(4):
        members.behave(n, headers=[["Set-Cookie", cookie] for cookie in cookies])
    answer = fetch(server.port, "/a/1")
    assert [value for name, value in answer.headers if name == "Set-Cookie"] == [
        "a=1; Domain=www.site.com", "b=2", "c=3; Domain=www.site.com"]


def test_default_ports_and_other_schemes(httpd, backends, mpm, spelling):
    # The hosts of unix sockets have their scheme's default port.
    members = backends(2, unix=True)
    server = httpd(mpm, conf=farm(members.urls) + mount("/u/", f"{spelling}://farm_one/x/")
                   + 'ProxyPassReverseCookieDomain "farm_one" "www.site.com"')
    for n in range(2):
        for origin in (f"http://member-{n}", f"http://member-{n}:80", f"https://member-{n}",
                       f"https://member-{n}:443", f"//member-{n}", f"HTTP://Member-{n}"):
            seen = says(server, members, "/u/1", "Location", f"{origin}/x/next", status=302)
            assert seen == WWW + "/u/next", origin
        for origin in (f"http://member-{n}:443", f"https://member-{n}:81", f"http://member-{n}.x",
                       f"http://user@member-{n}", f"http://member-{n}0"):
            said = f"{origin}/x/next"
            assert says(server, members, "/u/1", "Location", said, status=302) == said
        cookie = says(server, members, "/u/1", "Set-Cookie", f"a=b; Domain=MEMBER-{n}")
        assert cookie == "a=b; Domain=www.site.com"


def test_virtual_hosts_have_their_own_lines(httpd, backends, mpm, spelling):
    members = backends(3)
    urls = members.urls
    server = httpd(mpm, conf=farm(urls[:2]) + mount("/main/", f"{spelling}://farm_one/") + f"""
        <VirtualHost *:${{ATH_PORT}}>
          ServerName www.site.com
          {mount("/inherited/", f"{spelling}://farm_one/x/")}
          {farm(urls[2:], name="farm_two")}
          {mount("/own/", f"{spelling}://farm_two/")}
        </VirtualHost>
        <VirtualHost *:${{ATH_PORT}}>
          ServerName other.site.com
          {mount("/o/", f"{spelling}://farm_one/x/")}
        </VirtualHost>
    """)
    for host, path, said, expected in [
        ("www.site.com", "/inherited/", f"{urls[0]}/x/n", "http://www.site.com/inherited/n"),
        ("www.site.com", "/own/", f"{urls[2]}/n", "http://www.site.com/own/n"),
        ("other.site.com", "/o/", f"{urls[1]}/x/n", "http://other.site.com/o/n"),
        ("other.site.com", "/o/", f"{urls[2]}/n", f"{urls[2]}/n"),
    ]:
        seen = says(server, members, path, "Location", said, host=host, status=302)
        assert seen == expected, (host, path, said)


def test_variables_in_lines(make_httpd, backends, mpm, spelling):
    members = backends(2)
    server = make_httpd(mpm, modules=["setenvif"], conf=farm(members.urls) + f"""
        SetEnvIf X-App "^([a-z]+)$" APP=$1
        ProxyPassInterpolateEnv On
        ProxyPass "/i/" "{spelling}://farm_one/"
        ProxyPassReverse "/i/${{APP}}/" "{spelling}://farm_one/${{APP}}/" interpolate
        ProxyPassReverseCookieDomain "farm_one" "${{APP}}.site.com" interpolate
    """)
    server.expect("AH00111")
    server.start()
    for app in ("shop", "mail"):
        for n in range(2):
            members.behave(n, status=302, headers=[
                ["Location", f"{members.urls[0]}/{app}/n"],
                ["Set-Cookie", "a=b; Domain=127.0.0.1"]])
        answer = fetch(server.port, "/i/x", headers={"Host": "www.site.com", "X-App": app})
        assert answer.header("Location") == f"{WWW}/i/{app}/n"
        assert answer.header("Set-Cookie") == f"a=b; Domain={app}.site.com"


def test_an_answer_without_a_body_and_one_that_took_two_members(httpd, backends, mpm):
    members = backends(2)
    server = httpd(mpm, conf=farm(members.urls, settings="retryon=503 retrybudget=100")
                   + mount("/a/", "http://farm_one/x/"))
    location = ["Location", f"{members.urls[1]}/x/n"]
    members.behave(0, status=503, headers=[["Location", f"{members.urls[0]}/x/wrong"]])
    members.behave(1, status=201, headers=[location])
    for _ in range(4):
        answer = fetch(server.port, "/a/1", headers={"Host": "www.site.com"})
        assert (answer.status, answer.header("Location")) == (201, WWW + "/a/n")
    members.behave(0, status=304, headers=[location])
    members.behave(1, status=304, headers=[location])
    for method in ("HEAD", "GET"):
        answer = fetch(server.port, "/a/1", method=method, headers={"Host": "www.site.com"})
        assert (answer.status, answer.header("Location")) == (304, WWW + "/a/n")


def test_other_requests_keep_stock_mapping(httpd, backends, mpm):
    members = backends(2)
    # Not a farm's request, but its back end sends the client to one.
    conf = (farm(members.urls[:1]) + mount("/farm/", "balancer://farm_one/x/")
            + f'ProxyPass "/old/" "{members.urls[1]}/"')
    for engine in ("on", "off"):
        server = httpd(mpm, engine=engine, conf=conf)
        for path in ("/farm/1", "/old/1"):
            seen = says(server, members, path, "Location", f"{members.urls[0]}/x/n", status=302)
            assert seen == WWW + "/farm/n", (engine, path)


def test_hostile_values_go_through(httpd, backends, mpm, spelling):
    members = backends(4)
    server = httpd(mpm, conf=configured(members.urls, spelling))
    values = ["", "http://", "http://[", "//", "<", "5;url='", ";;=;domain=;path=", "é%zz",
              ",,<<>", "http://127.0.0.1:99999999/x/", f"{members.urls[0]}@evil/x/", "x" * 7000]
    for name in (*URL_HEADERS, "Refresh", "Link", "Set-Cookie"):
        for value in values:
            seen = says(server, members, "/a/1", name, value)
            assert (seen or "").encode("latin-1") == value.encode(), (name, value)


def test_the_log_explains(make_httpd, backends):
    members = backends(1)
    server = make_httpd("event", conf="LogLevel athena:debug\n" + farm(members.urls)
                        + mount("/a/", "http://farm_one/")).start()
    said = f"{members.urls[0]}/n"
    assert says(server, members, "/a/1", "Location", said, status=302) == WWW + "/a/n"
    assert server.lines(f"ATH0160: Location: {said} becomes {WWW}/a/n")
