"""ROUND_ROBIN: hosts in turn, by weight where weights differ (Envoy: load_balancers#weighted-round-robin)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twistproxy.primitives.weighted_cycle import WeightedCycle
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.balancer import Weighted
from twistproxy.upstream.lb.slow_start import SlowStart


class RoundRobin(Weighted):
    """Equal weights take a plain turn, others an earliest-deadline-first schedule."""

    __slots__ = ("_next", "_random")

    def __init__(self, hosts: Sequence[Host], random: Random, slow_start: SlowStart | None = None) -> None:
        # Not every worker begins with the same host.
        self._next = int(random.random() * len(hosts))
        self._random = random
        super().__init__(hosts, slow_start)

    def _scheduled(self, hosts: Sequence[Host], weights: list[int]) -> WeightedCycle[Host]:
        slow_start = self._slow_start
        return WeightedCycle(hosts, weights, self._random, None if slow_start is None else slow_start.weight)

    def pick(self) -> Host | None:
        if self._cycle is not None:
            return self._cycle.next()
        hosts = self._hosts
        if not hosts:
            return None
        at = self._next
        if at >= len(hosts):
            at = 0
        self._next = at + 1
        return hosts[at]
