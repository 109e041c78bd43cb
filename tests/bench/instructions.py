"""Instructions per request, counted by callgrind."""

from harness.client import Client
from harness.paths import MODULE

from .callgrind import Counted
from .page import table
from .scene import FARM, OURS, OURS_ALONE, PLAIN, STOCK, scene

TITLE = "Instructions"

METHOD = """\
callgrind counts `apache2 -X` (prefork) while one client with a kept-alive connection sends {warm}
requests to each path to warm up, and then {rounds} times {n} to each in turn; only these count. The
spread is the largest difference between two such rounds."""

WARM = 200
N = 1000
ROUNDS = 2

# Where our module hands the request on: what happens below happens without us as well.
HANDED_ON = {"proxy_run_scheme_handler", "ap_pass_brigade", "ap_proxy_canon_url"}


def _measure(stage, kind):
    """For each path, the profiles of its rounds."""
    httpd = stage.start(kind, "prefork", Counted)
    profiles = {PLAIN: [], FARM: []}
    with Client(httpd.port) as client:
        for path in profiles:
            httpd.count(client, path, WARM)
        for _ in range(ROUNDS):
            for path, seen in profiles.items():
                seen.append(httpd.count(client, path, N))
    httpd.stop()
    return profiles


def _mean(profiles):
    return sum(profile.total for profile in profiles) / len(profiles)


def _spread(profiles):
    totals = [profile.total for profile in profiles]
    return max(totals) - min(totals)


def _summary(measured):
    differences = {kind: _mean(seen[FARM]) - _mean(seen[PLAIN]) for kind, seen in measured.items()}
    rows = []
    for kind, seen in measured.items():
        rows.append([kind, f"{_mean(seen[PLAIN]):.0f}", f"{_mean(seen[FARM]):.0f}",
                     f"{differences[kind]:.0f}", f"{differences[kind] / differences[STOCK]:.2f}",
                     f"{_mean(seen[FARM]) / _mean(measured[STOCK][FARM]):.3f}",
                     f"{max(map(_spread, seen.values())):.0f}"])
    return table(["httpd", "plain", "farm", "farm − plain", "÷ stock's", "farm ÷ stock's farm",
                  "spread"], rows)


def _profile(profile, least=10):
    """Where the instructions of our module go."""
    module = MODULE.name
    functions = [[f"`{name}`", f"{inclusive:.0f}", f"{own:.0f}", f"{calls:.2f}"]
                 for name, inclusive, own, calls in profile.functions(module) if inclusive >= least]
    leaving = profile.leaving(module)
    called = [[f"`{caller}`", f"`{callee}`", f"{cost:.0f}", f"{calls:.2f}"]
              for caller, callee, cost, calls in leaving if cost >= least]
    own = profile.objects().get(module, 0.0)
    below = sum(cost for _, callee, cost, _ in leaving if callee not in HANDED_ON)
    return (f"{own:.0f} within the module, {below:.0f} in functions of httpd, APR and libc that it "
            "calls (without what would be called anyway).\n\n"
            + table(["function", "inclusive", "own", "calls"], functions) + "\n\n"
            + table(["from", "calls", "inclusive", "times"], called))


def run():
    """The section's text."""
    measured = {}
    with scene() as stage:
        for kind in (STOCK, OURS, OURS_ALONE):
            measured[kind] = _measure(stage, kind)
    summary = _summary(measured)
    print(summary, flush=True)
    parts = [METHOD.format(warm=WARM, rounds=ROUNDS, n=N), summary]
    for what, path in (("a request to a farm", FARM), ("a direct ProxyPass beside it", PLAIN)):
        parts += [f"### The module's part in {what}", _profile(measured[OURS][path][-1])]
    return "\n\n".join(parts)
