from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.observe import flags, log_filters
from twistproxy.observe.log_filters import (
    And,
    ByDuration,
    ByFlags,
    ByGrpcStatus,
    ByMetadata,
    ByStatus,
    ByType,
    Comparison,
    Never,
    NotHealthCheck,
    Or,
    Sampled,
)
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.string_match import Exact
from twistproxy.primitives.value_match import IsText, MetadataMatcher


def stream(request_id: bytes = b"", runtime: dict[str, Any] | None = None, **changes: Any) -> Any:
    items = [(b"x-request-id", request_id)]
    context = SimpleNamespace(
        runtime=RuntimeValues(runtime or {}),
        random=SimpleNamespace(getrandbits=lambda bits: 70),
        monotonic=lambda: 11.0,
    )
    values = {
        "head": RequestHead(b"GET", b"/", b"a", items, dict(items)),
        "response": ResponseHead(404, []),
        "start": 10.0,
        "end": 10.5,
        "flags": flags.UH,
        "metadata": {"ns": {"k": "v"}},
        "health_check": False,
        "context": context,
        **changes,
    }
    return SimpleNamespace(**values, log_type=lambda: "DownstreamEnd" if values["end"] else "NotSet")


IS_V = ByMetadata(MetadataMatcher("ns", ("k",), IsText(Exact("v"))), otherwise=True)


@pytest.mark.parametrize(
    ("condition", "changes", "passes"),
    [
        (ByStatus(Comparison("EQ", 404)), {}, True),
        (ByStatus(Comparison("NE", 404)), {}, False),
        (ByStatus(Comparison("LE", 0)), {"response": None}, True),
        (ByStatus(Comparison("GE", 404, "least")), {"runtime": {"least": 500}}, False),
        (ByDuration(Comparison("GE", 500)), {}, True),
        (ByDuration(Comparison("GE", 1000)), {"end": 0.0}, True),
        (NotHealthCheck(), {}, True),
        (NotHealthCheck(), {"health_check": True}, False),
        (Never(), {}, False),
        (Sampled("k", 71, 100), {}, True),
        (Sampled("k", 70, 100), {}, False),
        (Sampled("k", 50, 100), {"request_id": b"00000031-0000-4000-8000-000000000000"}, True),
        (Sampled("k", 49, 100), {"request_id": b"00000031-0000-4000-8000-000000000000"}, False),
        (Sampled("k", 50, 100, True), {"request_id": b"00000031-0000-4000-8000-000000000000"}, False),
        (Sampled("k", 50, 100), {"request_id": b"no number"}, False),
        (Sampled("k", 0, 100), {"runtime": {"k": 100}}, True),
        (And((NotHealthCheck(), Never())), {}, False),
        (Or((NotHealthCheck(), Never())), {}, True),
        (ByFlags(0), {}, True),
        (ByFlags(0), {"flags": 0}, False),
        (ByFlags(flags.UF | flags.UH), {}, True),
        (ByFlags(flags.UF), {}, False),
        (ByGrpcStatus(frozenset((12,))), {}, True),
        (ByGrpcStatus(frozenset((5,))), {"response": ResponseHead(200, [(b"grpc-status", b"5")])}, True),
        (ByGrpcStatus(frozenset((5,)), exclude=True), {}, True),
        (IS_V, {}, True),
        (IS_V, {"metadata": {"ns": {"k": "w"}}}, False),
        (IS_V, {"metadata": None}, True),
        (ByType(frozenset(("DownstreamEnd",))), {}, True),
        (ByType(frozenset(("DownstreamEnd",))), {"end": 0.0}, False),
    ],
)
def test_filter(condition: log_filters.LogFilter, changes: dict[str, Any], passes: bool) -> None:
    assert condition.passes(stream(**changes)) is passes
