"""Circuit breakers, alone and together with other workers."""

from __future__ import annotations

from twistproxy.model.cluster import Thresholds
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.board import Board
from twistproxy.upstream.resource_limits import ResourceLimits


def two_workers(thresholds: Thresholds) -> tuple[ResourceLimits, ResourceLimits]:
    board = Board(2)
    board.use_columns(2)
    ours, theirs = ResourceLimits(thresholds), ResourceLimits(thresholds)
    ours.share(board.line(1, 0))
    theirs.share(board.line(1, 1))
    return ours, theirs


def test_limits_hold_for_all_workers_together() -> None:
    ours, theirs = two_workers(
        Thresholds(max_connections=3, max_pending_requests=3, max_requests=3, max_retries=3)
    )
    for count, full in (
        (ResourceLimits.count_connections, ResourceLimits.connections_full),
        (ResourceLimits.count_pending, ResourceLimits.pending_full),
        (ResourceLimits.count_requests, ResourceLimits.requests_full),
        (ResourceLimits.count_retries, ResourceLimits.retries_full),
    ):
        count(ours, 1)
        count(theirs, 1)
        assert not full(ours)
        count(theirs, 1)
        assert full(ours)
        assert full(theirs)
        count(ours, -1)
        assert not full(theirs)


def test_a_retry_budget_is_a_share_of_what_all_workers_have() -> None:
    ours, theirs = two_workers(Thresholds(retry_budget=(20.0, 1)))
    theirs.count_requests(10)
    ours.count_retries(1)
    assert not ours.retries_full()
    theirs.count_retries(1)
    assert ours.retries_full()
    theirs.count_pending(5)
    assert not ours.retries_full()


def test_priorities_do_not_mix() -> None:
    board = Board(2)
    board.use_columns(1)
    default, high = ResourceLimits(Thresholds(max_requests=1)), ResourceLimits(Thresholds(max_requests=1))
    default.share(board.line(1, 0))
    high.share(board.line(2, 0))
    high.count_requests(1)
    assert (default.requests_full(), high.requests_full()) == (False, True)


def test_what_was_in_use_before_counts() -> None:
    limits = ResourceLimits(Thresholds())
    limits.count_requests(2)
    board = Board(2)
    board.use_columns(1)
    limits.share(board.line(1, 0))
    assert board.total(1, 2) == 2


def test_every_worker_shows_what_remains_for_all() -> None:
    ours, theirs = two_workers(Thresholds(max_requests=5, max_connections=1, track_remaining=True))
    theirs.count_requests(2)
    theirs.count_connections(1)
    out = Snapshot()
    ours.collect("p.", out, 0)
    assert (out.gauges["p.remaining_rq"], out.gauges["p.remaining_cx"], out.gauges["p.cx_open"]) == (3, 0, 1)
