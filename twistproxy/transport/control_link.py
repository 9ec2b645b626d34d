"""JSON messages and descriptors over a Unix socket pair, on any Twisted reactor with `IReactorFDSet`, or
blocking.

A message with n descriptors has "fds": n; they are sent with its first bytes (SCM_RIGHTS, unix(7)), at most
250 in one call because the kernel's limit is 253.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.errors import RemoteProtocolError
from twistproxy.ipc.frame import FrameReader, Message, encode_frame

_FDS_PER_CALL = 250
_READ_SIZE = 256 * 1024

#: What a received message is handed to: the message and its descriptors, which the callee then owns.
MessageHandler = Callable[[Message, list[int]], None]


class FDReactor(Protocol):
    """The part of `IReactorFDSet` that a link needs."""

    def addReader(self, reader: Any, /) -> Any: ...

    def addWriter(self, writer: Any, /) -> Any: ...

    def removeReader(self, reader: Any, /) -> Any: ...

    def removeWriter(self, writer: Any, /) -> Any: ...


def socket_pair() -> tuple[socket.socket, socket.socket]:
    """Two connected stream sockets, both non-blocking and closed on exec."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    ours.setblocking(False)
    theirs.setblocking(False)
    return ours, theirs


class _Incoming:
    """Puts bytes and descriptors together into messages again."""

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._fds: deque[int] = deque()

    def read(self, sock: socket.socket) -> list[tuple[Message, list[int]]] | None:
        """What one read completes; None at the end of the stream.  BlockingIOError when nothing is there."""
        data, fds, _flags, _address = socket.recv_fds(sock, _READ_SIZE, _FDS_PER_CALL)
        self._fds.extend(fds)
        if not data:
            return None
        return [(m, [self._fds.popleft() for _ in range(m.get("fds", 0))]) for m in self._frames.feed(data)]

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popleft())


def _pieces(message: Message, fds: Sequence[int]) -> list[tuple[bytes, list[int]]]:
    """The frame cut so that no piece carries more descriptors than one call may."""
    if not fds:
        return [(encode_frame(message), [])]
    frame = encode_frame({**message, "fds": len(fds)})
    groups = [list(fds[i : i + _FDS_PER_CALL]) for i in range(0, len(fds), _FDS_PER_CALL)]
    last = len(groups) - 1
    return [(frame[i : i + 1] if i < last else frame[last:], group) for i, group in enumerate(groups)]


@implementer(IReadWriteDescriptor)
class ControlLink:
    """One end of a link on a reactor.

    `on_message` gets each message, `on_closed` is called once when the other side is gone (not after
    `close`). Nothing is lost in between: what does not fit into the socket is queued, with descriptors
    duplicated so that the caller may close its own at once.
    """

    def __init__(
        self,
        reactor: FDReactor,
        sock: socket.socket | int,
        on_message: MessageHandler,
        on_closed: Callable[[], None],
    ) -> None:
        self._socket = sock if isinstance(sock, socket.socket) else socket.socket(fileno=sock)
        self._socket.setblocking(False)
        self._reactor = reactor
        self._on_message = on_message
        self._on_closed = on_closed
        self._incoming = _Incoming()
        self._outgoing: deque[tuple[bytes, list[int]]] = deque()
        #: bytes that wait for the other side to read
        self.queued = 0
        self.closed = False
        reactor.addReader(self)

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "control"

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send, now or when the other side reads.  Ignored after the end."""
        if self.closed:
            return
        waiting = bool(self._outgoing)
        for data, group in _pieces(message, fds):
            self._outgoing.append((data, [os.dup(fd) for fd in group]))
            self.queued += len(data)
        if not waiting:
            self.doWrite()

    def read_rest(self) -> None:
        """Deliver everything that is in the socket now."""
        while not self.closed and self._read_once():
            pass

    def doRead(self) -> None:
        """The socket is readable (called by the reactor)."""
        self._read_once()

    def _read_once(self) -> bool:
        """Returns whether there may be more."""
        try:
            messages = self._incoming.read(self._socket)
        except BlockingIOError:
            return False
        except (OSError, RemoteProtocolError):
            messages = None
        if messages is None:
            self._end()
            return False
        for message, fds in messages:
            if self.closed:
                for fd in fds:
                    os.close(fd)
            else:
                self._on_message(message, fds)
        return True

    def doWrite(self) -> None:
        """The socket is writable (called by the reactor)."""
        while self._outgoing:
            data, fds = self._outgoing[0]
            try:
                sent = socket.send_fds(self._socket, [data], fds) if fds else self._socket.send(data)
            except BlockingIOError:
                self._reactor.addWriter(self)
                return
            except OSError:
                # The other side is gone.  What it said before is still to be read: reading finds the end.
                self._drop_outgoing()
                break
            for fd in fds:
                os.close(fd)
            self.queued -= sent
            if sent == len(data):
                self._outgoing.popleft()
            else:
                self._outgoing[0] = (data[sent:], [])
        self._reactor.removeWriter(self)

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gives up on the socket."""
        self._end()

    def close(self) -> None:
        """Close now; `on_closed` is not called."""
        if self.closed:
            return
        self.closed = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        self._drop_outgoing()
        self._incoming.close()
        self._socket.close()

    def _end(self) -> None:
        if not self.closed:
            self.close()
            self._on_closed()

    def _drop_outgoing(self) -> None:
        for _data, fds in self._outgoing:
            for fd in fds:
                os.close(fd)
        self._outgoing.clear()
        self.queued = 0


class BlockingLink:
    """The other end, in a process without a reactor."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._socket.setblocking(True)
        self._incoming = _Incoming()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send all of it.  OSError if the other side is gone."""
        for data, group in _pieces(message, fds):
            sent = socket.send_fds(self._socket, [data], group) if group else 0
            self._socket.sendall(data[sent:])

    def receive(self) -> list[tuple[Message, list[int]]] | None:
        """Wait for bytes and return the messages that they complete; None when the other side is gone."""
        try:
            return self._incoming.read(self._socket)
        except (OSError, RemoteProtocolError):
            return None

    def close(self) -> None:
        self._incoming.close()
        self._socket.close()
