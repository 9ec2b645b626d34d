"""Hosts by their localities (Envoy: Upstream::HostsPerLocality)."""

from __future__ import annotations

from collections.abc import Iterable

from twistproxy.model.endpoint import Locality
from twistproxy.upstream.host import Host


class LocalityHosts:
    """The hosts of one locality, in their order.

    hosts, healthy, degraded  as of a priority
    excluded  how many do not count
    weight    the locality's own
    """

    __slots__ = ("degraded", "excluded", "healthy", "hosts", "locality", "weight")

    def __init__(self, locality: Locality) -> None:
        self.locality = locality
        self.hosts: list[Host] = []
        self.healthy: list[Host] = []
        self.degraded: list[Host] = []
        self.excluded = 0
        self.weight = 0


def by_locality(hosts: Iterable[Host], own: Locality | None = None) -> list[LocalityHosts]:
    """The localities in the order of their names, but `own`, where the proxy is, comes first."""
    found: dict[Locality, LocalityHosts] = {}
    last: LocalityHosts | None = None
    for host in hosts:
        endpoint = host.endpoint
        locality = endpoint.locality
        if last is None or last.locality is not locality:  # endpoints come in groups of one locality
            last = found.get(locality)
            if last is None:
                last = found[locality] = LocalityHosts(locality)
        last.hosts.append(host)
        last.weight = endpoint.locality_weight
        if host.healthy:
            last.healthy.append(host)
        elif host.degraded:
            last.degraded.append(host)
        if host.excluded:
            last.excluded += 1
    return sorted(found.values(), key=lambda one: (one.locality != own, one.locality))


def sizes_of_localities(hosts: Iterable[Host]) -> dict[tuple[int, Locality], int]:
    """How many hosts there are by priority and locality."""
    found: dict[tuple[int, Locality], int] = {}
    for host in hosts:
        endpoint = host.endpoint
        key = (endpoint.priority, endpoint.locality)
        found[key] = found.get(key, 0) + 1
    return found


def scale_weights(found: list[LocalityHosts], priority: int, sizes: dict[tuple[int, Locality], int]) -> None:
    """Localities of which some hosts only are there, of `sizes` altogether, weigh as much less, in whole numbers."""
    for one in found:
        size = sizes.get((priority, one.locality), 0)
        if size:
            one.weight = int(one.weight * len(one.hosts) / size + 0.5)
