"""Heads: the C module and the Python over llhttp obey the same rules."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twistproxy.codec import h1_parse
from twistproxy.codec.h1_fallback import Fallback
from twistproxy.codec.h1_parse import (
    INCOMPLETE,
    MALFORMED,
    METHODS,
    NAMES,
    TOO_MANY,
    UNUSUAL,
    is_news,
    mended,
)

fallback = Fallback(NAMES, METHODS)
REQUEST_PARSERS = [h1_parse.parse_request, fallback.parse_request]
RESPONSE_PARSERS = [h1_parse.parse_response, fallback.parse_response]


@pytest.fixture(params=[0, 1], ids=["used", "fallback"])
def parse_request(request: pytest.FixtureRequest) -> Any:
    return REQUEST_PARSERS[request.param]


@pytest.fixture(params=[0, 1], ids=["used", "fallback"])
def parse_response(request: pytest.FixtureRequest) -> Any:
    return RESPONSE_PARSERS[request.param]


def test_request(parse_request: Any) -> None:
    head = b"POST /a?b HTTP/1.1\r\nHost: x:80\r\nContent-Length: 5\r\nX-Own:  a\tb \t\r\nEmpty:\r\n\r\n"
    parsed = parse_request(head + b"hello", 100)
    assert parsed[:5] == (len(head), b"POST", b"/a?b", 1, b"x:80")
    assert parsed[5] == [(b"content-length", b"5"), (b"x-own", b"a\tb"), (b"empty", b"")]
    assert parsed[6] == dict(parsed[5])
    assert parsed[7] == h1_parse.FRAMING


def test_two_hosts_are_flagged(parse_request: Any) -> None:
    parsed = parse_request(b"GET / HTTP/1.0\r\nHost: x\r\nhost: y\r\n\r\n", 100)
    assert parsed[3:5] == (0, b"x") and parsed[7] == h1_parse.TWO_HOSTS


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", INCOMPLETE),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", INCOMPLETE),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r", INCOMPLETE),
        (b"\r\nGET / HTTP/1.1\r\n\r\n", UNUSUAL),
        (b"GET / HTTP/1.1\nHost: a\n\n", UNUSUAL),
        (b"GET / HTTP/1.1\r\nHost: a\n\r\n", UNUSUAL),
        (b"GET / HTTP/1.1\r\nA: b\r\nC: d\r\nE: f\r\n\r\n", TOO_MANY),
        (b"get / HTTP/1.1\r\n\r\n", MALFORMED),
        (b"FETCH / HTTP/1.1\r\n\r\n", MALFORMED),
        (b"GET /\xe9 HTTP/1.1\r\n\r\n", MALFORMED),
        (b"GET /\t HTTP/1.1\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.2\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1 \r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nA : b\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\n: b\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nA: b\0\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", MALFORMED),
        (b"GET / HTTP/1.1\r\n" + b"a" * 257 + b": b\r\n\r\n", MALFORMED),
    ],
)
def test_requests_that_are_not_taken_at_once(parse_request: Any, data: bytes, code: int) -> None:
    assert parse_request(data, 2) == code


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"HTTP/1.1 200 OK", (200, 1)),
        (b"HTTP/1.0 404", (404, 0)),
        (b"HTTP/1.1 599 \xe9", (599, 1)),
        (b"HTTP/1.1 099 Low", MALFORMED),
        (b"HTTP/1.1 600 High", MALFORMED),
        (b"HTTP/1.1 20 Short", MALFORMED),
        (b"HTTP/1.1 2000 Long", MALFORMED),
        (b"HTTP/2 200 OK", MALFORMED),
        (b"HTTPS/1.1 200 OK", MALFORMED),
        (b"ICY 200 OK", MALFORMED),
    ],
)
def test_responses(parse_response: Any, line: bytes, expected: Any) -> None:
    parsed = parse_response(line + b"\r\nA: b\r\n\r\n", 10)
    assert (parsed if isinstance(parsed, int) else parsed[1:3]) == expected


def test_folded_response_is_mended() -> None:
    data = b"HTTP/1.1 200 OK\r\nA: b\r\n\t c\r\n\r\nrest"
    assert h1_parse.parse_response(data, 10) == UNUSUAL
    mending = mended(data, unfold=True)
    assert mending == (b"HTTP/1.1 200 OK\r\nA: b c\r\n\r\n", len(data) - 4)


def test_mended_ends_at_the_first_empty_line() -> None:
    data = b"\r\n\nGET / HTTP/1.1\nA: b\n\nGET /2 HTTP/1.1\r\n\r\n"
    assert mended(data) == (b"GET / HTTP/1.1\r\nA: b\r\n\r\n", data.index(b"GET /2"))
    assert mended(b"\r\nGET / HTTP/1.1\nA: b\n") is None


def test_encode() -> None:
    for encode in (h1_parse.encode, Fallback.encode):
        items = [(b"a", b"b"), (b"c", b"")]
        assert encode((b"GET ", b"/\r\n"), items, b"\r\n") == b"GET /\r\na: b\r\nc: \r\n\r\n"


_WORDS = st.sampled_from(
    [
        b"GET ", b"POST ", b"CONNECT ", b"/", b"/x?y", b" HTTP/1.1", b" HTTP/1.0", b" HTTP/2.0", b"\r\n", b"\n", b"\r",
        b"Host: a", b"X-Y: z", b"Content-Type:", b":", b" ", b"\t", b"\0", b"\xff", b"a", b"HTTP/1.1 200 OK",
        b"HTTP/1.0 404", b" 500 ", b"*", b"\r\n\r\n",
    ]
)  # fmt: skip


def agree(parsers: list[Any], data: bytes) -> None:
    first, second = (parser(data, 5) for parser in parsers)
    if isinstance(first, int) or isinstance(second, int):
        # llhttp notices some things sooner and some later, but none takes what the other refuses for good.
        if not isinstance(first, int):
            assert second in (MALFORMED, UNUSUAL), (first, second)
            assert b"HTTP" in data
        elif not isinstance(second, int):
            raise AssertionError((first, second))
    else:
        assert first == second


@settings(max_examples=500, deadline=None)
@given(st.lists(_WORDS, max_size=14).map(b"".join))
def test_fallback_is_never_laxer_about_requests(data: bytes) -> None:
    agree(REQUEST_PARSERS, data)
    agree(REQUEST_PARSERS, b"GET / HTTP/1.1\r\n" + data)


@settings(max_examples=500, deadline=None)
@example(b"HTTP/1.1 200 OK\x00\r\n\r\n")
@given(st.lists(_WORDS, max_size=14).map(b"".join))
def test_fallback_is_never_laxer_about_responses(data: bytes) -> None:
    agree(RESPONSE_PARSERS, b"HTTP/1.1 200 OK\r\n" + data)
    agree(RESPONSE_PARSERS, data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes(data: bytes) -> None:
    for start in (b"", b"GET / HTTP/1.1\r\n"):
        agree(REQUEST_PARSERS, start + data)
    agree(RESPONSE_PARSERS, b"HTTP/1.1 200 OK\r\n" + data)


def test_a_long_head_is_looked_at_again_only_when_a_line_ends() -> None:
    long = b"GET / HTTP/1.1\r\nX: " + b"a" * 2000
    assert not is_news(long, b"a")
    assert is_news(long, b"\r\n")
    assert is_news(b"GE", b"T")
