"""Which pools the hosts of a cluster have (Envoy: ClusterManagerImpl, ConnPoolMap,
arch_overview/upstream/connection_pooling)."""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.api.clock import Clock
from twistproxy.api.filter_state import Shared
from twistproxy.api.transport import Connector
from twistproxy.model.cluster import ClusterSettings
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.upstream.cluster_counts import ClusterCounts
from twistproxy.upstream.host import Host
from twistproxy.upstream.pool.http import HttpPool
from twistproxy.upstream.pool.special import MOST_AT_ONCE, Downstream, SpecialPool
from twistproxy.upstream.pool.tcp import TcpPool


class Pools:
    """Makes the pools of one cluster: of the usual kind, unless the cluster or the host wants more.

    use   told of each host for which a pool is made
    peek  the host that a coming request will get, None if that cannot be said
    """

    __slots__ = ("_clock", "_connector", "_counts", "_peek", "_settings", "_special", "_timeouts", "_use")

    def __init__(
        self,
        settings: ClusterSettings,
        counts: ClusterCounts,
        clock: Clock,
        connector: Connector,
        timeouts: Deadlines,
        use: Callable[[Host], None],
        peek: Callable[[], Host | None],
    ) -> None:
        self._settings = settings
        self._counts = counts
        self._clock = clock
        self._connector = connector
        self._timeouts = timeouts
        self._use = use
        self._peek = peek
        self._special = self._make_special() if settings.has_special_pools else None

    def get(
        self, host: Host, at: int, downstream: Downstream | None, shared: Shared | None
    ) -> HttpPool | None:
        """The pool at this place (`Host.pools`) of a host that has none there, or none for what is shared, for requests
        from a client's connection; None if there may be no further one."""
        if self._special is None:
            if not host.endpoint.additional and (shared is None or not shared.key):
                pool: HttpPool | None = host.pools[at]
                if pool is None:
                    pool = host.pools[at] = self._usual(host, at)
                if shared is not None and pool.known is None:
                    pool.known = shared.objects
                return pool
            self._special = self._make_special()  # because of this host or this request only
        return self._special.get(host, at, downstream, shared)

    def _usual(self, host: Host, at: int) -> HttpPool:
        self._use(host)
        counts = self._counts
        limits = counts.limits[at % 2]
        kind = HttpPool if at < 2 else TcpPool
        return kind(host, self._settings, counts.stats, limits, self._clock, self._connector, self._timeouts)

    def _make_special(self) -> SpecialPools:
        return SpecialPools(
            self._settings,
            self._counts,
            self._clock,
            self._connector,
            self._timeouts,
            self._use,
            self._peek,
        )


class SpecialPools:
    """Makes pools that want more, maybe several of a kind for each host, and knows them as long as they have connections
    or requests.  Parameters as those of `Pools`."""

    __slots__ = (
        "_clock",
        "_connector",
        "_kept",
        "_keyed",
        "_limits",
        "_peek",
        "_predictive",
        "_settings",
        "_stats",
        "_timeouts",
        "_use",
    )

    def __init__(
        self,
        settings: ClusterSettings,
        counts: ClusterCounts,
        clock: Clock,
        connector: Connector,
        timeouts: Deadlines,
        use: Callable[[Host], None],
        peek: Callable[[], Host | None],
    ) -> None:
        self._settings = settings
        self._stats = counts.stats
        self._limits = counts.limits
        self._clock = clock
        self._connector = connector
        self._timeouts = timeouts
        self._use = use
        self._peek = peek
        self._predictive = settings.predictive_preconnect_ratio
        self._keyed = settings.pool_per_downstream_connection or settings.proxy_protocol is not None
        # Whether pools come and go: otherwise a host has one of each kind, for ever.
        self._kept = not (self._keyed or any(one.max_pools is not None for one in counts.limits))

    def get(
        self, host: Host, at: int, downstream: Downstream | None, shared: Shared | None
    ) -> SpecialPool | None:
        """The pool at this place (`Host.pools`) of a host, for requests from a client's connection; None if there may
        be no further one."""
        key = ""
        addresses = None
        if self._keyed and downstream is not None:
            if self._settings.pool_per_downstream_connection:
                key = str(downstream.number)
            if self._settings.proxy_protocol is not None:
                addresses = (downstream.remote_text, downstream.local_text)
                key = f"{key} {addresses[0]} {addresses[1]}"
        if shared is not None:
            key += shared.key
        pool = self._pool(host, at, key, addresses)
        if pool is not None and shared is not None and pool.known is None:
            pool.known = shared.objects
        return pool

    def _pool(self, host: Host, at: int, key: str, addresses: tuple[str, str] | None) -> SpecialPool | None:
        pool: SpecialPool | None
        if self._kept and not key:
            pool = host.pools[at]
            if pool is None:
                pool = host.pools[at] = self._make(host, at, key, addresses)
            return pool
        pool = host.keyed_pools.get((at, key))
        if pool is None:
            if at < 2:  # tunnels' pools are not limited
                limits = self._limits[at]
                if limits.pools_full() and not self._free_one(host, at):
                    self._stats.upstream_cx_pool_overflow += 1
                    return None
                limits.count_pools(1)
            pool = host.keyed_pools[at, key] = self._make(host, at, key, addresses)
            pool.counted = at < 2
        return pool

    def _make(self, host: Host, at: int, key: str, addresses: tuple[str, str] | None) -> SpecialPool:
        self._use(host)
        return SpecialPool(
            host,
            self._settings,
            self._stats,
            self._limits[at % 2],
            self._clock,
            self._connector,
            self._timeouts,
            self,
            at,
            key,
            addresses,
        )

    def _free_one(self, host: Host, at: int) -> bool:
        """End a pool of this host that no request uses."""
        for (place, _), pool in host.keyed_pools.items():
            if place == at and not pool.is_busy():
                self.emptied(pool)
                pool.drain()
                return True
        return False

    def emptied(self, pool: SpecialPool) -> None:
        """Forget it, if it is one of those that come and go."""
        keyed = pool.host.keyed_pools
        if keyed.get((pool.at, pool.key)) is pool:
            del keyed[pool.at, pool.key]
        if pool.counted:
            pool.counted = False
            self._limits[pool.at].count_pools(-1)

    def before_stream(self, pool: SpecialPool) -> None:
        """Connect for the requests that will come after the one that is about to begin (Envoy:
        ClusterManagerImpl::maybePreconnect)."""
        ratio = self._predictive
        if ratio <= 1.0:
            return
        stats = self._stats
        for _ in range(MOST_AT_ONCE):
            coming = stats.upstream_rq_pending_active + stats.upstream_rq_active + 1
            if coming * ratio <= stats.upstream_cx_active:
                return
            host = self._peek()
            if host is None:
                return
            other = self._pool(host, pool.at, pool.key, pool.addresses)
            if other is None:
                return
            if not other.preconnect(ratio):
                if other is not pool and other.is_empty():
                    self.emptied(other)  # made for nothing
                return
