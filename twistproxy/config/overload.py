"""envoy.config.overload.v3 to `model.overload`."""

from __future__ import annotations

from collections.abc import Callable, Collection

from twistproxy.config.fields import Reader
from twistproxy.model.overload import (
    DISABLE_KEEPALIVE,
    GLOBAL_CONNECTIONS,
    REDUCE_TIMEOUTS,
    REJECT_CONNECTIONS,
    SHED_ACCEPT,
    SHED_CODEC,
    SHED_DISPATCH,
    SHED_HEADERS,
    SHED_ROUTER,
    SHRINK_HEAP,
    STOP_CONNECTIONS,
    STOP_REQUESTS,
    CgroupMonitor,
    ConnectionsMonitor,
    CpuMonitor,
    FileMonitor,
    HeapMonitor,
    Monitor,
    OverloadSettings,
    ReducedTimeouts,
    ScaledTimer,
    Trigger,
    Triggered,
)

_MONITORS = "envoy.extensions.resource_monitors."
_ACTIONS = frozenset(
    (
        STOP_REQUESTS,
        DISABLE_KEEPALIVE,
        STOP_CONNECTIONS,
        REJECT_CONNECTIONS,
        SHRINK_HEAP,
        REDUCE_TIMEOUTS,
    )
)
#: Envoy's that have nothing to act on in HTTP/1.
_OTHER_ACTIONS = frozenset(
    ("envoy.overload_actions.reset_high_memory_stream", "envoy.overload_actions.close_idle_http_connections")
)
_POINTS = frozenset((SHED_ACCEPT, SHED_HEADERS, SHED_DISPATCH, SHED_CODEC, SHED_ROUTER))


def build_overload(root: Reader) -> OverloadSettings | None:
    """`overload_manager` of the bootstrap, None without one."""
    reader = root.message("overload_manager")
    if reader is None:
        return None
    if reader.has("buffer_factory_config"):
        reader.refuse("buffer_factory_config", "is not implemented: no stream is reset for its memory")
    monitors: dict[str, Monitor] = {}
    for one in reader.messages("resource_monitors"):
        name = one.string("name")
        monitor = _monitor(one, name)
        if name in monitors:
            one.problem(f"Duplicate resource monitor {name}", "name")
        if monitor is not None:
            monitors[name] = monitor
    timeouts = ReducedTimeouts()
    actions: list[Triggered] = []
    for one in reader.messages("actions"):
        name = one.string("name")
        if name in _OTHER_ACTIONS:
            one.problem(f"{name} is not implemented: it acts on HTTP/2 and HTTP/3 only", "name")
        elif name not in _ACTIONS:
            one.problem(f"Unknown Overload Manager Action {name}", "name")
        if any(other.name == name for other in actions):
            one.problem(f"Duplicate overload action {name}", "name")
        actions.append(Triggered(name, _triggers(one, monitors, f"overload action {name}")))
        if name == REDUCE_TIMEOUTS:
            timeouts = _timeouts(one, name)
        elif one.has("typed_config"):
            one.problem(f'Overload action "{name}" has an unexpected value for the typed_config field')
            one.ignore("typed_config")
    points: list[Triggered] = []
    for one in reader.messages("loadshed_points"):
        name = one.string("name")
        if name not in _POINTS:
            one.problem(f"the load shed point {name} is not implemented", "name")
        if any(other.name == name for other in points):
            one.problem(f"Duplicate loadshed point {name}", "name")
        points.append(
            Triggered(name, _triggers(one, monitors.keys() - {GLOBAL_CONNECTIONS}, f"loadshed point {name}"))
        )
    return OverloadSettings(
        tuple(monitors.items()),
        tuple(actions),
        tuple(points),
        timeouts,
        reader.duration("refresh_interval", 1.0),
    )


def _heap(config: Reader) -> Monitor:
    most = config.integer("max_heap_size_bytes", 0)
    if not most:
        config.problem("fixed_heap: max heap size must be greater than 0")
    return HeapMonitor(most)


_KINDS: dict[str, Callable[[Reader], Monitor]] = {
    "fixed_heap.v3.FixedHeapConfig": _heap,
    "injected_resource.v3.InjectedResourceConfig": lambda config: FileMonitor(config.string("filename")),
    "cpu_utilization.v3.CpuUtilizationConfig": lambda config: CpuMonitor(config.enum("mode") == "CONTAINER"),
    "cgroup_memory.v3.CgroupMemoryConfig": lambda config: CgroupMonitor(
        config.integer("max_memory_bytes", 0)
    ),
    "downstream_connections.v3.DownstreamConnectionsConfig": lambda config: ConnectionsMonitor(
        config.integer("max_active_downstream_connections", 0)
    ),
}


def _monitor(reader: Reader, name: str) -> Monitor | None:
    config = reader.unpack("typed_config")
    build = None if config is None else _KINDS.get(config.type_name.removeprefix(_MONITORS))
    if config is None or build is None:
        if config is not None:
            config.ignore_all()
        url = "" if config is None else config.type_name
        reader.problem(f"Didn't find a registered implementation for '{name}' with type URL: '{url}'")
        return None
    monitor = build(config)
    if isinstance(monitor, ConnectionsMonitor) != (name == GLOBAL_CONNECTIONS):
        reader.problem(
            f"Didn't find a registered implementation for '{name}' with type URL: '{config.type_name}'"
        )
    return monitor


def _triggers(reader: Reader, monitors: Collection[str], what: str) -> tuple[Trigger, ...]:
    found: dict[str, Trigger] = {}
    for one in reader.messages("triggers"):
        name = one.string("name")
        if name not in monitors:
            one.problem(f"Unknown trigger resource {name} for {what}", "name")
        if name in found:
            one.problem(f"Duplicate trigger resource for {what}", "name")
        scaled = one.message("scaled")
        if scaled is None:
            value = one.message_or_empty("threshold").number("value", 0.0)
            found[name] = Trigger(name, value, value)
            continue
        least, most = scaled.number("scaling_threshold", 0.0), scaled.number("saturation_threshold", 0.0)
        if least >= most:
            scaled.problem("scaling_threshold must be less than saturation_threshold")
        found[name] = Trigger(name, least, most, True)
    return tuple(found.values())


def _timeouts(reader: Reader, name: str) -> ReducedTimeouts:
    config = reader.unpack("typed_config")
    if config is None:
        reader.problem(f'Overload action "{name}" requires a typed_config', "typed_config")
        return ReducedTimeouts()
    found: dict[str, ScaledTimer] = {}
    for one in config.messages("timer_scale_factors"):
        timer = one.enum("timer")
        if timer in ("TRANSPORT_SOCKET_CONNECT", "HTTP_DOWNSTREAM_STREAM_FLUSH"):
            one.problem(f"{timer} is not implemented: plain HTTP/1 has no such time limit", "timer")
        elif timer == "UNSPECIFIED":
            one.problem("Unknown timer type 0", "timer")
        if timer in found:
            one.problem(f"Found duplicate entry for timer type {timer}", "timer")
        if one.oneof("overload_adjust") == "min_timeout":
            found[timer] = ScaledTimer(seconds=one.duration("min_timeout", 0.0))
        else:
            share = one.message_or_empty("min_scale").number("value", 0.0)
            found[timer] = ScaledTimer(share=share / 100)
    return ReducedTimeouts(
        found.get("HTTP_DOWNSTREAM_CONNECTION_IDLE"),
        found.get("HTTP_DOWNSTREAM_CONNECTION_MAX"),
        found.get("HTTP_DOWNSTREAM_STREAM_IDLE"),
    )
