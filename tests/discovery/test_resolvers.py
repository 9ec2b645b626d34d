"""Resolvers that clusters share."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from twistproxy.discovery.dns_lookup import Answer, DnsLookup, Found
from twistproxy.discovery.resolvers import Resolvers
from twistproxy.discovery.system_lookup import SystemLookup
from twistproxy.model.discovery import CaresResolver, SystemResolver


class Stopped(Clock):
    """A reactor that is asked for nothing."""


def resolvers() -> Resolvers:
    return Resolvers(Stopped(), lambda: 0.5, {}.__getitem__)


def test_equal_settings_share_a_resolver() -> None:
    made = resolvers()
    first = made.get(CaresResolver(tries=1))
    assert isinstance(first, DnsLookup)
    assert made.get(CaresResolver(tries=1)) is first
    assert made.get(CaresResolver(tries=2)) is not first


def test_what_nobody_wants_is_closed_and_made_anew_when_it_is_wanted() -> None:
    made = resolvers()
    system = made.get(SystemResolver())
    assert isinstance(system, SystemLookup)
    kept = made.get(CaresResolver())
    made.keep({CaresResolver()})
    assert made.get(CaresResolver()) is kept
    assert made.get(SystemResolver()) is not system
    made.keep(())


def test_statistics_are_those_of_all_and_only_of_cares() -> None:
    made = resolvers()
    made.get(SystemResolver())
    assert made.snapshot() == {"counters": {}, "gauges": {}}
    found: list[Any] = []
    for tries in (1, 2):
        made.get(CaresResolver(tries=tries))("127.0.0.1", "V4_ONLY").addCallback(found.append)
    assert found == [Answer((Found("127.0.0.1"),))] * 2
    snapshot = made.snapshot()
    assert snapshot["gauges"] == {"dns.cares.pending_resolutions": 0}
    assert {name.rpartition(".")[2]: value for name, value in snapshot["counters"].items()} == {
        "resolve_total": 2,
        "not_found": 0,
        "get_addr_failure": 0,
        "timeouts": 0,
        "reinits": 0,
    }
    made.keep(())
