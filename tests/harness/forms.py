"""A page's forms: as a browser sends them, and as other sites would have them sent."""

from urllib.parse import urlencode

from .client import fetch

FORM = "application/x-www-form-urlencoded"

# The headers of another site's page that a browser was led to.
FOREIGN = {
    "another site's Origin": {"Origin": "http://evil.test"},
    "an opaque Origin": {"Origin": "null"},
    "another site's Referer": {"Origin": None, "Referer": "http://evil.test/athena/"},
    "a name that begins like ours": {"Origin": "http://localhost.evil.test"},
    "our name as a user": {"Origin": "http://localhost@evil.test"},
    "another port of this host": {"Origin": "http://localhost:1", "Sec-Fetch-Site": None},
    "neither": {"Origin": None},
    "a cross-site fetch": {"Sec-Fetch-Site": "cross-site"},
    "a sibling": {"Sec-Fetch-Site": "same-site"},
    "a rebound name": {"Host": "evil.test", "Origin": "http://evil.test"},
}


def submit(server, path, fields, **headers):
    """A form as a browser sends it; headers may be replaced, or left out with None."""
    sent = {"Host": f"localhost:{server.port}", "Content-Type": FORM,
            "Origin": f"http://localhost:{server.port}", "Sec-Fetch-Site": "same-origin",
            **{name.replace("_", "-"): value for name, value in headers.items()}}
    body = fields if isinstance(fields, bytes) else urlencode(fields).encode()
    return fetch(server.port, path, method="POST", body=body,
                 headers={name: value for name, value in sent.items() if value is not None})
