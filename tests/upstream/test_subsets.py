"""Subsets as hosts come, go and change.  Which subset a request gets is told by tests/parity/test_subsets.py."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from twistproxy.filters.balancer_context import RequestContext
from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, RingHashSettings
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint, Locality
from twistproxy.model.hash_policy import HeaderHash
from twistproxy.model.subsets import SubsetSelector, SubsetSettings
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.testing.requests import request_context
from twistproxy.upstream.cluster import Cluster

VERSION = SubsetSelector(("version",))


def wanting(values: Mapping[str, Any] | None, key: str = "") -> RequestContext:
    """A request with criteria, and maybe a hash."""
    return request_context(
        {"x-key": key} if key else {}, metadata_match=values, hash_policies=(HeaderHash("x-key"),)
    )


def endpoint(port: int, values: Mapping[str, Any] | None = None, **fields: Any) -> Endpoint:
    metadata = "" if values is None else json.dumps({"envoy.lb": values})
    return Endpoint(TcpAddress("10.0.0.1", port), metadata=metadata, **fields)


def version(port: int, number: str, **fields: Any) -> Endpoint:
    return endpoint(port, {"version": number}, **fields)


def made(
    *endpoints: Endpoint, selectors: tuple[SubsetSelector, ...] = (VERSION,), **settings: Any
) -> Cluster:
    clock = FakeClock()
    deadlines = Deadlines(clock.monotonic, clock.call_later)
    balancing = settings.pop("balancing", Balancing(hashing=settings.pop("hashing", None)))
    found = ClusterSettings(
        "app",
        replace(balancing, subsets=SubsetSettings(selectors, **settings)),
        endpoints=endpoints,
    )
    return Cluster(found, clock, FakeConnector(clock), deadlines, Random(1))


def ports(cluster: Cluster, values: Mapping[str, Any] | None) -> set[int]:
    found = [cluster.choose(wanting(values)) for _ in range(20)]
    return {host.address.port for host in found if host is not None}


def test_hosts_come_go_and_change_their_metadata() -> None:
    cluster = made(version(1, "a"), version(2, "b"))
    assert ports(cluster, {"version": "a"}) == {1}
    cluster.set_endpoints((version(1, "a"), version(2, "a"), version(3, "c")))
    assert ports(cluster, {"version": "a"}) == {1, 2}
    assert ports(cluster, {"version": "b"}) == set()
    assert ports(cluster, {"version": "c"}) == {3}
    stats = cluster.stats
    assert (stats.lb_subsets_created, stats.lb_subsets_removed, stats.lb_subsets_active) == (3, 1, 2)


def test_a_change_of_health_reaches_the_subset() -> None:
    cluster = made(*(version(port, "a") for port in (1, 2, 3)))
    cluster.set_endpoints((version(1, "a", health="UNHEALTHY"), version(2, "a"), version(3, "a")))
    assert ports(cluster, {"version": "a"}) == {2, 3}
    cluster.set_endpoints((version(1, "a"), version(2, "a"), version(3, "a")))
    assert ports(cluster, {"version": "a"}) == {1, 2, 3}


def test_a_change_elsewhere_leaves_a_subset_as_it_is() -> None:
    """Its turn goes on: the balancer is the same."""
    cluster = made(*(version(port, "a") for port in (1, 2, 3)))
    before = [cluster.choose(wanting({"version": "a"})) for _ in range(3)]
    cluster.choose(wanting({"version": "a"}))
    cluster.set_endpoints((*(version(port, "a") for port in (1, 2, 3)), version(4, "b")))
    assert cluster.choose(wanting({"version": "a"})) is before[1]


def test_the_panic_threshold_of_the_runtime() -> None:
    cluster = made(version(1, "a"), *(version(port, "a", health="UNHEALTHY") for port in (2, 3)))
    assert ports(cluster, {"version": "a"}) == {1, 2, 3}
    cluster.use_runtime(RuntimeValues({"upstream.healthy_panic_threshold": 0}))
    assert ports(cluster, {"version": "a"}) == {1}


def test_one_host_counts_whatever_its_health() -> None:
    selectors = (SubsetSelector(("version",), single=True),)
    first = version(1, "a", health="UNHEALTHY")
    cluster = made(first, version(2, "a"), version(3, "a", priority=1), selectors=selectors)
    assert ports(cluster, {"version": "a"}) == {1}
    cluster.set_endpoints((version(3, "a", priority=1), version(2, "a")))
    assert ports(cluster, {"version": "a"}) == {2}
    out = Snapshot()
    cluster.collect(out)
    assert out.gauges["cluster.app.lb_subsets_single_host_per_subset_duplicate"] == 0


def test_a_selector_within_one_before_it_has_no_fallback_of_its_own() -> None:
    """As in Envoy's tree of keys."""
    both = SubsetSelector(("stage", "version"), fallback="NO_FALLBACK")
    stage = SubsetSelector(("stage",), fallback="NO_FALLBACK")
    hosts = (endpoint(1, {"stage": "x", "version": "y"}),)
    cluster = made(*hosts, selectors=(both, stage), fallback="ANY_ENDPOINT")
    assert ports(cluster, {"stage": "none"}) == {1}
    cluster = made(*hosts, selectors=(stage, both), fallback="ANY_ENDPOINT")
    assert ports(cluster, {"stage": "none"}) == set()


def test_a_hash_within_a_subset() -> None:
    cluster = made(*(version(port, "ab"[port % 2]) for port in range(8)), hashing=RingHashSettings())
    wanted = {"version": "a"}
    found = [cluster.choose(wanting(wanted, str(value))) for value in range(40)]
    assert found == [cluster.choose(wanting(wanted, str(value))) for value in range(40)]
    assert {host.address.port % 2 for host in found if host is not None} == {0}
    assert cluster.chooser.own_policies is not None


def test_hosts_without_metadata_are_in_no_subset() -> None:
    cluster = made(endpoint(1), endpoint(2, {}), version(3, "a"), fallback="DEFAULT_SUBSET")
    assert ports(cluster, None) == {1, 2, 3}
    assert cluster.pick() is not None
    cluster = made(endpoint(1), version(3, "a"), fallback="DEFAULT_SUBSET", default={"version": "a"})
    assert ports(cluster, None) == {3}


def test_weights_of_localities_go_by_how_many_of_their_hosts_are_there() -> None:
    """Also when hosts come that are in no subset."""
    near, far = Locality("near"), Locality("far")

    def of(port: int, locality: Locality, number: str) -> Endpoint:
        return version(port, number, locality=locality, locality_weight=10)

    cluster = made(
        of(1, near, "a"),
        of(2, far, "a"),
        balancing=Balancing(locality_weighted=True),
        locality_weighted=True,
        scale_localities=True,
    )

    def share() -> float:
        found = [cluster.choose(wanting({"version": "a"})) for _ in range(100)]
        return sum(host is not None and host.address.port == 1 for host in found) / 100

    assert share() == 0.5
    others = [of(port, near, "b") for port in range(3, 12)]
    cluster.set_endpoints((of(1, near, "a"), of(2, far, "a"), *others))
    assert 0.05 <= share() <= 0.15
