"""A real httpd in a directory of its own."""

import os
import re
import signal
import socket
import subprocess
from pathlib import Path

from .paths import APACHE, APACHE_MODULES, CONF, MODULE
from .waiting import free_port, wait_until

MPMS = ["prefork", "worker", "event"]
LBMETHODS = ["lbmethod_byrequests", "lbmethod_bybusyness", "lbmethod_bytraffic"]
# One process, whose threads share a member's connections.
ONE_CHILD = ("StartServers 1\nServerLimit 1\nMaxRequestWorkers 32\n"
             "MinSpareThreads 1\nMaxSpareThreads 32\n")
# What is said when a member does not take a connection: by stock httpd, and by us.
CONNECT_FAILED = r"AH00940|AH00957|AH00959|AH01114|ATH0110"
# And when one dies in mid answer.
BROKEN = CONNECT_FAILED + r"|AH00898|AH01102|AH01097|AH01098|AH01084|AH10427|AH01110"
# What stock httpd says when a member is disabled as a request is about to connect to it.
TURNED_AWAY = r"AH00940|AH01114"

_LINE = re.compile(r"^\[[^]]*\] \[(?P<module>[\w-]*):(?P<level>\w+)\] ")
_BAD_LEVELS = {"warn", "error", "crit", "alert", "emerg"}
# At level notice, but a child that died is never fine.
_BAD_NOTICE = re.compile(r"AH0005[0-2]\b|exit signal|panicked at")
_SEGFAULT = re.compile(r"AH0005[12]: child pid \d+ exit signal Segmentation fault")
_STOPPING = re.compile(r"AH0309[23]")
_UP = re.compile(r"resuming normal operations")


class Httpd:
    """An httpd with a configuration made for it.

    * `engine`: "on" loads the module with httpd-conf/athena.load and athena.conf as they are,
      "off" only athena.load, "stock" leaves the module out;
    * `balancer`: mod_proxy_balancer and its methods, loaded or not;
    * `load`: whether athena.load comes "first", as Debian sorts it, or "last";
    * `modules`: names of further modules (without `mod_`);
    * `plugins`: files of modules that are not httpd's, by name, loaded with those that are;
    * `children`: processes at start under prefork, threads otherwise;
    * `valgrind`: under memcheck, all children included;
    * `one_process`: `httpd -X`, as for a debugger;
    * `conf`: the configuration itself. `${ATH_PORT}` is the port; `defines` adds to such names.
    """

    def __init__(self, directory, mpm="event", *, engine="on", balancer=True, load="first",
                 modules=(), plugins=None, children=8, conf="", defines=None, valgrind=False,
                 one_process=False):
        self.directory = Path(directory)
        self.mpm, self.engine, self.balancer, self.load = mpm, engine, balancer, load
        self.modules, self.children, self.conf = list(modules), children, conf
        self.plugins = dict(plugins or {})
        self.defines = dict(defines or {})
        self.valgrind = valgrind
        self.one_process = one_process
        self.patience = 120 if valgrind else 15
        self.port = free_port()
        self.error_log = self.directory / "error.log"
        self.pid_file = self.directory / "httpd.pid"
        self.stderr = self.directory / "stderr.log"
        self.process = None
        self._expected = []
        self._excused = set()
        self._read = 0

    # ---- configuration -------------------------------------------------------------------------

    def _load_modules(self):
        names = [f"mpm_{self.mpm}", "authz_core", "authz_host"]
        proxy = ["proxy", "proxy_http"]
        if self.balancer:
            proxy += ["slotmem_shm", "proxy_balancer", *LBMETHODS]
        proxy += [name for name in self.modules if name not in proxy]
        lines = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in names]
        athena = [] if self.engine == "stock" else [
            f'Define ATH_MODULE "{MODULE}"', f'Include "{CONF}/athena.load"']
        others = [f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in proxy]
        others += [f'LoadModule {name}_module "{path}"' for name, path in self.plugins.items()]
        lines += athena + others if self.load == "first" else others + athena
        if self.engine == "on":
            lines.append(f'Include "{CONF}/athena.conf"')
        return lines

    def _processes(self):
        n = self.children
        if self.mpm == "prefork":
            return [f"StartServers {n}", "MinSpareServers 1", f"MaxSpareServers {n}",
                    f"ServerLimit {2 * n}", f"MaxRequestWorkers {2 * n}"]
        # Event closes idle HTTP/2 connections when all threads of a child are busy: enough of them.
        return [f"StartServers {max(2, n // 32)}", "ThreadsPerChild 32", "ThreadLimit 32",
                "ServerLimit 12", "MaxRequestWorkers 256", "MinSpareThreads 32",
                "MaxSpareThreads 256"]

    def write_conf(self):
        """Writes httpd.conf and returns its path."""
        lines = [
            f'ServerRoot "{self.directory}"',
            f'DefaultRuntimeDir "{self.directory}"',
            f'PidFile "{self.pid_file}"',
            f'ErrorLog "{self.error_log}"',
            "LogLevel notice",
            *[f'Define {name} "{value}"' for name, value in self.defines.items()],
            f"Define ATH_PORT {self.port}",
            "Listen 127.0.0.1:${ATH_PORT}",
            "ServerName localhost",
            "KeepAliveTimeout 60", "MaxKeepAliveRequests 0",
            *self._load_modules(),
            *self._processes(),
        ]
        if os.geteuid() == 0:
            lines += ["User www-data", "Group www-data"]
        path = self.directory / "httpd.conf"
        path.write_text("\n".join(lines) + "\n" + self.conf + "\n")
        return path

    # ---- life ----------------------------------------------------------------------------------

    def _spawn(self):
        if self.engine != "stock" and not MODULE.exists():
            raise FileNotFoundError(f"{MODULE}: run ci/build first")
        command = [APACHE, "-f", str(self.write_conf()),
                   "-X" if self.one_process else "-DFOREGROUND"]
        if self.valgrind:
            command = ["valgrind", "-q", f"--log-file={self.directory}/valgrind.%p.log", *command]
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, start_new_session=True,
            )

    def start(self):
        before = self._count(_UP)
        self._spawn()
        wait_until(lambda: self._up(before), self.patience, "httpd up")
        return self

    def _up(self, before):
        if self.process.poll() is not None:
            raise AssertionError(f"httpd left with {self.process.returncode}:\n{self.messages()}")
        # One process does not say so.
        if self._count(_UP) == before and not self.one_process:
            return False
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def run(self, *options):
        """What another httpd with this configuration does: `-t`, `-k graceful`."""
        return subprocess.run([APACHE, "-f", str(self.write_conf()), *options], text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=30)

    def refuses(self, conf):
        """Starts with `conf`, which must not come up; returns what httpd said about it."""
        self.conf = conf
        before = self._count(_UP)
        self._spawn()
        wait_until(lambda: self.process.poll() is not None or self._count(_UP) > before,
                   what="httpd refusing to start")
        if self.process.poll() is None:
            self.stop()
            raise AssertionError(f"httpd took this configuration:\n{conf}\n{self.messages()}")
        assert self.process.returncode != 0, f"httpd left quietly with:\n{conf}"
        said = self.messages()
        self._read = len(self._log())
        self.stderr.unlink()
        return said

    def graceful(self, *, alone=False):
        """SIGUSR1, and waits until the new generation serves; `alone`, until the older one has
        ended, which may take a request or two more."""
        before = self._count(_UP)
        conf, mark = self.write_conf(), self.directory / f"generation.{before}"
        if alone:
            # A list of the children from before would not tell: one more may be forked as the
            # signal arrives.
            with conf.open("a") as file:
                file.write(f'CustomLog "{mark}" - env=never\n')
        self.process.send_signal(signal.SIGUSR1)
        wait_until(lambda: self._count(_UP) > before or self.process.poll() is not None,
                   what="graceful restart")
        assert self.process.poll() is None, f"httpd died in a restart:\n{self.messages()}"
        if alone:
            wait_until(lambda: all(self._has_open(child, mark) for child in self.child_pids()),
                       what="the older generation gone")

    @staticmethod
    def _has_open(pid, path):
        try:
            return str(path) in map(os.readlink, Path(f"/proc/{pid}/fd").iterdir())
        except (FileNotFoundError, ProcessLookupError):
            return False

    def _wait_without(self, children):
        wait_until(lambda: not (children & self.child_pids()), what="children gone")

    def stop(self):
        """SIGTERM; the whole process group by force if that is not enough."""
        if self.process is None:
            return
        if self.process.poll() is None:
            said = len(self._log())
            self.process.terminate()
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL)
                self.process.wait()
                raise AssertionError(f"httpd did not stop:\n{self.messages()}") from None
            self._excuse_at_stop(self._log()[said:].splitlines())

    def _excuse_at_stop(self, lines):
        """What httpd says now and then when it stops while a connection closes. And mod_mpm_event
        itself crashes in about 1 of 150 stops soon after a start, in apr_os_sock_get, also in an
        httpd without our module; more than one child may at the same stop."""
        self._excused.update(filter(_STOPPING.search, lines))
        if self.mpm == "event":
            self._excused.update(filter(_SEGFAULT.search, lines))

    def restart(self):
        """A full stop and a new start."""
        self.stop()
        return self.start()

    def child_pids(self):
        """The children that live. (/proc/PID/task/PID/children passes over one now and then when
        its sibling ends.)"""
        return {int(entry.name) for entry in Path("/proc").iterdir()
                if entry.name.isdigit() and self._lives(entry)}

    def _lives(self, process):
        try:
            state, parent = (process / "stat").read_text().rsplit(")", 1)[1].split()[:2]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return int(parent) == self.process.pid and state not in "ZX"

    def kill_children(self, *, half=False):
        """SIGKILL for every child, or every other one; waits until the parent has none of them."""
        old = set(sorted(self.child_pids())[::2 if half else 1])
        self.expect(r"AH00052: child pid \d+ exit signal Killed")
        for pid in old:
            os.kill(pid, signal.SIGKILL)
        self._wait_without(old)

    def valgrind_errors(self):
        """What memcheck found in any process."""
        logs = self.directory.glob("valgrind.*.log")
        return "".join(log.read_text(errors="replace") for log in logs)

    # ---- the error log -------------------------------------------------------------------------

    def _log(self):
        return self.error_log.read_text(errors="replace") if self.error_log.exists() else ""

    def _count(self, pattern):
        return len(pattern.findall(self._log()))

    def lines(self, pattern):
        """The lines of the error log that match."""
        return [line for line in self._log().splitlines() if re.search(pattern, line)]

    def expect(self, pattern):
        """Lines that match are this test's doing."""
        self._expected.append(re.compile(pattern))

    def messages(self):
        """What httpd said on stderr and, since the last refusal, in its error log."""
        stderr = self.stderr.read_text(errors="replace") if self.stderr.exists() else ""
        return stderr + self._log()[self._read:]

    def complaints(self):
        """Lines of level warn or worse, crashes and panics that no test asked for."""
        return [line for line in self.messages().splitlines()
                if self._bad(line) and line not in self._excused
                and not any(known.search(line) for known in self._expected)]

    @staticmethod
    def _bad(line):
        found = _LINE.match(line)
        if found is None:
            # Continuation lines, and what is written before the log is open.
            return bool(_BAD_NOTICE.search(line)) or line.startswith("AH")
        return found["level"] in _BAD_LEVELS or bool(_BAD_NOTICE.search(line))
