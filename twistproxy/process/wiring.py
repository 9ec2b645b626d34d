"""The data plane of one worker, put together from a configuration.

Reads in the order of the path: listener → filter chain → connection manager → HTTP filters → route table →
clusters. Pure: clock, connector and log files are passed in, so tests build the whole graph on fakes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from random import Random
from typing import Any

from twistproxy.api.access_log import AccessLog, LogFiles
from twistproxy.api.clock import Clock
from twistproxy.api.transport import ConnectionFactory, Connector
from twistproxy.filters.attempt_logs import UpstreamLogs
from twistproxy.filters.header_mutation import request_steps
from twistproxy.filters.router import RouterFilter
from twistproxy.filters.set_filter_state import StateRules
from twistproxy.filters.tools import FilterTools
from twistproxy.filters.variants import make_chain, make_own_chain
from twistproxy.http.known_headers import SINGLE_REQUEST, SINGLE_RESPONSE
from twistproxy.model.access_log import AccessLogSettings
from twistproxy.model.address import Address, OriginalDestination, TcpAddress
from twistproxy.model.bootstrap import Bootstrap
from twistproxy.model.endpoint import EndpointNews
from twistproxy.model.header_rules import HeaderRules
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.model.listener import ListenerSettings
from twistproxy.model.server_options import ServerOptions
from twistproxy.network.http_connection_manager import HttpConnectionManager
from twistproxy.observe.access_log import Clocks, compile_log_format
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.observe.request_id import RequestIds
from twistproxy.observe.route_stats import RouteStatsRegistry
from twistproxy.observe.stats import Scope, Snapshot
from twistproxy.primitives.board import WorkerBoard
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.runtime import Plain, RuntimeValues
from twistproxy.process.explain import Question, explain
from twistproxy.process.explain_cluster import explain_live_cluster
from twistproxy.process.guards import Guards
from twistproxy.process.local_replies import build_local_replies
from twistproxy.process.reasons import Reasons
from twistproxy.process.running_listener import RunningListener
from twistproxy.process.trial import ManagerParts, TrialParts
from twistproxy.route.header_rules import HeaderEdits, compile_edits
from twistproxy.route.table import RouteTable
from twistproxy.stream.route_lookups import counting
from twistproxy.upstream.choosers.make import Say
from twistproxy.upstream.cluster_manager import ClusterManager


class Runtime:
    """Everything that a worker does with traffic.

    `apply` may be called again at any time: what is equal stays, what differs is built anew and takes the new
    requests, and the old finishes what it has.
    """

    def __init__(
        self,
        clock: Clock,
        connector: Connector,
        log_files: LogFiles,
        options: ServerOptions,
        board: WorkerBoard | None = None,
    ) -> None:
        self._clock = clock
        self._clocks = Clocks(clock.wall, clock.monotonic)
        self._log_files = log_files
        self._local_address = options.local_address
        self._random = Random()
        #: what the runtime says at the moment; everything that may ask is given this object
        self._values = RuntimeValues()
        self._ids = RequestIds(self._random)
        self._deadlines = Deadlines(clock.monotonic, clock.call_later)
        board = board or WorkerBoard()
        self._clusters = ClusterManager(clock, connector, self._deadlines, self._random, self._values, board)
        self._guards = Guards(clock, self._values, self._random, board, self._every_listener)
        self._drain_time = options.drain_time
        self._listeners: dict[str, RunningListener] = {}
        self._by_address: dict[Address, RunningListener] = {}
        self._retired: list[RunningListener] = []  # no longer configured, but with connections that finish
        self._manager_stats: dict[str, HttpManagerStats] = {}
        self._route_stats = RouteStatsRegistry()
        self._draining = False
        self._healthy = True
        self._added = self._modified = self._removed = 0

    # ---- configuration

    def apply(self, bootstrap: Bootstrap) -> None:
        """OSError if a log cannot be opened; then everything is as it was."""
        self._open_logs(bootstrap.listeners)
        self._clusters.apply(bootstrap.clusters, bootstrap.local_cluster, bootstrap.node.locality)
        guarded_anew = self._guards.use(bootstrap)
        listeners: dict[str, RunningListener] = {}
        for settings in bootstrap.listeners:
            listener = self._listeners.get(settings.name) or RunningListener(self._restored)
            if listener.settings is None:
                self._added += 1
            elif listener.settings != settings:
                self._modified += 1
            self._build(listener, settings, guarded_anew)
            listeners[settings.name] = listener
        for name, old in self._listeners.items():
            if name not in listeners:
                self._removed += 1
                old.drain()
                self._end_later(old.manager)
                self._retired.append(old)
        for listener in listeners.values():
            listener.manager.metered = self._clocks.metered
            pick = listener.table.pick
            listener.manager.pick_route = (
                counting(pick, self._clock.monotonic) if self._clocks.routed else pick
            )
            listener.manager.reasons = Reasons(listener, lambda name: self._clusters.get(name))
        self._listeners = listeners
        self._by_address = {
            address: listener
            for listener in listeners.values()
            if listener.settings
            for address in listener.settings.addresses()
        }
        self._retired = [listener for listener in self._retired if listener.active()[0]]
        self._guards.built(bootstrap, listeners)

    def _build(self, listener: RunningListener, settings: ListenerSettings, anew: bool) -> None:
        """`anew`: even if nothing of the listener's has changed."""
        old = listener.settings
        if old == settings and not anew:
            return
        new_manager = settings.filter_chain.http_manager
        table = self._route_table(new_manager)
        same_limit = old is not None and old.buffer_limit == settings.buffer_limit
        if (
            not anew
            and same_limit
            and listener.manager.settings.without_routes() == new_manager.without_routes()
        ):
            listener.manager.use_routes(new_manager, table.pick)
        else:
            if old is not None:
                self._end_later(listener.manager)
            draining = self._draining or not self._healthy
            listener.use(self._manager(settings, table), draining)
        listener.settings = settings
        listener.hands_off = settings.use_original_dst
        listener.use_proxy_headers(settings.proxy_header, self._clock)
        listener.table = table

    def _end_later(self, manager: HttpConnectionManager) -> None:
        """Connections of a manager that is replaced have the drain time, as Envoy gives them."""
        if manager.connections:
            self._clock.call_later(self._drain_time, manager.abort_all)

    def _every_listener(self) -> list[RunningListener]:
        return [*self._listeners.values(), *self._retired]

    def _manager(self, listener: ListenerSettings, table: RouteTable) -> HttpConnectionManager:
        settings = listener.filter_chain.http_manager
        parts = ManagerParts(
            self._manager_stats.setdefault(settings.stat_prefix, HttpManagerStats()),
            lambda name: self._clusters.get(name),
            table.pick,
            tuple(self._access_log(log) for log in settings.access_logs),
            self._clock,
            self._deadlines,
            self._guards.parts(listener, settings.stat_prefix),
            self._upstream_logs(settings),
        )
        manager = self._manager_of(settings, parts, listener.buffer_limit)
        manager.connection_logs = tuple(self._access_log(log) for log in settings.connection_logs)
        return manager

    def _manager_of(
        self, settings: HttpManagerSettings, parts: ManagerParts, buffer_limit: int | None = None
    ) -> HttpConnectionManager:
        guards = self._guards
        router = RouterFilter(
            parts.get_cluster, parts.stats, settings, parts.clock.wall, buffer_limit, parts.upstream_logs
        )
        tools = self._filter_tools(parts)
        guarded = guards.guarded_router(router, parts.guards, parts.stats)
        chain = make_chain(settings.filters, guarded, tools)
        manager = guards.manager_class(
            settings,
            parts.stats,
            chain,
            parts.pick_route,
            parts.access_logs,
            parts.clock,
            parts.deadlines,
            self._ids,
            self._random,
            self._local_address,
            self._values,
            buffer_limit,
            build_local_replies(settings.local_replies, self._clocks),
            request_steps(settings.early_mutations, tools),
            {
                one.kind: make_own_chain(one.filters, guarded, tools)
                for one in settings.upgrades
                if one.filters is not None
            },
        )
        if settings.connection_state:
            manager.connection_rules = StateRules(settings.connection_state, tools.compile_format)
        return guards.guard(manager, parts.guards)

    def _filter_tools(self, parts: ManagerParts) -> FilterTools:
        def edits(single: frozenset[bytes], rules: Iterable[HeaderRules]) -> HeaderEdits | None:
            return compile_edits([(one, None) for one in rules], self._clocks, single)

        return FilterTools(
            parts.stats.filters,
            parts.stats.filter_gauges,
            self._values,
            parts.clock,
            lambda: self._healthy,
            parts.get_cluster,
            partial(edits, SINGLE_REQUEST),
            partial(edits, SINGLE_RESPONSE),
            lambda form: compile_log_format(form, self._clocks),
            parts.guards.gradient,
            parts.guards.window,
        )

    def _route_table(self, settings: HttpManagerSettings) -> RouteTable:
        return RouteTable(settings.routes, self._clocks, self._route_stats)

    def _open_logs(self, listeners: Iterable[ListenerSettings]) -> None:
        """All that can fail of what is outside, before anything else is done."""
        for listener in listeners:
            manager = listener.filter_chain.http_manager
            for log in (*manager.access_logs, *manager.connection_logs, *manager.upstream_logs):
                self._log_files.open(log.path)

    def _access_log(self, settings: AccessLogSettings) -> AccessLog:
        write = self._log_files.open(settings.path).write
        render = compile_log_format(settings.format, self._clocks)
        if settings.filter is None:
            return lambda stream: write(render(stream).encode("utf-8", "surrogateescape"))
        passes = settings.filter.passes

        def log(stream: Any) -> None:
            if passes(stream):
                write(render(stream).encode("utf-8", "surrogateescape"))

        return log

    def _upstream_logs(self, settings: HttpManagerSettings) -> UpstreamLogs | None:
        logs = tuple(self._access_log(log) for log in settings.upstream_logs)
        return UpstreamLogs(logs, settings.upstream_log_options) if logs else None

    # ---- from the worker

    def accept(self, listener_name: str) -> ConnectionFactory:
        """Stable across reloads: connections go to what the listener is when they come."""
        return self._listeners[listener_name].accept

    def expects_redirected(self, listener_name: str) -> bool:
        """Whether its connections may have been going elsewhere before the firewall redirected them."""
        settings = self._listeners[listener_name].settings
        return settings is not None and settings.original_dst

    def bypasses_overload(self, listener_name: str) -> bool:
        settings = self._listeners[listener_name].settings
        return settings is not None and settings.bypasses_overload

    def _restored(self, destination: OriginalDestination) -> RunningListener | None:
        """The listener of the address that a connection was going to, which need not be bound."""
        for host in (destination.host, "::" if ":" in destination.host else "0.0.0.0"):
            found = self._by_address.get(TcpAddress(host, destination.port))
            if found is not None:
                return found
        return None

    def set_runtime(self, values: Mapping[str, Plain]) -> None:
        """The merged values of all runtime layers, from now on."""
        self._values.replace(values)
        self._clusters.runtime_changed()
        self._guards.set_gates(self._listeners)

    def set_overload(self, values: Mapping[str, float]) -> None:
        """What the overload manager says, from now on."""
        self._guards.set_overload(values)

    def update_endpoints(self, news: EndpointNews) -> None:
        self._clusters.update_endpoints(news)

    def use_discovery(self, say: Say) -> None:
        """There is a discovery process, perhaps another one than before; `say` tells it something."""
        self._clusters.use_discovery(say)

    def discovered_clusters(self) -> frozenset[str]:
        return self._clusters.discovered()

    def drain(self) -> None:
        """From now on every answer asks its client to close."""
        self._draining = True
        for listener in self._every_listener():
            listener.drain()

    def set_healthy(self, healthy: bool) -> None:
        """Admin's healthcheck/fail drains connections as Envoy does; new ones get the same until it is ok
        again."""
        if healthy != self._healthy:
            self._healthy = healthy
            for listener in self._listeners.values():
                if healthy and not self._draining:
                    listener.undrain()
                else:
                    listener.drain()

    def active_connections(self) -> int:
        return sum(listener.active()[0] for listener in self._every_listener())

    def active_requests(self) -> int:
        return sum(listener.active()[1] for listener in self._every_listener())

    def close_idle(self) -> None:
        for listener in self._every_listener():
            for manager in listener.managers():
                manager.close_idle()

    def abort_all(self) -> None:
        for listener in self._every_listener():
            for manager in listener.managers():
                manager.abort_all()

    def explain(self, question: dict[str, Any]) -> dict[str, Any]:
        """What would happen to a request (`process.explain`), or how a cluster is (`process.explain_cluster`)."""
        name = question.get("cluster")
        if name is not None:
            cluster = self._clusters.get(name)
            if cluster is not None:
                return explain_live_cluster(cluster)
            return {"error": f"no cluster is called {name!r}; there are: {', '.join(self._clusters.names())}"}
        asked = Question.from_json(question)
        listener = (
            self._listeners.get(asked.listener)
            if asked.listener
            else next(iter(self._listeners.values()), None)
        )
        if listener is None or listener.settings is None:
            names = ", ".join(self._listeners)
            return {
                "error": f"no listener is called {asked.listener!r}; there are: {names}"
                if names
                else "no listener"
            }
        parts = TrialParts(
            self._manager_of,
            lambda name: self._clusters.get(name),
            self._clock,
            self._random,
            self._guards.trial_parts(listener.settings.name),
        )
        self._route_stats.paused = True
        try:
            return explain(asked, listener.settings, listener.table, parts)
        finally:
            self._route_stats.paused = False

    def snapshot(self, scope: Scope = "hosts", worker: int = 0) -> dict[str, Any]:
        out = Snapshot(scope, worker)
        for prefix, stats in self._manager_stats.items():
            stats.collect(f"http.{prefix}.", out)
        for listener in self._listeners.values():
            listener.collect(out)
        for listener in self._retired:
            listener.collect_connections(out)
        self._clusters.collect(out)
        self._guards.collect(out)
        self._route_stats.collect(out)
        prefix = "listener_manager."
        out.counters[prefix + "listener_added"] = self._added
        out.counters[prefix + "listener_modified"] = self._modified
        out.counters[prefix + "listener_removed"] = self._removed
        out.counters[prefix + "listener_in_place_updated"] = 0
        out.counters[prefix + "listener_stopped"] = 0
        out.counters[prefix + "listener_create_success"] = self._added + self._modified
        return out.as_dict()
