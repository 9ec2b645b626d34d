"""Connections whose sockets are not as usual: bound to an address, with options, or to the first of several addresses
that answers (RFC 8305; Envoy: HappyEyeballsConnectionImpl)."""

from __future__ import annotations

import errno
import os
import socket
from collections import deque
from typing import Any

from twisted.internet.interfaces import ITCPTransport, IWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.api.transport import DialCallbacks
from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.model.sockets import LocalAddress, SocketOption, Way
from twistproxy.transport.stream_protocol import StreamProtocol

#: Seconds after which the next address is tried beside those that have not answered.
NEXT_ADDRESS = 0.3
#: Seconds until connecting to a Unix socket whose queue is full is tried again.
_QUEUE_RETRY = 0.01
_IP_BIND_ADDRESS_NO_PORT = 24  # linux/in.h


class DialError(Exception):
    """Why there is no connection, in Envoy's words.  `local`: nothing was sent; `binding`: the address is not ours."""

    def __init__(self, text: str, local: bool = False, binding: bool = False) -> None:
        super().__init__(text)
        self.local = local
        self.binding = binding


class Dialling:
    """`api.transport.ConnectAttempt`: tries `ways` one after the other for `timeout` seconds."""

    def __init__(self, reactor: Any, ways: tuple[Way, ...], timeout: float, callbacks: DialCallbacks) -> None:
        self._reactor = reactor
        self._left = deque(ways)
        self._callbacks: DialCallbacks | None = callbacks
        self._tries: list[_Try] = []
        self._limit = reactor.callLater(timeout, self._timed_out)
        self._next: Any = None
        self._try_next()

    def cancel(self) -> None:
        """Stop trying; no callback is called any more."""
        self._callbacks = None
        self._stop()

    def _stop(self) -> None:
        if self._limit.active():
            self._limit.cancel()
        self._stop_trying()

    def _stop_trying(self) -> None:
        if self._next is not None and self._next.active():
            self._next.cancel()
        tries, self._tries = self._tries, []
        self._left.clear()
        for one in tries:
            one.close()

    def _try_next(self) -> None:
        attempt = _Try(self, self._reactor, self._left.popleft())
        self._tries.append(attempt)
        attempt.start()
        if self._left:
            self._next = self._reactor.callLater(NEXT_ADDRESS, self._try_another)

    def _try_another(self) -> None:
        if self._callbacks is not None:
            self._callbacks.tried_another()
            self._try_next()

    def failed(self, attempt: _Try, problem: DialError) -> None:
        """From an attempt: it came to nothing."""
        if attempt not in self._tries:
            return
        attempt.close()
        if self._left:
            self._next.cancel()
            self._try_another()
        if attempt in self._tries:
            self._tries.remove(attempt)
        callbacks = self._callbacks
        if not self._tries and callbacks is not None:
            self.cancel()
            callbacks.dial_failed(str(problem), problem.local, problem.binding)

    def connected(self, attempt: _Try, sock: socket.socket) -> None:
        """From an attempt: this socket, which is given away, is connected.  The time limit holds until whoever waits has
        the connection."""
        self._stop_trying()
        try:
            self._reactor.adoptStreamConnection(sock.fileno(), sock.family, _Factory(self))
        except OSError as problem:  # it was gone before we had a look at it
            callbacks = self.take_callbacks()
            if callbacks is not None:
                callbacks.dial_failed(str(_delayed(problem.errno)), False, False)
        finally:
            sock.close()

    def take_callbacks(self) -> DialCallbacks | None:
        """For the connection, which goes to whoever waits for it; None: nobody does."""
        self._stop()
        callbacks, self._callbacks = self._callbacks, None
        return callbacks

    def _timed_out(self) -> None:
        callbacks = self._callbacks
        if callbacks is not None:
            self.cancel()
            callbacks.connect_failed("", True)


@implementer(IWriteDescriptor)
class _Try:
    """One socket that is being connected."""

    def __init__(self, owner: Dialling, reactor: Any, way: Way) -> None:
        self._owner = owner
        self._reactor = reactor
        self._way = way
        self._socket: socket.socket | None = None
        self._waiting = False

    def start(self) -> None:
        try:
            self._socket = open_socket(self._way)
        except DialError as problem:
            self._fail_later(problem)
        else:
            self._connect()

    def _connect(self) -> None:
        sock = self._socket
        if sock is None:
            return
        address = self._way.address
        try:
            code = sock.connect_ex(socket_name(address))
        except OverflowError:
            code = errno.EINVAL
        except OSError as problem:
            code = problem.errno or errno.EINVAL
        if code in (0, errno.EINPROGRESS):
            self._waiting = True
            self._reactor.addWriter(self)
        elif code == errno.EAGAIN and isinstance(address, PipeAddress):  # its queue is full (unix(7))
            self._reactor.callLater(_QUEUE_RETRY, self._connect)
        else:
            words = f"immediate connect error: {os.strerror(code)}|remote address:{address}"
            self._fail_later(DialError(words))

    def _fail_later(self, problem: DialError) -> None:
        """Whoever dials may not have returned yet."""
        self._reactor.callLater(0, self._owner.failed, self, problem)

    def doWrite(self) -> None:
        """The kernel has made up its mind."""
        sock = self._socket
        if sock is None:
            return
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            self._owner.failed(self, _delayed(code))
            return
        self._release()
        self._owner.connected(self, sock)

    def connectionLost(self, reason: Failure) -> None:
        """Also how a reactor tells that it could not be connected."""
        self.doWrite()

    def close(self) -> None:
        sock = self._socket
        self._release()
        if sock is not None:
            sock.close()

    def _release(self) -> None:
        if self._waiting:
            self._waiting = False
            self._reactor.removeWriter(self)
        self._socket = None

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "dialler"


class _Factory:
    """Twisted's IProtocolFactory for the one connection that was made."""

    noisy = False

    def __init__(self, owner: Dialling) -> None:
        self._owner = owner

    def doStart(self) -> None:
        """Part of IProtocolFactory."""

    def doStop(self) -> None:
        """Part of IProtocolFactory."""

    def logPrefix(self) -> str:
        return "dialler"

    def buildProtocol(self, address: Any) -> _Connection:
        return _Connection(self._owner)


class _Connection(StreamProtocol):
    """The protocol of the connection."""

    def __init__(self, owner: Dialling) -> None:
        self._owner = owner

    def makeConnection(self, transport: Any) -> None:
        callbacks = self._owner.take_callbacks()
        if ITCPTransport.providedBy(transport):
            transport.setTcpNoDelay(True)
        if callbacks is None:
            self.attach(_Nobody())
            transport.abortConnection()
        else:
            self.attach(callbacks.connected(transport))


class _Nobody:
    """`api.transport.TransportHandler` of a connection that is wanted no more."""

    def data_received(self, data: bytes) -> None: ...

    def read_ended(self) -> None: ...

    def connection_lost(self, reason: str) -> None: ...


def open_socket(way: Way) -> socket.socket:
    """A socket for a way, with its options and its address."""
    address, source = way.address, way.source
    if isinstance(address, PipeAddress):
        family = socket.AF_UNIX
    else:
        family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    try:
        sock = socket.socket(family, socket.SOCK_STREAM)
    except OSError as problem:
        raise DialError(f"immediate connect error: {os.strerror(problem.errno or 0)}", True) from problem
    try:
        sock.setblocking(False)
        _set(sock, source.options)
        if family != socket.AF_UNIX:
            _bind(sock, source)
    except DialError:
        sock.close()
        raise
    return sock


def _bind(sock: socket.socket, source: LocalAddress) -> None:
    address = source.address
    if address is None:
        return
    try:
        if (":" in address.host) != (sock.family == socket.AF_INET6):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        if not address.port:  # the kernel chooses one when it knows both ends: so there are more of them
            sock.setsockopt(socket.IPPROTO_IP, _IP_BIND_ADDRESS_NO_PORT, 1)
        sock.bind(socket_name(address))
    except OSError as problem:
        words = f"failed to bind to {address}: {os.strerror(problem.errno or errno.EINVAL)}"
        raise DialError(words, True, True) from problem


def _set(sock: socket.socket, options: tuple[SocketOption, ...]) -> None:
    try:
        for option in options:
            sock.setsockopt(option.level, option.name, option.value)
    except OSError as problem:
        raise DialError("", True) from problem


def socket_name(address: Address) -> Any:
    """What bind and connect take."""
    if isinstance(address, PipeAddress):
        return "\0" + address.path[1:] if address.path[:1] == "@" else address.path
    assert isinstance(address, TcpAddress)
    if "%" in address.host:  # a scoped address: the name of its interface becomes a number
        found = socket.getaddrinfo(address.host, address.port, flags=socket.AI_NUMERICHOST)
        return found[0][4]
    return address.host, address.port


def _delayed(code: int | None) -> DialError:
    return DialError(f"delayed connect error: {os.strerror(code or errno.ENOTCONN)}")
