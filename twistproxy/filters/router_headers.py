"""The request headers by which a client inside tells the router what to do (Envoy: configuration/http/http_filters/
router_filter)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from twistproxy.filters.retry_state import RETRY_HEADERS
from twistproxy.filters.timeouts import number
from twistproxy.http.message import RequestHead
from twistproxy.model.retry import RETRY_ON, RETRY_ON_GRPC, retry_words

#: Any of them makes a request more than one attempt within the route's timeout.
ROUTER_HEADERS = RETRY_HEADERS | frozenset(
    (
        b"x-envoy-expected-rq-timeout-ms",
        b"x-envoy-upstream-alt-stat-name",
        b"x-envoy-upstream-rq-timeout-alt-response",
        b"x-envoy-upstream-rq-timeout-ms",
        b"x-envoy-upstream-stream-duration-ms",
    )
)


def _is_number(value: bytes) -> bool:
    return number(value) is not None


def _are_known(known: dict[str, int]) -> Callable[[bytes], bool]:
    return lambda value: retry_words(value.decode("latin-1").split(","), known)[1]


#: What `strict_check_headers` can check, and how.
CHECKS: dict[bytes, Callable[[bytes], bool]] = {
    b"x-envoy-upstream-rq-timeout-ms": _is_number,
    b"x-envoy-upstream-rq-per-try-timeout-ms": _is_number,
    b"x-envoy-max-retries": _is_number,
    b"x-envoy-retry-on": _are_known(RETRY_ON),
    b"x-envoy-retry-grpc-on": _are_known(RETRY_ON_GRPC),
}


def misspelt(head: RequestHead, names: Iterable[bytes]) -> tuple[bytes, bytes] | None:
    """The first of these headers (names in `CHECKS`) whose value makes no sense, with its value."""
    for name in names:
        value = head.get(name)
        if value is not None and not CHECKS[name](value):
            return name, value
    return None
