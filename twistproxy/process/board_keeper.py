"""The master's part of the board (`primitives.board`): which worker has which column, which cluster and
which guard which row."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.primitives.board import Board


class BoardKeeper:
    """Whoever is asked for first gets the lowest number, so that there is little to add up."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._columns: dict[int, int] = {}
        self._rows: dict[str, int] = {}
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
        keeps its rows: workers may still be finishing what they have there, and it may come back."""
        found: dict[str, int] = {}
        for name in clusters:
            row = self._rows.get(name)
            if row is None:
                row = next(self._free, None)
                if row is None:
                    continue
                self._rows[name] = row
            found[name] = row
        return found

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
