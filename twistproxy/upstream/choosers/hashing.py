"""The choice by a hash of the request: by priority and health, then by a table of the policy (Envoy:
load_balancers#ring-hash and #maglev)."""

from __future__ import annotations

from collections.abc import Collection

from twistproxy.model.cluster import MaglevSettings, RingHashSettings
from twistproxy.observe.stats import Snapshot
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext, OwnPolicies
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.choose import HashBalancer, bounded, hash_table
from twistproxy.upstream.lb.maglev import Maglev
from twistproxy.upstream.lb.ring_hash import RingHash
from twistproxy.upstream.lb.shares import Share, shares

#: The statistics of a table's `sizes`.
_RING = ("ring_hash_lb.size", "ring_hash_lb.min_hashes_per_host", "ring_hash_lb.max_hashes_per_host")
_MAGLEV = ("maglev_lb.min_entries_per_host", "maglev_lb.max_entries_per_host")


class HashChooser(Chooser):
    """A hash table for each share of the requests."""

    __slots__ = ("_hosts", "_params", "_parts", "_settings", "_tables")

    def __init__(self, params: LoadBalancerParams, settings: RingHashSettings | MaglevSettings) -> None:
        super().__init__(True)
        self._params = params
        self._settings = settings
        self.own_policies = OwnPolicies(settings.policies)
        self._hosts: Collection[Host] = ()
        self._parts: list[tuple[int, HashBalancer, bool]] = []
        self._tables: list[RingHash | Maglev] = []
        self.rebuild()

    def update(self, update: HostsUpdate) -> None:
        self._hosts = update.hosts
        self.rebuild()

    def rebuild(self) -> None:
        self._tables = []
        parts = shares(self._hosts, self._params.panic_threshold)
        self._parts = [(share.load, self._balancer(share), share.panic) for share in parts]

    def _balancer(self, share: Share) -> HashBalancer:
        usable = share.hosts
        if usable and usable[0].degraded and not share.panic:
            # Envoy's tables hold the healthy hosts of a priority also for the share of its degraded ones.
            priority = usable[0].endpoint.priority
            usable = [host for host in self._hosts if host.healthy and host.endpoint.priority == priority]
        random = self._params.random
        table = hash_table(self._settings, usable, random)
        self._tables.append(table)
        return bounded(table, self._settings, usable, random, self._active)

    def _active(self) -> int:
        return self._params.stats.upstream_rq_active

    def pick(self) -> Host | None:
        return self.pick_hash(None, 0)

    def pick_without(self, priorities: frozenset[int]) -> Host | None:
        """A hash does not go elsewhere."""
        return self.pick_hash(None, 0)

    def pick_hash(self, value: int | None, attempt: int) -> Host | None:
        params = self._params
        if value is None:
            value = params.random.getrandbits(64)
        at = value % 100
        for load, balancer, panic in self._parts:
            at -= load
            if at < 0:
                if panic:
                    params.stats.lb_healthy_panic += 1
                return balancer.pick_hash(value, attempt)
        return None

    def choose_once(self, context: LoadBalancerContext, attempt: int) -> Host | None:
        own = self.own_policies
        assert own is not None
        return self.pick_hash(context.hash(own), attempt)

    def collect(self, prefix: str, out: Snapshot) -> None:
        """`ring_hash_lb.*` or `maglev_lb.*` under `prefix`; of several priorities the last, as Envoy has it."""
        for table in self._tables:
            names = _RING if isinstance(table, RingHash) else _MAGLEV
            for name, value in zip(names, table.sizes):
                out.gauges[prefix + name] = value
