"""Unix stream sockets: libuv's transports, and Twisted's where descriptors may be passed.

libuv as uvloop uses it moves bytes only; descriptors that arrive it cannot see.  So libuv accepts (the connection is
made here), and then carries the streams of protocols that are direct (`uv_read.is_direct`), which promise not to
pass descriptors; the connection of any other is handed to Twisted's own Unix transport, with nothing read yet.
"""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import error, unix
from twisted.internet.address import UNIXAddress
from twisted.python import lockfile, log

from twistproxy.transport.uv_connect import UvClient
from twistproxy.transport.uv_listen import UvAdopted, UvListening, UvServer
from twistproxy.transport.uv_loop import LoopOwner
from twistproxy.transport.uv_read import is_direct
from twistproxy.transport.uv_stream import UvStream

# Without types: Twisted gives them none.
_TwistedUnixPort: Any = unix.Port
_TwistedUnixClient: Any = unix.Client
_TwistedUnixConnector: Any = unix.Connector


class UvUnixStream(UvStream):
    """What is different on a Unix socket."""

    def _begin(self, uv: Any, protocol: Any) -> None:
        if is_direct(protocol):
            super()._begin(uv, protocol)
        else:
            self._uv = uv
            try:
                skt = uv.get_extra_info("socket").dup()
                self.forsake()
                protocol.makeConnection(self._twisted_transport(skt, protocol))
            except BaseException:
                log.err()
                self.forsake()

    def _twisted_transport(self, skt: socket.socket, protocol: Any) -> Any:
        """Twisted's transport for this connection."""
        raise NotImplementedError

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

    def _twisted_transport(self, skt: socket.socket, protocol: Any) -> Any:
        return unix.Server(skt, protocol, self._peer.name, self._port, self.sessionno, self.reactor)


class UvUnixPort(UvListening, _TwistedUnixPort):
    """IReactorUNIX.listenUNIX: path, mode, lock file and abstract names are Twisted's."""

    stream = UvUnixServer


class UvUnixAdopted(UvUnixStream, UvAdopted):
    """A connected Unix socket that was given to the reactor."""

    @classmethod
    def adopt_unix(cls, reactor: LoopOwner, descriptor: int, factory: Any) -> Any:
        """The transport of a duplicate of `descriptor`, None if `factory` wants none."""
        skt = socket.fromfd(descriptor, socket.AF_UNIX, socket.SOCK_STREAM)
        protocol = factory.buildProtocol(UNIXAddress(skt.getsockname()))
        if protocol is None:
            skt.close()
            return None
        peer = skt.getpeername()
        if not is_direct(protocol):
            transport = unix.Server(skt, protocol, peer, None, 0, reactor)
            transport.repstr = f"<{type(protocol).__name__} on {skt.getsockname()!r}>"
            protocol.makeConnection(transport)
            return transport
        return cls(reactor, skt, protocol, UNIXAddress(peer or None))


class UvUnixConnector(_TwistedUnixConnector):
    """IReactorUNIX.connectUNIX's IConnector."""

    def _makeTransport(self) -> Any:
        return UvUnixClient(self.address, self, self.reactor, self.checkPID)


class UvUnixClient(UvUnixStream, UvClient):
    """IReactorUNIX.connectUNIX.  connect(2) on a Unix socket never waits, so the socket is connected here."""

    #: The protocol, while libuv is getting the connected socket.
    _early: Any = None

    def __init__(self, name: Any, connector: Any, reactor: LoopOwner, check_lock: int) -> None:
        super().__init__(connector, reactor)
        path: Any = UNIXAddress(name).name
        self.addr = path
        if check_lock and not lockfile.isLocked(path + b".lock"):
            reactor.loop.call_soon(self.failIfNotConnected, error.BadFileError(path))
            return
        try:
            self._own = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        except OSError as problem:
            self._failed(problem)
            return
        self._own.setblocking(False)
        reactor.loop.call_soon(self._retry_own, path)

    def _own_connected(self) -> None:
        """Ask for the protocol before libuv has the socket."""
        protocol = self._build_protocol()
        if is_direct(protocol):
            self._early = protocol
            super()._own_connected()
        elif protocol is not None:
            skt, self._own = self._own, None
            connector, self.connector = self.connector, None
            self.disconnected = 1
            transport = _TwistedClient(connector, self.addr, skt, protocol, self.reactor)
            connector.transport = transport
            try:
                protocol.makeConnection(transport)
            except BaseException:
                log.err()

    def connection_made(self, uv: Any) -> None:
        self._uv = uv
        self._attempt = None
        early, self._early = self._early, None
        lose, self.disconnecting = self.disconnecting, 0
        self._begin(uv, early)
        if lose:
            self.loseConnection()

    def loseConnection(self) -> None:
        if self._early is not None:
            self.disconnecting = 1
        else:
            super().loseConnection()

    def getPeer(self) -> UNIXAddress:
        return UNIXAddress(self.addr)

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(None)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} to {self.addr!r} at {id(self):x}>"


class _TwistedClient(_TwistedUnixClient):
    """Twisted's outgoing Unix connection around a socket that is connected."""

    def __init__(self, connector: Any, name: bytes, skt: Any, protocol: Any, reactor: Any) -> None:
        unix._SendmsgMixin.__init__(self)
        unix.Client._commonConnection.__init__(self, skt, protocol, reactor)
        self.connector = connector
        self.addr = self.realAddress = name
        self.connected = 1
        self.logstr = f"{self._getLogPrefix(protocol)},client"
        self.startReading()
