"""What the overload manager decides, in time that stands still."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from twisted.internet.task import Clock

from twistproxy.model.overload import (
    GLOBAL_CONNECTIONS,
    SHED_HEADERS,
    SHRINK_HEAP,
    STOP_REQUESTS,
    ConnectionsMonitor,
    FileMonitor,
    OverloadSettings,
    Trigger,
    Triggered,
)
from twistproxy.process.overload_manager import OverloadManager, said_by


class Managed:
    """A manager of two files, "a" and "b"."""

    def __init__(self, directory: Path, **more: Any) -> None:
        self.directory = directory
        self.clock = Clock()
        self.told: list[dict[str, float]] = []
        self.shrunk = 0
        self.connections = 0
        self.manager = OverloadManager(
            self.clock, lambda: [], lambda: self.connections, self._changed, self._shrink
        )
        self.write("a", 0)
        self.write("b", 0)
        given: dict[str, Any] = {
            "monitors": tuple((name, FileMonitor(str(directory / name))) for name in "ab"),
            "actions": (Triggered(STOP_REQUESTS, (Trigger("a", 0.5, 0.5), Trigger("b", 0.5, 0.9, True))),),
        }
        self.settings = OverloadSettings(**(given | more))
        self.manager.use(self.settings)

    def _changed(self) -> None:
        self.told.append(self.manager.values)

    def _shrink(self) -> None:
        self.shrunk += 1

    def write(self, name: str, pressure: object) -> None:
        (self.directory / name).write_text(str(pressure))

    def becomes(self, name: str, pressure: object) -> dict[str, float]:
        self.write(name, pressure)
        self.clock.advance(1.0)
        return self.manager.values


def test_the_most_of_all_triggers(tmp_path: Path) -> None:
    managed = Managed(tmp_path)
    assert managed.becomes("a", 0.49) == {}
    assert managed.becomes("b", 0.7) == {STOP_REQUESTS: pytest.approx(0.5)}
    assert managed.becomes("a", 0.5) == {STOP_REQUESTS: 1.0}
    assert managed.becomes("b", 0.2) == {STOP_REQUESTS: 1.0}
    assert managed.becomes("a", 0.4) == {}
    assert len(managed.told) == 3
    managed.manager.stop()
    assert managed.clock.getDelayedCalls() == []


def test_statistics(tmp_path: Path) -> None:
    managed = Managed(tmp_path, points=(Triggered(SHED_HEADERS, (Trigger("b", 0.9, 0.9),)),))
    managed.becomes("b", 0.7)
    managed.becomes("a", "nonsense")
    managed.becomes("a", 2)
    (tmp_path / "a").unlink()
    managed.clock.advance(1.0)
    counters, gauges = managed.manager.counters, managed.manager.gauges
    assert counters == {
        "overload.a.failed_updates": 3,
        "overload.a.skipped_updates": 0,
        "overload.b.failed_updates": 0,
        "overload.b.skipped_updates": 0,
    }
    assert gauges == {
        "overload.a.pressure": 0,
        "overload.b.pressure": 70,
        f"overload.{STOP_REQUESTS}.active": 0,
        f"overload.{STOP_REQUESTS}.scale_percent": 50,
        f"overload.{SHED_HEADERS}.scale_percent": 0,
    }
    assert managed.manager.histograms == {"overload.refresh_interval_delay": {1000: 4}}


def test_memory_is_given_back_from_time_to_time(tmp_path: Path) -> None:
    managed = Managed(tmp_path, actions=(Triggered(SHRINK_HEAP, (Trigger("a", 0.5, 0.5),)),))
    managed.becomes("a", 0.6)
    for _ in range(25):
        managed.clock.advance(1.0)
    assert managed.shrunk == managed.manager.counters[f"overload.{SHRINK_HEAP}.shrink_count"] == 2
    managed.becomes("a", 0.4)
    for _ in range(25):
        managed.clock.advance(1.0)
    assert managed.shrunk == 2


def test_other_settings(tmp_path: Path) -> None:
    managed = Managed(tmp_path)
    managed.becomes("a", 0.6)
    managed.manager.use(managed.settings)
    assert managed.manager.values == {STOP_REQUESTS: 1.0}
    managed.manager.use(None)
    assert managed.told[-1] == {}
    assert (managed.manager.counters, managed.manager.gauges, managed.manager.histograms) == ({}, {}, {})
    assert managed.clock.getDelayedCalls() == []


def test_connections(tmp_path: Path) -> None:
    """The workers ask for each connection; to look at how many there are takes another resource, as in Envoy."""
    monitors = ((GLOBAL_CONNECTIONS, ConnectionsMonitor(10)),)
    managed = Managed(tmp_path, monitors=monitors, actions=())
    assert managed.clock.getDelayedCalls() == []
    managed.manager.use(None)
    managed = Managed(tmp_path, monitors=(*monitors, ("a", FileMonitor(str(tmp_path / "a")))), actions=())
    managed.connections = 4
    managed.clock.advance(1.0)
    assert managed.manager.gauges[f"overload.{GLOBAL_CONNECTIONS}.pressure"] == 40
    assert f"overload.{GLOBAL_CONNECTIONS}.failed_updates" not in managed.manager.counters


@pytest.mark.parametrize(("pressure", "said"), [(0.0, 0.0), (0.5, 0.0), (0.6, 0.25), (0.9, 1.0), (7.0, 1.0)])
def test_a_scaled_trigger(pressure: float, said: float) -> None:
    assert said_by(Trigger("a", 0.5, 0.9, True), pressure) == pytest.approx(said)


def test_a_threshold() -> None:
    trigger = Trigger("a", 0.5, 0.5)
    assert [said_by(trigger, pressure) for pressure in (0.49, 0.5)] == [0.0, 1.0]
