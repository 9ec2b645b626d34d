"""/clusters: every cluster with its limits and hosts, as text and in the shape of envoy.admin.v3.Clusters."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twistproxy.admin.merge import Totals

_LIMITS = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
_DEFAULT_LIMITS = dict(zip(_LIMITS, (1024, 1024, 1024, 3)))
_COUNTERS = ("cx_connect_fail", "cx_total", "rq_error", "rq_success", "rq_timeout", "rq_total")
#: What outlier detection knows of a cluster, -1 for nothing.
_RATES = (
    "success_rate_average",
    "success_rate_ejection_threshold",
    "local_origin_success_rate_average",
    "local_origin_success_rate_ejection_threshold",
)
_HOST_RATES = ("success_rate", "local_origin_success_rate")
_NO_RATES = (-1.0, -1.0)
_GAUGES = ("cx_active", "rq_active", "rq_pending_active")

#: Health flags that have a field of their own in envoy.admin.v3.HostHealthStatus.
_HEALTH_FIELDS = {
    "failed_active_hc": "failed_active_health_check",
    "failed_outlier_check": "failed_outlier_check",
    "degraded_active_hc": "failed_active_degraded_check",
    "pending_dynamic_removal": "pending_dynamic_removal",
    "pending_active_hc": "pending_active_hc",
    "excluded_via_immediate_hc_fail": "excluded_via_immediate_hc_fail",
    "active_hc_timeout": "active_hc_timeout",
    "degraded_outlier_detection": "failed_degraded_outlier_detection",
}


def cluster_names(totals: Totals, pattern: Any = None) -> list[str]:
    """The clusters, in the order of the configuration; with a pattern those whose name contains it."""
    names = list(totals.clusters) + [name for name in totals.hosts if name not in totals.clusters]
    return names if pattern is None else [name for name in names if pattern.search(name)]


def _limits(facts: Mapping[str, Any], priority: str) -> Mapping[str, int]:
    return {**_DEFAULT_LIMITS, **facts.get("circuit_breakers", {}).get(priority, {})}


def clusters_text(totals: Totals, names: Iterable[str]) -> str:
    """Lines of the form cluster::key::value and cluster::address::key::value."""
    lines: list[str] = []
    for name in names:
        facts = totals.clusters.get(name, {})
        lines.append(f"{name}::observability_name::{facts.get('observability_name') or name}\n")
        rates = totals.outliers.get(name)
        if rates is not None:
            lines += [f"{name}::outlier::{rate}::{rates[rate]:g}\n" for rate in _RATES]
        for priority in ("default", "high"):
            limits = _limits(facts, priority)
            lines += [f"{name}::{priority}_priority::{limit}::{limits[limit]}\n" for limit in _LIMITS]
        lines.append(f"{name}::added_via_api::{_flag(facts.get('added_via_api'))}\n")
        for host in totals.hosts.get(name, ()):
            prefix = f"{name}::{host['address']}"
            lines += [f"{prefix}::{key}::{value}\n" for key, value in _host_lines(host)]
            found = _host_rates(rates, host)
            lines += [f"{prefix}::{key}::{rate:g}\n" for key, rate in zip(_HOST_RATES, found)]
    return "".join(lines)


def _host_rates(rates: Mapping[str, Any] | None, host: Mapping[str, Any]) -> Sequence[float]:
    found: Sequence[float] = _NO_RATES if rates is None else rates["hosts"].get(host["address"], _NO_RATES)
    return found


def _flag(value: object) -> str:
    return "true" if value else "false"


def _host_lines(host: Mapping[str, Any]) -> list[tuple[str, Any]]:
    counters, gauges = host["counters"], host["gauges"]
    figures = {name: counters.get(name, 0) for name in _COUNTERS}
    figures.update((name, gauges.get(name, 0)) for name in _GAUGES)
    return [
        *sorted(figures.items()),
        ("hostname", host.get("hostname", "")),
        ("health_flags", "".join(f"/{flag}" for flag in host["health"]) or "healthy"),
        ("weight", host.get("weight", 1)),
        ("region", host.get("region", "")),
        ("zone", host.get("zone", "")),
        ("sub_zone", host.get("sub_zone", "")),
        ("canary", _flag(host.get("canary"))),
        ("priority", host.get("priority", 0)),
    ]


def clusters_json(totals: Totals, names: Iterable[str]) -> dict[str, Any]:
    """The same as JSON; as in protobuf's mapping, what has its default value is absent."""
    statuses = []
    for name in names:
        facts = totals.clusters.get(name, {})
        status: dict[str, Any] = {"name": name}
        if facts.get("added_via_api"):
            status["added_via_api"] = True
        rates = totals.outliers.get(name)
        for field in (_RATES[1], _RATES[3]):
            if rates is not None and rates[field] > 0:
                status[field] = _percent(rates[field])
        if hosts := totals.hosts.get(name):
            status["host_statuses"] = [_host_json(host, _host_rates(rates, host)) for host in hosts]
        status["circuit_breakers"] = {
            "thresholds": [dict(_limits(facts, "default")), {"priority": "HIGH", **_limits(facts, "high")}]
        }
        status["observability_name"] = facts.get("observability_name") or name
        if facts.get("eds_service_name"):
            status["eds_service_name"] = facts["eds_service_name"]
        statuses.append(status)
    return {"cluster_statuses": statuses} if statuses else {}


def address_json(text: str) -> dict[str, Any]:
    """ "1.2.3.4:80", "[::1]:80" or a path as an envoy.config.core.v3.Address."""
    host, separator, port = text.rpartition(":")
    if separator and port.isdigit() and not text.startswith(("/", "@")):
        return {"socket_address": {"address": host.strip("[]"), "port_value": int(port)}}
    return {"pipe": {"path": text}}


def locality_json(host: Mapping[str, Any]) -> dict[str, str]:
    """A host's envoy.config.core.v3.Locality."""
    return {key: host[key] for key in ("region", "zone", "sub_zone") if host.get(key)}


def health_name(flags: Iterable[str]) -> str:
    """The envoy.config.core.v3.HealthStatus that goes with health flags."""
    flags = set(flags)
    if flags & {"failed_eds_health", "failed_active_hc", "failed_outlier_check"}:
        return "UNHEALTHY"
    if "eds_status_draining" in flags:
        return "DRAINING"
    return "DEGRADED" if flags & {"degraded_eds_health", "degraded_active_hc"} else "HEALTHY"


def _percent(value: float) -> dict[str, float]:
    """An envoy.type.v3.Percent."""
    if not value:
        return {}
    return {"value": int(value) if float(value).is_integer() else value}


def _host_json(host: Mapping[str, Any], rates: Sequence[float]) -> dict[str, Any]:
    stats: list[dict[str, Any]] = [_stat(name, host["counters"].get(name, 0)) for name in _COUNTERS]
    stats += [{"type": "GAUGE", **_stat(name, host["gauges"].get(name, 0))} for name in _GAUGES]
    flags = host["health"]
    health: dict[str, Any] = {_HEALTH_FIELDS[flag]: True for flag in flags if flag in _HEALTH_FIELDS}
    health["eds_health_status"] = health_name(flag for flag in flags if "eds" in flag)
    result: dict[str, Any] = {
        "address": address_json(host["address"]),
        "stats": stats,
        "health_status": health,
        "weight": host.get("weight", 1),
    }
    if host.get("hostname"):
        result["hostname"] = host["hostname"]
    if host.get("priority"):
        result["priority"] = host["priority"]
    result["locality"] = locality_json(host)
    result.update({field: _percent(rate) for field, rate in zip(_HOST_RATES, rates) if rate >= 0})
    return result


def _stat(name: str, value: int) -> dict[str, str]:
    return {"value": str(value), "name": name} if value else {"name": name}
