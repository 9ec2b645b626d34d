"""The master as the admin pages see it: it implements `admin.view.AdminView`."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from twisted.internet.defer import Deferred

from twistproxy.admin.merge import Statistics
from twistproxy.admin.stats_config import StatsConfig
from twistproxy.admin.view import DrainRequest, Json, ListenerFacts, ServerFacts
from twistproxy.api.clock import Clock
from twistproxy.config.dump import message_to_json
from twistproxy.errors import ConfigError
from twistproxy.model.address import Address
from twistproxy.model.server_options import ServerOptions
from twistproxy.observe.stats import Scope, Snapshot
from twistproxy.process.generation import Generation
from twistproxy.process.log_levels import LOGGERS, LogLevels
from twistproxy.process.overload_manager import OverloadManager
from twistproxy.process.reload import Reloader
from twistproxy.process.runtime_layers import NoAdminLayer, RuntimeLayers
from twistproxy.process.stats_flush import StatsFlush
from twistproxy.process.supervisor import Supervisor

_PAGE = os.sysconf("SC_PAGE_SIZE")
#: Seconds until the program ends after /quitquitquit: the answer is to leave first.
_QUIT_DELAY = 0.1


class ViewedMaster(Protocol):
    """The part of the master that is shown and told."""

    clock: Clock
    options: ServerOptions
    levels: LogLevels
    supervisor: Supervisor
    reloader: Reloader
    runtime: RuntimeLayers
    overload: OverloadManager
    flush: StatsFlush
    draining: bool
    started_at: float
    live_at: float | None

    @property
    def generation(self) -> Generation: ...

    @property
    def listening_on(self) -> list[tuple[str, Address]]: ...

    def collect(self, out: Snapshot) -> None: ...

    def set_log_levels(self, levels: dict[str, str]) -> None: ...

    def drain_listeners(self, names: Collection[str], graceful: bool, keep_open: bool) -> None: ...

    def reopen_logs(self) -> None: ...

    def quit_after(self, seconds: float) -> None: ...


class MasterView:
    """See `AdminView` for what each method says."""

    def __init__(self, master: ViewedMaster) -> None:
        self._master = master

    def collect(self, scope: Scope) -> Deferred[Statistics]:
        return self._master.supervisor.collect(scope)

    def explain(self, question: Json) -> Deferred[Json] | None:
        return self._master.supervisor.explain(question)

    def stats_config(self) -> StatsConfig:
        return self._master.flush.config

    def stats_asked(self, statistics: Statistics) -> None:
        self._master.flush.asked(statistics)

    def facts(self) -> ServerFacts:
        master = self._master
        supervisor = master.supervisor
        now = master.clock.monotonic()
        bootstrap = master.generation.configuration.bootstrap
        live_at = master.live_at
        children = [keeper.child for keeper in supervisor.keepers() if keeper.child is not None]
        counted = Snapshot("figures")
        master.collect(counted)
        memory, reserved = _memory([os.getpid(), supervisor.template.pid, *(c.pid for c in children)])
        return ServerFacts(
            state=self._state(),
            uptime=now - master.started_at,
            epoch_uptime=master.clock.wall() - master.generation.taken,
            concurrency=master.options.concurrency,
            memory_allocated=memory,
            memory_heap_size=reserved,
            total_connections=sum(child.snapshot.get("connections", 0) for child in children),
            initialization_ms=None if live_at is None else round((live_at - master.started_at) * 1000),
            listeners_active=len(master.generation.sockets),
            clusters_active=len(bootstrap.clusters),
            worker_restarts=sum(slot.restarts for slot in supervisor.slots),
            discovery_restarts=supervisor.discovery.restarts,
            reloads=master.reloader.succeeded,
            reloads_rejected=master.reloader.refused,
            bootstrap_updated=master.generation.taken,
            unready=tuple(slot.name for slot in supervisor.slots if not slot.ready),
            workers_started=live_at is not None,
            counters={
                "server.template_restarts": supervisor.template.restarts,
                "server.static_unknown_fields": len(master.generation.configuration.warnings),
                **master.runtime.counters,
                **master.overload.counters,
                **counted.counters,
            },
            gauges={**master.runtime.gauges, **master.overload.gauges, **counted.gauges},
            histograms={
                **{
                    name: {int(value): count for value, count in counts.items()}
                    for name, counts in counted.histograms.items()
                },
                **master.overload.histograms,
            },
        )

    def _state(self) -> str:
        """A program none of whose workers is up is not live, whatever it was before."""
        master = self._master
        if master.draining:
            return "DRAINING"
        if master.supervisor.template.pid == 0 and master.live_at is None:
            return "PRE_INITIALIZING"
        if master.live_at is None or not any(slot.ready for slot in master.supervisor.slots):
            return "INITIALIZING"
        return "LIVE"

    def wall(self) -> float:
        return self._master.clock.wall()

    def node(self) -> Json:
        options = self._master.options
        node: Json = dict(self.bootstrap().get("node", {}))
        if options.service_node:
            node["id"] = options.service_node
        if options.service_cluster:
            node["cluster"] = options.service_cluster
        if options.service_zone:
            node["locality"] = {**node.get("locality", {}), "zone": options.service_zone}
        return node

    def command_line_options(self) -> Json:
        options = self._master.options
        return {
            "concurrency": options.concurrency,
            "config_path": options.config_path,
            "config_yaml": options.config_yaml,
            "log_level": options.log_level,
            "mode": "Serve",
            "drain_time": f"{options.drain_time:g}s",
            "service_node": options.service_node,
            "service_cluster": options.service_cluster,
            "service_zone": options.service_zone,
        }

    def bootstrap(self) -> Json:
        return message_to_json(self._master.generation.configuration.document.message)

    def listeners(self) -> list[ListenerFacts]:
        addresses: dict[str, tuple[str, ...]] = {}
        for name, address in self._master.listening_on:
            addresses[name] = (*addresses.get(name, ()), str(address))
        return [ListenerFacts(name, found) for name, found in addresses.items()]

    def log_levels(self) -> dict[str, str]:
        return self._master.levels.as_dict()

    def set_log_level(self, level: str, logger: str | None = None) -> None:
        self._master.set_log_levels(dict.fromkeys(LOGGERS if logger is None else (logger,), level))

    def runtime_layers(self) -> list[tuple[str, dict[str, str]]]:
        layers = self._master.runtime.layers
        return [(one.name, {key: value.text for key, value in one.values.items()}) for one in layers]

    def modify_runtime(self, values: Mapping[str, str]) -> str:
        try:
            self._master.runtime.modify(values)
        except NoAdminLayer:
            return "No admin layer specified"
        except ConfigError as e:
            return str(e)
        return ""

    def set_healthy(self, healthy: bool) -> None:
        self._master.supervisor.set_healthy(healthy)

    def is_healthy(self) -> bool:
        return self._master.supervisor.healthy

    def drain_listeners(self, request: DrainRequest) -> None:
        listeners = self._master.generation.configuration.bootstrap.listeners
        names = {listener.name for listener in listeners}
        if request.inbound_only:
            raw = self.bootstrap().get("static_resources", {}).get("listeners", [])
            directions = [one.get("traffic_direction") for one in raw]
            names = {one.name for one, way in zip(listeners, directions) if way == "INBOUND"}
        self._master.drain_listeners(names, request.graceful, request.skip_exit)

    def reopen_logs(self) -> None:
        self._master.reopen_logs()

    def quit(self) -> None:
        self._master.quit_after(_QUIT_DELAY)


def _memory(pids: Iterable[int]) -> tuple[int, int]:
    """Bytes in use and bytes reserved by these processes together (proc(5), statm).

    What they share is counted in each: an upper bound that costs one small read a process.
    """
    resident = reserved = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/statm") as file:
                size, used = file.read().split()[:2]
        except OSError:
            continue
        reserved += int(size) * _PAGE
        resident += int(used) * _PAGE
    return resident, reserved
