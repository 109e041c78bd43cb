"""Pictures of the manager's page over live traffic: `python3 -m harness.pictures DIR`."""

import sys
import tempfile
import threading
from pathlib import Path

from .api import Api
from .backend import Backends
from .browser import browser
from .client import Client
from .farms import served
from .httpd import Httpd
from .waiting import wait_until

POLLS = 12
WIDTH = 1240


def traffic(port, path, ended, pause):
    """One client, until the end."""
    with Client(port, reconnect=True) as client:
        while not ended.wait(pause):
            client.request("GET", path)


def take(directory, place):
    (place / "shop").mkdir()
    (place / "search").mkdir()
    shop, search = Backends(place / "shop", 4), Backends(place / "search", 2)
    names = [f"name=app{n:02}" for n in range(1, 5)]
    conf = served(shop.urls, path="/shop/", name="shop", settings="lbmethod=leasttime") \
        + served(search.urls, path="/search/", name="search", settings="lbmethod=random")
    for url, name in zip(shop.urls, names, strict=True):
        conf = conf.replace(f'"{url}"', f'"{url}" {name} maxconn=64')
    httpd, ended = Httpd(place, "event", balancer=False, children=64, conf=conf), threading.Event()
    clients = []
    try:
        httpd.start()
        for member, wait in enumerate([30, 45, 60, 25]):
            shop.behave(member, delay_ms=wait, exponential=True)
        for member in range(2):
            search.behave(member, delay_ms=8, exponential=True)
        api = Api(httpd)
        api.patch("/farms/shop/members/app03", drain=True)
        api.patch("/farms/shop/members/app04", on=False)
        for path, count, pause in [("/shop/x", 6, 0.02), ("/search/x", 2, 0.03)]:
            clients += [threading.Thread(target=traffic, args=(httpd.port, path, ended, pause))
                        for _ in range(count)]
        for client in clients:
            client.start()
        with browser() as page:
            page.shape(WIDTH, 800)
            page.open(f"http://localhost:{httpd.port}/athena/")
            wait_until(lambda: drawn(page) >= POLLS, 3 * POLLS, "the charts drawn", every=0.5)
            height = page.run("return document.body.scrollHeight")
            for scheme in ("light", "dark"):
                page.shape(WIDTH, height, scheme=scheme)
                page.driver.save_screenshot(str(directory / f"page-{scheme}.png"))
    finally:
        ended.set()
        for client in clients:
            client.join()
        httpd.stop()
        shop.stop()
        search.stop()


def drawn(page):
    """How many points the first chart has."""
    return page.run("return (document.querySelector('.line')?.getAttribute('d') ?? '').split('L').length")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="athena-") as scratch:
        Path(scratch).chmod(0o755)
        take(Path(sys.argv[1]), Path(scratch))
