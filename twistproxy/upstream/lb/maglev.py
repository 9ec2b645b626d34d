"""MAGLEV: a table of a prime size, which hosts fill in turns, each in an order of its own; a request goes to the place
that its hash says (Envoy: load_balancers#maglev; Eisenbud et al., "Maglev", NSDI 2016, section 3.4).

The table is the same as Envoy's for the same hosts.  It is built when somebody first asks.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from random import Random

import xxhash

from twistproxy.model.cluster import MaglevSettings
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.hash_keys import hash_key, shares_of_weight

_ALL_BITS = 0xFFFFFFFFFFFFFFFF


class Maglev:
    """`pick_hash(hash, attempt)` → a host; a further attempt changes the hash.

    `sizes`  fewest and most places of one host
    """

    __slots__ = ("_hosts", "_random", "_settings", "_sizes", "_table")

    def __init__(self, hosts: Sequence[Host], random: Random, settings: MaglevSettings) -> None:
        self._hosts = hosts
        self._random = random
        self._settings = settings
        self._table: array[int] | None = None
        self._sizes = (0, 0)

    @property
    def sizes(self) -> tuple[int, int]:
        if self._table is None:
            self._table = self._build()
        return self._sizes

    def pick(self) -> Host | None:
        """Without a hash: any."""
        return self.pick_hash(self._random.getrandbits(64), 0)

    def pick_hash(self, value: int, attempt: int) -> Host | None:
        table = self._table
        if table is None:
            self._table = table = self._build()
        if not table:
            return None
        if attempt:
            value ^= _ALL_BITS - attempt + 1
        return self._hosts[table[value % len(table)]]

    def _build(self) -> array[int]:
        """The table: indices of `self._hosts`, which is put into the order of the keys."""
        settings = self._settings
        size = settings.table_size
        keyed = [
            (hash_key(host, settings.use_hostname), share, host)
            for host, share in zip(self._hosts, shares_of_weight(self._hosts) if self._hosts else ())
        ]
        if not keyed:
            return array("L")
        keyed.sort(key=_key)
        self._hosts = [host for _, _, host in keyed]
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
