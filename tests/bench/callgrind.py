"""httpd under callgrind, and what callgrind wrote."""

import re
import subprocess
from collections import Counter
from pathlib import PurePath
from typing import NamedTuple

from harness.client import Client
from harness.waiting import wait_until

from .alone import Alone

# Called for a TRACE request: with it the client says where a part ends. (To callgrind, what serves
# files bears this name, too: a request for one is a part of its own.)
_MARK = "ap_send_http_trace"


# Lines that a cache of this size (a core's own, here and on most servers) does not hold any more.
CACHE = 1 << 20
_MISSES = {"DLmr", "DLmw"}


class Counted(Alone):
    """One process and one thread for requests, every instruction counted, and every access to
    data that misses a cache of `CACHE` bytes."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, valgrind=True, **options)
        # With ten thousand members.
        self.patience = 600
        self._parts = 0

    @property
    def tool(self):
        return [
            "valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={self.directory}/part",
            "--instr-atstart=no", "--separate-threads=yes",
            "--cache-sim=yes", f"--LL={CACHE},16,64",
            "--compress-strings=no", "--compress-pos=no", f"--dump-before={_MARK}",
        ]

    def start(self):
        """Counts as soon as it listens: reading a long configuration takes long enough without, and
        once it has become another user, it could not be told."""
        super().start()
        subprocess.run(["callgrind_control", "-i", "on", str(self.process.pid)], check=True,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        with self.client() as client:
            client.get("/")
        return self

    def client(self):
        """One that does not mind how long ten thousand members take."""
        return Client(self.port, timeout=self.patience)

    def count(self, client, path, n):
        """The profile of `n` requests over `client`'s kept connection."""
        first = self._mark(client) + 1
        for _ in range(n):
            answer = client.get(path)
            if answer.status != 200:
                raise AssertionError(f"{path}: {answer}")
        last = self._mark(client)
        return Profile.read([self._part(number) for number in range(first, last + 1)], n)

    def _part(self, number):
        """Of the thread that serves: what the watchdog does each second is not a request's."""
        return self.directory / f"part.{number}-01"

    def _mark(self, client):
        """Ends a part; its number."""
        client.request("TRACE", "/")
        def next_part():
            return self._part(self._parts + 1)
        wait_until(next_part().exists, what=str(next_part()))
        while next_part().exists():
            self._parts += 1
        part = self._part(self._parts)
        wait_until(lambda: "\ntotals: " in part.read_text(), what=str(part))
        return self._parts


class Function(NamedTuple):
    """A function: the file name of its object, its own name."""

    object: str
    name: str


class Profile:
    """Instructions by function and call, per request.

    `own`: within a function; `through`: in and below one that another calls, by (caller, callee);
    `missed`: accesses to data that missed the cache, by object.
    """

    def __init__(self, requests):
        self.requests = requests
        self.own, self.through, self.missed = Counter(), Counter(), Counter()

    @classmethod
    def read(cls, paths, requests):
        """Reads dumps with names and positions uncompressed (the Callgrind Format)."""
        profile = cls(requests)
        for path in paths:
            profile._add(path.read_text())
        return profile

    def _add(self, dump):
        place = {}
        in_call = False
        misses = []
        for line in dump.splitlines():
            key, equals, value = line.partition("=")
            if key in ("ob", "cob"):
                place[key] = PurePath(value).name
            elif key == "fn":
                caller = Function(place.get("ob", "???"), _plain(value))
            elif key == "cfn":
                # Without cob= the callee is in the caller's object.
                callee = Function(place.pop("cob", caller.object), _plain(value))
            elif key == "calls":
                in_call = True
            elif line.startswith("events: "):
                events = line.split()[1:]
                misses = [number for number, event in enumerate(events) if event in _MISSES]
            elif not equals and line[:1].isdigit():
                costs = [int(cost) for cost in line.split()[1:]]
                if in_call:
                    self.through[caller, callee] += costs[0]
                else:
                    self.own[caller] += costs[0]
                    # Costs of 0 at the end are left out.
                    self.missed[caller.object] += sum(costs[n] for n in misses if n < len(costs))
                in_call = False

    @property
    def total(self):
        """Instructions per request."""
        return sum(self.own.values()) / self.requests

    def entering(self, name):
        """{callee: instructions} of calls from elsewhere into an object, per request."""
        return self._across(lambda caller, callee: caller.object != name == callee.object)

    def leaving(self, name):
        """{callee: instructions} of calls out of an object, per request."""
        return self._across(lambda caller, callee: caller.object == name != callee.object)

    def _across(self, crosses):
        sums = Counter()
        for (caller, callee), cost in self.through.items():
            if crosses(caller, callee):
                sums[callee.name] += cost / self.requests
        return sums


def _plain(name):
    """Without the depth of recursion that callgrind appends."""
    return re.sub(r"'\d+$", "", name)
