"""A worker's way out: announce it, let requests finish, close what is idle, and be gone within the time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twistproxy.api.clock import Clock

#: Seconds between looks.
_POLL = 0.05
#: Seconds for which idle connections stay open, so that their next answer can tell the other side to close.
#: A connection that we close while a request is on its way to us is a request lost.
_GRACE = 0.5
#: Seconds that connections which did not end in time have to be gone: their requests are logged and counted then.
_LAST_LOOK = 0.2


class Drainable(Protocol):
    """The part of the data plane that is drained."""

    def active_connections(self) -> int: ...

    def active_requests(self) -> int: ...

    def close_idle(self) -> None: ...

    def abort_all(self) -> None: ...


class Drain:
    """`plane`, whose drain is announced and which accepts no more, is empty within `seconds`; then calls
    `done`."""

    def __init__(self, plane: Drainable, clock: Clock, seconds: float, done: Callable[[], None]) -> None:
        self._plane = plane
        self._clock = clock
        self._done = done
        now = clock.monotonic()
        self._deadline = now + seconds
        self._grace_ends = now + min(_GRACE, seconds / 4)
        self._look()

    def hurry(self, seconds: float) -> None:
        """The end is now `seconds` away, if it was later."""
        self._deadline = min(self._deadline, self._clock.monotonic() + seconds)

    def _look(self) -> None:
        plane = self._plane
        now = self._clock.monotonic()
        if now >= self._grace_ends and plane.active_requests() == 0:
            plane.close_idle()
        if now >= self._deadline:
            plane.abort_all()
        if plane.active_connections() == 0 or now >= self._deadline + _LAST_LOOK:
            self._done()
        else:
            self._clock.call_later(_POLL, self._look)
