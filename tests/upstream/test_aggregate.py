"""Aggregate clusters: which cluster's host is chosen, as the clusters change."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, OverrideSource
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.subsets import SubsetSelector, SubsetSettings
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.testing.requests import request_context, retry_context
from twistproxy.upstream.cluster import Cluster


def endpoint(port: int, priority: int = 0, health: str = "UNKNOWN") -> Endpoint:
    return Endpoint(TcpAddress("10.0.0.1", port), priority=priority, health=health)


class World:
    """The cluster "all" of clusters that are named by letters."""

    def __init__(self, names: str, **endpoints: tuple[Endpoint, ...]) -> None:
        self._clock = FakeClock()
        self.clusters = {
            name: self.made(ClusterSettings(name, endpoints=found)) for name, found in endpoints.items()
        }
        self.all = self.made(ClusterSettings("all", aggregate=tuple(names)))

    def made(self, settings: ClusterSettings) -> Cluster:
        deadlines = Deadlines(self._clock.monotonic, self._clock.call_later)
        connector = FakeConnector(self._clock)
        return Cluster(
            settings, self._clock, connector, deadlines, Random(1), get=lambda name: self.clusters.get(name)
        )

    def reached(self, count: int = 50) -> list[int]:
        return sorted({host.address.port for _ in range(count) if (host := self.all.pick()) is not None})


def test_the_first_that_is_well() -> None:
    world = World("xabc", a=(), b=(endpoint(1, health="UNHEALTHY"), endpoint(2, 1)), c=(endpoint(3),))
    assert world.reached() == [2]
    assert World("x").reached() == []


def test_a_degraded_host_of_a_member() -> None:
    world = World(
        "ab",
        a=(endpoint(1, health="UNHEALTHY"),),
        b=(endpoint(2, health="DEGRADED"), endpoint(3, 1, "UNHEALTHY")),
    )
    assert world.reached() == [2]


def test_members_change() -> None:
    world = World("ab", a=(endpoint(1),), b=(endpoint(2),))
    assert world.reached() == [1]
    world.clusters["a"].set_endpoints((endpoint(1, health="UNHEALTHY"),))
    assert world.reached() == [2]
    world.clusters["a"] = world.made(ClusterSettings("a", endpoints=(endpoint(5),)))
    assert world.reached() == [5]
    del world.clusters["a"]
    assert world.reached() == [2]


def test_the_panic_threshold_of_the_runtime() -> None:
    world = World(
        "ab", a=(endpoint(1, health="UNHEALTHY"), endpoint(2)), b=(endpoint(3, health="UNHEALTHY"),)
    )
    assert world.reached() == [2]
    for cluster in (world.all, *world.clusters.values()):
        cluster.use_runtime(RuntimeValues({"upstream.healthy_panic_threshold": 100}))
    assert world.reached() == [1, 2, 3]


def test_each_host_has_the_pools_of_its_cluster() -> None:
    world = World("ab", a=(endpoint(1),), b=(endpoint(2),))
    host = world.all.pick()
    assert host is not None
    assert world.all.of(host) is world.clusters["a"]
    pool = world.all.pool(host, False)
    assert pool is not None and pool.stats is world.clusters["a"].stats
    assert world.all.pool(host, False) is pool
    tunnel = world.all.tcp_pool(host, True)
    assert tunnel is not None and tunnel.limits is world.clusters["a"].limits[1]


def test_retries_at_other_priorities() -> None:
    """Two clusters may have a priority of one number."""
    world = World("ab", a=(endpoint(1), endpoint(2, 1)), b=(endpoint(3),))
    context = retry_context(priority_updates=1)
    ports = []
    for _ in range(4):
        host = world.all.choose(context)
        assert host is not None
        context.tried(host)
        ports.append(host.address.port)
    assert ports == [1, 2, 3, 1]


def test_turns_of_a_member_go_on() -> None:
    world = World("a", a=tuple(endpoint(port) for port in range(3)))
    hosts = [world.all.pick() for _ in range(30)]
    assert set(Counter(hosts).values()) == {10}


def test_an_aggregate_within_has_no_hosts() -> None:
    world = World("all", l=(endpoint(1),))
    world.clusters["a"] = world.made(ClusterSettings("a", aggregate=("b",)))
    world.clusters["b"] = world.made(ClusterSettings("b", endpoints=(endpoint(2),)))
    assert world.reached() == [1]


def test_a_subset_without_a_host_of_the_priority() -> None:
    """The priority is chosen from all hosts of the member, of which the subset may have some only."""
    world = World("")
    subsets = SubsetSettings((SubsetSelector(("v",)),))
    near, far = (
        Endpoint(TcpAddress("10.0.0.1", port), metadata=f'{{"envoy.lb": {{"v": {port}}}}}', priority=port - 1)
        for port in (1, 2)
    )
    near = replace(near, health="UNHEALTHY")
    world.clusters["a"] = world.made(
        ClusterSettings("a", balancing=Balancing(subsets=subsets), endpoints=(near, far))
    )
    world.all = world.made(ClusterSettings("all", aggregate=("a",)))
    assert world.all.choose(request_context(metadata_match={"v": 1})) is None
    found = world.all.choose(request_context(metadata_match={"v": 2}))
    assert found is not None and found.endpoint == far


def test_what_a_request_wants_of_a_member_is_wanted_once() -> None:
    """The next attempt goes to the next of the hosts that it names, as without an aggregate cluster."""
    world = World("")
    wishes = Balancing(overrides=(OverrideSource("x-hosts"),))
    hosts = tuple(endpoint(port) for port in range(1, 5))
    world.clusters["a"] = world.made(ClusterSettings("a", balancing=wishes, endpoints=hosts))
    world.all = world.made(ClusterSettings("all", aggregate=("a",)))
    request = request_context({"x-hosts": "10.0.0.1:3,10.0.0.1:2"})
    found = [world.all.choose(request), world.all.choose(request)]
    assert [host.endpoint for host in found if host is not None] == [hosts[2], hosts[1]]
