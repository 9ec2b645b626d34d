"""How long a stream may take, and be silent (Envoy: faq/configuration/timeouts)."""

from __future__ import annotations

from twistproxy.http.headers import Header
from twistproxy.observe import flags
from twistproxy.stream.record import StreamRecord

_FOREVER = float("inf")


class LimitedStream(StreamRecord):
    """A member of `Deadlines`."""

    __slots__ = ()

    def local_reply(
        self,
        status: int,
        body: bytes,
        flag: int,
        details: str,
        headers: tuple[Header, ...] = (),
        content_type: bytes = b"",
    ) -> None:
        raise NotImplementedError

    def set_timeout(self, when: float) -> None:
        """The route's time limit, in monotonic seconds."""
        self.timeout_at = when
        if when < self.deadline:
            self.deadline = when
            self.context.deadlines.add(self)

    def set_limits(self, idle_timeout: float | None, duration: float | None) -> None:
        """A route's limits in place of the manager's: of silence, and of the whole stream.  Seconds, 0 for none; None:
        as it is."""
        if idle_timeout is not None:
            self.idle_timeout = idle_timeout or _FOREVER
        if duration is not None:
            self.duration_at = self.start + (duration or _FOREVER)
        self.deadline = min(self.deadline, self.last_activity + self.idle_timeout, self.duration_at)
        self.context.deadlines.add(self)

    def on_deadline(self, now: float) -> None:
        """Called by `Deadlines`."""
        context = self.context
        if now >= self.timeout_at:
            self.timeout_at = _FOREVER
            self.deadline = min(now + self.idle_timeout, self.duration_at)
            if self.upstream is not None:  # a filter may hold a response that is complete
                self.upstream.timed_out()
            return
        if (
            context.request_timeout
            and not self.request_ended_at
            and self.response is None
            and now >= self.start + context.request_timeout
        ):
            context.stats.downstream_rq_timeout += 1
            self.local_reply(408, b"request timeout", 0, "request_overall_timeout")
            return
        if now >= self.duration_at:
            context.stats.downstream_rq_max_duration_reached += 1
            status = 504 if self.request_ended_at else 408
            self.local_reply(status, b"downstream duration timeout", 0, "max_duration_timeout")
            return
        idle_at = self.last_activity + context.idle_limit(self.idle_timeout)
        if now >= idle_at:
            context.stats.downstream_rq_idle_timeout += 1
            status = 504 if self.request_ended_at else 408  # whose silence it is
            self.local_reply(status, b"stream timeout", flags.SI, "stream_idle_timeout")
            return
        self.deadline = min(self.timeout_at, idle_at, self.duration_at)
