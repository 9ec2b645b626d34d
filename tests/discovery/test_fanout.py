from __future__ import annotations

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from twistproxy.discovery.fanout import Fanout, WorkerConnection
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.ipc.session import WorkerSession
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint

from .fakes import Log, addresses


class Transport(StringTransport):
    """Tells its producer when it holds as much as `limit` bytes, as a socket's transport does."""

    limit = 1 << 20
    aborted = False

    def write(self, data: bytes) -> None:
        super().write(data)
        if len(self.value()) >= self.limit and self.producer is not None:
            self.producer.pauseProducing()

    def abortConnection(self) -> None:
        self.aborted = True


class World:
    def __init__(self) -> None:
        self.log = Log()
        self.store = EndpointStore(lambda cluster: self.fanout.changed(cluster))
        self.clock = Clock()
        self.fanout = Fanout(self.clock, "me", self.store, self.log.logger)

    def publish(self, cluster: str, *ports: int) -> None:
        self.store.declare(cluster)
        self.store.publish(cluster, [Endpoint(TcpAddress("10.0.0.1", port)) for port in ports])

    def connect(self) -> tuple[WorkerConnection, Transport]:
        connection, transport = self.fanout.buildProtocol(None), Transport()
        connection.makeConnection(transport)
        return connection, transport


def told(worker: WorkerSession, transport: Transport) -> dict[str, list[str]]:
    news = {found.cluster for found in worker.receive(transport.value())}
    transport.clear()
    return {found.cluster: addresses(found.endpoints) for found in worker.known() if found.cluster in news}


def test_all_workers_are_told() -> None:
    world = World()
    world.publish("a", 80)
    workers = [WorkerSession(), WorkerSession()]
    links = [world.connect() for _ in workers]
    for worker, (connection, transport) in zip(workers, links):
        connection.dataReceived(worker.connected())
        assert told(worker, transport) == {"a": ["10.0.0.1:80"]}
    world.publish("b", 81)
    assert links[0][1].value() == links[1][1].value()
    assert told(workers[0], links[0][1]) == {"b": ["10.0.0.1:81"]}


def test_a_slow_worker_holds_up_no_other_and_gets_the_newest() -> None:
    world = World()
    world.store.declare("a")
    slow, fast = WorkerSession(), WorkerSession()
    (slow_end, slow_transport), (fast_end, fast_transport) = world.connect(), world.connect()
    slow_end.dataReceived(slow.connected())
    fast_end.dataReceived(fast.connected())
    told(slow, slow_transport)
    told(fast, fast_transport)
    slow_transport.limit = 1
    for port in range(1, 1000):
        world.publish("a", port)
    assert told(slow, slow_transport) == {"a": ["10.0.0.1:1"]}
    assert told(fast, fast_transport) == {"a": ["10.0.0.1:999"]}
    assert slow_transport.producer is not None
    slow_transport.producer.resumeProducing()
    assert len(slow_transport.value()) < 200
    assert told(slow, slow_transport) == {"a": ["10.0.0.1:999"]}


def test_nonsense_ends_the_connection() -> None:
    world = World()
    connection, transport = world.connect()
    connection.dataReceived(b"\x00\x00\x00\x02[]")
    assert transport.aborted
    assert "nonsense" in world.log.lines[-1]


def test_a_worker_that_is_gone_is_forgotten() -> None:
    world = World()
    connection, _ = world.connect()
    connection.connectionLost()
    assert not world.fanout.workers


def test_disconnect() -> None:
    world = World()
    _, transport = world.connect()
    world.fanout.disconnect()
    assert transport.aborted


def test_changes_of_a_large_cluster_are_told_together() -> None:
    world, worker = World(), WorkerSession()
    connection, transport = world.connect()
    connection.dataReceived(worker.connected())
    large = range(1, 5001)
    world.publish("a", *large)
    assert len(told(worker, transport)["a"]) == 5000
    for more in (5001, 5002, 5003):
        world.publish("a", *large, more)
    assert transport.value() == b""
    world.clock.advance(0.25)
    assert told(worker, transport)["a"][-1] == "10.0.0.1:5003"
    world.clock.advance(1.0)
    assert transport.value() == b""
    world.publish("a", 1, 2)
    assert told(worker, transport)["a"] == ["10.0.0.1:1", "10.0.0.1:2"]
    world.publish("a", 1)
    assert told(worker, transport)["a"] == ["10.0.0.1:1"]


def test_who_comes_while_changes_wait_has_them_already() -> None:
    world, worker = World(), WorkerSession()
    world.publish("a", *range(1, 5001))
    world.publish("a", *range(1, 5002))
    connection, transport = world.connect()
    connection.dataReceived(worker.connected())
    assert len(told(worker, transport)["a"]) == 5001
    world.clock.advance(1.0)
    assert transport.value() == b""


def test_nothing_waits_after_the_end() -> None:
    world = World()
    world.publish("a", *range(1, 5001))
    world.publish("a", *range(1, 5002))
    world.fanout.disconnect()
    assert world.clock.getDelayedCalls() == []
