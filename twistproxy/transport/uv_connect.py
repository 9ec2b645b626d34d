"""Outgoing TCP connections.

To an address literal libuv connects itself.  With a local address, or a scoped IPv6 address, the socket is made and
connected here and handed to libuv then.  Names are resolved as Twisted does, by `reactor.resolve`.
"""

from __future__ import annotations

import errno
import os
import socket
from typing import Any

from twisted.internet import error, tcp
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.protocol import Protocol
from twisted.python import log
from twisted.python.failure import Failure

from twistproxy.transport.uv_loop import LoopOwner
from twistproxy.transport.uv_socket import Steps
from twistproxy.transport.uv_stream import UvStream

#: Seconds until connecting to a Unix socket whose queue is full is tried again.
QUEUE_RETRY_DELAY = 0.01

_TwistedConnector: Any = tcp.Connector  # without its types: its reactor can be any


class UvConnector(_TwistedConnector):
    """IReactorTCP.connectTCP's IConnector: time limit, states, factory notifications are Twisted's."""

    def _makeTransport(self) -> Any:
        return UvTCPClient(self.host, self.port, self.bindAddress, self, self.reactor)


class _Unwanted(Protocol):
    def connectionMade(self) -> None:
        transport: Any = self.transport
        transport.loseConnection()


class UvClient(UvStream):
    """An outgoing connection, also while it is still being made."""

    _tlsClientDefault = True
    connector: Any = None
    _attempt: Steps | None = None
    #: The socket that is being connected, as long as libuv does not have it.
    _own: socket.socket | None = None

    def __init__(self, connector: Any, reactor: LoopOwner) -> None:
        self.connector = connector
        self.reactor = reactor

    def connection_made(self, uv: Any) -> None:
        self._uv = uv
        self._attempt = None
        if self.connector is None:  # given up in the same turn
            self.forsake()
        elif (protocol := self._build_protocol()) is not None:
            self._begin(uv, protocol)

    def _build_protocol(self) -> Any:
        """The factory's protocol; None if it failed, which is dealt with."""
        try:
            protocol = self.connector.buildProtocol(self.getPeer())
        except BaseException:
            log.err()
            self.failIfNotConnected(error.ConnectError(string=Failure()))
            if self._uv is not None:
                self.forsake()
            return None
        # As in Twisted: if the factory does not want it, nobody sees the connection that is closed at once.
        return protocol if protocol is not None else _Unwanted()

    def connectionLost(self, reason: Failure) -> None:
        connector = self.connector
        if not self.connected:
            if not self.disconnected:
                self.failIfNotConnected(error.ConnectError(string=reason))
            return
        self.connector = None
        try:
            super().connectionLost(reason)
        finally:
            connector.connectionLost(reason)

    # The attempt

    def failIfNotConnected(self, err: Any) -> None:
        """The attempt is over (also the connector's time limit and `stopConnecting`)."""
        connector = self.connector
        if self.connected or self.disconnected or connector is None:
            return
        self.connector = None
        self._release_own()
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        connector.connectionFailed(Failure(err))

    def stopConnecting(self) -> None:
        self.failIfNotConnected(error.UserError())

    def _open(self, opening: Any) -> None:
        """Start one of uvloop's connection coroutines."""
        self._attempt = attempt = Steps(opening, self._failed)
        if self.connector is None:  # it failed at once
            attempt.cancel()

    def _failed(self, problem: Exception) -> None:
        """uvloop could not connect.  Told in a turn of its own: `connectTCP` may not have returned yet."""
        self._attempt = None
        if not self.connected and not self.disconnected:
            self.reactor.loop.call_soon(self.failIfNotConnected, connect_error(problem))

    def _connect_own(self, address: Any) -> None:
        """Connect the socket made here."""
        assert self._own is not None
        try:
            code = self._own.connect_ex(address)
        except (OSError, OverflowError) as problem:  # the name is too long, the port too high
            self._failed(problem)
            return
        if code == 0:
            self._own_connected()
        elif code == errno.EINPROGRESS:
            self.reactor.loop.add_writer(self._own.fileno(), self._own_ready)
        elif code == errno.EAGAIN:  # a Unix socket whose queue is full (unix(7))
            self.reactor.loop.call_later(QUEUE_RETRY_DELAY, self._retry_own, address)
        else:
            self._failed(OSError(code, os.strerror(code)))

    def _retry_own(self, address: Any) -> None:
        if self._own is not None:
            self._connect_own(address)

    def _own_ready(self) -> None:
        assert self._own is not None
        self.reactor.loop.remove_writer(self._own.fileno())
        code = self._own.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._failed(OSError(code, os.strerror(code)))
        else:
            self._own_connected()

    def _own_connected(self) -> None:
        skt, self._own = self._own, None
        assert skt is not None
        self._open(self.reactor.loop.create_connection(lambda: self, sock=skt))
        skt.detach()  # libuv owns the descriptor now

    def _release_own(self) -> None:
        if self._own is not None:
            self.reactor.loop.remove_writer(self._own.fileno())
            self._own.close()
            self._own = None

    @property
    def logstr(self) -> str:
        return f"{self.logPrefix()},client" if self.connected else "Uninitialized"

    @property
    def socket(self) -> Any:
        return self._own if self._own is not None else super().socket


class UvTCPClient(UvClient):
    """IReactorTCP.connectTCP."""

    addr: Any
    _address_type: type[IPv4Address | IPv6Address] = IPv4Address

    def __init__(self, host: str, port: int, local: Any, connector: Any, reactor: LoopOwner) -> None:
        super().__init__(connector, reactor)
        self.addr = (host, port)
        family = socket.AF_INET
        literal = isIPAddress(host)
        if not literal and isIPv6Address(host):
            literal = True
            family = socket.AF_INET6
            self._address_type = IPv6Address
        self.realAddress: tuple[Any, ...] = self.addr
        # libuv would cut a port that is out of range down to 16 bits; connect_ex says what is wrong.
        if local is not None or "%" in host or not 0 <= port <= 65535:
            try:
                self._own = bound_socket(family, local)
            except OSError as problem:
                refused = error.ConnectBindError(problem.errno, problem.strerror)
                reactor.loop.call_soon(self.failIfNotConnected, refused)
                return
        if literal:
            self._connect(host)
        else:
            resolving: Any = reactor.resolve(host)
            resolving.addCallbacks(self._connect, self.failIfNotConnected)
            resolving.addErrback(log.err)

    def _connect(self, host: str) -> None:
        if self.connector is None:
            return
        port = self.addr[1]
        self.realAddress = (host, port)
        if self._own is None:
            self._open(self.reactor.loop.create_connection(lambda: self, host, port))
        elif self._address_type is IPv6Address:
            self.realAddress = address = tcp._resolveIPv6(host, port)
            scoped = socket.getnameinfo(address, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
            self.realAddress = (scoped, *address[1:])
            self._connect_own(address)
        else:
            self._connect_own((host, port))

    def getPeer(self) -> IPv4Address | IPv6Address:
        return self._address_type("TCP", *self.realAddress)

    def __repr__(self) -> str:
        return f"<{type(self)} to {self.addr} at {id(self):x}>"


def bound_socket(family: int, local: Any) -> socket.socket:
    """A new TCP socket bound to `local`: None, `(host, port)` or what `twisted.internet.tcp.makeBinding` returns."""
    skt = socket.socket(family, socket.SOCK_STREAM)
    try:
        skt.setblocking(False)
        if local is not None:
            binding: Any = tcp.makeBinding(*local) if isinstance(local, tuple) else local
            if binding._reuseAddress:
                skt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if binding._reusePort:
                skt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            if isIPv6Address(binding._address):
                skt.bind(tcp._resolveIPv6(binding._address, binding._port))
            else:
                skt.bind((binding._address, binding._port))
    except BaseException:
        skt.close()
        raise
    return skt


def connect_error(problem: Exception) -> Exception:
    """uvloop's or the kernel's error as Twisted's."""
    if isinstance(problem, OSError) and problem.errno is not None:
        refused: Exception = error.getConnectError((problem.errno, os.strerror(problem.errno)))
        return refused
    return problem
