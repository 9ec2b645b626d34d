"""A host: an endpoint at run time."""

from __future__ import annotations

from typing import Any

from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import (
    DEGRADED,
    EXCLUDED,
    FAILED_ACTIVE_HC,
    FAILED_OUTLIER_CHECK,
    UNHEALTHY,
    eds_flags,
    flag_names,
)
from twistproxy.observe.cluster_stats import HostStats
from twistproxy.primitives.shared_line import SharedLine
from twistproxy.upstream.outlier import OutlierCounts

#: The cell of a worker's line that counts active requests; those before it are for outlier detection (`model.outlier`).
_ACTIVE = 5
_CONNECTIONS = 6


class Host:
    """One address of a cluster with what is known about it.

    flags     its health (`model.health`), and what follows from it:
    healthy   it gets requests
    degraded  it gets requests only where the healthy hosts do not suffice
    excluded  it counts as if it were not there

    healthy_since  when it began to get requests, in seconds of the clock, as far as slow start wants to know; None if
                   that is to be noted yet
    pools     connections to it, one pool a priority: (default, high), and the same again for tunnels; made on first
              use by the cluster
    keyed_pools  those that are there for some requests only (`upstream.pool.pools`), by place among the four and key
    address_text  for logs and `/clusters`
    load     where all workers count its requests, None if each knows of its own only
    outlier  where outlier detection counts, None without it
    cluster  the `upstream.cluster.Cluster` whose host it is, None in tests
    """

    __slots__ = (
        "address",
        "address_text",
        "cluster",
        "degraded",
        "endpoint",
        "excluded",
        "flags",
        "healthy",
        "healthy_since",
        "keyed_pools",
        "load",
        "outlier",
        "pools",
        "stats",
        "weight",
    )

    def __init__(self, endpoint: Endpoint) -> None:
        self.flags = 0
        self.cluster: Any = None
        self.healthy_since: float | None = None
        self.use(endpoint)
        self.address = endpoint.address
        self.address_text = str(endpoint.address)
        self.stats = HostStats()
        self.load: SharedLine | None = None
        self.outlier: OutlierCounts | None = None
        self.pools: list[Any] = [None, None, None, None]
        self.keyed_pools: dict[tuple[int, str], Any] = {}

    def follow(self, endpoint: Endpoint, moved: set[int]) -> None:
        """This is said of it from now on; its priorities go into `moved` if it has another one.  The connections of one
        that has failed take no further requests (Envoy: ClusterManagerImpl::postThreadLocalHealthFailure)."""
        former = self.endpoint
        if former.priority != endpoint.priority:
            moved.update((former.priority, endpoint.priority))
        if former.additional != endpoint.additional:
            self.forget_pools()
        flags = self.flags
        self.use(endpoint)
        if self.flags & ~flags & (FAILED_ACTIVE_HC | FAILED_OUTLIER_CHECK):
            for pool in self.all_pools():
                pool.host_failed()
            self.forget_pools()

    def forget_pools(self) -> None:
        """From now on connections are to be made anew; those in use finish."""
        for pool in self.all_pools():
            pool.drain()
        self.pools = [None, None, None, None]
        self.keyed_pools.clear()

    def count_pools(self, priority: int) -> int:
        """How many pools for requests of this priority, 0 or 1, have connections or requests."""
        pool = self.pools[priority]
        usual = pool is not None and not pool.is_empty()
        return usual + sum(place == priority for place, _ in self.keyed_pools)

    def all_pools(self) -> list[Any]:
        return [*(pool for pool in self.pools if pool is not None), *self.keyed_pools.values()]

    def use(self, endpoint: Endpoint) -> None:
        """What discovery says of this address now."""
        self.endpoint = endpoint
        self.weight = endpoint.weight
        before = self.flags
        self.flags = flags = eds_flags(endpoint.health) | endpoint.flags
        self.healthy = not flags & (UNHEALTHY | DEGRADED)
        self.degraded = bool(flags & DEGRADED) and not flags & UNHEALTHY
        self.excluded = bool(flags & EXCLUDED)
        if endpoint.since:
            self.healthy_since = endpoint.since
        elif before & ~flags & FAILED_ACTIVE_HC:
            self.healthy_since = None

    def begin_request(self) -> None:
        """It has one more."""
        self.stats.rq_active = active = self.stats.rq_active + 1
        if self.load is not None:
            self.load.put(_ACTIVE, active)

    def end_request(self) -> None:
        """It has one less."""
        self.stats.rq_active = active = self.stats.rq_active - 1
        if self.load is not None:
            self.load.put(_ACTIVE, active)

    def active(self) -> int:
        """How many requests it has, from all workers where that is known."""
        load = self.load
        return self.stats.rq_active if load is None else self.stats.rq_active + load.others(_ACTIVE)

    def connections(self) -> int:
        """How many connections lead to it or are being made, from all workers where that is known."""
        load = self.load
        return self.stats.cx_active if load is None else self.stats.cx_active + load.others(_CONNECTIONS)

    def tell_connections(self) -> None:
        """There are more or less of them than before."""
        if self.load is not None:
            self.load.put(_CONNECTIONS, self.stats.cx_active)

    def share_load(self, line: SharedLine | None) -> None:
        """Count there from now on."""
        self.load = line
        if line is not None:
            line.put(_ACTIVE, self.stats.rq_active)
            line.put(_CONNECTIONS, self.stats.cx_active)

    def drain(self) -> None:
        """It is gone; what is in flight finishes."""
        for pool in self.all_pools():
            pool.drain()

    def describe(self) -> dict[str, Any]:
        """The host's part of a statistics snapshot."""
        endpoint = self.endpoint
        locality = endpoint.locality
        stats = self.stats
        return {
            "address": self.address_text,
            "hostname": endpoint.hostname,
            "weight": endpoint.weight,
            "zone": locality.zone,
            "region": locality.region,
            "sub_zone": locality.sub_zone,
            "priority": endpoint.priority,
            "canary": endpoint.canary,
            "health": flag_names(self.flags),
            "counters": {name: getattr(stats, name) for name in stats.COUNTERS},
            "gauges": {name: getattr(stats, name) for name in stats.GAUGES},
        }
