"""Circuit breakers: how much of a cluster may be in use at once (Envoy: arch_overview/upstream/circuit_breaking)."""

from __future__ import annotations

from twistproxy.model.cluster import Thresholds
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.runtime import RuntimeValues

#: The limit of what has none (max_connection_pools).
_UNLIMITED = 2**64 - 1


class ResourceLimits:
    """Counts of one priority of one cluster, beside their limits.  Whoever takes one adds and subtracts."""

    __slots__ = (
        "connections",
        "max_connections",
        "max_pending",
        "max_requests",
        "max_retries",
        "pending",
        "requests",
        "retries",
        "retry_budget",
        "track_remaining",
    )

    def __init__(self, thresholds: Thresholds) -> None:
        self.connections = 0
        self.pending = 0
        self.requests = 0
        self.retries = 0
        self.set_limits(thresholds)

    def set_limits(self, thresholds: Thresholds) -> None:
        self.max_connections = thresholds.max_connections
        self.max_pending = thresholds.max_pending_requests
        self.max_requests = thresholds.max_requests
        self.max_retries = thresholds.max_retries
        self.retry_budget = thresholds.retry_budget
        self.track_remaining = thresholds.track_remaining

    def use_runtime(self, thresholds: Thresholds, runtime: RuntimeValues, prefix: str) -> None:
        """These limits, but for what the runtime has under `prefix` (ending in a dot)."""
        self.set_limits(thresholds)
        self.max_connections = runtime.get_integer(prefix + "max_connections", self.max_connections)
        self.max_pending = runtime.get_integer(prefix + "max_pending_requests", self.max_pending)
        self.max_requests = runtime.get_integer(prefix + "max_requests", self.max_requests)
        self.max_retries = runtime.get_integer(prefix + "max_retries", self.max_retries)
        if self.retry_budget is not None:
            percent, least = self.retry_budget
            prefix += "retry_budget."
            self.retry_budget = (
                runtime.get_double(prefix + "budget_percent", percent),
                runtime.get_integer(prefix + "min_retry_concurrency", least),
            )

    def can_retry(self) -> bool:
        """Whether one more retry may be under way at once."""
        budget = self.retry_budget
        if budget is None:
            return self.retries < self.max_retries
        percent, least = budget
        return self.retries < max(int(percent / 100 * (self.requests + self.pending)), least)

    def collect(self, prefix: str, out: Snapshot, pools: int) -> None:
        """Gauges `…cx_open` and so on: 1 while the breaker is open; `…remaining_cx` and so on where that is wanted.
        `pools`: how many connection pools there are, which nothing limits."""
        out.gauges[prefix + "cx_open"] = int(self.connections >= self.max_connections)
        out.gauges[prefix + "cx_pool_open"] = 0
        out.gauges[prefix + "rq_open"] = int(self.requests >= self.max_requests)
        out.gauges[prefix + "rq_pending_open"] = int(self.pending >= self.max_pending)
        # Envoy shows it by `max_retries` and what remains as 0 where a budget is what counts.
        out.gauges[prefix + "rq_retry_open"] = int(self.retries >= self.max_retries)
        if self.track_remaining:
            out.gauges[prefix + "remaining_cx"] = max(0, self.max_connections - self.connections)
            out.gauges[prefix + "remaining_cx_pools"] = _UNLIMITED - pools
            out.gauges[prefix + "remaining_pending"] = max(0, self.max_pending - self.pending)
            left = max(0, self.max_retries - self.retries) if self.retry_budget is None else 0
            out.gauges[prefix + "remaining_retries"] = left
            out.gauges[prefix + "remaining_rq"] = max(0, self.max_requests - self.requests)

    def describe(self) -> dict[str, int]:
        return {
            "max_connections": self.max_connections,
            "max_pending_requests": self.max_pending,
            "max_requests": self.max_requests,
            "max_retries": self.max_retries,
        }
