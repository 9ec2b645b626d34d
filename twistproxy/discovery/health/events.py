"""The log of health check events: a JSON line each (envoy.data.core.v3.HealthCheckEvent), as Envoy writes them."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from twistproxy.discovery.health.probe import Failure
from twistproxy.model.address import Address, PipeAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.health import DEGRADED_ACTIVE_HC, FAILED_ACTIVE_HC
from twistproxy.model.health_check import ClusterChecks, GrpcCheck, HttpCheck


class EventLog(Protocol):
    """`transport.log_file.LogFile`."""

    def write(self, line: bytes) -> None: ...


class HealthEvents:
    """The events of one cluster.  `wall`: seconds since the epoch."""

    def __init__(self, checks: ClusterChecks, logs: list[EventLog], wall: Callable[[], float]) -> None:
        self._cluster = checks.cluster
        self._settings = checks.settings
        check = checks.settings.check
        self._kind = (
            "HTTP" if isinstance(check, HttpCheck) else "GRPC" if isinstance(check, GrpcCheck) else "TCP"
        )
        self._logs = logs
        self._wall = wall

    def passed(self, endpoint: Endpoint, first: bool, before: int, after: int) -> None:
        """A check has passed.  `before`, `after`: the host's flags."""
        if not self._logs:
            return
        if before & FAILED_ACTIVE_HC and not after & FAILED_ACTIVE_HC:
            self._write(endpoint, "add_healthy_event", {"first_check": first})
        elif self._settings.log_successes:
            self._write(endpoint, "successful_health_check_event", {})
        if (before ^ after) & DEGRADED_ACTIVE_HC:
            name = "degraded_healthy_host" if after & DEGRADED_ACTIVE_HC else "no_longer_degraded_host"
            self._write(endpoint, name, {})

    def failed(
        self, endpoint: Endpoint, failure: Failure, first: bool, status: int, before: int, after: int
    ) -> None:
        """A check has failed.  `status`: of the response."""
        if not self._logs:
            return
        facts = {"failure_type": failure.value, "http_status_code": status}
        if after & FAILED_ACTIVE_HC and not before & FAILED_ACTIVE_HC:
            self._write(endpoint, "eject_unhealthy_event", facts)
        if first or self._settings.log_failures:
            facts = {"failure_type": failure.value, "first_check": first, "http_status_code": status}
            self._write(endpoint, "health_check_failure_event", facts)

    def _write(self, endpoint: Endpoint, name: str, facts: dict[str, Any]) -> None:
        event: dict[str, Any] = {
            "health_checker_type": self._kind,
            "host": _address(endpoint.address),
            "cluster_name": self._cluster,
        }
        if name in _BEFORE_TIME:
            event[name] = facts
        event["timestamp"] = _timestamp(self._wall())
        if name in _BEFORE_PLACE:
            event[name] = facts
        if endpoint.metadata:
            event["metadata"] = {
                "filter_metadata": json.loads(endpoint.metadata),
                "typed_filter_metadata": {},
            }
        locality = endpoint.locality
        event["locality"] = {
            "region": locality.region,
            "zone": locality.zone,
            "sub_zone": locality.sub_zone,
        }
        event.setdefault(name, facts)
        line = json.dumps(event, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
        for log in self._logs:
            log.write(line)


_BEFORE_TIME = ("eject_unhealthy_event", "add_healthy_event")
_BEFORE_PLACE = ("health_check_failure_event", "degraded_healthy_host", "no_longer_degraded_host")


def _address(address: Address) -> dict[str, Any]:
    if isinstance(address, PipeAddress):
        return {"pipe": {"path": address.path, "mode": address.mode}}
    return {
        "socket_address": {
            "protocol": "TCP",
            "address": address.host,
            "port_value": address.port,
            "resolver_name": "",
            "ipv4_compat": False,
            "network_namespace_filepath": "",
        }
    }


def _timestamp(seconds: float) -> str:
    """As protobuf writes one that was cut to milliseconds."""
    milliseconds = int(seconds * 1000)
    text = datetime.fromtimestamp(milliseconds // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    rest = milliseconds % 1000
    return f"{text}.{rest:03}Z" if rest else f"{text}Z"
