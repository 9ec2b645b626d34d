"""Time that passes only when a test says so."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any


class FakeTimer:
    """One call that is due at `when`."""

    def __init__(self, when: float, call: Callable[..., Any], args: tuple[Any, ...]) -> None:
        self.when = when
        self.call = call
        self.args = args
        self.active = True

    def cancel(self) -> None:
        assert self.active, "a timer is cancelled only before it is due, and only once"
        self.active = False


class FakeClock:
    """`api.clock.Clock`.  Starts at 1000 s monotonic; wall time is 2023-11-14T22:13:20Z then."""

    def __init__(self) -> None:
        self._now = 1000.0
        self._count = 0
        self._queue: list[tuple[float, int, FakeTimer]] = []

    def monotonic(self) -> float:
        return self._now

    def wall(self) -> float:
        return self._now - 1000.0 + 1_700_000_000.0

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> FakeTimer:
        assert delay >= 0
        timer = FakeTimer(self._now + delay, call, args)
        self._count += 1
        heapq.heappush(self._queue, (timer.when, self._count, timer))
        return timer

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass; calls that are due are made at their time and in their order."""
        until = self._now + seconds
        while self._queue and self._queue[0][0] <= until:
            when, _, timer = heapq.heappop(self._queue)
            if timer.active:
                self._now = max(self._now, when)
                timer.active = False
                timer.call(*timer.args)
        self._now = until

    def pending(self) -> list[FakeTimer]:
        """Timers that are still to come."""
        return [timer for _, _, timer in sorted(self._queue, key=lambda entry: entry[:2]) if timer.active]
