"""Holds a request until it is complete (Envoy: configuration/http/http_filters/buffer_filter)."""

from __future__ import annotations

from typing import Any

from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.tools import FilterTools
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead
from twistproxy.model.http_filters import BufferSettings


class BufferFilter:
    """A request that is larger than the limit is answered with 413; one of unknown length gets a content-length."""

    def __init__(
        self, settings: BufferSettings, overrides: tuple[BufferSettings, ...], tools: FilterTools
    ) -> None:
        self._limit = (*overrides, settings)[0].max_request_bytes

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        if end_stream or b"upgrade" in head.index or not head.path:
            return FilterStatus.CONTINUE
        stream.set_request_limit(self._limit)
        return FilterStatus.STOP

    def decode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        if not end_stream:
            return FilterStatus.STOP_AND_BUFFER
        self._complete(stream)
        return FilterStatus.CONTINUE

    def decode_trailers(self, stream: Any, trailers: HeaderMap) -> FilterStatus:
        self._complete(stream)
        return FilterStatus.CONTINUE

    def _complete(self, stream: Any) -> None:
        head = stream.head
        if b"content-length" not in head.index:
            head.add(b"content-length", b"%d" % stream.bytes_received)
