"""As much HTTP/2 as it takes to leave in mid body: one request, its first DATA frame, a reset."""

import socket
import struct

_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_DATA, _HEADERS, _RST_STREAM, _SETTINGS, _GOAWAY = 0, 1, 3, 4, 7
_END_STREAM, _END_HEADERS, _ACK = 1, 4, 1
_CANCEL = 8


def _frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def _literal(index, value):
    """A header field without indexing, its name from the static table (RFC 7541, 6.2.2)."""
    value = value.encode()
    assert len(value) < 127
    return bytes([index, len(value)]) + value


def abort_in_body(port, path, *, reset_stream=True):
    """GET `path` in clear text; on the first bytes of the body resets the stream, or the
    connection. Returns how many bytes of body had come."""
    with socket.socket() as connection:
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        # 0x82 :method GET, 0x86 :scheme http; 1 is :authority, 4 is :path.
        block = b"\x82\x86" + _literal(1, "localhost") + _literal(4, path)
        connection.sendall(_PREFACE + _frame(_SETTINGS, 0, 0)
                           + _frame(_HEADERS, _END_STREAM | _END_HEADERS, 1, block))
        stream = connection.makefile("rb")
        while True:
            head = stream.read(9)
            assert len(head) == 9, "closed before the body"
            length = int.from_bytes(head[:3], "big")
            kind, flags = head[3], head[4]
            payload = stream.read(length)
            assert kind not in (_GOAWAY, _RST_STREAM), payload
            if kind == _SETTINGS and not flags & _ACK:
                connection.sendall(_frame(_SETTINGS, _ACK, 0))
            if kind == _DATA and length:
                break
        if reset_stream:
            connection.sendall(_frame(_RST_STREAM, 0, 1, struct.pack(">I", _CANCEL)))
        else:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return length
