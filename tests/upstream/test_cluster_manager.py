"""What a reload does to clusters that carry requests."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from twistproxy.model.cluster import ClusterSettings, Thresholds
from twistproxy.model.endpoint import Endpoint
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
