"""HTTP/1.1 towards the upstream (RFC 9112).

One `Http1ClientConnection` is the handler of a transport, the codec of the connection and the encoder of the one request
that it carries at a time.  Heads are always written anew from their parsed form: no byte of framing crosses the proxy.
"""

from __future__ import annotations

from typing import Protocol

from twistproxy.api.codec import ResetReason, ResponseDecoder
from twistproxy.api.transport import Transport
from twistproxy.codec.h1_chunked import ChunkedDecoder
from twistproxy.codec.h1_parse import (
    FRAMING,
    INCOMPLETE,
    UNUSUAL,
    ParsedResponse,
    is_news,
    mended,
    parse_response,
)
from twistproxy.codec.h1_request_writer import (
    CHUNKED,
    CLOSED,
    CONNECT,
    HEAD,
    HEAD_REQUEST,
    IDLE,
    TUNNEL,
    UNTIL_CLOSE,
    UPGRADE,
    RequestWriter,
)
from twistproxy.errors import RemoteProtocolError
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import ResponseHead
from twistproxy.http.status import has_no_body
from twistproxy.model.http1 import UpstreamHttp1Settings

_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))


class ClientConnectionOwner(Protocol):
    """The pool that a connection belongs to."""

    def stream_done(self, connection: Http1ClientConnection, reusable: bool) -> None:
        """The stream is over.  `reusable`: both messages are complete and the upstream keeps the connection open."""

    def connection_lost(self, connection: Http1ClientConnection, reason: str) -> None: ...


class Http1ClientConnection(RequestWriter):
    """See `api.codec.RequestEncoder` and `api.transport.TransportHandler`."""

    __slots__ = ("owner",)

    def __init__(
        self, transport: Transport, owner: ClientConnectionOwner, settings: UpstreamHttp1Settings, now: float
    ) -> None:
        super().__init__(transport, settings, now)
        self.owner = owner

    def new_stream(self, sink: ResponseDecoder) -> None:
        """`sink` gets the response to the request that is encoded next.  The connection must be free."""
        assert self._sink is None and self._state == IDLE
        self._sink = sink
        self._state = HEAD
        self.streams += 1

    # ---- from the transport

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        self._take(data)
        if self._unflushed:
            self._unflushed = False
            if self._sink is not None:
                self._sink.flush()

    def _take(self, data: bytes) -> None:
        while data:
            state = self._state
            if state == HEAD:
                data = self._take_head(data)
            elif state > 0:
                sink = self._sink
                assert sink is not None
                count = len(data)
                if count < state:
                    self._state = state - count
                    sink.decode_data(data, False)
                    return
                if count > state:
                    self._keep_alive = False  # more than there should be: nothing behind it can be trusted
                    data = data[:state]
                self._finish(sink, data)
                return
            elif state == CHUNKED:
                self._take_chunks(data)
                return
            elif state == UNTIL_CLOSE:
                assert self._sink is not None
                self._sink.decode_data(data, False)
                return
            else:
                if state == TUNNEL:
                    if self.passage is not None:
                        self.passage.send(data)
                    elif self._sink is not None:
                        self._sink.decode_data(data, False)
                elif state == IDLE:
                    # An answer that nobody asked for (Envoy closes such a connection as well).
                    self._abort()
                    self.owner.connection_lost(self, "")
                return

    def read_ended(self) -> None:
        if self._state == UNTIL_CLOSE and self._sink is not None:
            self._keep_alive = False
            self.ended = True
            self._finish(self._sink, b"")
        else:
            self._lost("")
            self.transport.abortConnection()
            # Now, so that it is not used again before the transport says so.
            self.owner.connection_lost(self, "")

    def connection_lost(self, reason: str) -> None:
        if self._state == UNTIL_CLOSE and self._sink is not None:
            self._keep_alive = False
            self.ended = True
            self._finish(self._sink, b"")
        else:
            self._lost(reason)
        self._chunked = None
        self.owner.connection_lost(self, reason)

    def _lost(self, reason: str) -> None:
        sink, self._sink = self._sink, None
        state, self._state = self._state, CLOSED
        if sink is not None:
            self.cut_short = True
            # Before the head it is a termination; within a message it breaks the protocol.
            broken = state not in (HEAD, TUNNEL) or bool(self._partial)
            sink.on_reset(
                ResetReason.PROTOCOL_ERROR if broken else ResetReason.CONNECTION_TERMINATION,
                "" if state == TUNNEL else reason,
            )

    def pauseProducing(self) -> None:
        self._backed_up = True
        if self._sink is not None:
            self._sink.above_write_buffer_high_watermark()

    def resumeProducing(self) -> None:
        self._backed_up = False
        if self._sink is not None:
            self._sink.below_write_buffer_low_watermark()

    def stopProducing(self) -> None:
        """`connection_lost` follows."""

    # ---- reading

    def _take_head(self, data: bytes) -> bytes:
        """Take a head from the start of `data` and hand it on.  Returns what of it is still to be used."""
        held = self._partial
        if held:
            news = is_news(held, data)
            data = held + data
            if not news and len(data) <= self._max_head:
                self._partial = data
                return b""
            self._partial = b""
        parsed = parse_response(data, self._max_headers)
        if isinstance(parsed, int):
            if parsed == UNUSUAL:
                mending = mended(data, unfold=True)
                if mending is None:
                    parsed = INCOMPLETE
                else:
                    head, size = mending
                    parsed = parse_response(head, self._max_headers)
                    if not isinstance(parsed, int):
                        return self._response(parsed, data[size:])
            if parsed != INCOMPLETE:
                return self._protocol_error("malformed response head")
            if len(data) > self._max_head:
                return self._protocol_error("headers too large")
            self._partial = data
            return b""
        size = parsed[0]
        if size > self._max_head:
            return self._protocol_error("headers too large")
        return self._response(parsed, data[size:] if size != len(data) else b"")

    def _response(self, parsed: ParsedResponse, rest: bytes) -> bytes:
        _, status, minor, items, index, flags = parsed
        if self.meter is not None:
            self.meter.add_fields(items)
        head = ResponseHead(status, items, index)
        sink = self._sink
        assert sink is not None
        self._keep_alive = minor == 1
        if status < 200:
            return self._informational(head, sink, rest)
        state = UNTIL_CLOSE
        if flags & FRAMING:
            state = self._framing(head)
            if state == CLOSED:
                return b""
        if state == 0 or self._request or has_no_body(status):
            if self._request == CONNECT and status < 300:
                head.remove(b"content-length")  # RFC 9110 section 9.3.6
                return self._switch(head, sink, rest)
            if state and self._request != HEAD_REQUEST and not has_no_body(status):
                return self._with_content(head, sink, state, rest)
            if status == 204 and b"content-length" in head.index:
                # RFC 9110 section 8.6 forbids it; Envoy takes a 0 away and refuses any other.
                if state > 0:
                    return self._protocol_error("content-length in a 204")
                head.remove(b"content-length")
            if rest:
                self._keep_alive = False  # more than there should be: nothing behind it can be trusted
            self._end(sink, head)
            return b""
        return self._with_content(head, sink, state, rest)

    def _with_content(self, head: ResponseHead, sink: ResponseDecoder, state: int, rest: bytes) -> bytes:
        self._state = state
        if state == UNTIL_CLOSE:
            self._keep_alive = False
        elif state == CHUNKED and rest:
            # Look at the chunks first: if they are malformed there is still time for a 502.
            pieces = self._chunks(rest)
            if pieces is not None:
                self._unflushed = True
                sink.decode_headers(head, False)
                self._pass_chunks(sink, pieces)
            return b""
        self._unflushed = True
        sink.decode_headers(head, False)
        return rest

    def _informational(self, head: ResponseHead, sink: ResponseDecoder, rest: bytes) -> bytes:
        if head.status == 101:
            index = head.index
            names_it = b"upgrade" in index.get(b"connection", b"").lower()
            if self._request != UPGRADE or b"upgrade" not in index or not names_it:
                return self._protocol_error("upgrade that nobody asked for")
            if b"transfer-encoding" in index or index.get(b"content-length", b"0") != b"0":
                return self._protocol_error("content in a 101")
            head.remove(b"content-length")
            return self._switch(head, sink, rest)
        head.remove_all(_HOP_BY_HOP)
        sink.decode_1xx(head)
        return rest

    def _switch(self, head: ResponseHead, sink: ResponseDecoder, rest: bytes) -> bytes:
        """The request is accepted: everything from here on is the tunnel's."""
        self._state = TUNNEL
        self.switched = True
        self._chunked = None
        sink.decode_headers(head, False)
        return rest

    def _framing(self, head: ResponseHead) -> int:
        """The state that reads the content, 0 for none; `CLOSED` if the response is malformed."""
        index = head.index
        state = UNTIL_CLOSE
        coding = index.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked" or head.get(b"transfer-encoding") != coding:
                self._protocol_error("unsupported transfer coding")
                return CLOSED
            if b"content-length" in index:
                if not self._settings.allow_chunked_length:
                    self._protocol_error("content-length with transfer-encoding")
                    return CLOSED
                head.remove(b"content-length")
            most = self._max_headers if self._settings.enable_trailers else 1 << 30
            self._chunked = ChunkedDecoder(most_trailers=most)
            state = CHUNKED
        elif b"content-length" in index:
            value = index[b"content-length"]
            if not value.isdigit() or head.get(b"content-length") != value or len(value.lstrip(b"0")) > 18:
                self._protocol_error("invalid content-length")
                return CLOSED
            state = int(value)
        connection = head.get(b"connection")
        if connection is not None:
            lowered = connection.lower()
            if b"close" in lowered:
                self._keep_alive = False
            elif b"keep-alive" in lowered:
                self._keep_alive = True
        self.said_close = not self._keep_alive
        head.remove_all(_HOP_BY_HOP)
        return state

    def _take_chunks(self, data: bytes) -> None:
        pieces = self._chunks(data)
        if pieces is not None:
            assert self._sink is not None
            self._pass_chunks(self._sink, pieces)

    def _chunks(self, data: bytes) -> list[bytes] | None:
        """The content in `data`; None if it is malformed."""
        assert self._chunked is not None
        try:
            return self._chunked.feed(data)
        except RemoteProtocolError as error:
            self._protocol_error(str(error))
            return None

    def _pass_chunks(self, sink: ResponseDecoder, pieces: list[bytes]) -> None:
        if self._sink is not sink:
            return  # reset meanwhile
        chunked = self._chunked
        assert chunked is not None
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not chunked.done:
            if data:
                sink.decode_data(data, False)
            return
        if chunked.rest:
            self._keep_alive = False
        self._chunked = None
        if not chunked.trailers or not self._settings.enable_trailers:
            self._finish(sink, data)
            return
        if data:
            sink.decode_data(data, False)
        if self._sink is sink:
            self._release()
            sink.decode_trailers(HeaderMap(chunked.trailers))

    def _finish(self, sink: ResponseDecoder, last: bytes) -> None:
        self._release()
        sink.decode_data(last, True)

    def _end(self, sink: ResponseDecoder, head: ResponseHead) -> None:
        self._release()
        sink.decode_headers(head, True)

    def _release(self) -> None:
        """Give the connection back, before the last piece of the response goes on: the client may have a next request
        waiting, which shall find it free."""
        self._sink = None
        self._state = IDLE
        if self.meter is not None:
            self.meter.stop()
            self.meter = None
        if self._read_pauses:
            self._read_pauses = 0
            self.transport.resumeProducing()
        self.owner.stream_done(self, self._keep_alive and self._request_done and not self._backed_up)

    def _protocol_error(self, detail: str) -> bytes:
        sink, self._sink = self._sink, None
        self.cut_short = sink is not None
        self._abort()
        if sink is not None:
            sink.on_reset(ResetReason.PROTOCOL_ERROR, detail)
        return b""
