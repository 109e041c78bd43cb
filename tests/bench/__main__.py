"""`python3 -m bench [NAME…]`: runs these, or all, and writes the page."""

import sys

from . import (
    balance,
    broken,
    instructions,
    page,
    recovered,
    scale,
    slow,
    stuck,
    throughput,
)

BENCHES = {"instructions": instructions, "throughput": throughput, "scale": scale, "slow": slow,
           "stuck": stuck, "broken": broken, "recovered": recovered, "balance": balance}

names = sys.argv[1:] or list(BENCHES)
if unknown := set(names) - set(BENCHES):
    sys.exit(f"{', '.join(sorted(unknown))}: no such bench; there are {', '.join(BENCHES)}")
for name in names:
    print(f"== {name}", flush=True)
    circumstances = page.circumstances()
    page.write(BENCHES[name].TITLE, circumstances, BENCHES[name].run())
print(f"Written: {page.PAGE}")
