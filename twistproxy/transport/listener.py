"""A listening socket of the master's, accepted on by a worker's reactor."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReadDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.api.transport import ConnectionFactory
from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.transport.addresses import from_twisted, is_wildcard
from twistproxy.transport.listen_sockets import ListenSockets
from twistproxy.transport.original_dst import original_destination
from twistproxy.transport.stream_protocol import StreamProtocol

#: Connections taken from a Unix socket in one turn of the reactor.
_ACCEPTS_PER_TURN = 64


class Accepted(StreamProtocol):
    """A connection that came in."""

    def __init__(
        self, factory: ConnectionFactory, remote: Address, local: Address | None, redirected: bool
    ) -> None:
        self._factory = factory
        self._remote = remote
        self._local = local
        self._redirected = redirected

    def makeConnection(self, transport: Any) -> None:
        local = self._local
        if self._redirected:
            local = original_destination(transport) or local
        if local is None:
            local = from_twisted(transport.getHost())
        self.attach(self._factory(transport, self._remote, local))


class AcceptFactory:
    """Twisted's IProtocolFactory: a protocol for each connection.

    redirected  connections may have been going elsewhere: ask the kernel
    """

    noisy = False
    redirected = False

    def __init__(self, factory: ConnectionFactory, local: Address | None) -> None:
        self._factory = factory
        self._local = local

    def doStart(self) -> None:
        """Part of IProtocolFactory."""

    def doStop(self) -> None:
        """Part of IProtocolFactory."""

    def logPrefix(self) -> str:
        return "listener"

    def buildProtocol(self, address: Any) -> Accepted:
        host = getattr(address, "host", None)
        remote = PipeAddress("") if host is None else TcpAddress(host, address.port)
        return Accepted(self._factory, remote, self._local, self.redirected)


class Listener:
    """Accepts on one listening socket from the moment it is made.

    fd       the socket's descriptor; the listener owns it
    factory  makes the handler of each connection
    """

    def __init__(self, reactor: Any, fd: int, factory: ConnectionFactory) -> None:
        self._reactor = reactor
        self._paused = False
        #: whether connections are accepted however short something is
        self.never_waits = False
        self._socket = socket.socket(fileno=fd)
        self._socket.setblocking(False)
        self.address = _bound_address(self._socket)
        # The local address of a connection to a wildcard has to be asked for, all others are known.
        local = None if is_wildcard(self.address) else self.address
        self._factory = AcceptFactory(factory, local)
        if isinstance(self.address, PipeAddress):
            # Twisted's Unix port would set mode and backlog anew, and unlink the master's file in the end.
            self._port: Any = _UnixAcceptor(reactor, self._socket, self._adopt)
        else:
            self._port = reactor.adoptStreamPort(fd, self._socket.family, self._factory)

    def pause(self) -> None:
        """Let connections wait in the queue."""
        if not self._paused:
            self._paused = True
            self._port.stopReading()

    def resume(self) -> None:
        if self._paused:
            self._paused = False
            self._port.startReading()

    def expect_redirected(self, redirected: bool) -> None:
        """Whether connections that come from now on may have been going elsewhere: their local address is then
        an `OriginalDestination`."""
        self._factory.redirected = redirected

    def stop(self) -> None:
        """Take the connections that are already in the queue, then close our descriptor."""
        self._port.stopListening()
        while True:
            try:
                accepted, _peer = self._socket.accept()
            except OSError:
                break
            self._adopt(accepted)
        self._socket.close()

    def _adopt(self, accepted: socket.socket) -> None:
        accepted.setblocking(False)
        try:
            self._reactor.adoptStreamConnection(accepted.fileno(), accepted.family, self._factory)
        except OSError:
            pass  # it was gone before we had a look at it
        finally:
            accepted.close()


def serve(reactor: Any, sockets: ListenSockets, factory: Any) -> Any:
    """Serve an ordinary Twisted factory on sockets of one slot; returns what has `stopListening()`."""
    fd = sockets.descriptor(0)
    assert fd is not None
    if isinstance(sockets.address, TcpAddress):
        family = socket.AF_INET6 if ":" in sockets.address.host else socket.AF_INET
        return reactor.adoptStreamPort(fd, family, factory)
    sock = socket.socket(fileno=os.dup(fd))

    def accepted(connection: socket.socket) -> None:
        connection.setblocking(False)
        reactor.adoptStreamConnection(connection.fileno(), connection.family, factory)
        connection.close()

    return _UnixAcceptor(reactor, sock, accepted)


@implementer(IReadDescriptor)
class _UnixAcceptor:
    """Accepts on a Unix socket."""

    def __init__(self, reactor: Any, sock: socket.socket, accepted: Callable[[socket.socket], None]) -> None:
        self._reactor = reactor
        self._socket = sock
        self._accepted = accepted
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "listener"

    def doRead(self) -> None:
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                sock, _peer = self._socket.accept()
            except OSError:
                return
            self._accepted(sock)

    def stopReading(self) -> None:
        self._reactor.removeReader(self)

    def startReading(self) -> None:
        self._reactor.addReader(self)

    def stopListening(self) -> None:
        self._reactor.removeReader(self)

    def connectionLost(self, reason: Failure) -> None:
        self.stopListening()


def _bound_address(sock: socket.socket) -> Address:
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return PipeAddress(os.fsdecode(name))
    return TcpAddress(name[0], name[1])
