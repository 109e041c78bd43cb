"""An HTTP/1.1 client that sees every byte: kept-alive connections, raw requests, aborts."""

import socket
import struct
from dataclasses import dataclass, field


class Closed(ConnectionError):
    """The server closed the connection; `early` when not a byte of an answer had come."""

    def __init__(self, early):
        super().__init__("closed before an answer" if early else "closed within an answer")
        self.early = early


@dataclass
class Answer:
    status: int
    headers: list = field(default_factory=list)
    body: bytes = b""

    def header(self, name):
        """The first header of that name, None without one."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    @property
    def member(self):
        """The number of the back end that answered, None if none did."""
        number = self.header("X-Member")
        return None if number is None else int(number)


def _bytes(text):
    return text if isinstance(text, bytes) else text.encode()


class Client:
    """A connection that is opened when needed and kept as long as the server keeps it.

    With `reconnect`, a kept connection that the server closed before the first byte of an answer
    is replaced once by a fresh one, as browsers do; `reconnects` counts how often.
    """

    def __init__(self, port, host="127.0.0.1", *, timeout=30.0, reconnect=False, rcvbuf=None):
        self.address = (host, port)
        self.timeout = timeout
        self.reconnect = reconnect
        self.reconnects = 0
        self._rcvbuf = rcvbuf
        self._socket = None
        self._ahead = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def open(self):
        if self._socket is None:
            self._ahead = b""
            fresh = socket.socket()
            if self._rcvbuf:
                fresh.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._rcvbuf)
            fresh.settimeout(self.timeout)
            try:
                fresh.connect(self.address)
            except OSError:
                fresh.close()
                raise
            fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._socket = fresh
        return self

    def close(self):
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def abort(self):
        """Closes with a reset, whatever is under way."""
        if self._socket is not None:
            linger = struct.pack("ii", 1, 0)
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close()

    def get(self, target, **headers):
        return self.request("GET", target, headers)

    def request(self, method, target, headers=None, body=None):
        """One exchange. Target, names and values may be text or raw bytes."""
        lines = [b" ".join([_bytes(method), _bytes(target), b"HTTP/1.1"])]
        named = {_bytes(name).replace(b"_", b"-"): _bytes(value)
                 for name, value in (headers or {}).items()}
        if not any(name.lower() == b"host" for name in named):
            named[b"Host"] = b"localhost"
        if body is not None:
            named[b"Content-Length"] = str(len(body)).encode()
        lines += [name + b": " + value for name, value in named.items()]
        request = b"\r\n".join(lines) + b"\r\n\r\n" + (body or b"")
        kept = self._socket is not None
        try:
            return self.exchange(request, method)
        except (Closed, ConnectionResetError, BrokenPipeError) as error:
            self.close()
            if not (self.reconnect and kept and getattr(error, "early", True)):
                raise
            self.reconnects += 1
            return self.exchange(request, method)

    def exchange(self, request, method="GET"):
        """Sends bytes as they are and reads one answer."""
        self.send(request)
        return self.answer(method)

    def send(self, request):
        self.open()._socket.sendall(request)

    def answer(self, method="GET"):
        """Reads one answer; interim ones are passed over."""
        while True:
            answer = self.answer_head()
            if answer.status >= 200 or answer.status == 101:
                break
        coding = (answer.header("Transfer-Encoding") or "").lower()
        length = answer.header("Content-Length")
        if method == "HEAD" or answer.status in (101, 204, 304):
            pass
        elif coding == "chunked":
            while size := int(self._line().split(b";")[0], 16):
                answer.body += self.take(size)
                self._line()
            self._line()
        elif length is not None:
            answer.body = self.take(int(length))
        else:
            answer.body = self._rest()
        if (answer.header("Connection") or "").lower() == "close":
            self.close()
        return answer

    def answer_head(self):
        """Reads as far as the empty line, for who wants to leave in mid body."""
        head = self._until(b"\r\n\r\n").decode("latin-1")
        first, *lines = head.split("\r\n")
        headers = [tuple(part.strip() for part in line.split(":", 1)) for line in lines]
        return Answer(int(first.split(" ", 2)[1]), headers)

    def take(self, size):
        """Exactly `size` bytes."""
        while len(self._ahead) < size:
            self._fill(early=False)
        taken, self._ahead = self._ahead[:size], self._ahead[size:]
        return taken

    def _line(self):
        return self._until(b"\r\n", early=False)

    def _until(self, end, early=True):
        while end not in self._ahead:
            self._fill(early=early and not self._ahead)
        taken, self._ahead = self._ahead.split(end, 1)
        return taken

    def _fill(self, early):
        piece = self._socket.recv(65536)
        if not piece:
            self.close()
            raise Closed(early)
        self._ahead += piece

    def _rest(self):
        try:
            while True:
                self._fill(early=False)
        except Closed:
            taken, self._ahead = self._ahead, b""
            return taken


def fetch(port, target="/", *, method="GET", headers=None, body=None, host="127.0.0.1"):
    """One request on a connection of its own."""
    with Client(port, host) as client:
        return client.request(method, target, {"Connection": "close", **(headers or {})}, body)


def break_off(port, target):
    """A client that breaks its upload off."""
    with Client(port) as client:
        client.send(f"POST {target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50000\r\n\r\n".encode()
                    + bytes(30_000))
        client.abort()
