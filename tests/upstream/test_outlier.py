"""What a worker counts on the board, and what it says."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.http.header_match import HeaderMatcher
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.http.response_match import ResponseMatcher
from twistproxy.model.outlier import (
    CONSECUTIVE_5XX,
    CONSECUTIVE_GATEWAY_FAILURE,
    CONSECUTIVE_LOCAL_ORIGIN_FAILURE,
    DEGRADED,
    FAILURES,
    GATEWAY_FAILURES,
    LOCAL_FAILURES,
    LOCAL_SUCCESSES,
    SUCCESSES,
    OutlierSettings,
)
from twistproxy.primitives.board import Board, WorkerBoard
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.string_match import Exact
from twistproxy.upstream.outlier import OutlierCounts, OutlierRules

ALL = (CONSECUTIVE_GATEWAY_FAILURE, CONSECUTIVE_5XX)


class World:
    """Workers that have one host in common."""

    def __init__(self, workers: int = 1, **settings: Any) -> None:
        self.board = Board(workers)
        self.board.use_columns(workers)
        self.row = self.board.host_rows[0]
        self.said: list[dict[str, Any]] = []
        self.rules = [self._rules(column, OutlierSettings(**settings)) for column in range(workers)]
        self.workers = [self._counts(rules) for rules in self.rules]

    def _rules(self, column: int, settings: OutlierSettings) -> OutlierRules:
        board = WorkerBoard(self.board)
        board.use(column, {})
        board.say = self._say
        return OutlierRules("app", settings, board)

    def _counts(self, rules: OutlierRules) -> OutlierCounts:
        found = rules.counts(self.row)
        assert found is not None
        return found

    def _say(self, about: str, facts: dict[str, Any]) -> bool:
        assert (about, facts["cluster"], facts["row"]) == ("outlier", "app", self.row)
        self.said.append(facts)
        return True

    def answer(self, *statuses: int, worker: int = 0) -> None:
        for status in statuses:
            head = ResponseHead(status, [])
            self.workers[worker].answered(RequestHead(b"GET", b"/", b"a", [], {}), head)

    @property
    def kinds(self) -> list[int]:
        return [facts["kind"] for facts in self.said]

    def totals(self) -> list[int]:
        cells = (FAILURES, GATEWAY_FAILURES, SUCCESSES, LOCAL_FAILURES, LOCAL_SUCCESSES)
        return [self.board.total(self.row, cell) for cell in cells]


def test_five_failures_in_a_row() -> None:
    world = World()
    world.answer(500, 500, 500, 500)
    assert not world.said
    world.answer(500)
    assert world.said == [
        {"cluster": "app", "row": world.row, "kind": CONSECUTIVE_5XX, "total": 5},
    ]
    world.answer(500, 500, 500, 500)
    assert world.kinds == [CONSECUTIVE_5XX]
    world.answer(599)
    assert world.kinds == [CONSECUTIVE_5XX] * 2
    assert world.totals() == [10, 0, 0, 0, 0]


@pytest.mark.parametrize("status", [200, 204, 301, 404, 499])
def test_anything_else_breaks_the_row(status: int) -> None:
    world = World()
    world.answer(503, 503, 503, 503, status, 503, 503, 503, 503)
    assert not world.said
    world.answer(503)
    assert world.kinds == [*ALL]


def test_gateway_failures_are_broken_by_other_failures() -> None:
    world = World(consecutive_5xx=100)
    world.answer(502, 503, 504, 502, 500, 503, 503, 503, 503)
    assert not world.said
    world.answer(502)
    assert world.kinds == [CONSECUTIVE_GATEWAY_FAILURE]


def test_whichever_workers_saw_them() -> None:
    world = World(3)
    for worker in (0, 1, 2, 1):
        world.answer(500, worker=worker)
    assert not world.said
    world.answer(500, worker=0)
    assert world.kinds == [CONSECUTIVE_5XX]
    for worker in (0, 1, 2, 1):
        world.answer(500, worker=worker)
    world.answer(200, worker=2)
    for worker in (0, 1, 2, 1):
        world.answer(500, worker=worker)
    assert len(world.said) == 1


def test_no_threshold() -> None:
    world = World(consecutive_5xx=0, consecutive_gateway_failure=0, consecutive_local_origin_failure=0)
    world.answer(*[503] * 100)
    assert not world.said


def test_an_ejected_host_is_not_spoken_of() -> None:
    world = World()
    world.workers[0].ejected = True
    world.answer(*[503] * 10)
    assert not world.said
    assert world.totals()[0] == 10


@pytest.mark.parametrize(
    ("believed", "status", "known", "told"),
    [
        (True, 200, False, True),
        (True, 404, False, True),
        (True, 500, False, False),
        (True, 200, True, False),
        (False, 200, False, False),
    ],
)
def test_a_host_that_says_it_is_degraded(believed: bool, status: int, known: bool, told: bool) -> None:
    world = World(detect_degraded_hosts=believed)
    world.workers[0].degraded = known
    head = ResponseHead(status, [(b"x-envoy-degraded", b"")])
    world.workers[0].answered(RequestHead(b"GET", b"/", b"a", [], {}), head)
    assert world.said == [{"cluster": "app", "row": world.row, "kind": DEGRADED}] * told
    assert sum(world.totals()) == 1


def test_a_matcher_says_what_fails() -> None:
    world = World(errors=ResponseMatcher((HeaderMatcher(":status", Exact("404")),)), consecutive_5xx=2)
    world.answer(404, 500, 404)
    assert not world.said
    world.answer(404)
    assert world.kinds == [CONSECUTIVE_5XX]
    assert world.totals() == [3, 0, 1, 0, 0]


def test_failures_of_ours_are_failures_of_the_host() -> None:
    world = World(consecutive_5xx=3)
    counts = world.workers[0]
    counts.connected()
    counts.disconnected()
    counts.timed_out(504)
    assert not world.said
    counts.disconnected()
    assert world.kinds == [CONSECUTIVE_5XX]
    assert world.totals() == [3, 3, 0, 0, 0]
    counts.timed_out(204)  # what the client is told counts
    assert world.totals() == [3, 3, 1, 0, 0]


def test_failures_of_ours_apart() -> None:
    world = World(2, split=True, consecutive_local_origin_failure=2)
    first, second = world.workers
    first.disconnected()
    second.connected()
    first.timed_out(504)
    assert not world.said
    second.disconnected()
    assert world.kinds == [CONSECUTIVE_LOCAL_ORIGIN_FAILURE]
    world.answer(500)
    assert world.totals() == [1, 0, 0, 3, 1]


@pytest.mark.parametrize(
    ("content_type", "grpc_status", "failed"),
    [
        (b"application/grpc", b"14", True),
        (b"application/grpc+proto", b"2", True),
        (b"application/grpc", b"nonsense", True),
        (b"application/grpc", b"99", True),
        (b"application/grpc", b"5", False),
        (b"application/grpc", b"0", False),
        (b"text/plain", b"14", False),
    ],
)
def test_grpc(content_type: bytes, grpc_status: bytes, failed: bool) -> None:
    world = World()
    request = RequestHead(b"POST", b"/", b"a", [], {b"content-type": content_type})
    world.workers[0].answered(request, ResponseHead(200, [(b"grpc-status", grpc_status)]))
    assert world.totals()[0] == int(failed)


def test_thresholds_of_the_runtime() -> None:
    world = World()
    world.rules[0].use_runtime(RuntimeValues({"outlier_detection.consecutive_5xx": 2}))
    world.answer(500, 500)
    assert world.kinds == [CONSECUTIVE_5XX]
    world.rules[0].use_runtime(RuntimeValues())
    world.answer(500, 500, 500, 500)
    assert len(world.said) == 1


def test_counts_of_a_dead_worker() -> None:
    """What it had counted is gone: the next failure is the first in a row."""
    world = World(2)
    world.answer(*[500] * 100, worker=1)
    world.said.clear()
    world.board.hosts_in_use = 1
    world.board.clear_column(1, 0)
    assert world.totals()[0] == 0
    world.answer(500, 500, 500, 500)
    assert not world.said
    world.answer(500)
    assert world.kinds == [CONSECUTIVE_5XX]


def test_no_place_to_count() -> None:
    assert OutlierRules("app", OutlierSettings(), WorkerBoard()).counts(-1) is None
