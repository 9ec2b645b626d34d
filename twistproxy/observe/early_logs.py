"""Access log lines before a request's end (HcmAccessLogOptions): at its begin, in between, when its tunnel is open."""

from __future__ import annotations

from typing import Any

from twistproxy.api.access_log import AccessLog
from twistproxy.model.access_log import AccessLogOptions
from twistproxy.primitives.deadlines import Deadlines


class EarlyLogs:
    """One for a connection manager that wants any of it.

    writing  %ACCESS_LOG_TYPE% of the line that is being written, "NotSet" between lines
    """

    __slots__ = ("_deadlines", "_logs", "_options", "_running", "writing")

    def __init__(self, logs: tuple[AccessLog, ...], options: AccessLogOptions, deadlines: Deadlines) -> None:
        self._logs = logs
        self._options = options
        self._deadlines = deadlines
        self._running: dict[Any, _Periodic] = {}
        self.writing = "NotSet"

    def started(self, stream: Any) -> None:
        """Its route is known, and no filter has seen it."""
        if self._options.on_new_request:
            self.write(stream, "DownstreamStart")
        interval = self._options.interval
        if interval:
            self._running[stream] = periodic = _Periodic(self, stream, stream.start + interval, interval)
            self._deadlines.add(periodic)

    def tunnel_open(self, stream: Any) -> None:
        if self._options.on_tunnel:
            self.write(stream, "DownstreamTunnelSuccessfullyEstablished")

    def ended(self, stream: Any) -> None:
        periodic = self._running.pop(stream, None)
        if periodic is not None:
            self._deadlines.discard(periodic)

    def write(self, stream: Any, kind: str) -> None:
        self.writing = kind
        for log in self._logs:
            log(stream)
        self.writing = "NotSet"


class _Periodic:
    """`primitives.deadlines.HasDeadline` of one stream."""

    __slots__ = ("_interval", "_logs", "_stream", "deadline")

    def __init__(self, logs: EarlyLogs, stream: Any, deadline: float, interval: float) -> None:
        self._logs = logs
        self._stream = stream
        self.deadline = deadline
        self._interval = interval

    def on_deadline(self, now: float) -> None:
        self.deadline = now + self._interval
        self._logs.write(self._stream, "DownstreamPeriodic")
