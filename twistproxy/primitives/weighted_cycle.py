"""Items in turn by weight: an earliest-deadline-first schedule, as Envoy's `EdfScheduler`."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from random import Random
from typing import Generic, TypeVar

T = TypeVar("T")

#: Weights below this count as this: their turn is too far away to come.
_LEAST = 1e-100
#: How far into the cycle of the lightest item a schedule may begin; further on, numbers lose their precision.
_LONGEST = 1000.0
#: By how much of its period each item is early: where several are due at once, lighter ones go first, as in Envoy.
_EARLY = 1e-6


class WeightedCycle(Generic[T]):
    """`next()` gives each item in proportion to its weight, evenly spread.  Costs O(log n).

    `weigh(item, weight)` may change a weight each time the item comes up.  Nothing is done before the first `next`: a
    schedule that is soon replaced costs nothing.
    """

    __slots__ = ("_heap", "_items", "_order", "_random", "_weigh", "_weights")

    def __init__(
        self,
        items: Sequence[T],
        weights: Sequence[float],
        random: Random,
        weigh: Callable[[T, float], float] | None = None,
    ) -> None:
        self._items = items
        self._weights = weights
        self._random = random
        self._weigh = weigh
        self._order = len(items)
        self._heap: list[tuple[float, int, float, T]] = []

    def next(self) -> T:
        heap = self._heap
        if not heap:
            self._begin()
            heap = self._heap
        deadline, _, weight, item = heap[0]
        self._order += 1
        effective = weight if self._weigh is None else max(self._weigh(item, weight), _LEAST)
        heapq.heapreplace(heap, (deadline + 1.0 / effective, self._order, weight, item))
        return item

    def _begin(self) -> None:
        """As the schedule is at some moment of its cycle: not every worker begins with the same item."""
        weigh = self._weigh
        pairs = zip(self._items, self._weights, strict=True)
        effective = [weight if weigh is None else max(weigh(item, weight), _LEAST) for item, weight in pairs]
        moment = self._random.random() * min(_LONGEST, max(1.0, 1.0 / min(effective)))
        self._heap = [
            ((int(moment * now) + 1 - _EARLY) / now, at, weight, item)
            for at, (item, weight, now) in enumerate(zip(self._items, self._weights, effective))
        ]
        heapq.heapify(self._heap)
