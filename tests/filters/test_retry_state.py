"""What a retry policy says of failures, and what comes of it."""

from __future__ import annotations

from random import Random

import pytest

from twistproxy.api.codec import ResetReason
from twistproxy.filters.retry_state import Decision, RetryState, Verdict, retry_state
from twistproxy.http.header_match import HeaderMatcher
from twistproxy.http.headers import Header
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.cluster import Thresholds
from twistproxy.model.retry import RETRY_ON, RETRY_ON_GRPC, ResetHeader, RetryPolicy, retry_words
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.upstream.resource_limits import ResourceLimits

NOW = 1_700_000_000.0


def request(*items: Header) -> RequestHead:
    return RequestHead(b"GET", b"/", b"a", list(items), dict(items))


def made(
    policy: RetryPolicy,
    *items: Header,
    limits: ResourceLimits | None = None,
    runtime: RuntimeValues | None = None,
    stats: ClusterStats | None = None,
) -> RetryState:
    found = retry_state(
        policy,
        request(*items),
        stats or ClusterStats(),
        limits or ResourceLimits(Thresholds()),
        Random(1),
        lambda: NOW,
        runtime or RuntimeValues(),
    )
    assert found is not None
    return found


def on(*words: str) -> RetryPolicy:
    return RetryPolicy(sum(RETRY_ON.get(word, 0) | RETRY_ON_GRPC.get(word, 0) for word in words))


@pytest.mark.parametrize(
    ("word", "reason", "sent", "retried"),
    [
        ("connect-failure", ResetReason.CONNECTION_FAILURE, False, True),
        ("connect-failure", ResetReason.CONNECTION_TIMEOUT, False, True),
        ("connect-failure", ResetReason.CONNECTION_TERMINATION, True, False),
        ("reset-before-request", ResetReason.CONNECTION_FAILURE, False, True),
        ("reset-before-request", ResetReason.CONNECTION_TERMINATION, True, False),
        ("reset", ResetReason.PROTOCOL_ERROR, True, True),
        ("reset", ResetReason.OVERFLOW, False, False),
        ("5xx", ResetReason.OVERFLOW, False, False),
        ("5xx", ResetReason.LOCAL_RESET, True, True),
        ("gateway-error", ResetReason.CONNECTION_TERMINATION, True, True),
        ("refused-stream", ResetReason.REMOTE_REFUSED, True, True),
        ("refused-stream", ResetReason.REMOTE_RESET, True, False),
        ("http3-post-connect-failure", ResetReason.CONNECTION_TERMINATION, True, False),
    ],
)
def test_resets(word: str, reason: ResetReason, sent: bool, retried: bool) -> None:
    assert (made(on(word)).after_reset(reason, sent) != Decision.NO) == retried


@pytest.mark.parametrize(
    ("status", "decision"), [(425, Decision.NOW), (418, Decision.LATER), (419, Decision.NO)]
)
def test_too_early_is_retried_at_once(status: int, decision: Decision) -> None:
    policy = RetryPolicy(RETRY_ON["retriable-status-codes"], retriable_status_codes=(418, 425))
    state = made(policy)
    assert state.after_head(ResponseHead(status, [])) == decision
    if decision == Decision.NOW:
        assert state.judge_head(ResponseHead(status, []), False) == Verdict.YES
        assert state.delay == 0.0


def test_nothing_is_made_for_a_request_that_is_never_retried() -> None:
    head = request((b"x-envoy-max-retries", b"3"), (b"x-a", b"b"))
    limits = ResourceLimits(Thresholds())
    found = retry_state(RetryPolicy(), head, ClusterStats(), limits, Random(1), lambda: NOW, RuntimeValues())
    assert found is None
    assert head.items == [(b"x-a", b"b")]


def test_the_request_adds_to_the_policy() -> None:
    state = made(
        on("reset"), (b"x-envoy-retry-on", b"retriable-4xx"), (b"x-envoy-retry-grpc-on", b"internal")
    )
    assert state.after_reset(ResetReason.REMOTE_RESET, True) == Decision.LATER
    assert state.after_head(ResponseHead(409, [])) == Decision.LATER
    assert state.after_head(ResponseHead(200, [(b"grpc-status", b"13")])) == Decision.LATER


def test_requests_of_the_wrong_kind_are_not_retried() -> None:
    policy = RetryPolicy(RETRY_ON["5xx"], retriable_request_headers=(HeaderMatcher("x-a"),))
    assert not made(policy).enabled
    assert made(policy, (b"x-a", b"")).enabled


def test_a_retry_counts_until_the_next_verdict() -> None:
    limits = ResourceLimits(Thresholds(max_retries=1))
    stats = ClusterStats()
    first, second = (made(on("5xx"), limits=limits, stats=stats) for _ in range(2))
    bad = ResponseHead(500, [])
    assert first.judge_head(bad, False) == Verdict.YES
    assert second.judge_head(bad, False) == Verdict.OVERFLOW
    first.count()
    assert limits.retries == 1
    assert first.judge_head(ResponseHead(200, []), False) == Verdict.NO
    assert limits.retries == 0
    assert (stats.upstream_rq_retry, stats.upstream_rq_retry_success, stats.upstream_rq_retry_overflow) == (
        1,
        1,
        1,
    )


def test_a_retry_that_nobody_waits_for_any_more() -> None:
    limits = ResourceLimits(Thresholds())
    state = made(on("5xx"), limits=limits)
    state.judge_head(ResponseHead(500, []), False)
    state.release()
    state.release()
    assert limits.retries == 0


def test_no_more_than_the_policy_allows() -> None:
    stats = ClusterStats()
    state = made(RetryPolicy(RETRY_ON["5xx"], num_retries=2), stats=stats)
    bad = ResponseHead(500, [])
    assert [state.judge_head(bad, False) for _ in range(3)] == [Verdict.YES, Verdict.YES, Verdict.LIMIT]
    assert stats.upstream_rq_retry_limit_exceeded == 1


@pytest.mark.parametrize(
    ("headers", "least", "most"),
    [
        ([], 0.0, 0.1),
        ([(b"x-wait", b"7")], 7.0, 10.5),
        ([(b"x-wait", b"61")], 0.0, 0.1),
        ([(b"x-wait", b"soon"), (b"x-at", b"1700000010")], 10.0, 15.0),
        ([(b"x-at", b"1699999999")], 0.0, 0.1),
    ],
)
def test_delay(headers: list[Header], least: float, most: float) -> None:
    policy = RetryPolicy(
        RETRY_ON["5xx"],
        base_interval=0.1,
        max_interval=1.0,
        reset_headers=(ResetHeader(b"x-wait"), ResetHeader(b"x-at", True)),
        reset_max_interval=60.0,
    )
    stats = ClusterStats()
    state = made(policy, stats=stats)
    assert state.judge_head(ResponseHead(503, headers), False) == Verdict.YES
    assert least <= state.delay <= most
    state.count()
    assert stats.upstream_rq_retry_backoff_ratelimited == (least > 0)
    assert stats.upstream_rq_retry_backoff_exponential == (least == 0)


def test_the_runtime_has_its_say() -> None:
    bad = ResponseHead(500, [])
    assert (
        made(on("5xx"), runtime=RuntimeValues({"upstream.use_retry": 0})).judge_head(bad, False) == Verdict.NO
    )
    state = made(on("5xx"), runtime=RuntimeValues({"upstream.base_retry_backoff_ms": 5000}))
    state.judge_head(bad, False)
    assert state.delay >= 0.5


@pytest.mark.parametrize(
    ("text", "valid"),
    [("5xx", True), ("5xx, reset", True), ("5xx,,", True), ("5xx reset", False), ("", True)],
)
def test_words(text: str, valid: bool) -> None:
    assert retry_words(text.split(","), RETRY_ON)[1] == valid


def test_a_budget_counts_the_request_that_has_failed() -> None:
    limits = ResourceLimits(Thresholds(retry_budget=(100.0, 0)))
    bad = ResponseHead(500, [])
    assert made(on("5xx"), limits=limits).judge_head(bad, False) == Verdict.OVERFLOW
    assert made(on("5xx"), limits=limits).judge_head(bad, True) == Verdict.YES
    assert made(on("5xx"), limits=limits).judge_head(bad, True) == Verdict.OVERFLOW
