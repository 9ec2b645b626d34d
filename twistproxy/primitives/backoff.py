"""Delays between attempts that fail, longer and longer, and never the same for all who wait."""

from __future__ import annotations

from collections.abc import Callable


class Backoff:
    """Jittered exponential delays, as Envoy's JitteredExponentialBackOffStrategy has them.

    base    the first delay is below this, each later one below twice the limit of the one before (seconds)
    most    no limit grows beyond this (seconds)
    random  a random number, 0 <= x < 1
    """

    def __init__(self, base: float, most: float, random: Callable[[], float]) -> None:
        self._base = base
        self._most = most
        self._random = random
        self._limit = base

    def next(self) -> float:
        """The delay after one more failure, in seconds.  Never under a tenth of the base."""
        limit = self._limit
        self._limit = min(limit * 2, self._most)
        return max(self._random() * limit, self._base / 10)

    def reset(self) -> None:
        """There was a success."""
        self._limit = self._base
