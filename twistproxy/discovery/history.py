"""What has changed of a cluster's endpoints of late, so that whoever has an older version need not be told everything."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from twistproxy.model.address import Address
from twistproxy.model.endpoint import Endpoint, EndpointChanges

#: So many changes of a cluster are remembered, or a quarter as many as it has endpoints.
_FEWEST = 64
_SHARE = 4


@dataclass(frozen=True, slots=True)
class EndpointDelta:
    """What an update does to the endpoints of a cluster, by address."""

    added: tuple[Endpoint, ...]
    removed: tuple[Endpoint, ...]
    changed: tuple[Endpoint, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __len__(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)

    def __str__(self) -> str:
        return f"+{len(self.added)} -{len(self.removed)} ~{len(self.changed)}"


class History:
    """The newest deltas of one cluster, with the version that each was made from.  None of them changes the order of
    endpoints that stay."""

    __slots__ = ("_count", "_deltas")

    def __init__(self) -> None:
        self._deltas: deque[tuple[int, EndpointDelta]] = deque()
        self._count = 0

    def clear(self) -> None:
        """What comes next cannot be told as a change."""
        self._deltas.clear()
        self._count = 0

    def add(self, version: int, delta: EndpointDelta, size: int) -> None:
        """`delta` was made from `version`; there are `size` endpoints now."""
        self._deltas.append((version, delta))
        self._count += len(delta)
        while self._count > max(_FEWEST, size // _SHARE):
            self._count -= len(self._deltas.popleft()[1])

    def since(
        self, cluster: str, since: int, version: int, endpoints: dict[Address, Endpoint]
    ) -> EndpointChanges | None:
        """From version `since` to `version`, whose endpoints these are; None if that is too long ago."""
        #: by address: whether it was there, and whether it has left its place
        touched: dict[Address, tuple[bool, bool]] = {}
        known = False
        for before, delta in self._deltas:
            if not known and before != since:
                continue
            known = True
            for group, was_there, moved in (
                (delta.changed, True, False),
                (delta.removed, True, True),
                (delta.added, False, True),
            ):
                for endpoint in group:
                    first = touched.get(endpoint.address)
                    touched[endpoint.address] = (
                        (was_there, moved) if first is None else (first[0], first[1] or moved)
                    )
        if not known:
            return None
        moved_here = {a for a, (_, moved) in touched.items() if moved and a in endpoints}
        return EndpointChanges(
            cluster,
            version,
            tuple(endpoints[a] for a, (_, moved) in touched.items() if not moved),
            tuple((place, endpoints[a]) for place, a in _places(endpoints, moved_here)),
            tuple(a for a, (was_there, moved) in touched.items() if was_there and moved),
        )


def _places(endpoints: dict[Address, Endpoint], some: set[Address]) -> list[tuple[int, Address]]:
    """Where these are, in ascending order.  Sought from the end: there new ones are, if there are many."""
    found: list[tuple[int, Address]] = []
    place = len(endpoints)
    for address in reversed(endpoints):
        if len(found) == len(some):
            break
        place -= 1
        if address in some:
            found.append((place, address))
    found.reverse()
    return found
