"""A servlet container, as far as AJP 1.3 goes: one answer to whatever is asked."""

import socketserver
import struct
import threading

_HEAD, _BODY, _END = 4, 3, 5


def _text(text):
    return struct.pack(">H", len(text)) + text.encode() + b"\0"


class Ajp:
    """Answers `name` with the headers it has at the time, on a port of its own."""

    def __init__(self, name):
        self.name, self.headers = name, {}
        answer = self._answer

        class Connection(socketserver.StreamRequestHandler):
            def handle(self):
                while head := self.rfile.read(4):
                    self.rfile.read(struct.unpack(">xxH", head)[0])
                    self.wfile.write(answer())

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Connection)
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer(self):
        headers = b"".join(_text(name) + _text(value) for name, value in self.headers.items())
        body = self.name.encode()
        packets = [
            struct.pack(">BH", _HEAD, 200) + _text("OK") + struct.pack(">H", len(self.headers))
            + headers,
            struct.pack(">BH", _BODY, len(body)) + body + b"\0",
            bytes([_END, 1]),
        ]
        return b"".join(b"AB" + struct.pack(">H", len(packet)) + packet for packet in packets)

    def stop(self):
        self._server.shutdown()
        self._server.server_close()
