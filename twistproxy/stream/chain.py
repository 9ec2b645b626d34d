"""The walk of one stream through its HTTP filters.  A stream whose chain is only the router has none."""

from __future__ import annotations

from typing import Any, Protocol

from twistproxy.api.http_filter import FilterChain, UpstreamSide
from twistproxy.http.headers import Header, HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.stream.direction import DATA, HEAD, TRAILERS, Direction


class Stream(Protocol):
    """What the walk needs of `stream.Stream`."""

    @property
    def context(self) -> Any: ...

    @property
    def upstream(self) -> UpstreamSide | None: ...

    def send_headers(self, head: ResponseHead, end_stream: bool) -> None: ...

    def send_data(self, data: bytes, end_stream: bool) -> None: ...

    def send_trailers(self, trailers: HeaderMap) -> None: ...

    def flush(self) -> None: ...

    def flush_response(self) -> None: ...

    def pause_request(self) -> None: ...

    def resume_request(self) -> None: ...

    def local_reply(
        self, status: int, body: bytes, flag: int, details: str, headers: tuple[Header, ...] = ()
    ) -> None: ...


class _Decoding(Direction):
    __slots__ = ("_chain", "_stream")

    def __init__(self, stream: Stream, chain: FilterChain, limit: int) -> None:
        super().__init__(chain.decoding, limit)
        self._stream = stream
        self._chain = chain

    def stream(self) -> Any:
        return self._stream

    def deliver(self, kind: int, piece: Any, end_stream: bool) -> None:
        stream = self._stream
        if kind == HEAD:
            self._chain.router.decode_headers(stream, piece, end_stream)
        elif stream.upstream is not None:
            if kind == DATA:
                stream.upstream.send_data(piece, end_stream)
            else:
                stream.upstream.send_trailers(piece)

    def too_large(self) -> None:
        stream = self._stream
        stream.context.stats.downstream_rq_too_large += 1
        stream.local_reply(413, b"Payload Too Large", 0, "request_payload_too_large")

    def pause(self) -> None:
        self._stream.pause_request()

    def unpause(self) -> None:
        self._stream.resume_request()


class _Encoding(Direction):
    __slots__ = ("_stream",)

    def __init__(self, stream: Stream, chain: FilterChain, limit: int) -> None:
        super().__init__(chain.encoding, limit)
        self._stream = stream

    def stream(self) -> Any:
        return self._stream

    def deliver(self, kind: int, piece: Any, end_stream: bool) -> None:
        stream = self._stream
        if kind == HEAD:
            stream.send_headers(piece, end_stream)
        elif kind == DATA:
            stream.send_data(piece, end_stream)
        else:
            stream.send_trailers(piece)

    def too_large(self) -> None:
        stream = self._stream
        stream.context.stats.rs_too_large += 1
        stream.local_reply(500, b"Internal Server Error", 0, "response_payload_too_large")

    def pause(self) -> None:
        if self._stream.upstream is not None:
            self._stream.upstream.pause_reading()

    def unpause(self) -> None:
        if self._stream.upstream is not None:
            self._stream.upstream.resume_reading()


class FilterWalk:
    """Both directions of one stream.

    notes  what filters remember of it
    chain  the one it began with
    """

    __slots__ = ("_ends", "_past_filters", "_stream", "chain", "decoding", "encoding", "notes")

    def __init__(self, stream: Stream, chain: FilterChain, limit: int) -> None:
        self._stream = stream
        self.chain = chain
        self._ends = chain.ends  # of all the filters that may have seen it
        self._past_filters = False
        self.decoding = _Decoding(stream, chain, limit)
        self.encoding = _Encoding(stream, chain, limit)
        self.notes: dict[Any, Any] = {}

    def use(self, chain: FilterChain) -> None:
        """The route has changed."""
        self._ends += tuple(one for one in chain.ends if one not in self._ends)
        self.decoding.use(chain.decoding)
        self.encoding.use(chain.encoding)

    def decode_headers(self, head: RequestHead, end_stream: bool) -> None:
        self.decoding.send(HEAD, head, end_stream)

    def decode_data(self, data: bytes, end_stream: bool) -> None:
        if not self.decoding.over:
            self.decoding.send(DATA, data, end_stream)

    def decode_trailers(self, trailers: HeaderMap) -> None:
        if not self.decoding.over:
            self.decoding.send(TRAILERS, trailers, True)

    def continue_decoding(self, owner: Any) -> None:
        if not self.decoding.over:
            self.decoding.resume(owner)
            self._stream.flush()

    def replied(self) -> None:
        """A local reply follows: nothing more goes to the upstream.  If a response was on its way through the filters
        already, the reply takes its place past them."""
        self.decoding.over = True
        if self.encoding.started:
            self.encoding.over = self._past_filters = True

    def encode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        if self._past_filters:
            self._stream.send_headers(head, end_stream)
        elif not self.encoding.over:
            self.encoding.send(HEAD, head, end_stream)

    def encode_data(self, data: bytes, end_stream: bool) -> None:
        if self._past_filters:
            self._stream.send_data(data, end_stream)
        elif not self.encoding.over:
            self.encoding.send(DATA, data, end_stream)

    def encode_trailers(self, trailers: HeaderMap) -> None:
        if not self.encoding.over:
            self.encoding.send(TRAILERS, trailers, True)

    def continue_encoding(self, owner: Any) -> None:
        if not self.encoding.over:
            self.encoding.resume(owner)
            self._stream.flush_response()

    def release_response(self, owner: Any, most: int) -> int:
        if self.encoding.over:
            return 0
        released = self.encoding.release(owner, most)
        self._stream.flush_response()
        return released

    def ended(self) -> None:
        """The stream is over."""
        self.decoding.over = self.encoding.over = True
        for stream_ended in self._ends:
            stream_ended(self._stream)
