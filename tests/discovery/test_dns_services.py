"""SRV records to endpoints: ranks, weights, ports, and hosts that cannot be looked up."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.discovery.dns_lookup import Answer, Found, LookupFailed, Services
from twistproxy.discovery.dns_services import AT_ONCE, ServiceLookup, endpoints_of
from twistproxy.discovery.dns_wire import ServiceRecord as Srv

from .fakes import FakeLookup


def addresses(*found: str, ttl: int = 60) -> tuple[Found, ...]:
    return tuple(Found(each, ttl) for each in found)


def test_ranks_ports_and_times_to_live() -> None:
    services = Services((Srv(20, 5, 81, "b"), Srv(10, 7, 80, "a"), Srv(40, 0, 82, "a")), 30)
    hosts = {"a": addresses("10.0.0.1", ttl=9), "b": addresses("10.0.0.2", ttl=0)}
    assert endpoints_of(services, hosts) == (
        Found("10.0.0.1", 9, 80, 7, 0, "a"),
        Found("10.0.0.2", 30, 81, 5, 1, "b"),
        Found("10.0.0.1", 9, 82, 1, 2, "a"),
    )


@pytest.mark.parametrize(
    ("weights", "counts", "expected"),
    [
        ([1, 3], [1, 1], [1, 3]),
        ([0, 0], [1, 1], [1, 1]),
        # RFC 2782: a very small chance
        ([0, 10, 20], [1, 1, 1], [1, 1000, 2000]),
        # A host has its share however many addresses it has.
        ([1, 1], [1, 2], [2, 1, 1]),
        ([5, 5], [2, 2], [5, 5, 5, 5]),
        ([1, 1, 1], [0, 2, 3], [3, 3, 2, 2, 2]),
        ([1, 1], [1, 61], [1, *[1] * 61]),
        ([1, 1], [0, 0], []),
    ],
)
def test_weights(weights: list[int], counts: list[int], expected: list[int]) -> None:
    records = tuple(Srv(0, weight, 80, f"h{at}") for at, weight in enumerate(weights))
    hosts = {
        f"h{at}": addresses(*(f"10.{at}.0.{n}" for n in range(count))) for at, count in enumerate(counts)
    }
    assert [each.weight for each in endpoints_of(Services(records), hosts)] == expected


def test_one_address_in_two_classes_counts_in_the_first() -> None:
    services = Services((Srv(0, 1, 80, "a"), Srv(1, 1, 80, "b"), Srv(1, 1, 81, "b")))
    hosts = {"a": addresses("10.0.0.1"), "b": addresses("10.0.0.1")}
    assert [(each.port, each.rank) for each in endpoints_of(services, hosts)] == [(80, 0), (81, 1)]


class World:
    def __init__(self, *records: Srv, **added: str) -> None:
        self.lookup = FakeLookup()
        self.lookup.services_of = Services(records, 30, {name: addresses(at) for name, at in added.items()})
        self.services = ServiceLookup(self.lookup)

    def ask(self) -> list[Any]:
        found: list[Any] = []
        self.services("_http._tcp.test", "V4_ONLY").addCallbacks(
            found.append, lambda f: found.append(f.value)
        )
        return found


def test_hosts_are_looked_up_unless_they_came_along() -> None:
    world = World(Srv(0, 1, 80, "a"), Srv(0, 1, 81, "b"), Srv(0, 1, 82, "b"), a="10.0.0.1")
    found = world.ask()
    assert world.lookup.asked == [("b", "V4_ONLY")]
    world.lookup.answer("10.0.0.2", ttl=5)
    assert found == [
        Answer(
            (
                Found("10.0.0.1", 30, 80, 1, 0, "a"),
                Found("10.0.0.2", 5, 81, 1, 0, "b"),
                Found("10.0.0.2", 5, 82, 1, 0, "b"),
            )
        )
    ]


def test_no_such_service() -> None:
    world = World(Srv(0, 0, 0, ""))
    assert world.ask() == [Answer()]
    assert not world.lookup.asked
    assert World().ask() == [Answer()]


def test_a_host_that_fails_keeps_its_addresses() -> None:
    world = World(Srv(0, 1, 80, "a"), Srv(0, 1, 80, "b"))
    found = world.ask()
    world.lookup.fail()
    world.lookup.answer("10.0.0.2")
    assert [each.host for each in found[0].found] == ["b"]
    assert found[0].missing == "a: TimeoutError"
    found = world.ask()
    world.lookup.answer("10.0.0.1")
    world.lookup.fail()
    assert [each.address for each in found[0].found] == ["10.0.0.1", "10.0.0.2"]
    assert found[0].missing == "b: TimeoutError"


def test_nothing_known_is_a_failure() -> None:
    world = World(Srv(0, 1, 80, "a"))
    found = world.ask()
    world.lookup.fail()
    assert isinstance(found[0], LookupFailed)
    world.lookup.services_of = LookupFailed("SERVFAIL")
    assert str(world.ask()[0]) == "SERVFAIL"


def test_not_all_hosts_at_once() -> None:
    world = World(*(Srv(0, 1, 80, f"h{n}") for n in range(AT_ONCE + 1)))
    found = world.ask()
    assert len(world.lookup.waiting) == AT_ONCE
    world.lookup.answer("10.0.0.1")
    assert len(world.lookup.waiting) == AT_ONCE
    while world.lookup.waiting:
        world.lookup.answer("10.0.0.2")
    assert len(found[0].found) == 2
