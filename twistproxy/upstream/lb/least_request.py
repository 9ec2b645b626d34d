"""LEAST_REQUEST: of a few hosts taken at random, the one with the fewest active requests; by weight divided by active
requests where weights differ (Envoy: load_balancers#weighted-least-request)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from twistproxy.primitives.weighted_cycle import WeightedCycle
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.balancer import Weighted
from twistproxy.upstream.lb.slow_start import SlowStart


class LeastRequest(Weighted):
    """choices  how many hosts are compared, 0 for all
    bias     how much active requests count against different weights
    """

    __slots__ = ("_bias", "_choices", "_random")

    def __init__(
        self,
        hosts: Sequence[Host],
        random: Random,
        choices: int,
        bias: float = 1.0,
        slow_start: SlowStart | None = None,
    ) -> None:
        self._random = random
        self._choices = choices
        self._bias = bias
        super().__init__(hosts, slow_start)

    def _scheduled(self, hosts: Sequence[Host], weights: list[int]) -> WeightedCycle[Host]:
        return WeightedCycle(hosts, weights, self._random, self._weigh)

    def pick(self) -> Host | None:
        if self._cycle is not None:
            return self._cycle.next()
        hosts = self._hosts
        count = len(hosts)
        if not count:
            return None
        if not self._choices:
            return self._scan()
        random = self._random.random
        best = hosts[int(random() * count)]
        least = best.active()
        for _ in range(self._choices - 1):
            other = hosts[int(random() * count)]
            active = other.active()
            if active < least:
                best = other
                least = active
        return best

    def _scan(self) -> Host:
        """Of several that have as few, any: each is as likely as the others."""
        hosts = self._hosts
        best = hosts[0]
        least = best.active()
        equals = 1
        for at in range(1, len(hosts)):
            active = hosts[at].active()
            if active < least:
                best = hosts[at]
                least = active
                equals = 1
            elif active == least:
                equals += 1
                if self._random.random() * equals < 1.0:
                    best = hosts[at]
        return best

    def _weigh(self, host: Host, weight: float) -> float:
        active = host.active() + 1
        weighed = weight / active if self._bias == 1.0 else weight * math.exp(-self._bias * math.log(active))
        return weighed if self._slow_start is None else self._slow_start.weight(host, weighed)
