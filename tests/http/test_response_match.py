"""Which responses a matcher means."""

from __future__ import annotations

from twistproxy.http.header_match import HeaderMatcher
from twistproxy.http.message import ResponseHead
from twistproxy.http.response_match import ResponseMatcher
from twistproxy.primitives.string_match import Exact


def status(code: str) -> ResponseMatcher:
    return ResponseMatcher((HeaderMatcher(":status", Exact(code)),))


def header(name: str) -> ResponseMatcher:
    return ResponseMatcher((HeaderMatcher(name),))


def meant(matcher: ResponseMatcher, code: int = 200, *names: bytes) -> bool:
    return matcher.matches(ResponseHead(code, [(name, b"1") for name in names]))


def test_every_response() -> None:
    assert meant(ResponseMatcher())
    assert not meant(ResponseMatcher(invert=True))


def test_all_headers() -> None:
    both = ResponseMatcher((HeaderMatcher("a"), HeaderMatcher("b")))
    assert meant(both, 200, b"a", b"b")
    assert not meant(both, 200, b"a")


def test_status() -> None:
    assert meant(status("404"), 404)
    assert not meant(status("404"), 200)


def test_any_and_all() -> None:
    either = ResponseMatcher(any_of=(status("404"), header("a")))
    assert [meant(either, 404), meant(either, 200, b"a"), meant(either, 200)] == [True, True, False]
    every = ResponseMatcher(all_of=(status("404"), header("a")))
    assert [meant(every, 404), meant(every, 200, b"a"), meant(every, 404, b"a")] == [False, False, True]
    neither = ResponseMatcher(all_of=(either,), invert=True)
    assert [meant(neither, 404), meant(neither, 200)] == [False, True]


def test_words() -> None:
    matcher = ResponseMatcher(all_of=(header("a"),), any_of=(header("b"),), invert=True)
    assert matcher.describe() == "not ((header 'a' is present); one of ((header 'b' is present)))"


def test_equal_ones_are_equal() -> None:
    assert status("404") == status("404")
    assert status("404") != status("405")
