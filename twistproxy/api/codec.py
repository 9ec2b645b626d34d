"""Messages on one connection, whatever the version of HTTP.

Directions are the proxy's: decoding is what arrives, encoding what leaves, on both sides.  A codec is given its sinks;
it never looks up who owns it.  HTTP/1 and HTTP/2 satisfy the same protocols, as server and as client, so that a stream
does not know which it is on and any pairing works.

Rules for every sink: `decode_headers` first and once, then `decode_data`, then at most one `decode_trailers`; exactly one
of the calls says `end_stream=True` (trailers always do) or `on_reset` ends it.  Nothing is called after that.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Protocol

from twistproxy.api.transport import Transport
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.primitives.byte_meter import ByteMeter


class ResetReason(IntEnum):
    """Why a stream ended abnormally.  The values index `RESET_TEXT`."""

    LOCAL_RESET = 0
    REMOTE_RESET = 1
    CONNECTION_TERMINATION = 2
    CONNECTION_FAILURE = 3
    CONNECTION_TIMEOUT = 4
    PROTOCOL_ERROR = 5
    OVERFLOW = 6
    REMOTE_REFUSED = 7
    LOCAL_FAILURE = 8


#: The words of "upstream connect error or disconnect/reset before headers. reset reason: X".
RESET_TEXT = (
    "local reset",
    "remote reset",
    "connection termination",
    "remote connection failure",
    "connection timeout",
    "protocol error",
    "overflow",
    "remote refused stream reset",
    "local connection failure",
)


class Passage(Protocol):
    """One direction of an open tunnel."""

    def send(self, data: bytes) -> None:
        """Count `data` and write it to the other side's transport."""


class TunnelEnd(Protocol):
    """A codec whose connection has become one end of a tunnel.  `passage` gets what it receives, once it is set."""

    transport: Transport
    bytes_sent: int
    passage: Passage | None


class RequestDecoder(Protocol):
    """Server side: who receives a request.  Given by the connection manager for each stream."""

    def decode_headers(self, head: RequestHead, end_stream: bool) -> None: ...

    def decode_data(self, data: bytes, end_stream: bool) -> None: ...

    def flush(self) -> None:
        """Nothing more comes in this turn, and the last `decode_headers` may still wait to be sent on."""

    def decode_trailers(self, trailers: HeaderMap) -> None: ...

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        """The downstream is gone or broke the protocol in mid-request."""

    def above_write_buffer_high_watermark(self) -> None:
        """The downstream reads too slowly: send no more of the response for now."""

    def below_write_buffer_low_watermark(self) -> None: ...


class ResponseEncoder(Protocol):
    """Server side: the way back of one stream."""

    def encode_1xx(self, head: ResponseHead) -> None: ...

    def encode_headers(self, head: ResponseHead, end_stream: bool) -> None: ...

    def encode_data(self, data: bytes, end_stream: bool) -> None: ...

    def flush(self) -> None:
        """No content follows in this turn: send the head, which may have waited for it to go in one piece."""

    def encode_trailers(self, trailers: HeaderMap) -> None: ...

    def reset(self) -> None:
        """End the stream without finishing the response; the downstream must be able to tell."""

    def pause_reading(self) -> None:
        """Take no more of the request's body for now.  Counted: resume as often as paused."""

    def resume_reading(self) -> None: ...


class ResponseDecoder(Protocol):
    """Client side: who receives the response."""

    def decode_1xx(self, head: ResponseHead) -> None: ...

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None: ...

    def decode_data(self, data: bytes, end_stream: bool) -> None: ...

    def flush(self) -> None:
        """Nothing more comes in this turn, and the last `decode_headers` may still wait to be sent on."""

    def decode_trailers(self, trailers: HeaderMap) -> None: ...

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        """The response will not come, or not whole.  `detail`: words for %UPSTREAM_TRANSPORT_FAILURE_REASON%."""

    def above_write_buffer_high_watermark(self) -> None:
        """The upstream reads too slowly: send no more of the request for now."""

    def below_write_buffer_low_watermark(self) -> None: ...


class RequestEncoder(Protocol):
    """Client side: the way of one request to the upstream.

    switched  the connection is a tunnel: the upstream has accepted what `encode_upgrade` asked for
    """

    switched: bool

    #: Requests that its connection has carried, this one included.
    streams: int
    #: Measures the request that it carries now, if it is measured.
    meter: ByteMeter | None

    def measure(self) -> ByteMeter:
        """Count the bytes of the request that is encoded next."""

    def encode_headers(self, head: RequestHead, end_stream: bool) -> None: ...

    def encode_upgrade(self, head: RequestHead) -> None:
        """Ask for an upgrade, or by CONNECT for a tunnel, at once.  Content must not follow before it is accepted."""

    def encode_data(self, data: bytes, end_stream: bool) -> None: ...

    def flush(self) -> None:
        """No content follows in this turn: send the head, which may have waited for it to go in one piece."""

    def encode_trailers(self, trailers: HeaderMap) -> None: ...

    def reset(self) -> None:
        """Nobody wants the response any more.  On HTTP/1 this ends the connection."""

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class ServerCallbacks(Protocol):
    """What a server codec tells its connection manager."""

    def new_stream(self, encoder: ResponseEncoder) -> RequestDecoder:
        """A request begins; called just before its `decode_headers`."""

    def protocol_error(self, encoder: ResponseEncoder, status: int, body: bytes, details: str) -> None:
        """The bytes are no request: answer with `status` and close, through the open stream or, if there is none,
        `encoder`.  `details` is Envoy's response code detail, e.g. "http1.codec_error"."""

    def response_overtook(self) -> None:
        """A response is complete and its request is not.  HTTP/1 cannot go on; close so that the client can read the
        response first."""

    def underscores_found(self, count: int, refused: bool) -> None:
        """Of `headers_with_underscores_action`: so many fields were dropped, or a request was refused for one."""

    def head_lost(self, encoder: ResponseEncoder, reason: str) -> None:
        """The connection is gone within a request's head; `connection_closed` follows."""

    def close_begun(self) -> None:
        """The connection is closed as soon as what was written is sent; or it is closed already."""

    def connection_closed(self, reason: str) -> None:
        """After the open stream, if any, was reset."""

    def head_started(self) -> None:
        """The first bytes of a request came, but not yet its whole head."""


class ServerCodec(Protocol):
    """A server connection, as its connection manager sees it."""

    transport: Transport
    #: Bytes received and sent, for statistics.
    bytes_received: int
    bytes_sent: int
    #: FIN is sent, and what still comes is ignored.
    half_closed: bool
    #: Whose doing the end was; known in `connection_closed`.
    closed_by_us: bool
    #: Whether to measure each request from now on.
    metered: bool
    #: Measures the request that is read or answered now, or was last.
    meter: ByteMeter | None
    #: Called once when the last byte of the response in progress is written, before the next request.
    when_ended: Callable[[], None] | None

    @property
    def idle(self) -> bool:
        """No request is being read or answered."""

    def drain(self) -> None:
        """Let the response in progress, or the next one, be the last."""

    def close_after_response(self) -> None:
        """The response about to be encoded is the last one."""

    def refuse(self, status: int, body: bytes, details: str) -> None:
        """Answer a request that is not complete, and read nothing more."""

    @property
    def unsent(self) -> int:
        """Bytes in the write buffer; if the transport does not tell, 1."""

    def give_up(self) -> ResponseEncoder:
        """Read nothing more; returns the way to answer the request whose head is not complete."""

    def half_close(self) -> None:
        """Send what is written and FIN, and ignore what still comes."""

    def close(self) -> None:
        """Close once what is written is sent."""
