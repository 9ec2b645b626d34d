"""Retries, hedging and time limits of a route as configured (envoy.config.route.v3.RetryPolicy, HedgePolicy and the time
limits of RouteAction)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from twistproxy.http.header_match import HeaderMatcher
from twistproxy.primitives.metadata_match import Labels

#: The words of `retry_on` and x-envoy-retry-on, a bit each.
RETRY_ON = {
    "5xx": 1 << 0,
    "gateway-error": 1 << 1,
    "reset": 1 << 2,
    "reset-before-request": 1 << 3,
    "connect-failure": 1 << 4,
    "envoy-ratelimited": 1 << 5,
    "retriable-4xx": 1 << 6,
    "refused-stream": 1 << 7,
    "retriable-status-codes": 1 << 8,
    "retriable-headers": 1 << 9,
    "http3-post-connect-failure": 1 << 10,  # of HTTP/3 only: it never applies here
}
#: The words of `retry_on` and x-envoy-retry-grpc-on.
RETRY_ON_GRPC = {
    "cancelled": 1 << 16,
    "deadline-exceeded": 1 << 17,
    "internal": 1 << 18,
    "resource-exhausted": 1 << 19,
    "unavailable": 1 << 20,
}


def retry_words(words: Iterable[str], known: dict[str, int]) -> tuple[int, bool]:
    """The bits of these words, and whether all of them are known; Envoy ignores those that are not."""
    bits = 0
    valid = True
    for word in words:
        bit = known.get(word.strip(" \t"))
        if bit is not None:
            bits |= bit
        elif word:
            valid = False
    return bits, valid


@dataclass(frozen=True, slots=True)
class ResetHeader:
    """A response header that says when to come back: after so many seconds, or at a Unix time."""

    name: bytes
    is_timestamp: bool = False


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """When a request is sent again, and where.  Times in seconds.

    retry_on              bits of `RETRY_ON` and `RETRY_ON_GRPC`
    per_try_timeout       for one attempt from the end of the request on, 0 for none
    per_try_idle_timeout  for the upstream's silence within one attempt, 0 for none
    retriable_headers     of a response, for "retriable-headers"
    retriable_request_headers  only requests with one of them are retried, if there are any
    base_interval         the first back-off is below this, 0: what the runtime says, or 25 ms
    max_interval          no back-off is longer
    reset_headers         whose delay is taken in place of the back-off, up to `reset_max_interval`
    other_hosts           a retry looks for a host that was not tried (`previous_hosts`), …
    no_canaries           … that is not a canary, …
    no_labels             … whose metadata does not have all of these (`primitives.metadata_match`), if there are any, …
    host_attempts         so many times
    priority_updates      after so many attempts the priorities tried are left out (`previous_priorities`), 0: never
    """

    retry_on: int = 0
    num_retries: int = 1
    per_try_timeout: float = 0.0
    per_try_idle_timeout: float = 0.0
    retriable_status_codes: tuple[int, ...] = ()
    retriable_headers: tuple[HeaderMatcher, ...] = ()
    retriable_request_headers: tuple[HeaderMatcher, ...] = ()
    base_interval: float = 0.0
    max_interval: float = 0.0
    reset_headers: tuple[ResetHeader, ...] = ()
    reset_max_interval: float = 300.0
    other_hosts: bool = False
    no_canaries: bool = False
    no_labels: Labels = ()
    host_attempts: int = 1
    priority_updates: int = 0


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What a route wants of a request beyond one attempt within the route's `timeout`.  Times in seconds.

    hedge                      a per-try timeout starts another attempt and lets the slow one go on
    idle_timeout               in place of the manager's stream_idle_timeout, 0 for none
    max_duration               of the whole stream, in place of the manager's; 0 for none
    replaces_timeout           max_stream_duration is there: the route's `timeout` does not apply, as in Envoy
    grpc_duration_max, _offset  how a grpc-timeout header limits the stream's duration
    grpc_timeout_max, _offset  how it sets the route's timeout (max_grpc_timeout, deprecated)
    buffer_limit               bytes of content kept for another attempt, None: the listener's limit
    count_in_request, _in_response  x-envoy-attempt-count
    tell_timeout_retry         x-envoy-is-timeout-retry in requests that are retries
    """

    retry: RetryPolicy = RetryPolicy()
    hedge: bool = False
    idle_timeout: float | None = None
    max_duration: float | None = None
    replaces_timeout: bool = False
    grpc_duration_max: float | None = None
    grpc_duration_offset: float = 0.0
    grpc_timeout_max: float | None = None
    grpc_timeout_offset: float = 0.0
    buffer_limit: int | None = None
    count_in_request: bool = False
    count_in_response: bool = False
    tell_timeout_retry: bool = False

    @property
    def one_attempt(self) -> bool:
        """Whether all that it says is about the stream, not about attempts."""
        limits = RequestPlan(
            idle_timeout=self.idle_timeout,
            buffer_limit=self.buffer_limit,
        )
        return self == limits


NO_PLAN = RequestPlan()
