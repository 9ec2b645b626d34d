"""From discovery.k8s.io/v1 EndpointSlice objects to subsets of hosts.  Pure.

A service has any number of slices, each of one address family and with the ports that all of its endpoints have.  Its
name is the slice's label `kubernetes.io/service-name`; slices without it are nobody's.  Of what an endpoint says of
itself (`conditions`):

    ready        it takes connections; unset means so
    serving      unset is `ready`; true of an endpoint that is going away and still answers
    terminating  it is going away

As kube-proxy does, a service whose endpoints are all on their way out sends to those that still answer.  Of an endpoint's
addresses, which mean the same, the first is taken, as the API wants it; its zone becomes the host's.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twistproxy.discovery.kubernetes_endpoints import Port, Subset
from twistproxy.discovery.resolv_conf import is_ip

PATH = "/apis/discovery.k8s.io/v1/endpointslices"
SERVICE_LABEL = "kubernetes.io/service-name"


def parse_slice(item: dict[str, Any]) -> tuple[str, Subset]:
    """(name of the service, "" for nobody's; its endpoints).  Raises ValueError if it is no EndpointSlice."""
    try:
        labels = item["metadata"].get("labels") or {}
        ready: list[str] = []
        leaving: list[str] = []
        zones: dict[str, str] = {}
        for endpoint in item.get("endpoints") or ():
            address = next(iter(endpoint["addresses"]), "")
            if not is_ip(address):  # a slice of names (addressType FQDN), which nothing makes
                continue
            conditions = endpoint.get("conditions") or {}
            # Unset conditions are null or missing.
            is_ready = conditions.get("ready") is not False
            serving = conditions.get("serving")
            if is_ready:
                ready.append(address)
            elif serving and conditions.get("terminating"):
                leaving.append(address)
            if endpoint.get("zone"):
                zones[address] = str(endpoint["zone"])
        ports = tuple(
            Port(port.get("name") or "", int(port["port"]), port.get("protocol") or "TCP")
            for port in item.get("ports") or ()
            if port.get("port") is not None
        )
        return str(labels.get(SERVICE_LABEL) or ""), Subset(tuple(ready), ports, tuple(leaving), zones)
    except (KeyError, TypeError, AttributeError, ValueError) as e:
        raise ValueError(f"not an EndpointSlice object: {e!r}") from None


def of_one_family(subsets: Iterable[Subset]) -> tuple[Subset, ...]:
    """Those of IPv4, or those of IPv6 if there are no others: a service of both families has each host twice."""
    subsets = tuple(subsets)
    v4 = tuple(each for each in subsets if not any(":" in ip for ip in (*each.addresses, *each.leaving)))
    return v4 if any(each.addresses or each.leaving for each in v4) else subsets
