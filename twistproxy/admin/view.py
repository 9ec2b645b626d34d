"""What the admin pages ask of the process that serves them.

The master satisfies `AdminView` (`process.master_view`); tests satisfy it with a few canned values.
Everything that the configuration says arrives as plain JSON values, so nothing here knows protobuf.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from twisted.internet.defer import Deferred

    from twistproxy.admin.merge import Statistics
    from twistproxy.admin.stats_config import StatsConfig
    from twistproxy.observe.stats import Scope

#: A JSON object, as `json.loads` gives it.
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ListenerFacts:
    """One listener that is open.

    name           as configured, or the address if it has no name
    local_addresses  the bound ones in Envoy's text form, "127.0.0.1:10000" or a path
    """

    name: str
    local_addresses: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerFacts:
    """The state of the whole program at one moment.

    state                 PRE_INITIALIZING, INITIALIZING, LIVE or DRAINING
    uptime                seconds since the start; `epoch_uptime` since the last reload that was taken
    concurrency           worker slots
    memory_allocated      bytes in use by master, workers and discovery together; `memory_heap_size` those reserved
    total_connections     downstream connections open now
    initialization_ms     how long it took from the start until the listeners were open, None before
    listeners_active, clusters_active   how many of each the running configuration has
    worker_restarts, discovery_restarts   how often such a process died and was replaced
    reloads, reloads_rejected             how many new configurations were taken and refused
    bootstrap_updated     seconds since the epoch when the running configuration was taken
    unready               names of the workers that do not accept yet
    workers_started       whether all workers have opened their listeners once
    counters, gauges, histograms   what else the master counts, under its full names
    ("listener_manager.listener_added")
    """

    state: str = "LIVE"
    uptime: float = 0.0
    epoch_uptime: float = 0.0
    concurrency: int = 1
    memory_allocated: int = 0
    memory_heap_size: int = 0
    total_connections: int = 0
    initialization_ms: int | None = None
    listeners_active: int = 0
    clusters_active: int = 0
    worker_restarts: int = 0
    discovery_restarts: int = 0
    reloads: int = 0
    reloads_rejected: int = 0
    bootstrap_updated: float = 0.0
    unready: tuple[str, ...] = ()
    workers_started: bool = True
    counters: Mapping[str, int] = field(default_factory=dict)
    gauges: Mapping[str, int] = field(default_factory=dict)
    histograms: Mapping[str, Mapping[int, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DrainRequest:
    """What POST /drain_listeners asks for.

    graceful      announce the drain and close listeners only after the drain time; else close them at once
    skip_exit     with graceful: announce only, keep the listeners open
    inbound_only  only listeners whose traffic_direction is INBOUND
    """

    graceful: bool = False
    skip_exit: bool = False
    inbound_only: bool = False


class AdminView(Protocol):
    """The running server, as the admin pages see it."""

    def collect(self, scope: Scope) -> Deferred[Statistics]:
        """Ask every live worker for so much of a snapshot now; fires when all have answered (or died, or when the time
        limit passed: then a silent worker's last known snapshot stands).  The view keeps one `Statistics`,
        gives each snapshot to its `report(worker_id, snapshot)`, calls `worker_gone(worker_id)` on a
        worker's death, and fires with that object.  A worker id names one process, not a slot: it is never
        used again."""

    def explain(self, question: Json) -> Deferred[Json] | None:
        """Ask a live worker what would happen to a request (`process.explain` has the shapes of question and answer).
        Fires with {} if the worker dies meanwhile; None if there is none to ask."""

    def stats_config(self) -> StatsConfig:
        """Which statistics are shown, and how."""

    def stats_asked(self, statistics: Statistics) -> None:
        """Called with what a page of statistics is going to be made from."""

    def facts(self) -> ServerFacts: ...

    def wall(self) -> float:
        """Seconds since the epoch, for the Date header and the access log."""

    def node(self) -> Json:
        """The bootstrap's node as protobuf's JSON mapping with proto field names, options included."""

    def command_line_options(self) -> Json:
        """The options in the shape of envoy.admin.v3.CommandLineOptions; keys that do not apply are
        absent."""

    def bootstrap(self) -> Json:
        """The running configuration (a v3 Bootstrap) as protobuf's JSON mapping with proto field names."""

    def listeners(self) -> Sequence[ListenerFacts]: ...

    def log_levels(self) -> Mapping[str, str]:
        """Logger name to level ("trace" "debug" "info" "warning" "error" "critical" "off")."""

    def set_log_level(self, level: str, logger: str | None = None) -> None:
        """Set one logger's level, or all with None.  The admin has checked that logger and level exist."""

    def runtime_layers(self) -> Sequence[tuple[str, Mapping[str, str]]]:
        """Name and values, as texts by key, of each runtime layer; the last one counts."""

    def modify_runtime(self, values: Mapping[str, str]) -> str:
        """Set values in the runtime's admin layer, for all workers; an empty one takes away what was set there.
        Returns what speaks against it, "" if nothing does."""

    def set_healthy(self, healthy: bool) -> None:
        """Pass or fail the answers of health check filters, in all workers (/healthcheck/ok and /fail)."""

    def is_healthy(self) -> bool: ...

    def drain_listeners(self, request: DrainRequest) -> None: ...

    def reopen_logs(self) -> None:
        """Of all processes, after a rotation."""

    def quit(self) -> None:
        """Stop the whole program (POST /quitquitquit).  The answer has been written to the transport but may
        not have left the process: stop a moment later, so that it does."""
