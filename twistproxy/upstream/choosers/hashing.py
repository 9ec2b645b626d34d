"""The choice by a hash of the request: by priority and health, then by a table of the policy (Envoy:
load_balancers#ring-hash and #maglev)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

from twistproxy.model.balancing import MaglevSettings, RingHashSettings
from twistproxy.observe.stats import Snapshot
from twistproxy.upstream.choosers.base import Chooser, HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext, OwnPolicies
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.bounded_load import BoundedLoad
from twistproxy.upstream.lb.hash_keys import shares_of_localities, shares_of_weight
from twistproxy.upstream.lb.maglev import Maglev
from twistproxy.upstream.lb.ring_hash import RingHash
from twistproxy.upstream.lb.shares import Priority, loads, priorities

#: The statistics of a table's `sizes`.
_RING = ("ring_hash_lb.size", "ring_hash_lb.min_hashes_per_host", "ring_hash_lb.max_hashes_per_host")
_MAGLEV = ("maglev_lb.min_entries_per_host", "maglev_lb.max_entries_per_host")


class HashBalancer(Protocol):
    def pick_hash(self, value: int, attempt: int) -> Host | None:
        """The host of a hash (64 bits).  `attempt`: how many hosts of this hash were not acceptable."""


class HashChooser(Chooser):
    """A hash table for each priority."""

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
        params = self._params
        found = priorities(self._hosts, params.policy, params.panic_threshold)
        self._tables = []
        balancers = [self._balancer(priority) for priority in found]
        # What would go to the degraded hosts of a priority is asked of the same table, which has the healthy ones only:
        # so it is in Envoy.
        self._parts = [
            (load.per_cent, balancers[load.priority], found[load.priority].panic) for load in loads(found)
        ]

    def _balancer(self, priority: Priority) -> HashBalancer:
        params, settings = self._params, self._settings
        hosts: Sequence[Host] = list(priority.hosts if priority.panic else priority.healthy)
        shares: Sequence[float] | None = None
        if params.locality_weighted:
            localities = params.localities(priority.hosts, priority.number)
            hosts, shares = shares_of_localities(localities, priority.panic)
        table: RingHash | Maglev
        if isinstance(settings, RingHashSettings):
            table = RingHash(hosts, settings, shares)
        else:
            table = Maglev(hosts, settings, shares)
        self._tables.append(table)
        if not settings.balance_factor:
            return table
        shares = shares_of_weight(hosts) if shares is None else shares
        return BoundedLoad(table, hosts, shares, settings.balance_factor, self._active)

    def _active(self) -> int:
        return self._params.active()

    def pick(self) -> Host | None:
        return self.pick_hash(None, 0)

    def pick_hash(self, value: int | None, attempt: int) -> Host | None:
        params = self._params
        if value is None:
            value = params.random.getrandbits(64)
        at = value % 100
        for load, balancer, panic in self._parts:
            at -= load
            if at < 0:
                if panic and not attempt:
                    params.stats.lb_healthy_panic += 1
                return balancer.pick_hash(value, attempt)
        return None

    def choose_once(self, context: LoadBalancerContext, attempt: int) -> Host | None:
        own = self.own_policies
        assert own is not None
        return self.pick_hash(context.hash(own), attempt)

    def collect(self, prefix: str, out: Snapshot) -> None:
        """`ring_hash_lb.*` or `maglev_lb.*` under `prefix`; of several priorities the last, as Envoy has it."""
        if out.sparse:
            return  # a table that nobody has asked yet need not be built
        ring = isinstance(self._settings, RingHashSettings)
        sizes: Sequence[int] = (0, 0, 0)
        for table in reversed(self._tables):
            if table.hosts:
                sizes = table.sizes
                break
        for name, value in zip(_RING if ring else _MAGLEV, sizes):
            out.gauges[prefix + name] = value
