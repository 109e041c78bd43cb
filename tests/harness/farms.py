"""Pieces of configuration."""


def farm(urls, *, name="farm_one", settings="", each="", weights=None):
    """A `<Proxy>` section; `settings` go to ProxySet, `each` to every member's line."""
    weights = weights or [None] * len(urls)
    lines = [f'<Proxy "balancer://{name}">']
    for url, weight in zip(urls, weights, strict=True):
        factor = "" if weight is None else f" loadfactor={weight}"
        lines.append(f'  BalancerMember "{url}"{factor} {each}')
    if settings:
        lines.append(f"  ProxySet {settings}")
    return "\n".join([*lines, "</Proxy>", ""])


def served(urls, path="/farm/", **options):
    """A farm and the ProxyPass line that leads to it by its name."""
    name = options.get("name", "farm_one")
    return farm(urls, **options) + f'ProxyPass "{path}" "http://{name}/"\n'
