"""Who is ejected, for how long, and who comes back: decisions on a board and a clock that stands still."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from twistproxy.discovery.outlier import FLAGS, Detector, DetectorTools
from twistproxy.discovery.outlier_log import EventLog
from twistproxy.model.address import Address, TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import DEGRADED_OUTLIER_DETECTION, FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK
from twistproxy.model.outlier import (
    BASES,
    CONSECUTIVE_5XX,
    CONSECUTIVE_GATEWAY_FAILURE,
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    FAILURES,
    GATEWAY_FAILURES,
    LOCAL_FAILURES,
    LOCAL_SUCCESSES,
    SUCCESSES,
    OutlierSettings,
)
from twistproxy.primitives.board import HOST_KEY, Board, HostRows
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock


def hosts(*numbers: int) -> tuple[Endpoint, ...]:
    return tuple(Endpoint(TcpAddress("10.0.0.1", number)) for number in numbers)


class World:
    """One cluster of hosts that are called by their ports."""

    def __init__(self, count: int = 2, rows: int = 100, **settings: Any) -> None:
        self.clock = FakeClock()
        self.board = Board(2)
        self.board.use_columns(3)
        self.board.host_rows = self.board.host_rows[:rows]
        self.settings = OutlierSettings(**{"max_ejection_percent": 100, **settings})
        self.runtime = RuntimeValues()
        self.random = 0.5
        self.lines: list[dict[str, Any]] = []
        self.published: list[dict[int, int]] = []
        self.warnings: list[str] = []
        self.begin(count)

    def begin(self, count: int) -> None:
        """A discovery process starts, with this many hosts."""
        log = EventLog(self.clock.wall)
        log.write = lambda line: self.lines.append(json.loads(line))
        tools = DetectorTools(
            self.clock,
            lambda: self.random,
            self.runtime,
            HostRows(self.board),
            log,
            self.set_flags,
            self.warnings.append,
        )
        self.detector = Detector("app", self.settings, tools)
        self.dressed = self.add_hosts(*hosts(*range(1, count + 1)))
        self.detector.start()

    def set_flags(self, cluster: str, flags: Mapping[Address, int], mask: int) -> None:
        assert (cluster, mask) == ("app", FLAGS)
        self.published.append({getattr(address, "port", 0): value for address, value in flags.items()})

    def add_hosts(self, *endpoints: Endpoint) -> list[Endpoint]:
        return [self.detector.add(endpoint) for endpoint in endpoints]

    def row(self, number: int) -> int:
        return self.detector.hosts[hosts(number)[0].address].row

    def add(self, number: int, cell: int, count: int = 1, column: int = 1) -> None:
        """A worker counts."""
        self.board.line(self.row(number), column).add(cell, count)

    def fail(self, number: int, times: int = 5, cell: int = FAILURES, kind: int = CONSECUTIVE_5XX) -> None:
        """A host fails, and the worker that sees the last failure says so."""
        self.add(number, cell, times - 1, 0)
        self.add(number, cell, 1, 2)
        self.say(number, cell, kind)

    def say(self, number: int, cell: int = FAILURES, kind: int = CONSECUTIVE_5XX) -> None:
        total = self.board.total(self.row(number), cell)
        self.detector.reached(self.row(number), kind, total)

    def traffic(self, rates: dict[int, tuple[int, int]], local: bool = False) -> None:
        """(successes, failures) of hosts."""
        for number, (good, bad) in rates.items():
            self.add(number, LOCAL_SUCCESSES if local else SUCCESSES, good)
            self.add(number, LOCAL_FAILURES if local else FAILURES, bad)

    @property
    def ejected(self) -> set[int]:
        return {getattr(h.address, "port", 0) for h in self.detector.hosts.values() if h.ejected}

    def counted(self) -> dict[str, int]:
        found = self.detector.counters
        return {name.removeprefix("ejections_"): value for name, value in found.items() if value}


def test_five_in_a_row() -> None:
    world = World()
    world.fail(1)
    assert world.ejected == {1}
    assert world.published == [{1: FAILED_OUTLIER_CHECK}]
    assert world.counted() == {
        "consecutive_5xx": 1,
        "detected_consecutive_5xx": 1,
        "enforced_consecutive_5xx": 1,
        "enforced_total": 1,
        "total": 1,
    }
    assert world.lines == [
        {
            "type": "CONSECUTIVE_5XX",
            "timestamp": "2023-11-14T22:13:20Z",
            "cluster_name": "app",
            "upstream_url": "10.0.0.1:1",
            "action": "EJECT",
            "num_ejections": 1,
            "enforced": True,
            "eject_consecutive_event": {},
        }
    ]


def test_a_degraded_host() -> None:
    """It is about as with ejections, of which nothing else depends on it."""
    world = World(1, max_ejection_percent=0, detect_degraded_hosts=True)
    world.detector.degraded(world.row(1))
    world.detector.degraded(world.row(1))
    assert world.published == [{1: DEGRADED_OUTLIER_DETECTION}]
    assert world.counted() == {"detected_degradation": 1}
    assert world.detector.active == 0
    world.clock.advance(29)
    assert len(world.published) == 1
    world.clock.advance(1)
    assert world.published[1:] == [{1: 0}]
    world.detector.degraded(world.row(1))
    world.clock.advance(59)
    assert len(world.published) == 3
    world.clock.advance(1)
    assert len(world.published) == 4
    assert [(line["type"], line["action"], line["enforced"]) for line in world.lines] == [
        ("DEGRADED", "EJECT", True),
        ("CONSECUTIVE_5XX", "UNEJECT", False),
    ] * 2
    assert not any(line["num_ejections"] or "secs_since_last_action" in line for line in world.lines)
    world.clock.advance(1000)
    world.detector.degraded(world.row(1))
    world.clock.advance(30)
    assert len(world.published) == 6


def test_a_degraded_host_may_be_ejected() -> None:
    world = World(1, detect_degraded_hosts=True)
    world.detector.degraded(world.row(1))
    world.fail(1)
    assert world.published[-1] == {1: DEGRADED_OUTLIER_DETECTION | FAILED_OUTLIER_CHECK}
    world.detector.check_passed(hosts(1)[0].address)
    assert world.published[-1] == {1: DEGRADED_OUTLIER_DETECTION}
    world.clock.advance(30)
    assert world.published[-1] == {1: 0}


def test_degraded_is_not_believed_unless_told_to() -> None:
    world = World(1)
    world.detector.degraded(world.row(1))
    assert world.counted() == {}


def test_two_workers_say_the_same() -> None:
    world = World(enforcing_consecutive_5xx=0)
    world.fail(1)
    world.fail(1, 1)  # so near that the other had not seen the row's end
    assert world.counted()["detected_consecutive_5xx"] == 1
    world.fail(1, 4)
    world.say(1)
    assert world.counted()["detected_consecutive_5xx"] == 2
    world.detector.reached(world.row(2) + 1, CONSECUTIVE_5XX, 5)
    assert world.ejected == set()
    assert not world.published


@pytest.mark.parametrize(
    ("cell", "kind", "stat"),
    [
        (GATEWAY_FAILURES, CONSECUTIVE_GATEWAY_FAILURE, "consecutive_gateway_failure"),
        (LOCAL_FAILURES, CONSECUTIVE_LOCAL_ORIGIN_FAILURE, "consecutive_local_origin_failure"),
    ],
)
def test_other_kinds(cell: int, kind: int, stat: str) -> None:
    world = World(enforcing_consecutive_gateway_failure=100)
    world.fail(1, 5, cell, kind)
    assert world.counted() == {f"detected_{stat}": 1, f"enforced_{stat}": 1, "enforced_total": 1}
    assert world.lines[0]["type"] == stat.upper()


def test_enforced_in_part() -> None:
    world = World(enforcing_consecutive_5xx=50)
    world.random = 0.123456751
    world.fail(1)
    world.random = 0.123456749
    world.fail(2)
    assert world.ejected == {2}
    assert [line["enforced"] for line in world.lines] == [False, True]


@pytest.mark.parametrize(
    ("count", "settings", "ejected"),
    [
        (10, {"max_ejection_percent": 10}, {1}),
        (11, {"max_ejection_percent": 10}, {1}),
        (9, {"max_ejection_percent": 10}, set()),
        (9, {"max_ejection_percent": 10, "always_eject_one_host": True}, {1}),
        (9, {"max_ejection_percent": 0, "always_eject_one_host": True}, {1}),
        (4, {"max_ejection_percent": 50}, {1, 2}),
        (3, {"max_ejection_percent": 100}, {1, 2, 3}),
    ],
)
def test_how_many_may_be_ejected(count: int, settings: dict[str, Any], ejected: set[int]) -> None:
    world = World(count, **settings)
    for number in (1, 2, 3):
        world.fail(number)
    assert world.ejected == ejected
    assert world.counted().get("overflow", 0) == 3 - len(ejected)


def test_back_at_the_sweep_after_the_ejection_time() -> None:
    world = World()
    world.clock.advance(5)
    world.fail(1)
    world.add(1, GATEWAY_FAILURES, 4)
    world.clock.advance(29.9)
    assert world.ejected == {1}
    world.clock.advance(5.2)  # 30 s after the ejection and 40 s after the start
    assert world.ejected == set()
    assert world.published == [{1: FAILED_OUTLIER_CHECK}, {1: 0}]
    assert world.board.common(world.row(1))[BASES + CONSECUTIVE_GATEWAY_FAILURE] == 4  # all rows begin again
    assert world.lines[1] == {
        "type": "CONSECUTIVE_5XX",
        "timestamp": "2023-11-14T22:14:00Z",
        "secs_since_last_action": "35",
        "cluster_name": "app",
        "upstream_url": "10.0.0.1:1",
        "action": "UNEJECT",
        "num_ejections": 1,
        "enforced": False,
    }


def out_for(world: World, number: int = 1) -> float:
    """Seconds that an ejection takes."""
    world.fail(number)
    began = world.clock.monotonic()
    while number in world.ejected:
        world.clock.advance(world.settings.interval / 1000)
    return world.clock.monotonic() - began


def test_each_ejection_is_longer() -> None:
    world = World(base_ejection_time=30_000, max_ejection_time=100_000)
    assert [out_for(world) for _ in range(6)] == [30, 60, 90, 100, 100, 100]
    assert world.lines[-1]["num_ejections"] == 6


def test_good_health_makes_the_next_ejection_shorter() -> None:
    world = World()
    assert [out_for(world) for _ in range(3)] == [30, 60, 90]
    world.clock.advance(20)  # two sweeps in good health
    assert out_for(world) == 60
    world.clock.advance(1000)
    assert out_for(world) == 30


def test_jitter() -> None:
    world = World(max_ejection_time_jitter=20_000)
    assert out_for(world) == 40
    world.random = 0.9999999
    world.clock.advance(1000)
    assert out_for(world) == 50


def test_success_rate() -> None:
    world = World(5, success_rate_stdev_factor=1000)
    world.traffic({1: (50, 50), 2: (100, 0), 3: (100, 0), 4: (100, 0), 5: (100, 0)})
    world.clock.advance(10)
    # Envoy's own example: 50, 100, 100, 100, 100 have an average of 90 and a standard deviation of 20.
    assert (world.detector.rates.average, world.detector.rates.threshold) == (90, 70)
    assert world.ejected == {1}
    assert world.counted() == {
        "detected_success_rate": 1,
        "enforced_success_rate": 1,
        "enforced_total": 1,
        "success_rate": 1,
        "total": 1,
    }
    assert world.lines[0]["eject_success_rate_event"] == {
        "host_success_rate": 50,
        "cluster_average_success_rate": 90,
        "cluster_success_rate_ejection_threshold": 70,
    }
    shown = world.detector.describe()
    assert shown["hosts"]["10.0.0.1:1"] == [50, -1]
    assert shown["success_rate_average"] == 90
    assert shown["local_origin_success_rate_average"] == -1
    world.clock.advance(10)
    assert world.detector.describe()["hosts"]["10.0.0.1:1"] == [-1, -1]
    assert world.detector.rates.average == -1


def test_success_rate_needs_hosts_and_requests() -> None:
    world = World(5, success_rate_stdev_factor=0, failure_percentage_minimum_hosts=100)
    few = {1: (0, 99), 2: (100, 0), 3: (100, 0), 4: (100, 0), 5: (100, 0)}
    world.traffic(few)
    world.clock.advance(10)
    world.traffic({1: (0, 50)})
    world.clock.advance(10)
    world.traffic({1: (0, 50)})
    world.clock.advance(10)
    assert world.counted() == {}
    world.detector.use(replace(world.settings, success_rate_minimum_hosts=4, success_rate_stdev_factor=1900))
    world.traffic({2: (100, 0), 3: (100, 0), 4: (100, 0), 5: (0, 100)})
    world.clock.advance(10)
    assert world.counted() == {}  # 1.9 standard deviations below the average is below 0
    world.runtime.replace({"outlier_detection.success_rate_stdev_factor": 1000})
    world.traffic({2: (100, 0), 3: (100, 0), 4: (100, 0), 5: (0, 100)})
    world.clock.advance(10)
    assert world.ejected == {5}


def test_failure_percentage() -> None:
    world = World(5, enforcing_failure_percentage=100, enforcing_success_rate=0)
    world.traffic({1: (15, 85), 2: (16, 84), 3: (100, 0), 4: (100, 0), 5: (100, 0)})
    world.clock.advance(10)
    assert world.ejected == {1}
    assert world.lines[-1]["eject_failure_percentage_event"] == {"host_success_rate": 15}
    assert world.counted()["detected_failure_percentage"] == 1


def test_local_origin_rates() -> None:
    world = World(
        5, success_rate_stdev_factor=1000, enforcing_failure_percentage_local_origin=100, split=True
    )
    rates = {1: (0, 100), 2: (100, 0), 3: (100, 0), 4: (100, 0), 5: (100, 0)}
    world.traffic(rates, local=True)
    world.clock.advance(10)
    assert world.ejected == {1}
    assert world.counted() == {
        "detected_local_origin_failure_percentage": 1,
        "detected_local_origin_success_rate": 1,
        "enforced_local_origin_success_rate": 1,
        "enforced_total": 1,
        "success_rate": 1,
    }
    assert world.detector.describe()["hosts"]["10.0.0.1:1"] == [-1, 0]


def test_counts_of_a_dead_worker_may_vanish() -> None:
    world = World(5, success_rate_request_volume=10)
    world.traffic(dict.fromkeys(range(1, 6), (100, 0)))
    world.clock.advance(10)
    world.traffic(dict.fromkeys(range(1, 6), (-80, 0)))
    world.clock.advance(10)
    assert world.detector.rates.average == -1
    world.traffic(dict.fromkeys(range(1, 6), (10, 0)))
    world.clock.advance(10)
    assert world.detector.rates.average == 100


def test_check_that_succeeds_brings_a_host_back() -> None:
    world = World()
    world.fail(1)
    world.detector.check_passed(hosts(1)[0].address)
    world.detector.check_passed(hosts(2)[0].address)
    assert world.ejected == set()
    assert world.published[-1] == {1: 0}
    world = World(uneject_when_checked=False)
    world.fail(1)
    world.detector.check_passed(hosts(1)[0].address)
    assert world.ejected == {1}


def test_runtime() -> None:
    world = World(4, max_ejection_percent=0)
    world.runtime.replace(
        {
            "outlier_detection.consecutive_5xx": 2,
            "outlier_detection.max_ejection_percent": 1000,
            "outlier_detection.base_ejection_time_ms": 1000,
            "outlier_detection.interval_ms": 500,
        }
    )
    world.fail(1, 2)
    assert world.ejected == {1}
    world.clock.advance(10)
    assert world.ejected == set()
    world.fail(2, 2)
    world.clock.advance(0.9)
    assert world.ejected == {2}
    world.clock.advance(0.2)
    assert world.ejected == set()
    world.runtime.replace(
        {"outlier_detection.max_ejection_percent": 100, "outlier_detection.enforcing_consecutive_5xx": 0}
    )
    world.fail(3)
    assert world.counted()["detected_consecutive_5xx"] == 3
    assert world.ejected == set()


def test_endpoints_get_rows_and_keep_flags_of_others() -> None:
    world = World()
    first = world.board.host_rows[0]
    assert [endpoint.row for endpoint in world.dressed] == [first, first + 1]
    world.fail(2)
    one, two, three = hosts(1, 2, 3)
    again = world.add_hosts(
        *(Endpoint(one.address, flags=FAILED_ACTIVE_HC | FAILED_OUTLIER_CHECK), two, three)
    )
    assert [endpoint.flags for endpoint in again] == [FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK, 0]
    assert [endpoint.row for endpoint in again] == [first, first + 1, first + 2]


def test_a_host_that_goes_is_forgotten() -> None:
    world = World()
    world.fail(1)
    row = world.row(1)
    world.detector.remove(hosts(1)[0].address)
    world.add_hosts(*hosts(3))
    assert world.detector.active == 0
    world.detector.reached(row, CONSECUTIVE_5XX, 5)
    world.fail(2)
    assert world.ejected == {2}
    (back,) = world.add_hosts(*hosts(1))
    assert (back.flags, back.row != row) == (0, True)


def test_a_row_is_clean_for_the_next_host() -> None:
    world = World(2, rows=2)
    world.fail(1, 7)
    world.detector.remove(hosts(1)[0].address)
    world.add_hosts(*hosts(3))
    world.fail(3, 4)
    assert world.ejected == set()
    world.fail(3, 1)
    assert world.ejected == {3}


def test_more_hosts_than_rows() -> None:
    world = World(3, rows=2)
    assert [endpoint.row >= 0 for endpoint in world.dressed] == [True, True, False]
    assert world.warnings == ["app: no place to count what 10.0.0.1:3 answers"]
    world.fail(1)
    assert world.ejected == {1}


def test_a_new_discovery_process_knows_who_is_ejected() -> None:
    world = World()
    assert out_for(world) == 30
    world.fail(1)
    world.add(2, FAILURES, 4)
    rows = [world.row(1), world.row(2)]
    ejected_at = world.clock.monotonic()
    world.clock.advance(5)
    world.detector._timer.cancel()  # type: ignore[union-attr]  # the process has died
    world.begin(2)
    assert [endpoint.flags for endpoint in world.dressed] == [FAILED_OUTLIER_CHECK, 0]
    assert [world.row(1), world.row(2)] == rows
    assert world.detector.active == 1
    world.fail(2, 1)
    assert world.ejected == {1, 2}
    while 1 in world.ejected:
        world.clock.advance(1)
    assert 60 <= world.clock.monotonic() - ejected_at < 71  # the second ejection is longer
    assert world.lines[-1]["num_ejections"] == 2


def test_stop_frees_the_rows() -> None:
    world = World()
    world.detector.forget()
    assert not any(world.board.common(row)[HOST_KEY] for row in world.board.host_rows)
    assert not world.clock.pending()
