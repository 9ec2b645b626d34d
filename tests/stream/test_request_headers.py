"""What is set and stripped in requests, by who the client is."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest

from twistproxy.http.message import RequestHead
from twistproxy.model.address import Cidr
from twistproxy.observe.request_id import RequestIds
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.stream.request_headers import RequestHeaders
from twistproxy.testing.data_plane import manager


class Downstream:
    """A connection without TLS."""

    def __init__(self, remote: str) -> None:
        self.remote_host = remote
        self.tls = False
        self.local_port = 10000


INTERNAL = (Cidr("10.0.0.0", 8),)


def applied(headers: dict[bytes, bytes], remote: str = "203.0.113.5", **settings: Any) -> dict[bytes, bytes]:
    head = RequestHead(b"GET", b"/", b"a", list(headers.items()), dict(headers))
    rules = RequestHeaders(manager(**settings), RequestIds(Random(1)), "192.0.2.9", RuntimeValues())
    rules.apply(head, Downstream(remote))
    assert head.index == dict(head.items)
    return head.index


def test_sidecar_trusts_what_it_gets() -> None:
    found = applied({b"x-forwarded-for": b"1.2.3.4", b"x-forwarded-proto": b"https"})
    assert found == {b"x-forwarded-for": b"1.2.3.4", b"x-forwarded-proto": b"https"}


def test_edge_appends_the_client() -> None:
    found = applied({b"x-forwarded-for": b"1.2.3.4", b"x-forwarded-proto": b"https"}, use_remote_address=True)
    assert found[b"x-forwarded-for"] == b"1.2.3.4,203.0.113.5"
    assert found[b"x-forwarded-proto"] == b"http"
    assert found[b"x-envoy-external-address"] == b"203.0.113.5"


@pytest.mark.parametrize(
    "name", [b"x-envoy-retry-on", b"x-envoy-upstream-rq-timeout-ms", b"x-envoy-internal"]
)
def test_nobody_outside_says_what_only_the_inside_may(name: bytes) -> None:
    assert name not in applied({name: b"5"})
    assert name not in applied({name: b"5"}, use_remote_address=True)
    assert name not in applied({name: b"5"}, use_remote_address=True, internal_cidrs=INTERNAL)


def test_an_internal_client_may() -> None:
    found = applied(
        {b"x-envoy-retry-on": b"5xx"}, "10.1.2.3", use_remote_address=True, internal_cidrs=INTERNAL
    )
    assert found[b"x-envoy-retry-on"] == b"5xx" and found[b"x-envoy-internal"] == b"true"


def test_trusted_hops() -> None:
    found = applied(
        {b"x-forwarded-for": b"1.1.1.1, 2.2.2.2"}, use_remote_address=True, xff_num_trusted_hops=1
    )
    assert found[b"x-envoy-external-address"] == b"2.2.2.2"
    assert found[b"x-forwarded-for"] == b"1.1.1.1, 2.2.2.2,203.0.113.5"


def test_request_id_is_kept_inside_and_new_at_the_edge() -> None:
    given = {b"x-request-id": b"mine"}
    assert applied(given, generate_request_id=True)[b"x-request-id"] == b"mine"
    assert applied(given, generate_request_id=True, use_remote_address=True)[b"x-request-id"] != b"mine"
    kept = applied(
        given, generate_request_id=True, use_remote_address=True, preserve_external_request_id=True
    )
    assert kept[b"x-request-id"] == b"mine"
    assert len(applied({}, generate_request_id=True)[b"x-request-id"]) == 36
