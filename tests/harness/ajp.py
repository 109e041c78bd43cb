"""A servlet container, as far as AJP 1.3 goes: one answer to whatever is asked, and to pings."""

import socketserver
import struct
import threading

_HEAD, _BODY, _END, _PING, _PONG = 4, 3, 5, 10, 9


def _text(text):
    return struct.pack(">H", len(text)) + text.encode() + b"\0"


def _packet(payload):
    return b"AB" + struct.pack(">H", len(payload)) + payload


def read_packet(stream):
    """A packet's payload, empty at the end of the stream."""
    head = stream.read(4)
    return stream.read(struct.unpack(">xxH", head)[0]) if head else b""


PONG = _packet(bytes([_PONG]))


def is_ping(packet):
    return packet[:1] == bytes([_PING])


def answer(body, headers, status=200):
    """An answer's head, its body, and its end."""
    named = b"".join(_text(name) + _text(value) for name, value in headers.items())
    return [_packet(struct.pack(">BH", _HEAD, status) + _text("OK") + struct.pack(">H", len(headers))
                    + named),
            _packet(struct.pack(">BH", _BODY, len(body)) + body + b"\0"),
            _packet(bytes([_END, 1]))]


class Ajp:
    """Answers `name` with the headers it has at the time, on a port of its own."""

    def __init__(self, name):
        self.name, self.headers = name, {}
        container = self

        class Connection(socketserver.StreamRequestHandler):
            def handle(self):
                while packet := read_packet(self.rfile):
                    if is_ping(packet):
                        self.wfile.write(PONG)
                        continue
                    for part in answer(container.name.encode(), container.headers):
                        self.wfile.write(part)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Connection)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
