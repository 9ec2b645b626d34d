"""Rotation by weight."""

from __future__ import annotations

from collections import Counter
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from twistproxy.primitives.weighted_cycle import WeightedCycle


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(0, 100))
def test_shares_are_exact_over_whole_rounds(weights: list[int], seed: int) -> None:
    cycle = WeightedCycle(range(len(weights)), weights, Random(seed))
    counts = Counter(cycle.next() for _ in range(sum(weights) * 10))
    for at, weight in enumerate(weights):
        assert abs(counts[at] - weight * 10) <= 2


def test_weight_may_change_while_it_runs() -> None:
    factor = {"a": 1.0, "b": 1.0}
    cycle = WeightedCycle(["a", "b"], [1, 1], Random(1), lambda item, weight: weight * factor[item])
    assert Counter(cycle.next() for _ in range(100))["a"] == 50
    factor["a"] = 3.0
    assert 72 <= Counter(cycle.next() for _ in range(100))["a"] <= 78
