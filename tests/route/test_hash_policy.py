"""What of a request becomes a hash."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import xxhash

from twistproxy.http.message import RequestHead
from twistproxy.model.hash_policy import (
    CookieHash,
    HashPolicy,
    HeaderHash,
    QueryParameterHash,
    SourceAddressHash,
)
from twistproxy.route.hash_policy import HashPolicies


def head(*items: tuple[bytes, bytes], path: bytes = b"/a?x=1&q=2&q=3") -> RequestHead:
    return RequestHead(b"GET", path, b"foo.com", list(items), dict(items))


def stream(client: str = "10.0.0.1") -> Any:
    connection = SimpleNamespace(remote_text="1.2.3.4:5", local_text="6.7.8.9:10")
    extras = SimpleNamespace(cookies=[])
    return SimpleNamespace(
        connection=connection, extras=extras, extra=lambda: extras, client_host=lambda: client
    )


def hashed(request: RequestHead, *policies: HashPolicy, at: Any = None) -> int | None:
    return HashPolicies(policies).hash(request, at or stream())


def of(*values: bytes) -> int:
    found = 0
    for value in values:
        found = xxhash.xxh64_intdigest(value, found)
    return found


def test_header() -> None:
    policy = HeaderHash("x-a")
    assert hashed(head((b"x-a", b"1")), policy) == of(b"1")
    assert hashed(head((b"x-a", b"2"), (b"x-a", b"1")), policy) == of(b"1", b"2")
    assert hashed(head((b"x-a", b"")), policy) == of(b"")
    assert hashed(head(), policy) is None


def test_header_that_is_none() -> None:
    assert hashed(head(), HeaderHash(":path")) == of(b"/a?x=1&q=2&q=3")
    assert hashed(head(), HeaderHash(":method")) == of(b"GET")
    assert hashed(head(), HeaderHash("host")) == hashed(head(), HeaderHash(":authority")) == of(b"foo.com")


def test_rewritten_header() -> None:
    policy = HeaderHash("x-a", "^/([^/]+)/.*", "\\1")
    assert hashed(head((b"x-a", b"/p/1")), policy) == hashed(head((b"x-a", b"/p/2")), policy) == of(b"p")
    assert hashed(head((b"x-a", b"none")), policy) == of(b"none")


def test_query_parameter() -> None:
    assert hashed(head(), QueryParameterHash("q")) == of(b"2")
    assert hashed(head(path=b"/?q"), QueryParameterHash("q")) == of(b"")
    assert hashed(head(path=b"/?Q=1"), QueryParameterHash("q")) is None
    assert hashed(head(path=b"/"), QueryParameterHash("q")) is None


def test_source_address() -> None:
    assert hashed(head(), SourceAddressHash()) == of(b"10.0.0.1")
    assert hashed(head(), SourceAddressHash(), at=stream("")) is None


def test_cookie_that_is_given() -> None:
    at = stream()
    policy = CookieHash("sid", 60, "/x", (("SameSite", "Strict"), ("Secure", "")))
    value = f"{xxhash.xxh64_intdigest(b'1.2.3.4:56.7.8.9:10'):016x}".encode()
    assert hashed(head(), policy, at=at) == of(value)
    assert at.extras.cookies == [
        b'sid="' + value + b'"; Max-Age=60; Path=/x; SameSite=Strict; Secure; HttpOnly'
    ]
    again = stream()
    assert hashed(head((b"cookie", b"sid=" + value)), policy, at=again) == of(value)
    assert again.extras.cookies == []
    assert hashed(head(), CookieHash("sid")) is None


def test_several() -> None:
    request = head((b"x-a", b"1"), (b"x-b", b"2"))
    a, b = HeaderHash("x-a"), HeaderHash("x-b")
    first, second = of(b"1"), of(b"2")
    turned = (first << 1 | first >> 63) & (2**64 - 1)
    assert hashed(request, a, b) == turned ^ second
    assert hashed(request, a, a) != 0
    assert hashed(request, HeaderHash("x-a", terminal=True), b) == first
    assert hashed(request, HeaderHash("x-none", terminal=True), b) == second
    assert hashed(request, a, HeaderHash("x-none", terminal=True), b) == first


def test_a_substitution_that_names_no_group_replaces_nothing() -> None:
    request = head((b"x-a", b"/p/1"))
    assert hashed(request, HeaderHash("x-a", "^/p/", "\\9")) == of(b"/p/1")
    assert hashed(request, HeaderHash("x-a", "^/p/", "a\\")) == of(b"a1")
