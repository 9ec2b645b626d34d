"""A block of rows of the board (`primitives.board`) for how long things took: what all workers measure, and what follows
from it for all of them.

The first two rows have what is common in their line 0, and in the workers' lines what each counts.  The rows behind are
a histogram of each worker.  To clear all histograms at once the number of the period is raised: what a worker has
measured in an earlier period does not count, and it clears that itself before it measures more.
"""

from __future__ import annotations

import fcntl
from array import array

from twistproxy.primitives.shared_line import CELLS, COLUMNS_IN_USE

#: Buckets of two digits, as in circllhist: each number below 100, then 90 for each power of ten.
_DECADES = 6
BUCKETS = 100 + 90 * _DECADES
#: Enough for them, eight to a line, after two rows for the rest.
BLOCK_ROWS = 2 + (BUCKETS + CELLS - 1) // CELLS

#: Cells of a worker's line in the first row.
_OUTSTANDING, _PERIOD, _SAMPLES = range(3)


def bucket_of(value: int) -> int:
    """The bucket of a number that is not negative; the last one takes all that are too large."""
    if value < 100:
        return value
    first = 100
    for _ in range(_DECADES):
        if value < 1000:
            return first + value // 10 - 10
        value //= 10
        first += 90
    return BUCKETS - 1


def bucket_range(bucket: int) -> tuple[int, int]:
    """The least number of a bucket, and how wide it is."""
    if bucket < 100:
        return bucket, (1 if bucket >= 10 else 0)
    decade, digits = divmod(bucket - 100, 90)
    width = 10 ** (decade + 1)
    return (digits + 10) * width, width


class SharedBlock:
    """The block, seen by one worker.

    state  eight cells that are common; `times` eight more
    """

    __slots__ = ("_board", "_cells", "_column", "_locks", "_own", "_row", "_row_length", "state", "times")

    def __init__(
        self, cells: memoryview, row_length: int, column: int, board: memoryview, locks: int, row: int
    ) -> None:
        """
        cells   of the block
        board   the whole board
        locks   descriptor of a file, of which the byte `row` is ours to lock; -1: nobody else is there
        """
        self._cells = cells
        self._row_length = row_length
        self._column = column
        self._own = CELLS * (1 + column)
        self._board = board
        self._locks = locks
        self._row = row
        self.state = cells[:CELLS]
        self.times = cells[row_length : row_length + CELLS]

    @classmethod
    def alone(cls) -> SharedBlock:
        """Memory of one's own, in the same form."""
        length = CELLS * 2
        cells = memoryview(array("q", bytes(8 * length * BLOCK_ROWS)))
        board = memoryview(array("q", [1] + [0] * (CELLS - 1)))
        return cls(cells, length, 0, board, -1, 0)

    # ---- only one worker at a time

    def lock(self) -> bool:
        """Try to be the one who changes what is common; False while another one is."""
        if self._locks >= 0:
            try:
                fcntl.lockf(self._locks, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, self._row)
            except OSError:
                return False
        return True

    def unlock(self) -> None:
        if self._locks >= 0:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, self._row)

    # ---- what is under way

    def add_outstanding(self, change: int) -> None:
        self._cells[self._own + _OUTSTANDING] += change

    def own_outstanding(self) -> int:
        """Of this worker."""
        found: int = self._cells[self._own + _OUTSTANDING]
        return found

    def outstanding(self) -> int:
        """Of all workers."""
        cells = self._cells
        found = 0
        for column in range(self._board[COLUMNS_IN_USE]):
            found += cells[CELLS * (1 + column) + _OUTSTANDING]
        return found

    # ---- what was measured

    def record(self, value: int, period: int) -> None:
        """Count a sample in this period."""
        cells, own = self._cells, self._own
        if cells[own + _PERIOD] != period:
            self._clear()
            cells[own + _PERIOD] = period
        row, cell = divmod(bucket_of(value), CELLS)
        cells[(2 + row) * self._row_length + own + cell] += 1
        cells[own + _SAMPLES] += 1

    def _clear(self) -> None:
        cells, own, length = self._cells, self._own, self._row_length
        cells[own + _SAMPLES] = 0
        zeros = memoryview(bytes(8 * CELLS)).cast("q")
        for row in range(2, BLOCK_ROWS):
            at = row * length + own
            cells[at : at + CELLS] = zeros

    def samples(self, period: int) -> int:
        """How many all workers have counted in this period."""
        cells = self._cells
        found = 0
        for at in self._measuring(period):
            found += cells[at + _SAMPLES]
        return found

    def _measuring(self, period: int) -> list[int]:
        """The first cells of those workers' lines that have counted in this period."""
        cells = self._cells
        lines = [CELLS * (1 + column) for column in range(self._board[COLUMNS_IN_USE])]
        return [at for at in lines if cells[at + _PERIOD] == period]

    def quantile(self, share: float, period: int) -> float:
        """The number below which this share of the samples is, as circllhist's hist_approx_quantile has it; 0.0
        without samples."""
        cells, length = self._cells, self._row_length
        counts = [0] * BUCKETS
        for line in self._measuring(period):
            for row in range(BLOCK_ROWS - 2):
                at = (2 + row) * length + line
                for cell, count in enumerate(cells[at : at + CELLS]):
                    if count:
                        counts[row * CELLS + cell] += count
        wanted = sum(counts) * share
        lower = upper = 0
        least = width = 0
        filled = [(bucket, count) for bucket, count in enumerate(counts) if count]
        for bucket, count in filled:
            least, width = bucket_range(bucket)
            lower, upper = upper, upper + count
            if upper >= wanted:
                break
        if upper == lower or lower == wanted:
            return float(least)
        return least + min(1.0, (wanted - lower) / (upper - lower)) * width
