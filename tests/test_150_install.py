"""A stranger's quarter of an hour: the demo; ci/install into Debian's layout, then the README's own
lines."""

import json
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from harness.client import fetch
from harness.paths import ATHCTL, MODULE, ROOT
from harness.waiting import free_port, wait_until

README = (ROOT / "README.md").read_text().split("## A first configuration")[1].split("\n## ")[0]
FARM = re.search(r"```apache\n(.*?)```", README, re.S)[1]
TYPED = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.S)).splitlines()


def typed(first):
    """The README's commands that begin so."""
    lines = [line.split("  #")[0].strip() for line in TYPED if line.startswith(first)]
    assert lines, f"README: no {first}"
    return lines


def test_the_demo_shows_where_to_look(directory):
    def demo(action):
        # Whoever reads what it prints is told the end, although servers stay behind.
        done = subprocess.run([sys.executable, "-m", "harness.demo", action, directory / "run"],
                              cwd=ROOT / "tests", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout
    try:
        said = demo("run")
        assert said.count("  200  member ") == 12
        addresses = re.findall(r"^  http://127\.0\.0\.1:(\d+)(/\S+)", said, re.M)
        assert "/athena/" in [path for _, path in addresses]
        assert [fetch(int(port), path).status for port, path in addresses] == [200] * 5
    finally:
        said = demo("stop")
    assert "stopped httpd" in said and "stopped backend" in said


def test_the_demo_installs_what_it_needs_and_no_more(directory):
    """On a machine with nothing, where nothing is really done."""
    asked = re.search(r"ci/deps.*", (ROOT / "ci/demo").read_text())[0]
    for command in ("dpkg-query", "sudo", "apt-get", "tee", "chmod", "rm", "cargo"):
        place = directory / command
        place.write_text("#!/bin/sh\ncat >/dev/null\n" if command == "tee" else "#!/bin/sh\n")
        place.chmod(0o755)
    # env(1), by which the script runs as root, looks commands up in PATH as well.
    done = subprocess.run([ROOT / asked.split()[0], *asked.split()[1:]], capture_output=True, text=True,
                          env={"PATH": f"{directory}:{os.environ['PATH']}"}, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    packages = done.stdout.partition("Installing: ")[2].split()
    assert {"apache2", "apache2-dev", "python3"} <= set(packages)
    assert not {"chromium", "tomcat10-common", "valgrind", "prometheus"} & set(packages)


class Debian:
    """A copy of /etc/apache2 below a directory, where Debian's own tools find it."""

    def __init__(self, directory):
        self.root, self.conf = directory, directory / "etc/apache2"
        self.port = free_port()
        self.log = directory / "var/log/apache2/error.log"
        self.pid_file = directory / "var/run/apache2/apache2.pid"
        shutil.copytree("/etc/apache2", self.conf, symlinks=True,
                        ignore=shutil.ignore_patterns("athena.*"))
        for name in ("run", "lock", "log", "lib"):
            (directory / "var" / name / "apache2").mkdir(parents=True)
        user = "www-data" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        self.edit("envvars", ("=/var/", f"={directory}/var/"), ("=www-data", f"={user}"))
        module = directory / "usr/lib/apache2/modules/mod_athena.so"
        self.edit("apache2.conf", ("IncludeOptional mods-enabled/*.load",
                                    f"Define ATH_MODULE {module}\n"
                                    "IncludeOptional mods-enabled/*.load"))
        (self.conf / "ports.conf").write_text(f"Listen 127.0.0.1:{self.port}\n")
        for site in (self.conf / "sites-enabled").iterdir():
            site.unlink()
        self.edit("sites-available/000-default.conf", ("*:80", f"*:{self.port}"))
        self.run("a2ensite", "000-default")

    def edit(self, name, *changes):
        """Replaces each `old` by `new` in one of the files."""
        text = (self.conf / name).read_text()
        for old, new in changes:
            assert old in text, f"{name}: {old}"
            text = text.replace(old, new)
        (self.conf / name).write_text(text)

    def run(self, *command, code=0):
        """What a command prints that sees this layout as the machine's own."""
        environment = {
            **os.environ, "DESTDIR": str(self.root), "APACHE_CONFDIR": str(self.conf),
            "APACHE_STATE_DIRECTORY": str(self.root / "var/lib/apache2"),
            "APACHE_STARTED_BY_SYSTEMD": "true",  # else apachectl would ask systemd to start it
            "ATHENA_URL": f"http://127.0.0.1:{self.port}/athena",
            "PATH": f"{self.root}/usr/local/bin:/usr/local/sbin:/usr/sbin:{os.environ['PATH']}",
        }
        done = subprocess.run([str(part) for part in command], env=environment, text=True,
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=60)
        assert done.returncode == code, (command, done.returncode, done.stdout)
        return done.stdout

    def httpd(self, action):
        """`apachectl start`, `restart` or `graceful`, until it serves."""
        before = self._starts()
        self.run("apachectl", action)
        wait_until(lambda: self._starts() > before, what=f"httpd after {action}")

    def _starts(self):
        return self.log.read_text().count("resuming normal operations") if self.log.exists() else 0

    def stop(self):
        self.run("apachectl", "stop")
        wait_until(lambda: not self.pid_file.exists(), what="httpd stopped")
        # It goes after its file: the next one can have the port then.
        wait_until(self._is_gone, what="nobody listens")

    def _is_gone(self):
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) != 0

    def force(self):
        """Whatever still runs is ended."""
        if self.pid_file.exists():
            os.killpg(int(self.pid_file.read_text()), signal.SIGKILL)

    def installed(self):
        """The files that are ours."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*ath*")
                      if "var" not in path.parts[len(self.root.parts):])


@pytest.fixture
def debian(directory):
    one = Debian(directory)
    yield one
    one.force()


@pytest.mark.parametrize("place", ["site", "conf"])
def test_the_first_configuration_works_as_written(debian, backends, place):
    members = backends(2)
    debian.run(ROOT / "ci/install")
    for line in typed("a2enmod "):
        debian.run(*line.split())
    enabled = {path.name for path in (debian.conf / "mods-enabled").iterdir()}
    assert {"proxy.load", "proxy_http.load", "athena.load", "athena.conf"} <= enabled

    farm = FARM
    for port, member in zip(["8081", "8082"], members.ports, strict=True):
        farm = farm.replace(f"127.0.0.1:{port}", f"127.0.0.1:{member}")
    if place == "site":
        debian.edit("sites-available/000-default.conf", ("</VirtualHost>", f"{farm}</VirtualHost>"))
    else:
        (debian.conf / "conf-available/farm.conf").write_text(farm)
        debian.run("a2enconf", "farm")
    for line in typed("apachectl configtest"):
        assert "Syntax OK" in debian.run(*line.split())
    debian.httpd("start")

    page, api = (line.removeprefix("curl http://localhost") for line in typed("curl "))
    assert {fetch(debian.port, page).status for _ in range(9)} == {200}
    assert members.requests() == [3, 6], "loadfactor=2 has twice as many"
    assert json.loads(fetch(debian.port, api).body)["farms"][0]["elected"] == 9
    assert "farm_one" in fetch(debian.port, "/athena/").body.decode()
    counted = "2 of 2 members usable, 9 requests"
    for step in [lambda: None, lambda: debian.httpd("restart"), lambda: debian.httpd("graceful"),
                 lambda: (debian.stop(), debian.httpd("start"))]:
        step()
        for line in typed("athctl "):
            assert counted in debian.run(*line.split())
    debian.stop()
    bad = [line for line in debian.log.read_text().splitlines()
           if re.search(r":(warn|error|crit|alert|emerg)\]", line)]
    assert not bad


def test_what_was_installed_goes_again(debian):
    before = debian.installed()
    debian.run(ROOT / "ci/install")
    placed = debian.installed()
    for part in ["usr/local/bin/athctl", "usr/local/share/man/man1/athctl-status.1",
                 "usr/local/share/bash-completion/completions/athctl",
                 "usr/include/apache2/mod_athena.h"]:
        assert part in placed
    debian.run("a2enmod", "athena")
    assert "a2dismod athena" in debian.run(ROOT / "ci/install", "remove", code=1)
    assert set(placed) <= set(debian.installed())
    debian.run("a2dismod", "athena")
    debian.run(ROOT / "ci/install", "remove")
    assert debian.installed() == before


def test_the_trained_module_is_installed_while_nothing_newer_is_built(debian, monkeypatch):
    target = debian.root / "var/target"
    (target / "release").mkdir(parents=True)
    (target / "trained").mkdir()
    shutil.copy2(ATHCTL, target / "release/athctl")
    built, trained = (target / place / MODULE.name for place in ("release", "trained"))
    built.write_text("built")
    trained.write_text("trained")
    monkeypatch.setenv("CARGO_TARGET_DIR", str(target))
    placed = debian.root / "usr/lib/apache2/modules/mod_athena.so"
    for newer, older in [(trained, built), (built, trained)]:
        os.utime(older, (1, 1))
        os.utime(newer, (2, 2))
        debian.run(ROOT / "ci/install")
        assert placed.read_text() == newer.read_text()
    trained.unlink()
    debian.run(ROOT / "ci/install")
    assert placed.read_text() == "built"


def test_a_configuration_that_was_edited_stays(debian):
    debian.run(ROOT / "ci/install")
    conf = debian.conf / "mods-available/athena.conf"
    edited = conf.read_text() + "AthTrust all\n"
    conf.write_text(edited)
    assert "stays as it is" in debian.run(ROOT / "ci/install")
    debian.run(ROOT / "ci/install", "remove")
    assert conf.read_text() == edited
