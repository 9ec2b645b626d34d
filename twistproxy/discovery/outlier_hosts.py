"""The hosts that outlier detection watches: one row of the board each.

What is known of a host's ejection lies in its row, too: a discovery process that has just started takes over from there.
`model.outlier` says what is in which cell.
"""

from __future__ import annotations

from twistproxy.model.address import Address
from twistproxy.model.health import DEGRADED_OUTLIER_DETECTION, FAILED_OUTLIER_CHECK
from twistproxy.model.outlier import (
    BASES,
    COUNTED,
    EJECTIONS,
    FAILURES,
    JITTER,
    LOCAL_FAILURES,
    LOCAL_SUCCESSES,
    SINCE,
    SUCCESSES,
)
from twistproxy.primitives.board import Board

#: No rate: there were not enough requests.
NO_RATE = -1.0

_LOW = 0xFFFFFFFF


class Window:
    """Requests between two sweeps.  `take` ends one window and begins the next."""

    __slots__ = ("_failures", "_successes", "failures_cell", "rate", "successes_cell")

    def __init__(self, successes_cell: int, failures_cell: int) -> None:
        self.successes_cell = successes_cell
        self.failures_cell = failures_cell
        self._successes = 0
        self._failures = 0
        #: per cent of the last window, `NO_RATE` if it had too few requests
        self.rate = NO_RATE

    def take(self, board: Board, row: int) -> tuple[int, int]:
        """(successes, requests) since the last call."""
        successes, failures = board.total(row, self.successes_cell), board.total(row, self.failures_cell)
        # The counts of a worker that has died may be gone.
        found = max(0, successes - self._successes), max(0, failures - self._failures)
        self._successes, self._failures = successes, failures
        return found[0], found[0] + found[1]


class WatchedHost:
    """One host with its row.  Times are milliseconds of the monotonic clock, above 0.

    ejected     whether it is ejected at the moment
    ejected_at, back_at  when it was ejected last, and came back last; 0: never, or that is forgotten
    ejections   how often it was ejected
    multiplier  of its ejection time: one more with each ejection, one less with each sweep in good health
    jitter      milliseconds more that its ejection takes

    degraded, degraded_at, degradation, degraded_jitter  the same of its degradation, which a successor of this process
        learns anew from the host; `degraded_at` is also when that was over
    """

    def __init__(self, address: Address, row: int, board: Board) -> None:
        self.address = address
        self.row = row
        self._board = board
        self._common = common = board.common(row)
        since, packed = common[SINCE], common[EJECTIONS]
        self.ejected: bool = since > 0
        self.ejected_at: int = max(0, since)
        self.back_at: int = max(0, -since)
        self.ejections: int = packed & _LOW
        self.multiplier: int = packed >> 32
        self.jitter: int = common[JITTER]
        self.degraded = False
        self.degraded_at = self.degradation = self.degraded_jitter = 0
        self._heard = [0, 0, 0]
        self.external = Window(SUCCESSES, FAILURES)
        self.local = Window(LOCAL_SUCCESSES, LOCAL_FAILURES)
        self.last_external = self.last_local = (0, 0)
        self.turn(True)

    @property
    def flags(self) -> int:
        """Of its health."""
        return FAILED_OUTLIER_CHECK * self.ejected | DEGRADED_OUTLIER_DETECTION * self.degraded

    def turn(self, split: bool) -> None:
        """A sweep begins: what was counted since the last one is what it looks at.  `split`: failures of ours, too."""
        self.last_external = self.external.take(self._board, self.row)
        if split:
            self.last_local = self.local.take(self._board, self.row)
        self.external.rate = self.local.rate = NO_RATE

    def is_news(self, kind: int, total: int, threshold: int) -> bool:
        """Whether there can have been so many failures of a kind since we last heard of too many, when there were
        `total` now."""
        if 0 <= total - self._heard[kind] < threshold:
            return False
        self._heard[kind] = total
        return True

    def eject(self, now: int, jitter: int) -> None:
        self.ejected, self.ejected_at, self.jitter = True, now, jitter
        self.ejections += 1
        self.save()

    def uneject(self, now: int) -> None:
        self.ejected, self.back_at = False, now
        for kind, cell in enumerate(COUNTED):
            self._common[BASES + kind] = self._board.total(self.row, cell)
        self.save()

    def save(self) -> None:
        """Write down what a successor of this process must know."""
        common = self._common
        common[JITTER] = self.jitter
        common[EJECTIONS] = self.multiplier << 32 | self.ejections & _LOW
        common[SINCE] = self.ejected_at if self.ejected else -self.back_at
