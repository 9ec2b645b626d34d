"""LEAST_REQUEST: of a few hosts taken at random, the one with the fewest active requests; by weight divided by active
requests where weights differ (Envoy: load_balancers#weighted-least-request)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twistproxy.primitives.weighted_cycle import WeightedCycle
from twistproxy.upstream.host import Host


class LeastRequest:
    __slots__ = ("_choices", "_cycle", "_hosts", "_random")

    def __init__(self, hosts: Sequence[Host], random: Random, choices: int) -> None:
        self._hosts = hosts
        self._random = random.random
        self._choices = choices
        weights = [host.weight for host in hosts]
        self._cycle = WeightedCycle(hosts, weights, random, _biased) if len(set(weights)) > 1 else None

    def pick(self) -> Host | None:
        if self._cycle is not None:
            return self._cycle.next()
        hosts = self._hosts
        count = len(hosts)
        if not count:
            return None
        random = self._random
        best = hosts[int(random() * count)]
        for _ in range(self._choices - 1):
            other = hosts[int(random() * count)]
            if other.stats.rq_active < best.stats.rq_active:
                best = other
        return best


def _biased(host: Host, weight: float) -> float:
    """The active request bias of 1.0, which is Envoy's default."""
    return weight / (host.stats.rq_active + 1)
