"""Values of metadata that are equal, and criteria that are merged."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.primitives.metadata_match import MetadataMatchCriteria, comparable


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("a", "a", True),
        (1, 1.0, True),
        (1, True, False),
        (1, "1", False),
        (0, None, False),
        (False, None, False),
        ([1, "a"], [1.0, "a"], True),
        ([1, "a"], ["a", 1], False),
        ({"a": 1, "b": [2]}, {"b": [2], "a": 1}, True),
        ({"a": 1}, {"a": 1, "b": None}, False),
        ([], {}, False),
        ("", [], False),
        (["number", 1], 1, False),
    ],
)
def test_comparable(one: Any, other: Any, equal: bool) -> None:
    assert (comparable(one) == comparable(other)) is equal
    if equal:
        assert hash(comparable(one)) == hash(comparable(other))


def test_labels_are_in_the_order_of_their_names() -> None:
    criteria = MetadataMatchCriteria({"b": 1, "a": "x"})
    assert criteria.names == ("a", "b")
    assert criteria.labels == (("a", "x"), ("b", comparable(1)))


def test_what_is_merged_counts_before_what_was_there() -> None:
    criteria = MetadataMatchCriteria({"a": 1, "b": 2})
    merged = criteria.merged({"b": 3, "c": 4})
    assert merged.values == {"a": 1, "b": 3, "c": 4}
    assert criteria.values == {"a": 1, "b": 2}
    assert merged.filtered({"b", "d"}).values == {"b": 3}
