"""athctl against a real engine."""

import json
import os
import subprocess

import pytest
from harness.api import Api
from harness.client import fetch
from harness.engine import FARMS, Engine
from harness.farms import farm, served
from harness.load import ab
from harness.paths import ATHCTL, ROOT
from harness.waiting import free_port

DEAD = "http://127.0.0.1:9"


def athctl(server, *arguments, code=0):
    """What it prints, once it has left with that code."""
    port = server if isinstance(server, int) else server.port
    command = [ATHCTL, "--url", f"http://127.0.0.1:{port}/athena", *arguments]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True,
                          timeout=60)
    assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
    return done.stdout if code in (0, 1, 2) and done.stdout else done.stderr or done.stdout


def columns(table):
    return [line.split() for line in table.splitlines()]


def without_times(document):
    """Estimates of response times age from one moment to the next."""
    for one in document["farms"]:
        for member in one["members"]:
            member["ttfb_ewma_ms"] = None
    return document


def test_status_tells_what_the_engine_tells(httpd, backends):
    members = backends(2)
    conf = served(members.urls, each="route=a", weights=[2, 1]) + farm([DEAD], name="other")
    server = httpd("event", conf=conf)
    assert ab(server.port, "/farm/x", 30, 4).failed == 0
    Engine(server).wait_idle()
    told, asked = json.loads(athctl(server, "status", "--json")), fetch(server.port, FARMS)
    assert without_times(told) == without_times(json.loads(asked.body))
    said = athctl(server, "status", "farm_one")
    assert said.startswith("farm_one: byrequests, 2 of 2 members usable, 30 requests, 0 refused\n")
    assert "other" not in said
    for port, weight, count in zip(members.ports, ["2", "1"], ["20", "10"], strict=True):
        row = next(row for row in columns(said) if row[0] == f"127.0.0.1:{port}")
        assert row[:7] == [f"127.0.0.1:{port}", "ok", "a", weight, "0", "0", count]
    both = athctl(server, "status")
    assert "farm_one: " in both and "other: " in both


def test_the_board_tells_while_httpd_cannot(httpd, backends):
    """What the engine tells, but for the configured method and how old an estimate is."""
    members = backends(2)
    server = httpd("event", conf=served(members.urls, each="route=a", weights=[2, 1])
                   + farm([DEAD], name="other", each="status=+D"))
    api = Api(server)
    api.patch(f"/farms/farm_one/members/127.0.0.1:{members.ports[1]}", drain=True, route="b")
    assert ab(server.port, "/farm/x", 30, 4).failed == 0
    Engine(server).wait_idle()
    board = ["--board", server.directory / "athena.board"]

    def figures(said):
        rows = [row for row in columns(said) if row and row[0].startswith("127.0.0.1:")]
        assert len(rows) == 3 and "2 members usable, 30 requests, 0 refused" in said, said
        return [row[:9] for row in rows]

    told = figures(athctl(server, "status"))
    assert [row[1:4] for row in told] == [["ok", "a", "2"], ["drain", "b", "1"], ["off", "1", "0"]]
    assert figures(athctl(9, "status", *board)) == told
    assert athctl(9, "status", "other", *board).startswith("other: as configured, 0 of 1 members")
    assert "there is no farm nosuch" in athctl(9, "status", "nosuch", *board, code=1)
    server.stop()
    assert figures(athctl(9, "status", *board)) == told
    other = bytearray((server.directory / "athena.board").read_bytes())
    other[8] += 1
    for content, said in [(other, "layout version"), (b"", "shorter than a board"), (b"x" * 9999, "not a board")]:
        board[1].write_bytes(content)
        assert said in athctl(9, "status", *board, code=1)


def test_refusals_in_one_line(httpd):
    server = httpd("event", conf=farm([DEAD]))
    assert athctl(server, "status", "nosuch", code=1).count("\n") == 1
    strange = athctl(server, "status", "--timeout", "0", code=2)
    assert "must be a whole number of seconds from 1 to 3600" in strange
    nobody = athctl(free_port(), "status", code=1)
    assert nobody.startswith("athctl: http://127.0.0.1:") and "refused" in nobody


@pytest.mark.parametrize("arguments, code, word", [
    (["farm_one"], 0, "OK"),
    (["farm_two"], 1, "WARNING"),
    (["farm_two", "-w", "2"], 0, "OK"),
    (["farm_two", "-c", "50%"], 2, "CRITICAL"),
    (["farm_three"], 2, "CRITICAL"),
    ([], 2, "CRITICAL"),
    (["nosuch"], 3, "UNKNOWN"),
])
def test_monitor(httpd, backends, arguments, code, word):
    members = backends(2)
    server = httpd("event", conf="".join([
        farm(members.urls),
        farm([*members.urls[:1], f"{DEAD} status=+D"], name="farm_two"),
        farm([f"{DEAD} status=+D"], name="farm_three"),
    ]).replace(' status=+D"', '" status=+D'))
    said = athctl(server, "monitor", *arguments, code=code)
    assert said.startswith(f"ATHENA {word} - ") and said.count("\n") == 1
    if arguments == ["farm_two"]:
        assert "farm_two: 1 of 2 members usable, 127.0.0.1:9 off | " in said
        assert "'farm_two_unusable'=1;1;2;0;2" in said


@pytest.mark.parametrize("arguments, code", [
    (["status"], 1), (["monitor"], 3), (["--help"], 0), (["set", "f/m", "weight=2"], 1)])
def test_no_password_is_told(arguments, code):
    url = f"http://user:SECRET@127.0.0.1:{free_port()}/athena"
    for more in ({"ATHENA_URL": url}, {}):
        options = [] if more else ["--url", url]
        run = subprocess.run([ATHCTL, *options, *arguments], env={**os.environ, **more},
                             capture_output=True, text=True, timeout=60)
        said = run.stdout + run.stderr
        assert run.returncode == code and "SECRET" not in said, said
        assert code == 0 or "http://127.0.0.1:" in said


@pytest.mark.parametrize("where", ["--url", "ATHENA_URL", "--from", "--to"])
@pytest.mark.parametrize("url", [
    "http://user:SECRET@127.0.0.1:99999/athena", "user:SECRET@127.0.0.1:80/athena", "",
    "ftp://user:SECRET@127.0.0.1/athena", "http://user:SECRET@127.0.0.1/athena?x=1"])
def test_a_url_of_no_engine_is_a_mistake(where, url):
    mirror = ["mirror", "--from", DEAD, "--to", DEAD, "--url", DEAD, "--watch"]
    for command, code in (("status", 2), ("monitor", 3)):
        arguments, more = [command], {}
        if where == "ATHENA_URL":
            more = {where: url}
        elif where == "--url":
            arguments = [where, url, command]
        else:
            arguments, code = [*mirror], 2
            arguments[arguments.index(where) + 1] = url
        run = subprocess.run([ATHCTL, *arguments], env={**os.environ, **more}, capture_output=True,
                             text=True, timeout=60)
        assert run.returncode == code and "SECRET" not in run.stderr, run
        assert where in run.stderr and "must be http[s]://" in run.stderr, run.stderr


def test_monitor_without_an_engine():
    assert athctl(free_port(), "monitor", code=3).startswith("ATHENA UNKNOWN - http://127.0.0.1:")


@pytest.mark.parametrize("arguments", [
    ["-w", "0"], ["-c", "101%"], ["--bogus"], ["a", "b"], pytest.param(["\udcff"], id="no UTF-8")])
def test_monitor_with_a_mistake_is_not_critical(arguments):
    athctl(9, "monitor", *arguments, code=3)
    athctl(9, "top", *arguments, code=2)


def test_check_reads_what_httpd_reads(httpd):
    """With what it includes, and what the loaded module has taken off its lines already."""
    conf = served([DEAD], each="route=a slowstart=3",
                  settings="stickysession=SID ejectafter=off ejecttime=9 queuetimeout=9")
    server = httpd("event", conf=conf + 'ProxyPass "/x/" "http://farm_one:81/"\n')
    said = athctl(9, "check", server.directory / "httpd.conf")
    assert "-D DUMP_CONFIG" in said.splitlines()[0] and "AthEngine is not On" not in said
    assert f"  member   {DEAD} route=a slowstart=3\n" in said
    assert '  reached  ProxyPass "/farm/" "http://farm_one/" (' in said
    for key, needed in (("ejecttime", "ejectafter"), ("queuetimeout", "queue")):
        assert f"  ignored  {key}: without {needed} nothing reads it\n" in said
    assert "ProxyPass http://farm_one:81/: a farm is named without" in said


@pytest.mark.parametrize("engine", ["off", "on"])
def test_check_tells_what_changes(httpd, engine):
    """Before the engine is on, and with it, which has moved a virtual host's parameters to the main server."""
    host = ('<VirtualHost 127.0.0.1:9>\nServerName {0}\n'
            'ProxyPass "/" "balancer://farm_one/" {1}\n</VirtualHost>\n')
    conf = farm([DEAD], settings="lbmethod=bybusyness timeout=3") + "".join([
        '<Proxy "balancer://Farm_One/x">\nRequire all denied\n</Proxy>\n',
        host.format("v", "failontimeout=On"), host.format("w", "lbmethod=bybusyness")])
    server = httpd("event", engine=engine, conf=conf)
    file = server.directory / "httpd.conf"
    lines = file.read_text().splitlines()
    of = lambda text: f"{file}:{next(n for n, line in enumerate(lines, 1) if text in line)}"
    said = athctl(9, "check", file)
    assert "-D DUMP_CONFIG" in said.splitlines()[0]
    changes = [line for line in said.splitlines() if line.startswith("  changes  ")][4:]
    road = 'ProxyPass "/" "balancer://farm_one/"'
    assert len(changes) == 4 and changes[:1] + changes[2:3] == [
        f"  changes  the rules of <Proxy balancer://Farm_One/x> ({of('Farm_One')}) hold for balancer://farm_one/, too",
        f"  changes  failontimeout=On ({of('failontimeout')}) holds for all servers"], said
    assert changes[1].startswith(f"  changes  {road}") and f"({of('failontimeout')}): lbmethod=bybusyness" in changes[1]
    assert changes[3].startswith("  changes  timeout=3: ")


def test_check_refuses_what_the_module_refuses(tmp_path):
    """One file, a part of a configuration."""
    part = tmp_path / "farm.conf"
    part.write_text(farm([DEAD], settings="ejectafter=0") + farm(["127.0.0.1:9"], name="other"))
    said = athctl(9, "check", part, code=1)
    assert "read as this one file" in said and "AthEngine is not On" in said
    refused = [line for line in said.splitlines() if line.startswith("refused: ")]
    assert refused == [
        f"refused: {part}:3: ProxySet ejectafter=0: must be a whole number from 1 to 1000, or off",
        f"refused: {part}:6: BalancerMember 127.0.0.1:9: a member is a URL, for example "
        "http://127.0.0.1:9",
    ]


@pytest.mark.parametrize("text, code, said", [
    (f'<Proxy "balancer://x">\nBalancerMember {DEAD}\n', 1, "<Proxy> was not closed"),
    ("ServerName x\n</Proxy>\n", 1, "</Proxy> without matching <Proxy> section"),
    ("<Location /a>\n</Proxy>\n", 1, "Expected </Location> but saw </Proxy>"),
    ("AthEngine Maybe\n", 1, "AthEngine Maybe: must be On or Off"),
    ("AthCookieMode seal\n", 1, "AthCookieMode seal: must be pass or wrap"),
    # What a part of a configuration lacks is no fault of the part.
    ("NoModules directive\n", 0, None), ("Include nosuch.conf\n", 0, None)])
def test_check_refuses_what_no_other_part_mends(tmp_path, text, code, said):
    part = tmp_path / "part.conf"
    part.write_text(text)
    told = athctl(9, "check", part, code=code)
    refused = [line for line in told.splitlines() if line.startswith("refused: ")]
    assert [said in line for line in refused] == [True] * (code == 1), told


def test_check_tells_what_httpd_refuses(httpd):
    server = httpd("event", conf=farm([DEAD]))
    file = server.directory / "httpd.conf"
    right = file.read_text()
    file.write_text(right + "KeepAlive Perhaps More\n")
    assert "\nrefused: AH00526: Syntax error" in athctl(9, "check", file, code=1)
    # What the module finds once all lines are read.
    file.write_text(right + farm([DEAD], name="other", settings="forward=nowhere"))
    assert "farm other: forward=nowhere: there is no farm" in athctl(9, "check", file, code=1)


def test_an_output_that_cannot_be_written(httpd, tmp_path):
    server = httpd("event", conf=farm([DEAD]))
    member = "farm_one/127.0.0.1:9"
    key = tmp_path / "a.key"
    read, closed = os.pipe()
    os.close(read)
    with open("/dev/full", "wb") as full:
        for arguments, code in [
                (["status"], 1), (["status", "--json"], 1), (["status", "--format", "%h"], 1),
                (["set", member, "weight=2"], 1), (["drain", member], 1),
                (["monitor"], 3), (["monitor", "nosuch"], 3),
                (["check", server.directory / "httpd.conf"], 1), (["cookie", "keygen", key, "k"], 1),
                (["completions", "bash"], 1), (["--help"], 1)]:
            command = [str(part) for part in
                       (ATHCTL, "--url", f"http://127.0.0.1:{server.port}/athena", *arguments)]
            key.unlink(missing_ok=True)
            run = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60)
            said = "athctl: the output: No space left on device (os error 28)\n"
            assert (run.returncode, run.stderr) == (code, said), arguments
            key.unlink(missing_ok=True)
            # What does not change is not told.
            Api(server).patch("/farms/farm_one/members/127.0.0.1:9", weight=1)
            # As head(1) does it; nobody is told, and a monitoring system knows no other code.
            run = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, timeout=60)
            assert (run.returncode, run.stderr) == (3 if code == 3 else 141, ""), arguments
        nobody = [str(ATHCTL), "--url", f"http://127.0.0.1:{free_port()}/athena", "status"]
        assert subprocess.run(nobody, stderr=full, timeout=60).returncode == 1
    os.close(closed)


VECTORS = json.loads((ROOT / "docs/cookie-vectors.json").read_text())


@pytest.mark.parametrize("vector", VECTORS["verified"], ids=lambda vector: vector["name"])
def test_cookies_are_verified_as_published(vector, tmp_path):
    """With the key that the cookie names, where there is one."""
    named = vector["cookie"].split(".")[1:2]
    key = named[0] if named and named[0] in VECTORS["keys"] else "2026a"
    file = tmp_path / "a.key"
    file.write_text(VECTORS["keys"][key])
    file.chmod(0o600)
    accepted = vector["result"] == "accepted"
    said = athctl(9, "cookie", "verify", file, key, vector["farm"], vector["cookie"],
                  "--at", vector["now"], code=0 if accepted else 1)
    said_of = "expires=" if accepted else f"athctl: the cookie is {vector['result']}\n"
    assert said.startswith(said_of), said


def test_a_new_key_is_used_at_once(tmp_path):
    file = tmp_path / "new.key"
    assert athctl(9, "cookie", "keygen", file, "k1") == f"AthCookieKey k1 file:{file}\n"
    secret = file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600 and len(secret) == 65
    assert "exists" in athctl(9, "cookie", "keygen", file, "k1", code=1)
    assert file.read_text() == secret
    cookie = athctl(9, "cookie", "sign", file, "k1", "+60", "shop,old", "m1", "gold").strip()
    said = athctl(9, "cookie", "verify", file, "k1", "old", cookie)
    assert said.splitlines()[1:] == ["farms=shop,old", "member=m1", "class=gold"]
    assert "do not fit" in athctl(9, "cookie", "sign", file, "k1", "+60", "a\nb", code=1)
    assert "ID must be" in athctl(9, "cookie", "keygen", tmp_path / "x", "a.b", code=1)
    assert not (tmp_path / "x").exists()
    file.chmod(0o644)
    assert "chmod o-rwx" in athctl(9, "cookie", "sign", file, "k1", "+60", "shop", code=1)


def test_completions_and_manual_pages(tmp_path):
    for shell in ("bash", "zsh", "fish"):
        assert "monitor" in athctl(9, "completions", shell)
    athctl(9, "manual", tmp_path)
    pages = {page.name for page in tmp_path.iterdir()}
    assert {"athctl.1", "athctl-status.1", "athctl-monitor.1"} <= pages
    assert "exit code" in (tmp_path / "athctl-monitor.1").read_text().lower()
