from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.task import Clock

from twistproxy.discovery.dns import DnsDiscovery
from twistproxy.discovery.dns_lookup import Found, Services
from twistproxy.discovery.dns_wire import ServiceRecord as Srv
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import DnsSource, DnsTarget
from twistproxy.model.endpoint import Endpoint, Locality

from .fakes import FakeLookup, Log, Updates


class World(Updates):
    def __init__(self, *targets: DnsTarget, logical: bool = False, **options: Any) -> None:
        super().__init__("app")
        self.clock = Clock()
        self.lookup = FakeLookup()
        self.log = Log()
        source = DnsSource("app", logical, targets or (DnsTarget("app.test", 80),), **options)
        self.dns = DnsDiscovery(self.clock, source, self.lookup, self.updates, lambda: 0.5, self.log.logger)
        self.dns.start()

    def next_query(self) -> float:
        """Seconds until the next query."""
        (call,) = self.clock.getDelayedCalls()
        return round(call.getTime() - self.clock.seconds(), 3)

    def advance(self) -> None:
        self.clock.advance(self.next_query())


def test_strict_takes_every_address() -> None:
    world = World(family="ALL")
    assert world.lookup.asked == [("app.test", "ALL")]
    assert not world.resolved
    world.lookup.answer("10.0.0.1", "10.0.0.2", "fd00::1")
    assert world.addresses == ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]
    assert world.complete
    assert world.next_query() == 5.0


def test_what_a_target_says_goes_to_its_endpoints() -> None:
    world = World(
        DnsTarget("app.test", 80, 3, 1, Locality("r", "z", "s"), 7, health="DEGRADED", canary=True),
        DnsTarget("10.0.0.2", 81, hostname="two"),
    )
    world.lookup.answer("10.0.0.1")
    world.lookup.answer("10.0.0.2")
    assert world.endpoints == (
        Endpoint(TcpAddress("10.0.0.1", 80), 3, "app.test", "DEGRADED", 1, Locality("r", "z", "s"), 7, True),
        Endpoint(TcpAddress("10.0.0.2", 81), hostname="two"),
    )


def test_follows_changes_and_ignores_order() -> None:
    world = World()
    world.lookup.answer("10.0.0.1", "10.0.0.2")
    world.advance()
    world.lookup.answer("10.0.0.2", "10.0.0.1")
    assert world.changes == 1
    assert world.counted() == {"attempt": 2, "success": 2, "no_rebuild": 1}
    world.advance()
    world.lookup.answer("10.0.0.2", "10.0.0.3")
    assert world.addresses == ["10.0.0.2:80", "10.0.0.3:80"]


def test_strict_an_empty_answer_removes_the_hosts() -> None:
    world = World()
    world.lookup.answer("10.0.0.1")
    world.advance()
    world.lookup.answer()
    assert world.addresses == []
    assert world.next_query() == 5.0


def test_logical_takes_the_first_and_keeps_it_over_an_empty_answer() -> None:
    world = World(DnsTarget("app.test", 80, priority=3), logical=True)
    world.lookup.answer("10.0.0.2", "10.0.0.1")
    others = (TcpAddress("10.0.0.1", 80),)
    assert world.endpoints == (Endpoint(TcpAddress("10.0.0.2", 80), hostname="app.test", additional=others),)
    world.advance()
    world.lookup.answer()
    assert world.addresses == ["10.0.0.2:80"]
    assert world.counted()["failure"] == 1


def test_a_failure_keeps_the_hosts() -> None:
    world = World()
    world.lookup.answer("10.0.0.1")
    world.advance()
    world.lookup.fail("ServerError")
    assert world.addresses == ["10.0.0.1:80"]
    assert world.counted() == {"attempt": 2, "success": 1, "failure": 1}
    assert world.next_query() == 5.0
    assert "cannot resolve app.test: ServerError" in world.log.lines[-1]


def test_repeated_failures_are_logged_once() -> None:
    world = World()
    for _ in range(3):
        world.lookup.fail()
        world.advance()
    assert len(world.log.lines) == 1
    assert world.log.failures == 0


def test_a_bug_is_logged_as_one_and_tried_again() -> None:
    world = World()
    world.lookup.waiting.pop()[1].errback(ZeroDivisionError())
    assert world.log.failures == 1
    assert world.next_query() == 5.0


def test_failure_refresh_rate_backs_off_and_starts_again() -> None:
    world = World(failure_refresh_rate=(1.0, 3.0))
    delays = []
    for _ in range(4):
        world.lookup.fail()
        delays.append(world.next_query())
        world.advance()
    assert delays == [0.5, 1.0, 1.5, 1.5]
    world.lookup.answer("10.0.0.1")
    assert world.next_query() == 5.0
    world.advance()
    world.lookup.fail()
    assert world.next_query() == 0.5


@pytest.mark.parametrize(("respect", "ttl", "delay"), [(True, 30, 30.0), (True, 0, 5.0), (False, 30, 5.0)])
def test_ttl(respect: bool, ttl: int, delay: float) -> None:
    world = World(respect_dns_ttl=respect)
    world.lookup.answer("10.0.0.1", ttl=ttl)
    assert world.next_query() == delay


def test_jitter() -> None:
    world = World(jitter=2.0, refresh_rate=10.0)
    world.lookup.answer("10.0.0.1")
    assert world.next_query() == 11.0


def test_one_failing_target_does_not_hold_up_another_but_is_missed() -> None:
    world = World(DnsTarget("a.test", 80), DnsTarget("b.test", 80))
    world.lookup.answer("10.0.0.1")
    assert (world.addresses, world.complete) == (["10.0.0.1:80"], False)
    world.lookup.fail()
    assert (world.addresses, world.complete) == (["10.0.0.1:80"], False)
    world.clock.advance(5)
    world.lookup.answer("10.0.0.1")
    world.lookup.answer("10.0.0.2")
    assert (world.addresses, world.complete) == (["10.0.0.1:80", "10.0.0.2:80"], True)


def test_no_targets_is_an_empty_cluster() -> None:
    source = DnsSource("app", False, ())
    world = Updates("app")
    DnsDiscovery(Clock(), source, FakeLookup(), world.updates, lambda: 0.5, Log().logger).start()
    assert (world.resolved, world.addresses) == (True, [])


def test_stop() -> None:
    world = World()
    world.dns.stop()
    world.lookup.answer("10.0.0.1")
    assert not world.resolved
    assert not world.clock.getDelayedCalls()
    world = World()
    world.lookup.answer("10.0.0.1")
    world.dns.stop()
    assert not world.clock.getDelayedCalls()


def test_a_service_has_ports_weights_and_priorities_of_its_own() -> None:
    world = World(DnsTarget("_http._tcp.test", 0, weight=2, priority=3, service=True))
    # Nothing known yet: an answer without records.
    assert (world.endpoints, world.complete) == ((), True)
    world.lookup.services_of = Services(
        (Srv(5, 3, 80, "a"), Srv(9, 1, 81, "a")), 30, {"a": (Found("10.0.0.1", 60),)}
    )
    world.advance()
    assert world.endpoints == (
        Endpoint(TcpAddress("10.0.0.1", 80), 6, "a", priority=3),
        Endpoint(TcpAddress("10.0.0.1", 81), 2, "a", priority=4),
    )


def test_a_logical_service_stays_with_its_host_as_long_as_it_can() -> None:
    world = World(DnsTarget("_http._tcp.test", 0, service=True), logical=True)

    def answers(*records: Srv) -> str:
        hosts = {record.target: (Found(f"10.0.0.{record.target}", 60),) for record in records}
        world.lookup.services_of = Services(records, 30, hosts)
        world.advance()
        [endpoint] = world.endpoints
        assert len(endpoint.additional) == len(records) - 1
        return str(endpoint.address)

    # By weight: half of the sum lies in the second.
    assert answers(Srv(0, 1, 80, "1"), Srv(0, 4, 80, "2"), Srv(1, 9, 80, "3")) == "10.0.0.2:80"
    assert answers(Srv(0, 9, 80, "1"), Srv(0, 1, 80, "2")) == "10.0.0.2:80"
    assert answers(Srv(0, 9, 80, "1"), Srv(1, 1, 80, "2")) == "10.0.0.1:80"


def test_a_service_of_which_a_host_is_missing_is_asked_for_again_soon() -> None:
    world = World(DnsTarget("_http._tcp.test", 0, service=True), failure_refresh_rate=(1.0, 3.0))
    world.lookup.services_of = Services((Srv(0, 1, 80, "a"), Srv(0, 1, 80, "b")), 30)
    world.advance()
    world.lookup.answer("10.0.0.1")
    world.lookup.fail()
    assert world.addresses == ["10.0.0.1:80"]
    assert world.next_query() == 0.5
    assert "b: TimeoutError" in world.log.lines[-1]


def test_two_targets_with_one_address_share_an_endpoint() -> None:
    world = World(DnsTarget("a.test", 80, 2), DnsTarget("b.test", 80, 3), DnsTarget("c.test", 80, priority=1))
    for _ in range(3):
        world.lookup.answer("10.0.0.1")
    assert world.endpoints == (Endpoint(TcpAddress("10.0.0.1", 80), 5, "a.test"),)


def test_not_waited_for() -> None:
    world = World(wait=False)
    assert world.resolved
    assert not world.complete


def test_what_fails_after_the_end_is_no_news() -> None:
    """A resolver that is closed fails what it was asked."""
    world = World()
    world.dns.stop()
    world.lookup.fail("closed")
    assert world.log.lines == []
    assert world.counted() == {"attempt": 1}
    assert not world.clock.getDelayedCalls()
