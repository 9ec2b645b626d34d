"""A TCP stream on libuv's transport, as Twisted sees it.

`UvStream` is two things in one object, so that a connection costs one Python object: the asyncio protocol that
uvloop calls, and the Twisted transport that the protocol calls.  Speed comes from what is *not* here:

* `write`, once connected, **is** the libuv transport's bound `write`;
* `data_received`, which uvloop looks up once and calls for each read, **is** the Twisted protocol's bound
  `dataReceived` if the protocol is direct (see `receiver`).

So no Python frame lies between libuv and such a protocol.  States in which Twisted's rules differ from libuv's (not
connected, TLS, pull producers) replace the two attributes instead of being asked about per call.

This file owns all changes of state of an established stream.  Semantics are those of
`twisted.internet.abstract.FileDescriptor` and `twisted.internet.tcp.Connection`; differences are listed in
`tests/conformance/test_reactor.py`.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, cast

from twisted.internet import _newtls, error, interfaces, main
from twisted.internet.protocol import Protocol
from twisted.python import log
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.transport.uv_socket import StreamSocket, internet_address

if TYPE_CHECKING:
    from twistproxy.transport.reactor import TwistproxyReactor

CONNECTION_DONE = Failure(main.CONNECTION_DONE)
CONNECTION_LOST = Failure(main.CONNECTION_LOST)
# close(2) then sends RST (socket(7), SO_LINGER), which is what abortConnection promises.
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


def discard(data: bytes) -> None:
    """`write` of a transport that is not connected.  As Twisted's, it still refuses what is not bytes."""
    if not isinstance(data, bytes):
        raise TypeError("Data must be bytes")


def is_direct(protocol: Any) -> bool:
    """Whether `protocol` promises, by a true attribute `direct_delivery`, that its `dataReceived` stays what it is
    when `makeConnection` has returned, that it wants no log context, and that it passes no descriptors."""
    return getattr(protocol, "direct_delivery", False) is True


def receiver(protocol: Any) -> Callable[[bytes], None]:
    """What libuv calls with the data for `protocol`, which is connected.

    The bound `dataReceived` itself if the protocol is direct, or has set it on the instance by now.  Any other may
    set it later (twisted.web does), so it is looked up each time.  A `logPrefix` of its own gets the protocol a log
    context as on Twisted's reactors, the default one does not.
    """
    if is_direct(protocol) or "dataReceived" in getattr(protocol, "__dict__", ()):
        return cast("Callable[[bytes], None]", protocol.dataReceived)
    prefix = getattr(protocol, "logPrefix", None)
    if prefix is not None and getattr(prefix, "__func__", None) is not Protocol.logPrefix:
        return lambda data: log.callWithContext({"system": prefix()}, protocol.dataReceived, data)
    return lambda data: protocol.dataReceived(data)


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
class UvStream:
    """One connected stream.  Subclasses say how it comes to be (`connection_made`) and what its addresses are."""

    connected = 0
    disconnecting = 0
    disconnected = 0
    TLS = False
    producer: Any = None
    streamingProducer = False
    producerPaused = False

    reactor: TwistproxyReactor
    _tlsClientDefault = False
    _uv: Any = None
    _protocol: Any = None
    #: Why the stream ends, where it is known before libuv reports the end.
    _reason: Failure | None = None
    _aborting = False
    _no_delay = False
    #: TCP_NODELAY is really off.
    _delayed = False
    #: The application has paused reading.
    _paused = False
    _read_closed = False
    _write_closing = False
    _write_closed = False
    #: libuv's write buffer is over the high water mark.
    _full = False
    _high_water = 65536
    _pull_due = False
    #: Data that arrived although the protocol paused in `connectionMade` (libuv starts reading after it anyway).
    _held: list[bytes] | None = None
    _held_end = False

    write: Callable[[bytes], None] = staticmethod(discard)
    data_received: Callable[[bytes], None] = staticmethod(discard)

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

    def _deliver(self) -> None:
        """Let libuv's read callback call the protocol."""
        self.data_received = receiver(self._protocol)
        self._uv.set_protocol(self)

    @property
    def protocol(self) -> Any:
        """The Twisted protocol, None when the connection is gone.  Assigning one redirects what is received."""
        return self._protocol

    @protocol.setter
    def protocol(self, protocol: Any) -> None:
        self._protocol = protocol
        if self.connected and self._held is None:
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
        half_closeable = interfaces.IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is None:
            self._end(CONNECTION_DONE)
        else:
            try:
                half_closeable.readConnectionLost()
            except BaseException:
                log.err()
                self._fail()
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

    def pause_writing(self) -> None:
        self._full = True
        self._pause_producer()

    def resume_writing(self) -> None:
        self._full = False
        self._resume_producer()
        if self._write_closing:
            self._close_write()

    # The end

    def _end(self, reason: Failure) -> None:
        """Close at once, without flushing; the protocol is told `reason` in the next turn of the loop."""
        if self._reason is None:
            self._reason = reason
        self._uv.abort()

    def _fail(self) -> None:
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

    def _awaits_producer(self) -> bool:
        """A pull producer, or one that we have paused, still has to be asked for the rest."""
        return self.producer is not None and (not self.streamingProducer or self.producerPaused)

    def abortConnection(self) -> None:
        if self.disconnected or self._aborting or self._uv is None:
            return
        self._aborting = True
        self._reason = Failure(error.ConnectionAborted())
        self.write = discard
        try:
            self._system_socket().setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        except OSError:
            pass
        self._uv.abort()

    def loseWriteConnection(self) -> None:
        """Send FIN when all is written; reading goes on."""
        if self.connected and not self._write_closing:
            self._write_closing = True
            self.reactor.loop.call_soon(self._close_write)

    def _close_write(self) -> None:
        if not self.connected or self._write_closed or self._aborting or self._awaits_producer():
            return
        if self._uv.get_write_buffer_size():
            self._uv.set_write_buffer_limits(high=0)  # resume_writing then says when the buffer is empty
            return
        self._write_closed = True
        self.write = discard
        self._uv.write_eof()
        half_closeable = interfaces.IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is not None:
            try:
                half_closeable.writeConnectionLost()
            except BaseException:
                log.err()
                self._fail()

    # Writing

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        pieces = list(iovec)
        if not all(isinstance(piece, bytes) for piece in pieces):
            raise TypeError("Data must be bytes")
        data = b"".join(pieces)
        self.write(data)
        if self.producer is not None and len(data) > self._high_water and not self.TLS:
            # Sent already, maybe; still the others shall have their turn, as on Twisted's reactors.
            self._pause_producer()
            self.reactor.loop.call_soon(self._resume_producer)

    @property
    def bufferSize(self) -> int:
        """The high water mark of the write buffer, in bytes."""
        return self._high_water

    @bufferSize.setter
    def bufferSize(self, size: int) -> None:
        self._high_water = size
        if self.connected and not self._write_closing and (self.producer is None or self.streamingProducer):
            self._uv.set_write_buffer_limits(high=size)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        if self.TLS:
            self._protocol.registerProducer(producer, streaming)
        else:
            self._register(producer, streaming)

    def unregisterProducer(self) -> None:
        if self.TLS:
            if self._protocol is not None:
                self._protocol.unregisterProducer()
        else:
            self._unregister()

    def _register(self, producer: Any, streaming: bool) -> None:
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self.producer} was never unregistered."
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = bool(streaming)
        self.producerPaused = False
        if not streaming:
            self._uv.set_write_buffer_limits(high=0)
            if not self.TLS:
                self.write = self._write_pulled
            producer.resumeProducing()
            # Twisted asks again when what was written before has been sent, which here it may be already.
            self._pull_soon()
        elif self._full:
            self.reactor.loop.call_soon(self._pause_late_producer)

    def _pause_late_producer(self) -> None:
        """The producer was registered when the buffer was full already."""
        if self._full:
            self._pause_producer()

    def _pause_producer(self) -> None:
        if self.producer is not None and self.streamingProducer and not self.producerPaused:
            self.producerPaused = True
            self.producer.pauseProducing()

    def _resume_producer(self) -> None:
        """The write buffer has room: a paused producer may go on, a pull producer is asked for more."""
        if self._full or self.producer is None or (self.streamingProducer and not self.producerPaused):
            return
        self.producerPaused = False
        try:
            self.producer.resumeProducing()
        except BaseException:
            log.err()
            self._fail()

    def _unregister(self) -> None:
        pulled = self.producer is not None and not self.streamingProducer
        self.producer = None
        if not self.connected:
            return
        if pulled:
            self._uv.set_write_buffer_limits(high=self._high_water)
            if not self.TLS:
                self.write = self._uv.write
        if self.disconnecting:
            self._uv.close()
        elif self._write_closing:
            self._close_write()

    def _write_pulled(self, data: bytes) -> None:
        """`write` while a pull producer is registered: it is asked for more when `data` has been sent."""
        self._uv.write(data)
        self._pull_soon()

    def _pull_soon(self) -> None:
        if not self._full and not self._pull_due:
            self._pull_due = True
            self.reactor.loop.call_soon(self._pull)

    def _pull(self) -> None:
        self._pull_due = False
        if not self.streamingProducer:
            self._resume_producer()

    def stopConsuming(self) -> None:
        self.unregisterProducer()
        self.loseConnection()

    # Reading

    def pauseProducing(self) -> None:
        self._paused = True
        if self._uv is not None:
            self._uv.pause_reading()

    def resumeProducing(self) -> None:
        self._paused = False
        if self._held is not None:
            self.reactor.loop.call_soon(self._release)
        elif self.connected and not self.disconnecting and not self._read_closed:
            self._uv.resume_reading()

    def stopProducing(self) -> None:
        self.loseConnection()

    stopReading = pauseProducing
    startReading = resumeProducing

    @property
    def reading(self) -> bool:
        """Whether data is taken from the socket."""
        return bool(self.connected and not (self._paused or self.disconnecting or self._read_closed))

    def stopWriting(self) -> None:
        """Nothing to stop: libuv writes by itself (for callers that know `FileDescriptor`)."""

    def _hold(self) -> None:
        """The protocol paused in `connectionMade`, but uvloop starts reading when that returns."""
        self._held = []
        self.data_received = self._hold_data
        self._uv.set_protocol(self)
        self.reactor.loop.call_soon(self._release)

    def _hold_data(self, data: bytes) -> None:
        assert self._held is not None
        self._held.append(data)
        self._uv.pause_reading()

    def _release(self) -> None:
        """Hand over what was held, if reading is wanted; until then see that nothing more comes."""
        if self._held is None or not self.connected:
            return
        if self._paused:
            self._uv.pause_reading()
            if self._held or self._held_end:
                return
        held, self._held = b"".join(self._held), None
        self._deliver()
        if held:
            try:
                self._protocol.dataReceived(held)
            except BaseException:
                log.err()
                self._fail()
        if self.connected and not self._aborting and self._reason is None:
            if self._held_end:
                self.eof_received()
            elif not self._paused and not self.disconnecting:
                self._uv.resume_reading()

    # TLS (pyOpenSSL in Twisted's memory BIO protocol)

    def startTLS(self, ctx: Any, normal: bool = True) -> None:
        self.write = self._write_tls
        _newtls.startTLS(self, ctx, normal, _BelowTLS)

    def _write_tls(self, data: bytes) -> None:
        if self.connected:
            self._protocol.write(data)

    # The socket

    def _system_socket(self) -> Any:
        return self._uv.get_extra_info("socket")

    @property
    def socket(self) -> StreamSocket:
        return StreamSocket(self)

    def getHandle(self) -> Any:
        return self.socket

    def fileno(self) -> int:
        """The descriptor, -1 when there is none."""
        system_socket = None if self._uv is None else self._system_socket()
        return -1 if system_socket is None else system_socket.fileno()

    def getTcpNoDelay(self) -> bool:
        """What was last asked for.  In fact libuv's streams start with TCP_NODELAY: each write is sent at once."""
        return self._no_delay

    def setTcpNoDelay(self, enabled: bool) -> None:
        self._no_delay = bool(enabled)
        if self._delayed or not enabled:
            self._system_socket().setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, self._no_delay)
            self._delayed = not enabled

    def getTcpKeepAlive(self) -> bool:
        return bool(self._system_socket().getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self._system_socket().setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(enabled))

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
