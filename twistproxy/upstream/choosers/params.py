"""What a chooser needs besides hosts."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from random import Random

from twistproxy.model.balancing import Balancing
from twistproxy.model.endpoint import AssignmentPolicy, Locality
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.localities import LocalityHosts, by_locality, scale_weights
from twistproxy.upstream.lb.slow_start import SlowStart
from twistproxy.upstream.lb.zone_aware import LocalCluster

_ZONES = "upstream.zone_routing."


class LoadBalancerParams:
    """balancing  as configured
    stats      of the cluster
    monotonic  the clock
    active     how many requests the cluster has
    policy     what the cluster's assignment says
    local      the cluster that the proxy belongs to, None if that is not known
    locality_weighted  whether localities have weights, …
    locality_sizes     … in proportion to how many of so many hosts, by priority and locality, are in a set; None: in full

    What the runtime has its say in; after a change of any of these whoever changed it has the chooser `rebuild`:

    panic_threshold  per cent of usable hosts below which a priority is in a panic
    bias, aggression  of LEAST_REQUEST and of slow start
    zone_aware       zone aware routing, …
    zone_share       … and how many of the requests take part, as (numerator, denominator)
    """

    __slots__ = (
        "active",
        "aggression",
        "balancing",
        "bias",
        "local",
        "locality_sizes",
        "locality_weighted",
        "monotonic",
        "panic_threshold",
        "policy",
        "random",
        "stats",
        "zone_aware",
        "zone_share",
    )

    def __init__(
        self, balancing: Balancing, stats: ClusterStats, random: Random, monotonic: Callable[[], float]
    ) -> None:
        self.balancing = balancing
        self.stats = stats
        self.random = random
        self.monotonic = monotonic
        self.active: Callable[[], int] = self._own_active
        self.policy = AssignmentPolicy()
        self.local: LocalCluster | None = None
        subsets = balancing.subsets
        self.locality_weighted = balancing.locality_weighted and (
            subsets is None or subsets.locality_weighted
        )
        self.locality_sizes: dict[tuple[int, Locality], int] | None = None
        self.bias = self.aggression = 1.0
        self.use_runtime(RuntimeValues())

    def use_runtime(self, runtime: RuntimeValues) -> bool:
        """Returns whether that makes a difference."""
        before = self._from_runtime()
        balancing = self.balancing
        self.panic_threshold = min(
            100, runtime.get_integer("upstream.healthy_panic_threshold", balancing.panic_threshold)
        )
        least_request = balancing.least_request
        self.bias = _sensible(runtime.get_double(least_request.bias_key, least_request.bias), 0.0)
        slow = balancing.slow_start
        if slow is not None:
            self.aggression = _sensible(runtime.get_double(slow.aggression_key, slow.aggression), 1e-9)
        zones = balancing.zone_aware
        forced = runtime.get_integer(_ZONES + "force_local_zone.min_size", 0)
        self.zone_aware = replace(
            zones,
            min_cluster_size=runtime.get_integer(_ZONES + "min_cluster_size", zones.min_cluster_size),
            force_local_size=forced or zones.force_local_size,
        )
        self.zone_share = runtime.fraction(_ZONES + "enabled", zones.routing_enabled, 100)
        return before != self._from_runtime()

    def localities(self, hosts: Iterable[Host], priority: int) -> list[LocalityHosts]:
        """The localities of these hosts of a priority, with their weights."""
        found = by_locality(hosts)
        if self.locality_sizes is not None:
            scale_weights(found, priority, self.locality_sizes)
        return found

    def slow_start(self) -> SlowStart | None:
        """That of one set of hosts, if there is to be any."""
        settings = self.balancing.slow_start
        return None if settings is None else SlowStart(settings, self.monotonic)

    def _own_active(self) -> int:
        return self.stats.upstream_rq_active

    def _from_runtime(self) -> tuple[object, ...]:
        names = ("panic_threshold", "bias", "aggression", "zone_aware", "zone_share")
        return tuple(getattr(self, name, None) for name in names)


def _sensible(value: float, least: float) -> float:
    """1.0 in place of what is too small, or no number at all, as Envoy takes it."""
    return value if value >= least else 1.0
