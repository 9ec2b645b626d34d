"""v1 `health_check` objects of clusters to v3 HealthChecks."""

from __future__ import annotations

import re
from typing import Any

from .v1_reader import Text, V1Object

_HEX = re.compile(r"(?:[0-9a-fA-F]{2})*\Z")
# Everything but 200 (passes) and 503 (fails at once) counts towards the threshold in v1.
_COUNTED = [{"start": 100, "end": 200}, {"start": 201, "end": 503}, {"start": 504, "end": 600}]


def health_checks(owner: V1Object) -> list[dict[str, Any]] | None:
    """The one check of a v1 cluster."""
    check = owner.object("health_check")
    if check is None:
        return None
    kind = check.choice("type", ("http", "tcp", "redis"), required=True)
    interval = check.milliseconds("interval_ms", required=True)
    content: dict[str, Any] = {
        "timeout": check.milliseconds("timeout_ms", required=True),
        "interval": interval,
        "no_traffic_interval": interval,
        "interval_jitter": check.milliseconds("interval_jitter_ms"),
        "interval_jitter_percent": check.integer("interval_jitter_percent", low=0),
        "unhealthy_threshold": check.integer("unhealthy_threshold", True, 1),
        "healthy_threshold": check.integer("healthy_threshold", True, 1),
        "reuse_connection": check.boolean("reuse_connection"),
    }
    note = owner.conversion.note
    note("Health checks: v1 kept its interval for clusters without traffic too (no_traffic_interval).")
    path, service = check.string("path", required=kind == "http"), check.string("service_name")
    send = _payload(check, "send", required=kind == "tcp")
    receive = _payload(check, "receive", required=kind == "tcp")
    key = check.string("redis_key")
    if kind == "http":
        note("Health checks: of bad answers only a 503 fails at once, as in v1 (retriable_statuses).")
        content["http_health_check"] = {
            "path": path,
            "service_name_matcher": {"prefix": service} if service is not None else None,
            "retriable_statuses": _COUNTED,
        }
    elif kind == "tcp":
        whole = Text("".join(send), send[0].offset) if send else None
        content["tcp_health_check"] = {
            "send": {"text": whole} if whole else None,
            "receive": [{"text": part} for part in receive] or None,
        }
    else:
        redis = {"@type": "type.googleapis.com/envoy.extensions.health_checkers.redis.v3.Redis", "key": key}
        content["custom_health_check"] = {"name": "envoy.health_checkers.redis", "typed_config": redis}
    return [check.v3(content)]


def _payload(check: V1Object, key: str, required: bool) -> list[Text]:
    """The blocks of bytes, in hexadecimal, in an array."""
    found = []
    for block in check.objects(key, required):
        data = block.string("binary", required=True)
        if data is not None and not _HEX.match(data):
            block.problem("expected bytes in hexadecimal, two digits each", "binary")
        elif data:
            found.append(data)
        block.close()
    return found
