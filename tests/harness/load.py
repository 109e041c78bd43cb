"""Load: ab, wrk and h2load with their results read, and paced clients that note every answer."""

import re
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from .client import Client
from .waiting import wait_until


def _run(*command):
    command = [str(part) for part in command]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def _number(pattern, text, default=None):
    found = re.search(pattern, text)
    if found is None:
        assert default is not None, f"{pattern!r} not in:\n{text}"
        return default
    return float(found.group(1))


@dataclass
class Done:
    """What a load generator saw."""

    complete: int
    failed: int
    per_second: float


def ab(port, path, n, c, *, keepalive=False):
    """ApacheBench: exactly `n` requests over `c` connections at a time."""
    out = _run("ab", "-q", "-l", "-r", *(["-k"] if keepalive else []), "-n", n, "-c", c,
               f"http://127.0.0.1:{port}{path}")
    failed = _number(r"Failed requests:\s+(\d+)", out)
    other = _number(r"Non-2xx responses:\s+(\d+)", out, 0.0)
    complete = _number(r"Complete requests:\s+(\d+)", out)
    return Done(int(complete), int(failed + other), _number(r"Requests per second:\s+([\d.]+)", out))


def shared(server, members, wanted, path="/farm/x"):
    """The back ends' own counts, over all children, once a change has been seen."""
    def done():
        members.reset()
        assert ab(server.port, path, sum(wanted), 8).failed == 0
        return members.requests() == wanted
    wait_until(done, what=f"requests shared {wanted}")


def wrk(port, path, seconds, c, *, threads=1, script=None):
    """wrk: kept-alive connections for a while."""
    out = _run("wrk", "-t", threads, "-c", c, "-d", f"{seconds}s",
               *(["-s", script] if script else []), f"http://127.0.0.1:{port}{path}")
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", out)
    failed = sum(map(int, errors.groups())) if errors else 0
    failed += int(_number(r"Non-2xx or 3xx responses: (\d+)", out, 0.0))
    return Done(int(_number(r"(\d+) requests in", out)), failed,
                _number(r"Requests/sec:\s+([\d.]+)", out))


def h2load(port, path, n, c, *, streams=8):
    """h2load: exactly `n` requests over HTTP/2 in clear text."""
    out = _run("h2load", "-n", n, "-c", c, "-m", streams, f"http://127.0.0.1:{port}{path}")
    good = _number(r"status codes: (\d+) 2xx", out)
    return Done(int(good), int(n - good), _number(r"([\d.]+) req/s", out))


@dataclass
class Result:
    """One request of a `Load`."""

    number: int
    method: str
    client: int
    status: int = 0
    member: int = None
    error: str = None


class Load:
    """Clients in the background, each with one kept connection, sending at `rate` a second together.

    `plan(n)` gives the method and target of the `n`th request; each carries `X-Id: n` (prefixed by
    `tag`), so that the back ends' own log tells how often it was delivered.
    """

    def __init__(self, port, plan, *, rate=None, clients=16, tag="", reconnect=False, timeout=30.0):
        self.results = []
        self.reconnects = 0
        self._port, self._plan, self._rate, self._tag = port, plan, rate, tag
        self._reconnect, self._timeout = reconnect, timeout
        self._lock = threading.Lock()
        self._next = 0
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client, args=(client,), daemon=True)
                         for client in range(clients)]

    def __enter__(self):
        self._start = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def identity(self, number):
        """The X-Id of a request."""
        return f"{self._tag}{number}"

    def failed(self, method=None):
        """What was not answered 200."""
        return [result for result in self.results
                if result.status != 200 and method in (None, result.method)]

    def later(self, each):
        """Results of requests that begin from now on, `each` or more of every client."""
        with self._lock:
            first = self._next

        def found():
            later = [result for result in list(self.results) if result.number >= first]
            counts = Counter(result.client for result in later)
            return all(counts[client] >= each for client in range(len(self._threads))) and later
        return wait_until(found, 60, f"{each} more requests of every client")

    def _client(self, which):
        client = Client(self._port, timeout=self._timeout, reconnect=self._reconnect)
        while not self._stop.is_set():
            with self._lock:
                number = self._next
                self._next += 1
            if self._rate:
                due = self._start + number / self._rate
                if self._stop.wait(max(0.0, due - time.monotonic())):
                    break
            method, target = self._plan(number)
            result = Result(number, method, which)
            body = b"payload" if method == "POST" else None
            try:
                answer = client.request(method, target, {"X-Id": self.identity(number)}, body)
                result.status, result.member = answer.status, answer.member
            except OSError as error:
                result.error = repr(error)
                client.close()
            self.results.append(result)
        client.close()
        with self._lock:
            self.reconnects += client.reconnects


def held(members, count, action):
    """As `at_once`, but an exception is raised; the members answer when each request is with one of
    them or was refused."""
    members.hold()
    with ThreadPoolExecutor(count) as pool:
        try:
            asked = [pool.submit(action, n) for n in range(count)]
            wait_until(lambda: members.total("now") + sum(one.done() for one in asked) == count,
                       what="all requests under way")
        finally:
            members.release()
        return [one.result() for one in asked]


def at_once(count, action):
    """Runs `action(n)` in `count` threads and returns their results (an exception as itself)."""
    results = [None] * count

    def run(n):
        try:
            results[n] = action(n)
        except Exception as error:  # a thread's failure belongs to whoever asked for it
            results[n] = error

    threads = [threading.Thread(target=run, args=(n,), daemon=True) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
