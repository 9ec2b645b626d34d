"""Which hosts retries go to."""

from __future__ import annotations

import json
from dataclasses import replace
from random import Random
from typing import Any

from twistproxy.filters.retry_hosts import RetryContext
from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.metadata_match import labels
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.testing.requests import retry_context
from twistproxy.upstream.choosers.priorities import PriorityChooser
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host


def made(*endpoints: Endpoint) -> Cluster:
    clock = FakeClock()
    deadlines = Deadlines(clock.monotonic, clock.call_later)
    settings = ClusterSettings("app", endpoints=endpoints)
    return Cluster(settings, clock, FakeConnector(clock), deadlines, Random(1))


def endpoint(number: int, priority: int = 0, canary: bool = False, health: str = "UNKNOWN") -> Endpoint:
    return Endpoint(TcpAddress("10.0.0.1", number), priority=priority, canary=canary, health=health)


def context(**policy: Any) -> RetryContext:
    """Of a retry."""
    made = retry_context(**policy)
    made.begin_retry()
    return made


def pick(choice: RetryContext, cluster: Cluster) -> Host:
    host = cluster.choose(choice)
    assert host is not None
    return host


def test_hosts_that_were_tried_are_left_out_as_long_as_there_are_others() -> None:
    cluster = made(*(endpoint(number) for number in range(1, 4)))
    choice = context(other_hosts=True, host_attempts=5)
    tried = []
    for _ in range(3):
        host = pick(choice, cluster)
        choice.tried(host)
        tried.append(host.address.port)
    assert sorted(tried) == [1, 2, 3]
    assert pick(choice, cluster).address.port in tried


def test_canaries_are_left_out() -> None:
    cluster = made(endpoint(1, canary=True), endpoint(2))
    choice = context(no_canaries=True, host_attempts=3)
    assert {pick(choice, cluster).address.port for _ in range(10)} == {2}


def test_hosts_with_certain_metadata_are_left_out() -> None:
    def with_state(number: int, state: object) -> Endpoint:
        return replace(endpoint(number), metadata=json.dumps({"envoy.lb": {"state": state, "zone": 1}}))

    cluster = made(
        with_state(1, "old"),
        with_state(2, ["new", "old"]),
        with_state(3, ["new"]),
        with_state(4, 1),
        endpoint(5),
    )
    choice = context(no_labels=labels({"state": "old", "zone": 1}), host_attempts=10)
    assert {pick(choice, cluster).address.port for _ in range(20)} == {3, 4, 5}


def test_priorities_in_turn() -> None:
    cluster = made(endpoint(1), endpoint(2, 1), endpoint(3, 2))
    choice = context(priority_updates=1)
    ports = []
    for _ in range(5):
        host = pick(choice, cluster)
        choice.tried(host)
        ports.append(host.address.port)
    assert ports == [1, 2, 3, 1, 2]


def test_priorities_after_every_other_attempt() -> None:
    cluster = made(endpoint(1), endpoint(2, 1))
    choice = context(priority_updates=2)
    ports = []
    for _ in range(4):
        host = pick(choice, cluster)
        choice.tried(host)
        ports.append(host.address.port)
    assert ports == [1, 1, 2, 2]


def test_a_priority_without_a_usable_host_is_none() -> None:
    cluster = made(endpoint(1), endpoint(2, 1, health="UNHEALTHY"))
    choice = context(priority_updates=1)
    choice.tried(pick(choice, cluster))
    assert pick(choice, cluster).address.port == 1
    assert isinstance(cluster.chooser, PriorityChooser)
    assert not cluster.chooser.has_others(frozenset((0,)))


def test_other_priorities_after_a_change_of_hosts() -> None:
    cluster = made(endpoint(1), endpoint(2, 1))
    choice = context(priority_updates=1)
    choice.tried(pick(choice, cluster))
    assert pick(choice, cluster).address.port == 2
    cluster.set_endpoints((endpoint(1), endpoint(3, 1)))
    assert pick(choice, cluster).address.port == 3
