"""The master's part of the board (`primitives.board`): which worker has which column, which cluster and
which guard which row."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable

from twistproxy.primitives.board import Board


class _Names:
    """Rows by what they are for.

    free   the numbers of rows that nobody has had yet
    renew  makes a row that another name has had as new; False if somebody still has something there
    """

    def __init__(self, free: Iterable[int], renew: Callable[[int], bool]) -> None:
        self._free = iter(free)
        self._renew = renew
        # Those that were asked for last come last.
        self.rows: dict[str, int] = {}
        self._asked: dict[str, None] = {}

    def assign(self, names: Iterable[str]) -> dict[str, int]:
        """The rows of these, but for those that find none.  What is gone keeps its row as long as there are others:
        workers may still be finishing what they have there, and it may come back."""
        asked = dict.fromkeys(names)
        in_use = self._asked | asked  # what runs, and what is to run next
        found: dict[str, int] = {}
        for name in asked:
            row = self.rows.pop(name, None)
            if row is None:
                row = next(self._free, None)
            if row is None:
                row = self._forget_one(in_use)
            if row is not None:
                self.rows[name] = found[name] = row
        self._asked = asked
        return found

    def _forget_one(self, in_use: Container[str]) -> int | None:
        """The row of the name that is gone for longest of those of which nobody has anything left."""
        for name, row in self.rows.items():
            if name not in in_use and self._renew(row):
                return self.rows.pop(name)
        return None


class BoardKeeper:
    """Whoever is asked for first gets the lowest number, so that there is little to add up."""

    def __init__(self, board: Board) -> None:
        self._board = board
        self._columns: dict[int, int] = {}
        self._clusters = _Names(board.cluster_rows[::2], self._is_clear)
        self._blocks = _Names(board.block_rows, board.renew_block)

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
            self._board.clear_column(column, 2 * len(self._clusters.rows))
            self._count_columns()

    def rows(self, clusters: Iterable[str]) -> dict[str, int]:
        """The first of the two rows of each of these clusters, but for those that find none."""
        return self._clusters.assign(clusters)

    def _is_clear(self, row: int) -> bool:
        first = row * self._board.row_length
        return not any(self._board.cells[first : first + 2 * self._board.row_length])

    def blocks(self, names: Iterable[str]) -> dict[str, int]:
        """The blocks of these names, but for those that find none."""
        found = self._blocks.assign(names)
        self._board.use_blocks(len(self._blocks.rows))
        return found

    def total(self, name: str, cell: int) -> int:
        """What all workers count in the first row of this name; 0 if it has none."""
        row = self._clusters.rows.get(name)
        return 0 if row is None else self._board.total(row, cell)

    def _count_columns(self) -> None:
        self._board.use_columns(1 + max(self._columns.values(), default=-1))
