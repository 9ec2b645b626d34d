"""The desired endpoints of one cluster: what its source says, and what we say of it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from twistproxy.discovery.history import EndpointDelta, History
from twistproxy.model.address import Address
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint, EndpointSet
from twistproxy.model.health import FAILED_ACTIVE_HC, is_healthy

#: Of more endpoints than these the order is not followed, which would cost each worker the more the more there are.
_MANY = 2000


class HealthChecker(Protocol):
    """Who checks the health of a cluster's endpoints, and so has a say in which there are.

    warm  workers may know of the endpoints: the first that were found have been checked
    """

    @property
    def warm(self) -> bool: ...

    def keeps(self, before: Mapping[Address, Endpoint], found: Collection[Address]) -> Iterable[Address]:
        """The source has found these; returns which of the others stay."""

    def restore(self, endpoints: Iterable[Endpoint]) -> None:
        """An earlier process has checked these, of which nothing is known here yet: their flags are to go on."""

    def settle(self, delta: EndpointDelta) -> Mapping[Address, int]:
        """The endpoints have changed so; returns flags of theirs (`model.health.ACTIVE_CHECKS`) that change with it."""


class ClusterState:
    """One cluster.

    endpoints  by address, in their order
    given      what the source said of those of which we say more: with flags, a row or a time
    checker    who checks their health, None for nobody
    monotonic  the clock of `Endpoint.since`, None if that is not noted
    """

    __slots__ = (
        "_whole",
        "checker",
        "complete",
        "endpoints",
        "given",
        "history",
        "monotonic",
        "policy",
        "resolved",
        "version",
    )

    def __init__(self) -> None:
        self.endpoints: dict[Address, Endpoint] = {}
        self.given: dict[Address, Endpoint] = {}
        self.history = History()
        self.policy: AssignmentPolicy | None = None
        self.version = 0
        self.resolved = False
        self.complete = False
        self.checker: HealthChecker | None = None
        self.monotonic: Callable[[], float] | None = None
        self._whole: EndpointSet | None = None

    def whole(self, cluster: str) -> EndpointSet:
        """It as it travels."""
        whole = self._whole
        if whole is None or whole.version != self.version:
            endpoints = tuple(self.endpoints.values())
            whole = self._whole = EndpointSet(cluster, endpoints, self.version, self.resolved, self.policy)
        return whole

    def take(self, new: dict[Address, Endpoint], dress: Callable[[Endpoint], Endpoint]) -> EndpointDelta:
        """The endpoints are these; `dress` says what is to be said of a new one.

        Order does not count as long as they are the same: DNS servers rotate it from answer to answer.  Nor does it
        where there are many: new ones come last then.  What did not change stays the same object."""
        old, given = self.endpoints, self.given
        added, changed = [], []
        for address, endpoint in new.items():
            was = old.get(address)
            if was is endpoint:
                continue
            if was is None:
                endpoint = new[address] = dress(endpoint)
                added.append(endpoint)
                continue
            before = given.get(address, was)
            if endpoint is before or endpoint == before:
                new[address] = was
                continue
            if was.flags or was.row >= 0 or self.monotonic is not None:
                given[address] = endpoint
                row = was.row if endpoint.row < 0 else endpoint.row
                endpoint = replace(endpoint, flags=was.flags, row=row, since=was.since)
                endpoint = new[address] = self.time(endpoint)
            changed.append(endpoint)
        removed = [endpoint for address, endpoint in old.items() if address not in new]
        delta = EndpointDelta(tuple(added), tuple(removed), tuple(changed))
        if not delta:
            return delta
        for endpoint in removed:
            given.pop(endpoint.address, None)
        if len(old) > _MANY:
            for endpoint in removed:
                del old[endpoint.address]
            for endpoint in (*changed, *added):
                old[endpoint.address] = endpoint
            self.history.add(self.version, delta, len(old))
            return delta
        if [address for address in old if address in new] == [address for address in new if address in old]:
            self.history.add(self.version, delta, len(new))
        else:
            self.history.clear()
        self.endpoints = new
        return delta

    def flag(self, flags: Mapping[Address, int], mask: int) -> bool:
        """The part of these endpoints' flags that is under `mask` is this.  Returns whether it was not."""
        changed = []
        for address, value in flags.items():
            endpoint = self.endpoints.get(address)
            if endpoint is not None and (now := endpoint.flags & ~mask | value & mask) != endpoint.flags:
                passes = endpoint.flags & ~now & FAILED_ACTIVE_HC
                changed.append(self.time(replace(endpoint, flags=now), anew=bool(passes)))
        if changed:
            self.describe(changed)
        return bool(changed)

    def time(self, endpoint: Endpoint, anew: bool = False) -> Endpoint:
        """It as it is to be published, with the time at which it began to get requests, if that is noted.  `anew`: it
        passes its health checks again (Envoy: Host::lastHcPassTime)."""
        if self.monotonic is None or (endpoint.since and not anew):
            return endpoint
        healthy = is_healthy(endpoint.health, endpoint.flags)
        return replace(endpoint, since=self.monotonic() if healthy else 0.0)

    def describe(self, changed: Sequence[Endpoint]) -> None:
        """We say something else of these endpoints than before."""
        endpoints, given = self.endpoints, self.given
        for endpoint in changed:
            given.setdefault(endpoint.address, endpoints[endpoint.address])
            endpoints[endpoint.address] = endpoint
        self.history.add(self.version, EndpointDelta((), (), tuple(changed)), len(endpoints))
