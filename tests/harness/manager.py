"""balancer-manager as a person uses it."""

from urllib.parse import urlencode

from .client import fetch

# A nonce that tests know, for ProxySet.
NONCE = "nonce=tested"
CONF = """<Location "/balancer-manager">
  SetHandler balancer-manager
</Location>
"""


def edit(port, farm="farm_one", host="localhost", **fields):
    """Submits balancer-manager's form: `b_lbm` is the method, `w` a member with `w_status_D`, …"""
    body = urlencode({"b": farm, "nonce": "tested", **fields}).encode()
    answer = fetch(port, "/balancer-manager", method="POST", body=body, headers={
        "Referer": f"http://{host}:{port}/balancer-manager", "Host": f"{host}:{port}",
        "Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 200, answer
    return answer.body.decode()
