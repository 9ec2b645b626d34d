"""Localities in turn by their weights (Envoy: load_balancing/locality_weight; LocalityWrr)."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twistproxy.primitives.weighted_cycle import WeightedCycle
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.balancer import Balancer
from twistproxy.upstream.lb.localities import LocalityHosts

#: A balancer's method.
Pick = Callable[[], Host | None]


class LocalityWeighted(Balancer):
    """A balancer over the balancers of localities.  There must be one."""

    __slots__ = ("_cycle",)

    def __init__(self, picks: list[Pick], weights: list[float], random: Random) -> None:
        self._cycle: WeightedCycle[Pick] = WeightedCycle(picks, weights, random)

    def pick(self) -> Host | None:
        return self._cycle.next()()


def effective_weight(one: LocalityHosts, usable: int, overprovisioning_factor: int) -> float:
    """A locality's weight, less where not enough of its hosts are left: `usable` of them.  0 for none."""
    size = len(one.hosts) - one.excluded
    if size <= 0:
        return 0.0
    return one.weight * min(1.0, overprovisioning_factor / 100 * usable / size)
