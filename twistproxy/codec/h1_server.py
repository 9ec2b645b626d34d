"""HTTP/1.0 and 1.1 towards the downstream (RFC 9112).

One `Http1ServerConnection` is the handler of a transport, the codec of the connection and the encoder of the one stream
that HTTP/1 has at a time.  Pipelined requests wait, as bytes, until the response before them is complete.
"""

from __future__ import annotations

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from twistproxy.api.codec import RequestDecoder, ResetReason, ServerCallbacks
from twistproxy.api.transport import Transport
from twistproxy.codec.h1_chunked import ChunkedDecoder, encode_chunk
from twistproxy.codec.h1_head import HEAD_END, LOWER, HeadProbe, fields, has_bare_lf, strip_values, with_crlf
from twistproxy.errors import RemoteProtocolError
from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.message import HttpVersion, RequestHead, ResponseHead
from twistproxy.http.status import has_no_body, reason
from twistproxy.http.target import split_target, valid_host
from twistproxy.model.http_manager import Http1Settings

#: What a head may hold that this codec has to act on.  Most heads hold none of it.
_FRAMING = frozenset(
    (
        b"content-length",
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"upgrade",
        b"http2-settings",
    )
)
_HOP_BY_HOP = frozenset(
    (b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"http2-settings")
)

#: Fields named in `Connection` that are not taken away: they mean something beyond this hop (Envoy:
#: Http::Utility::sanitizeConnectionHeader).
_KEPT_NOMINATIONS = frozenset((b"close", b"keep-alive", b"te", b"upgrade", b"content-length", b"host"))

# What the connection waits for.  Positive values: so many bytes of content.
_HEAD = 0
_CHUNKED = -1
_RESPONSE = -2
_CLOSED = -3

#: Bytes of pipelined requests that are held before reading stops.
_MAX_PIPELINED = 64 * 1024

_STATUS_LINES = {status: f"HTTP/1.1 {status} {reason(status)}\r\n".encode() for status in range(100, 600)}


class Http1ServerConnection:
    """See `api.codec.ServerCodec`, `ResponseEncoder` and `api.transport.TransportHandler`."""

    __slots__ = (
        "_chunked",
        "_chunked_out",
        "_close_after",
        "_consuming",
        "_draining",
        "_held",
        "_http10",
        "_items",
        "_parser",
        "_partial",
        "_probe",
        "_read_pauses",
        "_responding",
        "_response_to_head",
        "_settings",
        "_state",
        "_stream",
        "bytes_received",
        "bytes_sent",
        "callbacks",
        "half_closed",
        "transport",
    )

    def __init__(self, transport: Transport, settings: Http1Settings) -> None:
        self.transport = transport
        self.callbacks: ServerCallbacks = None  # type: ignore[assignment]  # set by whoever owns the connection
        self._settings = settings
        self._parser: HttpRequestParser | None = None
        self._items: list[tuple[bytes, bytes]] = []
        self._state = _HEAD
        self._stream: RequestDecoder | None = None  # until the request or the response ends it
        self._responding = False  # a request was handed on and its response is not complete
        self._partial = b""  # a head that is not complete
        self._probe: HeadProbe | None = None
        self._held = b""  # what came before it could be used
        self._consuming = False
        self._chunked: ChunkedDecoder | None = None
        self._chunked_out = False
        self._close_after = False
        self._draining = False
        self._http10 = False
        self._response_to_head = False
        self._read_pauses = 0
        self.bytes_received = 0
        self.bytes_sent = 0
        self.half_closed = False

    # ---- from the transport

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        self._items.append((LOWER.get(name) or name.lower(), value))

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        if self._consuming or self._state == _RESPONSE:
            self._hold(data)
        elif self._state != _CLOSED:
            self._consume(data)

    def read_ended(self) -> None:
        # Envoy takes FIN of an HTTP/1 downstream as the end of the whole connection.
        self.transport.abortConnection()

    def connection_lost(self, reason: str) -> None:
        self._state = _CLOSED
        stream, self._stream = self._stream, None
        self._parser = self._probe = self._chunked = (
            None  # the parser refers to us: do not wait for the collector
        )
        if stream is not None:
            stream.on_reset(ResetReason.CONNECTION_TERMINATION, reason)
        self.callbacks.connection_closed(reason)

    def pauseProducing(self) -> None:
        if self._stream is not None:
            self._stream.above_write_buffer_high_watermark()

    def resumeProducing(self) -> None:
        if self._stream is not None:
            self._stream.below_write_buffer_low_watermark()

    def stopProducing(self) -> None:
        """`connection_lost` follows."""

    # ---- reading

    def _hold(self, data: bytes) -> None:
        if self._close_after and self._state == _RESPONSE:
            return  # nothing behind the last request is read (RFC 9112 section 9.6)
        before = len(self._held)
        self._held += data
        if before < _MAX_PIPELINED <= len(self._held):
            self.pause_reading()

    def _release(self) -> bytes:
        data, self._held = self._held, b""
        if len(data) >= _MAX_PIPELINED:
            self.resume_reading()
        return data

    def _consume(self, data: bytes) -> None:
        """Take `data`, and then whatever is held, as far as it can be used now."""
        self._consuming = True
        while data:
            state = self._state
            if state == _HEAD:
                data = self._take_head(data)
            elif state > 0:
                data = self._take_content(data, state)
            elif state == _CHUNKED:
                data = self._take_chunks(data)
            elif state == _RESPONSE:
                self._held = data + self._held if self._held else data
                break
            else:
                break
            if not data and self._held and self._state != _RESPONSE:
                data = self._release()
        self._consuming = False

    def _take_head(self, data: bytes) -> bytes:
        if not self._partial:
            end = data.find(b"\r\n\r\n") + 4
            if end == len(data):
                if end <= self._settings.max_head_bytes:
                    return self._head(data, b"")
            elif end > 4 and end <= self._settings.max_head_bytes:
                return self._head(data[:end], data[end:])
        return self._take_unusual_head(data)

    def _take_unusual_head(self, data: bytes) -> bytes:
        """A head in pieces, with lines ended by bare LF, with empty lines before it, or too large."""
        raw = self._partial + data
        if not self._partial:
            raw = raw.lstrip(b"\r\n")  # RFC 9112 section 2.2
        found = HEAD_END.search(raw, max(0, len(self._partial) - 3))
        if (found.end() if found else len(raw)) > self._settings.max_head_bytes:
            self.refuse(431, b"Request Header Fields Too Large", "http1.headers_too_large")
        elif found:
            self._partial = b""
            self._probe = None
            return self._head(raw[: found.end()], raw[found.end() :])
        elif raw:
            if self._probe is None:
                self._probe = HeadProbe(HttpRequestParser)
                self.callbacks.head_started()
                data = raw
            self._partial = raw
            if self._probe.feed(data) is not None:
                self.refuse(400, b"Bad Request", "http1.codec_error")
        return b""

    def _head(self, raw: bytes, rest: bytes) -> bytes:
        """Parse a whole head, and hand the request on.  Returns what of `rest` is still to be used."""
        items: list[Header] = []
        self._items = items
        parser = self._parser
        if parser is None:
            self._parser = parser = HttpRequestParser(self)
        try:
            parser.feed_data(raw)
        except HttpParserUpgrade:
            self._parser = None  # it reads no more; the request itself is fine
        except HttpParserError:
            self._parser = None
            if has_bare_lf(raw):
                return self._head(with_crlf(raw), rest)
            if raw[:2] == b"\r\n":
                return self._take_unusual_head(raw + rest)
            self.refuse(400, b"Bad Request", "http1.codec_error")
            return b""
        try:
            method, target, version = raw[: raw.find(b"\r\n")].split(b" ")
        except ValueError:
            if raw[:2] == b"\r\n":
                self._parser = None
                return self._take_unusual_head(raw + rest)
            self.refuse(400, b"Bad Request", "http1.codec_error")
            return b""
        if b" \r\n" in raw or b"\t\r\n" in raw:
            strip_values(items)
        index = dict(items)
        if target[:1] != b"/" or version != b"HTTP/1.1" or len(items) > self._settings.max_headers:
            return self._unusual_request(method, target, version, items, index, rest)
        return self._request(RequestHead(method, target, index.pop(b"host", b""), items, index), rest)

    def _unusual_request(
        self,
        method: bytes,
        target: bytes,
        version: bytes,
        items: list[tuple[bytes, bytes]],
        index: dict[bytes, bytes],
        rest: bytes,
    ) -> bytes:
        """Target forms other than a plain path, HTTP/1.0, too many fields."""
        if len(items) > self._settings.max_headers:
            self.refuse(431, b"Request Header Fields Too Large", "http1.too_many_headers")
            return b""
        if version == b"HTTP/1.0":
            if not self._settings.accept_http_10:
                self._http10 = True
                self.refuse(426, b"Upgrade Required", "low_version")
                return b""
        elif version != b"HTTP/1.1":
            self.refuse(400, b"Bad Request", "http1.codec_error")
            return b""
        split = split_target(method, target, self._settings.allow_absolute_url)
        if split is None:
            self.refuse(400, b"Bad Request", "http1.invalid_url")
            return b""
        scheme, authority, path = split
        host = index.pop(b"host", b"")
        head = RequestHead(method, path, authority or host, items, index)
        if scheme:
            head.scheme = scheme
        if version == b"HTTP/1.0":
            head.version = HttpVersion.HTTP10
            if not head.authority:
                head.authority = self._settings.default_host_for_http_10
        return self._request(head, rest)

    def _request(self, head: RequestHead, rest: bytes) -> bytes:
        items = head.items
        index = head.index
        # Host goes out of the list: `authority` has it.  More of them than one are refused (RFC 9112 section 3.2);
        # Envoy joins them.
        for at, item in enumerate(items):
            if item[0] == b"host":
                del items[at]
                break
        if len(index) != len(items) and any(item[0] == b"host" for item in items):
            self.refuse(400, b"Bad Request", "http1.duplicate_host")
            return b""
        if not valid_host(head.authority):
            self.refuse(400, b"Bad Request", "http1.invalid_host")
            return b""
        http10 = self._http10 = head.version == HttpVersion.HTTP10
        self._close_after = http10
        end_stream = True
        if not _FRAMING.isdisjoint(index):
            length = self._framing(head)
            if length is None:
                return b""
            end_stream = length == 0
            self._state = length or _RESPONSE
        else:
            self._state = _RESPONSE
        self._response_to_head = head.method == b"HEAD"
        self._chunked_out = False
        self._responding = True
        self._stream = stream = self.callbacks.new_stream(self)
        stream.decode_headers(head, end_stream)
        return rest

    def _framing(self, head: RequestHead) -> int | None:
        """The state that reads the content; 0 for none, None if the request was refused."""
        index = head.index
        length = 0
        coding = index.get(b"transfer-encoding")
        if coding is not None:
            # Anything but exactly "chunked", once, in HTTP/1.1, is where requests are smuggled.
            if coding.lower() != b"chunked" or head.get(b"transfer-encoding") != coding:
                self.refuse(501, b"Not Implemented", "http1.invalid_transfer_encoding")
                return None
            if b"content-length" in index or head.version == HttpVersion.HTTP10:
                self.refuse(400, b"Bad Request", "http1.content_length_and_chunked_not_allowed")
                return None
            self._parser = None
            self._chunked = ChunkedDecoder(self._settings.max_head_bytes)
            length = _CHUNKED
        elif b"content-length" in index:
            length = int(index[b"content-length"])
            if length:
                self._parser = None
        connection = head.get(b"connection")
        if connection is not None:
            tokens = [token.strip(b" \t").lower() for token in connection.split(b",")]
            if b"close" in tokens:
                self._close_after = True
            elif head.version == HttpVersion.HTTP10 and b"keep-alive" in tokens:
                self._close_after = False
            for token in tokens:
                if token in index and token not in _KEPT_NOMINATIONS:
                    head.remove(token)
            if b"upgrade" in index and b"upgrade" not in tokens:
                head.remove(b"upgrade")
        elif b"upgrade" in index:
            head.remove(b"upgrade")
        head.remove_all(_HOP_BY_HOP)
        return length

    def _take_content(self, data: bytes, left: int) -> bytes:
        stream = self._stream
        count = len(data)
        if count < left:
            self._state = left - count
            if stream is not None:
                stream.decode_data(data, False)
            return b""
        self._state = _RESPONSE
        rest = b""
        if count > left:
            rest = data[left:]
            data = data[:left]
        self._request_ended(stream, data)
        return rest

    def _take_chunks(self, data: bytes) -> bytes:
        chunked = self._chunked
        assert chunked is not None
        stream = self._stream
        try:
            pieces = chunked.feed(data)
        except RemoteProtocolError as error:
            self._broken_body(error)
            return b""
        if stream is not None:
            last = pieces.pop() if chunked.done and not self._trailers_wanted(chunked) and pieces else b""
            for piece in pieces:
                if self._state != _CHUNKED:
                    break
                stream.decode_data(piece, False)
        else:
            last = b""
        if not chunked.done or self._state != _CHUNKED:
            return b""
        self._chunked = None
        self._state = _RESPONSE
        if stream is not None and self._trailers_wanted(chunked):
            stream.decode_trailers(HeaderMap(chunked.trailers))
            self._after_request()
        else:
            self._request_ended(stream, last)
        return chunked.rest

    def _trailers_wanted(self, chunked: ChunkedDecoder) -> bool:
        return bool(chunked.trailers) and self._settings.enable_trailers

    def _request_ended(self, stream: RequestDecoder | None, last: bytes) -> None:
        if stream is not None:
            stream.decode_data(last, True)
        self._after_request()

    def _after_request(self) -> None:
        if not self._responding and self._state == _RESPONSE:
            self._next()

    def _broken_body(self, error: RemoteProtocolError) -> None:
        """The framing of a request's content is wrong: nothing on this connection can be trusted any more."""
        stream, self._stream = self._stream, None
        self._refuse_body(error.status_hint)
        if stream is not None:
            stream.on_reset(ResetReason.PROTOCOL_ERROR, str(error))

    def _refuse_body(self, status: int) -> None:
        self._state = _CLOSED
        if self._responding:
            self.callbacks.protocol_error(status, reason(status).encode(), "http1.codec_error")

    def refuse(self, status: int, body: bytes, details: str) -> None:
        """Answer what cannot be read as a request, and read nothing more."""
        self._state = _CLOSED
        self._partial = self._held = b""
        self._probe = None
        self.callbacks.protocol_error(status, body, details)

    # ---- writing: `ResponseEncoder`

    def encode_1xx(self, head: ResponseHead) -> None:
        if not self._http10:
            self._write(
                _STATUS_LINES[head.status] + fields(head.items) + (b"\r\n\r\n" if head.items else b"\r\n")
            )

    def encode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        status = head.status
        framing = b"\r\n\r\n"
        if b"content-length" not in head.index:
            if end_stream:
                if not self._response_to_head and not has_no_body(status):
                    framing = b"\r\ncontent-length: 0\r\n\r\n"
            elif not has_no_body(status):
                if self._http10:
                    self._close_after = True
                else:
                    self._chunked_out = not self._response_to_head
                    framing = b"\r\ntransfer-encoding: chunked\r\n\r\n"
        if self._draining:
            self._close_after = True
        if self._close_after:
            framing = b"\r\nconnection: close" + framing
        elif self._http10:
            framing = b"\r\nconnection: keep-alive" + framing
        data = b"".join((_STATUS_LINES.get(status) or _status_line(status), fields(head.items), framing))
        self.bytes_sent += len(data)
        self.transport.write(data)
        if end_stream:
            self._response_ended()

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        if data and not self._response_to_head:
            if self._chunked_out:
                data = encode_chunk(data)
                if end_stream:
                    data += b"0\r\n\r\n"
            self.bytes_sent += len(data)
            self.transport.write(data)
        elif end_stream and self._chunked_out:
            self._write(b"0\r\n\r\n")
        if end_stream:
            self._response_ended()

    def encode_trailers(self, trailers: HeaderMap) -> None:
        if self._chunked_out:
            if self._settings.enable_trailers and trailers.items:
                self._write(b"0\r\n" + fields(trailers.items) + b"\r\n\r\n")
            else:
                self._write(b"0\r\n\r\n")
        self._response_ended()

    def reset(self) -> None:
        self._stream = None
        self._responding = False
        self._state = _CLOSED
        self.transport.abortConnection()

    def pause_reading(self) -> None:
        self._read_pauses += 1
        if self._read_pauses == 1:
            self.transport.pauseProducing()

    def resume_reading(self) -> None:
        self._read_pauses -= 1
        if self._read_pauses == 0 and self._state != _CLOSED:
            self.transport.resumeProducing()

    def _write(self, data: bytes) -> None:
        self.bytes_sent += len(data)
        self.transport.write(data)

    def _response_ended(self) -> None:
        self._responding = False
        state = self._state
        if state == _RESPONSE:
            self._stream = None
            if self._close_after:
                self.close()
            elif not self._consuming:
                self._next()
            else:
                self._state = _HEAD
        elif state != _CLOSED:
            # The response overtook the request: what is left of it cannot be skipped within reason.
            self._stream = None
            self.close()

    def _next(self) -> None:
        self._state = _HEAD
        self._stream = None
        if self._held and not self._consuming:
            self._consume(self._release())

    # ---- `ServerCodec`

    @property
    def idle(self) -> bool:
        """No request is being read or answered."""
        return self._state == _HEAD and not self._partial

    def drain(self) -> None:
        self._draining = True

    def close_after_response(self) -> None:
        """The response about to be encoded is the last one."""
        self._close_after = True

    def half_close(self) -> None:
        """Send what is written and FIN, and ignore what still comes: closing at once could reset the connection
        before the client has read the answer."""
        if self._state != _CLOSED or not self.half_closed:
            self._state = _CLOSED
            self._held = b""
            self.half_closed = True
            self.transport.unregisterProducer()
            self.transport.loseWriteConnection()

    def close(self) -> None:
        if self.half_closed:
            return
        self._state = _CLOSED
        self._held = b""
        self.transport.unregisterProducer()
        self.transport.loseConnection()


def _status_line(status: int) -> bytes:
    return f"HTTP/1.1 {status} {reason(status)}\r\n".encode()
