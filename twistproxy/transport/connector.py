"""Opens connections over any Twisted reactor."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import TimeoutError
from twisted.internet.interfaces import ITCPTransport
from twisted.python.failure import Failure

from twistproxy.api.transport import ConnectCallbacks, DialCallbacks
from twistproxy.model.address import Address, PipeAddress
from twistproxy.model.sockets import Way
from twistproxy.transport.dialer import Dialling
from twistproxy.transport.stream_protocol import StreamProtocol, describe


class ReactorConnector:
    """`api.transport.Connector` by a reactor's connectTCP and connectUNIX."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._tcp = reactor.connectTCP
        self._unix = reactor.connectUNIX

    def connect(self, address: Address, timeout: float, callbacks: ConnectCallbacks) -> Outgoing:
        """Connect within `timeout` seconds.  No callback is called before this returns."""
        attempt = Outgoing(callbacks)
        if isinstance(address, PipeAddress):
            path = "\0" + address.path[1:] if address.path[:1] == "@" else address.path
            attempt.connector = self._unix(path, attempt, timeout)
        else:
            attempt.connector = self._tcp(address.host, address.port, attempt, timeout)
        return attempt

    def dial(self, ways: tuple[Way, ...], timeout: float, callbacks: DialCallbacks) -> Dialling:
        """See `api.transport.Connector`.  No callback is called before this returns."""
        return Dialling(self._reactor, ways, timeout, callbacks)


class Outgoing(StreamProtocol):
    """One attempt: Twisted's client factory, and the protocol of the connection that comes of it, in one
    object."""

    noisy = False

    def __init__(self, callbacks: ConnectCallbacks) -> None:
        self._callbacks: ConnectCallbacks | None = callbacks
        self.connector: Any = None

    def cancel(self) -> None:
        """Stop trying; no callback is called any more.  Nothing happens if one was called before."""
        if self._callbacks is not None:
            self._callbacks = None
            self.connector.stopConnecting()

    def doStart(self) -> None:
        """Part of IProtocolFactory."""

    def doStop(self) -> None:
        """Part of IProtocolFactory."""

    def startedConnecting(self, connector: Any) -> None:
        """Part of ClientFactory."""

    def buildProtocol(self, address: Any) -> Outgoing:
        return self

    def makeConnection(self, transport: Any) -> None:
        callbacks = self._callbacks
        assert callbacks is not None
        self._callbacks = self.connector = None
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        self.attach(callbacks.connected(transport))

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        callbacks = self._callbacks
        if callbacks is not None:
            self._callbacks = self.connector = None
            callbacks.connect_failed(describe(reason), isinstance(reason.value, TimeoutError))

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        """Part of ClientFactory; `connectionLost` has told the handler."""
