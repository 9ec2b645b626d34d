"""MAGLEV: a table of a prime size, which hosts fill in turns, each in an order of its own; a request goes to the place
that its hash says (Envoy: load_balancers#maglev; Eisenbud et al., "Maglev", NSDI 2016, section 3.4).

The table is the same as Envoy's for the same hosts.  It is built when somebody first asks.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence

import xxhash

from twistproxy.model.balancing import MaglevSettings
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.hash_keys import hash_key, shares_of_weight

_ALL_BITS = 0xFFFFFFFFFFFFFFFF


class Maglev:
    """`pick_hash(hash, attempt)` → a host; a further attempt changes the hash.

    shares   of the table, for each host; by weight if there are none
    `sizes`  fewest and most places of one host
    """

    __slots__ = ("_order", "_settings", "_shares", "_sizes", "_table", "hosts")

    def __init__(
        self,
        hosts: Sequence[Host],
        settings: MaglevSettings,
        shares: Sequence[float] | None = None,
    ) -> None:
        self.hosts = hosts
        self._order = hosts
        self._shares = shares
        self._settings = settings
        self._table: array[int] | None = None
        self._sizes = (0, 0)

    @property
    def sizes(self) -> tuple[int, int]:
        if self._table is None:
            self._table = self._build()
        return self._sizes

    def pick_hash(self, value: int, attempt: int) -> Host | None:
        table = self._table
        if table is None:
            self._table = table = self._build()
        if not table:
            return None
        if attempt:
            value ^= _ALL_BITS - attempt + 1
        return self._order[table[value % len(table)]]

    def _build(self) -> array[int]:
        """The table: indices of `self._order`, the hosts in the order of their keys."""
        settings = self._settings
        size = settings.table_size
        if not self.hosts:
            return array("L")
        shares = shares_of_weight(self.hosts) if self._shares is None else self._shares
        keyed = [
            (hash_key(host, settings.use_hostname), share, host) for host, share in zip(self.hosts, shares)
        ]
        keyed.sort(key=_key)
        self._order = [host for _, _, host in keyed]
        places = [xxhash.xxh64_intdigest(key) % size for key, _, _ in keyed]
        steps = [xxhash.xxh64_intdigest(key, 1) % (size - 1) + 1 for key, _, _ in keyed]
        table, counts = _fill(size, places, steps, [share for _, share, _ in keyed])
        self._sizes = (min(counts), max(counts))
        return array("H" if len(keyed) < 65536 else "L", table)


def _key(entry: tuple[bytes, float, Host]) -> bytes:
    return entry[0]


def _fill(size: int, places: list[int], steps: list[int], shares: list[float]) -> tuple[list[int], list[int]]:
    """The index of the host at each place, and how many places each has.

    In each round a host takes the next free place on its way (`places` on by `steps`), unless it is lighter than
    others and has had its share.
    """
    table = [-1] * size
    counts = [0] * len(places)
    heaviest = max(shares)
    even = min(shares) == heaviest
    due = [0.0] * len(places)
    left = size
    turn = 0
    while True:
        turn += 1
        for number, place in enumerate(places):
            if not even:
                if turn * shares[number] < due[number]:
                    continue
                due[number] += heaviest
            step = steps[number]
            while table[place] >= 0:
                place += step
                if place >= size:
                    place -= size
            table[place] = number
            counts[number] += 1
            places[number] = (place + step) % size
            left -= 1
            if not left:
                return table, counts
