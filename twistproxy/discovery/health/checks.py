"""The health checks of all clusters: which there are, and what of them is published when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from twistproxy.api.clock import Clock, Timer
from twistproxy.api.transport import Connector, Connects
from twistproxy.discovery.health.bound_connector import BoundConnector
from twistproxy.discovery.health.cluster_health import ClusterHealth, HealthTools, checked_address
from twistproxy.discovery.health.events import EventLog, HealthEvents
from twistproxy.discovery.health.host_check import HostCheck
from twistproxy.discovery.health.http_probe import HttpProbe
from twistproxy.discovery.health.probe import Probe
from twistproxy.discovery.health.request_head import RequestHeads
from twistproxy.discovery.health.stats import HealthStats
from twistproxy.discovery.health.tcp_probe import TcpProbe
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.discovery.source import Random
from twistproxy.http.message import HttpVersion
from twistproxy.model.address import Address
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health_check import ClusterChecks, HttpCheck, TcpCheck
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.primitives.schedule import Schedule

#: Seconds that changes wait for others to be published with, after a publication.  Envoy waits a second.
_MERGE = 0.05
_GRACE = 1.0


class EventLogs(Protocol):
    """`transport.log_file.LogFiles`."""

    def open(self, path: str) -> EventLog:
        """OSError if it cannot be opened."""


class HealthChecks:
    """See `cluster_health.Publish`.

    on_pass  called with cluster and address for each check that a healthy host has passed
    """

    def __init__(
        self,
        clock: Clock,
        connector: Connector,
        store: EndpointStore,
        logs: EventLogs,
        runtime: RuntimeValues,
        random: Random,
    ) -> None:
        self._clock = clock
        self._connector = connector
        self._store = store
        self._logs = logs
        deadlines = Deadlines(clock.monotonic, clock.call_later)
        schedule = Schedule(clock.monotonic, clock.call_later)
        self._tools = HealthTools(clock, deadlines, schedule, random, runtime, self._probe, self)
        self._clusters: dict[str, ClusterHealth] = {}
        self._stats: dict[str, HealthStats] = {}
        self._dirty: set[ClusterHealth] = set()
        self._timer: Timer | None = None
        self._published_at = float("-inf")
        self.on_pass: Callable[[str, Address], None] | None = None

    def configure(self, checks: Iterable[ClusterChecks]) -> None:
        """These are to be made from now on: those that are made already go on.

        OSError if an event log cannot be opened; then everything is as it was.
        """
        wanted = {one.cluster: one for one in checks}
        files = {path: self._logs.open(path) for one in wanted.values() for path in one.settings.event_logs}
        used: set[str] = set()
        for cluster, health in list(self._clusters.items()):
            if wanted.get(cluster) != health.checks:
                health.stop()
                self._dirty.discard(health)
                used.update({cluster} if health.used else ())
                del self._clusters[cluster]
            if cluster not in wanted:
                self._store.check(cluster, None)
        self._stats = {
            one.stat_name: self._stats.get(one.stat_name, HealthStats()) for one in wanted.values()
        }
        for cluster, one in wanted.items():
            if cluster not in self._clusters:
                logs = [files[path] for path in one.settings.event_logs]
                events = HealthEvents(one, logs, self._clock.wall)
                health = ClusterHealth(one, self._tools, events, self._stats[one.stat_name])
                health.used = cluster in used
                self._clusters[cluster] = health
                self._store.check(cluster, health)

    def stop(self) -> None:
        """Check nothing any more."""
        for health in self._clusters.values():
            health.stop()
        self._tools.deadlines.stop()
        self._tools.schedule.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def collect(self, counters: dict[str, int], gauges: dict[str, int]) -> None:
        """Add the statistics."""
        for health in self._clusters.values():
            prefix = f"cluster.{health.checks.stat_name}.health_check."
            counters.update({prefix + name: value for name, value in health.stats.as_dict().items()})
            gauges.update({prefix + name: value for name, value in health.gauges().items()})

    # ---- from workers

    def cluster_used(self, cluster: str) -> None:
        """Some worker has sent the cluster a request."""
        health = self._clusters.get(cluster)
        if health is not None:
            health.used = True

    def told_unhealthy(self, cluster: str, address: Address) -> None:
        """A response to ordinary traffic had x-envoy-immediate-health-check-fail."""
        health = self._clusters.get(cluster)
        if health is not None:
            health.told_unhealthy(address)

    # ---- `Publish`

    def host_passed(self, cluster: str, address: Address) -> None:
        if self.on_pass is not None:
            self.on_pass(cluster, address)

    def health_changed(self, health: ClusterHealth) -> None:
        self._dirty.add(health)
        if self._timer is None:
            wait = max(0.0, self._published_at + _MERGE - self._clock.monotonic())
            self._timer = self._clock.call_later(wait, self._publish)

    def _publish(self) -> None:
        self._timer = None
        self._published_at = self._clock.monotonic()
        dirty, self._dirty = self._dirty, set()
        for health in dirty:
            changed, health.changed = health.changed, {}
            removed, health.removed = health.removed, set()
            self._store.checked(health.checks.cluster, changed, removed)

    def _probe(self, checks: ClusterChecks, endpoint: Endpoint, host: HostCheck) -> Probe:
        settings = checks.settings
        check = settings.check
        # A connection that takes too long is to be told by the check's own time limit.
        timeout, reuse = settings.timeout + _GRACE, settings.reuse_connection
        address = checked_address(endpoint)
        connector: Connects = self._connector
        if checks.sockets is not None:
            connector = BoundConnector(self._connector, checks.sockets)
        if isinstance(check, TcpCheck):
            return TcpProbe(connector, address, check, timeout, reuse, host)
        named = endpoint.check.hostname if endpoint.check is not None else ""
        where = str(endpoint.address)
        if isinstance(check, HttpCheck):
            authority = named or check.host or checks.cluster
            version = HttpVersion.HTTP2 if check.http2 else HttpVersion.HTTP11
            heads = RequestHeads(
                self._clock, check.method, check.path, authority, check.headers, where, version=version
            )
            if check.http2:
                # Not everybody needs HTTP/2, which takes its time to be imported.
                from twistproxy.discovery.health.http2_probe import Http2Probe

                return Http2Probe(connector, address, check, heads, timeout, reuse, host)
            return HttpProbe(
                self._clock, connector, address, check, heads, checks.http1, timeout, reuse, host
            )
        from twistproxy.discovery.health.grpc_probe import GrpcProbe

        authority = named or check.authority or checks.cluster
        return GrpcProbe(self._clock, connector, address, settings, authority, where, timeout, host)
