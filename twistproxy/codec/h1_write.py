"""The writing half of an HTTP/1 connection, the same for both ends."""

from __future__ import annotations

from twistproxy.api.transport import Transport
from twistproxy.codec.h1_chunked import encode_chunk
from twistproxy.codec.h1_parse import MAX_JOINED, encode
from twistproxy.http.headers import Header


class MessageWriter:
    """Base of `Http1ServerConnection` and `Http1ClientConnection`.

    A head with content to come waits for the first piece of it in `_out`, so that both go out in one write: each
    write is a system call.  `_chunked_out`: the content is sent in chunks.
    """

    __slots__ = ("_chunked_out", "_out", "bytes_sent", "transport")

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.bytes_sent = 0
        self._out = b""
        self._chunked_out = False

    def flush(self) -> None:
        """See `api.codec.ResponseEncoder`."""
        if self._out:
            self._write(b"")

    def _write(self, data: bytes) -> None:
        out = self._out
        if out:
            self._out = b""
            if len(data) > MAX_JOINED:
                self.bytes_sent += len(out)
                self.transport.write(out)
            else:
                data = out + data
        if data:
            self.bytes_sent += len(data)
            self.transport.write(data)

    def _write_content(self, data: bytes, end_stream: bool) -> None:
        if data:
            if self._chunked_out:
                data = encode_chunk(data)
                if end_stream:
                    data += b"0\r\n\r\n"
            self._write(data)
        elif end_stream:
            self._write(b"0\r\n\r\n" if self._chunked_out else b"")

    def _write_trailers(self, trailers: list[Header]) -> None:
        """Only chunks can be followed by trailers; otherwise they are left out."""
        if self._chunked_out:
            self._write(encode((b"0\r\n",), trailers, b"\r\n"))
        else:
            self.flush()
