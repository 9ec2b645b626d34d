"""Memory that all processes share: what workers count together.

Rows of lines of eight integers.  Line 0 of a row belongs to all, the line after it to the worker of column 0, and so on.
A worker writes its own line only, so no count is lost without any lock; whoever wants to know what all have counted
adds the lines up.  A line is as long as a processor's cache line: workers that count do not disturb each other.

Row 0 says how much is in use.  Then come the rows of clusters, which the master assigns (`process.board_keeper`), and
those of single hosts, which the discovery process does (`HostRows`), and blocks of rows for what needs more room
(`primitives.shared_block`), which the master assigns again.  The master makes the board before it forks, and
gives each worker its column; pages that nobody has touched take no memory.
"""

from __future__ import annotations

import mmap
import os
from collections import deque
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any

from twistproxy.primitives.shared_block import BLOCK_ROWS, SharedBlock
from twistproxy.primitives.shared_line import CELLS, COLUMNS_IN_USE, SharedLine

#: In row 0, beside COLUMNS_IN_USE: how many rows of hosts are or were in use.
_HOSTS_IN_USE = 1
#: The same of blocks.
_BLOCKS_IN_USE = 2
#: In line 0 of a host's row: whose it is.  Whoever uses the row has the other seven, and the workers' lines.
HOST_KEY = 0

_CLUSTERS = 16384
_HOSTS = 65536
_BLOCKS = 256
#: So many rows of hosts that are gone rest before they are used again: workers may still count there.  Not all rows are
#: used up first, for those that nobody has touched take no memory.
_RESTING = 1024
_MAP_NORESERVE = 0x4000  # mmap.MAP_NORESERVE, which Python 3.11 does not name


class Board:
    """The shared memory itself, zeros at first.

    columns      how many workers can have a line; more than run at once, since those that drain keep theirs
    several      whether more than one worker is to run
    cells        all integers, 64 bits each
    cluster_rows, host_rows, block_rows  ranges of row numbers.  A cluster has two rows, one for each priority; of a
                 block the number is that of its first row
    """

    def __init__(self, concurrency: int) -> None:
        self.several = concurrency > 1
        self.columns = 2 * concurrency + 2
        self.cluster_rows = range(1, 1 + _CLUSTERS)
        self.host_rows = range(1 + _CLUSTERS, 1 + _CLUSTERS + _HOSTS)
        self.row_length = CELLS * (1 + self.columns)
        first = self.host_rows.stop
        self.block_rows = range(first, first + _BLOCKS * BLOCK_ROWS, BLOCK_ROWS)
        size = self.row_length * 8 * self.block_rows.stop
        flags = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
        self.cells = memoryview(mmap.mmap(-1, size, flags)).cast("q")

    def common(self, row: int) -> memoryview:
        """Line 0 of a row."""
        return self.cells[row * self.row_length :][:CELLS]

    def line(self, row: int, column: int) -> SharedLine:
        """A row, seen by the worker of this column."""
        return SharedLine(self.cells, row * self.row_length, column)

    def block(self, row: int, column: int, locks: int) -> SharedBlock:
        """A block of rows, seen by the worker of this column.  `locks`: see `SharedBlock`."""
        first = row * self.row_length
        cells = self.cells[first : first + BLOCK_ROWS * self.row_length]
        return SharedBlock(cells, self.row_length, column, self.cells, locks, row)

    def total(self, row: int, cell: int) -> int:
        """What all workers have counted in this cell."""
        first = row * self.row_length + CELLS + cell
        used = self.cells[COLUMNS_IN_USE]
        return sum(self.cells[first + CELLS * column] for column in range(used))

    def clear_row(self, row: int) -> None:
        """All lines of it."""
        first = row * self.row_length
        self.cells[first : first + self.row_length] = memoryview(bytes(8 * self.row_length)).cast("q")

    def clear_column(self, column: int, cluster_rows: int) -> None:
        """What a worker that is gone has left.  `cluster_rows`: how many are in use."""
        zeros = memoryview(bytes(8 * CELLS)).cast("q")
        hosts = self.cells[_HOSTS_IN_USE]
        blocks = self.cells[_BLOCKS_IN_USE]
        # What the other rows of a block have is of no worth without the first.
        for rows in (self.cluster_rows[:cluster_rows], self.host_rows[:hosts], self.block_rows[:blocks]):
            for row in rows:
                first = row * self.row_length + CELLS * (1 + column)
                self.cells[first : first + CELLS] = zeros

    def renew_block(self, row: int) -> bool:
        """Make a block that was in use as new, unless requests that some worker has counted there are still under way."""
        if any(self.block(row, column, -1).own_outstanding() for column in range(self.columns)):
            return False
        first, length = row * self.row_length, BLOCK_ROWS * self.row_length
        self.cells[first : first + length] = memoryview(bytes(8 * length)).cast("q")
        return True

    def use_columns(self, count: int) -> None:
        """Only the first `count` columns have anything to add up."""
        self.cells[COLUMNS_IN_USE] = count

    def use_blocks(self, count: int) -> None:
        """The first `count` blocks are in use."""
        self.cells[_BLOCKS_IN_USE] = count

    @property
    def hosts_in_use(self) -> int:
        found: int = self.cells[_HOSTS_IN_USE]
        return found

    @hosts_in_use.setter
    def hosts_in_use(self, count: int) -> None:
        self.cells[_HOSTS_IN_USE] = count


def _unheard(about: str, facts: dict[str, Any]) -> bool:
    return False


class WorkerBoard:
    """The board as one worker sees it: its column, and the rows of clusters, as the master says with each
    configuration.

    say  tells the discovery process of something that was seen here (`DiscoveryLink.say`)
    """

    def __init__(self, board: Board | None = None) -> None:
        self._board = board
        self.say: Callable[[str, dict[str, Any]], bool] = _unheard
        self._column = -1
        self._rows: Mapping[str, int] = {}
        self._lock_path = ""
        self._locks = -1

    def use(self, column: int, rows: Mapping[str, int], lock_path: str = "") -> None:
        """
        column     -1 for a worker that counts for itself
        lock_path  of a file without content, on which all workers lock blocks; it is made if it is not there
        """
        self._column = column
        self._rows = rows
        self._lock_path = lock_path

    @property
    def several(self) -> bool:
        """Whether there are other workers to count with."""
        return self._board is not None and self._board.several

    def cluster(self, name: str, high_priority: bool) -> SharedLine | None:
        """The line for this priority of this cluster, if there is one."""
        row = self._rows.get(name, -1)
        return self.line(row + high_priority) if row >= 0 else None

    def block(self, name: str) -> SharedBlock | None:
        """The block of this name, if there is one."""
        row = self._rows.get(name, -1)
        if self._board is None or self._column < 0 or row < 0:
            return None
        if self._locks < 0 and self._lock_path:
            self._locks = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        return self._board.block(row, self._column, self._locks)

    def line(self, row: int) -> SharedLine | None:
        """The line in this row, that of a host for example (`Endpoint.row`)."""
        if self._board is None or self._column < 0 or row < 0:
            return None
        return self._board.line(row, self._column)


class HostRows:
    """Assigns rows to hosts.  What an earlier discovery process has assigned is found again by its keys."""

    def __init__(self, board: Board) -> None:
        self.board = board
        self._rows: dict[int, int] = {}
        # Assigned by an earlier process, and not asked for yet: of a host that is gone perhaps.
        self._left: dict[int, int] = {}
        self._free: deque[int] = deque()
        for row in board.host_rows[: board.hosts_in_use]:
            key: int = board.common(row)[HOST_KEY]
            if key:
                self._left[key] = row
            else:
                self._free.append(row)

    def row(self, cluster: str, address: str) -> int:
        """The row of a host, a new one of zeros if it has none; -1 if there are no more."""
        key = _key(cluster, address)
        row = self._rows.get(key)
        if row is not None:
            return row
        row = self._left.pop(key, None)
        if row is None:
            row = self._unused()
            if row is None:
                return -1
            self.board.clear_row(row)
            self.board.common(row)[HOST_KEY] = key
        self._rows[key] = row
        return row

    def release(self, cluster: str, address: str) -> None:
        """The host is gone."""
        row = self._rows.pop(_key(cluster, address), None)
        if row is not None:
            self.board.clear_row(row)
            self._free.append(row)

    def _unused(self) -> int | None:
        """The row that was free for longest if enough of them rest, else one that was never used, else what there is."""
        board = self.board
        if len(self._free) > _RESTING:
            return self._free.popleft()
        if board.hosts_in_use < len(board.host_rows):
            row: int = board.host_rows[board.hosts_in_use]
            board.hosts_in_use += 1
            return row
        if self._free:
            return self._free.popleft()
        return self._left.pop(next(iter(self._left))) if self._left else None


def _key(cluster: str, address: str) -> int:
    """Never 0."""
    digest = blake2b(f"{cluster}\0{address}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True) or 1
