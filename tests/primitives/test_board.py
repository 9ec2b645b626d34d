"""Memory that processes share."""

from __future__ import annotations

import os

import pytest

from twistproxy.primitives.board import HOST_KEY, Board, HostRows, WorkerBoard


@pytest.fixture
def board() -> Board:
    return Board(2)


def in_child(work: object) -> None:
    """Run something in a forked process and wait for its end."""
    assert callable(work)
    pid = os.fork()
    if pid == 0:
        try:
            work()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)


def test_what_another_process_counts_is_seen(board: Board) -> None:
    board.use_columns(2)
    ours, theirs = board.line(3, 0), board.line(3, 1)
    ours.put(5, 2)
    in_child(lambda: theirs.add(5, 40))
    assert (ours.others(5), ours.total(5), board.total(3, 5)) == (40, 42, 42)
    assert (ours.others(4), board.total(2, 5), board.total(4, 5)) == (0, 0, 0)


def test_the_common_line_is_nobodys(board: Board) -> None:
    board.use_columns(1)
    line = board.line(3, 0)
    line.common[5] = 7
    assert board.common(3)[5] == 7
    assert line.total(5) == 0


def test_a_column_that_is_cleared(board: Board) -> None:
    board.use_columns(3)
    rows = HostRows(board)
    host, cluster = rows.row("a", "10.0.0.1:80"), board.cluster_rows[1]
    for row in (host, cluster):
        for column in range(3):
            board.line(row, column).put(7, 1)
    board.clear_column(1, 2)
    assert [board.total(row, 7) for row in (host, cluster)] == [2, 2]


def test_rows_of_hosts_outlive_the_process_that_assigned_them(board: Board) -> None:
    first = HostRows(board)
    a, b = first.row("a", "10.0.0.1:80"), first.row("a", "10.0.0.2:80")
    assert (first.row("a", "10.0.0.1:80"), a != b) == (a, True)
    board.common(b)[1] = 9
    second = HostRows(board)
    assert (second.row("a", "10.0.0.2:80"), second.row("a", "10.0.0.1:80")) == (b, a)
    assert board.common(b)[1] == 9
    assert second.row("b", "10.0.0.1:80") not in (a, b)


def test_a_row_that_is_released_is_used_again_when_there_is_no_other(board: Board) -> None:
    board.host_rows = board.host_rows[:2]
    rows = HostRows(board)
    a = rows.row("a", "1")
    b = rows.row("a", "2")
    assert rows.row("a", "3") == -1
    board.line(a, 0).put(3, 3)
    rows.release("a", "1")
    c = rows.row("a", "3")
    assert (c, b == c) == (a, False)
    assert board.common(c)[HOST_KEY] != 0
    board.use_columns(1)
    assert board.total(c, 3) == 0


def test_rows_of_hosts_that_went_with_an_earlier_process_are_used_again(board: Board) -> None:
    HostRows(board).row("a", "1")
    rows = HostRows(board)
    kept = rows.row("a", "2")
    board.host_rows = board.host_rows[:2]
    assert (rows.row("a", "2"), rows.row("a", "3") != -1, rows.row("a", "4")) == (kept, True, -1)


def test_hosts_that_come_and_go_do_not_use_up_the_board(board: Board) -> None:
    rows = HostRows(board)
    former = []
    for number in range(5000):
        former.append(rows.row("a", str(number)))
        assert former[-1] not in former[-1000:-1]  # it rests
        rows.release("a", str(number))
    assert board.hosts_in_use < 1100


def test_a_worker_has_no_line_before_it_has_a_column(board: Board) -> None:
    worker = WorkerBoard(board)
    assert worker.cluster("a", False) is None
    worker.use(1, {"a": 3})
    line = worker.cluster("a", True)
    assert line is not None
    line.put(0, 5)
    board.use_columns(2)
    assert board.total(4, 0) == 5
    assert worker.cluster("b", False) is None
    assert worker.line(-1) is None
    assert WorkerBoard().line(3) is None
