from __future__ import annotations

from dataclasses import replace

from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint, EndpointSet
from twistproxy.model.health import FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK

A, B, C = (Endpoint(TcpAddress("10.0.0.1", port)) for port in (1, 2, 3))


class Store(EndpointStore):
    def __init__(self) -> None:
        self.told: list[str] = []
        super().__init__(self.told.append)


def test_an_answer_is_compared_by_address() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", (A, B))
    delta = store.publish("a", [replace(B, weight=2), C])
    assert (delta.added, delta.removed, delta.changed) == ((C,), (A,), (replace(B, weight=2),))
    assert str(delta) == "+1 -1 ~1"
    assert delta


def test_of_one_address_the_first_counts() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", [A, B, replace(A, weight=9)])
    assert store.get("a") == EndpointSet("a", (A, B), 2)


def test_a_declared_cluster_is_unresolved_until_it_is_published() -> None:
    store = Store()
    store.declare("a")
    assert store.get("a") == EndpointSet("a", (), 1, resolved=False)
    store.publish("a", ())
    assert store.get("a") == EndpointSet("a", (), 2, resolved=True)
    assert store.told == ["a", "a"]


def test_an_equal_answer_is_no_change() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", (A, B))
    before = store.get("a")
    assert not store.publish("a", (B, A))
    assert store.get("a") is before
    assert len(store.told) == 2


def test_a_failure_resolves_but_does_not_complete() -> None:
    store = Store()
    store.declare("a")
    store.failed("a")
    found = store.get("a")
    assert found is not None
    assert found.resolved
    assert not store.complete("a")
    store.failed("a")
    assert len(store.told) == 2
    store.publish("a", ())
    assert store.complete("a")
    assert len(store.told) == 3


def test_a_failure_keeps_the_endpoints() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", (A,))
    store.failed("a")
    assert store.all() == (EndpointSet("a", (A,), 2),)


def test_becoming_complete_is_told() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", (A,), complete=False)
    assert not store.complete("a")
    store.publish("a", (A,))
    assert store.complete("a")
    assert store.told == ["a"] * 3


def test_declaring_again_keeps_the_endpoints() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", (A,))
    store.declare("a")
    assert store.all() == (EndpointSet("a", (A,), 2),)


def test_a_cluster_that_comes_back_does_not_repeat_a_version() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", (A,))
    store.remove("a")
    store.remove("a")
    assert store.get("a") is None
    assert store.told == ["a"] * 3
    store.declare("a")
    assert store.all() == (EndpointSet("a", (), 3, resolved=False),)
    assert not store.complete("a")


def test_what_is_not_declared_cannot_be_published() -> None:
    store = Store()
    assert not store.publish("a", (A,))
    store.failed("a")
    assert store.all() == ()


def test_flags_are_set_under_their_mask_only() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", (A, B))
    store.set_flags("a", {A.address: 0b011}, 0b011)
    store.set_flags("a", {A.address: 0b110, B.address: 0b110, C.address: 0b100}, 0b100)
    found = store.get("a")
    assert found is not None
    assert [endpoint.flags for endpoint in found.endpoints] == [0b111, 0b100]
    told = len(store.told)
    store.set_flags("a", {A.address: 0b100}, 0b100)
    store.set_flags("unknown", {A.address: 1}, 1)
    assert len(store.told) == told


def test_endpoints_that_stay_keep_their_flags() -> None:
    store = Store()
    store.declare("a")
    store.publish("a", (A, B))
    store.set_flags("a", {A.address: 1, B.address: 2}, 3)
    store.publish("a", (replace(A, weight=7), C))
    found = store.get("a")
    assert found is not None
    assert found.endpoints == (replace(A, weight=7, flags=1), C)
    store.publish("a", (A, B))
    found = store.get("a")
    assert found is not None
    assert [endpoint.flags for endpoint in found.endpoints] == [1, 0]


def test_the_policy_of_an_assignment() -> None:
    """It goes with the whole state, also if the endpoints are the same."""
    store = EndpointStore(lambda cluster: None)
    store.declare("a")
    store.publish("a", (A,), policy=AssignmentPolicy(200))
    first = store.get("a")
    assert first is not None
    assert first.policy == AssignmentPolicy(200)
    store.publish("a", (A,), policy=AssignmentPolicy(200))
    assert store.get("a") == first
    store.publish("a", (A,), policy=AssignmentPolicy(100))
    second = store.get("a")
    assert second is not None
    assert second.policy == AssignmentPolicy(100)
    assert second.version > first.version
    assert store.changes("a", first.version) is None


class Timed(Store):
    """Notes when endpoints became healthy, by a clock that the test moves."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1.0
        self._monotonic = lambda: self.now
        self.note_times(["a"])
        self.declare("a")

    def since(self) -> list[float]:
        found = self.get("a")
        assert found is not None
        return [endpoint.since for endpoint in found.endpoints]


def test_when_endpoints_became_healthy() -> None:
    store = Timed()
    store.publish("a", (A, replace(B, health="UNHEALTHY")))
    assert store.since() == [1.0, 0.0]
    store.now = 2.0
    store.publish("a", (replace(A, weight=2), B, C))
    assert store.since() == [1.0, 2.0, 2.0]
    store.now = 3.0
    assert not store.publish("a", (replace(A, weight=2), B, C))
    assert store.since() == [1.0, 2.0, 2.0]


def test_health_checks_begin_anew_and_outlier_detection_does_not() -> None:
    store = Timed()
    store.publish("a", (A, B))
    for flag in (FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK):
        store.now += 1
        store.set_flags("a", {A.address: flag}, flag)
        store.now += 1
        store.set_flags("a", {A.address: 0}, flag)
        assert store.since() == [3.0, 1.0]


def test_times_are_noted_of_some_clusters_only() -> None:
    store = Timed()
    store.declare("b")
    store.publish("a", (A,))
    store.publish("b", (A,))
    assert store.get("b") == EndpointSet("b", (A,), store.version("b") or 0)
    store.now = 2.0
    store.note_times(["b"])
    assert store.since() == [0.0]
    found = store.get("b")
    assert found is not None
    assert found.endpoints == (replace(A, since=2.0),)
    assert not store.publish("b", (A,))
