"""A Twisted reactor on uvloop whose TCP and Unix stream transports are libuv's own.

What is different from Twisted's own reactors:

* Streams (`uv_stream`, `uv_listen`, `uv_connect`, `uv_unix`) are libuv transports that call the protocol directly.
* Everything else that has a file descriptor (datagrams, pipes of processes, standard input, inotify, what
  applications add) is in an epoll set exactly as in `EPollReactor`; the set itself is one descriptor in libuv's loop.
* Timed calls are Twisted's heap, driven by one libuv timer.
* Children are reaped by pidfd (`uv_process`), signals arrive through uvloop's wake-up descriptor.

The class is an ordinary Python class with a `__dict__`; every instance has a loop of its own.
"""

from __future__ import annotations

import atexit
import math
import os
import socket
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import uvloop
from twisted.internet import error
from twisted.internet._signals import SignalHandling
from twisted.internet.base import DelayedCall, ReactorBase
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.transport.uv_connect import UvConnector
from twistproxy.transport.uv_listen import UvAdopted, UvPort
from twistproxy.transport.uv_process import ChildReaper
from twistproxy.transport.uv_stream import UvStream
from twistproxy.transport.uv_unix import UvUnixAdopted, UvUnixConnector, UvUnixPort

_log = Logger()
# libuv counts in milliseconds and uvloop rounds; a timer must not come before its time, only to be set again.
_ROUND_UP = 0.000499

_EPollReactor: Any = EPollReactor  # without types: Twisted gives it none


class TwistproxyReactor(_EPollReactor):
    """See the module.  `loop` is the uvloop loop, `streams` and `ports` what is open on it."""

    def __init__(self) -> None:
        self.loop: Any = uvloop.new_event_loop()
        self.loop.set_exception_handler(_log_loop_error)
        self.streams: set[UvStream] = set()
        self.ports: set[Any] = set()
        self._timer: Any = None
        self._timer_due = math.inf
        self._wake_pending = False
        self._process_id = os.getpid()
        self._children = ChildReaper(self.loop)
        super().__init__()
        self.loop.add_reader(self._poller.fileno(), self.doPoll, 0)

    def __del__(self) -> None:
        if not sys.is_finalizing():
            self.close()

    def close(self) -> None:
        """Free the loop's descriptors.  The reactor is of no use afterwards."""
        loop = self.__dict__.get("loop")
        # In a forked child the epoll descriptor is shared: closing would take the parent's sockets out of its set.
        if loop is None or self._process_id != os.getpid():
            return
        if not loop.is_running() and not loop.is_closed():
            for stream in list(self.streams):
                stream.forsake()
            for port in list(self.ports):
                port.stopReading()
            self._children.close()
            loop.remove_reader(self._poller.fileno())
            loop.close()

    # Running

    def installWaker(self) -> None:
        """None is needed: see `wakeUp`."""

    def wakeUp(self) -> None:
        """Look for calls from threads and timed calls that are due.  May be called in any thread."""
        if not self._wake_pending and not self.loop.is_closed():
            self._wake_pending = True
            self.loop.call_soon_threadsafe(self._woken)

    def _woken(self) -> None:
        self._wake_pending = False
        self._run_due()

    def _run_due(self) -> None:
        self.runUntilCurrent()
        self._insertNewDelayedCalls()
        if self._pendingTimedCalls:
            self._set_timer(self._pendingTimedCalls[0].time)

    def mainLoop(self) -> None:
        self._process_id = os.getpid()  # twistd forks before it runs the reactor
        while self._started:
            self.loop.run_forever()

    def doIteration(self, delay: float | None) -> None:
        """One turn of the loop, or all turns of `delay` seconds."""
        if delay:
            self.loop.call_later(delay, self.loop.stop)
        else:
            self.loop.stop()
        self.loop.run_forever()

    def stop(self) -> None:
        super().stop()
        self.wakeUp()

    def crash(self) -> None:
        super().crash()
        if self.loop.is_running():
            self.loop.stop()

    def _signalsFactory(self) -> SignalHandling:
        # Not PosixReactorBase's, which adds SIGCHLD.
        return ReactorBase._signalsFactory(self)

    # IReactorTime

    def callLater(
        self, delay: float, callable: Callable[..., Any], *args: object, **kw: object
    ) -> DelayedCall:
        call: DelayedCall = super().callLater(delay, callable, *args, **kw)
        if call.time < self._timer_due:
            self._set_timer(call.time)
        return call

    def _moveCallLaterSooner(self, delayedCall: DelayedCall) -> None:
        super()._moveCallLaterSooner(delayedCall)
        self._set_timer(delayedCall.time)

    def _set_timer(self, when: float) -> None:
        if when >= self._timer_due:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = when
        delay = when - self.seconds()
        if delay > 0:
            self._timer = self.loop.call_later(delay + _ROUND_UP, self._timer_fired)
        else:
            self._timer = self.loop.call_soon(self._timer_fired)

    def _timer_fired(self) -> None:
        self._timer = None
        self._timer_due = math.inf
        self._run_due()

    # IReactorFDSet: streams and ports are not in the epoll set

    def addReader(self, reader: Any) -> None:
        if isinstance(reader, UvStream):
            self.streams.add(reader)
            reader.startReading()
        else:
            super().addReader(reader)

    def removeReader(self, reader: Any) -> None:
        if isinstance(reader, UvStream):
            reader.stopReading()
        else:
            super().removeReader(reader)

    def addWriter(self, writer: Any) -> None:
        if not isinstance(writer, UvStream):
            super().addWriter(writer)

    def removeWriter(self, writer: Any) -> None:
        if not isinstance(writer, UvStream):
            super().removeWriter(writer)

    def removeAll(self) -> list[Any]:
        """As in Twisted, a stream that neither reads nor has anything to write is not among those removed."""
        active = [stream for stream in self.streams if stream.active]
        self.streams.difference_update(active)
        ours: list[Any] = [*self.ports, *active]
        for selectable in ours:
            selectable.stopReading()
        return ours + list(super().removeAll())

    def getReaders(self) -> list[Any]:
        return [*self.ports, *(s for s in self.streams if s.reading), *super().getReaders()]

    # IReactorTCP

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> UvPort:
        listening = UvPort(port, factory, backlog, interface, self)
        listening.startListening()
        return listening

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> UvConnector:
        connector = UvConnector(host, port, factory, timeout, bindAddress, self)
        connector.connect()
        return connector

    # IReactorUNIX

    def listenUNIX(
        self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> UvUnixPort:
        listening = UvUnixPort(address, factory, backlog, mode, self, wantPID)
        listening.startListening()
        return listening

    def connectUNIX(
        self, address: Any, factory: Any, timeout: float = 30, checkPID: int = 0
    ) -> UvUnixConnector:
        connector = UvUnixConnector(address, factory, timeout, self, checkPID)
        connector.connect()
        return connector

    # IReactorSocket

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        if addressFamily not in self._supportedAddressFamilies:
            raise error.UnsupportedAddressFamily(addressFamily)
        if addressFamily == socket.AF_UNIX:
            port = UvUnixPort._fromListeningDescriptor(self, fileDescriptor, factory)
        else:
            port = UvPort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        port.startListening()
        return port

    def adoptStreamConnection(self, fileDescriptor: int, addressFamily: int, factory: Any) -> Any:
        """As Twisted's, but the protocol's `connectionMade` comes in the next turn of the loop."""
        if addressFamily not in self._supportedAddressFamilies:
            raise error.UnsupportedAddressFamily(addressFamily)
        if addressFamily == socket.AF_UNIX:
            return UvUnixAdopted.adopt_unix(self, fileDescriptor, factory)
        return UvAdopted.adopt(self, fileDescriptor, addressFamily, factory)

    # IReactorProcess

    def spawnProcess(self, *args: Any, **kwargs: Any) -> Any:
        process = super().spawnProcess(*args, **kwargs)
        self._children.watch(process)
        return process


def _log_loop_error(_loop: Any, context: dict[str, Any]) -> None:
    """What uvloop could not deal with; mostly what a protocol raised."""
    problem = context.get("exception")
    message = context.get("message", "Unhandled error in the loop")
    if problem is None:
        _log.error("{message}", message=message)
    else:
        _log.failure("{message}", Failure(problem, type(problem), problem.__traceback__), message=message)


class SteadyReactor(TwistproxyReactor):
    """For processes that are all ours.  Its `seconds` are not the wall clock's, as other reactors' are: when that is set
    back, timed calls of a Twisted reactor, such as the time limits of requests, wait until it is as late again."""

    seconds = staticmethod(time.monotonic)  # noqa: TID251


def install() -> None:
    """Make one the global reactor (`twistd --reactor twistproxy`)."""
    reactor = TwistproxyReactor()
    # While there still is an interpreter: uvloop complains of a loop that is freed open.
    atexit.register(_close, weakref.ref(reactor))
    installReactor(reactor)


def _close(reference: weakref.ref[TwistproxyReactor]) -> None:
    reactor = reference()
    if reactor is not None:
        reactor.close()
