"""Request ids that are marked for tracing."""

from __future__ import annotations

from random import Random

import pytest

from twistproxy.http.message import RequestHead
from twistproxy.model.http_manager import TracingSettings
from twistproxy.observe.request_id import RequestIds
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.stream.tracing import Tracing

ID = b"0aaaaaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


def decided(runtime: dict[str, int], **headers: bytes) -> tuple[str, bytes]:
    """The statistic, and the mark in the id."""
    items = [(name.replace("_", "-").encode(), value) for name, value in headers.items()]
    head = RequestHead(b"GET", b"/", b"a", [*items, (b"x-request-id", ID)], {})
    head.index.update(head.items)
    tracing = Tracing(TracingSettings(), True, RequestIds(Random(1)), RuntimeValues(runtime))
    return tracing.decide(head), (head.get(b"x-request-id") or b"")[14:15]


@pytest.mark.parametrize(
    ("runtime", "expected"),
    [
        ({}, ("random_sampling", b"9")),
        ({"tracing.random_sampling": 0}, ("not_traceable", b"4")),
        ({"tracing.global_enabled": 0}, ("not_traceable", b"4")),
        ({"tracing.client_enabled": 0}, ("random_sampling", b"9")),
    ],
)
def test_the_runtime_has_the_last_word(runtime: dict[str, int], expected: tuple[str, bytes]) -> None:
    assert decided(runtime) == expected


def test_client_traces_are_a_share_of_their_own() -> None:
    assert decided({}, x_client_trace_id=b"1") == ("client_enabled", b"b")
    assert decided({"tracing.client_enabled": 0}, x_client_trace_id=b"1") == ("random_sampling", b"9")
