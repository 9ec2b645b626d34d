"""HTTP/1.1 towards the upstream (RFC 9112).

One `Http1ClientConnection` is the handler of a transport, the codec of the connection and the encoder of the one request
that it carries at a time.  Heads are always written anew from their parsed form: no byte of framing crosses the proxy.
"""

from __future__ import annotations

from typing import Protocol

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from twistproxy.api.codec import ResetReason, ResponseDecoder
from twistproxy.api.transport import Transport
from twistproxy.codec.h1_chunked import ChunkedDecoder, encode_chunk
from twistproxy.codec.h1_head import HEAD_END, LOWER, HeadProbe, fields, has_bare_lf, strip_values, with_crlf
from twistproxy.errors import RemoteProtocolError
from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.http.status import has_no_body

_FRAMING = frozenset(
    (b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"proxy-connection", b"upgrade")
)
_HOP_BY_HOP = frozenset((b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"))

#: Requests that have no content unless they say so (Envoy: HeaderUtility::requestShouldHaveNoBody).
_NO_CONTENT = frozenset((b"GET", b"HEAD", b"DELETE", b"TRACE", b"CONNECT"))

# What is read next.  Positive values: so many bytes of content.
_HEAD = 0
_CHUNKED = -1
_UNTIL_CLOSE = -2
_IDLE = -3
_CLOSED = -4


class ClientConnectionOwner(Protocol):
    """The pool that a connection belongs to."""

    def stream_done(self, connection: Http1ClientConnection, reusable: bool) -> None:
        """The stream is over.  `reusable`: both messages are complete and the upstream keeps the connection open."""

    def connection_lost(self, connection: Http1ClientConnection, reason: str) -> None: ...


class Http1ClientConnection:
    """See `api.codec.RequestEncoder` and `api.transport.TransportHandler`."""

    __slots__ = (
        "_chunked",
        "_chunked_out",
        "_head_request",
        "_items",
        "_keep_alive",
        "_max_headers",
        "_parser",
        "_partial",
        "_probe",
        "_read_pauses",
        "_request_done",
        "_sink",
        "_state",
        "bytes_received",
        "bytes_sent",
        "closed_by_us",
        "opened_at",
        "owner",
        "streams",
        "transport",
        "used_at",
    )

    def __init__(
        self, transport: Transport, owner: ClientConnectionOwner, max_headers: int, now: float
    ) -> None:
        self.transport = transport
        self.owner = owner
        self.streams = 0  # requests carried so far
        self.opened_at = self.used_at = now
        self.bytes_received = 0
        self.bytes_sent = 0
        self.closed_by_us = False
        self._max_headers = max_headers
        self._sink: ResponseDecoder | None = None
        self._parser: HttpResponseParser | None = None
        self._items: list[tuple[bytes, bytes]] = []
        self._state = _IDLE
        self._partial = b""
        self._probe: HeadProbe | None = None
        self._chunked: ChunkedDecoder | None = None
        self._chunked_out = False
        self._request_done = True
        self._keep_alive = True
        self._head_request = False
        self._read_pauses = 0

    def new_stream(self, sink: ResponseDecoder) -> None:
        """`sink` gets the response to the request that is encoded next.  The connection must be free."""
        assert self._sink is None and self._state == _IDLE
        self._sink = sink
        self._state = _HEAD
        self.streams += 1

    # ---- from the transport

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._items.append((LOWER.get(name) or name.lower(), value))

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        while data:
            state = self._state
            if state == _HEAD:
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
            elif state == _CHUNKED:
                self._take_chunks(data)
                return
            elif state == _UNTIL_CLOSE:
                assert self._sink is not None
                self._sink.decode_data(data, False)
                return
            else:
                # An answer that nobody asked for (Envoy closes such a connection as well).
                self._abort()
                return

    def read_ended(self) -> None:
        if self._state == _UNTIL_CLOSE and self._sink is not None:
            self._keep_alive = False
            self._finish(self._sink, b"")
        else:
            self._lost("remote close")
            self.transport.abortConnection()

    def connection_lost(self, reason: str) -> None:
        if self._state == _UNTIL_CLOSE and self._sink is not None and not reason:
            self._keep_alive = False
            self._finish(self._sink, b"")
        else:
            self._lost(reason)
        self._parser = self._probe = self._chunked = None
        self.owner.connection_lost(self, reason)

    def _lost(self, reason: str) -> None:
        sink, self._sink = self._sink, None
        state, self._state = self._state, _CLOSED
        if sink is not None:
            # A clean end before the head is a termination; within a message it breaks the protocol.
            broken = state != _HEAD or bool(self._partial)
            sink.on_reset(
                ResetReason.PROTOCOL_ERROR if broken and not reason else ResetReason.CONNECTION_TERMINATION,
                reason,
            )

    def pauseProducing(self) -> None:
        if self._sink is not None:
            self._sink.above_write_buffer_high_watermark()

    def resumeProducing(self) -> None:
        if self._sink is not None:
            self._sink.below_write_buffer_low_watermark()

    def stopProducing(self) -> None:
        """`connection_lost` follows."""

    # ---- reading

    def _take_head(self, data: bytes) -> bytes:
        if not self._partial:
            end = data.find(b"\r\n\r\n") + 4
            if end == len(data):
                return self._head(data, b"")
            if end > 4:
                return self._head(data[:end], data[end:])
        raw = self._partial + data
        found = HEAD_END.search(raw, max(0, len(self._partial) - 3))
        if found:
            self._partial = b""
            self._probe = None
            return self._head(raw[: found.end()], raw[found.end() :])
        if len(raw) > 60 * 1024:
            return self._protocol_error("headers too large")
        if self._probe is None:
            self._probe = HeadProbe(HttpResponseParser)
        self._partial = raw
        error = self._probe.feed(data)
        return b"" if error is None else self._protocol_error(str(error))

    def _head(self, raw: bytes, rest: bytes) -> bytes:
        """Parse a whole head and hand it on.  Returns what of `rest` is still to be used."""
        items: list[Header] = []
        self._items = items
        parser = self._parser
        if parser is None:
            self._parser = parser = HttpResponseParser(self)
        try:
            parser.feed_data(raw)
        except HttpParserUpgrade:
            self._parser = None
        except HttpParserError as error:
            self._parser = None
            if has_bare_lf(raw):
                return self._head(with_crlf(raw), rest)
            return self._protocol_error(str(error))
        if raw[:7] != b"HTTP/1." or raw[7:9] not in (b"1 ", b"0 "):
            return self._protocol_error("not an HTTP/1 response")
        status = parser.get_status_code()
        if len(items) > self._max_headers or not 100 <= status <= 599:
            return self._protocol_error("unusable head")
        if b" \r\n" in raw or b"\t\r\n" in raw:
            strip_values(items)
        head = ResponseHead(status, items)
        sink = self._sink
        assert sink is not None
        self._keep_alive = raw[7:8] == b"1"
        if status < 200:
            return self._informational(head, sink, rest)
        state = _UNTIL_CLOSE
        if not _FRAMING.isdisjoint(head.index):
            framing = self._framing(head)
            if framing is None:
                return b""
            state = framing
        if self._head_request or has_no_body(status):
            if state != 0:
                self._parser = None  # it expects content that will not come
            if rest:
                self._keep_alive = False
            self._end(sink, head)
            return b""
        if state == 0:
            if rest:
                self._keep_alive = False
            self._end(sink, head)
            return b""
        if state == _UNTIL_CLOSE:
            self._parser = None
            self._keep_alive = False
        elif state > 0:
            if 0 < len(rest) == state:
                parser.feed_data(rest)  # so that it is ready for the next head
            else:
                self._parser = None
        self._state = state
        sink.decode_headers(head, False)
        return rest

    def _informational(self, head: ResponseHead, sink: ResponseDecoder, rest: bytes) -> bytes:
        if head.status == 101:
            return self._protocol_error("upgrade that nobody asked for")
        head.remove_all(_HOP_BY_HOP)
        sink.decode_1xx(head)
        return rest

    def _framing(self, head: ResponseHead) -> int | None:
        """The state that reads the content, 0 for none; None if the response is malformed."""
        index = head.index
        state = _UNTIL_CLOSE
        coding = index.get(b"transfer-encoding")
        if coding is not None:
            if coding.lower() != b"chunked" or head.get(b"transfer-encoding") != coding:
                self._protocol_error("unsupported transfer coding")
                return None
            if b"content-length" in index:
                self._protocol_error("content-length with transfer-encoding")
                return None
            self._chunked = ChunkedDecoder()
            self._parser = None
            state = _CHUNKED
        elif b"content-length" in index:
            state = int(index[b"content-length"])
        connection = head.get(b"connection")
        if connection is not None:
            lowered = connection.lower()
            if b"close" in lowered:
                self._keep_alive = False
            elif b"keep-alive" in lowered:
                self._keep_alive = True
        head.remove_all(_HOP_BY_HOP)
        return state

    def _take_chunks(self, data: bytes) -> None:
        chunked = self._chunked
        sink = self._sink
        assert chunked is not None and sink is not None
        try:
            pieces = chunked.feed(data)
        except RemoteProtocolError as error:
            self._protocol_error(str(error))
            return
        if not chunked.done:
            for piece in pieces:
                sink.decode_data(piece, False)
            return
        if chunked.rest:
            self._keep_alive = False
        self._chunked = None
        last = pieces.pop() if pieces and not chunked.trailers else b""
        for piece in pieces:
            sink.decode_data(piece, False)
        if self._sink is not sink:
            return  # reset meanwhile
        if chunked.trailers:
            self._detach()
            sink.decode_trailers(HeaderMap(chunked.trailers))
            self._release()
        else:
            self._finish(sink, last)

    def _finish(self, sink: ResponseDecoder, last: bytes) -> None:
        self._detach()
        sink.decode_data(last, True)
        self._release()

    def _end(self, sink: ResponseDecoder, head: ResponseHead) -> None:
        self._detach()
        sink.decode_headers(head, True)
        self._release()

    def _detach(self) -> None:
        self._sink = None
        self._state = _IDLE

    def _release(self) -> None:
        if self._state == _IDLE:
            if self._read_pauses:
                self._read_pauses = 0
                self.transport.resumeProducing()
            self.owner.stream_done(self, self._keep_alive and self._request_done)

    def _protocol_error(self, detail: str) -> bytes:
        sink, self._sink = self._sink, None
        self._abort()
        if sink is not None:
            sink.on_reset(ResetReason.PROTOCOL_ERROR, detail)
        return b""

    def _abort(self) -> None:
        self._state = _CLOSED
        self.closed_by_us = True
        self.transport.abortConnection()

    # ---- writing: `RequestEncoder`

    def encode_headers(self, head: RequestHead, end_stream: bool) -> None:
        method = head.method
        framing = b"\r\n\r\n"
        self._chunked_out = False
        if b"content-length" not in head.index:
            if not end_stream:
                self._chunked_out = True
                framing = b"\r\ntransfer-encoding: chunked\r\n\r\n"
            elif method not in _NO_CONTENT:
                framing = b"\r\ncontent-length: 0\r\n\r\n"
        self._head_request = method == b"HEAD"
        self._request_done = end_stream
        data = b"".join(
            (
                method,
                b" ",
                head.path,
                b" HTTP/1.1\r\nhost: ",
                head.authority,
                b"\r\n",
                fields(head.items),
                framing,
            )
        )
        self.bytes_sent += len(data)
        self.transport.write(data)

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        if data:
            if self._chunked_out:
                data = encode_chunk(data)
                if end_stream:
                    data += b"0\r\n\r\n"
            self.bytes_sent += len(data)
            self.transport.write(data)
        elif end_stream and self._chunked_out:
            self.bytes_sent += 5
            self.transport.write(b"0\r\n\r\n")
        if end_stream:
            self._request_done = True

    def encode_trailers(self, trailers: HeaderMap) -> None:
        if self._chunked_out:
            data = b"0\r\n" + fields(trailers.items) + b"\r\n\r\n"
            self.bytes_sent += len(data)
            self.transport.write(data)
        self._request_done = True

    def reset(self) -> None:
        self._sink = None
        self._abort()

    def pause_reading(self) -> None:
        self._read_pauses += 1
        if self._read_pauses == 1:
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        if self._read_pauses:
            self._read_pauses -= 1
            if self._read_pauses == 0 and self._state != _CLOSED:
                self.transport.resumeProducing()

    def close(self) -> None:
        """Close a connection that carries no stream."""
        self._state = _CLOSED
        self.closed_by_us = True
        self.transport.unregisterProducer()
        self.transport.loseConnection()
