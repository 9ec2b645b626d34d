"""Sockets and coroutines of uvloop, made usable where Twisted's interfaces are synchronous."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Protocol

from twisted.internet.address import IPv4Address, IPv6Address


def internet_address(name: tuple[Any, ...]) -> IPv4Address | IPv6Address:
    """A socket name, `(host, port)` or `(host, port, flow, scope)`, as Twisted's address."""
    if len(name) == 2:
        return IPv4Address("TCP", name[0], name[1])
    if name[3]:  # a link-local address: Twisted writes the interface into the host
        host = socket.getnameinfo(name, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0]
        name = (host, *name[1:])
    return IPv6Address("TCP", name[0], name[1], name[2], name[3])


class _HasSocket(Protocol):
    """A stream, as its `StreamSocket` sees it."""

    def system_socket(self) -> Any:
        """uvloop's view of the socket; None when it is closed."""

    def forsake(self) -> None:
        """Close the descriptor and tell nobody."""


class StreamSocket:
    """`transport.socket` of a libuv stream: options and names as on a socket.

    libuv does the input and output, so there is no `recv` or `send`.  `close` closes the descriptor without a word to
    the protocol, as closing the socket below a Twisted transport does.
    """

    __slots__ = ("_stream",)

    def __init__(self, stream: _HasSocket) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        system_socket = self._stream.system_socket()
        if system_socket is None:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        return getattr(system_socket, name)

    def send(self, data: bytes, flags: int = 0) -> int:
        """Not here: as on a closed socket."""
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))

    def close(self) -> None:
        self._stream.forsake()


class Steps:
    """Runs one of uvloop's coroutines without a Task: at once as far as it goes, then whenever what it waits for is
    there.  `failed` is called with the error that ended it, maybe before the constructor returns.  What the coroutine
    returns is of no interest: the stream learns of success through `connection_made`.
    """

    __slots__ = ("_coroutine", "_failed", "_waiter")

    def __init__(self, coroutine: Coroutine[Any, Any, Any], failed: Callable[[Exception], None]) -> None:
        self._coroutine: Coroutine[Any, Any, Any] | None = coroutine
        self._failed: Callable[[Exception], None] | None = failed
        self._waiter: Any = None
        self._step()

    def _step(self, _done: object = None) -> None:
        coroutine, failed = self._coroutine, self._failed
        if coroutine is None or failed is None:
            return  # cancelled
        try:
            self._waiter = coroutine.send(None)
        except StopIteration:
            self._forget()
        except Exception as problem:
            self._forget()
            failed(problem)
        else:
            self._waiter._asyncio_future_blocking = False
            self._waiter.add_done_callback(self._step)

    def cancel(self) -> None:
        """Give up: uvloop closes the descriptor."""
        waiter, coroutine = self._waiter, self._coroutine
        self._forget()
        if waiter is not None and coroutine is not None:
            waiter.cancel()
            coroutine.close()

    def _forget(self) -> None:
        """Undo the reference cycles: stream, steps, coroutine, stream."""
        self._coroutine = self._failed = self._waiter = None


def run_to_end(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that never waits (uvloop's `create_server` when it is given a bound socket)."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise RuntimeError("The coroutine waits for something")
