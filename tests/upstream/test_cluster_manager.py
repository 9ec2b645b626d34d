"""What a reload does to clusters that carry requests."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, LeastRequestSettings, ZoneAwareSettings
from twistproxy.model.cluster import ClusterSettings, Thresholds
from twistproxy.model.discovery import StaticSource
from twistproxy.model.endpoint import Endpoint, EndpointSet, Locality
from twistproxy.model.subsets import SubsetSelector, SubsetSettings
from twistproxy.primitives.board import Board, WorkerBoard
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.testing.data_plane import UPSTREAM
from twistproxy.upstream.cluster_manager import ClusterManager

APP = ClusterSettings("app", endpoints=(Endpoint(UPSTREAM),), default_thresholds=Thresholds(max_requests=2))


def manager_of(board: WorkerBoard) -> ClusterManager:
    clock = FakeClock()
    deadlines = Deadlines(clock.monotonic, clock.call_later)
    return ClusterManager(clock, FakeConnector(clock), deadlines, Random(1), RuntimeValues(), board)


def test_what_a_changed_cluster_had_in_use_still_counts() -> None:
    manager = manager_of(WorkerBoard())
    manager.apply([APP])
    before = manager.get("app")
    assert before is not None
    before.limits[0].count_requests(2)
    manager.apply([replace(APP, default_thresholds=Thresholds(max_requests=3))])
    after = manager.get("app")
    assert after is not None
    assert after is not before
    assert not after.limits[0].requests_full()
    after.limits[0].count_requests(1)
    assert after.limits[0].requests_full()
    before.limits[0].count_requests(-2)
    assert after.limits[0].in_use() == (0, 0, 1, 0)


def test_workers_count_together() -> None:
    board = Board(2)
    board.use_columns(2)
    workers = [WorkerBoard(board), WorkerBoard(board)]
    clusters = []
    for column, worker in enumerate(workers):
        worker.use(column, {"app": 1})
        manager = manager_of(worker)
        manager.apply([APP])
        cluster = manager.get("app")
        assert cluster is not None
        clusters.append(cluster)
    for cluster in clusters:
        assert not cluster.limits[0].requests_full()
        cluster.limits[0].count_requests(1)
    assert all(cluster.limits[0].requests_full() for cluster in clusters)
    assert not any(cluster.limits[1].requests_full() for cluster in clusters)


def endpoint(port: int, zone: str) -> Endpoint:
    return Endpoint(TcpAddress("10.0.0.1", port), locality=Locality(zone=zone))


def test_the_local_cluster_says_what_is_near() -> None:
    """Its hosts may come later, and it may not be there after a reload."""
    near, far = endpoint(1, "a"), endpoint(2, "b")
    zones = ZoneAwareSettings(min_cluster_size=2)
    app = ClusterSettings("app", Balancing(zone_aware=zones), endpoints=(near, far))
    home = ClusterSettings("home", Balancing(zone_aware=zones), source=StaticSource("home", ()))
    manager = manager_of(WorkerBoard())

    def asked(name: str = "app") -> set[str]:
        cluster = manager.get(name)
        assert cluster is not None
        found = [cluster.pick() for _ in range(6)]
        return {host.endpoint.locality.zone for host in found if host is not None}

    manager.apply([app, home], "home", Locality(zone="a"))
    assert asked() == {"a", "b"}
    manager.update_endpoints(EndpointSet("home", (near, far), 1))
    assert asked() == {"a"}
    assert asked("home") == {"a", "b"}  # it does not apply to itself
    manager.apply([app, home], "home", Locality(zone="b"))
    assert asked() == {"b"}
    manager.apply([app, home])
    assert asked() == {"a", "b"}


def test_workers_compare_what_all_of_them_have_asked() -> None:
    board = Board(2)
    board.use_columns(2)
    first, second = (replace(endpoint(port, ""), row=board.host_rows[port]) for port in (1, 2))
    settings = LeastRequestSettings(full_scan=True)
    app = ClusterSettings("app", Balancing("LEAST_REQUEST", settings), source=StaticSource("app", ()))
    clusters = []
    for column in (0, 1):
        worker = WorkerBoard(board)
        worker.use(column, {"app": 1})
        manager = manager_of(worker)
        manager.apply([app])
        manager.update_endpoints(EndpointSet("app", (first, second), 1))
        cluster = manager.get("app")
        assert cluster is not None
        clusters.append(cluster)
    asked = []
    for number in range(10):
        host = clusters[number % 2].pick()
        assert host is not None
        host.begin_request()
        asked.append(host.endpoint.address.port)
    assert sorted(asked) == [1] * 5 + [2] * 5
    assert all(sorted(pair) == [1, 2] for pair in zip(asked[::2], asked[1::2]))


def test_pools_of_their_own_kind_count_where_the_breaker_of_the_cluster_does() -> None:
    """After a reload, too: the breaker is that of the former cluster then."""
    settings = ClusterSettings("app", endpoints=(Endpoint(UPSTREAM),), preconnect_ratio=1.5)
    manager = manager_of(WorkerBoard())
    manager.apply([settings])
    manager.apply([replace(settings, connect_timeout=1.0)])
    cluster = manager.get("app")
    assert cluster is not None
    (host,) = cluster.hosts.values()
    pool = cluster.pool(host, False)
    assert pool is not None
    assert pool.limits is cluster.limits[0]


def test_what_a_cluster_has_in_use_counts_when_it_comes_back() -> None:
    board = Board(2)
    board.use_columns(2)
    worker = WorkerBoard(board)
    worker.use(0, {"app": 1})
    manager = manager_of(worker)
    manager.apply([APP])
    gone = manager.get("app")
    assert gone is not None
    gone.limits[0].count_requests(1)
    manager.apply([])
    manager.apply([APP])
    back = manager.get("app")
    assert back is not None
    back.limits[0].count_requests(1)
    assert back.limits[0].requests_full()
    gone.limits[0].count_requests(-1)
    assert board.total(1, 2) == 1


def test_a_cluster_that_comes_back_later_counts_from_zero() -> None:
    manager = manager_of(WorkerBoard())
    manager.apply([APP])
    gone = manager.get("app")
    assert gone is not None
    manager.apply([])
    manager.apply([])
    manager.apply([APP])
    back = manager.get("app")
    assert back is not None
    assert back.counts is not gone.counts


def test_subsets_of_a_changed_cluster_count_once() -> None:
    settings = ClusterSettings(
        "app",
        Balancing(subsets=SubsetSettings((SubsetSelector(("v",)),))),
        endpoints=(Endpoint(UPSTREAM, metadata='{"envoy.lb": {"v": 1}}'),),
    )
    manager = manager_of(WorkerBoard())
    manager.apply([settings])
    manager.apply([replace(settings, connect_timeout=1.0)])
    cluster = manager.get("app")
    assert cluster is not None
    stats = cluster.stats
    assert (stats.lb_subsets_active, stats.lb_subsets_created, stats.lb_subsets_removed) == (1, 2, 1)
