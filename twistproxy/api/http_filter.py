"""HTTP filters (Envoy: arch_overview/http/http_filters).

A filter is one shared object for all streams of a connection manager; what it must remember of a stream it keeps in a
`dict` of its own or in the stream's filter state.  A method that a filter does not define is not called for it: it costs
nothing.  The last filter of a chain is the router.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead


class FilterStatus(IntEnum):
    """What a filter's method returns.

    CONTINUE  the next filter is called
    STOP      this piece goes no further, and pieces after it are kept, until `continue_decoding`/`continue_encoding`
              of the walk is called or the stream ends, as with a local reply
    """

    CONTINUE = 0
    STOP = 1


class UpstreamSide(Protocol):
    """What a stream tells the router's request to the upstream."""

    def send_data(self, data: bytes, end_stream: bool) -> None: ...

    def flush_request(self) -> None:
        """No content of the request follows in this turn."""

    def send_trailers(self, trailers: HeaderMap) -> None: ...

    def pause_reading(self) -> None:
        """The downstream reads too slowly."""

    def resume_reading(self) -> None: ...

    def timed_out(self) -> None:
        """The route's time limit is over."""

    def cancel(self) -> None:
        """Nobody wants the response any more."""


class TerminalFilter(Protocol):
    """The router, as the stream sees it.  It sets `stream.upstream`, or replies by itself."""

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> None: ...


class FilterChain:
    """A compiled chain: which filters have which method, in order; for the response in reverse."""

    __slots__ = (
        "decode_data",
        "decode_headers",
        "decode_trailers",
        "encode_data",
        "encode_headers",
        "encode_trailers",
        "filters",
        "router",
    )

    def __init__(self, filters: tuple[Any, ...], router: TerminalFilter) -> None:
        def having(method: str, order: Any) -> tuple[Any, ...]:
            return tuple(getattr(one, method) for one in order if hasattr(one, method))

        self.filters = filters
        self.router = router
        self.decode_headers = having("decode_headers", filters)
        self.decode_data = having("decode_data", filters)
        self.decode_trailers = having("decode_trailers", filters)
        self.encode_headers = having("encode_headers", filters[::-1])
        self.encode_data = having("encode_data", filters[::-1])
        self.encode_trailers = having("encode_trailers", filters[::-1])
