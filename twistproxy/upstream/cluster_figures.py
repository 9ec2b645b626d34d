"""What the statistics say of a cluster's hosts together (Envoy: configuration/upstream/cluster_manager/cluster_stats)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.discovery import DiscoverySource, DnsSource, OriginalDstSource, StaticSource
from twistproxy.observe.stats import Snapshot
from twistproxy.upstream.host import Host
from twistproxy.upstream.resource_limits import ResourceLimits


class Figures:
    """Counted once for hosts that stay as they are."""

    __slots__ = ("degraded", "excluded", "healthy", "max_weight", "total")

    def __init__(self, hosts: Collection[Host]) -> None:
        self.total = len(hosts)
        self.healthy = sum([host.healthy for host in hosts])
        self.degraded = sum([host.degraded for host in hosts])
        self.excluded = sum([host.excluded for host in hosts])
        self.max_weight = max([host.weight for host in hosts], default=0)

    def collect(self, prefix: str, source: DiscoverySource | None, out: Snapshot) -> None:
        """The gauges `membership_*` and `max_host_weight`."""
        gauges = out.gauges
        gauges[prefix + "membership_total"] = self.total
        gauges[prefix + "membership_healthy"] = self.healthy
        gauges[prefix + "membership_degraded"] = self.degraded
        gauges[prefix + "membership_excluded"] = self.excluded
        # Envoy looks for the weight where hosts are discovered, but not if there is one only.
        weighed = not (
            source is None
            or isinstance(source, (OriginalDstSource, StaticSource))
            or (isinstance(source, DnsSource) and source.logical)
        )
        gauges[prefix + "max_host_weight"] = self.max_weight if weighed else 0


def collect_pools(prefix: str, hosts: Iterable[Host], out: Snapshot) -> tuple[int, int]:
    """Adds what open connections have moved; how many pools there are of each priority."""
    received = sent = default = high = 0
    for host in hosts:
        default += host.count_pools(0)
        high += host.count_pools(1)
        for pool in host.all_pools():
            bytes_in, bytes_out = pool.open_bytes()
            received += bytes_in
            sent += bytes_out
    out.counters[prefix + "upstream_cx_rx_bytes_total"] += received
    out.counters[prefix + "upstream_cx_tx_bytes_total"] += sent
    return default, high


def describe(settings: ClusterSettings, limits: tuple[ResourceLimits, ResourceLimits]) -> dict[str, Any]:
    """What `/clusters` prints of a cluster that is not counted."""
    return {
        "added_via_api": False,
        "observability_name": settings.stat_name or settings.name,
        "circuit_breakers": {
            name: one.describe() for name, one in zip(("default", "high"), limits, strict=True)
        },
    }
