"""The Date header."""

from __future__ import annotations

from twistproxy.http.date import DateText


def test_text_changes_with_the_second() -> None:
    date = DateText()
    first = date.at(784111777.0)
    assert first == b"Sun, 06 Nov 1994 08:49:37 GMT"
    assert date.at(784111777.999) is first
    assert date.at(784111778.0) == b"Sun, 06 Nov 1994 08:49:38 GMT"
