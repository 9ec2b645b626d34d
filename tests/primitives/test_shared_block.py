"""What workers measure together."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from twistproxy.primitives.board import Board, WorkerBoard
from twistproxy.primitives.shared_block import BUCKETS, SharedBlock, bucket_of, bucket_range


def two() -> tuple[SharedBlock, SharedBlock]:
    """One block as two workers see it."""
    board = Board(2)
    board.use_columns(2)
    row = board.block_rows[3]
    return board.block(row, 0, -1), board.block(row, 1, -1)


def test_buckets() -> None:
    assert [bucket_of(value) for value in (0, 99, 100, 109, 110, 999, 1000, 1099, 1100)] == [
        0,
        99,
        100,
        100,
        101,
        189,
        190,
        190,
        191,
    ]
    assert bucket_of(10**12) == BUCKETS - 1
    for value in (7, 42, 123, 4567, 99_999_999):
        least, width = bucket_range(bucket_of(value))
        assert least <= value < least + max(width, 1)


def test_what_is_common_and_what_is_not() -> None:
    one, other = two()
    one.state[3], one.times[2] = 5, 6
    assert (other.state[3], other.times[2]) == (5, 6)
    one.add_outstanding(2)
    other.add_outstanding(3)
    assert one.outstanding() == other.outstanding() == 5


def test_samples_of_both_in_one_period() -> None:
    one, other = two()
    for value in (100, 200):
        one.record(value, 1)
    other.record(300, 1)
    assert other.samples(1) == 3
    assert other.quantile(1.0, 1) == 310.0
    one.record(400, 2)
    assert (other.samples(1), other.samples(2)) == (1, 1)
    assert other.quantile(0.5, 2) == 405.0


@pytest.mark.parametrize(
    ("values", "share", "expected"),
    [
        # As hist_approx_quantile of circllhist says.
        ([150], 0.0, 150.0),
        ([150], 0.5, 155.0),
        ([150], 1.0, 160.0),
        ([150, 250], 0.5, 160.0),
        ([150, 250], 0.75, 255.0),
        ([1000, 1000, 1000, 2000], 0.5, 1000 + 2 / 3 * 100),
        ([5], 0.5, 5.0),
        ([], 0.5, 0.0),
    ],
)
def test_quantiles(values: list[int], share: float, expected: float) -> None:
    block = SharedBlock.alone()
    for value in values:
        block.record(value, 1)
    assert block.quantile(share, 1) == pytest.approx(expected)


def test_one_at_a_time(tmp_path: Path) -> None:
    """The lock is a process's, and goes with it."""
    board = Board(1)
    worker = WorkerBoard(board)
    row = board.block_rows[0]
    worker.use(0, {"a": row}, str(tmp_path / "lock"))
    block = worker.block("a")
    assert block is not None
    assert block.lock()
    pid = os.fork()
    if pid == 0:
        os._exit(int(block.lock()))
    assert os.waitpid(pid, 0)[1] == 0
    block.unlock()
    pid = os.fork()
    if pid == 0:
        os._exit(int(block.lock()))
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1
    assert block.lock()
    assert worker.block("b") is None
