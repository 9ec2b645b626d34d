"""A host: an endpoint at run time."""

from __future__ import annotations

from typing import Any

from twistproxy.model.endpoint import Endpoint
from twistproxy.observe.cluster_stats import HostStats

#: EDS health states other than healthy (envoy.config.core.v3.HealthStatus), as `/clusters` shows them.
_FLAGS = {
    "UNHEALTHY": "failed_eds_health",
    "TIMEOUT": "failed_eds_health",
    "DRAINING": "eds_status_draining",
    "DEGRADED": "degraded_eds_health",
}


class Host:
    """One address of a cluster with what is known about it.

    pools     connections to it, one pool a priority: (default, high), and the same again for tunnels; made on first
              use by the cluster
    address_text  for logs and `/clusters`
    """

    __slots__ = ("address", "address_text", "endpoint", "pools", "stats")

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint
        self.address = endpoint.address
        self.address_text = str(endpoint.address)
        self.stats = HostStats()
        self.pools: list[Any] = [None, None, None, None]

    @property
    def healthy(self) -> bool:
        return self.endpoint.health not in _FLAGS

    @property
    def degraded(self) -> bool:
        """It gets requests only where the healthy hosts do not suffice."""
        return self.endpoint.health == "DEGRADED"

    @property
    def excluded(self) -> bool:
        """It counts as if it were not there."""
        return self.endpoint.health == "DRAINING"

    @property
    def weight(self) -> int:
        return self.endpoint.weight

    def describe(self) -> dict[str, Any]:
        """The host's part of a statistics snapshot."""
        endpoint = self.endpoint
        locality = endpoint.locality
        stats = self.stats
        flag = _FLAGS.get(endpoint.health)
        return {
            "address": self.address_text,
            "hostname": endpoint.hostname,
            "weight": endpoint.weight,
            "zone": locality.zone,
            "region": locality.region,
            "sub_zone": locality.sub_zone,
            "priority": endpoint.priority,
            "canary": endpoint.canary,
            "health": [flag] if flag else ["healthy"],
            "counters": {name: getattr(stats, name) for name in stats.COUNTERS},
            "gauges": {name: getattr(stats, name) for name in stats.GAUGES},
        }
