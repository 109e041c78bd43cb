"""Waiting for a state, never for a time."""

import random
import socket
import time

# Below the range from which outgoing connections take theirs: nobody else grabs the port of a back
# end that is down for a moment, and no connect to a closed port meets itself.
_LOWEST, _BELOW = 10000, int(open("/proc/sys/net/ipv4/ip_local_port_range").read().split()[0])


def wait_until(predicate, seconds=15.0, what="the state waited for", every=0.01):
    """Polls until `predicate()` is true and returns its value; fails after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        value = predicate()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(every)


def free_port():
    """A loopback port that nobody listens on."""
    while True:
        port = random.SystemRandom().randrange(_LOWEST, _BELOW)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
