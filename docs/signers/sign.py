#!/usr/bin/env python3
"""Makes a cookie for mod_athena: sign.py KEYFILE ID EXPIRES FARMS [MEMBER [CLASS]]

EXPIRES is in seconds since 1970, FARMS a list separated by commas; an empty MEMBER is none.
docs/cookie.md describes the format.
"""

import base64
import hashlib
import hmac
import sys


def sign(secret, key_id, expires, farms, member="", member_class=""):
    """The cookie's value."""
    lines = [f"expires={expires}", f"farms={farms}"]
    if member:
        lines.append(f"member={member}")
    if member_class:
        lines.append(f"class={member_class}")
    claims = text("\n".join(lines).encode())
    signed = f"v1.{key_id}.{claims}"
    signature = text(hmac.new(secret, signed.encode(), hashlib.sha256).digest())
    return f"{signed}.{signature}"


def text(data):
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


if __name__ == "__main__":
    if not 5 <= len(sys.argv) <= 7:
        sys.exit(__doc__)
    with open(sys.argv[1], "rb") as file:
        secret = file.read().rstrip(b"\r\n")
    print(sign(secret, *sys.argv[2:]))
