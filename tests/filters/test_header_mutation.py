"""Query parameters, and merged metadata."""

from __future__ import annotations

from typing import Any

import pytest

from twistproxy.filters.header_mutation import mutated_path
from twistproxy.filters.set_metadata import merge
from twistproxy.model.http_filters import QueryMutation

ADD, ABSENT = "APPEND_IF_EXISTS_OR_ADD", "ADD_IF_ABSENT"
OVER, OVER_ONLY = "OVERWRITE_IF_EXISTS_OR_ADD", "OVERWRITE_IF_EXISTS"


@pytest.mark.parametrize(
    ("path", "mutation", "expected"),
    [
        ("/p", QueryMutation("a", "1", ADD), "/p?a=1"),
        ("/p?b=2&a=0", QueryMutation("a", "1", ADD), "/p?a=0&a=1&b=2"),
        ("/p?a=0", QueryMutation("a", "1", ABSENT), "/p?a=0"),
        ("/p?", QueryMutation("a", "1", ABSENT), "/p?a=1"),
        ("/p?a=0&a=2", QueryMutation("a", "1", OVER), "/p?a=1"),
        ("/p", QueryMutation("a", "1", OVER), "/p?a=1"),
        ("/p", QueryMutation("a", "1", OVER_ONLY), "/p"),
        ("/p?a=%20&b", QueryMutation("a", "1", OVER_ONLY), "/p?a=1&b="),
        ("/p?a=1&b=%26", QueryMutation("a"), "/p?b=%26"),
        ("/p?a", QueryMutation("a"), "/p"),
    ],
)
def test_query(path: str, mutation: QueryMutation, expected: str) -> None:
    assert mutated_path(path.encode(), [mutation]).decode() == expected


def test_merging_does_not_touch_what_is_merged_in() -> None:
    there: dict[str, Any] = {"x": 1, "list": [1], "deep": {"p": 1, "q": [1]}, "text": "t"}
    new: dict[str, Any] = {"x": {"y": 1}, "list": [2], "deep": {"q": [2]}, "more": [3]}
    merge(there, new)
    assert there == {"x": {"y": 1}, "list": [1, 2], "deep": {"p": 1, "q": [1, 2]}, "text": "t", "more": [3]}
    there["x"]["y"] = there["more"][0] = 0
    assert new == {"x": {"y": 1}, "list": [2], "deep": {"q": [2]}, "more": [3]}
