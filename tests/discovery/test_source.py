from __future__ import annotations

from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint

from .fakes import Updates

A = Endpoint(TcpAddress("10.0.0.1", 1))


def test_counts_and_publishes() -> None:
    world = Updates("app")
    updates = world.updates
    updates.attempt()
    assert updates.success([A]) == "+1 -0 ~0"
    updates.attempt()
    assert updates.success([A]) == ""
    updates.attempt()
    updates.failure()
    updates.rejected()
    updates.empty()
    assert world.addresses == ["10.0.0.1:1"]
    assert world.counted() == {
        "attempt": 3,
        "success": 3,
        "failure": 1,
        "rejected": 1,
        "empty": 1,
        "no_rebuild": 1,
    }


def test_a_failure_first_resolves_the_cluster_as_it_is() -> None:
    for report in ("failure", "rejected", "empty"):
        world = Updates("app")
        getattr(world.updates, report)()
        assert (world.resolved, world.complete, world.addresses) == (True, False, [])


def test_publishes_nothing_once_stopped() -> None:
    world = Updates("app")
    world.updates.stop()
    assert world.updates.success([A]) == ""
    world.updates.failure()
    assert (world.resolved, world.changes) == (False, 0)
