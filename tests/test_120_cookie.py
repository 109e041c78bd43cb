"""The signed cookie: who may make one, what it does, and that nothing else does anything."""

import base64
import json
import subprocess
import time

import pytest
from harness import servers
from harness.client import Client, fetch
from harness.engine import Engine
from harness.farms import farm
from harness.httpd import CONNECT_FAILED
from harness.paths import ATHCTL, ROOT, SIGNERS
from harness.waiting import free_port, wait_until

VECTORS = json.loads((ROOT / "docs/cookie-vectors.json").read_text())
SECRET = "0f" * 32
LANGUAGES = ["python", "php", "java", "rust"]


@pytest.fixture
def key_file(directory):
    """Makes a file with a secret: `key_file("name", "secret")`."""
    def make(name="a.key", secret=SECRET, mode=0o600):
        path = directory / name
        path.write_text(secret + "\n")
        path.chmod(mode)
        return path
    return make


@pytest.fixture
def signer(request, directory):
    """A signer of docs/signers as a function of its arguments."""
    language = getattr(request, "param", "rust")
    if language == "java":
        subprocess.run(["javac", "-d", directory, SIGNERS / "Sign.java"], check=True)
    command = {
        "python": ["/usr/bin/python3", SIGNERS / "sign.py"],
        "php": ["php", SIGNERS / "sign.php"],
        "java": ["java", "-Xshare:auto", "-cp", directory, "Sign"],
        "rust": [ATHCTL, "cookie", "sign"],
    }[language]

    def sign(*arguments):
        run = subprocess.run([*map(str, command), *map(str, arguments)], check=True,
                             capture_output=True, text=True)
        return run.stdout.strip()
    return sign


def soon():
    return int(time.time()) + 600


def named(urls, name="farm_one", settings=""):
    """A farm whose members are called m0, m1, … and take turns, whoever stuck to one of them."""
    section = farm(urls, name=name, settings=f"lbmethod=roundrobin {settings}")
    for n, url in enumerate(urls):
        section = section.replace(f'"{url}"', f'"{url}" name=m{n}')
    return section + f'ProxyPass "/{name}/" "http://{name}/"\n'


def ask(httpd, cookie, path="/farm_one/x", times=1, **headers):
    """The members that answered requests with a cookie, which were all served."""
    with Client(httpd.port) as client:
        answers = [client.get(path, Cookie=f"ATHENA={cookie}", **headers) for _ in range(times)]
    assert {answer.status for answer in answers} == {200}, answers
    return [answer.member for answer in answers]


def counts(httpd, name="farm_one"):
    """The farm's count of cookies by what they came to, those that are not 0."""
    cookies = Engine(httpd).farm(name)["cookies"]
    return {word: count for word, count in cookies.items() if count}


# ---- who may make one --------------------------------------------------------------------------

@pytest.mark.parametrize("signer", LANGUAGES, indirect=True)
def test_signers(signer, key_file, backends, httpd):
    """Each signer makes the published cookies, and ones that a real httpd accepts."""
    for vector in VECTORS["signed"]:
        file = key_file(secret=VECTORS["keys"][vector["key"]])
        made = signer(file, vector["key"], vector["expires"], vector["farms"],
                      vector.get("member", ""), vector.get("class", ""))
        assert made == vector["cookie"], vector["name"]
    file = key_file()
    server = httpd("event", conf=f"AthCookieKey k1 file:{file}\n" + named(backends().urls))
    cookie = signer(file, "k1", soon(), "farm_one", "m1")
    assert ask(server, cookie, times=7) == [1] * 7
    assert counts(server) == {"accepted": 7}


# ---- what it does ------------------------------------------------------------------------------

def test_sticks_to_its_member(mpm, balancer, signer, key_file, backends, httpd):
    """As long as the member is usable; the others serve it otherwise."""
    file = key_file()
    members = backends()
    server = httpd(mpm, balancer=balancer,
                   conf=f"AthCookieKey k1 file:{file}\n" + named(members.urls))
    cookie = signer(file, "k1", soon(), "FARM_ONE", "m2")
    assert ask(server, cookie, times=10) == [2] * 10
    assert set(ask(server, signer(file, "k1", soon(), "farm_one"), times=9)) == {0, 1, 2}
    assert set(ask(server, signer(file, "k1", soon(), "farm_one", "m9"), times=9)) == {0, 1, 2}
    assert members.requests() == [6, 6, 16]
    server.conf = server.conf.replace("name=m2", "name=m2 status=+D")
    server.graceful(alone=True)
    assert set(ask(server, cookie, times=6)) == {0, 1}
    server.conf = server.conf.replace("status=+D", "status=+N")
    server.graceful(alone=True)
    assert ask(server, cookie, times=3) == [2] * 3, "a draining member keeps its clients"
    assert counts(server) == {"accepted": 37}


def test_comes_before_the_session(signer, key_file, backends, httpd):
    file = key_file()
    section = named(backends().urls, settings="stickysession=SID")
    for n, route in enumerate("abc"):
        section = section.replace(f"name=m{n}", f"name=m{n} route={route}")
    section = section.replace("name=m1", "name=m1 status=+D")
    server = httpd("event", conf=f"AthCookieKey k1 file:{file}\n{section}")

    def both(member):
        cookie = signer(file, "k1", soon(), "farm_one", member)
        return set(ask(server, f"{cookie}; SID=1.a", times=4))

    assert both("m2") == {2}
    assert both("m1") == {0}, "its member is disabled: the session's serves"
    assert both("m9") == {0}, "no such member: the session's serves"


def test_rotation(signer, key_file, backends, httpd):
    """Any key verifies; one that is taken away does not any more."""
    old, new = key_file("old.key"), key_file("new.key", "ab" * 32)
    lines = [f"AthCookieKey new file:{new}", f"AthCookieKey old file:{old}"]
    server = httpd("event", conf="\n".join(lines) + "\n" + named(backends().urls))
    by_old, by_new = (signer(file, key, soon(), "farm_one", "m1")
                      for key, file in [("old", old), ("new", new)])
    assert ask(server, by_old, times=4) + ask(server, by_new, times=4) == [1] * 8
    server.conf = server.conf.replace(lines[1], "")
    server.graceful(alone=True)
    assert ask(server, by_new, times=4) == [1] * 4
    assert set(ask(server, by_old, times=6)) == {0, 1, 2}
    assert counts(server) == {"accepted": 12, "forged": 6}


def test_virtual_hosts(signer, key_file, backends, httpd):
    """A host's own keys and name take the place of the main server's."""
    main, own = key_file("main.key"), key_file("own.key", "cd" * 32)
    server = httpd("event", conf=f"""AthCookieKey k1 file:{main}
{named(backends().urls)}
<VirtualHost *:*>
  ServerName other.example
  AthCookieName MINE
  AthCookieKey k1 file:{own}
  ProxyPass /farm_one/ http://farm_one/
</VirtualHost>
<VirtualHost *:*>
  ServerName like.example
  ProxyPass /farm_one/ http://farm_one/
</VirtualHost>""")
    by_main, by_own = (signer(file, "k1", soon(), "farm_one", "m1") for file in (main, own))

    def members(host, cookies):
        answers = [fetch(server.port, "/farm_one/x", headers={"Host": host, "Cookie": cookies})
                   for _ in range(6)]
        return {answer.member for answer in answers}

    assert members("like.example", f"ATHENA={by_main}") == {1}
    assert members("other.example", f"MINE={by_own}") == {1}
    assert counts(server) == {"accepted": 12}
    assert members("other.example", f"ATHENA={by_own}") == {0, 1, 2}
    assert counts(server) == {"accepted": 12}
    assert members("other.example", f"MINE={by_main}") == {0, 1, 2}
    assert counts(server) == {"accepted": 12, "forged": 6}


def farms(key_file, backends):
    """The key, the back ends of two farms, and their configuration."""
    file, one, two = key_file(), backends(), backends(2)
    conf = f"AthCookieKey k1 file:{file}\n" + named(one.urls) + named(two.urls, "farm_two")
    return file, one, two, conf


def test_prefers_farms_in_order(mpm, balancer, signer, key_file, backends, httpd):
    """The first of its farms that this server knows and that has something usable."""
    file, one, two, conf = farms(key_file, backends)
    server = httpd(mpm, balancer=balancer, conf=conf)
    prefer_two = signer(file, "k1", soon(), "farm_two,farm_one", "m1")
    answer = fetch(server.port, "/farm_one/a%20b?q=1", headers={"Cookie": f"ATHENA={prefer_two}"})
    assert answer.header("X-Target") == "/a%20b?q=1"
    assert ask(server, prefer_two, times=5) == [1] * 5
    assert (one.requests(), two.requests()) == ([0, 0, 0], [0, 6])
    ask(server, signer(file, "k1", soon(), "farm_one,farm_two"), times=3)
    ask(server, signer(file, "k1", soon(), "nowhere,Farm_Two,farm_one"), times=4)
    assert (one.requests(), two.requests()) == ([1, 1, 1], [2, 8])
    server.conf = conf.replace("name=m0", "name=m0 status=+D").replace(
        "name=m1", "name=m1 status=+D")
    server.graceful(alone=True)
    ask(server, prefer_two, "/farm_two/x", times=4)
    assert (sum(one.requests()), two.requests()) == (7, [2, 8])
    assert counts(server) == {"accepted": 13} and counts(server, "farm_two") == {"accepted": 4}
    Engine(server).wait_idle(farm="farm_two")


def test_the_request_that_finds_its_farm_down(signer, key_file, backends, httpd):
    """Goes on at the next one; and the first is probed again."""
    file, one, two, conf = farms(key_file, backends)
    down = named([f"http://127.0.0.1:{free_port()}"], "down")
    server = httpd("event", conf=conf + down.replace("name=m0", "name=m0 retry=1"))
    server.expect(CONNECT_FAILED)
    cookie = signer(file, "k1", soon(), "down,farm_two,farm_one")
    ask(server, cookie, times=4)
    assert (one.requests(), sum(two.requests())) == ([0, 0, 0], 4)
    failed = Engine(server).members("down")[0]["failed"]
    wait_until(lambda: ask(server, cookie) and Engine(server).members("down")[0]["failed"] > failed,
               what="a probe of the farm that is down")


def test_class(signer, key_file, backends, httpd):
    """A place that is kept for a class is for requests whose cookie names it."""
    file = key_file()
    section = named(backends(1).urls).replace("name=m0", "name=m0 maxconn=2")
    server = httpd("event", modules=["setenvif"], conf=f"""AthCookieKey k1 file:{file}
AthQos gold priority=1 reserve=50
AthQos bronze priority=2
SetEnvIf X-Demoted . ATH_CLASS=bronze
{section}""")
    server.expect("ATH0112")

    def status(member_class, **headers):
        headers["Cookie"] = "ATHENA=" + signer(file, "k1", soon(), "farm_one", "", member_class)
        return fetch(server.port, "/farm_one/x", headers=headers).status

    with Client(server.port) as client:
        client.send(b"GET /farm_one/x?delay=3000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        wait_until(lambda: Engine(server).in_flight() == 1)
        assert [status(name) for name in ("gold", "bronze", "silver", "")] == [200, 503, 503, 503]
        assert status("gold", **{"X-Demoted": "1"}) == 503, "the administrator's word holds"
        assert client.answer().status == 200
    assert [status(name) for name in ("gold", "bronze")] == [200, 200]


def test_sections_of_the_farm_it_prefers(signer, key_file, backends, httpd):
    """A cookie opens no farm that is closed to the client."""
    file, one, two, conf = farms(key_file, backends)
    server = httpd("event", conf=conf
                   + '<Proxy "balancer://farm_two">\nRequire all denied\n</Proxy>')
    server.expect("AH01630")
    cookie = signer(file, "k1", soon(), "farm_two,farm_one")
    answer = fetch(server.port, "/farm_one/x", headers={"Cookie": f"ATHENA={cookie}"})
    assert answer.status == 403
    assert (sum(one.requests()), sum(two.requests())) == (0, 0)


def test_farms_that_a_host_cannot_reach(signer, key_file, backends, httpd):
    file, one, two, conf = farms(key_file, backends)
    server = httpd("event", conf=f"""AthCookieKey k1 file:{file}
{named(one.urls)}
<VirtualHost *:*>
  ServerName other.example
  {named(two.urls, "farm_two")}
</VirtualHost>
<VirtualHost *:*>
  ServerName localhost
  ProxyPass /farm_one/ http://farm_one/
</VirtualHost>""")
    assert len(ask(server, signer(file, "k1", soon(), "farm_two,farm_one"), times=6)) == 6
    assert (one.requests(), sum(two.requests())) == ([2, 2, 2], 0)


# ---- that nothing else does anything -----------------------------------------------------------

def test_every_flipped_bit(signer, key_file, backends, httpd):
    """Refused, counted, served like a request without a cookie, and never spoken of."""
    file = key_file()
    members = backends()
    server = httpd("event", conf=f"AthCookieKey k1 file:{file}\n"
                   + named(members.urls))
    cookie = signer(file, "k1", soon(), "farm_one", "m1").encode()
    sent = 0
    with Client(server.port) as client:
        for bit in range(len(cookie) * 8):
            flipped = bytearray(cookie)
            flipped[bit // 8] ^= 1 << bit % 8
            if not 0x20 < flipped[bit // 8] != 0x7f:
                continue  # httpd itself answers 400.
            answer = client.get("/farm_one/x", Cookie=b"ATHENA=" + bytes(flipped))
            assert answer.status == 200
            sent += 1
    assert sent > 700
    counted = counts(server)
    assert set(counted) == {"forged", "malformed"} and sum(counted.values()) == sent
    assert sorted(members.requests()) == sorted((sent + n) // 3 for n in range(3))
    assert not server.lines("ATH03")


REFUSED = {
    "expired": ["k1", 1000000000, "farm_one", "m1"],
    "foreign": ["k1", soon(), "farm_two", "m1"],
    "forged": ["k2", soon(), "farm_one", "m1"],
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what, signer, key_file, backends, httpd):
    file = key_file()
    server = httpd("event", conf=f"LogLevel athena:debug\nAthCookieKey k1 file:{file}\n"
                   + named(backends().urls))
    assert set(ask(server, signer(file, *REFUSED[what]), times=6)) == {0, 1, 2}
    assert counts(server) == {what: 6}
    assert len(server.lines("ATH0320: farm farm_one: cookie ATHENA: ")) == 6


def test_another_secret_under_the_same_name(signer, key_file, backends, httpd):
    server = httpd("event", conf=f"AthCookieKey k1 file:{key_file()}\n" + named(backends().urls))
    other = key_file("other.key", "ee" * 32)
    assert set(ask(server, signer(other, "k1", soon(), "farm_one", "m1"), times=6)) == {0, 1, 2}
    assert counts(server) == {"forged": 6}


def test_replay_on_another_farm(signer, key_file, backends, httpd):
    """A cookie has no say in farms that it does not name."""
    file = key_file()
    server = httpd("event", conf=f"AthCookieKey k1 file:{file}\n" + named(backends().urls)
                   + named(backends().urls, "farm_two"))
    cookie = signer(file, "k1", soon(), "farm_one", "m1")
    assert ask(server, cookie, times=3) == [1] * 3
    assert set(ask(server, cookie, "/farm_two/x", times=6)) == {0, 1, 2}
    assert counts(server) == {"accepted": 3} and counts(server, "farm_two") == {"foreign": 6}


def test_garbage(signer, key_file, backends, httpd):
    """Whatever the bytes: served; and a key is needed for anything to be looked at."""
    garbage = ["x", "v1", "v1.k1", "v1.k1..", "v1.k1.AAAA.AAAA", "w1.", "w1.k1.", "w1.k1.AAAA",
               "v1." + "A" * 6000, "w1.k1." + "A" * 6000, '"', "=", "\xff" * 50, "." * 2000]
    file = key_file()
    server = httpd("event", conf=f"AthCookieKey k1 file:{file}\n" + named(backends().urls))
    for value in garbage:
        ask(server, value)
    assert counts(server) == {"malformed": len(garbage)}
    server = httpd("event", conf=named(backends().urls))
    ask(server, signer(file, "k1", soon(), "farm_one", "m1"), times=3)
    assert counts(server) == {}


# ---- kept from clients -------------------------------------------------------------------------

def echoed(answer):
    """The cookies that the back end saw."""
    headers = json.loads(answer.body)["headers"]
    return [value for name, value in headers if name.lower() == "cookie"]


@pytest.mark.parametrize("mode", ["pass", "wrap"])
def test_modes(mode, signer, key_file, backends, httpd):
    file = key_file()
    members = backends()
    server = httpd("event", conf=f"AthCookieKey k1 file:{file}\nAthCookieMode {mode}\n"
                   + named(members.urls))
    own = signer(file, "k1", soon(), "farm_one", "m1")
    for n in range(3):
        members.behave(n, headers=[["Set-Cookie", f"ATHENA={own}; Path=/; HttpOnly"],
                                   ["Set-Cookie", "OTHER=1"]])
    told = [value for name, value in fetch(server.port, "/farm_one/x").headers
            if name == "Set-Cookie"]
    ours, attributes = told[0].removeprefix("ATHENA=").split("; ", 1)
    assert (attributes, told[1]) == ("Path=/; HttpOnly", "OTHER=1")
    if mode == "pass":
        assert ours == own
    else:
        assert ours.startswith("w1.k1.") and own not in ours
        sealed = base64.urlsafe_b64decode(ours.split(".")[2] + "==")
        assert b"farm_one" not in sealed and b"expires" not in sealed
        again = fetch(server.port, "/farm_one/x").header("Set-Cookie")
        assert not again.startswith(f"ATHENA={ours}"), "no two handles are alike"
    with Client(server.port) as client:
        answers = [client.get("/farm_one/echo", Cookie=f"a=1; ATHENA={ours}; b=2")
                   for _ in range(5)]
    assert {answer.member for answer in answers} == {1}
    assert {tuple(echoed(answer)) for answer in answers} == {(f"a=1; ATHENA={own}; b=2",)}
    assert counts(server) == {"accepted": 5}


def test_wrap_is_for_whatever_the_back_end_sets(signer, key_file, backends, httpd):
    """What is not signed comes back to the back end too, and steers nothing."""
    file = key_file()
    members = backends(1)
    server = httpd("event", conf=f"LogLevel athena:debug\nAthCookieKey k1 file:{file}\n"
                   "AthCookieMode wrap\n" + named(members.urls))

    def told(value):
        members.behave(0, headers=[["Set-Cookie", value]])
        return fetch(server.port, "/farm_one/x").header("Set-Cookie")

    assert told("ATHENA=; Max-Age=0") == "ATHENA=; Max-Age=0"
    assert told("ATHENAS=1; Path=/") == "ATHENAS=1; Path=/"
    assert told(f"ATHENA={'x' * 3000}; Path=/") == "ATHENA=; Path=/"
    assert len(server.lines("ATH0321")) == 1
    handle = told("ATHENA=plain").removeprefix("ATHENA=")
    assert handle.startswith("w1.k1.")
    answer = fetch(server.port, "/farm_one/echo", headers={"Cookie": f"ATHENA={handle}"})
    assert echoed(answer) == ["ATHENA=plain"]
    # An expired one is shown to its back end, which may want to renew it.
    own = signer(file, "k1", 1000000000, "farm_one")
    handle = told(f"ATHENA={own}").removeprefix("ATHENA=")
    answer = fetch(server.port, "/farm_one/echo", headers={"Cookie": f"ATHENA={handle}"})
    assert echoed(answer) == [f"ATHENA={own}"]
    # A forged handle is left as it came.
    forged = handle[:-1] + ("A" if handle[-1] != "A" else "Q")
    answer = fetch(server.port, "/farm_one/echo", headers={"Cookie": f"ATHENA={forged}"})
    assert answer.status == 200 and echoed(answer) == [f"ATHENA={forged}"]
    counted = counts(server)
    assert counted.pop("forged", 0) + counted.pop("malformed", 0) == 2
    assert counted == {"expired": 1}


def test_wrap_over_fastcgi(directory, key_file, httpd):
    """PHP's own session cookie, which stands among other headers there."""
    php = servers.php_fpm(directory, "a")
    server = httpd("event", modules=["proxy_fcgi"], conf=f"""
        AthCookieKey k1 file:{key_file()}
        AthCookieMode wrap
        AthCookieName PHPSESSID
        {farm([php.fcgi])}
        ProxyPass /app/ http://farm_one/""")
    try:
        first = fetch(server.port, "/app/count.php")
        cookie = first.header("Set-Cookie").split(";")[0]
        assert cookie.startswith("PHPSESSID=w1.k1.") and first.body.split() == [b"a", b"1"]
        again = fetch(server.port, "/app/count.php", headers={"Cookie": cookie})
        assert again.body.split() == [b"a", b"2"]
    finally:
        php.stop()


# ---- configurations that are refused -----------------------------------------------------------

def test_bad_lines(key_file, directory, make_httpd):
    server = make_httpd("event")
    good, short = key_file(), key_file("short.key", "abc")
    open_to_all = key_file("open.key", mode=0o644)
    for line, said in [
        ("AthCookieKey k1", "AthCookieKey: takes two arguments, ID file:PATH, not 1"),
        ("AthCookieKey k1 sesame", "AthCookieKey k1: the key must stand in a file of its own"),
        (f"AthCookieKey k1 file:{directory}/none", "none: cannot be read: No such file"),
        (f"AthCookieKey k1 file:{directory}", "must be a regular file"),
        (f"AthCookieKey k1 file:{open_to_all}", "has mode 0644: nobody but its owner and group"),
        (f"AthCookieKey k1 file:{short}", "must hold 32 to 1024 bytes without the line's end, "
                                          "not 3"),
        (f"AthCookieKey k.1 file:{good}", "the key's ID must be 1 to 32 letters, digits"),
        (f"AthCookieKey k1 file:{good}\nAthCookieKey k1 file:{good}", "this ID is taken"),
        ("AthCookieName", "AthCookieName : takes one argument"),
        ("AthCookieName a=b", "AthCookieName a=b: must be a cookie's name"),
        ("AthCookieMode seal", "AthCookieMode seal: must be pass or wrap"),
    ]:
        refused = server.refuses(line)
        assert said in refused, (line, refused)
        assert "sesame" not in refused
