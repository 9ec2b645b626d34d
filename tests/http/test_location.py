"""Which Location fields are URLs that can be followed."""

from __future__ import annotations

import pytest

from twistproxy.http.location import parse_location


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (b"http://a.test/b?c=d#e", (b"http", b"a.test", b"/b?c=d")),
        (b"HTTPS://A.test", (b"https", b"A.test", b"/")),
        (b"http://u:p@a.test:81/", (b"http", b"a.test:81", b"/")),
        (b"http://[::1]:81/x", (b"http", b"[::1]:81", b"/x")),
        (b"http://a.test?x", (b"http", b"a.test", b"?x")),
        (b"http://a.test#x", (b"http", b"a.test", b"/")),
        (b"ftp://a.test/", (b"ftp", b"a.test", b"/")),
        (b"http://a.test:65536/", None),
        (b"http://a.test:/", None),
        (b"http://a_b.test/", None),
        (b"http://a@b@c.test/", None),
        (b"http://a.test/ b", None),
        (b"http://a.test/\xe4", None),
        (b"http://a.test/\x00", None),
        (b"//a.test/", None),
        (b"/a", None),
        (b"", None),
    ],
)
def test_parse_location(value: bytes, found: tuple[bytes, bytes, bytes] | None) -> None:
    assert parse_location(value) == found
