"""Zone aware routing: requests stay in the proxy's own zone as far as the hosts there can take them, if all proxies do
the same (Envoy: load_balancing/zone_aware)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random

from twistproxy.model.balancing import ZoneAwareSettings
from twistproxy.model.endpoint import Locality
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.balancer import Balancer
from twistproxy.upstream.lb.localities import LocalityHosts, by_locality

#: A balancer's method.
Pick = Callable[[], Host | None]

#: What percentages are counted in.
_WHOLE = 10_000


class LocalCluster:
    """The cluster that the proxy itself belongs to: who else asks, and where (the bootstrap's `local_cluster_name`).

    locality  where the proxy is
    """

    __slots__ = ("_counts", "_healthy", "_size", "_weights", "any_here", "localities", "locality")

    def __init__(self, locality: Locality) -> None:
        self.locality = locality
        self.update(())

    def update(self, hosts: Iterable[Host]) -> None:
        """These are its hosts."""
        found = by_locality([host for host in hosts if host.endpoint.priority == 0], self.locality)
        self.localities = len(found)
        self.any_here = bool(found) and found[0].locality == self.locality
        self._size = sum([len(one.hosts) - one.excluded for one in found])
        self._healthy = sum([len(one.healthy) + len(one.degraded) for one in found])
        self._counts = {one.locality: len(one.healthy) for one in found}
        self._weights = {one.locality: sum([host.weight for host in one.healthy]) for one in found}

    def panic(self, threshold: int) -> bool:
        """Whether less than `threshold` per cent of its hosts are left."""
        return 100 * self._healthy < threshold * self._size if self._size else threshold > 0

    def share(self, locality: Locality, by_weight: bool) -> int:
        """How much of it is there, in 1/10,000."""
        sizes = self._weights if by_weight else self._counts
        total = sum(sizes.values())
        return _WHOLE * sizes.get(locality, 0) // total if total else 0


class ZonePlan:
    """direct    all requests stay
    stay      in 1/10,000, how many do
    residual  where the others go: for each locality its spare capacity and that of those before it
    """

    __slots__ = ("direct", "residual", "stay")

    def __init__(self, direct: bool, stay: int, residual: list[int]) -> None:
        self.direct = direct
        self.stay = stay
        self.residual = residual


def plan(
    zones: list[LocalityHosts],
    healthy: int,
    local: LocalCluster,
    settings: ZoneAwareSettings,
    stats: ClusterStats,
) -> ZonePlan | None:
    """How requests are spread over localities, the own one first if it is there; None: as if there were none.

    healthy  how many healthy hosts there are
    """
    stats.lb_recalculate_zone_structures += 1
    forced = settings.force_local_size
    if len(zones) < 2 or (not forced and local.localities < 2):
        return None
    if not local.any_here:
        stats.lb_local_cluster_not_ok += 1
        return None
    if healthy < settings.min_cluster_size:
        stats.lb_zone_cluster_too_small += 1
        return None
    by_weight = settings.by_weight
    sizes = [sum([host.weight for host in one.healthy]) if by_weight else len(one.healthy) for one in zones]
    total = sum(sizes)
    shares = [_WHOLE * size // total if total else 0 for size in sizes]
    askers = [local.share(one.locality, by_weight) if one.healthy else 0 for one in zones]
    here = zones[0].locality == local.locality
    if here and ((shares[0] >= askers[0] and shares[0] > 0) or (forced and len(zones[0].healthy) >= forced)):
        return ZonePlan(True, _WHOLE, [])
    stay = shares[0] * _WHOLE // askers[0] if here and askers[0] else 0
    residual: list[int] = []
    spare = 0
    for at, (share, asking) in enumerate(zip(shares, askers)):
        if at or not here:
            spare += max(0, share - asking)
        residual.append(spare)
    return ZonePlan(False, stay, residual)


class ZoneAware(Balancer):
    """A balancer over those of localities, by a plan.

    picks    of the localities, in the plan's order
    without  the balancer of all hosts, for requests that do not take part
    share    how many of the requests do, as (numerator, denominator)
    panic    too few of the local cluster are left: none does
    fails    then there is no host either
    """

    __slots__ = ("_fails", "_panic", "_picks", "_plan", "_random", "_share", "_stats", "_without")

    def __init__(
        self,
        zone_plan: ZonePlan,
        picks: list[Pick],
        without: Pick,
        share: tuple[int, int],
        panic: bool,
        fails: bool,
        random: Random,
        stats: ClusterStats,
    ) -> None:
        self._plan = zone_plan
        self._picks = picks
        self._without = without
        self._share = share
        self._panic = panic
        self._fails = fails
        self._random = random.random
        self._stats = stats

    def pick(self) -> Host | None:
        numerator, denominator = self._share
        if numerator < denominator and self._random() * denominator >= numerator:
            return self._without()
        stats = self._stats
        if self._panic:
            stats.lb_local_cluster_not_ok += 1
            return None if self._fails else self._without()
        zone_plan = self._plan
        if zone_plan.direct:
            stats.lb_zone_routing_all_directly += 1
            return self._picks[0]()
        if self._random() * _WHOLE < zone_plan.stay:
            stats.lb_zone_routing_sampled += 1
            return self._picks[0]()
        stats.lb_zone_routing_cross_zone += 1
        return self._across(zone_plan.residual)

    def _across(self, residual: list[int]) -> Host | None:
        spare = residual[-1]
        if not spare:
            # Only rounding can lead here.
            self._stats.lb_zone_no_capacity_left += 1
            return self._picks[int(self._random() * len(residual))]()
        at = self._random() * spare
        for number, limit in enumerate(residual):
            if at < limit:
                return self._picks[number]()
        return None
