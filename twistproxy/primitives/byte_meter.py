"""Bytes of one request and its response on one connection, as Envoy's StreamInfo::BytesMeter counts them.

Only made where a log or a header rule asks for them.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol


class Counted(Protocol):
    """A connection, with what has passed over it so far."""

    bytes_received: int
    bytes_sent: int


class ByteMeter:
    """received, sent                all bytes, with start lines and framing
    header_received, header_sent  fields only: of what is received names, values and three bytes each; of what is sent
                                  whole lines
    """

    __slots__ = (
        "_connection",
        "_received",
        "_received_before",
        "_sent",
        "_sent_before",
        "header_received",
        "header_sent",
    )

    def __init__(self, connection: Counted, received_before: int) -> None:
        """`received_before`: of the connection's received bytes, those that are not this stream's."""
        self._connection: Counted | None = connection
        self._received_before = received_before
        self._sent_before = connection.bytes_sent
        self._received = self._sent = 0
        self.header_received = self.header_sent = 0

    @property
    def received(self) -> int:
        connection = self._connection
        return self._received if connection is None else connection.bytes_received - self._received_before

    @property
    def sent(self) -> int:
        connection = self._connection
        return self._sent if connection is None else connection.bytes_sent - self._sent_before

    def follow(self, earlier: ByteMeter) -> None:
        """Add what an attempt before this one took."""
        self._received_before -= earlier.received
        self._sent_before -= earlier.sent
        self.header_received += earlier.header_received
        self.header_sent += earlier.header_sent

    def add_fields(self, fields: Iterable[tuple[bytes, bytes]]) -> None:
        """Fields of a head or of trailers that were received."""
        self.header_received += sum([len(name) + len(value) + 3 for name, value in fields])

    def stop(self) -> None:
        """What passes from now on is another stream's."""
        self._received, self._sent = self.received, self.sent
        self._connection = None
