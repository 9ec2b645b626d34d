"""Where the requests of a route are counted: virtual clusters of its virtual host, and its own `stat_prefix`."""

from __future__ import annotations

from twistproxy.http.message import RequestHead
from twistproxy.model.route import VirtualCluster
from twistproxy.observe.route_stats import RequestCounts, RouteStats, RouteStatsRegistry

#: Where a virtual host has virtual clusters, and a request is of none of them.
_OTHER = "other"


class VirtualClusters:
    """Those of one virtual host, in order; the first whose headers match is the request's."""

    __slots__ = ("_clusters", "_other", "_stats")

    def __init__(
        self, virtual_host: str, clusters: tuple[VirtualCluster, ...], registry: RouteStatsRegistry
    ) -> None:
        self._clusters = clusters
        self._stats = [registry.of_virtual_cluster(virtual_host, one.name) for one in clusters]
        self._other = registry.of_virtual_cluster(virtual_host, _OTHER)

    def find(self, head: RequestHead) -> tuple[str, RouteStats]:
        """Name and statistics; the name is "" for others."""
        for cluster, stats in zip(self._clusters, self._stats, strict=True):
            if all(header.matches(head) for header in cluster.headers):
                return cluster.name, stats
        return "", self._other


class Counting:
    """Says for a request of one route where it is counted."""

    __slots__ = ("_clusters", "_own", "_registry")

    def __init__(
        self, clusters: VirtualClusters | None, own: RouteStats | None, registry: RouteStatsRegistry
    ) -> None:
        self._clusters = clusters
        self._own = own
        self._registry = registry

    def begin(self, head: RequestHead) -> RequestCounts:
        """`head` as it came: before the route's rewrites and header rules."""
        name = ""
        found = []
        if self._clusters is not None:
            name, stats = self._clusters.find(head)
            found.append(stats)
        if self._own is not None:
            found.append(self._own)
        return RequestCounts(name, [] if self._registry.paused else found)
