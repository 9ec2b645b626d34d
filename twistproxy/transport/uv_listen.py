"""Listening ports whose connections are accepted by libuv."""

from __future__ import annotations

import socket
import struct
from functools import partial
from typing import Any

from twisted.internet import tcp
from twisted.python import log

from twistproxy.transport.uv_loop import LoopOwner
from twistproxy.transport.uv_socket import Steps, internet_address, run_to_end
from twistproxy.transport.uv_stream import UvStream

#: Seconds until accepting is tried again after the kernel refused it (out of descriptors or memory).
ACCEPT_RETRY_DELAY = 0.2


class _AcceptingSocket(socket.socket):
    """The socket that uvloop accepts on.  uvloop closes it, in silence, when accepting fails for another reason than
    a full descriptor table (for that libuv itself accepts and closes, with a descriptor it keeps in reserve); calling
    `detach` is the only sign of it."""

    port: UvListening | None = None

    def detach(self) -> int:
        port, self.port = self.port, None
        descriptor = super().detach()
        if port is not None:
            port.accepting_failed()
        return descriptor


class UvListening:
    """Mixed into Twisted's `tcp.Port` and `unix.Port`: they make, bind and close the socket, libuv accepts on a
    duplicate of it."""

    #: Twisted's attributes.
    reactor: LoopOwner
    socket: socket.socket
    backlog: int | None
    connected: bool
    disconnecting: bool
    sessionno: int
    factory: Any
    _realPortNumber: int | None
    stream: type[UvServer]

    _server: Any = None
    _accepting: _AcceptingSocket | None = None
    _retry: Any = None

    def startReading(self) -> None:
        """Accept connections from now on."""
        if self._server is None and self._retry is None:
            self.reactor.ports.add(self)
            self._accept()

    def stopReading(self) -> None:
        self.reactor.ports.discard(self)
        retry, self._retry = self._retry, None
        if retry is not None:
            retry.cancel()
        server, self._server = self._server, None
        if self._accepting is not None:
            self._accepting.port = None
            self._accepting = None
        if server is not None:
            server.close()

    def stopWriting(self) -> None:
        """A port never writes; Twisted calls this when it ends."""

    def _accept(self) -> None:
        duplicate = self.socket.dup()
        accepting = _AcceptingSocket(fileno=duplicate.detach())
        backlog = self.backlog if self.backlog is not None else _backlog_of(accepting)
        self._server = run_to_end(
            self.reactor.loop.create_server(partial(self.stream, self), sock=accepting, backlog=backlog)
        )
        accepting.port = self
        self._accepting = accepting

    def accepting_failed(self) -> None:
        """libuv has stopped accepting: connections wait in the queue until it works again."""
        log.msg(f"Cannot accept connections on {self!r} at present")
        server, self._server, self._accepting = self._server, None, None
        self.reactor.loop.call_soon(server.close)
        self._retry = self.reactor.loop.call_later(ACCEPT_RETRY_DELAY, self._accept_again)

    def _accept_again(self) -> None:
        self._retry = None
        try:
            self._accept()
        except OSError:
            self._retry = self.reactor.loop.call_later(ACCEPT_RETRY_DELAY, self._accept_again)


def _backlog_of(listening: socket.socket) -> int:
    """The queue length of an adopted socket, which libuv's listen(2) must not change.

    Linux tells it in tcp_info.tcpi_sacked (linux/tcp.h); for Unix sockets it does not.
    """
    if listening.family != socket.AF_UNIX:
        try:
            info = listening.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)
            return int(struct.unpack_from("I", info, 28)[0]) or socket.SOMAXCONN
        except OSError:
            pass
    return socket.SOMAXCONN


# Without its types: what UvListening knows of them is more than they say.
_TwistedPort: Any = tcp.Port


class UvServer(UvStream):
    """A connection that came in by TCP."""

    _peer: Any = None
    sessionno = 0

    def __init__(self, port: UvListening) -> None:
        self._port = port
        self.reactor = port.reactor

    def connection_made(self, uv: Any) -> None:
        port = self._port
        self._uv = uv
        self.sessionno = port.sessionno
        port.sessionno += 1
        try:
            self._peer = self._peer_of(uv)
            protocol = port.factory.buildProtocol(self._peer)
        except BaseException:
            log.err()
            protocol = None
        if protocol is None:
            self.forsake()
        else:
            self._begin(uv, protocol)

    def _peer_of(self, uv: Any) -> Any:
        return internet_address(uv.get_extra_info("peername"))

    def getPeer(self) -> Any:
        return self._peer

    @property
    def logstr(self) -> str:
        return f"{self.logPrefix()},{self.sessionno},{getattr(self._peer, 'host', None)}"

    def __repr__(self) -> str:
        return f"<{type(self._protocol).__name__} #{self.sessionno} on {self._port._realPortNumber}>"


class UvPort(UvListening, _TwistedPort):
    """IReactorTCP.listenTCP and adoptStreamPort."""

    stream = UvServer


class UvAdopted(UvStream):
    """A connected socket that was given to the reactor; its protocol exists already."""

    def __init__(self, reactor: LoopOwner, skt: socket.socket, protocol: Any, peer: Any) -> None:
        self.reactor = reactor
        self._peer = peer
        self._first_protocol = protocol
        local = skt.getsockname()
        self._local = local[1] if isinstance(local, tuple) else local
        self.sessionno = getattr(peer, "port", 0)
        opening = reactor.loop.create_connection(lambda: self, sock=skt)
        Steps(opening, self._failed)
        skt.detach()  # libuv owns the descriptor now

    @classmethod
    def adopt(cls, reactor: LoopOwner, descriptor: int, family: int, factory: Any) -> Any:
        """The transport of a duplicate of `descriptor`, None if `factory` wants none."""
        skt = socket.fromfd(descriptor, family, socket.SOCK_STREAM)
        try:
            peer = internet_address(skt.getpeername())
            protocol = factory.buildProtocol(peer)
        except BaseException:
            skt.close()
            raise
        if protocol is None:
            skt.close()
            return None
        return cls(reactor, skt, protocol, peer)

    def connection_made(self, uv: Any) -> None:
        protocol, self._first_protocol = self._first_protocol, None
        self._begin(uv, protocol)

    def _failed(self, problem: Exception) -> None:
        if self._first_protocol is not None:
            log.err(problem)

    def getPeer(self) -> Any:
        return self._peer

    @property
    def logstr(self) -> str:
        return f"{self.logPrefix()},{self.sessionno},{getattr(self._peer, 'host', None)}"

    def __repr__(self) -> str:
        return f"<{type(self._protocol).__name__} #{self.sessionno} on {self._local}>"
