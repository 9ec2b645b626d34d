"""Length-prefixed frames: four bytes of length, big-endian, then that many bytes of JSON."""

from __future__ import annotations

import json
from typing import Any

from twistproxy.errors import RemoteProtocolError

#: 10,000 endpoints take about 1 MB; a serialised bootstrap rarely more.
MAX_FRAME = 256 * 1024 * 1024

Message = dict[str, Any]


def encode_frame(message: Message) -> bytes:
    """A JSON object as one frame."""
    body = json.dumps(message, separators=(",", ":")).encode()
    return len(body).to_bytes(4, "big") + body


class FrameReader:
    """Cuts a byte stream into messages.

    `feed(data)` returns the messages that `data` completes.  A frame that is too long or no JSON object
    raises `RemoteProtocolError`; the stream cannot be used after that.
    """

    def __init__(self, max_frame: int = MAX_FRAME) -> None:
        self._buffer = bytearray()
        self._max_frame = max_frame

    def feed(self, data: bytes) -> list[Message]:
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        while len(buffer) >= 4:
            length = int.from_bytes(buffer[:4], "big")
            if length > self._max_frame:
                raise RemoteProtocolError(f"frame of {length} bytes")
            if len(buffer) < 4 + length:
                break
            try:
                message = json.loads(buffer[4 : 4 + length])
            except ValueError as e:
                raise RemoteProtocolError(f"frame is not JSON: {e}") from None
            if not isinstance(message, dict):
                raise RemoteProtocolError("frame is not a JSON object")
            del buffer[: 4 + length]
            messages.append(message)
        return messages
