"""One byte stream, as the data plane sees it.

`Transport` names are Twisted's (`ITransport`, `IPushProducer`, `IConsumer`): any Twisted stream transport satisfies
it as it is, and on our own reactor `write` is libuv's, with no Python frame between.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twistproxy.model.address import Address
from twistproxy.model.sockets import Way


class FlowControl(Protocol):
    """Twisted's IPushProducer, called by a transport about its own write buffer."""

    def pauseProducing(self) -> None:
        """The write buffer has grown over the high water mark: write no more for now."""

    def resumeProducing(self) -> None:
        """The write buffer is below the low water mark again."""

    def stopProducing(self) -> None:
        """The connection is gone."""


class Transport(Protocol):
    """What the data plane asks of a connection.

    bufferSize  high water mark of the write buffer, in bytes
    """

    bufferSize: int

    def write(self, data: bytes) -> None:
        """Send, or buffer and send later.  Ignored when the connection is gone."""

    def loseConnection(self) -> None:
        """Close once everything written is sent."""

    def loseWriteConnection(self) -> None:
        """Send FIN once everything written is sent; go on reading."""

    def abortConnection(self) -> None:
        """Close now; what is buffered is lost."""

    def pauseProducing(self) -> None:
        """Stop reading: no `data_received` until `resumeProducing`."""

    def resumeProducing(self) -> None: ...

    def registerProducer(self, producer: FlowControl, streaming: bool) -> None:
        """Tell `producer` about the write buffer.  Data plane code passes streaming=True."""

    def unregisterProducer(self) -> None: ...

    def getPeer(self) -> Any: ...

    def getHost(self) -> Any: ...


class TransportHandler(Protocol):
    """Who is told what happens on a connection.  `data_received` may be rebound on the instance before it is first
    used, never later: the transport keeps the bound method."""

    def data_received(self, data: bytes) -> None: ...

    def read_ended(self) -> None:
        """The other side sent FIN.  We may still write."""

    def connection_lost(self, reason: str) -> None:
        """Called once, last.  `reason`: "" for an orderly end, else what broke it, in words."""


class ConnectCallbacks(Protocol):
    """Who waits for a connection attempt; exactly one of the two is called, once, and not after `cancel`."""

    def connected(self, transport: Transport) -> TransportHandler:
        """The connection is up; the returned handler gets its events."""

    def connect_failed(self, reason: str, timed_out: bool) -> None: ...


class DialCallbacks(ConnectCallbacks, Protocol):
    """Who waits for a connection that is made in a way of its own; exactly one of `connected`, `connect_failed` (it took
    too long) and `dial_failed` is called, once, and not after `cancel`."""

    def tried_another(self) -> None:
        """One more address is tried, beside or after those before it."""

    def dial_failed(self, reason: str, local: bool, binding: bool) -> None:
        """`reason`: in Envoy's words.  `local`: because of the socket, not of the other side; `binding`: because of
        its address."""


class ConnectAttempt(Protocol):
    def cancel(self) -> None: ...


class Connects(Protocol):
    """Opens ordinary connections."""

    def connect(self, address: Address, timeout: float, callbacks: ConnectCallbacks) -> ConnectAttempt: ...


class Connector(Connects, Protocol):
    """Opens connections.  The only way in which the data plane reaches a socket."""

    def dial(self, ways: tuple[Way, ...], timeout: float, callbacks: DialCallbacks) -> ConnectAttempt:
        """Connect by the first of these ways that leads there, within `timeout` seconds for all of them."""


#: Makes the handler of a new connection.  Arguments: the transport, the remote and the local address.
ConnectionFactory = Callable[[Transport, Address, Address], TransportHandler]
