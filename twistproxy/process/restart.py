"""When a process that has ended is started again.  Pure: times and random numbers come in, a decision goes
out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Decision:
    """Start again after `delay` seconds.  `give_up`: meanwhile, leave to others what the process was there
    for."""

    delay: float
    give_up: bool


class RestartPolicy:
    """Replaced at once; but whoever keeps dying young waits longer each time.

    random      a number from 0 to below 1
    young       a process that ends before this age (seconds) has failed; an older one clears the record
    patience    this many failures in a row are still answered at once
    base, most  the delay after that: `base` seconds, doubled with each failure, at most `most`; each is shortened by up
                to a half at random, so that many do not start at the same moment
    hopeless    from a delay of so many seconds on, what waits for the process would wait too long: a worker's listening
                sockets hold connections that are lost when they are closed, so until then they are kept
    """

    def __init__(
        self,
        random: Callable[[], float],
        young: float = 1.0,
        patience: int = 2,
        base: float = 0.5,
        most: float = 30.0,
        hopeless: float = 4.0,
    ) -> None:
        self._random = random
        self._young = young
        self._patience = patience
        self._base = base
        self._most = most
        self._hopeless = hopeless
        self._failures = 0

    @property
    def failures(self) -> int:
        """How often in a row the process has died young."""
        return self._failures

    def ended(self, age: float) -> Decision:
        """The process has ended at this age, in seconds; 0 if it could not be started at all."""
        if age >= self._young:
            self._failures = 0
            return Decision(0.0, give_up=False)
        self._failures += 1
        excess = self._failures - self._patience
        if excess <= 0:
            return Decision(0.0, give_up=False)
        # The exponent is bounded: 2.0**1100 would overflow after a few hours of failures.
        limit = min(self._base * 2.0 ** min(excess - 1, 32), self._most)
        return Decision(limit * (1.0 - 0.5 * self._random()), give_up=limit >= self._hopeless)
