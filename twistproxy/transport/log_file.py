"""Access log files: lines are gathered and appended in one write each second, or sooner when there are many.

A file that cannot take them (disk full, nobody reading the pipe) never holds up the traffic: lines wait until
there are too many, then they are dropped and counted.
"""

from __future__ import annotations

import os
import stat

from twistproxy.api.clock import Clock
from twistproxy.observe.file_stats import FileStats
from twistproxy.observe.stats import Snapshot

#: Seconds that a line may wait, unless told otherwise.
FLUSH_INTERVAL = 1.0
#: Bytes that are written at once.
FLUSH_SIZE = 64 * 1024
#: Bytes that may wait for a file that takes nothing.
MOST_WAITING = 4 * 1024 * 1024

_NEWLINE = ord("\n")
_STANDARD = {"/dev/stdout": 1, "/dev/stderr": 2}
_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY


class LogFile:
    """One file, opened for appending.  OSError if that cannot be done."""

    def __init__(
        self,
        clock: Clock,
        path: str,
        flush_interval: float = FLUSH_INTERVAL,
        stats: FileStats | None = None,
    ) -> None:
        self.path = path
        self._stats = stats or FileStats()
        self._flush_interval = flush_interval
        #: lines that were lost
        self.dropped = 0
        self._clock = clock
        self._fd = _open(path)
        self._lines: list[bytes] = []
        self._size = 0
        self._flush_at = FLUSH_SIZE
        # whether what waits begins in the middle of a line
        self._begun = False
        # how many of what waits were counted when they did not fit: the rest, as one
        self._counted = 0
        self._timer_runs = False

    def write(self, line: bytes) -> None:
        """Add a line, which ends with a newline."""
        self._lines.append(line)
        self._size += len(line)
        if self._size >= self._flush_at:
            self.flush()
        if not self._timer_runs:
            self._timer_runs = True
            self._clock.call_later(self._flush_interval, self._tick)

    def flush(self) -> None:
        """Write what waits, as far as the file takes it."""
        if not self._lines:
            return
        stats = self._stats
        stats.write_buffered += self.uncounted
        data = b"".join(self._lines)
        most = MOST_WAITING
        written = 0
        try:
            written = os.write(self._fd, data) if self._fd >= 0 else 0
            stats.write_completed += 1
        except BlockingIOError:
            pass
        except OSError:
            stats.write_failed += 1
            most = 0  # No space, or nobody will ever read: these lines are lost, later ones may not be.
        if written:
            self._begun = data[written - 1] != _NEWLINE
        rest = data[written:]
        if len(rest) > most:
            # What remains of a line that was begun is kept, so that the log stays made of lines.
            kept = rest[: rest.index(b"\n") + 1] if self._begun else b""
            self.dropped += rest.count(b"\n", len(kept))
            rest = kept
        self._lines = [rest] if rest else []
        self._counted = len(self._lines)
        self._size = len(rest)
        self._flush_at = FLUSH_SIZE + 2 * len(rest)

    @property
    def uncounted(self) -> int:
        """How many lines came since the last flush."""
        return len(self._lines) - self._counted

    @property
    def waiting(self) -> int:
        """How many bytes wait."""
        return self._size

    def reopen(self) -> None:
        """Write what waits to the old file, then go on with whatever has the name now (after a rotation).

        If it cannot be opened the old file stays in use.
        """
        self.flush()
        try:
            fd = _open(self.path)
        except OSError:
            self._stats.reopen_failed += 1
            return
        os.close(self._fd)
        self._fd = fd
        self._begun = False

    def close(self) -> None:
        self.flush()
        os.close(self._fd)
        self._fd = -1

    def _tick(self) -> None:
        self._timer_runs = False
        if self._fd >= 0:
            self._stats.flushed_by_timer += 1
            self.flush()
            if self._lines:
                self._timer_runs = True
                self._clock.call_later(self._flush_interval, self._tick)


class LogFiles:
    """The log files of one process, each open once however many write to it."""

    def __init__(self, clock: Clock, flush_interval: float = FLUSH_INTERVAL) -> None:
        self._clock = clock
        self._flush_interval = flush_interval
        self._stats = FileStats()
        self._files: dict[str, LogFile] = {}

    def open(self, path: str) -> LogFile:
        """The file of that path.  OSError if it cannot be opened."""
        found = self._files.get(path)
        if found is None:
            found = self._files[path] = LogFile(self._clock, path, self._flush_interval, self._stats)
        return found

    def reopen(self) -> None:
        for file in self._files.values():
            file.reopen()

    def flush(self) -> None:
        for file in self._files.values():
            file.flush()

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    def collect(self, out: Snapshot) -> None:
        """Write `filesystem.*`."""
        prefix = "filesystem."
        self._stats.collect(prefix, out)
        for file in self._files.values():
            out.counters[prefix + "write_buffered"] += file.uncounted
            out.gauges[prefix + "write_total_buffered"] += file.waiting

    @property
    def dropped(self) -> int:
        """Lines that were lost, in all files."""
        return sum(file.dropped for file in self._files.values())


def _open(path: str) -> int:
    """A descriptor of our own for `path`, non-blocking, so that a pipe that nobody reads does not stop us.

    A file that our output goes to is shared: the program's own log lines, which are not appended, would write over ours.
    """
    standard = _STANDARD.get(path)
    try:
        if standard is not None and stat.S_ISREG(os.fstat(standard).st_mode):
            return os.dup(standard)
        return os.open(path, _FLAGS, 0o644)
    except OSError:
        if standard is None:
            raise
        # It is a socket, or a file of another user: share the one we have.
        return os.dup(standard)
