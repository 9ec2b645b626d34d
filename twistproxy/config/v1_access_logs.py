"""v1 access logs to v3 ones."""

from __future__ import annotations

import re
from typing import Any

from .v1_reader import V1Object, typed

_FILE_LOG = "envoy.extensions.access_loggers.file.v3.FileAccessLog"
_OPS = {">=": "GE", "=": "EQ"}
_FILTERS = (
    "status_code",
    "duration",
    "not_healthcheck",
    "traceable_request",
    "runtime",
    "logical_and",
    "logical_or",
)


def access_logs(owner: V1Object) -> list[dict[str, Any]] | None:
    """The logs in the array `access_log` of a connection manager or TCP proxy."""
    logs = [_access_log(item) for item in owner.objects("access_log")]
    return logs or None


def file_log(path: str) -> dict[str, Any]:
    """A log in the default format."""
    return typed("envoy.access_loggers.file", _FILE_LOG, {"path": path})


def _access_log(log: V1Object) -> dict[str, Any]:
    content: dict[str, Any] = {"path": log.string("path", required=True)}
    form = log.string("format")
    if form is not None:
        text = re.sub("%DOWNSTREAM_ADDRESS%", "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", form)
        content["log_format"] = {"text_format_source": {"inline_string": text}}
    chosen = log.object("filter")
    result = {**typed("envoy.access_loggers.file", _FILE_LOG, content)}
    if chosen is not None:
        result["filter"] = _filter(chosen)
    return log.v3(result)


def _filter(chosen: V1Object) -> dict[str, Any]:
    kind = chosen.choice("type", _FILTERS, required=True)
    content: dict[str, Any] = {}
    if kind in ("status_code", "duration"):
        content = {f"{kind}_filter": {"comparison": _comparison(chosen, kind)}}
    elif kind == "not_healthcheck":
        content = {"not_health_check_filter": {}}
    elif kind == "traceable_request":
        content = {"traceable_filter": {}}
    elif kind == "runtime":
        content = {"runtime_filter": {"runtime_key": chosen.string("key", required=True, least=1)}}
    elif kind in ("logical_and", "logical_or"):
        inner = [_filter(item) for item in chosen.objects("filters", required=True, least=2)]
        content = {"and_filter" if kind == "logical_and" else "or_filter": {"filters": inner}}
    else:
        return {}
    return chosen.v3(content)


def _comparison(chosen: V1Object, kind: str) -> dict[str, Any]:
    op = chosen.choice("op", _OPS, required=True)
    value = chosen.integer("value", True, 0, 599 if kind == "status_code" else None)
    # v3 demands a runtime key; this one is nobody's.
    key = chosen.string("runtime_key") or f"access_log.{kind}"
    return {"op": _OPS.get(op or "="), "value": {"default_value": value, "runtime_key": key}}
