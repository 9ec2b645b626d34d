"""What is counted for a virtual cluster or a route with a `stat_prefix` (Envoy: configuration/http/http_filters/
router_filter, "Statistics")."""

from __future__ import annotations

from twistproxy.observe.histogram import Histogram
from twistproxy.observe.stats import Group, Snapshot, collect_statuses


class RouteStats(Group):
    """`vhost.<virtual host>.vcluster.<name>.*` or `vhost.<virtual host>.route.<stat_prefix>.*`."""

    COUNTERS = (
        "upstream_rq_retry",
        "upstream_rq_retry_limit_exceeded",
        "upstream_rq_retry_overflow",
        "upstream_rq_retry_success",
        "upstream_rq_timeout",
        "upstream_rq_total",
    )

    def __init__(self) -> None:
        self.upstream_rq_retry = 0
        self.upstream_rq_retry_limit_exceeded = 0
        self.upstream_rq_retry_overflow = 0
        self.upstream_rq_retry_success = 0
        self.upstream_rq_timeout = 0
        self.upstream_rq_total = 0
        self.upstream_rq_completed = 0
        self.statuses: dict[int, int] = {}
        self.rq_time = Histogram()

    def collect(self, prefix: str, out: Snapshot) -> None:
        super().collect(prefix, out)
        if self.statuses:
            out.counters[prefix + "upstream_rq_completed"] = self.upstream_rq_completed
            collect_statuses(prefix, "upstream_rq", self.statuses, out, True)
            out.histograms[prefix + "upstream_rq_time"] = self.rq_time.snapshot()


class RouteStatsRegistry:
    """All of a worker's, by their names: those of one name are one, in whatever route table.

    paused  requests that begin now are not counted: they are tried only for an explanation
    """

    def __init__(self) -> None:
        self.paused = False
        self._all: dict[str, RouteStats] = {}

    def of_virtual_cluster(self, virtual_host: str, name: str) -> RouteStats:
        return self._all.setdefault(f"vhost.{virtual_host}.vcluster.{name}.", RouteStats())

    def of_route(self, virtual_host: str, stat_prefix: str) -> RouteStats:
        return self._all.setdefault(f"vhost.{virtual_host}.route.{stat_prefix}.", RouteStats())

    def collect(self, out: Snapshot) -> None:
        for prefix, stats in self._all.items():
            stats.collect(prefix, out)


class RequestCounts:
    """Where one request is counted beside its cluster.

    virtual_cluster  the name of it; "" where it is none of the configured ones
    """

    __slots__ = ("_stats", "virtual_cluster")

    def __init__(self, virtual_cluster: str, stats: list[RouteStats]) -> None:
        self.virtual_cluster = virtual_cluster
        self._stats = stats

    def charge(self, status: int) -> None:
        """A response came, or was given in its place."""
        for stats in self._stats:
            stats.upstream_rq_completed += 1
            stats.statuses[status] = stats.statuses.get(status, 0) + 1

    def sent(self) -> None:
        """The request goes to a host."""
        for stats in self._stats:
            stats.upstream_rq_total += 1

    def timed_out(self) -> None:
        for stats in self._stats:
            stats.upstream_rq_timeout += 1

    def retried(self) -> None:
        for stats in self._stats:
            stats.upstream_rq_retry += 1

    def retry_limited(self) -> None:
        """Another retry was wanted, and there were enough."""
        for stats in self._stats:
            stats.upstream_rq_retry_limit_exceeded += 1

    def retry_overflowed(self) -> None:
        """The circuit breaker allowed no retry."""
        for stats in self._stats:
            stats.upstream_rq_retry_overflow += 1

    def retry_succeeded(self) -> None:
        for stats in self._stats:
            stats.upstream_rq_retry_success += 1

    def took(self, milliseconds: int) -> None:
        for stats in self._stats:
            stats.rq_time.record(milliseconds)
