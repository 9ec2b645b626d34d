"""HTTP/1.0 and 1.1 towards the downstream (RFC 9112).

One `Http1ServerConnection` is the handler of a transport, the codec of the connection and the encoder of the one stream
that HTTP/1 has at a time.  Pipelined requests wait, as bytes, until the response before them is complete.
"""

from __future__ import annotations

import re

from twistproxy.api.codec import ResetReason
from twistproxy.codec.h1_chunked import ChunkedDecoder
from twistproxy.codec.h1_parse import (
    FRAMING,
    INCOMPLETE,
    MALFORMED,
    METHODS,
    TOO_MANY,
    TWO_HOSTS,
    UNUSUAL,
    ParsedRequest,
    is_news,
    mended,
    parse_request,
)
from twistproxy.codec.h1_request import (
    CHUNKED,
    CONNECT,
    UPGRADE,
    Refusal,
    check_target,
    malformed_details,
    take_framing,
)
from twistproxy.codec.h1_response_writer import CLOSED, HEAD, RESPONSE, ResponseWriter
from twistproxy.errors import RemoteProtocolError
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead
from twistproxy.http.status import reason
from twistproxy.http.target import valid_host
from twistproxy.primitives.byte_meter import ByteMeter

#: Bytes of pipelined requests that are held before reading stops.
_MAX_PIPELINED = 64 * 1024

#: The detail of a request that is refused for a name of a field.
_UNDERSCORE = "http1.unexpected_underscore"

_CONNECT_METHOD = METHODS[b"CONNECT"]
_QUERY = METHODS[b"QUERY"]

#: A request line of a version that is not ours, or of HTTP/0.9 without any.
_UNFINISHED_VERSION = re.compile(rb"[A-Z][A-Z-]* +/[!-~]*(?: +(?:HTTP/[0-9]?\.?[0-9]?)?)?\r?\Z")
_OTHER_VERSION = re.compile(rb"[A-Z][A-Z-]* +/[!-~]*(?: +HTTP/(?!1\.[01])[0-9]\.[0-9])?\r?\n")


class Http1ServerConnection(ResponseWriter):
    """See `api.codec.ServerCodec`, `ResponseEncoder` and `api.transport.TransportHandler`."""

    __slots__ = ()

    # ---- from the transport

    def data_received(self, data: bytes) -> None:
        self.bytes_received += len(data)
        if self._consuming or self._state == RESPONSE:
            self._hold(data)
        elif self._state != CLOSED:
            self._consume(data)

    def read_ended(self) -> None:
        # Envoy takes FIN of an HTTP/1 downstream as the end of the whole connection.
        self.transport.abortConnection()

    def connection_lost(self, reason: str) -> None:
        self.closed_by_us = self._state == CLOSED
        self._state = CLOSED
        stream, self._stream = self._stream, None
        if stream is not None:
            stream.on_reset(ResetReason.CONNECTION_TERMINATION, reason)
        elif self._partial:
            self.callbacks.head_lost(self, reason)
        self.callbacks.connection_closed(reason)

    def pauseProducing(self) -> None:
        self._backed_up = True
        if self._stream is not None:
            self._stream.above_write_buffer_high_watermark()

    def resumeProducing(self) -> None:
        self._backed_up = False
        if self._stream is not None:
            self._stream.below_write_buffer_low_watermark()
        elif self._state == RESPONSE and not self._responding:
            self._next()

    def stopProducing(self) -> None:
        """`connection_lost` follows."""

    # ---- reading

    def _hold(self, data: bytes) -> None:
        if self._close_after and self._state == RESPONSE:
            return  # nothing behind the last request is read (RFC 9112 section 9.6)
        self._held += data
        if len(self._held) >= _MAX_PIPELINED and not self._held_paused:
            self._held_paused = True
            self.pause_reading()

    def _release(self) -> bytes:
        data, self._held = self._held, b""
        if self._held_paused:
            self._held_paused = False
            self.resume_reading()
        return data

    def _consume(self, data: bytes) -> None:
        """Take `data`, and then whatever is held, as far as it can be used now."""
        self._consuming = True
        while data:
            state = self._state
            if state == HEAD:
                data = self._take_head(data)
            elif state > 0:
                data = self._take_content(data, state)
            elif state == CHUNKED:
                data = self._take_chunks(data)
            elif state == RESPONSE:
                held, self._held = self._held, b""
                self._hold(data + held if held else data)
                break
            elif state <= UPGRADE:
                data = self._pass_on(data)
            else:
                break
            if not data and self._held and self._state != RESPONSE:
                data = self._release()
        self._consuming = False
        if self._unflushed:
            self._unflushed = False
            if self._stream is not None:
                self._stream.flush()

    def _take_head(self, data: bytes) -> bytes:
        """Take a head from the start of `data` and hand the request on.  Returns what is behind it."""
        held = self._partial
        if held:
            news = is_news(held, data)
            data = held + data
            if not news and len(data) <= self._max_head:
                self._partial = data
                return b""
            self._partial = b""
        parsed = parse_request(data, self._max_headers)
        if isinstance(parsed, int):
            return self._take_unusual_head(data, parsed)
        size = parsed[0]
        if size > self._max_head:
            return self._too_large()
        if self.metered:
            self._measure(len(data), parsed)
        self._request(parsed)
        return data[size:] if size != len(data) else b""

    def _take_unusual_head(self, data: bytes, code: int) -> bytes:
        """A head in pieces, with lines ended by bare LF, with empty lines before it, too large, or none at all."""
        settings = self._settings
        if code == UNUSUAL:
            mending = mended(data)
            if mending is not None:
                head, size = mending
                parsed = parse_request(head, settings.max_headers)
                if not isinstance(parsed, int):
                    if size > settings.max_head_bytes:
                        return self._too_large()
                    if self.metered:
                        self._measure(len(data), parsed)
                    self._request(parsed)
                    return data[size:]
                code = parsed
            else:
                data = data.lstrip(b"\r\n")
                # A start line, the fields, and no end: as many lines as that can still become a head.
                code = INCOMPLETE if data.count(b"\n") <= settings.max_headers + 1 else TOO_MANY
        if code == MALFORMED and _UNFINISHED_VERSION.match(data):
            code = INCOMPLETE  # the whole line tells 426 from 400
        if code == TOO_MANY:
            self.refuse(431, b"Request Header Fields Too Large", "http1.too_many_headers")
        elif code != INCOMPLETE:
            if _OTHER_VERSION.match(data.lstrip(b"\r\n")):
                self.refuse(426, b"Upgrade Required", "low_version")
            else:
                self.refuse(400, b"Bad Request", malformed_details(data))
        elif len(data) > settings.max_head_bytes:
            return self._too_large()
        elif data:
            self._partial = data
            self.callbacks.head_started()
        return b""

    def _too_large(self) -> bytes:
        self.refuse(431, b"Request Header Fields Too Large", "http1.headers_too_large")
        return b""

    def _request(self, parsed: ParsedRequest) -> None:
        _, method, target, minor, host, items, index, flags = parsed
        if flags & TWO_HOSTS:
            # RFC 9112 section 3.2; Envoy joins them.
            self.refuse(400, b"Bad Request", "http1.duplicate_host")
            return
        head = RequestHead(method, target, host or b"", items, index)
        http10 = minor == 0
        length = 0
        if self._screens_names and self._underscored(head):
            self.refuse(400, b"Bad Request", _UNDERSCORE)
            return
        if target[:1] != b"/" or http10 or method is _CONNECT_METHOD or method is _QUERY:
            refusal = check_target(head, http10, self._settings)
            if refusal is not None:
                if refusal.status == 426 and flags & FRAMING:
                    # What is wrong in any version is said first.
                    framing = take_framing(head, http10, self._settings)
                    refusal = framing if isinstance(framing, Refusal) else refusal
                self._http10 = http10 and self._settings.accept_http_10
                self.refuse(refusal.status, refusal.body, refusal.details)
                return
            if method is _CONNECT_METHOD:
                length = CONNECT
        if not valid_host(head.authority):
            self.refuse(400, b"Bad Request", "http.invalid_authority")
            return
        self._http10 = self._close_after = http10
        if flags & FRAMING:
            framing = take_framing(head, http10, self._settings)
            if isinstance(framing, Refusal):
                self.refuse(framing.status, framing.body, framing.details)
                return
            length = framing.length
            self._close_after = framing.close
            if length == CHUNKED:
                # Trailers that are dropped are not counted, as by Envoy.
                most = self._max_headers if self._settings.enable_trailers else 1 << 30
                self._chunked = ChunkedDecoder(self._max_head, most)
        self._state = length or RESPONSE
        self._response_to_head = method == b"HEAD"
        self._chunked_out = False
        self._responding = True
        self._stream = stream = self.callbacks.new_stream(self)
        self._unflushed = length != 0
        stream.decode_headers(head, length == 0)

    def _measure(self, size: int, parsed: ParsedRequest) -> None:
        """`size`: bytes from the start of the head to the end of what has come, but for what is held."""
        self.meter = meter = ByteMeter(self, self.bytes_received - size - len(self._held))
        host = parsed[4]
        meter.add_fields(parsed[5] if host is None else [*parsed[5], (b"host", host)])

    def _underscored(self, fields: HeaderMap) -> bool:
        """Deal with names that have "_" in them (`headers_with_underscores_action`).  True: refuse the request."""
        dropped = frozenset(name for name in fields.index if b"_" in name)
        if not dropped:
            return False
        refused = self._settings.underscores == "reject"
        count = sum(1 for name, _ in fields.items if name in dropped)
        self.callbacks.underscores_found(1 if refused else count, refused)
        if not refused:
            fields.remove_all(dropped)
        return refused

    def _pass_on(self, data: bytes) -> bytes:
        """Bytes of a tunnel, or of one that the upstream has not accepted yet."""
        if self.passage is not None:
            self.passage.send(data)
        elif self._stream is not None:
            self._stream.decode_data(data, False)
        return b""

    def _take_content(self, data: bytes, left: int) -> bytes:
        stream = self._stream
        assert stream is not None
        count = len(data)
        if count < left:
            self._state = left - count
            stream.decode_data(data, False)
            return b""
        self._state = RESPONSE
        rest = b""
        if count > left:
            rest = data[left:]
            data = data[:left]
        stream.decode_data(data, True)
        return rest

    def _take_chunks(self, data: bytes) -> bytes:
        chunked = self._chunked
        stream = self._stream
        assert chunked is not None and stream is not None
        try:
            pieces = chunked.feed(data)
        except RemoteProtocolError as error:
            self._broken_body(error.status_hint, "http1.codec_error")
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if not chunked.done:
            if data:
                stream.decode_data(data, False)
            return b""
        self._chunked = None
        self._state = RESPONSE
        trailers = HeaderMap(chunked.trailers)
        if self.meter is not None:
            self.meter.add_fields(trailers.items)
        if self._settings.enable_trailers and self._settings.underscores and self._underscored(trailers):
            self._broken_body(400, _UNDERSCORE)
            return b""
        if trailers.items and self._settings.enable_trailers:
            if data:
                stream.decode_data(data, False)
            stream.decode_trailers(trailers)
        else:
            stream.decode_data(data, True)
        return chunked.rest

    def _broken_body(self, status: int, details: str) -> None:
        """The framing of a request's content is wrong: nothing on this connection can be trusted any more."""
        stream, self._stream = self._stream, None
        self._refuse_body(status, details)
        if stream is not None:
            stream.on_reset(ResetReason.PROTOCOL_ERROR, details)

    def _refuse_body(self, status: int, details: str) -> None:
        self._state = CLOSED
        if self._responding:
            self.callbacks.protocol_error(self, status, reason(status).encode(), details)

    def refuse(self, status: int, body: bytes, details: str) -> None:
        """Answer what cannot be read as a request, and read nothing more."""
        self.callbacks.protocol_error(self.give_up(), status, body, details)

    def _next(self) -> None:
        self._state = HEAD
        self._stream = None
        if self._held and not self._consuming:
            self._consume(self._release())
