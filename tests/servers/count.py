"""A session's counter, as a WSGI application. The session's name ends in the instance's route."""

import itertools
import os
from http.cookies import SimpleCookie

ROUTE = os.environ["ROUTE"]
_counts, _names = {}, itertools.count()


def application(environ, start_response):
    cookies = SimpleCookie(environ.get("HTTP_COOKIE", ""))
    session = cookies["SID"].value if "SID" in cookies else None
    headers = [("Content-Type", "text/plain")]
    if session not in _counts:
        session = f"{next(_names)}.{ROUTE}"
        headers.append(("Set-Cookie", f"SID={session}; Path=/"))
    _counts[session] = _counts.get(session, 0) + 1
    start_response("200 OK", headers)
    return [f"{ROUTE} {_counts[session]}".encode()]
