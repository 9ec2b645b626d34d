"""Streams of our reactor, over socket pairs.  What Twisted's own tests show (tests/conformance) is not repeated."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.unix import Server as TwistedsUnixServer
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.transport.reactor import TwistproxyReactor
from twistproxy.transport.uv_stream import UvStream

LARGE = b"0123456789abcdef" * 65536


class Recorder(Protocol):
    """Notes what happens; `on_made`, `on_data` and `on_lost` are called with it."""

    direct_delivery = True

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.reason: Failure | None = None
        self.on_made: Callable[[Any], object] = lambda _self: None
        self.on_data: Callable[[Any], object] = lambda _self: None
        self.on_lost: Callable[[Any], object] = lambda _self: None

    def connectionMade(self) -> None:
        self.on_made(self)

    def dataReceived(self, data: bytes) -> None:
        self.received.append(data)
        self.on_data(self)

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reason = reason
        self.on_lost(self)


@implementer(IHalfCloseableProtocol)
class HalfCloser(Recorder):
    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def readConnectionLost(self) -> None:
        self.events.append("read")
        self.transport.write(b"goodbye")  # type: ignore[union-attr]
        self.transport.loseWriteConnection()  # type: ignore[union-attr]

    def writeConnectionLost(self) -> None:
        self.events.append("write")
        self.transport.loseConnection()  # type: ignore[union-attr]


class Ends:
    """A reactor and a socket pair: one end is the reactor's with a protocol, the other is a plain socket."""

    def __init__(self) -> None:
        self.reactor = TwistproxyReactor()
        self.ours, self.peer = socket.socketpair()
        self.peer.settimeout(10)

    def adopt(self, protocol: Any) -> Any:
        factory = Factory()
        factory.buildProtocol = lambda address: protocol  # type: ignore[method-assign]
        self.ours.setblocking(False)
        transport = self.reactor.adoptStreamConnection(self.ours.fileno(), socket.AF_UNIX, factory)
        self.ours.close()
        return transport

    def run(self) -> None:
        """Run until somebody stops the reactor."""
        late = self.reactor.callLater(20, self.reactor.crash)
        self.reactor.run(installSignalHandlers=False)
        assert late.active(), "nobody stopped the reactor"

    def turns(self, count: int = 5) -> None:
        for _ in range(count):
            self.reactor.iterate(0)

    def read_all(self) -> bytes:
        """Everything the peer gets until the end, read between turns of the reactor."""
        pieces = []
        self.peer.setblocking(False)
        for _ in range(10_000):
            self.turns(1)
            try:
                piece = self.peer.recv(100_000)
            except BlockingIOError:
                continue
            if not piece:
                return b"".join(pieces)
            pieces.append(piece)
        raise AssertionError("no end")


@pytest.fixture
def ends() -> Iterator[Ends]:
    ends = Ends()
    yield ends
    ends.ours.close()
    ends.peer.close()
    ends.reactor.close()


def test_libuv_and_a_direct_protocol_call_each_other_without_a_frame_between(ends: Ends) -> None:
    protocol = Recorder()
    transport = ends.adopt(protocol)
    ends.turns()
    assert isinstance(transport, UvStream)
    assert transport.write == transport._uv.write
    assert transport.write.__self__ is transport._uv  # type: ignore[attr-defined]
    assert transport.data_received == protocol.dataReceived
    assert transport._uv.get_protocol() is transport

    ends.peer.send(b"hello")
    ends.turns()
    assert protocol.received == [b"hello"]


def test_a_receiver_bound_in_connection_made_is_called_directly(ends: Ends) -> None:
    class Rebinding(Recorder):
        def connectionMade(self) -> None:
            self.dataReceived = self.received.append  # type: ignore[method-assign]

    protocol = Rebinding()
    transport = ends.adopt(protocol)
    ends.turns()
    assert transport.data_received == protocol.received.append


@pytest.mark.integration
def test_any_other_protocol_may_rebind_its_receiver_at_any_time(ends: Ends) -> None:
    reactor = ends.reactor
    protocol = Recorder()
    protocol.direct_delivery = False
    factory = Factory()
    factory.buildProtocol = lambda address: protocol  # type: ignore[method-assign]
    port = reactor.listenTCP(0, factory, interface="127.0.0.1")
    with socket.create_connection(("127.0.0.1", port.getHost().port), timeout=10) as client:
        client.send(b"first")
        protocol.on_data = lambda _: reactor.crash()
        ends.run()
        late: list[bytes] = []
        protocol.dataReceived = lambda data: (late.append(data), reactor.crash())[0]  # type: ignore[method-assign]
        client.send(b"second")
        ends.run()
    assert (protocol.received, late) == ([b"first"], [b"second"])


def test_assigning_the_protocol_redirects_the_data(ends: Ends) -> None:
    first, second = Recorder(), Recorder()
    transport = ends.adopt(first)
    ends.turns()
    transport.protocol = second
    ends.peer.send(b"hello")
    ends.turns()
    assert (first.received, second.received) == ([], [b"hello"])


def test_a_unix_connection_of_a_protocol_that_is_not_direct_is_twisteds_own(ends: Ends) -> None:
    protocol = Recorder()
    protocol.direct_delivery = False
    assert isinstance(ends.adopt(protocol), TwistedsUnixServer)


def test_what_is_written_when_the_connection_is_gone_is_ignored(ends: Ends) -> None:
    protocol = Recorder()
    transport = ends.adopt(protocol)
    ends.turns()
    ends.peer.close()
    ends.turns()
    assert protocol.reason is not None
    assert protocol.reason.check(ConnectionDone)
    transport.write(b"too late")
    transport.loseConnection()
    transport.abortConnection()
    transport.pauseProducing()
    transport.resumeProducing()
    with pytest.raises(TypeError):
        transport.write("text")
    assert ends.reactor.streams == set()


def test_lose_connection_sends_everything_first(ends: Ends) -> None:
    protocol = Recorder()
    transport = ends.adopt(protocol)
    ends.turns()
    transport.write(LARGE)
    transport.loseConnection()
    assert ends.read_all() == LARGE
    ends.turns()
    assert protocol.reason is not None
    assert protocol.reason.check(ConnectionDone)


def test_abort_connection_drops_what_is_not_sent(ends: Ends) -> None:
    protocol = Recorder()
    transport = ends.adopt(protocol)
    ends.turns()
    transport.write(LARGE)
    transport.abortConnection()
    assert len(ends.read_all()) < len(LARGE)
    assert protocol.reason is not None
    assert protocol.reason.check(ConnectionAborted)


def test_what_a_protocol_raises_ends_its_connection(ends: Ends) -> None:
    def broken(_protocol: Recorder) -> None:
        raise OSError("a protocol's own, not the connection's")

    protocol = Recorder()
    protocol.on_data = broken
    ends.adopt(protocol)
    ends.turns()
    ends.peer.send(b"x")
    ends.turns()
    assert protocol.reason is not None
    assert not protocol.reason.check(ConnectionLost)
    assert ends.peer.recv(1) == b""


def test_pausing_in_connection_made_holds_data_and_the_end_back(ends: Ends) -> None:
    protocol = Recorder()
    protocol.on_made = lambda made: made.transport.pauseProducing()
    transport = ends.adopt(protocol)
    ends.peer.send(b"hello")
    ends.peer.shutdown(socket.SHUT_WR)
    ends.turns(10)
    assert (protocol.received, protocol.reason) == ([], None)

    transport.resumeProducing()
    ends.turns()
    assert protocol.received == [b"hello"]
    assert protocol.reason is not None
    assert protocol.reason.check(ConnectionDone)


def test_pausing_and_resuming(ends: Ends) -> None:
    protocol = Recorder()
    transport = ends.adopt(protocol)
    ends.turns()
    transport.pauseProducing()
    ends.peer.send(b"hello")
    ends.turns()
    assert protocol.received == []
    assert transport not in ends.reactor.getReaders()
    transport.resumeProducing()
    ends.turns()
    assert protocol.received == [b"hello"]
    assert transport in ends.reactor.getReaders()


def test_each_direction_closes_by_itself(ends: Ends) -> None:
    protocol = HalfCloser()
    ends.adopt(protocol)
    ends.turns()
    ends.peer.shutdown(socket.SHUT_WR)
    assert ends.read_all() == b"goodbye"
    ends.turns()
    assert protocol.events == ["read", "write"]
    assert protocol.reason is not None


@pytest.mark.integration
def test_both_ends_of_an_ended_connection_are_freed_without_the_garbage_collector(ends: Ends) -> None:
    reactor = ends.reactor
    ended: list[weakref.ref[Any]] = []

    def note(protocol: Recorder) -> None:
        ended.append(weakref.ref(protocol.transport))
        if len(ended) == 2:
            reactor.callLater(0.01, reactor.crash)

    def server() -> Recorder:
        protocol = Recorder()
        protocol.on_made = lambda made: made.transport.loseConnection()
        protocol.on_lost = note
        return protocol

    def client() -> Recorder:
        protocol = Recorder()
        protocol.on_lost = note
        return protocol

    gc.disable()
    try:
        port = reactor.listenTCP(0, Factory.forProtocol(server), interface="127.0.0.1")
        reactor.connectTCP("127.0.0.1", port.getHost().port, ClientFactory.forProtocol(client))
        ends.run()
        assert [transport() for transport in ended] == [None, None]
    finally:
        gc.enable()


class Producer:
    """A push producer that notes what it is told, or a pull producer of a number of pieces."""

    def __init__(self, transport: Any, pieces: int = 0) -> None:
        self.told: list[str] = []
        self._transport = transport
        self._pieces = pieces

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")
        if self._pieces:
            self._pieces -= 1
            self._transport.write(b"piece")
            if not self._pieces:
                self._transport.unregisterProducer()

    def stopProducing(self) -> None:
        self.told.append("stop")


def test_a_push_producer_is_paused_over_the_mark_and_resumed_when_all_is_sent(ends: Ends) -> None:
    transport = ends.adopt(Recorder())
    ends.turns()
    producer = Producer(transport)
    transport.registerProducer(producer, True)
    transport.write(b"little")
    assert producer.told == []
    transport.write(LARGE)
    assert producer.told == ["pause"]
    received = 0
    while producer.told == ["pause"]:
        received += len(ends.peer.recv(100_000))
        ends.turns(1)
    assert producer.told == ["pause", "resume"]
    ends.peer.close()
    ends.turns()
    assert producer.told == ["pause", "resume", "stop"]


def test_a_producer_that_comes_when_the_buffer_is_full_is_paused(ends: Ends) -> None:
    transport = ends.adopt(Recorder())
    ends.turns()
    transport.write(LARGE)
    producer = Producer(transport)
    transport.registerProducer(producer, True)
    ends.turns()
    assert producer.told == ["pause"]


def test_a_pull_producer_is_asked_for_each_piece_and_the_close_waits_for_it(ends: Ends) -> None:
    transport = ends.adopt(Recorder())
    ends.turns()
    transport.registerProducer(Producer(transport, pieces=3), False)
    transport.loseConnection()
    assert ends.read_all() == b"piece" * 3


def test_a_second_producer_is_refused(ends: Ends) -> None:
    transport = ends.adopt(Recorder())
    ends.turns()
    transport.registerProducer(Producer(transport), True)
    with pytest.raises(RuntimeError):
        transport.registerProducer(Producer(transport), True)
