"""A cluster at run time: hosts, limits, pools, and a chooser of hosts."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from twistproxy.api.clock import Clock
from twistproxy.api.filter_state import Shared
from twistproxy.api.transport import Connector
from twistproxy.model.address import Address, address_value
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint, EndpointChanges, insert
from twistproxy.model.health import DEGRADED_OUTLIER_DETECTION, FAILED_OUTLIER_CHECK
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.board import WorkerBoard
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.upstream.choosers.base import HostsUpdate
from twistproxy.upstream.choosers.context import LoadBalancerContext
from twistproxy.upstream.choosers.make import Say, make_chooser
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.cluster_counts import ClusterCounts
from twistproxy.upstream.cluster_figures import Figures, collect_pools, describe
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.zone_aware import LocalCluster
from twistproxy.upstream.outlier import OutlierRules
from twistproxy.upstream.pool.http import HttpPool
from twistproxy.upstream.pool.pools import Pools
from twistproxy.upstream.pool.special import Downstream


class Cluster:
    """A named set of equivalent hosts.

    `choose(context)` chooses a host for a request; where the cluster does not look at requests (not `contextual`),
    `pick()` does as well.  `pool(host, high_priority)` gives a host's connections.  `set_endpoints` replaces the hosts,
    `change_endpoints` some of them: those that stay keep their connections and counts, the others drain.
    `warm` is False until endpoints are known for the first time.  `counts`: those to go on with, if not from zero.
    `local`: the cluster that the proxy belongs to, for zone aware routing.
    `say` tells the discovery process something; not needed where nothing is to be told.  `get` finds the clusters of an
    aggregate one.
    """

    def __init__(
        self,
        settings: ClusterSettings,
        clock: Clock,
        connector: Connector,
        timeouts: Deadlines,
        random: Random,
        counts: ClusterCounts | None = None,
        local: LocalCluster | None = None,
        say: Say | None = None,
        get: Callable[[str], Cluster | None] | None = None,
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.max_stream_duration = settings.max_stream_duration
        self.retry = settings.retry
        # Whether a request may need more than one attempt within the route's timeout.
        self.special = bool(settings.max_stream_duration or settings.retry or settings.aggregate)
        if counts is None:
            counts = ClusterCounts(settings)
        else:
            counts.use(settings)
        self.counts = counts
        self.stats = counts.stats
        self.limits = counts.limits
        #: whether discovery may check its hosts, and want to hear of them
        self.checked = settings.health_checks is not None or bool(settings.aggregate)
        self._say = say
        self._reported = False
        self.hosts: dict[Address, Host] = {}
        #: those with pools: of the others there is nothing to count
        self.used: dict[Host, None] = {}
        #: what statistics say of the hosts (`upstream.cluster_figures`), until they change
        self.figures: Figures | None = None
        self.changes = 0  # of the hosts, and of how requests are shared by them
        self.warm = settings.source is None
        #: per cent of the requests that are refused (runtime key upstream.maintenance_mode.<name>)
        self.maintenance = 0
        self._params = LoadBalancerParams(settings.balancing, self.stats, random, clock.monotonic)
        self._params.policy = settings.policy
        #: what discovery says of all endpoints, in place of the configuration
        self.said_policy: AssignmentPolicy | None = None
        self._params.local = local
        self.chooser = make_chooser(settings, self._params, clock, say, get)
        self.contextual = self.chooser.contextual
        self.pick: Callable[[], Host | None] = self.chooser.picking()
        self._outlier: OutlierRules | None = None
        self._board: WorkerBoard | None = None
        self._pools = Pools(settings, counts, clock, connector, timeouts, self._use, self.chooser.peek)
        if settings.source is None:
            self.set_endpoints(settings.endpoints)

    def watch(self, board: WorkerBoard) -> None:
        """Count what becomes of requests together with other workers, if there is to be need of it; before there are
        endpoints."""
        if self.settings.counts_hosts_together and board.several:
            self._board = board
        if self.settings.balancing.compares_load and board.several:
            self._params.active = self._active_requests
        if self.settings.outlier is not None:
            self._outlier = OutlierRules(self.name, self.settings.outlier, board)

    def _active_requests(self) -> int:
        """Of all workers."""
        default, high = self.limits
        return default.in_use()[2] + high.in_use()[2]

    def set_endpoints(self, endpoints: tuple[Endpoint, ...], policy: AssignmentPolicy | None = None) -> None:
        """These are all endpoints.  `policy`: what is said of all of them, if that is not up to the configuration."""
        self.warm = True
        self.said_policy = policy
        policy = policy or self.settings.policy
        other_policy = policy != self._params.policy
        self._params.policy = policy
        old = self.hosts
        hosts: dict[Address, Host] = {}
        added: list[Host] = []
        changed: list[Host] = []
        moved: set[int] = set()
        for endpoint in endpoints:
            address = endpoint.address
            if address in hosts:
                continue  # it is there twice: the first counts
            host = old.get(address)
            if host is None:
                host = self._host(endpoint)
                added.append(host)
            elif host.endpoint is not endpoint and host.endpoint != endpoint:
                host.follow(endpoint, moved)
                changed.append(host)
            hosts[address] = host
        removed = [host for address, host in old.items() if address not in hosts]
        if old and not (added or changed or removed or other_policy) and list(old) == list(hosts):
            return
        self.hosts = hosts
        self._changed(HostsUpdate(hosts.values(), added, removed, changed), moved)

    def change_endpoints(self, changes: EndpointChanges) -> None:
        """This has become of the endpoints.  Costs, apart from what the chooser makes of it, nothing for those that
        stay as they are."""
        hosts = self.hosts
        taken = {
            address: host for address in changes.removed if (host := hosts.pop(address, None)) is not None
        }
        added: list[Host] = []
        changed: list[Host] = []
        moved: set[int] = set()
        for endpoint in changes.changed:
            host = hosts.get(endpoint.address)
            if host is None:
                host = hosts[endpoint.address] = self._host(endpoint)
                added.append(host)
            else:
                host.follow(endpoint, moved)
                changed.append(host)
        new: list[tuple[int, Address, Host]] = []
        for place, endpoint in changes.added:
            host = taken.pop(endpoint.address, None)
            if host is None:
                host = self._host(endpoint)
                added.append(host)
            else:  # it only stands elsewhere
                host.follow(endpoint, moved)
                changed.append(host)
            new.append((place, endpoint.address, host))
        insert(hosts, new)
        self._changed(HostsUpdate(hosts.values(), added, list(taken.values()), changed), moved)

    def _changed(self, update: HostsUpdate, moved: set[int]) -> None:
        """`moved`: priorities that hosts have left for others, and those others."""
        for host in update.added:
            moved.add(host.endpoint.priority)
        for host in update.removed:
            moved.add(host.endpoint.priority)
        # Envoy counts each priority that changes.
        self.stats.membership_change += len(moved)
        self.figures = None
        if self._outlier is not None:
            for host in update.added:
                self._watch_host(self._outlier, host)
            for host in update.changed:
                self._watch_host(self._outlier, host)
        if self._board is not None:
            for hosts in (update.added, update.changed):
                for host in hosts:
                    host.share_load(self._board.line(host.endpoint.row))
        self.chooser.update(update)
        self.pick = self.chooser.picking()
        self.changes += 1
        for host in update.removed:
            host.outlier = None
            self.used.pop(host, None)
            host.share_load(None)
            host.drain()
        if self.settings.close_on_change and (update.added or update.removed):
            for host in self.hosts.values():
                host.forget_pools()

    def _watch_host(self, rules: OutlierRules, host: Host) -> None:
        """A host is new, or something new is said of it."""
        row = host.endpoint.row
        if host.outlier is None or host.outlier.row != row:
            host.outlier = rules.counts(row)
        if host.outlier is not None:
            host.outlier.ejected = bool(host.flags & FAILED_OUTLIER_CHECK)
            host.outlier.degraded = bool(host.flags & DEGRADED_OUTLIER_DETECTION)

    def _host(self, endpoint: Endpoint) -> Host:
        host = self.chooser.adopt(endpoint)
        if host is None:
            host = Host(endpoint)
        else:
            self.used[host] = None
        host.cluster = self
        return host

    def of(self, host: Host) -> Cluster:
        """The cluster whose host it is: itself, or a member of it."""
        found: Cluster | None = host.cluster
        return self if found is None else found

    def choose(self, context: LoadBalancerContext) -> Host | None:
        """For a request of which something is known."""
        return self.chooser.choose(context)

    def pool(
        self,
        host: Host,
        high_priority: bool,
        downstream: Downstream | None = None,
        shared: Shared | None = None,
    ) -> HttpPool | None:
        """None where the circuit breaker of pools is open.

        downstream  the client's connection that the request came on
        shared      what the upstream connection is to know of the request's filter state, None for nothing
        """
        pool: HttpPool | None = host.pools[high_priority]
        if pool is None or shared is not None:
            return self._pool(host, int(high_priority), downstream, shared)
        return pool

    def tcp_pool(
        self,
        host: Host,
        high_priority: bool,
        downstream: Downstream | None = None,
        shared: Shared | None = None,
    ) -> HttpPool | None:
        """Connections for tunnels that begin here, the rest as for `pool`."""
        pool: HttpPool | None = host.pools[2 + high_priority]
        if pool is None or shared is not None:
            return self._pool(host, 2 + high_priority, downstream, shared)
        return pool

    def _pool(
        self, host: Host, at: int, downstream: Downstream | None, shared: Shared | None
    ) -> HttpPool | None:
        """One that is made now, or that is not for everybody.  `at`: its place (`Host.pools`)."""
        owner = self.of(host)
        return owner._pools.get(host, at, downstream, shared)

    def _use(self, host: Host) -> None:
        if not self._reported:
            self._reported = True
            self._report_use()
        if self.hosts.get(host.address) is host:
            self.used[host] = None

    def _report_use(self) -> None:
        """There is traffic: health checks come more often from now on."""
        if self.checked and self._say is not None:
            self._say("traffic", {"cluster": self.name})

    def discovery_there(self) -> None:
        """There is a discovery process, perhaps another one than before."""
        if self._reported:
            self._report_use()

    def told_unhealthy(self, host: Host) -> None:
        """A response of the host asks for an end to its traffic (x-envoy-immediate-health-check-fail)."""
        owner = self.of(host)
        if owner is not self:
            owner.told_unhealthy(host)
        elif self.checked and self._say is not None:
            self._say("unhealthy", {"cluster": self.name, "address": address_value(host.address)})

    def charge(self, status: int, host: Host | None) -> None:
        """Count a response, or the one that we gave in its place; `host`: whose it was, if anybody's."""
        stats = self.stats
        stats.upstream_rq_completed += 1
        statuses = stats.statuses
        statuses[status] = statuses.get(status, 0) + 1
        if host is not None:
            if status >= 500:
                host.stats.rq_error += 1
            else:
                host.stats.rq_success += 1

    def drain(self) -> None:
        """The cluster is gone from the configuration; what is in flight finishes."""
        self.chooser.drain()
        for host in self.hosts.values():
            host.outlier = None  # whoever has its row from now on counts there
            host.share_load(None)
            host.drain()

    def use_runtime(self, runtime: RuntimeValues) -> None:
        """Take what the runtime says about circuit breakers, balancing and maintenance."""
        settings = self.settings
        if self._outlier is not None:
            self._outlier.use_runtime(runtime)
        for limits, thresholds, priority in zip(
            self.limits, (settings.default_thresholds, settings.high_thresholds), ("default", "high")
        ):
            limits.use_runtime(thresholds, runtime, f"circuit_breakers.{self.name}.{priority}.")
        self.maintenance = runtime.get_integer(f"upstream.maintenance_mode.{self.name}", 0)
        if self._params.use_runtime(runtime):
            self.rebalance()

    def use_local_cluster(self, local: LocalCluster | None) -> None:
        """Other hosts, or none, are known of the cluster that the proxy belongs to."""
        self._params.local = local
        self.rebalance()

    @property
    def policy(self) -> AssignmentPolicy:
        return self._params.policy

    @property
    def has_local_cluster(self) -> bool:
        return self._params.local is not None

    def rebalance(self) -> None:
        """Requests are to be spread anew over the same hosts."""
        self.chooser.rebuild()
        self.pick = self.chooser.picking()
        self.changes += 1

    @property
    def panic_threshold(self) -> int:
        """Per cent of usable hosts below which a priority is in a panic."""
        return self._params.panic_threshold

    def membership(self) -> tuple[int, int]:
        """(all hosts, those that are healthy or degraded)."""
        hosts = self.hosts.values()
        return len(hosts), sum(host.healthy or host.degraded for host in hosts)

    def collect(self, out: Snapshot) -> None:
        """Costs nothing for hosts that were never used, but where all are asked for."""
        prefix = f"cluster.{self.settings.stat_name or self.name}."
        self.stats.collect(prefix, out)
        self.chooser.collect(prefix, out)
        if out.sparse and not self.used:
            return
        pools = collect_pools(prefix, self.used, out)
        if self.figures is None:
            self.figures = Figures(self.hosts.values())
        self.figures.collect(prefix, self.settings.source, out)
        out.gauges[prefix + "version"] = 0
        out.gauges[prefix + "warming_state"] = int(not self.warm)
        if self.settings.proxy_protocol is not None:
            # What would exceed it is refused.
            out.counters[prefix + "upstream.proxyprotocol.v2_tlvs_exceed_max_length"] = 0
        for priority, name in enumerate(("default", "high")):
            self.limits[priority].collect(f"{prefix}circuit_breakers.{name}.", out, pools[priority])
        hosts = self.hosts.values() if out.scope == "hosts" else self.used
        out.hosts[self.name] = [host.describe() for host in hosts]
        out.clusters[self.name] = describe(self.settings, self.limits)
