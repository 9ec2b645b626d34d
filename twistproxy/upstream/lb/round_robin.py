"""ROUND_ROBIN: hosts in turn, by weight where weights differ (Envoy: load_balancers#weighted-round-robin)."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from twistproxy.primitives.weighted_cycle import WeightedCycle
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.slow_start import SlowStart


class RoundRobin:
    """Equal weights take a plain turn, others an earliest-deadline-first schedule."""

    __slots__ = ("_cycle", "_hosts", "_next")

    def __init__(self, hosts: Sequence[Host], random: Random, slow_start: SlowStart | None = None) -> None:
        self._hosts = hosts
        # Not every worker begins with the same host.
        self._next = int(random.random() * len(hosts))
        self._cycle: WeightedCycle[Host] | None = None
        weights = [host.weight for host in hosts]
        if slow_start is not None and slow_start.active():
            self._cycle = WeightedCycle(hosts, weights, random, slow_start.weight) if hosts else None
        elif len(set(weights)) > 1:
            self._cycle = WeightedCycle(hosts, weights, random)

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
