"""Endpoints: addresses as configured or discovered, before they become hosts of a cluster."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.model.health_check import CheckTarget

_Item = TypeVar("_Item")


class Locality(NamedTuple):
    """Where an endpoint is (envoy.config.core.v3.Locality).  A tuple, as addresses are."""

    region: str = ""
    zone: str = ""
    sub_zone: str = ""


NO_LOCALITY = Locality()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address of a cluster (envoy.config.endpoint.v3.LbEndpoint).

    weight        relative share, 1 or more
    hostname      the name that it was resolved from, "" if none
    health        EDS health status: UNKNOWN HEALTHY UNHEALTHY DRAINING TIMEOUT DEGRADED
    locality_weight  weight of its locality, 0 if not given
    hash_key      what hash balancers hash in place of address or hostname, "" if nothing
    metadata      its filter_metadata as JSON, "" if there is none
    flags         what active health checks and outlier detection say of it (`model.health`)
    row           where workers count together what happens to it (`primitives.board`), -1 if they do not
    check         how its health is checked, if not as that of the others; workers only keep it for discovery
    additional    further addresses of it, for connections where the first does not answer (RFC 8305)
    since         when it began to get requests, in seconds of the system's monotonic clock, which all processes share;
                  0.0 if it does not get any yet, or nobody wants to know
    """

    address: Address
    weight: int = 1
    hostname: str = ""
    health: str = "UNKNOWN"
    priority: int = 0
    locality: Locality = NO_LOCALITY
    locality_weight: int = 0
    canary: bool = False
    hash_key: str = ""
    metadata: str = ""
    flags: int = 0
    row: int = -1
    check: CheckTarget | None = None
    additional: tuple[Address, ...] = ()
    since: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """A dict of JSON values, for workers; `from_json` is its inverse.  Defaults are left out."""
        address = self.address
        out = _address_to_json(address)
        if self.weight != 1:
            out["w"] = self.weight
        if self.hostname:
            out["n"] = self.hostname
        if self.health != "UNKNOWN":
            out["s"] = self.health
        if self.priority:
            out["r"] = self.priority
        if self.locality != NO_LOCALITY:
            out["l"] = [self.locality.region, self.locality.zone, self.locality.sub_zone]
        if self.locality_weight:
            out["lw"] = self.locality_weight
        if self.canary:
            out["c"] = True
        if self.hash_key:
            out["k"] = self.hash_key
        if self.metadata:
            out["m"] = self.metadata
        if self.flags:
            out["f"] = self.flags
        if self.row >= 0:
            out["x"] = self.row
        if self.check is not None:
            out["q"] = self.check.to_json()
        if self.additional:
            out["a"] = [_address_to_json(address) for address in self.additional]
        if self.since:
            out["t"] = self.since
        return out

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Endpoint:
        address = _address_from_json(data)
        return cls(
            address,
            data.get("w", 1),
            data.get("n", ""),
            data.get("s", "UNKNOWN"),
            data.get("r", 0),
            Locality(*data["l"]) if "l" in data else NO_LOCALITY,
            data.get("lw", 0),
            data.get("c", False),
            data.get("k", ""),
            data.get("m", ""),
            data.get("f", 0),
            data.get("x", -1),
            check=CheckTarget.from_json(data["q"]) if "q" in data else None,
            additional=tuple(_address_from_json(one) for one in data.get("a", ())),
            since=data.get("t", 0.0),
        )


def _address_to_json(address: Address) -> dict[str, Any]:
    if isinstance(address, PipeAddress):
        return {"p": address.path}
    return {"h": address.host, "o": address.port}


def _address_from_json(data: dict[str, Any]) -> Address:
    return PipeAddress(data["p"]) if "p" in data else TcpAddress(data["h"], data["o"])


@dataclass(frozen=True, slots=True)
class AssignmentPolicy:
    """What an assignment says of all its endpoints (envoy.config.endpoint.v3.ClusterLoadAssignment.Policy).

    overprovisioning_factor   per cent of its share of the requests that a host can take
    weighted_priority_health  a priority is as healthy as the weight of its healthy hosts, not their number
    """

    overprovisioning_factor: int = 140
    weighted_priority_health: bool = False

    def to_json(self) -> list[int]:
        return [self.overprovisioning_factor, int(self.weighted_priority_health)]

    @classmethod
    def from_json(cls, data: Sequence[int]) -> AssignmentPolicy:
        return cls(data[0], bool(data[1]))


@dataclass(frozen=True, slots=True)
class EndpointSet:
    """All endpoints of one cluster.  `version` grows with every change that one discovery process publishes.

    `resolved` is False while the source has not answered yet: the cluster is still warming.
    `policy` is what the source says of all of them, None if that is up to the cluster's configuration.
    """

    cluster: str
    endpoints: tuple[Endpoint, ...] = ()
    version: int = 0
    resolved: bool = True
    policy: AssignmentPolicy | None = None


@dataclass(frozen=True, slots=True)
class EndpointChanges:
    """What has become of a cluster's endpoints since the version that whoever gets this has.

    removed  the addresses that are gone, or stand elsewhere in the order now
    added    (place among all, endpoint): what is new there, in ascending order
    changed  endpoints that are described differently, but stand where they stood
    """

    cluster: str
    version: int
    changed: tuple[Endpoint, ...] = ()
    added: tuple[tuple[int, Endpoint], ...] = ()
    removed: tuple[Address, ...] = ()

    def apply(self, endpoints: dict[Address, Endpoint]) -> None:
        """Change what was known, in place."""
        for address in self.removed:
            endpoints.pop(address, None)
        for endpoint in self.changed:
            endpoints[endpoint.address] = endpoint
        insert(endpoints, [(place, endpoint.address, endpoint) for place, endpoint in self.added])


#: What discovery tells of a cluster.
EndpointNews = EndpointSet | EndpointChanges


def insert(items: dict[Address, _Item], new: Sequence[tuple[int, Address, _Item]]) -> None:
    """Put `new` into the ordered `items`, in place: (place, key, value) in ascending order of the places."""
    if not new:
        return
    if new[0][0] >= len(items):
        items.update([(address, item) for _, address, item in new])
        return
    before = list(items.items())
    after: list[tuple[Address, _Item]] = []
    taken = 0
    for place, address, item in new:
        more = place - len(after)
        after += before[taken : taken + more]
        taken += more
        after.append((address, item))
    after += before[taken:]
    items.clear()
    items.update(after)
