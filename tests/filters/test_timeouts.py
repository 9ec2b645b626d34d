"""How long a request may take."""

from __future__ import annotations

import pytest

from twistproxy.filters.timeouts import Timeouts, grpc_timeout, number, stream_duration
from twistproxy.http.headers import Header
from twistproxy.http.message import RequestHead
from twistproxy.model.retry import RequestPlan, RetryPolicy

EXPECTED = b"x-envoy-expected-rq-timeout-ms"


def request(*items: Header) -> RequestHead:
    return RequestHead(b"GET", b"/", b"a", list(items), dict(items))


def made(plan: RequestPlan, *items: Header, timeout: float = 15.0) -> tuple[Timeouts, RequestHead]:
    head = request(*items)
    return Timeouts(plan, timeout, 0.0, head, True, False), head


def test_per_try_timeout_as_long_as_the_whole_is_none() -> None:
    plan = RequestPlan(RetryPolicy(per_try_timeout=2.0))
    assert made(plan)[0].per_try == 2000
    assert made(plan, timeout=2.0)[0].per_try == 0
    assert made(plan, timeout=0.0)[0].per_try == 2000


def test_what_is_left_is_told() -> None:
    timeouts, head = made(RequestPlan(RetryPolicy(per_try_timeout=2.0)), timeout=3.0)
    assert head.get(EXPECTED) == b"2000"
    timeouts.tell(head, 1500)
    assert head.get(EXPECTED) == b"1500"
    timeouts.tell(head, 3000)
    assert head.get(EXPECTED) == b"1"


def test_headers_for_the_router_go_no_further() -> None:
    timeouts, head = made(
        RequestPlan(),
        (b"x-envoy-upstream-rq-timeout-ms", b"700"),
        (b"x-envoy-upstream-rq-per-try-timeout-ms", b"70"),
        (b"x-envoy-hedge-on-per-try-timeout", b"true"),
        (b"x-envoy-upstream-stream-duration-ms", b"7"),
        (b"x-envoy-upstream-rq-timeout-alt-response", b"1"),
    )
    assert (timeouts.total, timeouts.per_try, timeouts.duration, timeouts.status) == (700, 70, 7, 204)
    assert timeouts.hedge
    assert head.items == [(EXPECTED, b"700")]


def test_hedging_is_switched_off_by_the_request() -> None:
    assert made(RequestPlan(hedge=True))[0].hedge
    assert not made(RequestPlan(hedge=True), (b"x-envoy-hedge-on-per-try-timeout", b"false"))[0].hedge
    assert made(RequestPlan(hedge=True), (b"x-envoy-hedge-on-per-try-timeout", b"maybe"))[0].hedge


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        (b"1H", 3_600_000.0),
        (b"2M", 120_000.0),
        (b"3S", 3000.0),
        (b"4m", 4.0),
        (b"1u", 1.0),
        (b"2001u", 3.0),
        (b"1n", 1.0),
        (b"123456789m", None),
        (b"m", None),
        (b"", None),
        (b"-1m", None),
        (b"1s", None),
    ],
)
def test_grpc_timeout(text: bytes, milliseconds: float | None) -> None:
    assert grpc_timeout(request((b"grpc-timeout", text))) == milliseconds


def test_duration_of_a_stream() -> None:
    plan = RequestPlan(max_duration=9.0, grpc_duration_max=2.0, grpc_duration_offset=0.5)
    assert stream_duration(plan, request()) == 9.0
    assert stream_duration(plan, request((b"grpc-timeout", b"1S"))) == 0.5
    assert stream_duration(plan, request((b"grpc-timeout", b"5S"))) == 1.5
    assert stream_duration(plan, request((b"grpc-timeout", b"1m"))) == 0.001
    assert stream_duration(RequestPlan(), request((b"grpc-timeout", b"1S"))) is None


@pytest.mark.parametrize(
    ("text", "value"),
    [(b"5", 5), (b" 5 ", 5), (b"+5", 5), (b"-5", None), (b"5.0", None), (b"", None), (b"9" * 30, None)],
)
def test_number(text: bytes, value: int | None) -> None:
    assert number(text) == value
