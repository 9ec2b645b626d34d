"""A worker's line in a row of the board (`primitives.board`), and what the others have in theirs."""

from __future__ import annotations

from array import array
from typing import Final

#: Integers in a line: 64 bytes.
CELLS: Final = 8
#: The first cell of the board: how many columns may have anything to add up.
COLUMNS_IN_USE: Final = 0


class SharedLine:
    """Cells are numbered from 0 to 7; what they count is up to who uses the row.

    cells   the whole board, as 64-bit integers
    row     index of the row's first cell
    column  the worker's
    """

    __slots__ = ("_cells", "_first", "_own", "common")

    def __init__(self, cells: memoryview, row: int, column: int) -> None:
        self._cells = cells
        self._first = row + CELLS
        self._own = self._first + CELLS * column
        #: line 0 of the row, which is everybody's
        self.common = cells[row : row + CELLS]

    @classmethod
    def alone(cls) -> SharedLine:
        """A line in memory of one's own."""
        cells = array("q", [0]) * (3 * CELLS)
        cells[COLUMNS_IN_USE] = 1
        return cls(memoryview(cells), CELLS, 0)

    def put(self, cell: int, value: int) -> None:
        """From now on we count this much."""
        self._cells[self._own + cell] = value

    def add(self, cell: int, change: int) -> None:
        """We count so many more."""
        self._cells[self._own + cell] += change

    def others(self, cell: int) -> int:
        """What the other workers count."""
        cells = self._cells
        own = self._own + cell
        at = self._first + cell
        found = 0
        for _ in range(cells[COLUMNS_IN_USE]):
            if at != own:
                found += cells[at]
            at += CELLS
        return found

    def total(self, cell: int) -> int:
        """What all of us count."""
        found: int = self._cells[self._own + cell]
        return found + self.others(cell)
