"""How long a request may take, from its route and from the headers that clients inside may set (Envoy:
configuration/http/http_filters/router_filter, FilterUtility::finalTimeout)."""

from __future__ import annotations

from twistproxy.http.message import RequestHead
from twistproxy.model.retry import RequestPlan

_EXPECTED = b"x-envoy-expected-rq-timeout-ms"
_TOTAL = b"x-envoy-upstream-rq-timeout-ms"
_PER_TRY = b"x-envoy-upstream-rq-per-try-timeout-ms"
_ALT_RESPONSE = b"x-envoy-upstream-rq-timeout-alt-response"
_DURATION = b"x-envoy-upstream-stream-duration-ms"
_HEDGE = b"x-envoy-hedge-on-per-try-timeout"
_GRPC_TIMEOUT = b"grpc-timeout"

#: Milliseconds of the units of a grpc-timeout.
_GRPC_UNITS = {b"H": 3_600_000.0, b"M": 60_000.0, b"S": 1000.0, b"m": 1.0, b"u": 0.001, b"n": 0.000001}
#: A grpc-timeout has at most eight digits.
_GRPC_MOST = 99_999_999


class Timeouts:
    """The limits of one request, in milliseconds, 0 for none.

    total          from the end of the request to the end of the response
    per_try        for one attempt
    per_try_idle   for the upstream's silence within one attempt
    duration       for one attempt from the moment on that it has a connection
    hedge          a per-try timeout leaves the slow attempt alone and starts another
    status         what a timeout is answered with
    """

    __slots__ = (
        "_asked",
        "_grpc",
        "_tell",
        "duration",
        "hedge",
        "per_try",
        "per_try_idle",
        "status",
        "total",
    )

    def __init__(
        self,
        plan: RequestPlan,
        route_timeout: float,
        cluster_duration: float,
        head: RequestHead,
        tell: bool,
        respect_expected: bool,
    ) -> None:
        """Takes the headers that were meant for us from `head`, and sets x-envoy-expected-rq-timeout-ms if `tell`.

        route_timeout, cluster_duration  seconds
        respect_expected                 the x-envoy-expected-rq-timeout-ms that came is the total
        """
        hedge = _take(head, _HEDGE)
        self.hedge = hedge == b"true" or (plan.hedge and hedge != b"false")
        grpc = _is_grpc(head)
        total = 0 if plan.replaces_timeout else round(route_timeout * 1000)
        self._grpc = False
        if grpc and plan.grpc_timeout_max is not None and not plan.replaces_timeout:
            self._grpc = True
            total = _grpc_total(plan, head)
        expected = head.get(_EXPECTED) if respect_expected else None
        if expected is None:
            expected = _take(head, _TOTAL)
        self.total = total = _number(expected, total)
        self.per_try_idle = round(plan.retry.per_try_idle_timeout * 1000)
        per_try = _number(_take(head, _PER_TRY), round(plan.retry.per_try_timeout * 1000))
        self.per_try = 0 if total and per_try >= total else per_try
        self._tell = tell
        self.tell(head, 0)
        self._asked = _number(_take(head, _DURATION), -1)
        self.duration = 0
        self.use_duration(cluster_duration)
        self.status = 504 if _take(head, _ALT_RESPONSE) is None else 204

    def use_duration(self, cluster_duration: float) -> None:
        """`cluster_duration`: seconds that an attempt may take at most, unless the request itself has said so."""
        self.duration = round(cluster_duration * 1000) if self._asked < 0 else self._asked

    def tell(self, head: RequestHead, elapsed: int) -> None:
        """Tell the upstream how long it has.  `elapsed`: milliseconds since the end of the request."""
        expected = self.total if self.hedge or not self.per_try else self.per_try
        if not expected:
            return
        total = self.total
        if total:
            # 0 would be no limit at all.
            expected = 1 if elapsed >= total else min(expected, total - elapsed)
        if self._tell:
            head.set(_EXPECTED, b"%d" % expected)
        if self._grpc:
            head.set(_GRPC_TIMEOUT, _grpc_text(expected))


def stream_duration(plan: RequestPlan, head: RequestHead) -> float | None:
    """How long the whole stream may take, in seconds, 0 for ever; None: as long as the manager says (Envoy:
    ConnectionManagerImpl::ActiveStream::refreshDurationTimeout).  A gRPC upstream is told what the route says."""
    duration = _stream_duration(plan, head)
    if duration and _is_grpc(head):
        head.set(_GRPC_TIMEOUT, _grpc_text(round(duration * 1000)))
    return duration


def _stream_duration(plan: RequestPlan, head: RequestHead) -> float | None:
    most = plan.grpc_duration_max
    asked = grpc_timeout(head) if most is not None else None
    if most is None or asked is None:
        return plan.max_duration
    if most and asked > most * 1000:
        asked = most * 1000
    # No time left is not the same as no limit.
    return max(1.0, asked - plan.grpc_duration_offset * 1000) / 1000


def grpc_timeout(head: RequestHead) -> float | None:
    """The grpc-timeout header in milliseconds, None if it is not there or malformed."""
    value = head.get(_GRPC_TIMEOUT)
    if not value:
        return None
    digits, unit = value[:-1], _GRPC_UNITS.get(value[-1:])
    if unit is None or not digits.isdigit() or len(digits) > 8:
        return None
    exact = int(digits) * unit
    whole = int(exact)
    return float(whole if whole == exact else whole + 1)


def number(text: bytes) -> int | None:
    """An unsigned integer as Envoy takes it from a header."""
    text = text.strip(b" \t")
    if text[:1] == b"+":
        text = text[1:]
    return int(text) if text.isdigit() and len(text) < 20 else None


def _number(text: bytes | None, default: int) -> int:
    found = None if text is None else number(text)
    return default if found is None else found


def _take(head: RequestHead, name: bytes) -> bytes | None:
    value = head.get(name)
    if value is not None:
        head.remove(name)
    return value


def _is_grpc(head: RequestHead) -> bool:
    kind = head.get(b"content-type") or b""
    return kind == b"application/grpc" or kind[:17] == b"application/grpc+"


def _grpc_total(plan: RequestPlan, head: RequestHead) -> int:
    """max_grpc_timeout: what the client says, less the offset, within the maximum."""
    timeout = grpc_timeout(head) or 0.0
    offset = plan.grpc_timeout_offset * 1000
    if offset < timeout:
        timeout -= offset
    most = (plan.grpc_timeout_max or 0.0) * 1000
    if most and (not timeout or timeout > most):
        timeout = most
    return round(timeout)


def _grpc_text(milliseconds: int) -> bytes:
    value = milliseconds
    if value <= _GRPC_MOST:
        return b"%dm" % value
    value //= 1000
    for unit in (b"S", b"M", b"H"):
        if value <= _GRPC_MOST:
            return b"%d%b" % (value, unit)
        value //= 60
    return b"%dH" % _GRPC_MOST
