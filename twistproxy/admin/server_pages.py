"""Pages about the server itself: /ready, /server_info, /listeners, /certs and /memory."""

from __future__ import annotations

from typing import Any

from twistproxy import __version__
from twistproxy.admin.answer import Answer, Query, json_page
from twistproxy.admin.clusters import address_json
from twistproxy.admin.server_stats import shown_state, version_number
from twistproxy.admin.view import AdminView, Json

#: envoy.admin.v3.CommandLineOptions with the values that they have when nobody sets them.
_OPTION_DEFAULTS: Json = {
    "base_id": "0",
    "concurrency": 1,
    "config_path": "",
    "config_yaml": "",
    "allow_unknown_static_fields": False,
    "admin_address_path": "",
    "local_address_ip_version": "v4",
    "log_level": "info",
    "component_log_level": "",
    "log_format": "",
    "log_path": "",
    "service_cluster": "",
    "service_node": "",
    "service_zone": "",
    "file_flush_interval": "10s",
    "drain_time": "600s",
    "parent_shutdown_time": "900s",
    "mode": "Serve",
    "disable_hot_restart": True,
    "enable_mutex_tracing": False,
    "restart_epoch": 0,
    "cpuset_threads": False,
    "reject_unknown_dynamic_fields": False,
    "log_format_escaped": False,
    "disabled_extensions": [],
    "ignore_unknown_dynamic_fields": False,
    "use_dynamic_base_id": False,
    "base_id_path": "",
    "drain_strategy": "Gradual",
    "enable_fine_grain_logging": False,
    "socket_path": "",
    "socket_mode": 0,
    "enable_core_dump": False,
    "stats_tag": [],
    "skip_hot_restart_on_no_parent": False,
    "skip_hot_restart_parent_stats": False,
    "skip_deprecated_logs": False,
    "file_flush_min_size": 0,
    "log_stacktrace_single_entry": False,
}


def ready(view: AdminView) -> Answer:
    """200 and LIVE, or 503 and the state."""
    state = shown_state(view.facts(), view.is_healthy())
    return Answer(state + "\n", 200 if state == "LIVE" else 503)


def server_info(view: AdminView) -> Answer:
    """envoy.admin.v3.ServerInfo."""
    facts = view.facts()
    return json_page(
        {
            "version": f"{__version__}/twistproxy",
            "state": shown_state(facts, view.is_healthy()),
            "uptime_current_epoch": f"{int(facts.epoch_uptime)}s",
            "uptime_all_epochs": f"{int(facts.uptime)}s",
            "hot_restart_version": "disabled",
            "command_line_options": {
                **_OPTION_DEFAULTS,
                "restart_epoch": facts.reloads,
                **view.command_line_options(),
            },
            "node": _full_node(view.node()),
            "hot_restart_initializing": False,
        }
    )


def described_node(node: Json) -> Json:
    """The configured node with what the program says about itself, as in /config_dump."""
    number = version_number()
    parts = {"major_number": number >> 16, "minor_number": number >> 8 & 255, "patch": number & 255}
    version = {key: value for key, value in parts.items() if value}
    return {**node, "user_agent_name": "twistproxy", "user_agent_build_version": {"version": version}}


def _full_node(node: Json) -> Json:
    """The node with unset fields too, as /server_info prints it."""
    number = version_number()
    locality = node.get("locality", {})
    result: dict[str, Any] = {"id": node.get("id", ""), "cluster": node.get("cluster", "")}
    if "metadata" in node:
        result["metadata"] = node["metadata"]
    result["locality"] = {key: locality.get(key, "") for key in ("region", "zone", "sub_zone")}
    result["user_agent_name"] = "twistproxy"
    result["user_agent_build_version"] = {
        "version": {"major_number": number >> 16, "minor_number": number >> 8 & 255, "patch": number & 255},
        "metadata": {},
    }
    for field in ("extensions", "client_features", "listening_addresses"):
        result[field] = node.get(field, [])
    result["dynamic_parameters"] = node.get("dynamic_parameters", {})
    return result


def listeners(view: AdminView, query: Query) -> Answer:
    """name::address lines, or with ?format=json envoy.admin.v3.Listeners."""
    known = view.listeners()
    if query.get("format") != "json":
        lines = (f"{one.name}::{address}\n" for one in known for address in one.local_addresses)
        return Answer("".join(lines))
    statuses = []
    for one in known:
        first, *more = (address_json(address) for address in one.local_addresses)
        status: Json = {"name": one.name, "local_address": first}
        if more:
            status["additional_local_addresses"] = more
        statuses.append(status)
    return json_page({"listener_statuses": statuses} if statuses else {})


def init_dump(view: AdminView, query: Query) -> Answer:
    """envoy.admin.v3.UnreadyTargetsDumps: the workers that do not accept yet."""
    waiting = view.facts().unready
    if not waiting or query.get("mask", "workers") != "workers":
        return json_page({})
    return json_page({"unready_targets_dumps": [{"name": "workers", "target_names": list(waiting)}]})


def certs() -> Answer:
    """envoy.admin.v3.Certificates of a server that has none."""
    return json_page({"certificates": []})


def memory(view: AdminView) -> Answer:
    """envoy.admin.v3.Memory over all processes.  What a Python process cannot say is 0."""
    facts = view.facts()
    return json_page(
        {
            "allocated": str(facts.memory_allocated),
            "heap_size": str(facts.memory_heap_size),
            "pageheap_unmapped": "0",
            "pageheap_free": "0",
            "total_thread_cache": "0",
            "total_physical_bytes": str(facts.memory_heap_size),
        }
    )
