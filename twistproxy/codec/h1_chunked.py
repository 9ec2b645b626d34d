"""Chunked transfer coding, decoding (RFC 9112 section 7.1).

Own code, because the parser library cannot stop at the end of a message, and because sizes, extensions and line ends
must be read strictly: this is where requests are smuggled.
"""

from __future__ import annotations

import re

from twistproxy.errors import RemoteProtocolError
from twistproxy.http.headers import Header

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_QUOTED = rb'"(?:[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\[\t \x21-\x7e\x80-\xff])*"'
_EXTENSION = rb"[ \t]*;[ \t]*" + _TOKEN + rb"(?:[ \t]*=[ \t]*(?:" + _TOKEN + rb"|" + _QUOTED + rb"))?"
#: chunk-size [ chunk-ext ]; 15 hex digits cannot overflow anybody's 64 bits.
_SIZE_LINE = re.compile(rb"0*([0-9A-Fa-f]{1,15})(?:" + _EXTENSION + rb")*")
#: What an unfinished one may be.
_SIZE_START = re.compile(rb"[0-9A-Fa-f]*(?:[ \t;\r]|\Z)")
_TRAILER = re.compile(rb"(" + _TOKEN + rb"):[ \t]*([\t \x21-\x7e\x80-\xff]*)")

#: A size line is 16 digits and, rarely, extensions; HAProxy and nginx stop far earlier.
MAX_SIZE_LINE = 4096

#: Fields that no trailer may carry (RFC 9110 section 6.5.1): framing, routing, what has been acted on already.
_NO_TRAILER = frozenset(
    (
        b"transfer-encoding",
        b"content-length",
        b"host",
        b"connection",
        b"te",
        b"trailer",
        b"upgrade",
        b"keep-alive",
    )
)


class ChunkedDecoder:
    """`feed(data)` returns the pieces of content that `data` brings.

    After the last chunk and the trailers `done` is True, `trailers` has them and `rest` the bytes behind.  Raises
    `RemoteProtocolError` at the first byte that is wrong.  `max_trailers` limits the trailer section, in bytes, and
    `most_trailers` the number of its fields.
    """

    __slots__ = (
        "_extensions",
        "_left",
        "_line",
        "_max_trailers",
        "_most_trailers",
        "_trailer_bytes",
        "_trailer_count",
        "done",
        "rest",
        "trailers",
    )

    def __init__(self, max_trailers: int = 60 * 1024, most_trailers: int = 1 << 30) -> None:
        self._line = b""  # an unfinished line
        self._left = 0  # bytes of content left; -1: its CRLF is due; -2: reading trailers
        self._max_trailers = max_trailers
        self._most_trailers = most_trailers
        self._trailer_bytes = 0
        self._trailer_count = 0
        self._extensions = 0
        self.trailers: list[Header] = []
        self.rest = b""
        self.done = False

    def feed(self, data: bytes) -> list[bytes]:
        pieces: list[bytes] = []
        at = 0
        end = len(data)
        while at < end:
            left = self._left
            if left > 0:
                if end - at <= left:
                    pieces.append(data[at:] if at else data)
                    self._left = -1 if end - at == left else left - (end - at)
                    return pieces
                pieces.append(data[at : at + left])
                at += left
                self._left = left = -1
            newline = data.find(b"\n", at)
            if newline < 0:
                self._keep(data[at:])
                return pieces
            line = self._line + data[at:newline] if self._line else data[at:newline]
            self._line = b""
            at = newline + 1
            # RFC 9112 section 2.2 lets a bare LF end a line, and every proxy takes it behind data and in trailers. A
            # size line has to be exact: it says where everything else is.
            if line[-1:] == b"\r":
                line = line[:-1]
            elif left == 0:
                raise RemoteProtocolError("chunk size does not end with CRLF")
            if left == -1:
                if line:
                    raise RemoteProtocolError("chunk is longer than its size")
                self._left = 0
            elif left == 0:
                self._size_line(line)
            elif self._trailer_line(line):
                self.rest = data[at:]
                return pieces
        return pieces

    def _keep(self, part: bytes) -> None:
        line = self._line + part
        limit = 1 if self._left == -1 else (MAX_SIZE_LINE if self._left == 0 else self._max_trailers)
        if len(line) > limit or (self._left == -1 and line != b"\r"):
            raise RemoteProtocolError("chunk line is too long")
        if self._left == 0 and _SIZE_START.match(line) is None:
            raise RemoteProtocolError("chunk size is not a number")
        self._line = line

    def _size_line(self, line: bytes) -> None:
        match = _SIZE_LINE.fullmatch(line)
        if match is None:
            raise RemoteProtocolError("chunk size is not a number")
        # Extensions mean nothing to a proxy; many of them only cost (CVE-2023-39326's kind).
        self._extensions += len(line) - match.end(1)
        if self._extensions > 65536:
            raise RemoteProtocolError("too many chunk extensions")
        self._left = int(match.group(1), 16) or -2

    def _trailer_line(self, line: bytes) -> bool:
        """True at the empty line that ends the message."""
        if not line:
            self.done = True
            return True
        self._trailer_bytes += len(line)
        self._trailer_count += 1
        if self._trailer_bytes > self._max_trailers or self._trailer_count > self._most_trailers:
            raise RemoteProtocolError("trailers are too large", 431)
        match = _TRAILER.fullmatch(line)
        if match is None:
            raise RemoteProtocolError("trailer is malformed")
        name = match.group(1).lower()
        if name not in _NO_TRAILER:
            self.trailers.append((name, match.group(2).rstrip(b" \t")))
        return False


def encode_chunk(data: bytes) -> bytes:
    """One chunk.  `data` is not empty: an empty chunk would end the message."""
    return b"%x\r\n%b\r\n" % (len(data), data)
