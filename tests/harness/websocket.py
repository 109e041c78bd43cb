"""A WebSocket client for one short text message (RFC 6455)."""

import os

from .client import Client


def echo(port, target, text):
    """Upgrades, sends `text`, and returns the member that took it and what came back."""
    with Client(port) as client:
        answer = client.request("GET", target, {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        })
        assert answer.status == 101, answer
        assert answer.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        payload, mask = text.encode(), os.urandom(4)
        assert len(payload) < 126
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        client.send(bytes([0x81, 0x80 | len(payload)]) + mask + masked)
        kind, length = client.take(2)
        assert kind == 0x81
        echoed = client.take(length).decode()
        client.send(bytes([0x88, 0x80]) + mask)
        return answer.member, echoed
