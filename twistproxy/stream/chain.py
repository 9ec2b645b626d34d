"""The walk of one stream through its HTTP filters.  A stream whose chain is only the router has none."""

from __future__ import annotations

from typing import Any, Protocol

from twistproxy.api.http_filter import FilterChain, FilterStatus, UpstreamSide
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead

_STOP = FilterStatus.STOP


class Stream(Protocol):
    """What the walk needs of `stream.Stream`."""

    @property
    def end(self) -> float: ...

    @property
    def upstream(self) -> UpstreamSide | None: ...

    def send_headers(self, head: ResponseHead, end_stream: bool) -> None: ...

    def send_data(self, data: bytes, end_stream: bool) -> None: ...

    def send_trailers(self, trailers: HeaderMap) -> None: ...

    def flush(self) -> None: ...

    def flush_response(self) -> None: ...


class _Direction:
    """One way through the filters.

    Each piece runs through the filters' methods for its kind and then to `deliver`.  Where a filter stops, the piece
    and those after it wait; `resume` takes the walk up behind that filter.
    """

    __slots__ = ("_deliver", "_methods", "_stopped_at", "_stream", "_waiting")

    def __init__(self, stream: Stream, methods: tuple[tuple[Any, ...], ...], deliver: Any) -> None:
        self._stream = stream
        self._methods = methods
        self._deliver = deliver
        self._waiting: list[tuple[int, Any, bool]] = []
        self._stopped_at = -1

    def send(self, kind: int, piece: Any, end_stream: bool) -> None:
        if self._stopped_at >= 0:
            self._waiting.append((kind, piece, end_stream))
        else:
            self._run(kind, piece, end_stream, 0)

    def resume(self) -> None:
        at, self._stopped_at = self._stopped_at + 1, -1
        waiting, self._waiting = self._waiting, []
        for position, (kind, piece, end_stream) in enumerate(waiting):
            if self._stopped_at >= 0:
                self._waiting.extend(waiting[position:])
                return
            self._run(kind, piece, end_stream, at if position == 0 else 0)

    def _run(self, kind: int, piece: Any, end_stream: bool, start: int) -> None:
        stream = self._stream
        methods = self._methods[kind]
        for at in range(start, len(methods)):
            if methods[at](stream, piece, end_stream) == _STOP:
                if not stream.end:
                    self._stopped_at = at
                    self._waiting.insert(0, (kind, piece, end_stream))
                return
            if stream.end:
                return
        self._deliver(kind, piece, end_stream)


class FilterWalk:
    """Both directions of one stream."""

    __slots__ = ("_chain", "_decoding", "_encoding", "_stream")

    def __init__(self, stream: Stream, chain: FilterChain) -> None:
        self._stream = stream
        self._chain = chain
        self._decoding = _Direction(
            stream, (chain.decode_headers, chain.decode_data, chain.decode_trailers), self._to_router
        )
        self._encoding = _Direction(
            stream, (chain.encode_headers, chain.encode_data, chain.encode_trailers), self._to_downstream
        )

    def decode_headers(self, head: RequestHead, end_stream: bool) -> None:
        self._decoding.send(0, head, end_stream)

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        self._decoding.send(1, data, end_stream)

    def decode_trailers(self, trailers: HeaderMap) -> None:
        self._decoding.send(2, trailers, True)

    def continue_decoding(self) -> None:
        self._decoding.resume()
        self._stream.flush()

    def encode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        self._encoding.send(0, head, end_stream)

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        self._encoding.send(1, data, end_stream)

    def encode_trailers(self, trailers: HeaderMap) -> None:
        self._encoding.send(2, trailers, True)

    def continue_encoding(self) -> None:
        self._encoding.resume()
        self._stream.flush_response()

    def _to_router(self, kind: int, piece: Any, end_stream: bool) -> None:
        stream = self._stream
        if kind == 0:
            self._chain.router.decode_headers(stream, piece, end_stream)
        elif stream.upstream is not None:
            if kind == 1:
                stream.upstream.send_data(piece, end_stream)
            else:
                stream.upstream.send_trailers(piece)

    def _to_downstream(self, kind: int, piece: Any, end_stream: bool) -> None:
        (self._stream.send_headers, self._stream.send_data, self._send_trailers)[kind](piece, end_stream)

    def _send_trailers(self, trailers: HeaderMap, _end_stream: bool) -> None:
        self._stream.send_trailers(trailers)
