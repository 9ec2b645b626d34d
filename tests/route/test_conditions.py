"""What a route may ask beside the path."""

from __future__ import annotations

from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from twistproxy.http.condition import Condition
from twistproxy.http.message import RequestHead
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.string_match import Exact, Prefix
from twistproxy.primitives.value_match import (
    AnyOf,
    HasOne,
    IsNull,
    IsNumber,
    IsPresent,
    IsText,
    IsTruth,
    MetadataMatcher,
    ValueMatcher,
)
from twistproxy.route.conditions import (
    DynamicMetadata,
    GrpcRequest,
    QueryParameter,
    RuntimeFraction,
    TlsContext,
)


def head(path: bytes = b"/", **headers: str) -> RequestHead:
    items = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return RequestHead(b"GET", path, b"a", items, dict(items))


@pytest.mark.parametrize(
    ("condition", "good", "bad", "words"),
    [
        (
            QueryParameter("a", Exact("1")),
            [b"/?a=1", b"/?b&a=1&a=2", b"/x?a=1"],
            [b"/", b"/?a=2&a=1", b"/?a", b"/?A=1", b"/?b=a=1"],
            "query parameter 'a' is exactly '1'",
        ),
        (QueryParameter("a", Prefix("=")), [b"/?a==1"], [b"/?a=1"], "query parameter 'a' starts with '='"),
        (
            QueryParameter("a"),
            [b"/?a", b"/?a=", b"/?b&a=3"],
            [b"/a", b"/?aa"],
            "query parameter 'a' is present",
        ),
        (QueryParameter("a", present=False), [b"/", b"/?b=a"], [b"/?a"], "query parameter 'a' is absent"),
    ],
)
def test_query(condition: Condition, good: list[bytes], bad: list[bytes], words: str) -> None:
    assert [path for path in good if not condition.matches(head(path), None)] == []
    assert [path for path in bad if condition.matches(head(path), None)] == []
    assert condition.describe() == words


def test_grpc() -> None:
    condition = GrpcRequest()
    good = ("application/grpc", "application/grpc+proto")
    bad = ("application/grpc-web", "application/json", "")
    assert [kind for kind in (*good, *bad) if condition.matches(head(content_type=kind), None)] == list(good)
    assert not condition.matches(head(), None)
    assert condition.describe() == "the request is gRPC"


def test_tls_without_tls() -> None:
    found = {
        (presented, validated): TlsContext(presented, validated).matches(head(), None)
        for presented in (None, True, False)
        for validated in (None, True, False)
    }
    assert found == {key: True not in key for key in found}
    assert TlsContext(True, False).describe() == "the client's certificate is presented and not validated"


@pytest.mark.parametrize(
    ("value", "good", "bad"),
    [
        (IsNull(), [None], [0, "", False]),
        (IsNumber(1.5), [1.5], [1, "1.5", None]),
        (IsNumber(0, 2), [0, 1.9], [2, -1, True]),
        (IsText(Exact("a")), ["a"], ["b", 1, None]),
        (IsTruth(True), [True], [False, 1, "true"]),
        (IsTruth(False), [False], [True, 0, None]),
        (IsPresent(True), [None, 0, "", {}], []),
        (HasOne(IsNumber(1)), [[2, 1]], [[], [2], 1]),
        (AnyOf((IsNull(), IsNumber(1))), [None, 1], [2]),
    ],
)
def test_metadata_values(value: ValueMatcher, good: list[Any], bad: list[Any]) -> None:
    condition = DynamicMetadata(MetadataMatcher("ns", ("a", "b"), value))
    inverted = DynamicMetadata(MetadataMatcher("ns", ("a", "b"), value, True))
    for wanted, values in ((True, good), (False, bad)):
        for one in values:
            stream = SimpleNamespace(metadata={"ns": {"a": {"b": one}}})
            assert condition.matches(head(), stream) is wanted
            assert inverted.matches(head(), stream) is not wanted


def test_metadata_that_is_not_there() -> None:
    condition = DynamicMetadata(MetadataMatcher("ns", ("a",), IsPresent(True)))
    for metadata in (None, {}, {"ns": {}}, {"ns": {"b": 1}}, {"other": {"a": 1}}):
        assert not condition.matches(head(), SimpleNamespace(metadata=metadata))
    assert not condition.matches(head(), None)
    assert condition.describe() == "dynamic metadata 'ns', 'a' is present"


def test_a_share_of_requests() -> None:
    runtime = RuntimeValues()
    random = Random(7)

    def share(condition: Condition) -> float:
        context = SimpleNamespace(runtime=runtime)
        numbers = [random.getrandbits(62) for _ in range(2000)]
        streams = [
            SimpleNamespace(context=context, random_value=lambda number=number: number) for number in numbers
        ]
        return sum(condition.matches(head(), stream) for stream in streams) / 2000

    condition = RuntimeFraction("k", 30, 100)
    assert 0.25 < share(condition) < 0.35
    assert share(RuntimeFraction("", 0, 100)) == 0
    assert share(RuntimeFraction("", 100, 100)) == 1
    runtime.replace({"k": 100})
    assert share(condition) == 1
    assert condition.matches(head(), None) and not RuntimeFraction("", 0, 100).matches(head(), None)
    assert condition.describe() == "the request is among 30 of 100 (runtime key 'k')"
