"""Many objects that are each to be called at a time of its own, on one timer.

A timer of its own for each would be made, sorted and thrown away each time.  Here time is counted in ticks, objects of
one tick are called together, and only the ticks are sorted.  So it is for what comes again and again, and not to the
millisecond.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from math import ceil
from typing import Any, Protocol

#: Seconds.
TICK = 0.005
#: Of a tick, by which one may come too early, so that sums of floats do not cost a whole one.
_TOLERANCE = 0.01
_NEVER = 2**62


class _Timer(Protocol):
    def cancel(self) -> None: ...


class IsDue(Protocol):
    """`due`: when it is to be called, in ticks; 0: not at all.  It is the schedule's to set, but may be set to 0."""

    due: int

    def on_due(self) -> None:
        """It is time."""


class Schedule:
    """Nothing is called before its time, but for a hundredth of a tick, nor later than a tick after it."""

    __slots__ = ("_armed", "_call_later", "_members", "_monotonic", "_order", "_timer")

    def __init__(self, monotonic: Callable[[], float], call_later: Callable[..., Any]) -> None:
        self._monotonic = monotonic
        self._call_later = call_later
        self._members: dict[int, list[IsDue]] = {}
        self._order: list[int] = []
        #: the tick at which the timer goes off; members that come now and are due later need no other
        self._armed = _NEVER
        self._timer: _Timer | None = None

    def add(self, member: IsDue, delay: float) -> None:
        """Call it once in so many seconds, and not when it was to be called before."""
        tick = ceil((self._monotonic() + delay) / TICK - _TOLERANCE)
        member.due = tick
        members = self._members.get(tick)
        if members is not None:
            members.append(member)
            return
        self._members[tick] = [member]
        heappush(self._order, tick)
        if tick < self._armed:
            self._arm(tick)

    def stop(self) -> None:
        """Forget everything; for the end of a process and of a test."""
        self._members.clear()
        self._order.clear()
        self._armed = _NEVER
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _arm(self, tick: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._armed = tick
        self._timer = self._call_later(max(0.0, tick * TICK - self._monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._armed = 0
        now = self._monotonic() / TICK + _TOLERANCE
        order = self._order
        try:
            while order and order[0] <= now:
                tick = order[0]
                members = self._members[tick]
                while members:
                    member = members.pop()
                    if member.due == tick:
                        member.due = 0
                        member.on_due()
                heappop(order)
                del self._members[tick]
        finally:
            # Also if one of them raises: the others are to have their turn.
            self._armed = _NEVER
            if order:
                self._arm(order[0])
