"""The overload manager as configured (envoy.config.overload.v3), and the names of what it does."""

from __future__ import annotations

from dataclasses import dataclass

STOP_REQUESTS = "envoy.overload_actions.stop_accepting_requests"
DISABLE_KEEPALIVE = "envoy.overload_actions.disable_http_keepalive"
STOP_CONNECTIONS = "envoy.overload_actions.stop_accepting_connections"
REJECT_CONNECTIONS = "envoy.overload_actions.reject_incoming_connections"
SHRINK_HEAP = "envoy.overload_actions.shrink_heap"
REDUCE_TIMEOUTS = "envoy.overload_actions.reduce_timeouts"

SHED_ACCEPT = "envoy.load_shed_points.tcp_listener_accept"
SHED_HEADERS = "envoy.load_shed_points.http_connection_manager_decode_headers"
SHED_DISPATCH = "envoy.load_shed_points.http1_server_abort_dispatch"
SHED_CODEC = "envoy.load_shed_points.hcm_ondata_creating_codec"
SHED_ROUTER = "envoy.load_shed_points.http_downstream_filter_check"

#: The monitor that is asked for each connection, in place of being read from time to time.
GLOBAL_CONNECTIONS = "envoy.resource_monitors.global_downstream_max_connections"

#: The row of the board where connections are counted whatever their listener, and the cell there of those that this
#: monitor limits.
GLOBAL_ROW, LIMITED = "connections\0", 0


def listener_row(name: str) -> str:
    """The row of the board where a listener's connections are counted."""
    return f"connections\0{name}"


@dataclass(frozen=True, slots=True)
class HeapMonitor:
    """envoy.extensions.resource_monitors.fixed_heap.v3: bytes of all processes together."""

    max_bytes: int


@dataclass(frozen=True, slots=True)
class FileMonitor:
    """envoy.extensions.resource_monitors.injected_resource.v3: a file with a number from 0 to 1."""

    path: str


@dataclass(frozen=True, slots=True)
class CpuMonitor:
    """envoy.extensions.resource_monitors.cpu_utilization.v3: of the machine, or of the container."""

    container: bool = False


@dataclass(frozen=True, slots=True)
class CgroupMonitor:
    """envoy.extensions.resource_monitors.cgroup_memory.v3.  `max_bytes` 0: the control group's limit alone counts."""

    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ConnectionsMonitor:
    """envoy.extensions.resource_monitors.downstream_connections.v3"""

    max_connections: int


Monitor = HeapMonitor | FileMonitor | CpuMonitor | CgroupMonitor | ConnectionsMonitor


@dataclass(frozen=True, slots=True)
class Trigger:
    """An action is on from a pressure of `saturated`, and partly from `scaling`.

    scaling  equal to `saturated`: it is on or off, nothing between
    """

    resource: str
    scaling: float
    saturated: float
    scaled: bool = False


@dataclass(frozen=True, slots=True)
class Triggered:
    """An action or a load shed point: what the most of its triggers says."""

    name: str
    triggers: tuple[Trigger, ...]


@dataclass(frozen=True, slots=True)
class ScaledTimer:
    """How short a time limit becomes at most: to so many seconds, or to this share of itself."""

    seconds: float | None = None
    share: float = 0.0

    def least(self, whole: float) -> float:
        """Of a limit of `whole` seconds."""
        return min(whole, whole * self.share if self.seconds is None else self.seconds)


@dataclass(frozen=True, slots=True)
class ReducedTimeouts:
    """envoy.config.overload.v3.ScaleTimersOverloadActionConfig; None: stays."""

    connection_idle: ScaledTimer | None = None
    connection_max: ScaledTimer | None = None
    stream_idle: ScaledTimer | None = None


@dataclass(frozen=True, slots=True)
class OverloadSettings:
    """envoy.config.overload.v3.OverloadManager.  `refresh_interval` in seconds; monitors by their names."""

    monitors: tuple[tuple[str, Monitor], ...]
    actions: tuple[Triggered, ...] = ()
    points: tuple[Triggered, ...] = ()
    timeouts: ReducedTimeouts = ReducedTimeouts()
    refresh_interval: float = 1.0

    def has(self, name: str) -> bool:
        """Whether an action or a load shed point is configured."""
        return any(one.name == name for one in (*self.actions, *self.points))

    @property
    def max_connections(self) -> int | None:
        """The limit of all downstream connections together, None for none."""
        for _, monitor in self.monitors:
            if isinstance(monitor, ConnectionsMonitor):
                return monitor.max_connections
        return None
