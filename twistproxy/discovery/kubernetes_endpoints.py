"""From core/v1 Endpoints objects and service names to hosts.  Pure.

Names and the ports that they mean, `<domain>` being the cluster domain (`svc.cluster.local`):

    <service>.<namespace>.<domain>                  the service's TCP port; of several the one named `http`,
    else the one
                                                    whose name comes first in the alphabet
    <port>.<service>.<namespace>.<domain>           the TCP port with this name or number
    _<port>._tcp.<service>.<namespace>.<domain>     the same, as in the SRV records of Kubernetes' DNS; `_udp`
    for UDP

A subset that lacks the port adds no hosts: after a change of the target port the old pods and the new form
two subsets, each with its own number under the same name.  Addresses that are not ready are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twistproxy.discovery.registry import BadServiceName
from twistproxy.discovery.resolv_conf import is_ip
from twistproxy.model.address import TcpAddress
from twistproxy.model.endpoint import Endpoint, Locality

#: The name of a service's port that is preferred if there are several.
PREFERRED_PORT = "http"


@dataclass(frozen=True, slots=True)
class Port:
    """A port of a subset.  `name` is "" where a service has but one."""

    name: str
    number: int
    protocol: str


@dataclass(frozen=True, slots=True)
class Subset:
    """Addresses that are ready, and the ports that all of them have.

    leaving  addresses that are going away and still answer, for a service that has no others
    zones    where addresses are, of those that say so
    """

    addresses: tuple[str, ...]
    ports: tuple[Port, ...]
    leaving: tuple[str, ...] = ()
    zones: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ServiceName:
    """What a name means.  `port` is a port's name or number, "" for the service's own."""

    service: str
    namespace: str
    port: str = ""
    protocol: str = "TCP"


def parse_service_name(name: str, cluster_domain: str) -> ServiceName:
    """Takes a name apart as described above.  Raises `BadServiceName`."""
    expected = f"{name!r} is not service.namespace.{cluster_domain}"
    stem, dot, rest = name.rstrip(".").rpartition(f".{cluster_domain}")
    if not dot or rest:
        raise BadServiceName(expected)
    match stem.split("."):
        case [service, namespace] if service and namespace:
            return ServiceName(service, namespace)
        case [port, service, namespace] if port and service and namespace:
            return ServiceName(service, namespace, port)
        case [port, protocol, service, namespace] if port[1:] and service and namespace:
            if port.startswith("_") and protocol.lower() in ("_tcp", "_udp"):
                return ServiceName(service, namespace, port[1:], protocol[1:].upper())
    raise BadServiceName(f"{expected}, nor a port of one")


def parse_subsets(endpoints: dict[str, Any]) -> tuple[Subset, ...]:
    """The subsets of an Endpoints object.  Raises ValueError if it is not one."""
    try:
        return tuple(
            Subset(
                tuple(address["ip"] for address in subset.get("addresses") or () if is_ip(address["ip"])),
                tuple(
                    Port(port.get("name", ""), int(port["port"]), port.get("protocol", "TCP"))
                    for port in subset.get("ports") or ()
                ),
            )
            for subset in endpoints.get("subsets") or ()
        )
    except (KeyError, TypeError, AttributeError) as e:
        raise ValueError(f"not an Endpoints object: {e!r}") from None


def hosts_of(subsets: Iterable[Subset], name: ServiceName) -> tuple[Endpoint, ...]:
    """The hosts that `name` means, in the order of the subsets."""
    subsets = tuple(subsets)
    wanted = name.port
    if not wanted:
        names = {p.name for subset in subsets for p in subset.ports if p.protocol == name.protocol}
        wanted = PREFERRED_PORT if PREFERRED_PORT in names else min(names, default="")
    with_port = [
        (subset, port.number)
        for subset in subsets
        for port in subset.ports
        if port.protocol == name.protocol
        and (wanted == port.name or (name.port and wanted == str(port.number)))
    ]
    hosts: dict[tuple[str, int], Endpoint] = {}
    for subset, number in with_port:
        for address in subset.addresses:
            hosts.setdefault((address, number), _host(subset, address, number))
    if not hosts:
        for subset, number in with_port:
            for address in subset.leaving:
                hosts.setdefault((address, number), _host(subset, address, number))
    return tuple(hosts.values())


def _host(subset: Subset, address: str, port: int) -> Endpoint:
    return Endpoint(TcpAddress(address, port), locality=Locality(zone=subset.zones.get(address, "")))
