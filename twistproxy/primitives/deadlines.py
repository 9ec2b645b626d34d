"""Deadlines of many objects on one timer.

A timer of its own for each request would be allocated and cancelled for nothing almost every time.  Here an object
joins a set, and the one timer is armed for the earliest deadline known.  With deadlines that are mostly alike, and
most objects long gone when the first would be due, the set is walked once in a great while.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class _Timer(Protocol):
    def cancel(self) -> None: ...


class HasDeadline(Protocol):
    """`deadline`: monotonic seconds.  May be moved later at will; to move it earlier call `Deadlines.add` again."""

    deadline: float

    def on_deadline(self, now: float) -> None:
        """It is due.  Leaves the set, or has a later `deadline` when this returns."""


class Deadlines:
    """`add` and `discard` cost a set operation each.  Nothing fires earlier than due, nor later than `resolution`
    seconds after it."""

    __slots__ = ("_call_later", "_members", "_monotonic", "_next", "_resolution", "_timer")

    def __init__(
        self, monotonic: Callable[[], float], call_later: Callable[..., Any], resolution: float = 0.005
    ) -> None:
        self._monotonic = monotonic
        self._call_later = call_later
        self._resolution = resolution
        self._members: set[HasDeadline] = set()
        self._next = float("inf")
        self._timer: _Timer | None = None

    def add(self, member: HasDeadline) -> None:
        self._members.add(member)
        if member.deadline < self._next:
            self._arm(member.deadline)

    def discard(self, member: HasDeadline) -> None:
        self._members.discard(member)

    def __len__(self) -> int:
        return len(self._members)

    def stop(self) -> None:
        """Forget everything; for the end of a process and of a test."""
        self._members.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._next = float("inf")

    def _arm(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._next = when
        self._timer = self._call_later(max(self._resolution, when - self._monotonic()), self._tick)

    def _tick(self) -> None:
        self._timer = None
        self._next = float("inf")
        now = self._monotonic()
        for member in [member for member in self._members if member.deadline <= now]:
            if member in self._members:
                member.on_deadline(now)
        if self._members:
            earliest = min(member.deadline for member in self._members)
            if earliest < self._next:
                self._arm(earliest)
