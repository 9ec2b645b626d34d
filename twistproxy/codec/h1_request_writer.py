"""The writing half of a connection towards an upstream: requests, and the end of the connection."""

from __future__ import annotations

import itertools
from typing import Final

from twistproxy.api.codec import Passage, ResponseDecoder
from twistproxy.api.transport import Transport
from twistproxy.codec.h1_chunked import ChunkedDecoder
from twistproxy.codec.h1_parse import encode
from twistproxy.codec.h1_write import MessageWriter
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead
from twistproxy.model.http1 import UpstreamHttp1Settings
from twistproxy.primitives.byte_meter import ByteMeter

#: Requests that have no content unless they say so (Envoy: HeaderUtility::requestShouldHaveNoBody).
_NO_CONTENT = frozenset((b"GET", b"HEAD", b"DELETE", b"TRACE", b"CONNECT"))

#: Bytes of a head beside its fields, method and target.
_REQUEST_LINE = len(b"  HTTP/1.1\r\n\r\n")

#: Connections are numbered, for logs.
_numbers = itertools.count(1)

# What is read next.  Positive values: so many bytes of content.
HEAD: Final = 0
CHUNKED: Final = -1
UNTIL_CLOSE: Final = -2
IDLE: Final = -3
CLOSED: Final = -4
TUNNEL: Final = -5

# Which request it is that waits for its response.
ORDINARY: Final = 0
HEAD_REQUEST: Final = 1
UPGRADE: Final = 2
CONNECT: Final = 3


class RequestWriter(MessageWriter):
    """`api.codec.RequestEncoder`: the base of `Http1ClientConnection`."""

    __slots__ = (
        "_backed_up",
        "_chunked",
        "_keep_alive",
        "_max_head",
        "_max_headers",
        "_partial",
        "_read_pauses",
        "_request",
        "_request_done",
        "_settings",
        "_sink",
        "_state",
        "_unflushed",
        "attached_at",
        "bytes_received",
        "closed_by_us",
        "connect_started",
        "cut_short",
        "ended",
        "meter",
        "number",
        "opened_at",
        "passage",
        "said_close",
        "streams",
        "switched",
        "used_at",
    )

    def __init__(self, transport: Transport, settings: UpstreamHttp1Settings, now: float) -> None:
        super().__init__(transport)
        self.streams = 0  # requests carried so far
        self.number = next(_numbers)
        self.meter: ByteMeter | None = None
        self.opened_at = self.used_at = now
        self.connect_started = now  # whoever connects may know better
        self.attached_at = now  # when a request that had waited for it got it
        self.bytes_received = 0
        self.closed_by_us = False
        self.cut_short = False  # it ended with a stream on it
        self.ended = False  # by the upstream, which ended a response with it
        self.said_close = False  # the upstream asked for the end of the connection
        self.switched = False
        self.passage: Passage | None = None
        self._settings = settings
        self._max_head = settings.max_head_bytes
        self._max_headers = settings.max_headers
        self._sink: ResponseDecoder | None = None
        self._state = IDLE
        self._partial = b""
        self._chunked: ChunkedDecoder | None = None
        self._unflushed = False  # a response was handed on whose content has not come yet
        self._request_done = True
        self._keep_alive = True
        self._request = ORDINARY
        self._read_pauses = 0
        self._backed_up = False  # the write buffer is over its high water mark

    # ---- writing: `RequestEncoder`

    def measure(self) -> ByteMeter:
        self.meter = meter = ByteMeter(self, self.bytes_received)
        return meter

    def write_first(self, data: bytes) -> None:
        """Write what comes before all requests of the connection."""
        self._write(data)

    def encode_headers(self, head: RequestHead, end_stream: bool) -> None:
        method = head.method
        framing = b"\r\n"
        self._chunked_out = False
        if b"content-length" not in head.index:
            if not end_stream:
                self._chunked_out = True
                framing = b"transfer-encoding: chunked\r\n\r\n"
            elif method not in _NO_CONTENT:
                framing = b"content-length: 0\r\n\r\n"
        self._request = HEAD_REQUEST if method == b"HEAD" else ORDINARY
        self._request_done = end_stream
        data = encode(
            (method, b" ", head.path, b" HTTP/1.1\r\nhost: ", head.authority, b"\r\n"), head.items, framing
        )
        if self.meter is not None:
            self.meter.header_sent += len(data) - len(method) - len(head.path) - _REQUEST_LINE
        if end_stream:
            self._write(data)
        else:
            self._out = data

    def encode_upgrade(self, head: RequestHead) -> None:
        """Nothing frames what comes behind: it is the tunnel's, and sent when there is one."""
        self._chunked_out = False
        self._request = UPGRADE if head.path else CONNECT
        self._request_done = False
        target = head.path or head.authority
        parts = (head.method, b" ", target, b" HTTP/1.1\r\nhost: ", head.authority, b"\r\n")
        data = encode(parts, head.items, b"\r\n")
        if self.meter is not None:
            self.meter.header_sent += len(data) - len(head.method) - len(target) - _REQUEST_LINE
        self._write(data)

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        self._write_content(data, end_stream)
        if end_stream:
            self._request_done = True

    def encode_trailers(self, trailers: HeaderMap) -> None:
        self._write_trailers(trailers.items if self._settings.enable_trailers else [])
        self._request_done = True

    def reset(self) -> None:
        self._sink = None
        self.cut_short = True
        if self._state == TUNNEL and not self._backed_up:
            self._close()  # what the client said last shall arrive
        else:
            self._abort()

    def pause_reading(self) -> None:
        self._read_pauses += 1
        if self._read_pauses == 1:
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        if self._read_pauses:
            self._read_pauses -= 1
            if self._read_pauses == 0 and self._state != CLOSED:
                self.transport.resumeProducing()

    def close(self) -> None:
        """Close a connection that carries no stream."""
        if self._request_done and not self._backed_up:
            self._close()
        else:
            self.cut_short = True
            self._abort()  # the rest of a request that has its answer might never be read

    def _close(self) -> None:
        self._state = CLOSED
        self.closed_by_us = not self.ended
        self.transport.unregisterProducer()
        self.transport.loseConnection()

    def _abort(self) -> None:
        self._state = CLOSED
        self.closed_by_us = True
        self.transport.abortConnection()
