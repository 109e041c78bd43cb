"""Members that speak ajp, fcgi, h2c, scgi or uwsgi, and misbehave when told to."""

import re
import socket
import socketserver
import struct
import threading
from contextlib import suppress

from . import ajp, h2

_REASON = {200: "200 OK", 500: "500 Internal Server Error"}


def _head(before, status, headers):
    """Without the empty line at its end."""
    headers = {"Content-Type": "text/plain"} | headers
    lines = [before + _REASON[status], *map(": ".join, headers.items()), ""]
    return "\r\n".join(lines).encode()


# Each protocol reads a request (False: none came), gives an answer's head, its body and its end, and says
# whether the connection goes on after it. `body` is the last request's.

class _Ajp:
    goes_on = True

    def read(self, stream, write):
        while ajp.is_ping(request := ajp.read_packet(stream)):
            write(ajp.PONG)
        post = 4
        self.body = b""
        if request and request[1] == post:
            # Its length comes first.
            self.body = ajp.read_packet(stream)[2:]
        return bool(request)

    def answer(self, status, headers, body):
        return ajp.answer(body, headers, status)


class _Fcgi:
    goes_on = True
    _END, _STDIN, _STDOUT = 3, 5, 6

    def read(self, stream, _write):
        self.body = b""
        while head := stream.read(8):
            kind, length, padding = struct.unpack(">xBxxHBx", head)
            content = stream.read(length + padding)[:length]
            self.body += content if kind == self._STDIN else b""
            if kind == self._STDIN and length == 0:
                return True
        return False

    def answer(self, status, headers, body):
        return [self._record(self._STDOUT, _head("Status: ", status, headers) + b"\r\n"),
                self._record(self._STDOUT, body),
                self._record(self._STDOUT, b"") + self._record(self._END, bytes(8))]

    def _record(self, kind, content):
        return struct.pack(">BBHHxx", 1, kind, 1, len(content)) + content


class _Scgi:
    goes_on = False

    def read(self, stream, _write):
        length = b""
        while (digit := stream.read(1)) not in (b":", b""):
            length += digit
        headers = stream.read(int(length) + 1) if length else b""
        length = re.search(rb"CONTENT_LENGTH\0(\d*)\0", headers)
        self.body = stream.read(int(length[1] or 0) if length else 0)
        return bool(headers)

    def answer(self, status, headers, body):
        return [_head("Status: ", status, headers), b"\r\n" + body, b""]


class _Uwsgi:
    goes_on = False

    def read(self, stream, _write):
        head = stream.read(4)
        variables = stream.read(struct.unpack("<xHx", head)[0]) if head else b""
        length = re.search(rb"CONTENT_LENGTH..(\d+)", variables, re.DOTALL)
        self.body = stream.read(int(length[1]) if length else 0)
        return bool(variables)

    def answer(self, status, headers, body):
        return [_head("HTTP/1.1 ", status, headers), b"\r\n" + body, b""]


class _H2c:
    goes_on = True

    def __init__(self):
        self._stream = 0

    def read(self, stream, write):
        if self._stream == 0:
            if stream.read(len(h2.PREFACE)) != h2.PREFACE:
                return False
            write(h2.frame(h2.SETTINGS, 0, 0))
        self.body = b""
        while received := h2.read_frame(stream):
            kind, flags, self._stream, payload = received
            self.body += payload if kind == h2.DATA else b""
            if kind in (h2.HEADERS, h2.DATA) and flags & h2.END_STREAM:
                return True
            if kind in (h2.SETTINGS, h2.PING) and not flags & h2.ACK:
                write(h2.frame(kind, h2.ACK, 0, payload if kind == h2.PING else b""))
        return False

    def answer(self, status, headers, body):
        indexed = {200: b"\x88", 500: b"\x8e"}[status]
        block = indexed + b"".join(h2.named(*header) for header in headers.items())
        return [h2.frame(h2.HEADERS, h2.END_HEADERS, self._stream, block),
                h2.frame(h2.DATA, 0, self._stream, body),
                h2.frame(h2.DATA, h2.END_STREAM, self._stream)]


_PROTOCOLS = {"ajp": _Ajp, "fcgi": _Fcgi, "h2c": _H2c, "scgi": _Scgi, "uwsgi": _Uwsgi}


class Hostile:
    """A member that answers `name`, with a cookie of this value, unless `behaviour` is

    * "error": answers with status 500;
    * "close": closes once it has read the request;
    * "head": closes before the body of its answer, which has an ETag; over scgi and uwsgi in mid head;
    * "begin": resets the connection when half of the answer is out and `cut` is called;
    * "hang": never answers;
    * "stale": answers the first request of a connection, closes on the second.

    `requests` counts what it has read, `body` is the last one's.
    """

    def __init__(self, protocol, name):
        self.behaviour, self.requests, self.body = "answer", 0, None
        self._lock, self._open = threading.Lock(), set()
        member, self._over = self, threading.Event()

        class Connection(socketserver.StreamRequestHandler):
            def handle(self):
                with member._lock:
                    member._open.add(self.request)
                with suppress(ConnectionError):
                    member._serve(self, _PROTOCOLS[protocol](), name)
                with member._lock:
                    member._open.discard(self.request)

        class Server(socketserver.ThreadingTCPServer):
            allow_reuse_address = daemon_threads = True

        self._server = Server(("127.0.0.1", 0), Connection)
        self.url = f"{protocol}://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def _serve(self, connection, speech, name):
        answered = 0
        while speech.read(connection.rfile, connection.wfile.write):
            with self._lock:
                self.requests += 1
                self.body = speech.body
            if self.behaviour == "hang":
                self._over.wait()  # until the test is over
            if self.behaviour in ("close", "hang") or (self.behaviour == "stale" and answered):
                return
            status = 500 if self.behaviour == "error" else 200
            headers = {"Set-Cookie": f"by={name}"}
            if self.behaviour == "head":
                headers["ETag"] = f'"{name}"'
            head, body, end = speech.answer(status, headers, name.encode())
            if self.behaviour == "head":
                connection.wfile.write(head)
                return
            connection.wfile.write(head + body)
            if self.behaviour == "begin":
                self._over.wait()
                linger = struct.pack("ii", 1, 0)
                connection.request.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                connection.request.close()
                return
            connection.wfile.write(end)
            answered += 1
            if not speech.goes_on:
                return

    def cut(self):
        self._over.set()

    def die(self):
        """Takes no more connections, and cuts those that are open."""
        self._server.shutdown()
        self._server.server_close()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def stop(self):
        self._over.set()
        self._server.shutdown()
        self._server.server_close()
