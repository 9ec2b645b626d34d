"""The master's part of the board (`primitives.board`): which worker has which column, which cluster and
which guard which row."""

from __future__ import annotations

from collections.abc import Container, Iterable

from twistproxy.primitives.board import Board


class BoardKeeper:
    """Whoever is asked for first gets the lowest number, so that there is little to add up."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._columns: dict[int, int] = {}
        # Those that were asked for last come last.
        self._rows: dict[str, int] = {}
        self._asked: dict[str, None] = {}
        self._free = iter(board.cluster_rows[::2])
        self._blocks: dict[str, int] = {}

    def column(self, serial: int) -> int:
        """The column of this child (`Child.serial`), from now until `release`; -1 if there are no more."""
        column = self._columns.get(serial)
        if column is None:
            used = set(self._columns.values())
            column = next((one for one in range(self._board.columns) if one not in used), -1)
            self._columns[serial] = column
            self._count_columns()
        return column

    def release(self, serial: int) -> None:
        """The child is gone, and what it had counted with it."""
        column = self._columns.pop(serial, -1)
        if column >= 0:
            self._board.clear_column(column, 2 * len(self._rows))
            self._count_columns()

    def rows(self, clusters: Iterable[str]) -> dict[str, int]:
        """The first of the two rows of each of these clusters, but for those that find none.  A cluster that is gone
        keeps its rows, as long as there are others: workers may still be finishing what they have there, and it may
        come back."""
        asked = dict.fromkeys(clusters)
        in_use = self._asked | asked  # what runs, and what is to run next
        found: dict[str, int] = {}
        for name in asked:
            row = self._rows.pop(name, None)
            if row is None:
                row = next(self._free, None)
            if row is None:
                row = self._forget_one(in_use)
            if row is not None:
                self._rows[name] = found[name] = row
        self._asked = asked
        return found

    def _forget_one(self, in_use: Container[str]) -> int | None:
        """The rows of the cluster that is gone for longest of those of which nobody has anything left."""
        board = self._board
        for name, row in self._rows.items():
            if name not in in_use:
                first = row * board.row_length
                if not any(board.cells[first : first + 2 * board.row_length]):
                    return self._rows.pop(name)
        return None

    def blocks(self, names: Iterable[str]) -> dict[str, int]:
        """The blocks of these names, but for those that find none; what is gone keeps its block."""
        found: dict[str, int] = {}
        free = self._board.block_rows
        for name in names:
            if name in self._blocks or len(self._blocks) < len(free):
                found[name] = self._blocks.setdefault(name, free[min(len(self._blocks), len(free) - 1)])
        self._board.use_blocks(len(self._blocks))
        return found

    def total(self, name: str, cell: int) -> int:
        """What all workers count in the first row of this name; 0 if it has none."""
        row = self._rows.get(name)
        return 0 if row is None else self._board.total(row, cell)

    def _count_columns(self) -> None:
        self._board.use_columns(1 + max(self._columns.values(), default=-1))
