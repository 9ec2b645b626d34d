"""A cluster at run time: hosts, balancer, limits, pools."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from twistproxy.api.clock import Clock
from twistproxy.api.transport import Connector
from twistproxy.model.address import Address
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.discovery import DnsSource
from twistproxy.model.endpoint import Endpoint
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.upstream.hashing import HashTables
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.choose import LoadBalancer, load_balancer
from twistproxy.upstream.lb.shares import PANIC, Share, shares
from twistproxy.upstream.pool.http import HttpPool
from twistproxy.upstream.pool.tcp import TcpPool
from twistproxy.upstream.resource_limits import ResourceLimits


class Cluster:
    """A named set of equivalent hosts.

    `pick()` chooses a host; where the balancer looks at hashes (`hashing`), `pick_hash(hash)` does, and `pick()` takes
    any.  `pool(host, high_priority)` gives a host's connections.  `set_endpoints` replaces the hosts: those that stay
    keep their connections and counts, the others drain.
    `warm` is False until endpoints are known for the first time.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        clock: Clock,
        connector: Connector,
        timeouts: Deadlines,
        random: Random,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.max_stream_duration = settings.max_stream_duration
        self.retry = settings.retry
        # Whether a request to it may need more than one attempt within the route's timeout.
        self.special = settings.max_stream_duration > 0 or settings.retry is not None
        self.stats = ClusterStats()
        self.limits = (ResourceLimits(settings.default_thresholds), ResourceLimits(settings.high_thresholds))
        self.hosts: dict[Address, Host] = {}
        self.warm = settings.source is None
        self._clock = clock
        self._connector = connector
        self._timeouts = timeouts
        self._random = random
        #: per cent of usable hosts below which a priority is in a panic
        self.panic_threshold = PANIC
        #: per cent of the requests that are refused (runtime key upstream.maintenance_mode.<name>)
        self.maintenance = 0
        self._parts: list[tuple[int, LoadBalancer, bool]] = []
        self._reduced: dict[frozenset[int], list[tuple[int, LoadBalancer, bool]]] = {}
        self.hashing: HashTables | None = None
        if settings.hashing is not None:
            self.hashing = HashTables(settings.hashing, random, self._current_stats)
        self.pick: Callable[[], Host | None] = self._pick_from_parts
        self._rebalance()
        if settings.source is None:
            self.set_endpoints(settings.endpoints)

    def set_endpoints(self, endpoints: tuple[Endpoint, ...]) -> None:
        self.warm = True
        old = self.hosts
        before = {(host.endpoint.priority, host.address) for host in old.values()}
        hosts: dict[Address, Host] = {}
        for endpoint in endpoints:
            host = old.get(endpoint.address)
            if host is None:
                host = Host(endpoint)
            else:
                host.use(endpoint)
            hosts.setdefault(endpoint.address, host)
        gone = [host for address, host in old.items() if address not in hosts]
        after = {(host.endpoint.priority, host.address) for host in hosts.values()}
        # Envoy counts each priority that changes.
        self.stats.membership_change += len({priority for priority, _ in before ^ after})
        self.hosts = hosts
        self._rebalance()
        for host in gone:
            for pool in host.pools:
                if pool is not None:
                    pool.drain()

    def _rebalance(self) -> None:
        """New hosts, or new health of them: a balancer for each share, and a short cut where there is only one."""
        parts = shares(self.hosts.values(), self.panic_threshold)
        if self.hashing is not None:
            self.hashing.rebuild(parts, self.hosts.values())
            self.pick = self._pick_without_hash
            return
        self._parts = self._balancers(parts)
        self._reduced.clear()
        if len(parts) == 1 and not parts[0].panic:
            self.pick = self._parts[0][1].pick
        else:
            self.pick = self._pick_from_parts

    def _current_stats(self) -> ClusterStats:
        return self.stats

    def pick_hash(self, value: int | None, attempt: int = 0) -> Host | None:
        """The host of a hash.  `attempt`: how many hosts of it were not acceptable."""
        assert self.hashing is not None
        return self.hashing.pick(value, attempt)

    def _pick_without_hash(self) -> Host | None:
        return self.pick_hash(None)

    def _balancers(self, parts: list[Share]) -> list[tuple[int, LoadBalancer, bool]]:
        return [
            (share.load, load_balancer(self.settings, share.hosts, self._random), share.panic)
            for share in parts
        ]

    def pick_without(self, priorities: frozenset[int]) -> Host | None:
        """As `pick`, with no share for these priorities.  None if the others have no usable host."""
        parts = self._reduced.get(priorities)
        if parts is None:
            others = [host for host in self.hosts.values() if host.endpoint.priority not in priorities]
            found = (
                shares(others, self.panic_threshold)
                if any(host.healthy or host.degraded for host in others)
                else []
            )
            parts = self._reduced[priorities] = self._balancers(found)
        return self._draw(parts)

    def _pick_from_parts(self) -> Host | None:
        """There is more than one share, or a panic."""
        return self._draw(self._parts)

    def _draw(self, parts: list[tuple[int, LoadBalancer, bool]]) -> Host | None:
        at = self._random.random() * 100
        for load, balancer, panic in parts:
            at -= load
            if at < 0:
                if panic:
                    self.stats.lb_healthy_panic += 1
                return balancer.pick()
        return None

    def pool(self, host: Host, high_priority: bool) -> HttpPool:
        pool: HttpPool | None = host.pools[high_priority]
        if pool is None:
            pool = host.pools[high_priority] = HttpPool(
                host,
                self.settings,
                self.stats,
                self.limits[high_priority],
                self._clock,
                self._connector,
                self._timeouts,
            )
        return pool

    def tcp_pool(self, host: Host, high_priority: bool) -> TcpPool:
        """Connections for tunnels that begin here, `high_priority` as for `pool`."""
        at = 2 + high_priority
        pool: TcpPool | None = host.pools[at]
        if pool is None:
            pool = host.pools[at] = TcpPool(
                host,
                self.settings,
                self.stats,
                self.limits[high_priority],
                self._clock,
                self._connector,
                self._timeouts,
            )
        return pool

    def charge(self, status: int, host: Host | None) -> None:
        """Count a response, or the one that we gave in its place; `host`: whose it was, if anybody's."""
        stats = self.stats
        stats.upstream_rq_completed += 1
        statuses = stats.statuses
        statuses[status] = statuses.get(status, 0) + 1
        if host is not None:
            if status >= 500:
                host.stats.rq_error += 1
            else:
                host.stats.rq_success += 1

    def drain(self) -> None:
        """The cluster is gone from the configuration; what is in flight finishes."""
        for host in self.hosts.values():
            for pool in host.pools:
                if pool is not None:
                    pool.drain()

    def use_runtime(self, runtime: RuntimeValues) -> None:
        """Take what the runtime says about circuit breakers, the panic threshold and maintenance."""
        settings = self.settings
        for limits, thresholds, priority in zip(
            self.limits, (settings.default_thresholds, settings.high_thresholds), ("default", "high")
        ):
            limits.use_runtime(thresholds, runtime, f"circuit_breakers.{self.name}.{priority}.")
        self.maintenance = runtime.get_integer(f"upstream.maintenance_mode.{self.name}", 0)
        threshold = min(100, runtime.get_integer("upstream.healthy_panic_threshold", PANIC))
        if threshold != self.panic_threshold:
            self.panic_threshold = threshold
            self._rebalance()

    def membership(self) -> tuple[int, int]:
        """(all hosts, those that are healthy or degraded)."""
        hosts = self.hosts.values()
        return len(hosts), sum(host.healthy or host.degraded for host in hosts)

    def collect(self, out: Snapshot) -> None:
        prefix = f"cluster.{self.settings.stat_name or self.name}."
        stats = self.stats
        stats.collect(prefix, out)
        for host in self.hosts.values():
            for pool in host.pools:
                if pool is not None:
                    received, sent = pool.open_bytes()
                    out.counters[prefix + "upstream_cx_rx_bytes_total"] += received
                    out.counters[prefix + "upstream_cx_tx_bytes_total"] += sent
        hosts = list(self.hosts.values())
        out.gauges[prefix + "membership_total"] = len(hosts)
        out.gauges[prefix + "membership_healthy"] = sum(host.healthy for host in hosts)
        out.gauges[prefix + "membership_degraded"] = sum(host.degraded for host in hosts)
        out.gauges[prefix + "membership_excluded"] = sum(host.excluded for host in hosts)
        # Envoy looks for it where hosts are discovered, but not if there is one only.
        source = self.settings.source
        weighed = source is not None and not (isinstance(source, DnsSource) and source.logical)
        out.gauges[prefix + "max_host_weight"] = (
            max((host.weight for host in hosts), default=0) if weighed else 0
        )
        out.gauges[prefix + "version"] = 0
        out.gauges[prefix + "warming_state"] = int(not self.warm)
        if self.hashing is not None:
            self.hashing.collect(prefix, out)
        for priority, name in enumerate(("default", "high")):
            pools = sum(host.pools[priority] is not None for host in hosts)
            self.limits[priority].collect(f"{prefix}circuit_breakers.{name}.", out, pools)
        out.hosts[self.name] = [host.describe() for host in hosts]
        out.clusters[self.name] = self.describe()

    def describe(self) -> dict[str, Any]:
        """What `/clusters` prints of a cluster that is not counted."""
        return {
            "added_via_api": False,
            "observability_name": self.settings.stat_name or self.name,
            "circuit_breakers": {
                name: limits.describe() for name, limits in zip(("default", "high"), self.limits, strict=True)
            },
        }
