"""ROUND_ROBIN: hosts in turn, by weight where weights differ (Envoy: load_balancers#weighted-round-robin)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twistproxy.primitives.weighted_cycle import WeightedCycle
from twistproxy.upstream.host import Host


class RoundRobin:
    """Equal weights take a plain turn, others an earliest-deadline-first schedule."""

    __slots__ = ("_cycle", "_hosts", "_next")

    def __init__(self, hosts: Sequence[Host], random: Random) -> None:
        self._hosts = hosts
        # Not every worker begins with the same host.
        self._next = random.randrange(len(hosts)) if hosts else 0
        weights = [host.weight for host in hosts]
        self._cycle = WeightedCycle(hosts, weights, random) if len(set(weights)) > 1 else None

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
