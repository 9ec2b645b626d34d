"""Matchers of plain values: what differs is not equal, which is how a changed configuration is found."""

from __future__ import annotations

from twistproxy.primitives.string_match import Exact
from twistproxy.primitives.value_match import IsNumber, IsPresent, IsText, MetadataMatcher


def test_numbers_that_differ_late_are_not_equal() -> None:
    assert IsNumber(1234567.0) != IsNumber(1234568.0)
    assert IsNumber(0.0, 1234567.0) != IsNumber(0.0, 1234568.0)
    assert IsNumber(1234567.0) == IsNumber(1234567.0)


def test_paths_whose_segments_hold_dots_are_not_equal() -> None:
    def at(namespace: str, *path: str) -> MetadataMatcher:
        return MetadataMatcher(namespace, path, IsPresent(True))

    assert at("n", "a", "b") != at("n", "a.b")
    assert at("n: a", "b") != at("n", "a: b")
    assert at("n", "a", "b") == at("n", "a", "b")
    assert at("n", "a") != MetadataMatcher("n", ("a",), IsText(Exact("a")))
