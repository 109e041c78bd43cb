"""As much HTTP/2 as it takes to ask, to leave in mid body, and to be answered 200."""

import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_CANCEL = 8


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def read_frame(stream):
    """A frame as (kind, flags, stream, payload); None at the end of the connection."""
    head = stream.read(9)
    if len(head) < 9:
        return None
    length = int.from_bytes(head[:3], "big")
    return head[3], head[4], int.from_bytes(head[5:], "big"), stream.read(length)


def _literal(index, value):
    """A header field without indexing, its name from the static table (RFC 7541, 6.2.2)."""
    value = value.encode()
    assert len(value) < 127
    return bytes([index, len(value)]) + value


def named(name, value):
    """The same, its name spelt out."""
    name, value = name.lower().encode(), value.encode()
    assert len(name) < 127 and len(value) < 127
    return bytes([0, len(name)]) + name + bytes([len(value)]) + value


class Connection:
    """A connection in clear text, and its streams."""

    def __init__(self, port):
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._socket.sendall(PREFACE + frame(SETTINGS, 0, 0))
        self._stream = self._socket.makefile("rb")
        self._next = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._stream.close()
        self._socket.close()

    def ask(self, path):
        """Sends a request; its stream."""
        stream, self._next = self._next, self._next + 2
        # 0x82 :method GET, 0x86 :scheme http; 1 is :authority, 4 is :path.
        block = b"\x82\x86" + _literal(1, "localhost") + _literal(4, path)
        self._socket.sendall(frame(HEADERS, END_STREAM | END_HEADERS, stream, block))
        return stream

    def reset(self, stream):
        self._socket.sendall(frame(RST_STREAM, 0, stream, struct.pack(">I", _CANCEL)))

    def receive(self, wanted):
        """The stream and payload of the next frame of that kind."""
        while received := read_frame(self._stream):
            kind, flags, stream, payload = received
            assert kind not in (GOAWAY, RST_STREAM), payload
            if kind == SETTINGS and not flags & ACK:
                self._socket.sendall(frame(SETTINGS, ACK, 0))
            if kind == wanted:
                return stream, payload
        raise AssertionError("closed")

    def ok(self):
        """The stream that is answered next, with 200 (RFC 7541, appendix A)."""
        stream, block = self.receive(HEADERS)
        assert block[0] == 0x88, block
        return stream

    def linger(self):
        """Closing it will reset it."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def abort_in_body(port, path, *, reset_stream=True):
    """GET `path`; on the first bytes of the body resets the stream, or the connection. Returns how
    many bytes of body had come."""
    with Connection(port) as connection:
        asked, body = connection.ask(path), b""
        while not body:
            _, body = connection.receive(DATA)
        if reset_stream:
            connection.reset(asked)
        else:
            connection.linger()
        return len(body)
