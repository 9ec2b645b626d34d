"""Who has which column and which row of the board."""

from __future__ import annotations

from twistproxy.primitives.board import Board
from twistproxy.process.board_keeper import BoardKeeper


def test_a_column_is_free_again_when_its_worker_is_gone() -> None:
    board = Board(1)
    keeper = BoardKeeper(board)
    assert [keeper.column(serial) for serial in (7, 8, 7, 9, 10, 11)] == [0, 1, 0, 2, 3, -1]
    rows = keeper.rows(["a", "b"])
    for column in (0, 1):
        board.line(rows["b"], column).put(2, 5)
    assert board.total(rows["b"], 2) == 10
    keeper.release(8)
    assert board.total(rows["b"], 2) == 5
    assert keeper.column(12) == 1


def test_only_columns_in_use_are_added_up() -> None:
    board = Board(2)
    keeper = BoardKeeper(board)
    keeper.column(1)
    keeper.column(2)
    line = board.line(1, 1)
    line.put(0, 1)
    assert board.total(1, 0) == 1
    keeper.release(2)
    line.put(0, 1)
    assert board.total(1, 0) == 0


def test_a_cluster_keeps_its_row() -> None:
    keeper = BoardKeeper(Board(1))
    before = keeper.rows(["a", "b"])
    assert keeper.rows(["c", "b"])["b"] == before["b"]
    assert keeper.rows(["a"]) == {"a": before["a"]}


def test_clusters_without_a_row() -> None:
    board = Board(1)
    board.cluster_rows = board.cluster_rows[:2]
    assert list(BoardKeeper(board).rows(["a", "b"])) == ["a"]


def test_rows_of_clusters_that_are_gone_are_used_again_when_there_are_no_others() -> None:
    board = Board(1)
    board.cluster_rows = board.cluster_rows[:6]
    keeper = BoardKeeper(board)
    first = keeper.rows(["a", "b"])
    assert "a" not in keeper.rows(["c"])
    # Those of what runs may be in use at any time; with those of "a" somebody is not done yet.
    assert keeper.rows(["c", "d"]) == {"c": first["b"] + 2, "d": first["a"]}
    keeper.column(1)
    board.line(first["a"] + 1, 0).put(2, 1)
    assert keeper.rows(["e", "f"]) == {"e": first["b"]}
    assert keeper.rows(["e", "f"]) == {"e": first["b"], "f": first["b"] + 2}
    keeper.release(1)
    assert keeper.rows(["e", "f", "g"])["g"] == first["a"]


def test_blocks() -> None:
    board = Board(1)
    keeper = BoardKeeper(board)
    first, second = keeper.blocks(["a", "b"]).values()
    assert (first, second) == (board.block_rows[0], board.block_rows[1])
    assert keeper.blocks(["c", "a"]) == {"c": board.block_rows[2], "a": first}
    keeper.column(1)
    board.block(second, 0, -1).add_outstanding(3)
    keeper.release(1)
    keeper.column(2)
    assert board.block(second, 0, -1).outstanding() == 0


def test_more_than_there_are_blocks() -> None:
    board = Board(1)
    keeper = BoardKeeper(board)
    names = [str(number) for number in range(len(board.block_rows) + 1)]
    found = keeper.blocks(names)
    assert len(found) == len(set(found.values())) == len(board.block_rows)
    assert names[-1] not in found


def test_blocks_are_used_again_when_nobody_needs_them() -> None:
    board = Board(2)
    keeper = BoardKeeper(board)
    every = [str(number) for number in range(len(board.block_rows))]
    found = keeper.blocks(every)
    busy = board.block(found["0"], 0, -1)
    busy.add_outstanding(1)
    board.block(found["1"], 1, -1).record(5, 0)
    board.common(found["1"])[0] = 7
    assert keeper.blocks([*every[2:], "new"]) == {
        name: found[name] for name in every[2:]
    }  # "1" may come back
    assert keeper.blocks([*every[2:], "new"])["new"] == found["1"]
    block = board.block(found["1"], 0, -1)
    assert (block.state[0], block.samples(0), block.quantile(0.5, 0)) == (0, 0, 0.0)
    assert keeper.blocks([*every[2:], "newer"]) == {name: found[name] for name in every[2:]}
    busy.add_outstanding(-1)
    assert keeper.blocks([*every[2:], "newer"])["newer"] == found["0"]
