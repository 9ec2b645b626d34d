"""The reading half of a libuv stream: who gets the data, and when."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from twisted.internet.protocol import Protocol
from twisted.python import log

from twistproxy.transport.uv_loop import LoopOwner


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


class ReadSide:
    """Mixed into `UvStream`, which describes the attributes."""

    reactor: LoopOwner
    connected: int
    disconnecting: int
    _uv: Any
    _protocol: Any
    _reason: Any
    _aborting: bool
    data_received: Callable[[bytes], None] = staticmethod(discard)

    #: The application has paused reading.
    _paused = False
    _read_closed = False
    #: Data that arrived although the protocol paused in `connectionMade` (libuv starts reading after it anyway).
    _held: list[bytes] | None = None
    _held_end = False

    def eof_received(self) -> bool:
        raise NotImplementedError

    def fail(self) -> None:
        raise NotImplementedError

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
                self.fail()
        if self.connected and not self._aborting and self._reason is None:
            if self._held_end:
                self.eof_received()
            elif not self._paused and not self.disconnecting:
                self._uv.resume_reading()
