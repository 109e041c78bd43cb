"""Application servers as Debian packages them, each with a page that counts within a session.

Every page answers `ROUTE COUNT`: who answered, and how often the session has been there.
"""

import os
import shutil
import signal
import socket
import subprocess
from pathlib import Path

from .paths import ROOT
from .waiting import free_port, wait_until

PAGES = ROOT / "tests" / "servers"
_TOMCAT = Path("/usr/share/tomcat10/bin")


class _Server:
    """A process group in a directory of its own, up once it takes connections."""

    def __init__(self, directory, route, command, listens, **environment):
        self.route = route
        self._directory, self._command, self._listens = directory, command, listens
        self._environment = {**os.environ, "ROUTE": route, **environment}
        self.start()

    def start(self):
        with (self._directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                [str(part) for part in self._command], cwd=self._directory, env=self._environment,
                stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True)
        wait_until(self._up, 60, f"{self._command[0]} up")
        return self

    def _up(self):
        said = (self._directory / "output").read_text(errors="replace")
        assert self._process.poll() is None, f"{self._command} left:\n{said}"
        return all(map(_listened, self._listens))

    def kill(self):
        """SIGKILL for all of its processes: sockets close without a word."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        wait_until(lambda: not any(map(_listened, self._listens)), what="its children gone")

    def stop(self):
        if self._process.poll() is None:
            self.kill()


def _listened(place):
    """Somebody listens on the port, or the Unix socket."""
    kind, address = (socket.AF_INET, ("127.0.0.1", place)) if isinstance(place, int) \
        else (socket.AF_UNIX, str(place))
    with socket.socket(kind) as probe:
        return probe.connect_ex(address) == 0


def tomcat(directory, route):
    """Tomcat with an HTTP and an AJP connector: `http`, `ajp`."""
    (directory / "conf").mkdir()
    page = directory / "webapps" / "ROOT"
    page.mkdir(parents=True)
    shutil.copy(PAGES / "tomcat-server.xml", directory / "conf" / "server.xml")
    shutil.copy(PAGES / "tomcat-web.xml", directory / "conf" / "web.xml")
    shutil.copy(PAGES / "count.jsp", page)
    http, ajp = free_port(), free_port()
    properties = {"catalina.home": _TOMCAT.parent, "catalina.base": directory,
                  "java.io.tmpdir": directory, "route": route, "http.port": http, "ajp.port": ajp}
    server = _Server(directory, route, [
        "java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m",
        "-cp", f"{_TOMCAT}/bootstrap.jar:{_TOMCAT}/tomcat-juli.jar",
        *(f"-D{key}={value}" for key, value in properties.items()),
        "org.apache.catalina.startup.Bootstrap", "start"], [http, ajp])
    server.http, server.ajp = f"http://127.0.0.1:{http}", f"ajp://127.0.0.1:{ajp}"
    return server


def php_fpm(directory, route, *, unix=False):
    """php-fpm: `fcgi`, with the directory of its page as the base path."""
    place = directory / "fpm.sock" if unix else free_port()
    pages = directory / "pages"
    pages.mkdir()
    shutil.copy(PAGES / "count.php", pages)
    (directory / "sessions").mkdir()
    root = os.geteuid() == 0
    if root:
        shutil.chown(directory / "sessions", "www-data", "www-data")
    (directory / "fpm.conf").write_text("\n".join([
        "[global]", f"error_log = {directory}/fpm.log", "daemonize = no",
        "[www]", f"listen = {place if unix else f'127.0.0.1:{place}'}", "listen.mode = 0666",
        *(["user = www-data", "group = www-data"] if root else []),
        "pm = static", "pm.max_children = 4", "env[ROUTE] = $ROUTE",
        f"php_value[session.save_path] = {directory}/sessions", ""]))
    binary = sorted(Path("/usr/sbin").glob("php-fpm*"))[-1]
    server = _Server(directory, route, [binary, "-n", "-y", directory / "fpm.conf"], [place])
    server.fcgi = f"unix:{place}|fcgi://php-{route}{pages}" if unix \
        else f"fcgi://127.0.0.1:{place}{pages}"
    return server


def uwsgi(directory, route):
    """uWSGI with one Python process: `uwsgi`, `scgi`."""
    ports = [free_port(), free_port()]
    server = _Server(directory, route, [
        "uwsgi", "--plugin", "python3", "--wsgi-file", PAGES / "count.py", "--die-on-term",
        "--uwsgi-socket", f"127.0.0.1:{ports[0]}", "--scgi-socket", f"127.0.0.1:{ports[1]}"], ports,
        PYTHONDONTWRITEBYTECODE="1")
    server.uwsgi, server.scgi = f"uwsgi://127.0.0.1:{ports[0]}", f"scgi://127.0.0.1:{ports[1]}"
    return server


def nghttpd(directory, route):
    """nghttp2's HTTP/2 server, in clear text: `h2c`. It knows no sessions; every path that it has
    is a file with its route."""
    pages = directory / "pages"
    pages.mkdir()
    (pages / "count").write_text(route)
    port = free_port()
    server = _Server(directory, route,
                     ["nghttpd", "--no-tls", "--address=127.0.0.1", "-d", pages, port], [port])
    server.h2c = f"h2c://127.0.0.1:{port}"
    return server
