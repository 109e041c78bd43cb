"""`python3 -m bench [NAME…]`: runs these, or all, and draws the page; `page` only draws it."""

import sys

from . import (
    balance,
    broken,
    instructions,
    looking,
    page,
    pick,
    query,
    recovered,
    scale,
    slow,
    stuck,
    throughput,
)
from .data import circumstances, save

# In the page's order.
BENCHES = {"slow": slow, "stuck": stuck, "broken": broken, "recovered": recovered,
           "balance": balance, "throughput": throughput, "instructions": instructions,
           "scale": scale, "pick": pick, "query": query, "looking": looking}

asked = sys.argv[1:] or list(BENCHES)
if unknown := set(asked) - {*BENCHES, "page"}:
    sys.exit(f"{', '.join(sorted(unknown))}: no such bench; there are {', '.join(BENCHES)}")
for name in asked:
    if name != "page":
        print(f"== {name}", flush=True)
        where = circumstances()
        save(name, where, BENCHES[name].run())
    page.draw(BENCHES)
print(f"Written: {page.PAGE}")
