"""HTTP filters (Envoy: arch_overview/http/http_filters).

A filter is one shared object for all streams of a connection manager.  It has those of these methods that it needs; one
that it does not define is not called and costs nothing:

    decode_headers(stream, head, end_stream) -> FilterStatus            the request's head, a `RequestHead`
    decode_data(stream, data, end_stream) -> FilterStatus | bytes       a piece of its content
    decode_trailers(stream, trailers) -> FilterStatus                   a `HeaderMap`
    encode_headers, encode_data, encode_trailers                        the same of the response
    stream_ended(stream)                                                once, when all is over

`end_stream`: nothing follows.  The filters see a request in the order of the configuration, and its response, which may
be a local reply, in the reverse order.  The last filter is the router.

A filter may change heads and trailers as they come, and returns other bytes in place of a piece to go on with those.
`stream.notes` is a dict for what it must remember of a stream, best under itself as the key.  To wait for something it
returns one of the STOPs and calls `stream.continue_decoding(self)` or `stream.continue_encoding(self)` when it has it
(or, if the answer came at once, even before it returns).  `stream.local_reply` answers in place of the upstream: return
STOP after it.  `stream.metadata` is the dynamic metadata; `stream.clear_route_cache()` has the route picked anew after a
change that routes match on.  A filter that needs content whole returns STOP for the head and STOP_AND_BUFFER for each
piece but the last, and then has the pieces before it from `stream.take_held(self)`:

    def decode_data(self, stream, data, end_stream):
        if not end_stream:
            return FilterStatus.STOP_AND_BUFFER
        return transform(stream.take_held(self) + data)

`stream.release_response(self, count)` lets a part of a response's content go on that waits at the filter.

Where trailers follow, a filter without `decode_trailers` is told that the content is complete by an empty last piece.
Its settings may differ by route: then each such route has an object of its own, made from its settings, and a filter
need not know (`filters.variants`).
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, Protocol

from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead


class FilterStatus(IntEnum):
    """What a filter's method returns.

    CONTINUE            the next filter is called.  After a STOP it lets go of all that waits here
    STOP                of a head or trailers: they wait here, and content still comes to this filter (if it takes any;
                        else that waits, too).  Of content: this piece is gone, the filter has taken it
    STOP_AND_BUFFER     this piece waits here.  After a head, all that follows waits, too, and is not shown to this
                        filter.  What waits may not be more than the buffer limit: a request is then answered with 413,
                        a response turned into a 500
    STOP_AND_WATERMARK  the same, but at the buffer limit its source is paused
    """

    CONTINUE = 0
    STOP = 1
    STOP_AND_BUFFER = 2
    STOP_AND_WATERMARK = 3


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


class Variants(Protocol):
    """The chains of one connection manager: filters may be switched on, off or set up by the route."""

    def select(self, route: Any) -> FilterChain:
        """The chain for a request that takes this route (None: none)."""

    def routes_changed(self) -> None:
        """There are other routes from now on."""


#: A method of a filter: the filter's place in the direction of the call, the filter, and the bound method.
Methods = tuple[tuple[int, Any, Any], ...]


class FilterChain:
    """A compiled chain: which filters have which method, in order; for the response in reverse.

    decoding, encoding  the methods for heads, content and trailers
    ends                the `stream_ended` methods
    plain               nothing but the router, whatever the route: no walk is needed
    """

    __slots__ = ("_variants", "decoding", "encoding", "ends", "filters", "plain", "router")

    def __init__(
        self, filters: tuple[Any, ...], router: TerminalFilter, variants: Variants | None = None
    ) -> None:
        def having(method: str, order: tuple[Any, ...]) -> Methods:
            return tuple(
                (at, one, getattr(one, method)) for at, one in enumerate(order) if hasattr(one, method)
            )

        def direction(verb: str, order: tuple[Any, ...]) -> tuple[Methods, Methods, Methods]:
            return (
                having(f"{verb}_headers", order),
                having(f"{verb}_data", order),
                having(f"{verb}_trailers", order),
            )

        self.filters = filters
        self.router = router
        self.decoding = direction("decode", filters)
        self.encoding = direction("encode", filters[::-1])
        self.ends = tuple(one.stream_ended for one in filters if hasattr(one, "stream_ended"))
        self._variants = variants
        self.plain = not filters and variants is None

    def for_route(self, route: Any) -> FilterChain:
        """The chain for a request that takes this route (None: none)."""
        return self if self._variants is None else self._variants.select(route)

    def routes_changed(self) -> None:
        """There are other routes from now on."""
        if self._variants is not None:
            self._variants.routes_changed()
