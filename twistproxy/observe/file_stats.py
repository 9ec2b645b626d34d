"""What log files count (Envoy: configuration/observability/access_log/stats, "File access log")."""

from __future__ import annotations

from twistproxy.observe.stats import Group


class FileStats(Group):
    """`filesystem.*`, of all files of a process.

    write_buffered        lines that came, counted when they are written
    write_total_buffered  bytes that wait, put in when somebody asks
    """

    COUNTERS = ("flushed_by_timer", "reopen_failed", "write_buffered", "write_completed", "write_failed")
    GAUGES = ("write_total_buffered",)

    def __init__(self) -> None:
        self.flushed_by_timer = 0
        self.reopen_failed = 0
        self.write_buffered = 0
        self.write_completed = 0
        self.write_failed = 0
        self.write_total_buffered = 0
