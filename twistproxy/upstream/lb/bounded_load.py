"""Consistent hashing with bounded loads: a host that has too many active requests passes on what hashes to it (Envoy:
`hash_balance_factor` of envoy.config.cluster.v3; Mirrokni et al., arXiv 1608.01350)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from random import Random
from typing import Protocol

from twistproxy.upstream.host import Host


class Hashing(Protocol):
    """A hash balancer."""

    def pick_hash(self, value: int, attempt: int) -> Host | None: ...


class BoundedLoad:
    """In front of a hash balancer.

    shares  of the hosts in the weight of all
    factor  per cent of the average number of active requests that a host may have
    active  how many requests the cluster has now
    """

    __slots__ = ("_active", "_factor", "_hosts", "_inner", "_share_of", "_shares")

    def __init__(
        self,
        inner: Hashing,
        hosts: Sequence[Host],
        shares: Sequence[float],
        factor: int,
        active: Callable[[], int],
    ) -> None:
        self._inner = inner
        self._hosts = hosts
        self._factor = factor
        self._active = active
        self._shares = shares
        self._share_of = {id(host): share for host, share in zip(hosts, shares)}

    def pick_hash(self, value: int, attempt: int) -> Host | None:
        first = self._inner.pick_hash(value, attempt)
        if first is None:
            return None
        best = first
        slots = ((self._active() + 1) * self._factor + 99) // 100
        lowest = _load(first, self._share_of[id(first)], slots)
        if lowest <= 1.0:
            return first
        # The others in an order that the hash gives, so that it is always the same one that helps out.
        order = list(range(len(self._hosts)))
        numbers = _mersenne_twister(value & 0xFFFFFFFF)
        for at in range(len(order)):
            other = at + _below(numbers, len(order) - at)
            order[at], order[other] = order[other], order[at]
            host = self._hosts[order[at]]
            if host is first:
                continue
            load = _load(host, self._shares[order[at]], slots)
            if load <= 1.0:
                return host
            if load < lowest:
                lowest = load
                best = host
        return best


def _load(host: Host, share: float, slots: int) -> float:
    return host.active() / max(math.ceil(slots * share), 1)


def _below(numbers: Random, limit: int) -> int:
    part = 0x100000000 // limit
    while True:
        found = numbers.getrandbits(32) // part
        if found < limit:
            return found


def _mersenne_twister(seed: int) -> Random:
    """MT19937 seeded with one 32-bit number as C++ does it; Python seeds with an array."""
    state = [seed]
    for at in range(1, 624):
        state.append((1812433253 * (state[-1] ^ (state[-1] >> 30)) + at) & 0xFFFFFFFF)
    numbers = Random()
    numbers.setstate((3, (*state, 624), None))
    return numbers
