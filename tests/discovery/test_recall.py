from __future__ import annotations

from dataclasses import replace
from typing import Any

from twistproxy.discovery.recall import GRACE, Recall
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint, EndpointSet
from twistproxy.testing.clock import FakeClock

A, B = (Endpoint(TcpAddress("10.0.0.1", port)) for port in (1, 2))


class World:
    def __init__(self, *clusters: str) -> None:
        self.clock = FakeClock()
        self.store = EndpointStore(lambda cluster: None)
        for cluster in clusters:
            self.store.declare(cluster)
        self.done = 0
        self.recall = Recall(self.store, self.clock.call_later, self._count)

    def _count(self) -> None:
        self.done += 1

    def tell(self, cluster: str, *endpoints: Endpoint, last: bool = True, policy: Any = None) -> None:
        found = [endpoint.to_json() for endpoint in endpoints]
        self.recall.heard({"cluster": cluster, "policy": policy, "endpoints": found, "last": last})


def test_one_worker_is_asked_for_each_cluster() -> None:
    world = World("a", "b")
    assert world.recall.wanted(["a", "unknown here"]) == ["a"]
    assert world.recall.wanted(["a", "b"]) == ["b"]
    world.tell("a", A, last=False)
    world.tell("b")
    assert not world.done
    world.tell("a", B, policy=[120, 1])
    assert world.done == 1
    assert world.recall.wanted(["a", "b"]) == []
    found = world.store.get("a")
    assert found == EndpointSet("a", (A, B), found.version, True, AssignmentPolicy(120, True))  # type: ignore[union-attr]
    world.clock.advance(GRACE)
    assert world.done == 1


def test_nobody_waits_for_long() -> None:
    world = World("a", "b")
    world.recall.wanted(["a"])
    world.clock.advance(GRACE)
    assert world.done == 1
    world.tell("a", A)
    found = world.store.get("a")
    assert found is not None
    assert not found.resolved
    assert world.recall.wanted(["b"]) == []


def test_stop() -> None:
    world = World("a")
    world.recall.wanted(["a"])
    world.recall.stop()
    world.tell("a", A)
    world.clock.advance(GRACE)
    assert not world.done


def test_what_was_not_asked_for_does_not_count() -> None:
    world = World("a")
    world.tell("a", A)
    assert not world.done


def test_restored_endpoints_count_until_the_source_answers() -> None:
    world = World("a")
    store = world.store
    store.restore("a", (A, B))
    assert not store.complete("a")
    store.restore("a", (A,))  # too late
    assert store.publish("a", (replace(A, weight=2),)).removed == (B,)
    store.restore("a", (A, B))
    found = store.get("a")
    assert found is not None
    assert found.endpoints == (replace(A, weight=2),)
    store.restore("gone", (A,))
    assert store.get("gone") is None
