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


@settings(max_examples=50, deadline=None)
@given(
    st.dictionaries(st.integers(0, 9), st.integers(1, 20), min_size=1),
    st.dictionaries(st.integers(0, 9), st.integers(1, 20), min_size=1),
    st.integers(0, 100),
)
def test_changes_while_it_runs(before: dict[int, int], after: dict[int, int], seed: int) -> None:
    cycle = WeightedCycle(list(before), list(before.values()), Random(seed))
    assert not cycle.begun
    cycle.next()
    assert cycle.begun
    for item, weight in after.items():
        cycle.put(item, weight)
    for item in before.keys() - after.keys():
        cycle.remove(item)
    counts = Counter(cycle.next() for _ in range(sum(after.values()) * 10))
    assert counts.keys() <= after.keys()
    for item, weight in after.items():
        assert abs(counts[item] - weight * 10) <= 3


def test_those_that_are_gone_are_forgotten() -> None:
    cycle = WeightedCycle([0], [1], Random(1))
    cycle.next()
    for number in range(1, 1000):
        cycle.put(number, 1)
        cycle.remove(number - 1)
    assert len(cycle._heap) <= 3
    assert {cycle.next() for _ in range(5)} == {999}
