"""The desired endpoints of all clusters, with versions.

Pure: what publishes into it and who is told is elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace

from twistproxy.model.address import Address
from twistproxy.model.endpoint import Endpoint, EndpointSet


@dataclass(frozen=True, slots=True)
class EndpointDelta:
    """What an update does to the endpoints of a cluster, by address."""

    added: tuple[Endpoint, ...]
    removed: tuple[Endpoint, ...]
    changed: tuple[Endpoint, ...]

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)

    def __str__(self) -> str:
        return f"+{len(self.added)} -{len(self.removed)} ~{len(self.changed)}"


def unique_addresses(endpoints: Iterable[Endpoint]) -> tuple[Endpoint, ...]:
    """The endpoints, of those with one address the first: so Envoy reads an assignment that repeats one."""
    seen: dict[Address, Endpoint] = {}
    for endpoint in endpoints:
        seen.setdefault(endpoint.address, endpoint)
    return tuple(seen.values())


def difference(old: Iterable[Endpoint], new: Iterable[Endpoint]) -> EndpointDelta:
    """Compares two sets of endpoints.  Order does not count: DNS servers rotate it from answer to answer."""
    before = {endpoint.address: endpoint for endpoint in old}
    after = {endpoint.address: endpoint for endpoint in new}
    return EndpointDelta(
        tuple(endpoint for address, endpoint in after.items() if address not in before),
        tuple(endpoint for address, endpoint in before.items() if address not in after),
        tuple(e for address, e in after.items() if address in before and before[address] != e),
    )


class EndpointStore:
    """The newest endpoints of each cluster.

    changed  called with a cluster's name after its state has changed, or it is gone
    """

    def __init__(self, changed: Callable[[str], None]) -> None:
        self._changed = changed
        self._sets: dict[str, EndpointSet] = {}
        self._complete: set[str] = set()
        # One count for all clusters: a cluster that goes and comes back does not repeat a version.
        self._version = 0

    def get(self, cluster: str) -> EndpointSet | None:
        """The state of one cluster."""
        return self._sets.get(cluster)

    def all(self) -> tuple[EndpointSet, ...]:
        """The state of all clusters."""
        return tuple(self._sets.values())

    def complete(self, cluster: str) -> bool:
        """Whether a source of `cluster` has ever answered with success, in all of its parts."""
        return cluster in self._complete

    def declare(self, cluster: str) -> None:
        """`cluster` has a source from now on.

        What an earlier source of it found stays until this one answers.
        """
        if cluster not in self._sets:
            self._put(EndpointSet(cluster, (), self._next(), resolved=False))

    def publish(self, cluster: str, endpoints: Iterable[Endpoint], complete: bool = True) -> EndpointDelta:
        """The source of `cluster` has answered.  Ignored, with an empty delta, if the cluster is not
        declared.

        Endpoints that stay keep their flags.

        complete  False while a part of the source has never answered with success
        """
        current = self._sets.get(cluster)
        if current is None:
            return EndpointDelta((), (), ())
        new = unique_addresses(endpoints)
        flags = {endpoint.address: endpoint.flags for endpoint in current.endpoints if endpoint.flags}
        if flags:
            new = tuple(
                replace(endpoint, flags=flags[endpoint.address]) if endpoint.address in flags else endpoint
                for endpoint in new
            )
        delta = difference(current.endpoints, new)
        completed = complete and cluster not in self._complete
        if completed:
            self._complete.add(cluster)
        if delta or completed or not current.resolved:
            self._put(EndpointSet(cluster, new, self._next()))
        return delta

    def set_flags(self, cluster: str, flags: Mapping[Address, int], mask: int) -> None:
        """Of the health of these endpoints (`model.health`), what is under `mask` is this from now on.  Addresses that
        the cluster does not have are ignored."""
        current = self._sets.get(cluster)
        if current is None:
            return
        changed = False
        endpoints = list(current.endpoints)
        for at, endpoint in enumerate(endpoints):
            found = flags.get(endpoint.address)
            if found is None:
                continue
            now = endpoint.flags & ~mask | found & mask
            if now != endpoint.flags:
                endpoints[at] = replace(endpoint, flags=now)
                changed = True
        if changed:
            self._put(EndpointSet(cluster, tuple(endpoints), self._next(), current.resolved))

    def failed(self, cluster: str) -> None:
        """The source of `cluster` has answered with a failure: what the cluster has stays.

        It counts as resolved from then on: Envoy, too, ends the warming of a cluster at the first answer,
        whatever it was.
        """
        current = self._sets.get(cluster)
        if current is not None and not current.resolved:
            self._put(EndpointSet(cluster, current.endpoints, self._next()))

    def remove(self, cluster: str) -> None:
        """`cluster` has no source any more."""
        self._complete.discard(cluster)
        if self._sets.pop(cluster, None) is not None:
            self._changed(cluster)

    def _next(self) -> int:
        self._version += 1
        return self._version

    def _put(self, endpoints: EndpointSet) -> None:
        self._sets[endpoints.cluster] = endpoints
        self._changed(endpoints.cluster)
