"""Whether a request is sent again (Envoy: Router::RetryStateImpl, configuration/http/http_filters/router_filter)."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from random import Random

from twistproxy.api.codec import ResetReason
from twistproxy.filters.timeouts import number
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.retry import RETRY_ON, RETRY_ON_GRPC, ResetHeader, RetryPolicy, retry_words
from twistproxy.observe import flags
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.observe.route_stats import RequestCounts
from twistproxy.primitives.backoff import Backoff
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.upstream.resource_limits import ResourceLimits

#: What only a request from inside says to the router; none of it goes on to the upstream.
RETRY_HEADERS = frozenset(
    (
        b"x-envoy-retry-on",
        b"x-envoy-retry-grpc-on",
        b"x-envoy-max-retries",
        b"x-envoy-hedge-on-per-try-timeout",
        b"x-envoy-retriable-header-names",
        b"x-envoy-retriable-status-codes",
        b"x-envoy-upstream-rq-per-try-timeout-ms",
    )
)
_5XX = RETRY_ON["5xx"]
_GATEWAY_ERROR = RETRY_ON["gateway-error"]
_RESET = RETRY_ON["reset"]
_RESET_BEFORE_REQUEST = RETRY_ON["reset-before-request"]
_CONNECT_FAILURE = RETRY_ON["connect-failure"]
_RATE_LIMITED = RETRY_ON["envoy-ratelimited"]
_RETRIABLE_4XX = RETRY_ON["retriable-4xx"]
_REFUSED_STREAM = RETRY_ON["refused-stream"]
_STATUS_CODES = RETRY_ON["retriable-status-codes"]
_HEADERS = RETRY_ON["retriable-headers"]
#: By grpc-status.
_GRPC = {
    b"1": RETRY_ON_GRPC["cancelled"],
    b"4": RETRY_ON_GRPC["deadline-exceeded"],
    b"8": RETRY_ON_GRPC["resource-exhausted"],
    b"13": RETRY_ON_GRPC["internal"],
    b"14": RETRY_ON_GRPC["unavailable"],
}
_ANY_GRPC = sum(RETRY_ON_GRPC.values())
_CONNECT_REASONS = (
    ResetReason.CONNECTION_FAILURE,
    ResetReason.CONNECTION_TIMEOUT,
    ResetReason.LOCAL_FAILURE,
)


class Decision(IntEnum):
    """What the policy says of one failure."""

    NO = 0
    LATER = 1  # after a back-off
    NOW = 2


class Verdict(IntEnum):
    """What comes of it."""

    NO = 0
    YES = 1
    OVERFLOW = 2  # too many retries at once in the cluster
    LIMIT = 3  # this request has had its retries


#: By verdict: the response flag that says why there is no retry though the policy asks for one.
WHY_NOT = (0, 0, flags.UO, flags.URX)


class RetryState:
    """The retries of one request.  `delay`: seconds to wait, after a verdict of YES.

    A retry counts against the cluster's limit from the verdict until the next one, or `release`.
    """

    __slots__ = (
        "_armed",
        "_backoff",
        "_codes",
        "_left",
        "_limits",
        "_names",
        "_on",
        "_policy",
        "_random",
        "_runtime",
        "_stats",
        "_told",
        "_wall",
        "counts",
        "delay",
    )

    def __init__(
        self,
        policy: RetryPolicy,
        head: RequestHead,
        stats: ClusterStats,
        limits: ResourceLimits,
        random: Random,
        wall: Callable[[], float],
        runtime: RuntimeValues,
    ) -> None:
        self._policy = policy
        self._stats = stats
        self._limits = limits
        self._random = random
        self._wall = wall
        self._runtime = runtime
        self._left = policy.num_retries
        self._codes = policy.retriable_status_codes
        self._names: tuple[bytes, ...] = ()
        self._on = policy.retry_on
        base, most = policy.base_interval, policy.max_interval
        if not base:
            base = runtime.get_integer("upstream.base_retry_backoff_ms", 25) / 1000
            most = base * 10
        self._backoff = Backoff(base, most, random.random)
        self._armed = False
        self._told = False
        self.delay = 0.0
        #: where the request is counted beside its cluster
        self.counts: RequestCounts | None = None
        self._hear(head)

    def _hear(self, head: RequestHead) -> None:
        """What the request itself says."""
        self._on |= retry_words(_words(head, b"x-envoy-retry-on"), RETRY_ON)[0]
        self._on |= retry_words(_words(head, b"x-envoy-retry-grpc-on"), RETRY_ON_GRPC)[0]
        required = self._policy.retriable_request_headers
        if required and not any(one.matches(head) for one in required):
            self._on = 0
        most = number(head.get(b"x-envoy-max-retries") or b"")
        if most is not None and self._on:
            self._left = most
        codes = [number(word.encode()) for word in _words(head, b"x-envoy-retriable-status-codes")]
        self._codes += tuple(code for code in codes if code is not None)
        names = _words(head, b"x-envoy-retriable-header-names")
        self._names = tuple(name.strip().lower().encode() for name in names if name)

    @property
    def enabled(self) -> bool:
        """Whether anything is ever retried, so that the request must be kept."""
        return self._on != 0

    @property
    def conditions(self) -> int:
        """On what it is: bits of `RETRY_ON` and `RETRY_ON_GRPC`."""
        return self._on

    @property
    def left(self) -> int:
        """How many retries there may still be."""
        return self._left

    def may_retry(self) -> bool:
        """Whether the request has retries left, and the cluster room for one."""
        return self._left > 0 and (self._armed or not self._limits.retries_full())

    # ---- the policy

    def after_head(self, head: ResponseHead) -> Decision:
        """What the policy says of this response."""
        on = self._on
        index = head.index
        if b"x-envoy-ratelimited" in index:
            return Decision.LATER if on & _RATE_LIMITED else Decision.NO
        status = head.status
        if on & _5XX and status >= 500:
            return Decision.LATER
        if on & _GATEWAY_ERROR and 502 <= status <= 504:
            return Decision.LATER
        if on & _RETRIABLE_4XX and status == 409:
            return Decision.LATER
        if on & _STATUS_CODES and status in self._codes:
            return Decision.NOW if status == 425 else Decision.LATER
        if on & _HEADERS:
            if any(name in index for name in self._names):
                return Decision.LATER
            if any(one.matches(head) for one in self._policy.retriable_headers):
                return Decision.LATER
        if on & _ANY_GRPC and on & _GRPC.get((head.get(b"grpc-status") or b"").strip(), 0):
            return Decision.LATER
        return Decision.NO

    def after_reset(self, reason: ResetReason, sent: bool) -> Decision:
        """What the policy says of an attempt without a response.  `sent`: it had begun to send the request."""
        on = self._on
        if reason == ResetReason.OVERFLOW:
            return Decision.NO
        if on & _CONNECT_FAILURE and reason in _CONNECT_REASONS:
            return Decision.LATER
        if on & _RESET_BEFORE_REQUEST and not sent:
            return Decision.LATER
        if on & (_RESET | _5XX | _GATEWAY_ERROR):
            return Decision.LATER
        if on & _REFUSED_STREAM and reason == ResetReason.REMOTE_REFUSED:
            return Decision.LATER
        return Decision.NO

    # ---- what comes of it

    def judge_head(self, head: ResponseHead, end_stream: bool) -> Verdict:
        decision = self.after_head(head)
        delay = self._told_delay(head) if decision == Decision.LATER else 0.0
        return self.judge(decision, delay, end_stream)

    def judge(self, decision: Decision, told: float = 0.0, ended: bool = False) -> Verdict:
        """`told`: the delay that the response asked for, in seconds, 0 if none.  `ended`: the pool counts the attempt
        no longer."""
        stats = self._stats
        if self._armed and decision == Decision.NO:
            stats.upstream_rq_retry_success += 1  # an earlier retry has brought this
            if self.counts is not None:
                self.counts.retry_succeeded()
        self.release()
        if decision == Decision.NO:
            return Verdict.NO
        if not self._left:
            stats.upstream_rq_retry_limit_exceeded += 1
            if self.counts is not None:
                self.counts.retry_limited()
            return Verdict.LIMIT
        self._left -= 1
        if self._limits.retries_full(int(ended)):
            stats.upstream_rq_retry_overflow += 1
            if self.counts is not None:
                self.counts.retry_overflowed()
            return Verdict.OVERFLOW
        if not self._runtime.feature_enabled("upstream.use_retry", 100, 100, self._random.getrandbits(32)):
            return Verdict.NO
        self._limits.count_retries(1)
        self._armed = True
        self._told = told > 0
        if decision == Decision.NOW:
            self.delay = 0.0
        elif told:
            # At least what was asked for, and not everybody at once.
            self.delay = told * (1 + self._random.random() / 2)
        else:
            self.delay = self._backoff.next()
        return Verdict.YES

    def count(self) -> None:
        """The delay is over, and the retry is made."""
        stats = self._stats
        stats.upstream_rq_retry += 1
        if self.counts is not None:
            self.counts.retried()
        if self._told:
            stats.upstream_rq_retry_backoff_ratelimited += 1
        elif self.delay:
            stats.upstream_rq_retry_backoff_exponential += 1

    def release(self) -> None:
        """No retry of this request is under way any more."""
        if self._armed:
            self._armed = False
            self._limits.count_retries(-1)

    def _told_delay(self, head: ResponseHead) -> float:
        for wanted in self._policy.reset_headers:
            seconds = _reset_seconds(wanted, head, self._wall)
            if seconds is not None and seconds <= self._policy.reset_max_interval:
                return float(seconds)
        return 0.0


def retry_state(
    policy: RetryPolicy,
    head: RequestHead,
    stats: ClusterStats,
    limits: ResourceLimits,
    random: Random,
    wall: Callable[[], float],
    runtime: RuntimeValues,
) -> RetryState | None:
    """None if nothing is ever retried.  Takes the headers that were for us out of `head`."""
    index = head.index
    found: RetryState | None = None
    if policy.retry_on or b"x-envoy-retry-on" in index or b"x-envoy-retry-grpc-on" in index:
        found = RetryState(policy, head, stats, limits, random, wall, runtime)
    head.remove_all(RETRY_HEADERS)
    return found


def _words(head: RequestHead, name: bytes) -> list[str]:
    value = head.get(name)
    return [] if value is None else value.decode("latin-1").split(",")


def _reset_seconds(wanted: ResetHeader, head: ResponseHead, wall: Callable[[], float]) -> int | None:
    values = head.get_all(wanted.name)
    value = number(values[0]) if values else None
    if value is None or not wanted.is_timestamp:
        return value
    now = int(wall())
    return None if value < now else value - now
