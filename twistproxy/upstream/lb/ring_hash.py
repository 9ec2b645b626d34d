"""RING_HASH: hosts have places on a ring by the hashes of their keys, and a request goes to the next one (Envoy:
load_balancers#ring-hash; ketama).

The ring is the same as Envoy's for the same hosts in the same order.  It is built when somebody first asks: a set of
hosts that is soon replaced costs nothing.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence

import xxhash

from twistproxy.model.balancing import RingHashSettings
from twistproxy.primitives.murmur_hash import murmur_hash
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.hash_keys import hash_key, shares_of_weight


class RingHash:
    """`pick_hash(hash, attempt)` → a host; each further attempt takes the next place of the ring.

    shares   of the ring, for each host; by weight if there are none.  Their sum is 1.0 at most
    `sizes`  places on the ring, fewest and most of one host
    """

    __slots__ = ("_built", "_hashes", "_places", "_settings", "_shares", "_sizes", "hosts")

    def __init__(
        self,
        hosts: Sequence[Host],
        settings: RingHashSettings,
        shares: Sequence[float] | None = None,
    ) -> None:
        self.hosts = hosts
        self._shares = shares
        self._settings = settings
        self._built = False
        self._hashes = array("Q")
        self._places: list[Host] = []
        self._sizes = (0, 0, 0)

    @property
    def sizes(self) -> tuple[int, int, int]:
        if not self._built:
            self._build()
        return self._sizes

    def pick_hash(self, value: int, attempt: int) -> Host | None:
        if not self._built:
            self._build()
        places = self._places
        size = len(places)
        if not size:
            return None
        at = bisect_left(self._hashes, value)
        if at == size:
            at = 0
        return places[(at + attempt) % size] if attempt else places[at]

    def _build(self) -> None:
        self._built = True
        hosts = self.hosts
        if not hosts:
            return
        settings = self._settings
        shares = shares_of_weight(hosts) if self._shares is None else self._shares
        lowest = min(shares)
        # So many places that the lightest host has a whole number of them.
        scale = min(math.ceil(lowest * settings.minimum_size) / lowest, float(settings.maximum_size))
        hashed = murmur_hash if settings.murmur else xxhash.xxh64_intdigest
        hashes: list[int] = []
        owners: list[Host] = []
        wanted = 0.0
        size = fewest = math.ceil(scale)
        most = 0
        for host, share in zip(hosts, shares):
            key = hash_key(host, settings.use_hostname) + b"_"
            wanted += scale * share
            count = max(0, math.ceil(wanted) - len(hashes))
            hashes.extend([hashed(key + b"%d" % at) for at in range(count)])
            owners.extend([host] * count)
            fewest = min(fewest, count)
            most = max(most, count)
        order = sorted(range(len(hashes)), key=hashes.__getitem__)
        self._hashes = array("Q", [hashes[at] for at in order])
        self._places = [owners[at] for at in order]
        self._sizes = (size, fewest, most)
