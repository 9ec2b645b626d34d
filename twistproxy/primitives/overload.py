"""What the overload manager says at the moment, as a worker knows it."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random


class Overload:
    """Numbers from 0 (nothing) to 1 (fully), by the names of actions and load shed points.

    counts  how often each load shed point was met
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._values: Mapping[str, float] = {}
        self.counts: dict[str, int] = {}

    def replace(self, values: Mapping[str, float]) -> None:
        """Let these be the values from now on, and 0 what they do not have."""
        self._values = values

    def value(self, name: str) -> float:
        return self._values.get(name, 0.0)

    def happens(self, action: str) -> bool:
        """Whether an action meets this request or this connection."""
        value = self._values.get(action)
        return value is not None and (value >= 1 or self._random.random() < value)

    def sheds(self, point: str) -> bool:
        """Whether something is refused at this point; then it is counted."""
        if not self.happens(point):
            return False
        self.counts[point] = self.counts.get(point, 0) + 1
        return True

    def copy(self) -> Overload:
        """The same, to be tried out."""
        other = Overload(self._random)
        other.replace(self._values)
        return other

    @property
    def active(self) -> list[str]:
        """The names of what is not 0."""
        return sorted(name for name, value in self._values.items() if value)
