"""A TCP stream on libuv's transport, as Twisted sees it.

`UvStream` is two things in one object, so that a connection costs one Python object: the asyncio protocol that
uvloop calls, and the Twisted transport that the protocol calls.  Speed comes from what is *not* here:

* `write`, once connected, **is** the libuv transport's bound `write`;
* `data_received`, which uvloop looks up once and calls for each read, **is** the Twisted protocol's bound
  `dataReceived` if the protocol is direct (see `uv_read.receiver`).

So no Python frame lies between libuv and such a protocol.  States in which Twisted's rules differ from libuv's (not
connected, TLS, pull producers) replace the two attributes instead of being asked about per call.

Semantics are those of `twisted.internet.abstract.FileDescriptor` and `twisted.internet.tcp.Connection`; differences
are listed in `tests/conformance/test_reactor_conformance.py`.  This file owns the life of a stream, `uv_read` and
`uv_write` what
happens in between.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Any

from twisted.internet import _newtls, error, interfaces, main
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.transport.uv_loop import LoopOwner
from twistproxy.transport.uv_read import ReadSide, discard
from twistproxy.transport.uv_socket import StreamSocket, internet_address
from twistproxy.transport.uv_write import WriteSide

CONNECTION_DONE = Failure(main.CONNECTION_DONE)
CONNECTION_LOST = Failure(main.CONNECTION_LOST)
# close(2) then sends RST (socket(7), SO_LINGER), which is what abortConnection promises.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class _BelowTLS:
    """What Twisted's TLS protocol calls on the stream below it (see `twisted.internet._newtls._BypassTLS`)."""

    @staticmethod
    def write(stream: UvStream, data: bytes) -> None:
        if stream.connected:
            stream._uv.write(data)

    @staticmethod
    def writeSequence(stream: UvStream, pieces: Iterable[bytes]) -> None:
        _BelowTLS.write(stream, b"".join(pieces))

    @staticmethod
    def loseConnection(stream: UvStream) -> None:
        stream._lose()

    @staticmethod
    def registerProducer(stream: UvStream, producer: Any, streaming: bool) -> None:
        stream._register(producer, streaming)

    @staticmethod
    def unregisterProducer(stream: UvStream) -> None:
        stream._unregister()


@implementer(
    interfaces.ITCPTransport,
    interfaces.ITLSTransport,
    interfaces.ISystemHandle,
    interfaces.IConsumer,
    interfaces.IPushProducer,
    interfaces.ILoggingContext,
)
class UvStream(ReadSide, WriteSide):
    """One connected stream.  Subclasses say how it comes to be (`connection_made`) and what its addresses are."""

    connected = 0
    disconnecting = 0
    disconnected = 0
    TLS = False
    reactor: LoopOwner
    _tlsClientDefault = False
    _uv: Any = None
    _protocol: Any = None
    #: Why the stream ends, where it is known before libuv reports the end.
    _reason: Failure | None = None
    _aborting = False
    _no_delay = False
    #: TCP_NODELAY is really off.
    _delayed = False

    # Coming to be

    def _begin(self, uv: Any, protocol: Any) -> None:
        """`uv` is connected: introduce `protocol` and let it have the data."""
        self._uv = uv
        self.write = uv.write
        self.connected = 1
        self.reactor.streams.add(self)
        self._protocol = protocol
        try:
            protocol.makeConnection(self)
        except BaseException:
            log.err()
        if self.connected:
            if self._paused:
                self._hold()
            else:
                self._deliver()

    # What uvloop tells

    def connection_made(self, uv: Any) -> None:
        raise NotImplementedError

    def eof_received(self) -> bool:
        """The peer sent FIN.  As Twisted: the connection is over, unless the protocol knows half-close."""
        if self._held is not None:
            self._held_end = True
            return True
        self._read_closed = True
        half_closeable: Any = interfaces.IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is None:
            self._end(CONNECTION_DONE)
        else:
            try:
                half_closeable.readConnectionLost()
            except BaseException:
                log.err()
                self.fail()
        return True  # uvloop shall not close: it would first flush what the peer may never read

    def connection_lost(self, exc: BaseException | None) -> None:
        reason = self._reason
        if reason is None:
            if exc is None:
                reason = CONNECTION_DONE
            elif not isinstance(exc, OSError):
                reason = Failure(exc)  # raised by the protocol; the loop's exception handler has logged it
            elif exc.__traceback__ is None:
                reason = CONNECTION_LOST  # made by uvloop of libuv's error code
            else:
                reason = Failure(exc)
                log.err(reason)
        self.connectionLost(reason)

    @property
    def active(self) -> bool:
        """Whether anything is awaited from libuv: data, or that data is sent."""
        return self.reading or bool(self._tempDataBuffer)

    # The end

    def _end(self, reason: Failure) -> None:
        """Close at once, without flushing; the protocol is told `reason` in the next turn of the loop."""
        if self._reason is None:
            self._reason = reason
        self._uv.abort()

    def fail(self) -> None:
        """Application code has raised: that is the reason now, whatever it was before."""
        self._reason = Failure()
        self._uv.abort()

    def connectionLost(self, reason: Failure) -> None:
        """The connection is gone: tell everybody, once.  Also called by `reactor.disconnectAll`."""
        if self.disconnected:
            return
        self.disconnected = 1
        self.connected = 0
        self.reactor.streams.discard(self)
        self._uv.abort()
        # Also undoes the reference cycles.
        self.write = self.data_received = discard
        protocol, self._protocol = self._protocol, None
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.stopProducing()
        protocol.connectionLost(reason)

    def forsake(self) -> None:
        """Close the descriptor and tell nobody."""
        self.disconnected = 1
        self.connected = 0
        self.reactor.streams.discard(self)
        self.write = self.data_received = discard
        self._protocol = self.producer = None
        if self._uv is not None:
            self._uv.abort()

    def loseConnection(self) -> None:
        if not self.TLS:
            self._lose()
        elif self.connected and not self.disconnecting:
            self._protocol.loseConnection()

    def _lose(self) -> None:
        """Close when all is written and no producer has more to say."""
        if self.connected and not self.disconnecting:
            self.disconnecting = 1
            if self._awaits_producer():
                self._uv.pause_reading()
            else:
                self._uv.close()

    def abortConnection(self) -> None:
        if self.disconnected or self._aborting or self._uv is None:
            return
        self._aborting = True
        self._reason = Failure(error.ConnectionAborted())
        self.write = discard
        try:
            self.system_socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        except OSError:
            pass
        self._uv.abort()

    def stopProducing(self) -> None:
        self.loseConnection()

    # TLS (pyOpenSSL in Twisted's memory BIO protocol)

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        self.write = self._write_tls
        _newtls.startTLS(self, ctx, normal, _BelowTLS)

    def _write_tls(self, data: bytes) -> None:
        if self.connected:
            self._protocol.write(data)

    # The socket

    def system_socket(self) -> Any:
        return self._uv.get_extra_info("socket")

    @property
    def socket(self) -> StreamSocket:
        return StreamSocket(self)

    def getHandle(self) -> Any:
        return self.socket

    def fileno(self) -> int:
        """The descriptor, -1 when there is none."""
        system_socket = None if self._uv is None else self.system_socket()
        return -1 if system_socket is None else system_socket.fileno()

    def getTcpNoDelay(self) -> bool:
        """What was last asked for.  In fact libuv's streams start with TCP_NODELAY: each write is sent at once."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._no_delay = bool(enabled)
        if self._delayed or not enabled:
            self.system_socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, self._no_delay)
            self._delayed = not enabled

    def getTcpKeepAlive(self) -> bool:
        return bool(self.system_socket().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.system_socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(enabled))

    def getHost(self) -> Any:
        return internet_address(self._uv.get_extra_info("sockname"))

    def getPeer(self) -> Any:
        return internet_address(self._uv.get_extra_info("peername"))

    def logPrefix(self) -> str:
        """As Twisted: the protocol's own prefix, or its class's name."""
        protocol = self._protocol
        if interfaces.ILoggingContext.providedBy(protocol):
            return str(protocol.logPrefix())
        return type(protocol).__name__ if protocol is not None else "-"
