"""What the health of hosts does to their connections, and what is told to discovery."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Any

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.discovery import StaticSource
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import FAILED_ACTIVE_HC, FAILED_EDS_HEALTH, FAILED_OUTLIER_CHECK
from twistproxy.model.health_check import ClusterChecks, HealthCheckSettings, HttpCheck, Intervals
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.upstream.cluster import Cluster

A, B = (Endpoint(TcpAddress(f"10.0.0.{number}", 80)) for number in (1, 2))
CHECKS = ClusterChecks(
    "app", "app", HealthCheckSettings(HttpCheck("/"), 1.0, Intervals(1.0, 1.0, 1.0, 1.0), 1, 1)
)


class Said:
    def __init__(self) -> None:
        self.words: list[tuple[str, dict[str, Any]]] = []

    def say(self, about: str, facts: dict[str, Any]) -> bool:
        self.words.append((about, facts))
        return True


def cluster(said: Said | None = None, **settings: Any) -> Cluster:
    clock = FakeClock()
    settings = {"source": StaticSource("app", (A, B)), "health_checks": CHECKS, **settings}
    found = Cluster(
        ClusterSettings("app", **settings),
        clock,
        FakeConnector(clock),
        Deadlines(clock.monotonic, clock.call_later),
        Random(1),
        say=None if said is None else said.say,
    )
    found.set_endpoints((A, B))
    return found


@pytest.mark.parametrize("flag", [FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK])
def test_the_connections_of_a_host_that_fails_take_no_further_requests(flag: int) -> None:
    found = cluster()
    first, second = found.hosts.values()
    before = found.pool(first, False), found.pool(second, False)
    found.set_endpoints((replace(A, flags=flag), B))
    assert found.pool(first, False) is not before[0]
    assert found.pool(second, False) is before[1]
    again = found.pool(first, False)
    found.set_endpoints((replace(A, flags=flag, weight=2), B))
    assert found.pool(first, False) is again
    found.set_endpoints((A, B))
    assert found.pool(first, False) is again


def test_what_discovery_says_of_its_health_does_not_close_connections() -> None:
    found = cluster()
    (first, _) = found.hosts.values()
    before = found.pool(first, False)
    found.set_endpoints((replace(A, health="UNHEALTHY", flags=FAILED_EDS_HEALTH), B))
    assert found.pool(first, False) is before


@pytest.mark.parametrize("close", [False, True])
def test_all_connections_may_go_when_hosts_come_or_go(close: bool) -> None:
    found = cluster(close_on_change=close)
    (first, _) = found.hosts.values()
    before = found.pool(first, False)
    found.set_endpoints((replace(A, weight=3), B))
    assert found.pool(first, False) is before
    found.set_endpoints((A,))
    assert (found.pool(first, False) is before) is not close


def test_traffic_is_told_once() -> None:
    said = Said()
    found = cluster(said)
    found.discovery_there()
    assert said.words == []
    for host in found.hosts.values():
        found.pool(host, False)
        found.tcp_pool(host, True)
    assert said.words == [("traffic", {"cluster": "app"})]
    found.discovery_there()
    assert said.words == [("traffic", {"cluster": "app"})] * 2


def test_without_checks_nothing_is_told() -> None:
    said = Said()
    found = cluster(said, health_checks=None)
    (host, _) = found.hosts.values()
    found.pool(host, False)
    found.discovery_there()
    assert said.words == []
    assert not found.checked


def test_a_host_that_asks_for_no_more() -> None:
    said = Said()
    found = cluster(said)
    (host, _) = found.hosts.values()
    found.told_unhealthy(host)
    assert said.words == [("unhealthy", {"cluster": "app", "address": ["10.0.0.1", 80]})]
