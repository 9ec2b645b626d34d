"""Circuit breakers: how much of a cluster may be in use at once (Envoy: arch_overview/upstream/circuit_breaking).

With several workers each keeps its own counts on the board, and what is in use is what all of them have there.
"""

from __future__ import annotations

from twistproxy.model.cluster import Thresholds
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.shared_line import SharedLine

#: The limit of what has none (max_connection_pools).
_UNLIMITED = 2**64 - 1
#: Where the counts are on the line that a priority of a cluster has on the board.
_CONNECTIONS, _PENDING, _REQUESTS, _RETRIES, _POOLS = range(5)


class ResourceLimits:
    """Counts of one priority of one cluster, beside their limits.

    connections, pending, requests, retries, pools  what this worker has in use.  Whoever takes some says so with
        `count_…`, and has asked with `…_full` before: whether all workers together have as many as there may be.
    """

    __slots__ = (
        "_shared",
        "connections",
        "max_connections",
        "max_pending",
        "max_pools",
        "max_requests",
        "max_retries",
        "pending",
        "pools",
        "requests",
        "retries",
        "retry_budget",
        "track_remaining",
    )

    def __init__(self, thresholds: Thresholds) -> None:
        self.connections = 0
        self.pending = 0
        self.pools = 0  # counted only where there is a limit
        self.requests = 0
        self.retries = 0
        self._shared: SharedLine | None = None
        self.set_limits(thresholds)

    def share(self, line: SharedLine) -> None:
        """Count on the board, together with the other workers."""
        self._shared = line
        own_counts = (self.connections, self.pending, self.requests, self.retries, self.pools)
        for cell, own in enumerate(own_counts):
            line.put(cell, own)

    def set_limits(self, thresholds: Thresholds) -> None:
        self.max_connections = thresholds.max_connections
        self.max_pending = thresholds.max_pending_requests
        self.max_pools = thresholds.max_connection_pools
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
        if self.max_pools is not None:
            self.max_pools = runtime.get_integer(prefix + "max_connection_pools", self.max_pools)
        if self.retry_budget is not None:
            percent, least = self.retry_budget
            prefix += "retry_budget."
            self.retry_budget = (
                runtime.get_double(prefix + "budget_percent", percent),
                runtime.get_integer(prefix + "min_retry_concurrency", least),
            )

    # ---- taking and giving back

    def count_connections(self, change: int) -> None:
        self.connections += change
        if self._shared is not None:
            self._shared.put(_CONNECTIONS, self.connections)

    def count_pending(self, change: int) -> None:
        self.pending += change
        if self._shared is not None:
            self._shared.put(_PENDING, self.pending)

    def count_requests(self, change: int) -> None:
        self.requests += change
        if self._shared is not None:
            self._shared.put(_REQUESTS, self.requests)

    def count_retries(self, change: int) -> None:
        self.retries += change
        if self._shared is not None:
            self._shared.put(_RETRIES, self.retries)

    def count_pools(self, change: int) -> None:
        self.pools += change
        if self._shared is not None:
            self._shared.put(_POOLS, self.pools)

    # ---- what is in use, by all workers

    def connections_full(self) -> bool:
        return self.connections + self._others(_CONNECTIONS) >= self.max_connections

    def pending_full(self) -> bool:
        return self.pending + self._others(_PENDING) >= self.max_pending

    def requests_full(self) -> bool:
        return self.requests + self._others(_REQUESTS) >= self.max_requests

    def retries_full(self, ended: int = 0) -> bool:
        """Whether no more retry may be under way at once.  `ended`: how many requests a budget has as active although
        they are no longer counted: the one that has just failed is, in Envoy."""
        return self.retries + self._others(_RETRIES) >= self._most_retries(ended)

    def _most_retries(self, ended: int) -> int:
        budget = self.retry_budget
        if budget is None:
            return self.max_retries
        percent, least = budget
        active = ended + self.requests + self.pending + self._others(_REQUESTS) + self._others(_PENDING)
        return max(int(percent / 100 * active), least)

    def pools_full(self) -> bool:
        return self.max_pools is not None and self.pools + self._others(_POOLS) >= self.max_pools

    def own_use(self) -> bool:
        """Whether this worker has anything in use."""
        return bool(self.connections or self.pending or self.requests or self.retries or self.pools)

    def in_use(self) -> tuple[int, int, int, int]:
        """Connections, pending requests, requests and retries."""
        return (
            self.connections + self._others(_CONNECTIONS),
            self.pending + self._others(_PENDING),
            self.requests + self._others(_REQUESTS),
            self.retries + self._others(_RETRIES),
        )

    def _others(self, cell: int) -> int:
        shared = self._shared
        return 0 if shared is None else shared.others(cell)

    def collect(self, prefix: str, out: Snapshot, pools: int) -> None:
        """Gauges `…cx_open` and so on: 1 while the breaker is open; `…remaining_cx` and so on where that is wanted.
        `pools`: how many connection pools this worker has, where nothing limits them."""
        connections, pending, requests, retries = self.in_use()
        out.gauges[prefix + "cx_open"] = int(connections >= self.max_connections)
        most = _UNLIMITED
        if self.max_pools is not None:
            most = self.max_pools
            pools = self.pools + self._others(_POOLS)
        out.gauges[prefix + "cx_pool_open"] = int(pools >= most)
        out.gauges[prefix + "rq_open"] = int(requests >= self.max_requests)
        out.gauges[prefix + "rq_pending_open"] = int(pending >= self.max_pending)
        # Envoy shows it by `max_retries` and what remains as 0 where a budget is what counts.
        out.gauges[prefix + "rq_retry_open"] = int(retries >= self.max_retries)
        if self.track_remaining:
            out.gauges[prefix + "remaining_cx"] = max(0, self.max_connections - connections)
            out.gauges[prefix + "remaining_cx_pools"] = max(0, most - pools)
            out.gauges[prefix + "remaining_pending"] = max(0, self.max_pending - pending)
            left = max(0, self.max_retries - retries) if self.retry_budget is None else 0
            out.gauges[prefix + "remaining_retries"] = left
            out.gauges[prefix + "remaining_rq"] = max(0, self.max_requests - requests)

    def describe(self) -> dict[str, int]:
        return {
            "max_connections": self.max_connections,
            "max_pending_requests": self.max_pending,
            "max_requests": self.max_requests,
            "max_retries": self._most_retries(0),
        }
