"""From the hosts of one priority to what picks one of them: localities first, then the cluster's policy."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.balancer import Balancer
from twistproxy.upstream.lb.least_request import LeastRequest
from twistproxy.upstream.lb.localities import LocalityHosts, by_locality
from twistproxy.upstream.lb.locality_weighted import LocalityWeighted, effective_weight
from twistproxy.upstream.lb.random_choice import RandomChoice
from twistproxy.upstream.lb.round_robin import RoundRobin
from twistproxy.upstream.lb.shares import Priority
from twistproxy.upstream.lb.slow_start import SlowStart
from twistproxy.upstream.lb.zone_aware import ZoneAware, ZonePlan, plan

#: A balancer's method.
Pick = Callable[[], Host | None]


class Balancers:
    """Makes balancers for the priorities of one set of hosts.

    slow_start  of the set, None if the cluster has none
    """

    __slots__ = ("_params", "_plan", "_zones", "slow_start")

    def __init__(self, params: LoadBalancerParams) -> None:
        self._params = params
        self._zones: list[LocalityHosts] = []
        self._plan: ZonePlan | None = None
        self.slow_start: SlowStart | None = params.slow_start()

    def begin(self, priorities: list[Priority]) -> None:
        """The hosts are these now."""
        params = self._params
        slow_start = self.slow_start
        if slow_start is not None:
            slow_start.aggression = params.aggression
            for priority in priorities:
                slow_start.begin(priority.healthy)
        local = params.local
        self._plan = None
        if local is not None:
            # Zones are for the first priority only.
            healthy = len(priorities[0].healthy)
            self._zones = by_locality(priorities[0].hosts, local.locality)
            self._plan = plan(self._zones, healthy, local, params.zone_aware, params.stats)

    def may_follow(self) -> bool:
        """Whether balancers that there are may go on after a change: not where localities have a share of their own."""
        return not self._params.locality_weighted and self._params.local is None

    def start(self, hosts: Iterable[Host]) -> None:
        """These may be healthy for the first time."""
        if self.slow_start is not None:
            self.slow_start.begin([host for host in hosts if host.healthy])

    def of(self, priority: Priority, degraded: bool) -> Balancer:
        """For the requests that go to the healthy, or to the degraded, hosts of this priority."""
        params = self._params
        balancing = params.balancing
        if priority.panic:
            fails = balancing.fail_on_panic
            return Panic(_nobody if fails else self._policy(priority.hosts).pick, params)
        hosts: Collection[Host] = priority.degraded if degraded else priority.healthy
        if params.locality_weighted:
            return self._by_weight(priority, degraded) or self._policy(hosts)
        zone_plan = self._plan
        if zone_plan is None or priority.number or not params.zone_share[0]:
            return self._policy(hosts)
        return self._by_zone(zone_plan, hosts, degraded)

    def _by_weight(self, priority: Priority, degraded: bool) -> Balancer | None:
        """None if no locality has a weight."""
        found: list[Balancer] = []
        weights: list[float] = []
        for one in self._params.localities(priority.hosts, priority.number):
            hosts = one.degraded if degraded else one.healthy
            weight = effective_weight(one, len(hosts), self._params.policy.overprovisioning_factor)
            if weight > 0.0:
                found.append(self._policy(hosts))
                weights.append(weight)
        if len(found) < 2:
            return found[0] if found else None
        return LocalityWeighted([one.pick for one in found], weights, self._params.random)

    def _by_zone(self, zone_plan: ZonePlan, hosts: Collection[Host], degraded: bool) -> Balancer:
        params = self._params
        local = params.local
        assert local is not None
        return ZoneAware(
            zone_plan,
            [self._policy(one.degraded if degraded else one.healthy).pick for one in self._zones],
            self._policy(hosts).pick,
            params.zone_share,
            local.panic(params.panic_threshold),
            params.balancing.fail_on_panic,
            params.random,
            params.stats,
        )

    def _policy(self, some: Collection[Host]) -> Balancer:
        params = self._params
        hosts = list(some)
        policy = params.balancing.policy
        if policy == "LEAST_REQUEST":
            settings = params.balancing.least_request
            choices = 0 if settings.full_scan else settings.choices
            return LeastRequest(hosts, params.random, choices, params.bias, self.slow_start)
        if policy == "RANDOM":
            return RandomChoice(hosts, params.random)
        return RoundRobin(hosts, params.random, self.slow_start)


class Panic(Balancer):
    """Counts the requests of a priority that is in a panic."""

    __slots__ = ("_pick", "_stats")

    def __init__(self, pick: Pick, params: LoadBalancerParams) -> None:
        self._pick = pick
        self._stats = params.stats

    def pick(self) -> Host | None:
        self._stats.lb_healthy_panic += 1
        return self._pick()


def _nobody() -> Host | None:
    return None
