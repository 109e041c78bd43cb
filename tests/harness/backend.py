"""Members of a farm: athena-backend, all in one process or one process each."""

import json
import signal
import subprocess
from collections import defaultdict

from .client import fetch
from .paths import BACKEND
from .waiting import free_port


class Process:
    """One athena-backend and the members it serves."""

    def __init__(self, *arguments, **popen):
        if not BACKEND.exists():
            raise FileNotFoundError(f"{BACKEND}: run ci/build first")
        popen.setdefault("stdin", subprocess.PIPE)
        self.popen = subprocess.Popen(
            [str(BACKEND), *map(str, arguments)], stdout=subprocess.PIPE, text=True,
            start_new_session=True, **popen,
        )
        count = int(arguments[arguments.index("--members") + 1]) if "--members" in arguments else 1
        lines = [self.popen.stdout.readline() for _ in range(count + 1)]
        if not all(lines):
            raise RuntimeError(f"athena-backend {arguments} did not start")
        control, *self.members = map(json.loads, lines)
        self.control_port = control["control"]

    def control(self, method, path, body=None):
        """One exchange with the control port."""
        payload = None if body is None else json.dumps(body).encode()
        answer = fetch(self.control_port, path, method=method, body=payload)
        assert answer.status == 200, answer.body
        return json.loads(answer.body)

    def kill(self):
        """SIGKILL: sockets close without a word."""
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def stop(self):
        if self.popen.poll() is None:
            self.popen.stdin.close()
            self.popen.wait()
        self.popen.stdout.close()


# Most members of one process: each is a socket that listens, and connections.
_SHARE = 4000


class Backends:
    """Members 0, 1, 2, … of a farm. With `apart` each has a process of its own, to be killed."""

    def __init__(self, directory, members=3, *, apart=False, unix=False):
        self.count = members
        self._ids = directory / "ids"
        self._common = ["--ids", self._ids]
        self._ports = [free_port() for _ in range(members)] if apart else None
        if apart:
            self._processes = [self._one(n) for n in range(members)]
        else:
            place = ["--unix", directory] if unix else []
            self._processes = [
                Process("--first", first, "--members", min(_SHARE, members - first), *place,
                        *self._common)
                for first in range(0, members, _SHARE)]
        self._listen = [member for process in self._processes for member in process.members]
        self.ports = [member.get("port") for member in self._listen]
        self.paths = [member.get("unix") for member in self._listen]

    def _one(self, n):
        return Process("--first", n, "--port", self._ports[n], *self._common)

    @property
    def urls(self):
        """What a BalancerMember line says."""
        return [
            f"unix:{member['unix']}|http://member-{member['member']}" if "unix" in member
            else f"http://127.0.0.1:{member['port']}"
            for member in self._listen
        ]

    def _of(self, n):
        return self._processes[n if self._ports else n // _SHARE]

    def stats(self):
        """What each member counted, by number; a killed one is missing."""
        counted = {}
        for process in self._processes:
            if process.popen.poll() is None:
                for member in process.control("GET", "/stats")["members"]:
                    counted[member["member"]] = member
        return counted

    def requests(self):
        """Requests received by each member that lives."""
        return [sum(member["requests"].values()) for _, member in sorted(self.stats().items())]

    def total(self, key):
        """The sum of one counter over all members that live."""
        return sum(member[key] for member in self.stats().values())

    def behave(self, n, **behaviour):
        """Sets how member `n` answers from now on; see athena-backend's Behaviour."""
        self._of(n).control("POST", f"/member/{n}", behaviour)

    def hold(self):
        """All members keep their answers, until they `behave` otherwise."""
        for n in range(self.count):
            self.behave(n, hold=True)

    def release(self):
        """All members answer, at once."""
        for n in range(self.count):
            self.behave(n)

    def reset(self):
        """All counters to 0, the default behaviour."""
        for process in self._processes:
            process.control("POST", "/reset", {})

    def kill(self, n):
        self._of(n).kill()

    def restart(self, n):
        """Starts a killed member again on its port."""
        self._processes[n].stop()
        self._processes[n] = self._one(n)

    def deliveries(self):
        """For each X-Id, the members that received it, killed ones too."""
        seen = defaultdict(list)
        for line in self._ids.read_text().splitlines():
            member, _method, identity = line.split(" ", 2)
            seen[identity].append(int(member))
        return seen

    def stop(self):
        for process in self._processes:
            process.stop()
