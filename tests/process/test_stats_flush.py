"""When statistics are asked for, and what statsd servers are sent."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectionDone, ConnectionRefusedError
from twisted.internet.testing import MemoryReactorClock, StringTransport
from twisted.python.failure import Failure

from twistproxy.admin.merge import Statistics, Totals
from twistproxy.admin.stats_config import PLAIN
from twistproxy.model.address import TcpAddress
from twistproxy.model.bootstrap import AdminSettings, Bootstrap, Node
from twistproxy.model.statistics import StatsdSettings, StatsSettings
from twistproxy.process.stats_flush import StatsFlush
from twistproxy.process.stats_sinks import StatsSinks

SINK = StatsdSettings("p", tcp=(TcpAddress("127.0.0.1", 1), TcpAddress("127.0.0.1", 2)))


def bootstrap(interval: float = 5.0, **fields: Any) -> Bootstrap:
    return Bootstrap(Node(), AdminSettings(), (), (), interval, stats=StatsSettings(**fields))


class World:
    """A flush whose processes answer when `answer` is called."""

    def __init__(self, **fields: Any) -> None:
        self.reactor: Any = MemoryReactorClock()
        self.asked: list[tuple[str, Deferred[Statistics]]] = []
        self.statistics = Statistics()
        self.say({"a": 3})
        self.flush = StatsFlush(self.reactor, self._collect, self._own)
        self.flush.use(bootstrap(**fields))

    def say(self, counters: dict[str, int], **more: Any) -> None:
        """This is what the processes have counted."""
        self.statistics.report("w", {"counters": counters, **more})

    def _own(self, statistics: Statistics) -> None:
        statistics.report("master", {"gauges": {"g": 0}, "used": ["g"]})

    def _collect(self, scope: str) -> Deferred[Statistics]:
        answer: Deferred[Statistics] = Deferred()
        self.asked.append((scope, answer))
        return answer

    def answer(self) -> None:
        self.asked.pop()[1].callback(self.statistics)

    def tick(self) -> None:
        """One flush."""
        self.reactor.advance(5)
        self.answer()

    def connect(self) -> StringTransport:
        """Take the connection that was wanted last."""
        factory = self.reactor.tcpClients[-1][2]
        transport = StringTransport()
        self.protocol = factory.buildProtocol(None)
        self.protocol.makeConnection(transport)
        return transport


def test_without_sinks_only_what_can_be_lost_is_asked_for() -> None:
    world = World()
    world.reactor.advance(4.9)
    assert world.asked == []
    world.reactor.advance(0.2)
    assert [scope for scope, _ in world.asked] == ["counts"]
    world.answer()
    world.flush.use(bootstrap(1.0))
    world.reactor.advance(1.0)
    assert len(world.asked) == 1
    world.flush.stop()
    assert world.reactor.getDelayedCalls() == []


def test_a_flush_that_is_not_over_is_not_joined_by_another() -> None:
    world = World()
    world.reactor.pump([5.0, 5.0, 5.0])
    assert len(world.asked) == 1
    assert world.flush.counters == {"server.dropped_stat_flushes": 2}
    world.answer()
    world.reactor.advance(5.0)
    assert len(world.asked) == 1


def test_a_server_by_tcp() -> None:
    world = World(sinks=(SINK,))
    world.reactor.advance(5)
    assert [scope for scope, _ in world.asked] == ["figures"]
    world.answer()
    assert world.reactor.tcpClients[-1][:2] == ("127.0.0.1", 1)
    transport = world.connect()
    assert transport.value() == b"p.a:3|c\np.g:0|g\n"
    transport.clear()
    world.say({"a": 5})
    world.tick()
    assert transport.value() == b"p.a:2|c\np.g:0|g\n"
    assert len(world.reactor.tcpClients) == 1
    assert world.flush.counters["statsd.cx_overflow"] == 0


def test_the_next_host_after_a_failure() -> None:
    world = World(sinks=(SINK,))
    world.tick()
    world.reactor.tcpClients[-1][2].clientConnectionFailed(None, Failure(ConnectionRefusedError()))
    world.tick()
    assert world.reactor.tcpClients[-1][:2] == ("127.0.0.1", 2)
    transport = world.connect()
    assert transport.value() == b"p.a:0|c\np.g:0|g\n"
    world.protocol.connectionLost(Failure(ConnectionDone()))
    world.tick()
    assert world.reactor.tcpClients[-1][:2] == ("127.0.0.1", 1)


def test_a_server_that_does_not_read_is_hung_up_on() -> None:
    world = World(sinks=(SINK,))
    world.tick()
    transport = world.connect()
    world.protocol.pauseProducing()
    world.tick()
    assert transport.disconnecting or transport.disconnected
    assert world.flush.counters["statsd.cx_overflow"] == 1


def test_only_when_the_admin_is_asked() -> None:
    world = World(sinks=(SINK,), flush_on_admin=True)
    world.reactor.advance(5)
    assert [scope for scope, _ in world.asked] == ["counts"]
    world.answer()
    assert world.reactor.tcpClients == []
    world.flush.asked(world.statistics)
    assert world.connect().value() == b"p.a:3|c\n"


def test_nobody_is_told_for_being_asked_otherwise() -> None:
    world = World(sinks=(SINK,))
    world.flush.asked(world.statistics)
    assert world.reactor.tcpClients == []


def test_intervals_end_with_flushes() -> None:
    world = World()
    world.say({}, histograms={"h": {"5": 2}})
    world.tick()
    assert world.statistics.totals().intervals == {"h": {5: 2}}
    world.say({}, histograms={"h": {"5": 3, "7": 1}})
    assert world.statistics.totals().intervals == {"h": {5: 2}}
    world.tick()
    assert world.statistics.totals().intervals == {"h": {5: 1, 7: 1}}
    world.statistics.worker_gone("w")
    world.tick()
    assert world.statistics.totals().intervals == {}


class Udp:
    """A reactor for one datagram port, which takes what `problem` does not speak against."""

    def __init__(self, problem: Exception | None = None) -> None:
        self.problem = problem
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self.open = False

    def listenUDP(self, port: int, protocol: Any, interface: str) -> Udp:
        if isinstance(self.problem, CannotListenError):
            raise self.problem
        self.open = True
        return self

    def write(self, data: bytes, address: tuple[str, int]) -> None:
        if self.problem is not None:
            raise self.problem
        self.sent.append((data, address))

    def stopListening(self) -> None:
        self.open = False


UDP = StatsdSettings("p", udp=TcpAddress("127.0.0.1", 8125))


def test_a_server_by_udp() -> None:
    udp = Udp()
    sinks = StatsSinks(udp)
    sinks.use((UDP,), PLAIN)
    sinks.flush(Totals({"a": 3, "b": 1}, used={"a", "b"}))
    assert udp.sent == [(b"p.a:3|c", ("127.0.0.1", 8125)), (b"p.b:1|c", ("127.0.0.1", 8125))]
    sinks.stop()
    assert not udp.open
    assert not sinks


@pytest.mark.parametrize(
    "problem", [OSError(101, "Network is unreachable"), CannotListenError("::", 0, OSError(97, "no"))]
)
def test_no_way_to_a_server(problem: Exception) -> None:
    sinks = StatsSinks(Udp(problem))
    sinks.use((UDP,), PLAIN)
    sinks.flush(Totals({"a": 3}, used={"a"}))
    sinks.stop()


def test_answers_that_come_after_the_end_are_for_nobody() -> None:
    world = World(sinks=(SINK,))
    world.reactor.advance(5)
    world.flush.stop()
    world.answer()
    assert world.reactor.tcpClients == []
    assert world.statistics.totals().gauges == {}
