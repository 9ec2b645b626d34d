"""All clusters by name."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

from twistproxy.api.clock import Clock
from twistproxy.api.transport import Connector
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import EndpointChanges, EndpointNews, Locality
from twistproxy.observe.manager_stats import collect_own_requests
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.board import WorkerBoard
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.upstream.choosers.make import Say
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.cluster_counts import ClusterCounts
from twistproxy.upstream.lb.zone_aware import LocalCluster


class ClusterManager:
    """`get(name)` → the cluster or None.  `apply` rebuilds only what differs; endpoints that were discovered stay."""

    def __init__(
        self,
        clock: Clock,
        connector: Connector,
        timeouts: Deadlines,
        random: Random,
        runtime: RuntimeValues,
        board: WorkerBoard,
    ) -> None:
        self._clock = clock
        self._connector = connector
        self._timeouts = timeouts
        self._random = random
        self._runtime = runtime
        self._board = board
        self._say: Say | None = None
        self._clusters: dict[str, Cluster] = {}
        #: of clusters that are gone, as long as anything of them may be in use: they may come back
        self._leaving: dict[str, ClusterCounts] = {}
        self._local_name = ""
        self._local: LocalCluster | None = None
        #: requests that were copied to clusters that are gone
        self._copied = 0
        self._added = self._modified = self._removed = self._updated = 0
        self.get = self._clusters.get

    def apply(
        self, settings: Iterable[ClusterSettings], local_name: str = "", locality: Locality | None = None
    ) -> None:
        """local_name  that of the cluster that the proxy belongs to, "" if it does not say
        locality    where the proxy is
        """
        self._local_name = local_name
        self._local = LocalCluster(locality or Locality()) if local_name else None
        clusters: dict[str, Cluster] = {}
        for one in settings:
            old = self._clusters.get(one.name)
            if old is not None and old.settings == one:
                clusters[one.name] = old
                continue
            counts = self._leaving.pop(one.name, None) if old is None else old.counts
            cluster = Cluster(
                one,
                self._clock,
                self._connector,
                self._timeouts,
                self._random,
                counts,
                self._local_of(one.name),
                self._tell,
                self._get,
            )
            cluster.watch(self._board)
            if old is None:
                self._added += 1
                self._share(cluster)
            else:
                self._modified += 1
                if old.warm and one.source is not None and one.source == old.settings.source:
                    cluster.set_endpoints(
                        tuple(host.endpoint for host in old.hosts.values()), old.said_policy
                    )
            cluster.use_runtime(self._runtime)
            clusters[one.name] = cluster
        for name, left in tuple(self._leaving.items()):
            if not left.in_use():
                self._copied += self._leaving.pop(name).stats.copies
        for name, old in self._clusters.items():
            if clusters.get(name) is not old:
                old.drain()
            if name not in clusters:
                self._removed += 1
                self._leaving[name] = old.counts
        self._clusters = clusters
        self.get = clusters.get
        self._local_changed()

    def _local_of(self, name: str) -> LocalCluster | None:
        """Its own requests the local cluster does not keep near."""
        return None if name == self._local_name else self._local

    def _local_changed(self) -> None:
        """The local cluster has other hosts, or there is none any more."""
        local = self._local
        if local is not None:
            local.update(self._clusters[self._local_name].hosts.values())
        for name, cluster in self._clusters.items():
            if local is not None or cluster.has_local_cluster:
                cluster.use_local_cluster(self._local_of(name))

    def use_discovery(self, say: Say) -> None:
        """There is a discovery process, perhaps another one than before; `say` tells it something."""
        self._say = say
        for cluster in self._clusters.values():
            cluster.discovery_there()

    def _tell(self, about: str, facts: dict[str, Any]) -> bool:
        return self._say is not None and self._say(about, facts)

    def _share(self, cluster: Cluster) -> None:
        """Let its circuit breakers count what all workers have in use."""
        if not self._board.several:
            return
        for high_priority, limits in enumerate(cluster.limits):
            line = self._board.cluster(cluster.name, bool(high_priority))
            if line is not None:
                limits.share(line)

    def _get(self, name: str) -> Cluster | None:
        """As `get`, at any time."""
        return self._clusters.get(name)

    def runtime_changed(self) -> None:
        """The runtime has other values now."""
        for cluster in self._clusters.values():
            cluster.use_runtime(self._runtime)

    def update_endpoints(self, news: EndpointNews) -> None:
        """What discovery says.  Before the source has answered there are none, but those known stay."""
        cluster = self._clusters.get(news.cluster)
        if cluster is None or cluster.settings.source is None:
            return
        if isinstance(news, EndpointChanges):
            self._updated += 1
            cluster.change_endpoints(news)
        elif news.resolved or (news.endpoints and not cluster.warm):
            self._updated += cluster.warm
            cluster.set_endpoints(news.endpoints, news.policy)
        if news.cluster == self._local_name:
            self._local_changed()

    def names(self) -> list[str]:
        return list(self._clusters)

    def discovered(self) -> frozenset[str]:
        """Names of the clusters that discovery feeds."""
        return frozenset(
            name for name, cluster in self._clusters.items() if cluster.settings.source is not None
        )

    def warming(self) -> frozenset[str]:
        return frozenset(name for name, cluster in self._clusters.items() if not cluster.warm)

    def collect(self, out: Snapshot) -> None:
        for cluster in self._clusters.values():
            cluster.collect(out)
        prefix = "cluster_manager."
        out.counters[prefix + "cluster_added"] = self._added
        out.counters[prefix + "cluster_modified"] = self._modified
        out.counters[prefix + "cluster_removed"] = self._removed
        out.counters[prefix + "cluster_updated"] = self._updated
        out.gauges[prefix + "active_clusters"] = len(self._clusters)
        out.gauges[prefix + "warming_clusters"] = 0
        # Every change of hosts counts at once: none are merged.
        for name in ("cluster_updated_via_merge", "update_merge_cancelled", "update_out_of_merge_window"):
            out.counters[prefix + name] = 0
        counts = [*(cluster.counts for cluster in self._clusters.values()), *self._leaving.values()]
        collect_own_requests(self._copied + sum(one.stats.copies for one in counts), out)
        inflated = f"thread_local_cluster_manager.worker_{out.worker}.clusters_inflated"
        out.gauges[inflated] = len(self._clusters)
