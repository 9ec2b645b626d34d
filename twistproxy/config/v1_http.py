"""The v1 HTTP connection manager to v3, with the v1 meanings that v3 defaults otherwise."""

from __future__ import annotations

from typing import Any

from .places import Mapping
from .v1_access_logs import access_logs
from .v1_clusters import http2_options
from .v1_http_filters import http_filters
from .v1_reader import V1Object, typed
from .v1_routes import route_configuration

_TYPE = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_FORWARD = ("sanitize", "forward_only", "append_forward", "sanitize_set", "always_forward_only")
# RFC 1918, loopback and unique local addresses: what v1 took for internal.
_INTERNAL = (
    ("10.0.0.0", 8),
    ("172.16.0.0", 12),
    ("192.168.0.0", 16),
    ("127.0.0.0", 8),
    ("fd00::", 8),
    ("::1", 128),
)
_NOTES = (
    "Timeouts: v1 closed neither idle connections nor idle streams unless told (idle_timeout, stream_idle_timeout "
    "and delayed_close_timeout are 0s); v3's defaults are 1 h, 5 min and 1 s.",
    "Internal addresses: private and loopback addresses count as internal, as in v1 (internal_address_config).",
    "Absolute URLs in HTTP/1.1 requests are refused unless allowed, as in v1 (allow_absolute_url).",
    "Paths: v1 did not normalise them, and neither does the result (normalize_path, merge_slashes); for an edge, "
    "turn both on.",
)


def connection_manager(config: V1Object) -> dict[str, Any]:
    """The `config` of an `http_connection_manager` filter as a v3 network filter."""
    conversion = config.conversion
    for text in _NOTES:
        conversion.note(text)
    codec = config.choice("codec_type", ("http1", "http2", "auto"), required=True)
    forward = config.choice("forward_client_cert", _FORWARD)
    filters, request_timeout = http_filters(config)
    routes, websocket = _routes(config)
    idle = config.integer("idle_timeout_s", low=0)
    ranges = [{"address_prefix": prefix, "prefix_len": size} for prefix, size in _INTERNAL]
    content = {
        "codec_type": codec.upper() if codec else None,
        "stat_prefix": config.string("stat_prefix", required=True),
        "route_config": routes,
        "http_filters": filters,
        "add_user_agent": config.boolean("add_user_agent"),
        "tracing": _tracing(config),
        "common_http_protocol_options": {"idle_timeout": f"{idle or 0}s"},
        "http_protocol_options": _http1(config),
        "http2_protocol_options": _http2(config),
        "server_name": config.string("server_name"),
        "stream_idle_timeout": "0s",
        "delayed_close_timeout": "0s",
        "request_timeout": request_timeout,
        "drain_timeout": config.milliseconds("drain_timeout_ms", low=0),
        "access_log": access_logs(config),
        "use_remote_address": config.boolean("use_remote_address") or False,
        "internal_address_config": {"cidr_ranges": ranges},
        "forward_client_cert_details": forward.upper() if forward else None,
        "set_current_client_cert_details": _certificate_details(config),
        "generate_request_id": config.boolean("generate_request_id"),
        "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}] if websocket else None,
    }
    return typed("envoy.filters.network.http_connection_manager", _TYPE, content)


def connection_manager_direction(entry: V1Object) -> str | None:
    """What the tracing of a connection manager says of its listener's direction; None without."""
    config = entry.node.get("config")
    tracing = config.get("tracing") if isinstance(config, Mapping) else None
    operation = tracing.get("operation_name") if isinstance(tracing, Mapping) else None
    value = getattr(operation, "value", None)
    return {"ingress": "INBOUND", "egress": "OUTBOUND"}.get(value) if isinstance(value, str) else None


def _routes(config: V1Object) -> tuple[dict[str, Any] | None, bool]:
    table, rds = config.object("route_config"), config.object("rds")
    if (table is None) == (rds is None):
        config.problem("needs exactly one of route_config and rds", "rds" if rds is not None else None)
    if rds is not None:
        text = "route tables polled with the v1 REST API are not implemented: write a route_config"
        config.problem(text, "rds")
    return route_configuration(table) if table is not None else (None, False)


def _http1(config: V1Object) -> dict[str, Any]:
    settings = config.object("http1_settings")
    absolute = settings.boolean("allow_absolute_url") if settings is not None else None
    content = {"allow_absolute_url": absolute or False}
    return settings.v3(content, close=False) if settings is not None else content


def _http2(config: V1Object) -> dict[str, Any]:
    no_compression = config.choice("http_codec_options", ("no_compression",)) is not None
    if no_compression:
        config.warning('an old spelling of "http2_settings": {"hpack_table_size": 0}', "http_codec_options")
    return http2_options(config.object("http2_settings"), no_compression)


def _tracing(config: V1Object) -> dict[str, Any] | None:
    tracing = config.object("tracing")
    if tracing is None:
        return None
    tracing.choice("operation_name", ("ingress", "egress"), required=True)
    if tracing.raw("type") is not None:
        tracing.warning("has had no effect since Envoy 1.3", "type")
    tags = [
        {"tag": name, "request_header": {"name": name}}
        for name in tracing.strings("request_headers_for_tags")
    ]
    return tracing.v3({"provider": config.conversion.tracing_provider, "custom_tags": tags or None})


def _certificate_details(config: V1Object) -> dict[str, Any] | None:
    names = config.strings("set_current_client_cert_details")
    for name in names:
        if name not in ("Subject", "SAN"):
            config.problem(f'expected "Subject" or "SAN", found "{name}"', "set_current_client_cert_details")
    if not names:
        return None
    return {"subject": "Subject" in names or None, "uri": "SAN" in names or None}
