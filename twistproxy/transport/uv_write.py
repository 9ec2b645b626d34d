"""The writing half of a libuv stream: producers, water marks, half-close.

libuv's `write` sends at once what the kernel takes; `pause_writing` and `resume_writing` are called when what remains
grows over the high water mark, and when nothing remains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet import interfaces
from twisted.python import log

from twistproxy.transport.uv_loop import LoopOwner
from twistproxy.transport.uv_read import discard


class WriteSide:
    """Mixed into `UvStream`, which describes the attributes."""

    reactor: LoopOwner
    connected: int
    disconnecting: int
    disconnected: int
    TLS: bool
    _uv: Any
    _protocol: Any
    _aborting: bool

    producer: Any = None
    streamingProducer = False
    producerPaused = False
    _write_closing = False
    #: FIN is sent (Twisted's name).
    _writeDisconnected = False
    #: libuv's write buffer is over the high water mark.
    _full = False
    _high_water = 65536
    _pull_due = False

    write: Callable[[bytes], None] = staticmethod(discard)

    def fail(self) -> None:
        raise NotImplementedError

    def loseConnection(self) -> None:
        raise NotImplementedError

    def pause_writing(self) -> None:
        self._full = True
        self._pause_producer()

    def resume_writing(self) -> None:
        self._full = False
        self._resume_producer()
        if self._write_closing:
            self._close_write()

    def _awaits_producer(self) -> bool:
        """A pull producer, or one that we have paused, still has to be asked for the rest."""
        return self.producer is not None and (not self.streamingProducer or self.producerPaused)

    def loseWriteConnection(self) -> None:
        """Send FIN when all is written; reading goes on."""
        if self.connected and not self._write_closing:
            self._write_closing = True
            self.reactor.loop.call_soon(self._close_write)

    def _close_write(self) -> None:
        if not self.connected or self._writeDisconnected or self._aborting or self._awaits_producer():
            return
        if self._uv.get_write_buffer_size():
            self._uv.set_write_buffer_limits(high=0)  # resume_writing then says when the buffer is empty
            return
        self._writeDisconnected = True
        self.write = discard
        self._uv.write_eof()
        half_closeable: Any = interfaces.IHalfCloseableProtocol(self._protocol, None)
        if half_closeable is not None:
            try:
                half_closeable.writeConnectionLost()
            except BaseException:
                log.err()
                self.fail()

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
    def _tempDataBuffer(self) -> list[int]:
        """Empty when all is written: so Twisted's own transports can be asked."""
        size = self.unsent
        return [size] if size else []

    @property
    def unsent(self) -> int:
        """Bytes in the write buffer."""
        return self._uv.get_write_buffer_size() if self.connected else 0

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
            self.fail()

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
