"""The hash balancers of a cluster: one for each share of its requests (Envoy: load_balancers#ring-hash and #maglev)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from twistproxy.model.cluster import MaglevSettings, RingHashSettings
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.observe.stats import Snapshot
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.choose import HashBalancer, bounded, hash_table
from twistproxy.upstream.lb.maglev import Maglev
from twistproxy.upstream.lb.ring_hash import RingHash
from twistproxy.upstream.lb.shares import Share

#: The statistics of a table's `sizes`.
_RING = ("ring_hash_lb.size", "ring_hash_lb.min_hashes_per_host", "ring_hash_lb.max_hashes_per_host")
_MAGLEV = ("maglev_lb.min_entries_per_host", "maglev_lb.max_entries_per_host")


class HashTables:
    """`rebuild` with new shares, then `pick`.

    stats     asked anew each time: a reload may put others in place
    policies  the cluster's own hash policies, which go before a route's
    compiled  for whoever compiles them
    """

    __slots__ = ("_parts", "_random", "_settings", "_stats", "_tables", "compiled", "policies")

    def __init__(
        self,
        settings: RingHashSettings | MaglevSettings,
        random: Random,
        stats: Callable[[], ClusterStats],
    ) -> None:
        self._settings = settings
        self.policies = settings.policies
        self.compiled: Any = None
        self._random = random
        self._stats = stats
        self._parts: list[tuple[int, HashBalancer, bool]] = []
        self._tables: list[RingHash | Maglev] = []

    def rebuild(self, parts: list[Share], hosts: Iterable[Host]) -> None:
        """`hosts`: all of the cluster, whatever their health."""
        self._tables = []
        self._parts = [(share.load, self._balancer(share, hosts), share.panic) for share in parts]

    def _balancer(self, share: Share, hosts: Iterable[Host]) -> HashBalancer:
        usable = share.hosts
        if usable and usable[0].degraded and not share.panic:
            # Envoy's tables hold the healthy hosts of a priority also for the share of its degraded ones.
            priority = usable[0].endpoint.priority
            usable = [host for host in hosts if host.healthy and host.endpoint.priority == priority]
        table = hash_table(self._settings, usable, self._random)
        self._tables.append(table)
        return bounded(table, self._settings, usable, self._random, self._active)

    def _active(self) -> int:
        return self._stats().upstream_rq_active

    def pick(self, value: int | None, attempt: int) -> Host | None:
        """The host of a hash, or any if there is none.  `attempt`: how many were not acceptable."""
        if value is None:
            value = self._random.getrandbits(64)
        at = value % 100
        for load, balancer, panic in self._parts:
            at -= load
            if at < 0:
                if panic:
                    self._stats().lb_healthy_panic += 1
                return balancer.pick_hash(value, attempt)
        return None

    def collect(self, prefix: str, out: Snapshot) -> None:
        """`ring_hash_lb.*` or `maglev_lb.*` under `prefix`; of several priorities the last, as Envoy has it."""
        for table in self._tables:
            names = _RING if isinstance(table, RingHash) else _MAGLEV
            for name, value in zip(names, table.sizes):
                out.gauges[prefix + name] = value
