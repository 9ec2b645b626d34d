"""How long a downstream connection lives: its deadlines, and its end (Envoy: faq/configuration/timeouts)."""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.api.codec import ResponseEncoder, ServerCodec
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.observe import flags
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.stream.context import Connection
from twistproxy.stream.stream import Stream

_FOREVER = float("inf")


class ConnectionLife(Connection):
    """The part of `HttpConnection` that time is about; a member of `Deadlines`.

    stream             the request that is under way
    requests           how many there were
    head_due           when a head that has begun must be complete; 0 if none has
    closing            the response under way, or the next one, is the last
    is_soft_draining   it is too old, and waits for a response to say so with
    """

    __slots__ = (
        "_closes_at",
        "_deadlines",
        "_ending",
        "_head_since",
        "_is_drained",
        "_monotonic",
        "_settings",
        "_stats",
        "_unsent",
        "closing",
        "deadline",
        "head_due",
        "is_soft_draining",
        "opened_at",
        "requests",
        "stream",
        "used_at",
    )

    def __init__(
        self,
        settings: HttpManagerSettings,
        stats: HttpManagerStats,
        deadlines: Deadlines,
        monotonic: Callable[[], float],
        codec: ServerCodec,
        first_limit: float,
    ) -> None:
        """`first_limit`: the least of the limits, in seconds, that hold from the start."""
        self._settings = settings
        self._stats = stats
        self._deadlines = deadlines
        self._monotonic = monotonic
        self.codec = codec
        self.stream: Stream | None = None
        self.requests = 0
        self.closing = False
        self.is_soft_draining = False
        self._is_drained = False
        self.head_due = 0.0
        self._head_since = 0.0
        self._closes_at = _FOREVER  # drained, and without a request by then
        self._ending = False  # nothing more is read; what was written goes out
        self._unsent = 0
        self.opened_at = self.used_at = now = monotonic()
        self.deadline = now + first_limit

    def refuse(self, encoder: ResponseEncoder, status: int, body: bytes, flag: int, details: str) -> None:
        """Answer what is no whole request, and close."""
        raise NotImplementedError

    def underscores_found(self, count: int, refused: bool) -> None:
        stats = self._stats
        if refused:
            stats.requests_with_underscores += count
        else:
            stats.fields_with_underscores += count

    def head_started(self) -> None:
        if self.head_due:
            return
        self._head_since = now = self._monotonic()
        settings = self._settings
        self.head_due = now + min(
            settings.request_headers_timeout or _FOREVER,
            settings.request_timeout or _FOREVER,
            settings.stream_idle_timeout or _FOREVER,
        )
        if self.head_due < self.deadline:
            self.deadline = self.head_due
            self._deadlines.add(self)

    # ---- from the stream

    def stream_ended(self, stream: Stream, now: float) -> None:
        self.stream = None
        self.used_at = now

    def drained(self) -> None:
        """A response of it said that it ends because everything does."""
        if not self._is_drained:
            self._is_drained = True
            self._stats.downstream_cx_drain_close += 1

    def keepalive_disabled(self) -> None:
        """The response about to be encoded is the last one: the overload manager wants it so."""
        if not self._is_drained:
            self._stats.downstream_cx_overload_disable_keepalive += 1
            self.drained()
        self.codec.close_after_response()

    def answered_early(self) -> None:
        self.closing = True
        self.codec.close_after_response()

    # ---- time

    def use_settings(self, settings: HttpManagerSettings, now: float) -> None:
        """These time limits hold from now on."""
        self._settings = settings
        if not self._ending:
            self.deadline = now
            self._deadlines.add(self)

    def on_deadline(self, now: float) -> None:
        """Idle, too old, a head that does not come to its end, or an end that the client does not take."""
        if self._ending:
            self._end(now)
            return
        if self.head_due and now >= self.head_due:
            self._head_late(now - self._head_since)
            return
        settings = self._settings
        busy = self.stream is not None or not self.codec.idle
        if self.closing:
            if now >= self._closes_at:
                if not busy:
                    self.codec.close()
                    return
                self._closes_at = now + (settings.drain_timeout or 0.1)  # its request is the last one
            self._wait_until(self._closes_at)
            return
        oldest = self.opened_at + (settings.max_connection_duration or _FOREVER)
        idle_timeout = settings.idle_timeout or _FOREVER
        idle_at = _FOREVER if busy else self.used_at + idle_timeout
        if now < oldest and now < idle_at:
            self._wait_until(min(oldest, now + idle_timeout if busy else idle_at))
            return
        if now >= oldest:
            self._stats.downstream_cx_max_duration_reached += 1
        else:
            self._stats.downstream_cx_idle_timeout += 1
        if not self.requests and not busy:
            self.codec.close()
            return
        # Envoy only drains here: a request may be on its way.
        self.closing = True
        self.codec.drain()
        if now >= oldest and settings.http1_safe_max_connection_duration:
            self.is_soft_draining = True  # until there is a response to say so with
        else:
            self._closes_at = now + settings.drain_timeout
        self._wait_until(self._closes_at)

    def _wait_until(self, when: float) -> None:
        self.deadline = min(when, self.head_due or _FOREVER)
        if self.deadline == _FOREVER:
            self._deadlines.discard(self)

    def _head_late(self, after: float) -> None:
        """A head that has begun takes too long; `after` so many seconds."""
        self.head_due = 0.0
        settings = self._settings
        stats = self._stats
        encoder = self.codec.give_up()
        if settings.request_headers_timeout and after >= settings.request_headers_timeout:
            stats.downstream_rq_header_timeout += 1
            self.refuse(encoder, 408, b"request header timeout", 0, "request_header_timeout")
        elif settings.request_timeout and after >= settings.request_timeout:
            stats.downstream_rq_timeout += 1
            self.refuse(encoder, 408, b"request timeout", 0, "request_overall_timeout")
        else:
            stats.downstream_rq_idle_timeout += 1
            self.refuse(encoder, 408, b"stream timeout", flags.SI, "stream_idle_timeout")

    # ---- the end

    def close_later(self) -> None:
        """Let the client read the answer before its connection is gone (`delayed_close_timeout`)."""
        self.closing = True
        if self._settings.delayed_close_timeout:
            self.codec.half_close()
            self._begin_end()
        else:
            self.codec.close()

    def close_begun(self) -> None:
        self.closing = True
        if self._settings.delayed_close_timeout and self.codec.unsent:
            self._begin_end()
        else:
            self._deadlines.discard(self)

    def _begin_end(self) -> None:
        self._ending = True
        self._unsent = self.codec.unsent
        self.deadline = self._monotonic() + self._settings.delayed_close_timeout
        self._deadlines.add(self)

    def _end(self, now: float) -> None:
        """Wait on as long as the client takes some of what is left for it."""
        left = self.codec.unsent
        if 0 < left < self._unsent:
            self._unsent = left
            self.deadline = now + self._settings.delayed_close_timeout
            return
        self._stats.downstream_cx_delayed_close_timeout += 1
        self._deadlines.discard(self)
        self.codec.transport.abortConnection()
