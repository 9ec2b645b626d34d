"""The discovery process's work: runs a source for each cluster and serves what they find to the workers."""

from __future__ import annotations

import os
import random as random_module
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.logger import Logger

from twistproxy.discovery.background import Background
from twistproxy.discovery.dns import DnsDiscovery
from twistproxy.discovery.dns_lookup import Lookup
from twistproxy.discovery.eds_file import EdsFileDiscovery
from twistproxy.discovery.fanout import Fanout
from twistproxy.discovery.file_watch import FileWatcher
from twistproxy.discovery.health.checks import HealthChecks
from twistproxy.discovery.original_dst import OriginalDstHosts
from twistproxy.discovery.outliers import OutlierDetection
from twistproxy.discovery.recall import Recall
from twistproxy.discovery.resolvers import Resolvers
from twistproxy.discovery.shared_load import SharedLoad
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.discovery.source import ClusterUpdates, Random, RunningSource
from twistproxy.discovery.static import StaticEndpoints
from twistproxy.discovery.v1_sds import Fetch, V1SdsDiscovery
from twistproxy.ipc.frame import Message
from twistproxy.model.address import TcpAddress, address_of
from twistproxy.model.discovery import (
    DiscoverySource,
    DnsSource,
    EdsFileSource,
    OriginalDstSource,
    StaticSource,
    V1SdsSource,
)
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health_check import ClusterChecks
from twistproxy.primitives.board import Board, HostRows
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.transport.clock import ReactorClock
from twistproxy.transport.connector import ReactorConnector
from twistproxy.transport.log_file import LogFiles

MakeLookup = Callable[[DnsSource], Lookup]


class DiscoveryService(Service):
    """Runs the sources that `configure` names and listens on a Unix socket for workers.

    socket_path  a file that is there already is replaced: it is what a process that was killed left behind
    instance     names this process; at random if not given
    board        the memory that workers count in
    make_lookup  tests give their own
    log_files    for the logs of health checks; of its own if not given
    """

    name = "discovery"

    def __init__(
        self,
        reactor: Any,
        socket_path: str,
        log: Logger,
        *,
        random: Random = random_module.random,
        instance: str = "",
        board: Board | None = None,
        make_lookup: MakeLookup | None = None,
        log_files: LogFiles | None = None,
    ) -> None:
        self._reactor = reactor
        self._socket_path = socket_path
        self._log = log
        self._random = random
        self._resolvers = Resolvers(reactor, random, lambda path: Path(path).read_text("utf-8", "replace"))
        self._make_lookup = make_lookup or (lambda source: self._resolvers.get(source.resolver))
        clock = ReactorClock(reactor)
        self.store = EndpointStore(self._changed, monotonic=clock.monotonic)
        self.fanout = Fanout(reactor, instance or f"{os.getpid()}-{os.urandom(8).hex()}", self.store, log)
        self.host_rows = HostRows(Board(1) if board is None else board)
        #: what the runtime says at the moment
        self.runtime = RuntimeValues()
        self.outliers = OutlierDetection(
            clock,
            random,
            self.host_rows,
            self.store,
            self.runtime,
            lambda text: log.warn("{text}", text=text),
        )
        self.shared_load = SharedLoad(self.store, self.host_rows, self.outliers)
        self.store.watcher = self.shared_load
        self.on_said("outlier", self.outliers.heard)
        self._log_files = log_files or LogFiles(clock)
        self.health = HealthChecks(
            clock, ReactorConnector(reactor), self.store, self._log_files, self.runtime, random
        )
        self.health.on_pass = self.outliers.check_passed
        self.on_said("traffic", lambda said: self.health.cluster_used(said["cluster"]))
        self.on_said("unhealthy", self._told_unhealthy)
        self._watcher = FileWatcher(reactor, log)
        self._background = Background(reactor)
        self._fetches: Any = None
        self._running: dict[str, tuple[DiscoverySource, RunningSource]] = {}
        self._updates: dict[str, ClusterUpdates] = {}
        self._followers: dict[str, list[V1SdsDiscovery]] = {}
        self._port: Any = None
        self._recall: Recall | None = None
        self._started = False
        self.on_said("original_dst", self._original_dst_used)

    def recall(self) -> None:
        """Before the start: this is not the first discovery process.  Sources are to start when workers have told what
        they know."""
        if not self._running:
            return
        recall = self._recall = Recall(self.store, self._reactor.callLater, self._start_sources)
        self.fanout.wanted = recall.wanted
        self.on_said("known", recall.heard)

    def _start_sources(self) -> None:
        self._started = True
        for _, running in tuple(self._running.values()):
            running.start()

    def startService(self) -> None:
        """Listen, and start the sources."""
        super().startService()  # type: ignore[no-untyped-call]
        try:
            os.unlink(self._socket_path)
        except FileNotFoundError:
            pass
        self._port = self._reactor.listenUNIX(self._socket_path, self.fanout, mode=0o600)
        if self._recall is None:
            self._start_sources()

    def stopService(self) -> Deferred[Any]:
        """Stop the sources, close the socket and all connections."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._recall is not None:
            self._recall.stop()
        for _, running in self._running.values():
            running.stop()
        self.outliers.stop()
        self._resolvers.keep(())
        self.health.stop()
        self._background.stop()
        self.fanout.disconnect()
        waiting: list[Deferred[Any]] = [] if self._fetches is None else [self._fetches.close()]
        if self._port is not None:
            waiting.append(maybeDeferred(self._port.stopListening))
            self._port = None
        return DeferredList(waiting, consumeErrors=True)

    def on_said(self, about: str, listener: Callable[[Message], None]) -> None:
        """Give `listener` what workers say about this (`DiscoveryLink.say`)."""
        self.fanout.said[about] = listener

    def configure(self, sources: Iterable[DiscoverySource], checks: Iterable[ClusterChecks] = ()) -> None:
        """From now on discover these, one per cluster, and check the health of those: at the start and on each reload.

        Sources equal to a running one go on running; a cluster whose source is another one keeps its
        endpoints until that one has answered; clusters without a source are forgotten.
        """
        self.health.configure(checks)
        wanted = {source.cluster: source for source in sources}
        for source in tuple(wanted.values()):
            if isinstance(source, V1SdsSource) and isinstance(source.hosts, DnsSource):
                wanted.setdefault(source.hosts.cluster, source.hosts)
        for cluster, (source, running) in tuple(self._running.items()):
            if wanted.get(cluster) != source:
                running.stop()
                del self._running[cluster]
        self._resolvers.keep({source.resolver for source in wanted.values() if isinstance(source, DnsSource)})
        for cluster in tuple(self._updates):
            if cluster not in wanted:
                del self._updates[cluster]
                self.store.remove(cluster)
        added = [source for cluster, source in wanted.items() if cluster not in self._running]
        for source in added:
            self.store.declare(source.cluster)
            self._running[source.cluster] = (source, self._make(source))
        self._follow()
        if self._started:
            for source in added:
                self._running[source.cluster][1].start()

    def snapshot_stats(self) -> dict[str, Any]:
        """`{"counters": {"cluster.<name>.update_attempt": ..., ...}, "gauges": {}}`, as Envoy names them."""
        resolvers = self._resolvers.snapshot()
        out: dict[str, Any] = {
            "counters": resolvers["counters"]
            | {
                f"cluster.{cluster}.{name}": value
                for cluster, updates in self._updates.items()
                for name, value in updates.counters.items()
            },
            "gauges": resolvers["gauges"]
            | {
                f"cluster.{cluster}.{name}": value
                for cluster, updates in self._updates.items()
                for name, value in updates.gauges.items()
            },
        }
        self.outliers.collect(out)
        self.health.collect(out["counters"], out["gauges"])
        return out

    def _told_unhealthy(self, said: Message) -> None:
        self.health.told_unhealthy(said["cluster"], address_of(said["address"]))

    def _make(self, source: DiscoverySource) -> RunningSource:
        updates = ClusterUpdates(self.store, source.cluster)
        before = self._updates.get(source.cluster)
        if before is not None:
            updates.counters |= before.counters
            updates.gauges |= before.gauges
        self._updates[source.cluster] = updates
        if isinstance(source, EdsFileSource):
            updates.gauges.setdefault("update_time", 0)
            updates.counters["init_fetch_timeout"] = 0  # a file is there at once, or not at all
        else:
            # Envoy has no such counter of clusters that subscribe to nothing.
            updates.counters.pop("update_rejected", None)
        if isinstance(source, DnsSource):
            lookup = self._make_lookup(source)
            return DnsDiscovery(self._reactor, source, lookup, updates, self._random, self._log)
        if isinstance(source, EdsFileSource):
            return EdsFileDiscovery(
                self._reactor, source, self._watcher, updates, self._log, self._background.run
            )
        if isinstance(source, StaticSource):
            return StaticEndpoints(source, updates)
        if isinstance(source, OriginalDstSource):
            return OriginalDstHosts(self._reactor, source, updates)
        hosts, fetch = self._hosts_of(source), self._fetch(source.timeout)
        return V1SdsDiscovery(self._reactor, source, hosts, fetch, updates, self._random, self._log)

    def _fetch(self, timeout: float) -> Fetch:
        if self._fetches is None:
            # Not everybody needs treq, which takes its time and memory to be imported.
            from twistproxy.discovery.treq_fetch import Fetches

            self._fetches = Fetches(self._reactor)
        fetch: Fetch = self._fetches.make(timeout)
        return fetch

    def _original_dst_used(self, message: Message) -> None:
        """A worker has met these destinations, or has them in use."""
        found = self._running.get(message["cluster"])
        if found is not None and isinstance(found[1], OriginalDstHosts):
            found[1].used(TcpAddress(*address) for address in message["used"])

    def _hosts_of(self, source: V1SdsSource) -> Callable[[], tuple[Endpoint, ...] | None]:
        hosts = source.hosts
        if not isinstance(hosts, DnsSource):
            return lambda: hosts
        cluster = hosts.cluster

        def resolved() -> tuple[Endpoint, ...] | None:
            endpoints = self.store.get(cluster)
            return endpoints.endpoints if endpoints is not None and endpoints.resolved else None

        return resolved

    def _changed(self, cluster: str) -> None:
        self.fanout.changed(cluster)
        for follower in tuple(self._followers.get(cluster, ())):
            follower.hosts_changed()

    def _follow(self) -> None:
        """Note who asks the hosts of another cluster."""
        self._followers = {}
        for source, running in self._running.values():
            if isinstance(running, V1SdsDiscovery) and isinstance(source, V1SdsSource):
                if isinstance(source.hosts, DnsSource):
                    self._followers.setdefault(source.hosts.cluster, []).append(running)
