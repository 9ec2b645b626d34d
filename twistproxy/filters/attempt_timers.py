"""When the attempts of one request are over time, and when the next one is due."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twistproxy.filters.attempt import NEVER, Attempt
from twistproxy.filters.timeouts import Timeouts
from twistproxy.primitives.deadlines import Deadlines


class TimersOwner(Protocol):
    def try_again(self) -> None:
        """The back-off is over."""

    def try_timed_out(self, attempt: Attempt, idle: bool, /) -> None:
        """The per-try timeout, or if `idle` the per-try idle timeout, is over."""

    def duration_reached(self, attempt: Attempt, /) -> None:
        """An attempt has lasted too long."""


class AttemptTimers:
    """`primitives.deadlines.HasDeadline`.  The owner changes what is below and calls `rearm`.

    attempts  those under way
    retry_at  when the next one is to be made
    """

    __slots__ = ("_deadlines", "_monotonic", "_owner", "_timeouts", "attempts", "deadline", "retry_at")

    def __init__(
        self,
        owner: TimersOwner,
        timeouts: Timeouts,
        monotonic: Callable[[], float],
        deadlines: Deadlines,
    ) -> None:
        self._owner = owner
        self._timeouts = timeouts
        self._monotonic = monotonic
        self._deadlines = deadlines
        self.attempts: list[Attempt] = []
        self.retry_at = NEVER
        self.deadline = NEVER

    def connected(self, attempt: Attempt, complete: bool) -> None:
        """An attempt has its connection.  `complete`: the request is, so that its response can be waited for."""
        duration = self._timeouts.duration
        if duration:
            attempt.duration_at = self._monotonic() + duration / 1000
        if complete:
            self._limit(attempt)
        self.rearm()

    def request_ended(self) -> None:
        for attempt in self.attempts:
            if attempt.sent:
                self._limit(attempt)
        self.rearm()

    def _limit(self, attempt: Attempt) -> None:
        timeouts = self._timeouts
        now = self._monotonic()
        if timeouts.per_try:
            attempt.try_at = now + timeouts.per_try / 1000
        if timeouts.per_try_idle:
            attempt.idle_at = now + timeouts.per_try_idle / 1000

    def heard(self, attempt: Attempt) -> None:
        """The upstream is not silent."""
        if attempt.idle_at != NEVER:
            attempt.idle_at = self._monotonic() + self._timeouts.per_try_idle / 1000

    def retry_in(self, delay: float) -> None:
        """`delay`: seconds."""
        self.retry_at = self._monotonic() + delay
        self.rearm()

    def on_deadline(self, now: float) -> None:
        """Called by `Deadlines`."""
        owner = self._owner
        for attempt in tuple(self.attempts):
            if attempt not in self.attempts:
                continue  # it ended because of one before it
            if now >= attempt.duration_at:
                attempt.duration_at = NEVER
                owner.duration_reached(attempt)
            elif now >= min(attempt.try_at, attempt.idle_at):
                idle = attempt.idle_at < attempt.try_at
                attempt.try_at = attempt.idle_at = NEVER
                owner.try_timed_out(attempt, idle)
        if now >= self.retry_at:
            self.retry_at = NEVER
            owner.try_again()
        self.rearm()

    def rearm(self) -> None:
        """Wake up when the next limit is reached."""
        due = self.retry_at
        for attempt in self.attempts:
            due = min(due, attempt.try_at, attempt.idle_at, attempt.duration_at)
        if due != NEVER:
            self.deadline = due
            self._deadlines.add(self)
        elif self.deadline != NEVER:
            self.deadline = NEVER
            self._deadlines.discard(self)
