"""Replacing by regular expressions as RE2 does it."""

from __future__ import annotations

import pytest

from twistproxy.route.substitution import Substitution


@pytest.mark.parametrize(
    ("pattern", "substitution", "text", "expected"),
    [
        ("b", "x", "abcb", "axcx"),
        ("^/a/([^/]+)(/.*)?$", r"\2/at/\1", "/a/b/c", "/c/at/b"),
        ("(a)|b", r"[\1\0]", "abc", "[aa][b]c"),
        ("a*", "-", "baab", "-b-b-"),
        ("b*$", "!", "abb", "a!"),
        ("$", "!", "abc", "abc!"),
        ("^a", "x", "aaa", "xaa"),
        (".*", "", "abc", ""),
        ("x", "y", "", ""),
        (r"\bb", "x", "ab b", "ab x"),
        # What is no reference: RE2 stops there.
        ("b", r"x\ny", "abc", "axc"),
        ("b", "x\\", "abc", "axc"),
        ("b", r"\\", "abc", "a\\c"),
        # A group that there is not: nothing is replaced.
        ("b", r"x\1", "abc", "abc"),
    ],
)
def test_as_re2(pattern: str, substitution: str, text: str, expected: str) -> None:
    assert Substitution(pattern, substitution).apply(text.encode()) == expected.encode()
