"""The statistics that the master itself knows, under Envoy's names.

Only names that mean something here are shown: there are no hot restarts, so `server.hot_restart_epoch`
counts reloads taken.
"""

from __future__ import annotations

from typing import Any

from twistproxy import __version__
from twistproxy.admin.merge import Statistics
from twistproxy.admin.view import AdminView, ServerFacts
from twistproxy.observe.histogram import lower_end

#: envoy.admin.v3.ServerInfo.State
_STATE_NUMBERS = {"LIVE": 0, "DRAINING": 1, "PRE_INITIALIZING": 2, "INITIALIZING": 3}

#: Envoy's value when no certificate is configured.
_NO_CERTIFICATE = 0xFFFFFFFF


def version_number(version: str = __version__) -> int:
    """ "1.2.3" as 0x010203, for `server.version`."""
    numbers = [int("".join(c for c in part if c.isdigit()) or 0) for part in version.split(".")[:3]]
    numbers += [0] * (3 - len(numbers))
    return numbers[0] << 16 | numbers[1] << 8 | numbers[2]


def shown_state(facts: ServerFacts, healthy: bool) -> str:
    """What /ready and /server_info say: a live server that was told to fail health checks is DRAINING."""
    return "DRAINING" if facts.state == "LIVE" and not healthy else facts.state


def server_snapshot(facts: ServerFacts, healthy: bool) -> dict[str, Any]:
    """The master's own figures, in the shape of a worker's report (`merge`)."""
    state = shown_state(facts, healthy)
    used = {
        "cluster_manager.warming_clusters": 0,
        "listener_manager.total_listeners_active": facts.listeners_active,
        "listener_manager.total_listeners_warming": 0,
        "listener_manager.workers_started": int(facts.workers_started),
        "server.compilation_settings.fips_mode": 0,
        "server.concurrency": facts.concurrency,
        "server.days_until_first_cert_expiring": _NO_CERTIFICATE,
        "server.live": int(state == "LIVE"),
        "server.memory_allocated": facts.memory_allocated,
        "server.memory_heap_size": facts.memory_heap_size,
        "server.memory_physical_size": facts.memory_heap_size,
        "server.state": _STATE_NUMBERS[state],
        "server.total_connections": facts.total_connections,
        "server.uptime": int(facts.uptime),
        "server.version": version_number(),
    }
    gauges = {
        "listener_manager.total_filter_chains_draining": 0,
        "listener_manager.total_listeners_draining": 0,
        "listener_manager.workers_pinned": 0,
        "runtime.deprecated_feature_seen_since_process_start": 0,
        "server.hot_restart_epoch": facts.reloads,
        "server.parent_connections": 0,
        "server.seconds_until_first_ocsp_response_expiring": 0,
    }
    counters = {
        # There are no streams to reset but with HTTP/2.
        "envoy.overload_actions.reset_high_memory_stream.count": 0,
        "listener_manager.listener_create_failure": 0,
        "runtime.deprecated_feature_use": 0,
        "server.discovery_restarts": facts.discovery_restarts,
        # Endpoints with fields that do not exist are not taken.
        "server.dynamic_unknown_fields": 0,
        "server.reloads": facts.reloads,
        "server.reloads_rejected": facts.reloads_rejected,
        "server.worker_restarts": facts.worker_restarts,
    }
    started = facts.initialization_ms
    return {
        "counters": {**counters, **facts.counters},
        "gauges": {**used, **gauges, **facts.gauges},
        "histograms": {
            "overload.refresh_interval_delay": {},
            **facts.histograms,
            "server.initialization_time_ms": {} if started is None else {lower_end(started): 1},
        },
        "used": [*used, "server.dynamic_unknown_fields", "server.static_unknown_fields"],
    }


def report_own(view: AdminView, statistics: Statistics) -> None:
    """Put the master's own figures beside those of the others."""
    statistics.report("master", server_snapshot(view.facts(), view.is_healthy()))
