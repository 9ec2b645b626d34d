"""The writing half of a connection towards the downstream: responses, and the end of the connection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twistproxy.api.codec import Passage, RequestDecoder, ResponseEncoder, ServerCallbacks
from twistproxy.api.transport import Transport
from twistproxy.codec.h1_chunked import ChunkedDecoder
from twistproxy.codec.h1_parse import encode
from twistproxy.codec.h1_request import CONNECT, UPGRADE
from twistproxy.codec.h1_write import MessageWriter
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import ResponseHead
from twistproxy.http.status import has_no_body, reason
from twistproxy.model.http1 import Http1Settings
from twistproxy.primitives.byte_meter import ByteMeter

# What the connection waits for.  Positive values: so many bytes of content; CHUNKED, UPGRADE and CONNECT of
# `h1_request`: chunks, and those of a tunnel.
HEAD: Final = 0
RESPONSE: Final = -2
CLOSED: Final = -3

_STATUS_LINES = {status: f"HTTP/1.1 {status} {reason(status)}\r\n".encode() for status in range(100, 600)}


class ResponseWriter(MessageWriter):
    """`api.codec.ResponseEncoder`, and what of `ServerCodec` does not read: the base of `Http1ServerConnection`."""

    __slots__ = (
        "_backed_up",
        "_chunked",
        "_close_after",
        "_consuming",
        "_draining",
        "_held",
        "_held_paused",
        "_http10",
        "_max_head",
        "_max_headers",
        "_partial",
        "_read_pauses",
        "_responding",
        "_response_to_head",
        "_screens_names",
        "_settings",
        "_state",
        "_stream",
        "_unflushed",
        "bytes_received",
        "callbacks",
        "closed_by_us",
        "half_closed",
        "meter",
        "metered",
        "passage",
        "when_ended",
    )

    def __init__(self, transport: Transport, settings: Http1Settings) -> None:
        super().__init__(transport)
        self.callbacks: ServerCallbacks = None  # type: ignore[assignment]  # set by whoever owns the connection
        # What each head needs of the settings is copied: compiled, an attribute of our own costs no look-up.
        self._settings = settings
        self._max_head = settings.max_head_bytes
        self._max_headers = settings.max_headers
        self._screens_names = bool(settings.underscores)
        self._state = HEAD
        self._stream: RequestDecoder | None = None  # until the request or the response ends it
        self._responding = False  # a request was handed on and its response is not complete
        self._partial = b""  # a head that is not complete
        self._held = b""  # what came before it could be used
        self._held_paused = False  # there is so much of it that reading has stopped
        self._backed_up = False  # the write buffer is over its high water mark
        self._consuming = False
        self._chunked: ChunkedDecoder | None = None
        self._unflushed = False  # a request was handed on whose content has not come yet
        self._close_after = False
        self._draining = False
        self._http10 = False
        self._response_to_head = False
        self._read_pauses = 0
        self.bytes_received = 0
        self.half_closed = False
        self.closed_by_us = False
        self.passage: Passage | None = None
        self.metered = False
        self.meter: ByteMeter | None = None
        self.when_ended: Callable[[], None] | None = None

    # ---- writing: `ResponseEncoder`

    def encode_1xx(self, head: ResponseHead) -> None:
        if not self._http10:
            self._write(encode((_STATUS_LINES[head.status],), head.items, b"\r\n"))

    def encode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        status = head.status
        framing = b"\r\n"
        if b"content-length" not in head.index and not has_no_body(status):
            if self._response_to_head:
                if not self._http10:
                    framing = b"transfer-encoding: chunked\r\n\r\n"
            elif end_stream:
                framing = b"content-length: 0\r\n\r\n"
            elif self._http10:
                self._close_after = True
            elif self._state != CONNECT or status >= 300:
                self._chunked_out = True
                framing = b"transfer-encoding: chunked\r\n\r\n"
        if self._draining:
            self._close_after = True
        if self._close_after:
            if not self._switches(head):
                framing = b"connection: close\r\n" + framing
        elif self._http10:
            framing = b"connection: keep-alive\r\n" + framing
        line = _STATUS_LINES[status]
        if self._http10:
            line = b"HTTP/1.0" + line[8:]
        data = encode((line,), head.items, framing)
        if self.meter is not None:
            self.meter.header_sent += len(data) - len(line) - 2
        if end_stream:
            self._write(data)
            self._response_ended()
        else:
            self._out = data

    def _switches(self, head: ResponseHead) -> bool:
        """Whether the response turns the connection into a tunnel."""
        state = self._state
        return (state == UPGRADE and head.status == 101) or (state == CONNECT and head.status == 200)

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        self._write_content(b"" if self._response_to_head else data, end_stream)
        if end_stream:
            self._response_ended()

    def encode_trailers(self, trailers: HeaderMap) -> None:
        self._write_trailers(trailers.items if self._settings.enable_trailers else [])
        self._response_ended()

    def reset(self) -> None:
        tunnel = self._state <= UPGRADE
        self._stream = None
        self._responding = False
        self._state = CLOSED
        if tunnel:
            self.callbacks.response_overtook()  # what came before the end shall arrive
        else:
            self.transport.abortConnection()

    def pause_reading(self) -> None:
        self._read_pauses += 1
        if self._read_pauses == 1:
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        self._read_pauses -= 1
        if self._read_pauses == 0 and self._state != CLOSED:
            self.transport.resumeProducing()

    def _forget_pauses(self) -> None:
        """The stream that has paused reading is over."""
        self._read_pauses = int(self._held_paused)
        if not self._read_pauses:
            self.transport.resumeProducing()

    def _response_ended(self) -> None:
        if self.when_ended is not None:
            when_ended, self.when_ended = self.when_ended, None
            when_ended()
        self._responding = False
        state = self._state
        if state == RESPONSE:
            self._stream = None
            if self._read_pauses:
                self._forget_pauses()
            if self._close_after:
                self.close()
            elif self._backed_up:
                pass  # no further request before the client has read: `resumeProducing` goes on
            elif not self._consuming:
                self._next()
            else:
                self._state = HEAD
        elif state != CLOSED:
            # The response overtook the request: what is left of it cannot be skipped within reason.
            self._stream = None
            self.callbacks.response_overtook()

    def _next(self) -> None:
        """Take the next request."""
        raise NotImplementedError

    # ---- `ServerCodec`

    @property
    def idle(self) -> bool:
        """No request is being read or answered."""
        return self._state == HEAD and not self._partial

    @property
    def closed(self) -> bool:
        """Nothing is read any more."""
        return self._state == CLOSED

    def drain(self) -> None:
        self._draining = True

    def close_after_response(self) -> None:
        """The response about to be encoded is the last one."""
        self._close_after = True

    def half_close(self) -> None:
        """Send what is written and FIN, and ignore what still comes: closing at once could reset the connection
        before the client has read the answer."""
        if self._state != CLOSED or not self.half_closed:
            self._state = CLOSED
            self._held = b""
            self._held_paused = False
            self.half_closed = True
            if self._read_pauses:
                self._forget_pauses()  # a client that is still sending may only then look at the answer
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        if self.half_closed:
            return
        self._state = CLOSED
        self._held = b""
        self.transport.unregisterProducer()
        self.transport.loseConnection()
        self.callbacks.close_begun()

    def give_up(self) -> ResponseEncoder:
        self._state = CLOSED
        if self.metered and self._stream is None:
            self.meter = ByteMeter(self, 0)
        self._partial = self._held = b""
        self._response_to_head = False  # the request before it may have been one
        return self

    @property
    def unsent(self) -> int:
        count: int = getattr(self.transport, "unsent", 1)
        return count
