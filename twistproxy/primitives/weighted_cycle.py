"""Items in turn by weight: an earliest-deadline-first schedule, as Envoy's `EdfScheduler`."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")


class WeightedCycle(Generic[T]):
    """`next()` gives each item in proportion to its weight, evenly spread.  Costs O(log n).

    `weigh(item, weight)` may change a weight each time the item comes up.
    """

    __slots__ = ("_heap", "_now", "_order", "_weigh")

    def __init__(
        self,
        items: Sequence[T],
        weights: Sequence[float],
        random: Random,
        weigh: Callable[[T, float], float] | None = None,
    ) -> None:
        self._weigh = weigh
        self._now = 0.0
        self._order = len(items)
        # Each starts somewhere within its period, so that schedules in several workers do not march in step.
        self._heap = [
            (random.random() / weight, at, weight, item)
            for at, (item, weight) in enumerate(zip(items, weights, strict=True))
        ]
        heapq.heapify(self._heap)

    def next(self) -> T:
        deadline, _, weight, item = self._heap[0]
        self._now = deadline
        self._order += 1
        effective = weight if self._weigh is None else self._weigh(item, weight)
        heapq.heapreplace(self._heap, (deadline + 1.0 / effective, self._order, weight, item))
        return item
