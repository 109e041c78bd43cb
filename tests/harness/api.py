"""The JSON API as a client uses it."""

import json

from .client import fetch

API = "/athena/api/v1"


class Api:
    """Asks one httpd's API."""

    def __init__(self, httpd):
        self.httpd = httpd

    def ask(self, method, path, document=None, **headers):
        """One exchange, the path below the API's own; `If_Match="…"` is a header."""
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        body = None
        if document is not None:
            body = document if isinstance(document, bytes) else json.dumps(document).encode()
            headers.setdefault("Content-Type", "application/merge-patch+json")
        return fetch(self.httpd.port, API + path, method=method, body=body, headers=headers)

    def get(self, path):
        answer = self.ask("GET", path)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def patch(self, path, **changes):
        """Changes what must be changeable; the document as it is then."""
        answer = self.ask("PATCH", path, changes)
        assert answer.status == 200, answer
        return json.loads(answer.body)

    def refused(self, path, document, status, *, method="PATCH", **headers):
        """What is wrong with a change: the problem's detail."""
        answer = self.ask(method, path, document, **headers)
        assert answer.status == status, answer
        assert answer.header("Content-Type").startswith("application/problem+json"), answer
        problem = json.loads(answer.body)
        assert problem["status"] == status and problem["title"], problem
        return problem["detail"]

    def events(self):
        return self.get("/events")["events"]
