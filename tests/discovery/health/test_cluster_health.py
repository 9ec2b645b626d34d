from __future__ import annotations

from dataclasses import replace

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import FAILED_ACTIVE_HC, PENDING_DYNAMIC_REMOVAL
from twistproxy.model.health_check import CheckTarget

from .doubles import NOT_OK, OK, A, B, C, World, settings

FAILED = "failed_active_hc"


def healthy(world: World, *addresses: object) -> World:
    world.publish(*addresses)  # type: ignore[arg-type]
    world.clock.advance(0)
    world.answer()
    return world


def test_workers_hear_of_a_cluster_when_all_hosts_have_been_checked() -> None:
    world = World()
    world.publish(A, B)
    world.clock.advance(0)
    first, second = world.asked()
    first.receive(OK)
    world.settle()
    assert not world.resolved
    second.receive(NOT_OK)
    world.settle()
    assert world.told[-1] == (True, {"10.0.0.1:80": "healthy", "10.0.0.2:80": FAILED})


def test_a_cluster_without_hosts_is_known_at_once() -> None:
    world = World()
    world.publish()
    assert world.told[-1] == (True, {})


def test_a_source_that_fails_ends_the_waiting_unless_hosts_are_being_checked() -> None:
    world = World()
    world.store.failed("app")
    assert world.resolved
    world = World()
    world.publish(A)
    world.store.failed("app")
    assert not world.resolved


def test_a_host_that_goes_while_it_is_waited_for() -> None:
    world = World()
    world.publish(A, B)
    world.clock.advance(0)
    world.asked()[0].receive(OK)
    world.publish(A)
    world.settle()
    assert world.told[-1] == (True, {"10.0.0.1:80": "healthy"})


def test_new_hosts_are_failed_until_they_are_checked() -> None:
    world = healthy(World(), A)
    world.publish(A, B)
    assert world.resolved
    assert world.flags == {"1": "healthy", "2": FAILED}
    world.clock.advance(0)
    assert world.answer() == 1
    assert world.flags == {"1": "healthy", "2": "healthy"}


def test_new_hosts_may_not_count_until_then() -> None:
    world = healthy(World(wait=True), A)
    world.publish(A, B)
    assert world.flags["2"] == f"{FAILED}/pending_active_hc"
    world.clock.advance(0)
    world.answer(NOT_OK)
    assert world.flags["2"] == FAILED


def test_hosts_that_pass_stay_when_discovery_drops_them() -> None:
    world = healthy(World(), A, B)
    world.publish(A)
    assert world.flags == {"1": "healthy", "2": "pending_dynamic_removal"}
    world.clock.advance(10)
    assert world.answer() == 2
    assert world.flags == {"1": "healthy", "2": "pending_dynamic_removal"}
    world.clock.advance(10)
    first, second = world.asked()
    first.receive(OK)
    second.receive(NOT_OK)
    world.settle()
    assert world.flags == {"1": "healthy"}
    assert len(world.open()) == 1


def test_hosts_that_come_back() -> None:
    world = healthy(World(), A, B)
    world.publish(A)
    world.publish(A, B)
    assert world.flags == {"1": "healthy", "2": "healthy"}
    assert world.counters()["attempt"] == 2


@pytest.mark.parametrize("cluster", [{"keep_passing": False}])
def test_hosts_that_go_at_once(cluster: dict[str, bool]) -> None:
    world = healthy(World(**cluster), A, B)
    world.publish(A)
    assert world.flags == {"1": "healthy"}
    world.clock.advance(10)
    assert world.answer() == 1


def test_failed_hosts_go_at_once() -> None:
    world = World()
    world.publish(A, B)
    world.clock.advance(0)
    world.answer(NOT_OK)
    world.publish(A)
    assert world.flags == {"1": FAILED}


def test_hosts_that_discovery_calls_unhealthy_go_at_once() -> None:
    world = World()
    world.publish(A, B, health="UNHEALTHY")
    world.clock.advance(0)
    world.answer()
    world.publish(A, health="UNHEALTHY")
    assert list(world.flags) == ["1"]


def test_what_else_discovery_says_changes_nothing() -> None:
    world = healthy(World(), A)
    world.publish(A, weight=5)
    assert world.flags == {"1": "healthy"}
    assert world.store.get("app").endpoints[0].weight == 5  # type: ignore[union-attr]
    assert world.counters()["attempt"] == 1


def test_a_host_that_is_to_be_checked_elsewhere_is_a_new_one() -> None:
    world = healthy(World(), A)
    world.store.publish("app", [Endpoint(A, check=CheckTarget(port=99))])
    assert world.flags == {"1": FAILED}
    world.clock.advance(0)
    assert world.connector.attempts[-1].address.port == 99  # type: ignore[union-attr]
    assert world.answer() == 1
    assert world.flags == {"1": "healthy"}


def test_a_host_whose_checks_are_named_differently_is_not() -> None:
    world = healthy(World(), A)
    world.store.publish("app", [Endpoint(A, check=CheckTarget(hostname="x"))])
    assert world.flags == {"1": "healthy"}
    world.clock.advance(10)
    (connection,) = (one for one in world.connector.connections if not one.closing)
    assert b"host: x\r\n" in connection.take()


def test_hosts_that_are_not_checked() -> None:
    world = World()
    world.store.publish("app", [Endpoint(A, check=CheckTarget(disabled=True))])
    assert world.told[-1] == (True, {"10.0.0.1:80": "healthy"})
    world.publish(A)
    assert world.flags == {"1": FAILED}
    world.store.publish("app", [Endpoint(A, check=CheckTarget(disabled=True))])
    assert world.flags == {"1": "healthy"}
    assert world.counters()["healthy"] == 0


def test_the_one_host_of_a_name_keeps_its_health_when_its_address_changes() -> None:
    world = healthy(World(one_host=True), A)
    world.publish(B)
    assert world.flags == {"2": "healthy"}
    world.clock.advance(10)
    assert world.connector.attempts[-1].address == B
    assert world.answer() == 1
    assert world.counters()["success"] == 2


def test_changes_that_come_together_are_published_together() -> None:
    world = healthy(World(), A, B, C)
    count = len(world.told)
    world.clock.advance(10)
    for connection in world.asked():
        connection.receive(NOT_OK)
    world.settle()
    assert len(world.told) == count + 1
    assert set(world.flags.values()) == {FAILED}


def test_many_hosts_are_not_all_begun_at_once() -> None:
    world = World()
    many = [TcpAddress(f"10.1.{number // 250}.{number % 250}", 80) for number in range(250)]
    world.publish(*many)
    assert len(world.connector.attempts) == 100
    assert not world.resolved
    world.publish(*many[:220])
    world.clock.advance(0)
    assert len(world.connector.attempts) == 220
    assert world.answer() == 220
    assert world.resolved
    assert set(world.told[-1][1].values()) == {"healthy"}


def test_other_flags_stay() -> None:
    world = healthy(World(), A)
    world.store.set_flags("app", {A: 2}, 2)
    world.clock.advance(10)
    world.answer(NOT_OK)
    assert world.flags == {"1": f"{FAILED}/failed_outlier_check"}


def test_unchanged_checks_go_on_over_a_reload() -> None:
    world = healthy(World(), A)
    world.checks.configure([replace(world.cluster)])
    world.clock.advance(10)
    assert world.answer() == 1
    assert world.counters()["success"] == 2
    assert len(world.open()) == 1


def test_changed_checks_begin_anew_and_workers_hear_nothing_until_they_have_results() -> None:
    world = healthy(World(), A)
    world.checks.configure([replace(world.cluster, settings=settings(timeout=2.0))])
    assert not world.resolved
    world.clock.advance(0)
    assert world.answer(NOT_OK) == 1
    assert world.told[-1] == (True, {"10.0.0.1:80": FAILED})
    assert world.counters()["attempt"] == 2


def test_a_cluster_that_is_checked_no_more() -> None:
    world = healthy(World(), A, B)
    world.publish(A)
    world.checks.configure([])
    assert world.told[-1] == (True, {"10.0.0.1:80": "healthy"})
    assert world.open() == []
    assert world.counters() == {}


def test_a_log_that_cannot_be_opened_changes_nothing() -> None:
    world = healthy(World(), A)
    with pytest.raises(PermissionError):
        world.checks.configure([replace(world.cluster, settings=settings(event_logs=("/closed/log",)))])
    world.clock.advance(10)
    assert world.answer() == 1
    assert world.counters()["success"] == 2


def test_whoever_wants_hears_of_passes() -> None:
    passed: list[tuple[str, object]] = []
    world = World()
    world.checks.on_pass = lambda cluster, address: passed.append((cluster, address))
    healthy(world, A)
    assert passed == [("app", A)]


def restored(*endpoints: Endpoint, **cluster: bool) -> World:
    world = World(**cluster)
    world.store.restore("app", endpoints)
    return world


def test_what_an_earlier_process_found_goes_on() -> None:
    world = restored(
        Endpoint(A), Endpoint(B, flags=FAILED_ACTIVE_HC), Endpoint(C, flags=PENDING_DYNAMIC_REMOVAL)
    )
    assert world.told[-1] == (
        True,
        {"10.0.0.1:80": "healthy", "10.0.0.2:80": FAILED, "10.0.0.3:80": "pending_dynamic_removal"},
    )
    world.clock.advance(0)
    first, second, third = world.asked()
    world.publish(A, B)
    assert world.flags == {"1": "healthy", "2": FAILED, "3": "pending_dynamic_removal"}
    for one in (first, third):
        one.receive(NOT_OK)
    second.receive(OK)
    world.settle()
    # What answers badly at once has failed; what passes has to do so again.
    assert world.flags == {"1": FAILED, "2": FAILED}
    world.clock.advance(10)
    world.answer(OK)
    assert world.flags["2"] == "healthy"


def test_a_host_of_an_earlier_process_that_times_out_once() -> None:
    world = restored(Endpoint(A))
    world.clock.advance(2)
    world.settle()
    assert world.flags == {"1": "healthy"}


def test_hosts_of_an_earlier_process_that_are_not_checked() -> None:
    world = restored(Endpoint(A, check=CheckTarget(disabled=True)), Endpoint(B))
    world.clock.advance(0)
    assert world.answer() == 1


def test_without_checks_nothing_of_them_is_restored() -> None:
    world = World()
    world.checks.configure([])
    world.store.restore(
        "app", (Endpoint(A, flags=FAILED_ACTIVE_HC), Endpoint(B, flags=PENDING_DYNAMIC_REMOVAL))
    )
    assert world.told[-1] == (True, {"10.0.0.1:80": "healthy"})
