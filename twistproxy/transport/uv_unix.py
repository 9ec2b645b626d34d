"""Unix stream sockets: libuv's transports, with descriptor passing.

libuv as uvloop uses it reads and writes plain bytes.  So

* a connection whose protocol provides `IFileDescriptorReceiver` is served by Twisted's own Unix transport instead
  (libuv has not read anything from it when that is decided);
* `sendFileDescriptor` on a libuv stream sends with sendmsg(2) by itself, in front of the bytes that are written next,
  while libuv's buffer is empty.  A descriptor needs a byte to travel with that is written in the same turn of the
  reactor, after it; Twisted also accepts one written before.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from typing import TYPE_CHECKING, Any

from twisted.internet import error, interfaces, unix
from twisted.internet.address import UNIXAddress
from twisted.python import lockfile
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.transport.uv_connect import UvClient
from twistproxy.transport.uv_listen import UvAdopted, UvListening, UvServer
from twistproxy.transport.uv_stream import CONNECTION_LOST, UvStream

if TYPE_CHECKING:
    from twistproxy.transport.reactor import TwistproxyReactor

#: Descriptors that wait before a producer is paused, as in Twisted.
_MANY_DESCRIPTORS = 64
#: Seconds until connecting to a socket whose queue is full is tried again.
_CONNECT_RETRY_DELAY = 0.01


@implementer(interfaces.IUNIXTransport)
class UvUnixStream(UvStream):
    """What is different on a Unix socket."""

    #: Descriptors to send and the bytes to send after them; None when there are none.
    _descriptors: list[int] | None = None
    _after: list[bytes]
    #: Our own duplicate of the socket, to wait on until it takes more.
    _waiting: socket.socket | None = None

    def _begin(self, uv: Any, protocol: Any) -> None:
        if interfaces.IFileDescriptorReceiver.providedBy(protocol):
            skt = uv.get_extra_info("socket").dup()
            self._uv = uv
            self.forsake()
            protocol.makeConnection(self._twisted_transport(skt, protocol))
        else:
            super()._begin(uv, protocol)

    def _twisted_transport(self, skt: socket.socket, protocol: Any) -> Any:
        """Twisted's transport for this connection."""
        return unix.Server(skt, protocol, self.getPeer().name, None, 0, self.reactor)

    # Sending descriptors

    def sendFileDescriptor(self, fileno: int) -> None:
        """Send a duplicate of `fileno` (which must stay open until then) with the next byte that is written."""
        if not self.connected:
            return
        if self._descriptors is None:
            self._descriptors = []
            self._after = []
            self.write = self._write_after
            self.reactor.loop.call_soon(self._send_descriptors)
        self._descriptors.append(fileno)
        producer = self.producer
        if producer is not None and self.streamingProducer and len(self._descriptors) > _MANY_DESCRIPTORS:
            self.producerPaused = True
            producer.pauseProducing()

    def _write_after(self, data: bytes) -> None:
        if data:
            self._after.append(bytes(data))

    def _lose(self) -> None:
        if self._descriptors is None:
            super()._lose()
        elif self.connected:
            self.disconnecting = 1
            self._uv.pause_reading()

    def _send_descriptors(self) -> None:
        if not self.connected or self._descriptors is None:
            return
        data = b"".join(self._after)
        if len(self._descriptors) > len(data):
            self._end(Failure(error.FileDescriptorOverrun()))
            return
        sent = 0
        if not self._uv.get_write_buffer_size():
            while self._descriptors:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", self._descriptors[0]))]
                try:
                    self._sending_socket().sendmsg([data[sent : sent + 1]], rights)
                except BlockingIOError:
                    break
                except OSError:
                    self._end(CONNECTION_LOST)
                    return
                del self._descriptors[0]
                sent += 1
        self._after = [data[sent:]]
        if self._descriptors:
            self._wait_to_send()
        else:
            self._descriptors_sent()

    def _sending_socket(self) -> socket.socket:
        if self._waiting is None:
            self._waiting = self._system_socket().dup()
        return self._waiting

    def _wait_to_send(self) -> None:
        if self._uv.get_write_buffer_size():
            self.reactor.loop.call_later(_CONNECT_RETRY_DELAY, self._send_descriptors)
        else:
            self.reactor.loop.add_writer(self._sending_socket().fileno(), self._writable)

    def _writable(self) -> None:
        if self._waiting is not None:
            self.reactor.loop.remove_writer(self._waiting.fileno())
            self._send_descriptors()

    def _descriptors_sent(self) -> None:
        """Back to libuv's own write."""
        self._forget_descriptors()
        self.write = self._uv.write
        for data in self._after:
            self.write(data)
        producer = self.producer
        if producer is not None and self.producerPaused and not self._full:
            self.producerPaused = False
            producer.resumeProducing()
        if self.disconnecting and not self._awaits_producer():
            self._uv.close()

    def _forget_descriptors(self) -> None:
        self._descriptors = None
        if self._waiting is not None:
            self.reactor.loop.remove_writer(self._waiting.fileno())
            self._waiting.close()
            self._waiting = None

    def connectionLost(self, reason: Failure) -> None:
        self._forget_descriptors()
        super().connectionLost(reason)

    # Addresses and options

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(self._uv.get_extra_info("sockname"))

    def getTcpNoDelay(self) -> bool:
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Not a TCP socket: ignored, as in Twisted."""


class UvUnixServer(UvUnixStream, UvServer):
    """A connection that came in by a Unix socket."""

    def _peer_of(self, uv: Any) -> UNIXAddress:
        return UNIXAddress(uv.get_extra_info("peername") or None)


class UvUnixPort(UvListening, unix.Port):
    """IReactorUNIX.listenUNIX: path, mode, lock file and abstract names are Twisted's."""

    stream = UvUnixServer


class UvUnixAdopted(UvUnixStream, UvAdopted):
    """A connected Unix socket that was given to the reactor."""

    @classmethod
    def adopt_unix(cls, reactor: TwistproxyReactor, descriptor: int, factory: Any) -> Any:
        """The transport of a duplicate of `descriptor`, None if `factory` wants none."""
        skt = socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM)
        protocol = factory.buildProtocol(UNIXAddress(skt.getsockname()))
        if protocol is None:
            skt.close()
            return None
        peer = skt.getpeername()
        if interfaces.IFileDescriptorReceiver.providedBy(protocol):
            transport = unix.Server(skt, protocol, peer, None, 0, reactor)
            transport.repstr = f"<{type(protocol).__name__} on {skt.getsockname()!r}>"
            protocol.makeConnection(transport)
            return transport
        return cls(reactor, skt, protocol, UNIXAddress(peer or None))


class UvUnixConnector(unix.Connector):
    """IReactorUNIX.connectUNIX's IConnector."""

    def _makeTransport(self) -> Any:
        return UvUnixClient(self.address, self, self.reactor, self.checkPID)


class UvUnixClient(UvUnixStream, UvClient):
    """IReactorUNIX.connectUNIX.  connect(2) on a Unix socket never waits, so the socket is connected here."""

    def __init__(self, name: Any, connector: Any, reactor: TwistproxyReactor, check_lock: int) -> None:
        super().__init__(connector, reactor)
        self.addr = self.realAddress = UNIXAddress(name).name
        if check_lock and not lockfile.isLocked(self.addr + b".lock"):
            reactor.loop.call_soon(self.failIfNotConnected, error.BadFileError(self.addr))
            return
        try:
            self._own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as problem:
            self._failed(problem)
            return
        self._own.setblocking(False)
        self._try()

    def _try(self) -> None:
        if self._own is None:
            return
        try:
            code = self._own.connect_ex(self.addr)
        except OSError as problem:  # the name is too long
            self._failed(problem)
            return
        if code == 0:
            self._own_connected()
        elif code == errno.EAGAIN:  # the listener's queue is full
            self.reactor.loop.call_later(_CONNECT_RETRY_DELAY, self._try)
        else:
            self._failed(OSError(code, os.strerror(code)))

    def _twisted_transport(self, skt: socket.socket, protocol: Any) -> Any:
        transport = _TwistedClient(self.connector, self.addr, skt, protocol, self.reactor)
        self.connector.transport = transport
        self.connector = None
        return transport

    def getPeer(self) -> UNIXAddress:
        return UNIXAddress(self.addr)

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.addr!r} at {id(self):x}>"


class _TwistedClient(unix.Client):
    """Twisted's outgoing Unix connection around a socket that is connected."""

    def __init__(self, connector: Any, name: bytes, skt: socket.socket, protocol: Any, reactor: Any) -> None:
        unix._SendmsgMixin.__init__(self)
        unix.Client._commonConnection.__init__(self, skt, protocol, reactor)
        self.connector = connector
        self.addr = self.realAddress = name
        self.connected = 1
        self.logstr = f"{type(protocol).__name__},client"
        self.startReading()
