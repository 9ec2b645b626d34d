"""Which settings of the overload manager are taken: the verdict of both engines on one configuration at a time."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_text
from twistproxy.errors import ConfigError
from twistproxy.model.server_options import ServerOptions

from .settings import bootstrap, cluster, listener, read, routes_to
from .test_config_validity import envoy_takes

pytestmark = pytest.mark.parity

_TYPES = "type.googleapis.com/envoy.extensions.resource_monitors."
GLOBAL = "envoy.resource_monitors.global_downstream_max_connections"


def monitor(config: str, name: str = "a") -> str:
    return f"{{name: {name}, typed_config: {{'@type': {_TYPES}{config}}}}}"


INJECTED = monitor("injected_resource.v3.InjectedResourceConfig, filename: /x")
MONITORS = "resource_monitors: [%s]"
ACTION = f"{{{MONITORS % INJECTED}, actions: [{{name: envoy.overload_actions.%s, triggers: [%s]%s}}]}}"
POINT = f"{{{MONITORS % INJECTED}, loadshed_points: [{{name: envoy.load_shed_points.%s, triggers: [%s]}}]}}"
ON = "{name: a, threshold: {value: 0.5}}"
TIMERS = (
    ", typed_config: {'@type': type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig,"
    " timer_scale_factors: [%s]}"
)
IDLE = "{timer: HTTP_DOWNSTREAM_STREAM_IDLE, min_timeout: 1s}"
CONNECTIONS = monitor(
    "downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 1", GLOBAL
)
FULL = f"triggers: [{{name: {GLOBAL}, threshold: {{value: 1}}}}]"

#: What `overload_manager` says → whether it is taken.
CASES = {
    "{}": False,
    MONITORS % INJECTED: True,
    MONITORS % f"{INJECTED}, {INJECTED}": False,
    MONITORS % "{name: a}": False,
    MONITORS % monitor("fixed_heap.v3.FixedHeapConfig"): False,
    MONITORS % monitor("fixed_heap.v3.FixedHeapConfig, max_heap_size_bytes: 1"): True,
    MONITORS % monitor("cpu_utilization.v3.CpuUtilizationConfig"): True,
    MONITORS % monitor("cpu_utilization.v3.CpuUtilizationConfig, mode: CONTAINER"): True,
    MONITORS % monitor("cgroup_memory.v3.CgroupMemoryConfig, max_memory_bytes: 5"): True,
    MONITORS
    % monitor(
        "downstream_connections.v3.DownstreamConnectionsConfig, max_active_downstream_connections: 1"
    ): False,
    MONITORS % CONNECTIONS: True,
    (MONITORS % CONNECTIONS) + f"\nactions: [{{name: envoy.overload_actions.shrink_heap, {FULL}}}]": True,
    (MONITORS % CONNECTIONS)
    + f"\nloadshed_points: [{{name: envoy.load_shed_points.tcp_listener_accept, {FULL}}}]": False,
    ACTION % ("stop_accepting_requests", ON, ""): True,
    ACTION % ("nonsense", ON, ""): False,
    ACTION % ("stop_accepting_requests", "", ""): False,
    ACTION % ("stop_accepting_requests", f"{ON}, {ON}", ""): False,
    ACTION % ("stop_accepting_requests", ON.replace("a", "b", 1), ""): False,
    ACTION % ("stop_accepting_requests", "{name: a, threshold: {value: 1.5}}", ""): False,
    ACTION % ("disable_http_keepalive", "{name: a, scaled: {saturation_threshold: 0.5}}", ""): True,
    ACTION % ("disable_http_keepalive", "{name: a, scaled: {}}", ""): False,
    ACTION % ("shrink_heap", ON, ""): True,
    ACTION % ("shrink_heap", ON, TIMERS % IDLE): False,
    ACTION % ("stop_accepting_requests", ON, TIMERS % IDLE): False,
    ACTION % ("reduce_timeouts", ON, ""): False,
    ACTION % ("reduce_timeouts", ON, TIMERS % ""): False,
    ACTION % ("reduce_timeouts", ON, TIMERS % IDLE): True,
    ACTION % ("reduce_timeouts", ON, TIMERS % f"{IDLE}, {IDLE}"): False,
    ACTION
    % ("reduce_timeouts", ON, TIMERS % IDLE.replace("HTTP_DOWNSTREAM_STREAM_IDLE", "UNSPECIFIED")): False,
    ACTION % ("reset_high_memory_stream", ON, ""): False,
    POINT % ("tcp_listener_accept", ON): True,
    POINT % ("tcp_listener_accept", ON.replace("a", "b", 1)): False,
}
#: Envoy takes these, of which some do nothing in HTTP/1, and some are not implemented here.
STRICTER = (
    ACTION % ("close_idle_http_connections", ON, ""),
    (ACTION % ("reset_high_memory_stream", ON, ""))[:-1]
    + ", buffer_factory_config: {minimum_account_to_track_power_of_two: 20}}",
    ACTION % ("reduce_timeouts", ON, TIMERS % "{timer: HTTP_DOWNSTREAM_STREAM_FLUSH, min_timeout: 1s}"),
    ACTION % ("reduce_timeouts", ON, TIMERS % "{timer: TRANSPORT_SOCKET_CONNECT, min_timeout: 1s}"),
    POINT % ("nonsense", ON),
    POINT % ("connection_pool_new_connection", ON),
)


@pytest.mark.parametrize("fields", [*CASES, *STRICTER], ids=lambda text: text[-80:])
def test_taken(fields: str, tmp_path: Path) -> None:
    config = bootstrap(0, [listener("main", 0, routes_to("a"))], [cluster("a", 80)])
    path = tmp_path / "c.json"
    path.write_text(json.dumps({**config, "overload_manager": read(fields)}))
    theirs, words = envoy_takes(path)
    taken = CASES.get(fields, True)
    assert theirs == taken, words
    ours = True
    try:
        build_bootstrap(load_text(path.read_text(), path.name), ServerOptions())
    except ConfigError as error:
        ours, words = False, str(error)
    assert ours == (taken and fields not in STRICTER), words
