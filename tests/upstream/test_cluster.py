"""Changes of a cluster's endpoints."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.discovery import EdsFileSource
from twistproxy.model.endpoint import Endpoint, EndpointChanges
from twistproxy.observe.stats import Scope, Snapshot
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.upstream.cluster import Cluster


def host(port: int, weight: int = 1, priority: int = 0) -> Endpoint:
    return Endpoint(TcpAddress("10.0.0.1", port), weight=weight, priority=priority)


def make() -> Cluster:
    clock = FakeClock()
    timeouts = Deadlines(clock.monotonic, clock.call_later)
    source = EdsFileSource("app", "", "/eds.yaml")
    return Cluster(ClusterSettings("app", source=source), clock, FakeConnector(clock), timeouts, Random(1))


def picked(cluster: Cluster) -> set[str]:
    found = [cluster.pick() for _ in range(3 * len(cluster.hosts))]
    return {host.address_text for host in found if host is not None}


def test_hosts_that_stay_are_the_same_objects_and_others_are_picked() -> None:
    cluster = make()
    cluster.set_endpoints((host(1), host(2), host(3)))
    first, second = cluster.hosts[host(1).address], cluster.hosts[host(2).address]
    cluster.change_endpoints(EndpointChanges("app", 2, (host(2, 7),), ((1, host(4)),), (host(3).address,)))
    hosts = list(cluster.hosts.values())
    assert hosts[0] is first
    assert hosts[2] is second
    assert second.weight == 7
    assert picked(cluster) == {"10.0.0.1:1", "10.0.0.1:2", "10.0.0.1:4"}


def test_pools_of_hosts_that_are_gone_drain() -> None:
    cluster = make()
    cluster.set_endpoints((host(1), host(2)))
    pool = cluster.pool(cluster.hosts[host(1).address], False)
    cluster.change_endpoints(EndpointChanges("app", 2, removed=(host(1).address,)))
    assert pool._draining


def test_membership_changes_count_for_each_priority_with_new_or_gone_hosts() -> None:
    cluster = make()
    cluster.set_endpoints((host(1), host(2, priority=1)))
    assert cluster.stats.membership_change == 2
    cluster.change_endpoints(EndpointChanges("app", 2, changed=(host(1, 5),)))
    assert cluster.stats.membership_change == 2
    cluster.change_endpoints(EndpointChanges("app", 3, added=((2, host(3)),), removed=(host(1).address,)))
    assert cluster.stats.membership_change == 3
    cluster.change_endpoints(EndpointChanges("app", 4, changed=(host(3, priority=1),)))
    assert cluster.stats.membership_change == 5


def collected(cluster: Cluster, scope: Scope) -> Snapshot:
    out = Snapshot(scope)
    cluster.collect(out)
    return out


def test_only_hosts_that_were_used_are_told_unless_all_are_asked_for() -> None:
    cluster = make()
    cluster.set_endpoints((host(1), host(2, 3), host(3)))
    cluster.pool(cluster.hosts[host(2).address], False)
    for scope in ("counts", "figures"):
        assert [one["address"] for one in collected(cluster, scope).hosts["app"]] == ["10.0.0.1:2"]
    assert len(collected(cluster, "hosts").hosts["app"]) == 3
    cluster.change_endpoints(EndpointChanges("app", 2, removed=(host(2).address,)))
    assert "app" not in collected(cluster, "counts").hosts


def test_membership_is_told_as_it_is_after_a_change() -> None:
    cluster = make()
    cluster.set_endpoints((host(1), host(2, 3)))
    assert collected(cluster, "figures").gauges["cluster.app.membership_total"] == 2
    assert collected(cluster, "figures").gauges["cluster.app.max_host_weight"] == 3
    out = replace(host(2), health="UNHEALTHY")
    cluster.change_endpoints(EndpointChanges("app", 2, changed=(out,), added=((2, host(3)),)))
    gauges = collected(cluster, "figures").gauges
    assert gauges["cluster.app.membership_total"] == 3
    assert gauges["cluster.app.membership_healthy"] == 2
    assert gauges["cluster.app.max_host_weight"] == 1


_ENDPOINTS = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 2), st.integers(0, 1)), unique_by=lambda one: one[0]
)


@settings(deadline=None)
@given(st.lists(_ENDPOINTS, min_size=1, max_size=12))
def test_changes_lead_where_the_whole_leads(states: list[list[tuple[int, int, int]]]) -> None:
    store = EndpointStore(lambda cluster: None)
    store.declare("app")
    store.publish("app", (host(*one) for one in states[0]))
    by_changes, whole = make(), make()
    found = store.get("app")
    assert found is not None
    by_changes.set_endpoints(found.endpoints)
    for state in states:
        before = store.versions()["app"]
        store.publish("app", (host(*one) for one in state))
        found = store.get("app")
        assert found is not None
        whole.set_endpoints(found.endpoints)
        changes = store.changes("app", before)
        if changes is None:
            by_changes.set_endpoints(found.endpoints)
        else:
            by_changes.change_endpoints(changes)
        assert [h.endpoint for h in by_changes.hosts.values()] == list(found.endpoints)
        assert [h.endpoint for h in whole.hosts.values()] == list(found.endpoints)
        assert picked(by_changes) == picked(whole)
