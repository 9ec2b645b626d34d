"""The statistics that the master itself knows, under Envoy's names.

Only names that mean something here are shown: there are no hot restarts, so `server.hot_restart_epoch`
counts reloads taken, and no statistics of a watchdog that does not exist.
"""

from __future__ import annotations

from twistproxy import __version__
from twistproxy.admin.merge import Totals
from twistproxy.admin.view import ServerFacts
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


def add_server_stats(totals: Totals, facts: ServerFacts, healthy: bool) -> None:
    """Add the master's own figures to the workers' sums."""
    state = shown_state(facts, healthy)
    gauges = {
        "server.concurrency": facts.concurrency,
        "server.days_until_first_cert_expiring": _NO_CERTIFICATE,
        "server.hot_restart_epoch": facts.reloads,
        "server.live": int(state == "LIVE"),
        "server.memory_allocated": facts.memory_allocated,
        "server.memory_heap_size": facts.memory_heap_size,
        "server.memory_physical_size": facts.memory_heap_size,
        "server.parent_connections": 0,
        "server.state": _STATE_NUMBERS[state],
        "server.total_connections": facts.total_connections,
        "server.uptime": int(facts.uptime),
        "server.version": version_number(),
        "cluster_manager.active_clusters": facts.clusters_active,
        "cluster_manager.warming_clusters": 0,
        "listener_manager.total_listeners_active": facts.listeners_active,
        "listener_manager.total_listeners_draining": 0,
        "listener_manager.total_listeners_warming": 0,
        "listener_manager.workers_started": int(facts.workers_started),
        "runtime.deprecated_feature_seen_since_process_start": 0,
    }
    counters = {
        "server.dropped_stat_flushes": 0,
        "server.worker_restarts": facts.worker_restarts,
        "server.discovery_restarts": facts.discovery_restarts,
        "server.reloads": facts.reloads,
        "server.reloads_rejected": facts.reloads_rejected,
        "runtime.deprecated_feature_use": 0,
    }
    gauges.update(facts.gauges)
    counters.update(facts.counters)
    totals.gauges.update(gauges)
    totals.counters.update(counters)
    totals.histograms.update({name: dict(counts) for name, counts in facts.histograms.items()})
    totals.used.update(name for name, counts in facts.histograms.items() if counts)
    started = facts.initialization_ms
    totals.histograms["server.initialization_time_ms"] = {} if started is None else {lower_end(started): 1}
    totals.used.update(gauges)
    totals.used.update(name for name, value in counters.items() if value)
    if started is not None:
        totals.used.add("server.initialization_time_ms")
