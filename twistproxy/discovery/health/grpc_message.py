"""The messages of grpc.health.v1 and the frames around them, which are too small to need their protobuf descriptors.

gRPC: PROTOCOL-HTTP2.md, "Length-Prefixed-Message"; grpc/health/v1/health.proto.
"""

from __future__ import annotations

SERVING = 1
_LENGTH_DELIMITED = 2


def request_frame(service: str) -> bytes:
    """A HealthCheckRequest, framed."""
    name = service.encode()
    message = b"\x0a" + _varint(len(name)) + name if name else b""
    return b"\0" + len(message).to_bytes(4, "big") + message


def split_frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The whole frames of `data`, each with its flags, and the rest."""
    found = []
    while len(data) >= 5:
        end = 5 + int.from_bytes(data[1:5], "big")
        if len(data) < end:
            break
        found.append((data[0], data[5:end]))
        data = data[end:]
    return found, data


def serving_status(message: bytes) -> int:
    """`status` of a HealthCheckResponse.  ValueError if it is none."""
    status = 0
    at = 0
    while at < len(message):
        tag, at = _read_varint(message, at)
        kind = tag & 7
        if kind == 0:
            value, at = _read_varint(message, at)
            if tag >> 3 == 1:
                status = value
        elif kind == _LENGTH_DELIMITED:
            size, at = _read_varint(message, at)
            at += size
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
    if at != len(message):
        raise ValueError("cut short")
    return status


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The number, and where the next byte is."""
    value = shift = 0
    while at < len(data) and shift < 70:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7
    raise ValueError("no varint")
