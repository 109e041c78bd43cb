"""A WebSocket client for short text messages (RFC 6455)."""

import os

from .client import Client


class WebSocket:
    """An open one: `answer` is what the upgrade was answered."""

    def __init__(self, port, target, **headers):
        self._client = Client(port)
        self.answer = self._client.request("GET", target, {
            "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", **headers,
        })
        assert self.answer.status == 101, self.answer
        assert self.answer.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._client.close()

    def say(self, text):
        """Sends `text` and returns what came back."""
        payload, mask = text.encode(), os.urandom(4)
        assert len(payload) < 126
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))
        self._client.send(bytes([0x81, 0x80 | len(payload)]) + mask + masked)
        kind, length = self._client.take(2)
        assert kind == 0x81
        return self._client.take(length).decode()

    def leave(self):
        self._client.send(bytes([0x88, 0x80]) + os.urandom(4))


def echo(port, target, text):
    """Upgrades, sends `text`, and returns the member that took it and what came back."""
    with WebSocket(port, target) as socket:
        echoed = socket.say(text)
        socket.leave()
        return socket.answer.member, echoed
