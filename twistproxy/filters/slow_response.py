"""A response whose content goes on no faster than so many bytes a second (Envoy: StreamRateLimiter)."""

from __future__ import annotations

from typing import Any

from twistproxy.api.clock import Clock, Timer

#: Seconds between two pieces.
_INTERVAL = 0.05


class SlowResponse:
    """The content waits at a filter, and some of it is let go every 50 ms.  A second's worth may be saved up."""

    __slots__ = ("_allowed", "_clock", "_owner", "_rate", "_since", "_stream", "_timer")

    def __init__(self, owner: Any, stream: Any, rate: int, clock: Clock) -> None:
        """
        owner  the filter at which the content waits
        rate   bytes a second
        """
        self._owner = owner
        self._stream = stream
        self._rate = rate
        self._clock = clock
        self._allowed = rate * _INTERVAL
        self._since = clock.monotonic()
        self._timer: Timer | None = None

    def expect(self) -> None:
        """Content is about to wait."""
        if self._timer is None:
            self._timer = self._clock.call_later(0.0, self._release)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _release(self) -> None:
        now = self._clock.monotonic()
        self._allowed = min(self._allowed + (now - self._since) * self._rate, self._rate)
        self._since = now
        most = int(self._allowed)
        self._timer = self._clock.call_later(_INTERVAL, self._release)
        released = self._stream.release_response(self._owner, most)
        self._allowed -= released
        if released < most:
            self.end()
