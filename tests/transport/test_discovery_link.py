from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.ipc.frame import FrameReader, encode_frame
from twistproxy.ipc.session import encode_endpoints
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint, EndpointNews, EndpointSet
from twistproxy.transport.discovery_link import FIRST_DELAY, LONGEST_DELAY, DiscoveryLink


class Transport(StringTransport):
    aborted = False

    def abortConnection(self) -> None:
        self.aborted = True


class World:
    def __init__(self) -> None:
        self.reactor = MemoryReactorClock()
        self.told: list[EndpointNews] = []
        log = Logger(observer=lambda event: None)
        self.link = DiscoveryLink(self.reactor, "/run/d.sock", self.told.append, log, lambda: 0.5)
        self.link.start()

    @property
    def attempts(self) -> int:
        return len(self.reactor.unixClients)

    def refuse(self) -> None:
        self.factory.clientConnectionFailed(Any, Failure(ConnectionRefusedError()))

    @property
    def factory(self) -> Any:
        return self.reactor.unixClients[-1][1]

    def connect(self) -> tuple[Any, Transport, dict[str, Any]]:
        """The protocol, its transport and the hello that it sent."""
        protocol, transport = self.factory.buildProtocol(None), Transport()
        protocol.makeConnection(transport)
        (hello,) = FrameReader().feed(transport.value())
        return protocol, transport, hello

    def lose(self, protocol: Any) -> None:
        protocol.connectionLost(Failure(ConnectionLost()))
        self.factory.clientConnectionLost(Any, Failure(ConnectionLost()))


def welcome(instance: str = "one", tell: Iterable[str] = ()) -> bytes:
    return encode_frame({"t": "welcome", "v": 1, "instance": instance, "tell": list(tell)})


def endpoints(version: int, port: int) -> EndpointSet:
    return EndpointSet("a", (Endpoint(TcpAddress("10.0.0.1", port)),), version)


def test_tells_of_endpoints() -> None:
    world = World()
    assert world.reactor.unixClients[0][0] == "/run/d.sock"
    protocol, _, hello = world.connect()
    assert hello == {"t": "hello", "v": 1, "instance": "", "clusters": {}}
    assert world.link.connected
    protocol.dataReceived(welcome() + encode_endpoints(endpoints(1, 80), True))
    assert world.told == [endpoints(1, 80)]
    assert world.link.known() == (endpoints(1, 80),)


def test_connects_again_soon_and_says_what_it_has() -> None:
    world = World()
    protocol, _, _ = world.connect()
    protocol.dataReceived(welcome() + encode_endpoints(endpoints(7, 80), True))
    world.lose(protocol)
    assert not world.link.connected
    world.reactor.advance(FIRST_DELAY)
    assert world.attempts == 2
    protocol, _, hello = world.connect()
    assert (hello["instance"], hello["clusters"]) == ("one", {"a": 7})
    protocol.dataReceived(welcome("two") + encode_endpoints(endpoints(1, 81), True))
    assert world.told == [endpoints(7, 80), endpoints(1, 81)]


def test_tries_less_often_but_at_least_each_second() -> None:
    world = World()
    for _ in range(20):
        world.refuse()
        world.reactor.advance(LONGEST_DELAY)
    assert world.attempts == 21
    protocol, _, _ = world.connect()
    protocol.dataReceived(welcome())
    world.lose(protocol)
    world.reactor.advance(FIRST_DELAY)
    assert world.attempts == 22


def test_a_connection_that_says_nothing_does_not_reset_the_back_off() -> None:
    world = World()
    for _ in range(10):
        protocol, _, _ = world.connect()
        world.lose(protocol)
        world.reactor.advance(LONGEST_DELAY)
    protocol, _, _ = world.connect()
    world.lose(protocol)
    world.reactor.advance(FIRST_DELAY)
    assert world.attempts == 11


def test_nonsense_ends_the_connection() -> None:
    world = World()
    protocol, transport, _ = world.connect()
    protocol.dataReceived(b"\x00\x00\x00\x01x")
    assert transport.aborted
    assert not world.told


def test_stop() -> None:
    world = World()
    protocol, _, _ = world.connect()
    world.link.stop()
    protocol.dataReceived(welcome() + encode_endpoints(endpoints(1, 80), True))
    world.lose(protocol)
    assert not world.told
    assert not world.reactor.getDelayedCalls()
    world = World()
    world.refuse()
    world.link.stop()
    assert not world.reactor.getDelayedCalls()


def test_tells_a_new_discovery_process_what_it_knows_part_by_part() -> None:
    world = World()
    protocol, _, _ = world.connect()
    many = tuple(Endpoint(TcpAddress("10.0.0.1", port)) for port in range(1, 301))
    protocol.dataReceived(welcome() + encode_endpoints(EndpointSet("a", many, 7), True))
    world.lose(protocol)
    world.reactor.advance(FIRST_DELAY)
    protocol, transport, _ = world.connect()
    transport.clear()
    protocol.dataReceived(welcome("two", ["a"]))
    counts = []
    while transport.value():
        (message,) = FrameReader().feed(transport.value())
        counts.append(len(message["endpoints"]))
        transport.clear()
        world.reactor.advance(0)
    assert counts == [200, 100]
    assert not world.reactor.getDelayedCalls()
