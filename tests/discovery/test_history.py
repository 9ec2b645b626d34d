from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock

from twistproxy.discovery.fanout import Fanout
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.ipc.frame import FrameReader
from twistproxy.ipc.session import DiscoverySession, WorkerSession
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint

from .fakes import Log


def host(port: int, weight: int = 1) -> Endpoint:
    return Endpoint(TcpAddress("10.0.0.1", port), weight=weight)


class World:
    """A store with one worker, which is told when it likes."""

    def __init__(self) -> None:
        self.store = EndpointStore(lambda cluster: self.changed(cluster))
        self.clock = Clock()
        self.fanout = Fanout(self.clock, "me", self.store, Log().logger)
        self.written: list[bytes] = []
        self.worker = WorkerSession()
        self.store.declare("a")
        self.session = DiscoverySession(
            self.written.append, "me", self.store.versions, self.fanout.frame_of, self.fanout.heard, list
        )
        self.session.receive(self.worker.connected())
        self.read()

    def changed(self, cluster: str) -> None:
        self.fanout.changed(cluster)
        if hasattr(self, "session"):
            self.session.changed(cluster)

    def publish(self, *endpoints: Endpoint) -> None:
        self.store.publish("a", endpoints)

    def read(self) -> list[str]:
        """The kinds of the messages."""
        data = b"".join(self.written)
        self.written.clear()
        self.worker.receive(data)
        return [message["t"] for message in FrameReader().feed(data)]

    def check(self) -> None:
        """The worker knows exactly what the store has, in the same order."""
        store = self.store.get("a")
        assert store is not None
        assert self.worker.known() == (store,)


def test_only_what_has_changed_is_told() -> None:
    world = World()
    world.publish(*(host(port) for port in range(1000)))
    assert world.read() == ["endpoints"]
    world.store.set_flags("a", {host(5).address: 1}, 1)
    (frame,) = world.written
    assert len(frame) < 200
    assert world.read() == ["changes"]
    world.check()


def test_a_slow_reader_is_told_at_once_what_has_happened_meanwhile() -> None:
    world = World()
    world.publish(host(1), host(2), host(3))
    world.read()
    world.session.pause()
    world.publish(host(1), host(3), host(4))
    world.publish(host(1), host(3), host(4), host(2))
    world.store.set_flags("a", {host(1).address: 1}, 1)
    world.session.resume()
    assert world.read() == ["changes"]
    world.check()


def test_the_whole_is_told_when_too_much_has_happened() -> None:
    world = World()
    world.publish(host(0))
    world.read()
    world.session.pause()
    for weight in range(2, 100):
        world.publish(host(0, weight))
    world.session.resume()
    assert world.read() == ["endpoints"]
    world.check()


def test_another_order_is_told_as_the_whole() -> None:
    world = World()
    world.publish(host(1), host(2))
    world.read()
    world.publish(host(2), host(1), host(3))
    assert world.read() == ["endpoints"]
    world.check()


def test_of_many_new_ones_come_last() -> None:
    world = World()
    world.publish(*(host(port) for port in range(3000)))
    world.read()
    world.publish(host(9000), *(host(port) for port in range(2999, 0, -1)))
    world.clock.advance(1.0)
    assert world.read() == ["changes"]
    world.check()
    assert world.worker.known()[0].endpoints[-1] == host(9000)


def test_what_the_source_repeats_keeps_our_flags_and_is_no_news() -> None:
    world = World()
    world.publish(host(1), host(2))
    world.store.set_flags("a", {host(1).address: 1}, 1)
    world.read()
    world.publish(host(1), host(2))
    assert world.read() == []
    world.publish(host(1, 5), host(2))
    assert world.read() == ["changes"]
    assert [e.flags for e in world.worker.known()[0].endpoints] == [1, 0]
    world.store.set_flags("a", {host(1).address: 0}, 1)
    world.read()
    world.publish(host(1, 5), host(2))
    assert world.read() == []
    world.check()


_ENDPOINTS = st.lists(st.tuples(st.integers(0, 12), st.integers(1, 2)), unique_by=lambda one: one[0])
_STEPS: list[st.SearchStrategy[Callable[[World], object]]] = [
    _ENDPOINTS.map(lambda found: lambda world: world.publish(*(host(*one) for one in found))),
    _ENDPOINTS.map(lambda found: lambda world: world.publish(*(host(*one) for one in sorted(found)))),
    st.tuples(st.integers(0, 12), st.integers(0, 3)).map(
        lambda one: lambda world: world.store.set_flags("a", {host(one[0]).address: one[1]}, 3)
    ),
    st.just(lambda world: world.session.pause()),
    st.just(lambda world: world.session.resume()),
]


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(_STEPS), max_size=25))
def test_worker_and_store_agree_whatever_happens(steps: list[Callable[[World], object]]) -> None:
    world = World()
    for step in steps:
        step(world)
        world.read()
    world.session.resume()
    world.read()
    if world.store.complete("a"):
        world.check()
    else:
        assert world.worker.known() == ()


def test_a_state_is_kept_as_it_was() -> None:
    store = EndpointStore(lambda cluster: None)
    store.declare("a")
    store.publish("a", [host(1)])
    before = store.get("a")
    store.publish("a", [replace(host(1), weight=3)])
    assert before is not None
    assert before.endpoints == (host(1),)
