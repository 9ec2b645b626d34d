"""Cookies of a request."""

from __future__ import annotations

from twistproxy.http.cookies import cookie_value
from twistproxy.http.headers import Header
from twistproxy.http.message import RequestHead


def test_cookie_value() -> None:
    def value(*lines: bytes) -> bytes | None:
        fields: list[Header] = [(b"cookie", line) for line in lines]
        index = {b"cookie": lines[0]} if lines else {}
        return cookie_value(RequestHead(b"GET", b"/", b"a", fields, index), b"a")

    assert value(b"a=1") == value(b"b=2; a=1") == value(b'a="1"') == value(b"b=2", b"a=1") == b"1"
    assert value(b"a=1; a=2") == b"1"
    assert (value(b"aa=1; ba=2; a"), value(), value(b"a=")) == (None, None, b"")
    assert value(b'a="') == b'"'
