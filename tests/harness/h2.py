"""As much HTTP/2 as it takes to leave in mid body: one request, its first DATA frame, a reset."""

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


def abort_in_body(port, path, *, reset_stream=True):
    """GET `path` in clear text; on the first bytes of the body resets the stream, or the
    connection. Returns how many bytes of body had come."""
    with socket.socket() as connection:
        connection.settimeout(30)
        connection.connect(("127.0.0.1", port))
        # 0x82 :method GET, 0x86 :scheme http; 1 is :authority, 4 is :path.
        block = b"\x82\x86" + _literal(1, "localhost") + _literal(4, path)
        connection.sendall(PREFACE + frame(SETTINGS, 0, 0)
                           + frame(HEADERS, END_STREAM | END_HEADERS, 1, block))
        stream = connection.makefile("rb")
        while True:
            received = read_frame(stream)
            assert received, "closed before the body"
            kind, flags, _, payload = received
            assert kind not in (GOAWAY, RST_STREAM), payload
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK, 0))
            if kind == DATA and payload:
                break
        if reset_stream:
            connection.sendall(frame(RST_STREAM, 0, 1, struct.pack(">I", _CANCEL)))
        else:
            linger = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        return len(payload)
