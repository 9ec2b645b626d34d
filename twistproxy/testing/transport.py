"""A connection in memory: one end is the data plane's, the other the test's."""

from __future__ import annotations

from typing import Any

from twistproxy.api.transport import FlowControl, TransportHandler
from twistproxy.model.address import TcpAddress
from twistproxy.testing.clock import FakeClock


class MemoryTransport:
    """`api.transport.Transport`.  As on a reactor, the end of a connection is told in the next turn of the clock
    (`FakeClock.advance`), never from within a call.

    The test's side:
    take()          what was written since the last take and has left the buffer
    receive(data)   bytes from the other side; must not come while reading is paused (`reading`)
    end()           FIN from the other side
    lose(reason)    the connection breaks, at once
    block(), unblock(), drain(count)  while blocked the other side reads nothing and what is written stays in the buffer
    """

    def __init__(self, clock: FakeClock, high_water: int = 65536, host: Any = None, peer: Any = None) -> None:
        self._clock = clock
        self.bufferSize = high_water
        self._host = host or TcpAddress("127.0.0.1", 1)
        self._peer = peer or TcpAddress("127.0.0.1", 2)
        self._sent = bytearray()
        self._buffer = bytearray()
        self._blocked = False
        self._full = False
        self._producer: FlowControl | None = None
        self._told = False
        self.handler: TransportHandler = None  # type: ignore[assignment]  # set by whoever makes the connection
        self.reading = True
        self.pauses = 0  # how often reading was paused
        self.closing = False  # loseConnection, or gone
        self.write_closed = False  # FIN is sent, or will be after the buffer
        self.aborted = False
        self.closed = False  # the handler knows that it is over
        self.most_buffered = 0

    # ---- Transport

    def write(self, data: bytes) -> None:
        assert type(data) is bytes and data, "nothing but bytes is worth a write"
        if self.closing or self.write_closed:
            return
        if not self._blocked:
            self._sent += data
            return
        self._buffer += data
        self.most_buffered = max(self.most_buffered, len(self._buffer))
        if len(self._buffer) > self.bufferSize and not self._full:
            self._full = True
            if self._producer is not None:
                self._producer.pauseProducing()

    def loseConnection(self) -> None:
        self.closing = True
        if not self._buffer:
            self._tell_later("")

    def loseWriteConnection(self) -> None:
        self.write_closed = True

    def abortConnection(self) -> None:
        self.closing = self.aborted = True
        self._buffer.clear()
        self._tell_later("Connection aborted.")

    def pauseProducing(self) -> None:
        self.reading = False
        self.pauses += 1

    def resumeProducing(self) -> None:
        self.reading = True

    def registerProducer(self, producer: FlowControl, streaming: bool) -> None:
        assert streaming
        assert self._producer is None, "there is a producer already"
        self._producer = producer

    def unregisterProducer(self) -> None:
        self._producer = None

    def getHost(self) -> Any:
        return self._host

    def getPeer(self) -> Any:
        return self._peer

    # ---- the test's side

    @property
    def unsent(self) -> int:
        return len(self._buffer)

    @property
    def buffered(self) -> int:
        return len(self._buffer)

    def take(self) -> bytes:
        data = bytes(self._sent)
        self._sent.clear()
        return data

    def receive(self, data: bytes) -> None:
        assert not self.closed, "bytes on a connection that is gone"
        assert self.reading, "bytes while reading is paused"
        if not self.closing:
            self.handler.data_received(data)

    def end(self) -> None:
        if not self.closing:
            self.handler.read_ended()

    def lose(self, reason: str = "Connection reset by peer") -> None:
        self.closing = True
        self._tell(reason)

    def block(self) -> None:
        self._blocked = True

    def unblock(self) -> None:
        self._blocked = False
        self.drain(len(self._buffer))

    def drain(self, count: int) -> None:
        """The other side reads `count` bytes of what is buffered."""
        self._sent += self._buffer[:count]
        del self._buffer[:count]
        if self._full and not self._buffer:
            self._full = False
            if self._producer is not None:
                self._producer.resumeProducing()
        if self.closing and not self._buffer:
            self._tell_later("")

    def _tell_later(self, reason: str) -> None:
        self._clock.call_later(0, self._tell, reason)

    def _tell(self, reason: str) -> None:
        if not self._told:
            self._told = self.closed = True
            self.handler.connection_lost(reason)
