"""A browser: one kept connection, and the cookies it was given."""

from .client import Client


class Visitor:
    """Visits one page of a farm again and again."""

    def __init__(self, port, path):
        self._client, self._path = Client(port, reconnect=True), path
        self.cookies = {}

    def visit(self):
        """One request: its answer."""
        sent = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        answer = self._client.request("GET", self._path, {"Cookie": sent} if sent else {})
        for name, value in answer.headers:
            if name.lower() == "set-cookie":
                key, _, rest = value.partition("=")
                self.cookies[key] = rest.split(";")[0]
        return answer

    def close(self):
        self._client.close()
