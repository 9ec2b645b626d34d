"""Which hosts have a row on the board so that workers know of each other's requests."""

from __future__ import annotations

from dataclasses import replace

from twistproxy.discovery.outliers import OutlierDetection, OutlierPlan
from twistproxy.discovery.shared_load import SharedLoad
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, MaglevSettings
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.discovery import StaticSource
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.outlier import OutlierSettings
from twistproxy.primitives.board import Board, HostRows
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock

A, B, C = (Endpoint(TcpAddress("10.0.0.1", port)) for port in (1, 2, 3))
LEAST = ClusterSettings("app", Balancing("LEAST_REQUEST"), source=StaticSource("app", ()))
ROBIN = replace(LEAST, balancing=Balancing())
WATCHED = OutlierSettings()


class World:
    def __init__(self) -> None:
        self.store = EndpointStore(lambda cluster: None)
        self.rows = HostRows(Board(2))
        self.outliers = OutlierDetection(
            FakeClock(), lambda: 0.5, self.rows, self.store, RuntimeValues(), lambda line: None
        )
        self.load = SharedLoad(self.store, self.rows, self.outliers)
        self.store.watcher = self.load
        self.store.declare("app")

    def configure(self, *clusters: ClusterSettings) -> None:
        self.outliers.configure(OutlierPlan.of(clusters))
        self.load.configure(clusters)

    def found(self) -> list[int]:
        """The rows of the endpoints, as those of the board are numbered."""
        found = self.store.get("app")
        assert found is not None
        return [one.row - self.rows.board.host_rows.start if one.row >= 0 else -1 for one in found.endpoints]


def test_endpoints_that_come_and_go() -> None:
    world = World()
    world.configure(LEAST)
    world.store.publish("app", (A, B))
    assert world.found() == [0, 1]
    world.store.publish("app", (B, C))
    assert world.found() == [1, 2]
    world.store.publish("app", (B, A, C))
    assert world.found() == [1, 3, 2]


def test_who_does_not_compare_has_none() -> None:
    world = World()
    world.configure(ROBIN)
    world.store.publish("app", (A, B))
    assert world.found() == [-1, -1]


def test_bounded_loads_compare() -> None:
    assert Balancing("MAGLEV", hashing=MaglevSettings(balance_factor=120)).compares_load
    assert not Balancing("MAGLEV", hashing=MaglevSettings()).compares_load
    assert not Balancing().compares_load


def test_reloads() -> None:
    world = World()
    world.configure(ROBIN)
    world.store.publish("app", (A, B))
    world.configure(LEAST)
    assert world.found() == [0, 1]
    world.configure(LEAST)
    assert world.found() == [0, 1]
    world.configure(ROBIN)
    assert world.found() == [-1, -1]


def test_outlier_detection_has_the_same_rows() -> None:
    world = World()
    world.configure(replace(LEAST, outlier=WATCHED))
    world.store.publish("app", (A, B))
    assert world.found() == [0, 1]
    world.configure(replace(ROBIN, outlier=WATCHED))
    assert world.found() == [0, 1]
    world.configure(replace(LEAST, outlier=WATCHED))
    assert world.found() == [0, 1]
    world.configure(LEAST)
    assert -1 not in world.found()
    world.configure(ROBIN)
    assert world.found() == [-1, -1]
    world.configure(replace(ROBIN, outlier=WATCHED))
    assert -1 not in world.found()
