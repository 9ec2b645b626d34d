"""Cookies of a request (RFC 6265 section 5.4), as Envoy reads them (Http::Utility::parseCookieValue)."""

from __future__ import annotations

from twistproxy.http.message import RequestHead


def cookie_value(head: RequestHead, name: bytes) -> bytes | None:
    """The value of the first cookie of this name, without quotes; None if there is none."""
    if b"cookie" not in head.index:
        return None
    for line in head.get_all(b"cookie"):
        for pair in line.split(b";"):
            key, equals, value = pair.lstrip(b" ").partition(b"=")
            if equals and key == name:
                if len(value) >= 2 and value[:1] == value[-1:] == b'"':
                    return value[1:-1]
                return value
    return None
