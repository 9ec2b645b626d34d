"""HTTP/2 towards a server, one call after the other (RFC 9113, by the package h2).

It is for calls of our own, which are few and small; nothing of it is in the way of traffic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import H2Error

from twistproxy.errors import RemoteProtocolError
from twistproxy.http.headers import Header

Fields = dict[bytes, bytes]

#: A frame's head, where in it its type is, and the type that the first frame has (RFC 9113 sections 4.1, 3.4).
_FRAME_HEAD = 9
_TYPE = 3
_SETTINGS = 4


class CallSink(Protocol):
    """Who gets the response.  Nothing is called for a call that is over or was cancelled."""

    def call_head(self, fields: Fields, ended: bool) -> None:
        """`:status` is among the fields.  `ended`: that was all."""

    def call_data(self, data: bytes, ended: bool) -> None: ...

    def call_trailers(self, fields: Fields) -> None:
        """They end the call."""

    def call_reset(self) -> None:
        """The server gave the call up."""

    def going_away(self, orderly: bool) -> None:
        """The server takes no more calls; `orderly`: it may finish the one that is under way."""


class H2Calls:
    """One connection.  `write` sends bytes; `sink` may be anything before the first call."""

    __slots__ = ("_h2", "_held", "_preface", "_sink", "_stream", "_write")

    def __init__(self, write: Callable[[bytes], None], sink: CallSink) -> None:
        self._write = write
        self._sink = sink
        self._h2 = H2Connection(H2Configuration(header_encoding=None))
        self._h2.initiate_connection()
        self._stream = 0
        self._preface = True
        self._held = b""

    @property
    def active(self) -> bool:
        """Whether a call is under way."""
        return self._stream != 0

    def call(self, head: Iterable[Header], content: bytes) -> None:
        """Send a request, pseudo-headers first.  No call may be under way."""
        self._stream = self._h2.get_next_available_stream_id()
        self._h2.send_headers(self._stream, list(head), end_stream=not content)
        if content:
            self._h2.send_data(self._stream, content, end_stream=True)
        self._flush()

    def cancel(self) -> None:
        """Nobody wants the rest of the response."""
        stream, self._stream = self._stream, 0
        try:
            self._h2.reset_stream(stream, ErrorCodes.CANCEL)
        except H2Error:
            return  # it is over on both sides
        self._flush()

    def receive(self, data: bytes) -> None:
        """Bytes from the server.  Raises `RemoteProtocolError`."""
        # A frame at a time, so that what h2 makes of one can be put right before the next.
        held = self._held + data
        while len(held) >= _FRAME_HEAD:
            size = _FRAME_HEAD + int.from_bytes(held[:3], "big")
            if size > _FRAME_HEAD + self._h2.max_inbound_frame_size or (
                self._preface and held[_TYPE] != _SETTINGS
            ):
                raise RemoteProtocolError("the server does not speak HTTP/2")
            if len(held) < size:
                break
            frame, held = held[:size], held[size:]
            self._preface = False
            try:
                events = self._h2.receive_data(frame)
            except H2Error as error:
                raise RemoteProtocolError(str(error)) from error
            for event in events:
                self._take(event)
        self._held = held
        self._flush()

    def _flush(self) -> None:
        data = self._h2.data_to_send()
        if data:
            self._write(data)

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            # For h2 all is over; but the call that is under way may be finished (RFC 9113 section 6.8).
            self._h2.state_machine.state = ConnectionState.CLIENT_OPEN
            self._sink.going_away(event.error_code == ErrorCodes.NO_ERROR)
            return
        if isinstance(event, DataReceived) and event.flow_controlled_length:
            self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        if not self._stream or getattr(event, "stream_id", None) != self._stream:
            return
        if isinstance(event, (DataReceived, ResponseReceived)):
            ended = event.stream_ended is not None
            if ended:
                self._stream = 0
            if isinstance(event, DataReceived):
                self._sink.call_data(event.data, ended)
            else:
                self._sink.call_head(_fields(event.headers), ended)
        elif isinstance(event, TrailersReceived):
            self._stream = 0
            self._sink.call_trailers(_fields(event.headers))
        elif isinstance(event, StreamReset):
            self._stream = 0
            self._sink.call_reset()


def _fields(headers: object) -> Fields:
    """h2 gives names and values as bytes, as it was told to."""
    found: Fields = dict(headers)  # type: ignore[call-overload]
    return found
