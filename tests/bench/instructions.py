"""Instructions per request, counted by callgrind: by hook, and by the number of members."""

from collections import Counter

from harness.paths import MODULE

from . import plot
from .callgrind import CACHE, Counted
from .page import Case, table
from .scene import FARM, OURS, OURS_ALONE, OURS_LEASTTIME, PLAIN, STOCK, scene

TITLE = "Instructions"

METHOD = """\
callgrind counts `apache2 -X` (prefork) while one client with a kept-alive connection sends requests to
warm up ({warm} to plain, and to the farm one for each member, {warm} at least), and then {rounds} times
{n} to each path in turn; only these count, and only in its thread. The spread is the largest difference
between two such rounds. farm − plain is what the choice and the accounting cost; instructions hold on
a busy machine."""

HOOKS = """\
What our part of farm − plain consists of: instructions in and below each of our functions that httpd
calls, without what would be called anyway (the protocol's handler, canonicalising, the filters that
follow). The rest is what httpd itself does more: copying a longer URL, another worker's fields."""

MISSES = """\
Accesses to data a request to the farm makes that a cache of {cache} MiB does not hold (callgrind's
`--cache-sim`), by who makes them. With three members there are none to speak of; with many, no cache
holds all their connections, and what mod_proxy, httpd and APR touch of these comes from memory at each
request, whoever has chosen the member. The kernel's own part is not in here."""

WARM = 200
N, ROUNDS = 500, 2
# Kinds of httpd by number of members.
COUNTED = {3: [STOCK, OURS, OURS_LEASTTIME, OURS_ALONE], 1000: [STOCK, OURS, OURS_LEASTTIME],
           10_000: [STOCK, OURS, OURS_LEASTTIME]}
# Of stock's farm − plain, ours at most.
WANTED = {3: 1, 1000: 0.1, 10_000: 0.1}

# Where our functions hand the request on, and which of them.
HANDED_ON = {"ap_proxy_canon_url": "mod_athena::serve::pre_request",
             "proxy_run_scheme_handler": "mod_athena::serve::scheme_handler",
             "ap_pass_brigade": "mod_athena::filter::output"}


def _measure(stage, kind, members):
    """What a request costs to each path, the spread, and our functions' part in farm − plain."""
    httpd = stage.start(kind, "prefork", Counted)
    profiles = {PLAIN: [], FARM: []}
    with httpd.client() as client:
        httpd.count(client, PLAIN, WARM)
        httpd.count(client, FARM, max(WARM, members))
        for _ in range(ROUNDS):
            for path, seen in profiles.items():
                seen.append(httpd.count(client, path, N))
    httpd.stop()
    totals = {path: [profile.total for profile in seen] for path, seen in profiles.items()}
    farm, plain = (_hooks(profiles[path][-1]) for path in (FARM, PLAIN))
    return {
        "plain": sum(totals[PLAIN]) / ROUNDS, "farm": sum(totals[FARM]) / ROUNDS,
        "spread": max(max(seen) - min(seen) for seen in totals.values()),
        "hooks": {name: farm.get(name, 0) - plain.get(name, 0) for name in sorted({*farm, *plain})},
        "missed": _missed(profiles[FARM][-1]),
    }


def _missed(profile):
    """Misses a request, by who makes them."""
    seen = Counter({"mod_athena": 0, "mod_proxy": 0, "httpd, APR, libc": 0})
    for name, misses in profile.missed.items():
        whose = ("mod_athena" if name == MODULE.name else
                 "mod_proxy" if name.startswith("mod_proxy") else "httpd, APR, libc")
        seen[whose] += misses / profile.requests
    return seen


def _hooks(profile):
    """Instructions in and below each of our functions that httpd calls."""
    module = MODULE.name
    costs = profile.entering(module)
    for callee, cost in profile.leaving(module).items():
        if callee in HANDED_ON:
            costs[HANDED_ON[callee]] -= cost
    return costs


def run():
    """{members: {kind: what it costs}}."""
    found = {}
    for members, kinds in COUNTED.items():
        with scene(members) as stage:
            found[str(members)] = seen = {}
            for kind in kinds:
                seen[kind] = _measure(stage, kind, members)
                print(members, kind, seen[kind], flush=True)
    return found


def _difference(cost):
    return cost["farm"] - cost["plain"]


def _costs(found):
    rows = []
    for members, seen in found.items():
        for kind, cost in seen.items():
            rows.append([f"{int(members):,}", kind, f"{cost['plain']:.0f}", f"{cost['farm']:.0f}",
                         f"{_difference(cost):.0f}",
                         f"{_difference(cost) / _difference(seen[STOCK]):.3f}",
                         f"{cost['farm'] / seen[STOCK]['farm']:.3f}", f"{cost['spread']:.0f}"])
    return table(["members", "httpd", "plain", "farm", "farm − plain", "÷ stock's",
                  "farm ÷ stock's farm", "spread"], rows)


def _misses(found):
    rows = [[f"{int(members):,}", kind, *(f"{missed:.1f}" for missed in cost["missed"].values()),
             f"{sum(cost['missed'].values()):.1f}"]
            for members, seen in found.items() for kind, cost in seen.items()]
    whose = found["3"][STOCK]["missed"]
    return table(["members", "httpd", *whose, "together"], rows)


def _by_hook(found, least=1):
    columns = [(members, kind) for kind in (OURS, OURS_LEASTTIME) for members in found]
    costs = [found[members][kind] for members, kind in columns]
    names = sorted({name for cost in costs for name in cost["hooks"]},
                   key=lambda name: -costs[0]["hooks"].get(name, 0))
    rows = [[f"`{name.removeprefix('mod_athena::')}`",
             *(f"{cost['hooks'].get(name, 0):.0f}" for cost in costs)] for name in names
            if any(abs(cost["hooks"].get(name, 0)) >= least for cost in costs)]
    rows.append(["the rest", *(f"{_difference(cost) - sum(cost['hooks'].values()):.0f}"
                               for cost in costs)])
    rows.append(["farm − plain", *(f"{_difference(cost):.0f}" for cost in costs)])
    head = [f"{kind}, {int(members):,}" for members, kind in columns]
    return table(["called by httpd", *head], rows)


def section(found):
    """The section's Markdown."""
    lines = {kind: [(int(members), _difference(seen[kind])) for members, seen in found.items()]
             for kind in (STOCK, OURS, OURS_LEASTTIME)}
    return "\n\n".join([
        METHOD.format(warm=WARM, rounds=ROUNDS, n=N),
        plot.lines("instructions", "What a farm costs more than a direct ProxyPass", "members",
                   "instructions a request", lines, log="xy"),
        _costs(found), "### By hook", HOOKS, _by_hook(found),
        "### Cache misses", MISSES.format(cache=CACHE >> 20), _misses(found)])


def summary(found):
    """Its lines of the summary."""
    cases = []
    for members, seen in found.items():
        cost = {kind: _difference(seen[kind]) for kind in seen}
        share = WANTED[int(members)]
        cases.append(Case(
            f"farm − plain among {int(members):,}, instructions", f"stock byrequests {cost[STOCK]:.0f}",
            f"{cost[OURS]:.0f} (roundrobin), {cost[OURS_LEASTTIME]:.0f} (leasttime)",
            f"≤ {share:g} × stock's", max(cost[OURS], cost[OURS_LEASTTIME]) <= share * cost[STOCK]))
    plain, farm = ({kind: found["3"][kind][path] for kind in (STOCK, OURS)}
                   for path in ("plain", "farm"))
    for what, cost in [("a farm's request among 3", farm), ("a direct ProxyPass", plain)]:
        cases.append(Case(f"{what}, instructions in all", f"stock httpd {cost[STOCK]:.0f}",
                          f"{cost[OURS]:.0f}", "≤ 1.02 × stock's", cost[OURS] <= 1.02 * cost[STOCK]))
    growth = {kind: _difference(found["10000"][kind]) / _difference(found["1000"][kind])
              for kind in (STOCK, OURS, OURS_LEASTTIME)}
    worst = max(growth[OURS], growth[OURS_LEASTTIME])
    cases.append(Case("farm − plain among 10,000 ÷ among 1,000, instructions",
                      f"stock byrequests {growth[STOCK]:.2f}", f"{worst:.2f}", "≤ 1.1", worst <= 1.1))
    return cases
