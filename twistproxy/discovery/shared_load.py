"""Rows on the board for hosts whose active requests all workers are to know: without them each worker would send its next
request to a host that it has not asked itself (`Host.active`), and connect to one that has its connections
(`Host.connections`)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import partial

from twistproxy.discovery.snapshot import EndpointStore, EndpointWatcher
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.primitives.board import HostRows


class SharedLoad:
    """Gives endpoints a row that do not have one from whoever watches them before (`watcher`)."""

    def __init__(self, store: EndpointStore, rows: HostRows, watcher: EndpointWatcher) -> None:
        self._store = store
        self._rows = rows
        self._watcher = watcher
        self._clusters: frozenset[str] = frozenset()

    def configure(self, clusters: Iterable[ClusterSettings]) -> None:
        """`clusters`: all there are, after the other watcher has been told of them."""
        every = tuple(clusters)
        before = self._clusters
        self._clusters = frozenset(
            cluster.name for cluster in every if cluster.source is not None and cluster.counts_hosts_together
        )
        watched = {cluster.name for cluster in every if cluster.outlier is not None}
        for cluster in before - self._clusters - watched:
            self._store.dress_again(cluster, partial(self._take, cluster))
        for cluster in self._clusters:
            self._store.dress_again(cluster, partial(self._give, cluster))

    def endpoint_added(self, cluster: str, endpoint: Endpoint) -> Endpoint:
        dressed = self._watcher.endpoint_added(cluster, endpoint)
        return self._give(cluster, dressed) if cluster in self._clusters else dressed

    def endpoint_removed(self, cluster: str, endpoint: Endpoint) -> None:
        self._watcher.endpoint_removed(cluster, endpoint)
        if cluster in self._clusters:
            self._rows.release(cluster, str(endpoint.address))

    def _give(self, cluster: str, endpoint: Endpoint) -> Endpoint:
        """Without a row, if there are no more, workers count for themselves."""
        if endpoint.row >= 0:
            return endpoint
        return replace(endpoint, row=self._rows.row(cluster, str(endpoint.address)))

    def _take(self, cluster: str, endpoint: Endpoint) -> Endpoint:
        self._rows.release(cluster, str(endpoint.address))
        return replace(endpoint, row=-1)
