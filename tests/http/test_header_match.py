"""Conditions on headers; what they mean in all combinations is a parity test."""

from __future__ import annotations

import pytest

from twistproxy.http.header_match import HeaderMatcher, pseudo_header
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.primitives.string_match import (
    Contains,
    Exact,
    IntegerRange,
    Prefix,
    Regex,
    Suffix,
    TextMatcher,
)


def head(*values: bytes) -> RequestHead:
    items = [(b"x-a", value) for value in values]
    return RequestHead(b"GET", b"/p?q", b"host:1", items, dict(items), scheme=b"http")


@pytest.mark.parametrize(
    ("value", "good", "bad", "words"),
    [
        (Exact("b"), b"b", b"B", "is exactly 'b'"),
        (Exact("b", True), b"B", b"bb", "is exactly 'b' in any case"),
        (Prefix("b"), b"bc", b"cb", "starts with 'b'"),
        (Suffix("B", True), b"cb", b"bc", "ends with 'B' in any case"),
        (Contains("b"), b"abc", b"ac", "contains 'b'"),
        (Regex("b+"), b"bb", b"bbc", "matches the regular expression 'b+'"),
        (IntegerRange(-1, 5), b"-1", b"5", "is an integer from -1 to below 5"),
    ],
)
def test_values_and_their_words(value: TextMatcher, good: bytes, bad: bytes, words: str) -> None:
    matcher = HeaderMatcher("X-A", value)
    assert matcher.describe() == "header 'x-a' " + words
    assert matcher.matches(head(good)) and not matcher.matches(head(bad)) and not matcher.matches(head())
    inverted = HeaderMatcher("x-a", value, invert=True)
    assert inverted.describe() == "not: header 'x-a' " + words
    assert inverted.matches(head(bad)) and not inverted.matches(head(good)) and not inverted.matches(head())


def test_of_several_fields_one_is_enough() -> None:
    matcher = HeaderMatcher("x-a", Exact("b"))
    assert matcher.matches(head(b"a", b"b")) and matcher.matches(head(b"b", b"a"))
    assert not matcher.matches(head(b"a", b"c"))
    assert not HeaderMatcher("x-a", Exact("b"), invert=True).matches(head(b"a", b"b"))


def test_presence() -> None:
    assert HeaderMatcher("x-a").matches(head(b"")) and not HeaderMatcher("x-a").matches(head())
    absent = HeaderMatcher("x-a", present=False)
    assert absent.matches(head()) and not absent.matches(head(b""))
    assert absent.describe() == "header 'x-a' is absent"
    assert HeaderMatcher("x-a", Exact(""), missing_as_empty=True).matches(head())


def test_integers_of_any_length_cost_nothing() -> None:
    matcher = HeaderMatcher("x-a", IntegerRange(0, 10))
    assert matcher.matches(head(b"0" * 50000 + b"7"))
    assert not matcher.matches(head(b"7" * 50000))


def test_pseudo_headers() -> None:
    request = head()
    assert [
        pseudo_header(request, name) for name in (b":path", b":method", b":authority", b"host", b":scheme")
    ] == [
        b"/p?q",
        b"GET",
        b"host:1",
        b"host:1",
        b"http",
    ]
    assert HeaderMatcher(":status", Exact("404")).matches(ResponseHead(404, []))
    assert not HeaderMatcher(":status", Exact("404")).matches(HeaderMap([]))
    assert not HeaderMatcher(":protocol").matches(request)


def test_equal_words_are_equal_matchers() -> None:
    assert HeaderMatcher("x-a", Exact("b")) == HeaderMatcher("X-A", Exact("b"))
    assert HeaderMatcher("x-a", Exact("b")) != HeaderMatcher("x-a", Exact("b", True))
    assert Exact("b") != Prefix("b")
    assert len({HeaderMatcher("x-a"), HeaderMatcher("x-a"), HeaderMatcher("x-b")}) == 2
