"""The limit that follows latency: two workers on one block, in time that stands still."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from twistproxy.filters.gradient import NAMES, Glimpse, GradientController
from twistproxy.model.guards import GradientSettings
from twistproxy.primitives.board import Board
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock


class Workers:
    """Two controllers of the same state."""

    def __init__(self, **more: Any) -> None:
        given: dict[str, Any] = {"rtt_interval": 10.0, "rtt_requests": 4, "jitter": 0.0, "min_limit": 2}
        settings = GradientSettings(1.0, **(given | more))
        board = Board(2)
        board.use_columns(2)
        self.clock = FakeClock()
        self.runtime = RuntimeValues()
        self.blocks = [board.block(board.block_rows[0], column, -1) for column in (0, 1)]
        self.both = [
            GradientController(settings, block, self.clock, self.runtime, Random(1)) for block in self.blocks
        ]
        self.settings = settings
        for one in self.both:
            one.start()

    def request(self, worker: int, seconds: float) -> None:
        one = self.both[worker]
        assert one.admit()
        since = self.clock.monotonic()
        self.clock.advance(seconds)
        one.done(since)

    def value(self, name: str) -> int:
        first, second = (one.values()[NAMES.index(name)] for one in self.both)
        assert first == second
        return first


def test_a_limit_for_both() -> None:
    workers = Workers()
    one, other = workers.both
    assert one.admit() and other.admit()
    assert not one.admit() and not other.admit()
    one.cancelled()
    assert other.admit()
    assert not one.admit()


def test_both_measure() -> None:
    workers = Workers(min_limit=5)
    for number in range(4):
        assert workers.value("min_rtt_calculation_active") == 1
        workers.request(number % 2, 0.1)
    assert workers.value("min_rtt_calculation_active") == 0
    assert workers.value("min_rtt_msecs") == 105  # in the middle of its bucket
    assert workers.value("concurrency_limit") == 5
    # The gradient is (1 + 25 %) of the least time through the time now, which is the same.
    for number in range(3):
        workers.request(number % 2, 0.1)
    workers.clock.advance(1.0)
    assert workers.value("sample_rtt_msecs") == 105
    assert workers.value("gradient") == 1250
    assert workers.value("concurrency_limit") == 8
    workers.clock.advance(9.0)
    assert workers.value("min_rtt_calculation_active") == 1
    assert workers.value("concurrency_limit") == 5


def test_requests_from_before_are_no_samples() -> None:
    workers = Workers(rtt_requests=1)
    workers.request(0, 0.1)
    one = workers.both[0]
    assert one.admit()
    since = workers.clock.monotonic()
    workers.clock.advance(10.0)  # one measures again
    one.done(since)
    assert workers.value("min_rtt_calculation_active") == 1
    assert workers.blocks[0].outstanding() == 0


def test_long_at_the_least_limit_one_measures_again() -> None:
    workers = Workers(rtt_requests=1, rtt_interval=1000.0)
    workers.request(0, 0.001)
    for number in range(5):
        assert workers.value("min_rtt_calculation_active") == 0
        workers.request(number % 2, 0.1)
        workers.clock.advance(1.0)
    workers.clock.advance(1.0)
    assert workers.value("min_rtt_calculation_active") == 1


def test_a_fixed_value() -> None:
    workers = Workers(fixed_rtt=0.1, max_limit=9)
    assert (workers.value("min_rtt_msecs"), workers.value("min_rtt_calculation_active")) == (100, 0)
    for expected in (6, 9, 9):
        workers.request(0, 0.01)
        workers.clock.advance(1.0)
        assert workers.value("concurrency_limit") == expected
    workers.clock.advance(5.0)  # without samples it stays
    assert workers.value("concurrency_limit") == 9


@pytest.mark.parametrize("worker", [0, 1])
def test_a_worker_that_is_gone(worker: int) -> None:
    """The other one does what is to be done at a time."""
    workers = Workers(fixed_rtt=0.1)
    workers.both[worker].stop()
    workers.request(1 - worker, 0.01)
    workers.clock.advance(1.0)
    assert workers.value("concurrency_limit") == 6


def test_what_ends_after_the_controller_sets_no_timer() -> None:
    workers = Workers(rtt_requests=1)
    for one in workers.both:
        one.stop()
    workers.request(0, 0.1)
    assert workers.value("min_rtt_calculation_active") == 0
    assert workers.clock.pending() == []


def test_jitter() -> None:
    workers = Workers(rtt_requests=1, jitter=50.0)
    workers.request(0, 0.1)
    workers.clock.advance(9.9)
    assert workers.value("min_rtt_calculation_active") == 0
    workers.clock.advance(5.1)
    assert workers.value("min_rtt_calculation_active") == 1


def test_runtime() -> None:
    workers = Workers(fixed_rtt=0.1)
    workers.runtime.replace({"adaptive_concurrency.gradient_controller.max_concurrency_limit": 4})
    workers.request(0, 0.01)
    workers.clock.advance(1.0)
    assert workers.value("concurrency_limit") == 4


def test_a_glimpse_changes_nothing() -> None:
    workers = Workers(min_limit=1)
    glimpse = Glimpse(workers.settings, workers.blocks[0], workers.clock, workers.runtime, Random())
    glimpse.start()
    assert glimpse.admit() and glimpse.admit()
    glimpse.done(0.0)
    glimpse.cancelled()
    assert workers.both[1].admit()
    assert not glimpse.admit()
