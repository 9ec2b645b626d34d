"""The Twisted protocol between a transport and a `TransportHandler`.

The handler's bound methods become the protocol's own attributes, so that a transport calls them directly: no
Python frame of ours lies on the way of the bytes.
"""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.error import ConnectError, ConnectionDone, ConnectionLost, TimeoutError
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.api.transport import TransportHandler


@implementer(IProtocol, IHalfCloseableProtocol)
class StreamProtocol:
    """Base of the two kinds of connection.  `attach` must be called from `makeConnection`, before any data
    comes."""

    #: Read by our own reactor (`uv_read.is_direct`): `dataReceived` stays what `attach` makes it.
    direct_delivery = True

    #: Twisted's transports look at this name when a protocol is part of a log line.
    def logPrefix(self) -> str:
        return type(self).__name__

    def attach(self, handler: TransportHandler) -> None:
        """From now on `handler` gets the events."""
        self._handler = handler
        self.dataReceived = handler.data_received  # type: ignore[method-assign]
        self.readConnectionLost = handler.read_ended  # type: ignore[method-assign]

    def makeConnection(self, transport: Any) -> None:
        raise NotImplementedError

    def connectionMade(self) -> None:
        """Part of IProtocol; `makeConnection` does everything."""

    def dataReceived(self, data: bytes) -> None:
        """Replaced by the handler's."""

    def readConnectionLost(self) -> None:
        """Replaced by the handler's."""

    def writeConnectionLost(self) -> None:
        """Our own half is closed: the handler asked for it."""

    def connectionLost(self, reason: Failure) -> None:
        self._handler.connection_lost(describe(reason))


def describe(reason: Failure) -> str:
    """Why a connection ended or was not made, in words: "" for an orderly end."""
    error = reason.value
    assert error is not None
    if isinstance(error, ConnectionDone):
        return ""
    if isinstance(error, TimeoutError):
        return "connection timeout"
    number = error.osError if isinstance(error, ConnectError) else None
    if number is None and error.args and isinstance(error.args[0], int):
        number = error.args[0]
    if isinstance(number, int) and number in errno.errorcode:
        return os.strerror(number)
    if isinstance(error, ConnectionLost):
        return "connection lost"
    return str(error) or type(error).__name__
