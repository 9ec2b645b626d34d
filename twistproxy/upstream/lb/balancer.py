"""What balancers have in common: they choose one of some hosts."""

from __future__ import annotations

from collections.abc import Sequence

from twistproxy.primitives.weighted_cycle import WeightedCycle
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.slow_start import SlowStart


class Balancer:
    """One set of hosts."""

    __slots__ = ()

    def pick(self) -> Host | None:
        """The host for the next request; None if there is none."""
        raise NotImplementedError

    def follow(self, hosts: dict[Host, None], touched: Sequence[Host]) -> bool:
        """The hosts are these now, at least one.  Those that are new, gone, or have another weight are in `touched`;
        the others stand in the same order as before.  False: this balancer cannot go on."""
        return False


class Weighted(Balancer):
    """Where weights differ, or hosts start slowly, by a schedule that `_scheduled` makes."""

    __slots__ = ("_cycle", "_hosts", "_slow_start", "_weight")

    def __init__(self, hosts: Sequence[Host], slow_start: SlowStart | None) -> None:
        self._hosts = hosts
        self._slow_start = slow_start
        self._cycle: WeightedCycle[Host] | None = None
        weights = [host.weight for host in hosts]
        #: of each, where there is no schedule
        self._weight = weights[0] if weights else 0
        if hosts and (self._starting() or len(set(weights)) > 1):
            self._cycle = self._scheduled(hosts, weights)

    def _scheduled(self, hosts: Sequence[Host], weights: list[int]) -> WeightedCycle[Host]:
        raise NotImplementedError

    def _starting(self) -> bool:
        """Whether any host may have less than its weight."""
        return self._slow_start is not None and self._slow_start.active()

    def follow(self, hosts: dict[Host, None], touched: Sequence[Host]) -> bool:
        cycle = self._cycle
        if cycle is None:
            if self._starting() or any(host.weight != self._weight for host in touched if host in hosts):
                return False
            self._hosts = list(hosts)
            return True
        if not cycle.begun:
            return False
        for host in touched:
            if host in hosts:
                cycle.put(host, host.weight)
        for host in touched:
            if host not in hosts:
                cycle.remove(host)
        return True
