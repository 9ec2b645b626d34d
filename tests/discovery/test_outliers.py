"""Outlier detection of several clusters over a store of endpoints: reloads, endpoints that come and go, restarts."""

from __future__ import annotations

from typing import Any

from twistproxy.discovery.outliers import OutlierDetection, OutlierPlan
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK
from twistproxy.model.outlier import CONSECUTIVE_5XX, OutlierSettings
from twistproxy.primitives.board import Board, HostRows
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock

SETTINGS = OutlierSettings(max_ejection_percent=100)


def host(number: int, weight: int = 1) -> Endpoint:
    return Endpoint(TcpAddress("10.0.0.1", number), weight)


class World:
    def __init__(self) -> None:
        self.board = Board(1)
        self.clock = FakeClock()
        self.begin()

    def begin(self) -> None:
        """A discovery process starts."""
        self.changed: list[str] = []
        self.store = EndpointStore(self.changed.append)
        self.detection = OutlierDetection(
            self.clock, lambda: 0.5, HostRows(self.board), self.store, RuntimeValues(), lambda line: None
        )
        self.store.watcher = self.detection
        for name in ("one", "two"):
            self.store.declare(name)

    def configure(self, *clusters: str, settings: OutlierSettings = SETTINGS) -> None:
        names = [ClusterSettings(name, outlier=settings, stat_name=f"{name}_stat") for name in clusters]
        self.detection.configure(OutlierPlan.of([*names, ClusterSettings("three")]))

    def fail(self, cluster: str, number: int) -> None:
        row = self.endpoint(cluster, number).row
        self.detection.heard({"cluster": cluster, "row": row, "kind": CONSECUTIVE_5XX, "total": 5})

    def endpoint(self, cluster: str, number: int) -> Endpoint:
        found = self.store.get(cluster)
        assert found is not None
        return next(one for one in found.endpoints if getattr(one.address, "port", 0) == number)

    def flags(self, cluster: str) -> list[int]:
        found = self.store.get(cluster)
        assert found is not None
        return [endpoint.flags for endpoint in found.endpoints]

    def snapshot(self) -> dict[str, Any]:
        out: dict[str, Any] = {"counters": {}, "gauges": {}}
        self.detection.collect(out)
        return out


def test_each_host_of_each_cluster_has_a_row() -> None:
    world = World()
    world.configure("one", "two")
    world.store.publish("one", [host(1), host(2)])
    world.store.publish("two", [host(1)])
    rows = {world.endpoint("one", 1).row, world.endpoint("one", 2).row, world.endpoint("two", 1).row}
    assert len(rows) == 3
    assert min(rows) > 0
    world.fail("one", 1)
    assert (world.flags("one"), world.flags("two")) == ([FAILED_OUTLIER_CHECK, 0], [0])
    world.detection.heard({"cluster": "gone", "row": 1, "kind": 0, "total": 5})


def test_an_update_of_the_endpoints_leaves_flags_and_rows() -> None:
    world = World()
    world.configure("one")
    world.store.publish("one", [host(1), host(2)])
    world.fail("one", 1)
    world.store.set_flags("one", {host(1).address: FAILED_ACTIVE_HC}, FAILED_ACTIVE_HC)
    rows = [world.endpoint("one", number).row for number in (1, 2)]
    version = world.store.versions()["one"]
    world.store.publish("one", [host(2), host(1)])  # nothing new
    assert world.store.versions()["one"] == version
    world.store.publish("one", [host(1, 7), host(2), host(3)])
    assert world.flags("one") == [FAILED_ACTIVE_HC | FAILED_OUTLIER_CHECK, 0, 0]
    assert [world.endpoint("one", number).row for number in (1, 2)] == rows
    assert world.endpoint("one", 1).weight == 7


def test_a_host_that_was_gone_begins_anew() -> None:
    world = World()
    world.configure("one")
    world.store.publish("one", [host(1), host(2)])
    world.fail("one", 1)
    world.store.publish("one", [host(2)])
    assert world.snapshot()["gauges"] == {"cluster.one_stat.outlier_detection.ejections_active": 0}
    world.store.publish("one", [host(1), host(2)])
    assert world.flags("one") == [0, 0]


def test_a_reload_keeps_who_is_ejected_and_what_was_counted() -> None:
    world = World()
    world.configure("one")
    world.store.publish("one", [host(1), host(2)])
    world.fail("one", 1)
    changed = OutlierSettings(max_ejection_percent=100, interval=1_000, base_ejection_time=2_000)
    world.configure("one", "two", settings=changed)
    assert world.flags("one") == [FAILED_OUTLIER_CHECK, 0]
    assert world.snapshot()["counters"]["cluster.one_stat.outlier_detection.ejections_enforced_total"] == 1
    world.clock.advance(2.5)
    assert world.flags("one") == [0, 0]


def test_a_reload_ends_or_begins_it() -> None:
    world = World()
    world.configure("one")
    world.store.publish("one", [host(1)])
    world.store.publish("two", [host(1)])
    world.fail("one", 1)
    world.configure("two")
    assert (world.flags("one"), world.endpoint("one", 1).row) == ([0], -1)
    assert world.endpoint("two", 1).row > 0
    world.fail("two", 1)
    assert world.flags("two") == [FAILED_OUTLIER_CHECK]
    assert len(world.clock.pending()) == 1


def test_a_cluster_that_goes_gives_its_rows_back() -> None:
    world = World()
    world.configure("one")
    world.store.publish("one", [host(1)])
    row = world.endpoint("one", 1).row
    world.fail("one", 1)
    world.store.remove("one")
    world.configure()
    assert not any(world.board.common(row))


def test_who_is_ejected_is_known_to_the_next_process_before_anybody_is_told() -> None:
    world = World()
    world.configure("one")
    world.store.publish("one", [host(1), host(2)])
    world.fail("one", 1)
    rows = [world.endpoint("one", number).row for number in (1, 2)]
    world.clock.advance(20)
    world.detection.stop()
    world.begin()
    world.configure("one")
    world.changed.clear()
    world.store.publish("one", [host(2), host(1)])
    assert world.changed == ["one"]
    assert world.flags("one") == [0, FAILED_OUTLIER_CHECK]
    assert [world.endpoint("one", number).row for number in (1, 2)] == rows
    assert world.snapshot()["gauges"] == {"cluster.one_stat.outlier_detection.ejections_active": 1}
    world.clock.advance(21)
    assert world.flags("one") == [0, 0]


def test_checks_bring_hosts_back() -> None:
    world = World()
    world.configure("one")
    world.store.publish("one", [host(1)])
    world.fail("one", 1)
    world.detection.check_passed("one", host(1).address)
    world.detection.check_passed("two", host(1).address)
    assert world.flags("one") == [0]


def test_without_outlier_detection_nothing_is_shown() -> None:
    world = World()
    world.configure()
    world.store.publish("one", [host(1)])
    assert world.endpoint("one", 1).row == -1
    assert world.snapshot() == {"counters": {}, "gauges": {}}
