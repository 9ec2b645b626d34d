"""Targets and hosts of requests."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistproxy.http import target
from twistproxy.http.target import split_target, valid_host, valid_referer


@pytest.mark.parametrize(
    "host", [b"a", b"a.b:80", b"[::1]:80", b"[fe80::1%25eth0]", b"a_b", b"", b"a:", b"xn--a"]
)
def test_good_hosts(host: bytes) -> None:
    assert valid_host(host) and valid_host(host)


@pytest.mark.parametrize(
    "host", [b"a b", b"u@a", b"a/b", b"a:b", b"a#", b"a?", b"[::1", b"a,\tb", b"a\\b", b"\xe9", b"a\0"]
)
def test_bad_hosts(host: bytes) -> None:
    assert not valid_host(host)


@pytest.mark.parametrize(
    ("method", "target", "expected"),
    [
        (b"GET", b"http://b/c?d", (b"http", b"b", b"/c?d")),
        (b"GET", b"HTTPS://b", (b"https", b"b", b"/")),
        (b"GET", b"http://b?x", (b"http", b"b", b"?x")),
        (b"OPTIONS", b"*", (b"", b"", b"*")),
        (b"GET", b"*", None),
        (b"GET", b"a/b", None),
        (b"GET", b"ftp://b/", None),
        (b"GET", b"http:///c", None),
        (b"GET", b"http://b:70000/", None),
        (b"GET", b"http://b/#c", (b"http", b"b", b"/#c")),
        (b"CONNECT", b"a:80", (b"", b"a:80", b"")),
        (b"CONNECT", b"a", None),
        (b"CONNECT", b"[::1]:80", (b"", b"[::1]:80", b"")),
        (b"CONNECT", b"a_b:80", None),
        (b"CONNECT", b"a:", None),
        (b"CONNECT", b":80", None),
        (b"CONNECT", b"a:65536", None),
        (b"CONNECT", b"a:" + b"9" * 5000, None),
        (b"GET", b"http://a_b/", None),
        (b"GET", b"http://a,b/", None),
        (b"GET", b"http://b:/", None),
        (b"CONNECT", b"/", None),
    ],
)
def test_split(method: bytes, target: bytes, expected: tuple[bytes, bytes, bytes] | None) -> None:
    assert split_target(method, target, True) == expected


def test_absolute_targets_may_be_off() -> None:
    assert split_target(b"GET", b"http://b/c", False) == (b"", b"", b"http://b/c")
    assert split_target(b"GET", b"b", False) is None
    assert split_target(b"GET", b"/c", False) == (b"", b"", b"/c")


@given(
    st.sampled_from(
        [b"http://a.example", b"https://[::1]:8080", b"http://a:65536", b"http://u@a", b"http://a?q", b"a"]
    ),
    st.lists(
        st.sampled_from([b"/", b"?", b"#", b"x", b'"', b" ", b"\xe9", b"\x7f", b"//", b":"]), max_size=6
    ),
)
def test_an_origin_that_is_known_changes_no_verdict(origin: bytes, rest: list[bytes]) -> None:
    referer = origin + b"".join(rest)
    target._good_origins.clear()
    first = valid_referer(referer)
    valid_referer(origin + b"/")
    assert valid_referer(referer) == first
