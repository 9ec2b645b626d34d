"""Time, as the data plane sees it.  `transport.clock` makes one from a reactor; tests pass a fake."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol


class Timer(Protocol):
    """A call that is due later."""

    def cancel(self) -> None:
        """Forget the call.  Only before it is due, and only once."""


class Clock(Protocol):
    """Two times under two names, and calls later."""

    def monotonic(self) -> float:
        """Seconds from an arbitrary start; never goes back.  For intervals and deadlines."""

    def wall(self) -> float:
        """Seconds since the epoch.  For people: logs and the Date header."""

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any) -> Timer:
        """Call `call(*args)` after `delay` seconds."""
