"""What the manual and the README show, pasted."""

import re

import pytest
from harness.certificates import Authority
from harness.paths import ROOT

MODULES = ["headers", "setenvif", "proxy_ajp", "proxy_fcgi", "proxy_http2", "proxy_uwsgi",
           "proxy_wstunnel"]


def blocks():
    """Each with its place."""
    for name in ("docs/mod_athena.md", "README.md"):
        text = (ROOT / name).read_text()
        for found in re.finditer(r"^```apache\n(.*?)^```$", text, re.M | re.S):
            line = text.count("\n", 0, found.start()) + 1
            yield pytest.param(found[1], id=f"{name}:{line}")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """What takes the place of the files that the blocks name."""
    place = tmp_path_factory.mktemp("files")
    key = place / "athena.key"
    key.write_text("0" * 64)
    key.chmod(0o600)
    return {"/etc/apache2/athena-2026a.key": key,
            "/etc/ssl/private-ca.pem": Authority(place / "ca").certificate}


@pytest.mark.parametrize("block", blocks())
def test_httpd_starts_with_it(make_httpd, files, block):
    server = make_httpd("event", modules=(
            MODULES + ["ssl"] * ("SSL" in block)
            + ["slotmem_shm", "heartmonitor"] * ("Heartbeat" in block)))
    server.expect("AH01873|AH01882")  # mod_ssl's, about itself
    # The harness loads modules, all but the example of one.
    block = re.sub(r"^LoadModule.*\n", "", block, flags=re.M).replace("lbmethod=sample", "")
    for name, file in files.items():
        block = block.replace(name, str(file))
    if block.startswith(("ProxySet", "BalancerMember")):
        # Lines of a section.
        block = f'<Proxy "balancer://shown">\nBalancerMember "http://10.0.0.9" route=z\n{block}</Proxy>\n'
    server.conf = block
    server.start()
