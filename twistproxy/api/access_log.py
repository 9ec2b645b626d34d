"""Access logs, as the connection manager sees them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

#: Called with each stream that has ended.
AccessLog = Callable[[Any], None]


class LogSink(Protocol):
    """A log file, opened by `transport.log_file`."""

    def write(self, data: bytes) -> None:
        """Append `data`, whole lines, some time soon."""


class LogFiles(Protocol):
    def open(self, path: str) -> LogSink:
        """The sink for a path; the same sink for the same path."""
