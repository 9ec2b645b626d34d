"""What few configurations ask of HTTP/1: names of fields as they came or Like-This, methods of any name, and whole
URLs as targets.  The others use the base classes and pay nothing for it."""

from __future__ import annotations

import re

from twistproxy.api.transport import Transport
from twistproxy.codec.h1_client import ClientConnectionOwner, Http1ClientConnection
from twistproxy.codec.h1_parse import (
    INCOMPLETE,
    MALFORMED,
    METHODS,
    ParsedRequest,
    ParsedResponse,
    parse_request,
)
from twistproxy.codec.h1_server import Http1ServerConnection
from twistproxy.codec.h1_spelling import PROPER, Spelling, keep_spelling, spelling_of
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.http1 import Http1Settings, KeyFormat, UpstreamHttp1Settings

_METHOD = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]{1,8192})(?: |\Z)")
_USUAL = KeyFormat()


class ExtendedServerConnection(Http1ServerConnection):
    """`Http1Settings.key_format`, `carries_spelling` and `custom_methods`."""

    __slots__ = ("_custom", "_keep", "_proper", "_raw", "_spelling")

    def __init__(self, transport: Transport, settings: Http1Settings) -> None:
        super().__init__(transport, settings)
        key_format = settings.key_format or _USUAL
        self._custom = settings.custom_methods
        self._keep = key_format if key_format.keep else None
        self._proper = key_format.proper and not key_format.keep
        self._raw = b""
        self._spelling: Spelling | None = None  # of the head that is written next

    def _take_head(self, data: bytes) -> bytes:
        if self._keep is not None:
            self._raw = self._partial + data
        return super()._take_head(data)

    def _take_unusual_head(self, data: bytes, code: int) -> bytes:
        method = _METHOD.match(data) if code == MALFORMED and self._custom else None
        if method is None or method[1] in METHODS:
            return super()._take_unusual_head(data, code)
        return self._take_custom(data, method[1])

    def _take_custom(self, data: bytes, method: bytes) -> bytes:
        """A head with a method that the parser does not know; it is given one that it knows in its place."""
        settings = self._settings
        longer = len(method) - 3
        parsed = parse_request(b"GET" + data[len(method) :], settings.max_headers)
        if isinstance(parsed, int):
            if len(method) == len(data):
                parsed = INCOMPLETE
            return super()._take_unusual_head(data, parsed)
        size = parsed[0] + longer
        if size > settings.max_head_bytes:
            return self._too_large()
        self._request((size, method, parsed[2], parsed[3], parsed[4], parsed[5], parsed[6], parsed[7]))
        return data[size:]

    def _request(self, parsed: ParsedRequest) -> None:
        keep = self._keep
        if keep is not None:
            raw, self._raw = self._raw, b""
            items = keep_spelling(parsed[5], raw[: parsed[0]], keep.proper, False)
            parsed = (parsed[0], parsed[1], parsed[2], parsed[3], parsed[4], items, parsed[6], parsed[7])
        super()._request(parsed)

    def encode_1xx(self, head: ResponseHead) -> None:
        self._spelling = spelling_of(head.items, self._proper)
        super().encode_1xx(head)
        self._spelling = None

    def encode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        self._spelling = spelling = spelling_of(head.items, self._proper)
        super().encode_headers(head, end_stream)
        if spelling is not None and not end_stream:
            self._out = spelling.apply(self._out)
        self._spelling = None

    def encode_trailers(self, trailers: HeaderMap) -> None:
        if self._proper:
            trailers = HeaderMap([(PROPER.spelled(name), value) for name, value in trailers.items])
        super().encode_trailers(trailers)

    def _write(self, data: bytes) -> None:
        spelling = self._spelling
        if spelling is not None:
            self._spelling = None
            data = spelling.apply(data)
        super()._write(data)


class ExtendedClientConnection(Http1ClientConnection):
    """`UpstreamHttp1Settings.key_format`, `carries_spelling` and `send_fully_qualified`."""

    __slots__ = ("_keep", "_proper", "_qualified", "_raw", "_spelling")

    def __init__(
        self, transport: Transport, owner: ClientConnectionOwner, settings: UpstreamHttp1Settings, now: float
    ) -> None:
        super().__init__(transport, owner, settings, now)
        key_format = settings.key_format or _USUAL
        self._keep = key_format if key_format.keep else None
        self._proper = key_format.proper and not key_format.keep
        self._qualified = settings.send_fully_qualified
        self._raw = b""
        self._spelling: Spelling | None = None

    def _take_head(self, data: bytes) -> bytes:
        if self._keep is not None:
            self._raw = self._partial + data
        return super()._take_head(data)

    def _response(self, parsed: ParsedResponse, rest: bytes) -> bytes:
        keep = self._keep
        if keep is not None:
            raw, self._raw = self._raw, b""
            items = keep_spelling(parsed[3], raw[: len(raw) - len(rest)], keep.proper, keep.reason)
            parsed = (parsed[0], parsed[1], parsed[2], items, parsed[4], parsed[5])
        return super()._response(parsed, rest)

    def encode_headers(self, head: RequestHead, end_stream: bool) -> None:
        self._spelling = spelling = spelling_of(head.items, self._proper)
        path = head.path
        if self._qualified:
            head.path = head.scheme + b"://" + head.authority + path
        super().encode_headers(head, end_stream)
        head.path = path
        if spelling is not None and not end_stream:
            self._out = spelling.apply(self._out)
        self._spelling = None

    def encode_upgrade(self, head: RequestHead) -> None:
        self._spelling = spelling_of(head.items, self._proper)
        super().encode_upgrade(head)

    def encode_trailers(self, trailers: HeaderMap) -> None:
        if self._proper:
            trailers = HeaderMap([(PROPER.spelled(name), value) for name, value in trailers.items])
        super().encode_trailers(trailers)

    def _write(self, data: bytes) -> None:
        spelling = self._spelling
        if spelling is not None:
            self._spelling = None
            data = spelling.apply(data)
        super()._write(data)
