"""Names of fields as they came, and Like-This."""

from __future__ import annotations

import pytest

from twistproxy.codec.h1_spelling import PROPER, Spelling, keep_spelling, proper_case, spelling_of


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"host", b"Host"),
        (b"x-foo-bar_x", b"X-Foo-Bar_X"),
        (b"x-1st", b"X-1st"),
        (b"a'b.c", b"A'B.C"),
        (b"-", b"-"),
    ],
)
def test_proper_case(name: bytes, expected: bytes) -> None:
    assert proper_case(name) == expected


def test_first_spelling_of_a_name_counts() -> None:
    head = b"\r\nGET / HTTP/1.1\r\nX-aB: 1\nx-AB: 2\r\n\r\nnot-A-Field: 1\r\n"
    items = keep_spelling([(b"x-ab", b"1"), (b"x-ab", b"2")], head, False, False)
    spelling = spelling_of(items, True)
    assert spelling is not None
    assert spelling.names == {b"x-ab": b"X-aB"}
    assert spelling.apply(b"GET / HTTP/1.1\r\nx-ab: 1\r\nx-c: x: y\r\n\r\n") == (
        b"GET / HTTP/1.1\r\nX-aB: 1\r\nx-c: x: y\r\n\r\n"
    )


def test_reason_phrase() -> None:
    items = keep_spelling([], b"HTTP/1.1 200 All Fine\r\n\r\n", False, True)
    spelling = spelling_of(items, False)
    assert spelling is not None
    assert spelling.apply(b"HTTP/1.1 200 OK\r\n\r\n") == b"HTTP/1.1 200 All Fine\r\n\r\n"


def test_without_a_spelling() -> None:
    assert spelling_of([], False) is None
    assert spelling_of([], True) is PROPER
    assert Spelling({}, False).apply(b"HTTP/1.1 200 OK\r\na: b\r\n\r\n") == b"HTTP/1.1 200 OK\r\na: b\r\n\r\n"
