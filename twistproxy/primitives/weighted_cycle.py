"""Items in turn by weight: an earliest-deadline-first schedule, as Envoy's `EdfScheduler`."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Generic, TypeVar

T = TypeVar("T")

#: Weights below this count as this: their turn is too far away to come.
_LEAST = 1e-100
#: How far into the cycle of the lightest item a schedule may begin; further on, numbers lose their precision.
_LONGEST = 1000.0
#: By how much of its period each item is early: where several are due at once, lighter ones go first, as in Envoy.
_EARLY = 1e-6


class _Turns:
    """Of one item: its weight, and whether it has turns at all."""

    __slots__ = ("item", "over", "weight")

    def __init__(self, item: Any, weight: float) -> None:
        self.item = item
        self.weight = weight
        self.over = False


class WeightedCycle(Generic[T]):
    """`next()` gives each item in proportion to its weight, evenly spread.  Costs O(log n), as `put` and `remove` do.

    `weigh(item, weight)` may change a weight each time the item comes up.  Nothing is done before the first `next`: a
    schedule that is soon replaced costs nothing.
    """

    __slots__ = ("_heap", "_items", "_order", "_over", "_random", "_turns", "_weigh", "_weights")

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
        #: by deadlines; those that are over leave when they come up, or when they become many
        self._heap: list[tuple[float, int, _Turns]] = []
        self._over = 0
        #: by item, from the first change on
        self._turns: dict[T, _Turns] | None = None

    @property
    def begun(self) -> bool:
        """Whether there has been a `next`: only then it can be changed."""
        return bool(self._heap)

    def next(self) -> T:
        heap = self._heap
        if not heap:
            self._begin()
            heap = self._heap
        deadline, _, turns = heap[0]
        while turns.over:
            heapq.heappop(heap)
            self._over -= 1
            deadline, _, turns = heap[0]
        self._order += 1
        item: T = turns.item
        heapq.heapreplace(heap, (deadline + 1.0 / self._effective(item, turns.weight), self._order, turns))
        return item

    def put(self, item: T, weight: float) -> None:
        """It has this weight from now on, whether it was there or not.  A new one begins anywhere in its period."""
        turns = self._by_item()
        old = turns.get(item)
        if old is not None:
            if old.weight == weight:
                return
        turns[item] = new = _Turns(item, weight)
        self._order += 1
        deadline = self._heap[0][0] + self._random.random() / self._effective(item, weight)
        heapq.heappush(self._heap, (deadline, self._order, new))
        if old is not None:
            self._end(old)

    def remove(self, item: T) -> None:
        """It is not there any more.  One must stay."""
        old = self._by_item().pop(item, None)
        if old is not None:
            self._end(old)

    def _end(self, turns: _Turns) -> None:
        turns.over = True
        self._over += 1
        if self._over * 2 > len(self._heap):
            self._heap = [one for one in self._heap if not one[2].over]
            heapq.heapify(self._heap)
            self._over = 0

    def _by_item(self) -> dict[T, _Turns]:
        found = self._turns
        if found is None:
            found = self._turns = {turns.item: turns for _, _, turns in self._heap}
        return found

    def _effective(self, item: T, weight: float) -> float:
        return weight if self._weigh is None else max(self._weigh(item, weight), _LEAST)

    def _begin(self) -> None:
        """As the schedule is at some moment of its cycle: not every worker begins with the same item."""
        pairs = list(zip(self._items, self._weights, strict=True))
        effective = [self._effective(item, weight) for item, weight in pairs]
        moment = self._random.random() * min(_LONGEST, max(1.0, 1.0 / min(effective)))
        self._heap = [
            ((int(moment * now) + 1 - _EARLY) / now, at, _Turns(item, weight))
            for at, ((item, weight), now) in enumerate(zip(pairs, effective))
        ]
        heapq.heapify(self._heap)
