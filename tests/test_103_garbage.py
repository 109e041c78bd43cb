"""Garbage below the engine's path: answered, forgotten, and nothing changed."""

import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from harness.client import Client
from harness.engine import Engine
from harness.farms import farm
from test_100_query import ask

PATHS = ["balance", "status/phys", "status/farm", "status/engine", "update/phys", "update/farm",
         "mirror/phys", "mirror/farm"]
PIECES = ["h=", "n=", "f=", "k=", "s=", "w=", "v=1", "key=", "E", "app01", "no/such", "farm_on", '"',
          "\\", "%", "%h", "%{", "}s", "%41", "%00", "%zz", "%C3", "&", "&&", ",", ",,", "=", "?",
          "balance/?", "load=nan", "load=1e999", "x" * 50, "\u00e9", "@", "/"]
EACH = 5000


def garbage(seed):
    """Requests of one client, and the statuses of their answers."""
    draw = random.Random(seed)
    seen = set()
    with Client(garbage.port, reconnect=True) as client:
        for _ in range(EACH):
            text = "".join(draw.choices(PIECES, k=draw.randrange(1, 12))) + "&"
            path = f"/athena/{draw.choice(PATHS)}/"
            if draw.random() < 0.2:
                answer = client.request("POST", path, {}, text.encode() + draw.randbytes(8))
            else:
                answer = client.request("GET", f"{path}?{text}".encode())
            seen.add(answer.status)
    return seen


def resident(server):
    """Pages that the children hold, without those that they share."""
    return {pid: int(fields[1]) - int(fields[2]) for pid in server.child_pids()
            if (fields := Path(f"/proc/{pid}/statm").read_text().split())}


def test_garbage_changes_nothing(httpd):
    """20,000 requests: no figure moves; after the first half no byte of the board does, and no child
    grows."""
    server = httpd("event", children=32, conf="AthAllowDiverseMulti On\n" + farm(
        ["http://127.0.0.1:9"], each="name=app01") + farm(["http://127.0.0.1:10"], name="two"))
    garbage.port = server.port
    board = server.directory / "athena.board"
    # The plans are compiled with the first choice.
    ask(server, "/athena/balance/?farm_one&two")
    before = Engine(server).farms()
    with ThreadPoolExecutor(2) as pool:
        statuses = set().union(*pool.map(garbage, (1, 2)))
        half, on_board = resident(server), board.read_bytes()
        statuses |= set().union(*pool.map(garbage, (3, 4)))
    after = resident(server)
    assert statuses <= {400, 403, 404, 414}, statuses
    assert half.keys() == after.keys()
    assert all(after[pid] - half[pid] <= 256 for pid in half), (half, after)
    assert Engine(server).farms() == before
    assert board.read_bytes() == on_board
