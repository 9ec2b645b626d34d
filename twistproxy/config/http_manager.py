"""envoy.extensions.filters.network.http_connection_manager.v3 to `model.http_manager`."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

from twistproxy.config.access_logs import build_access_logs, build_log_options
from twistproxy.config.config_source import read_file_source
from twistproxy.config.fields import Reader
from twistproxy.config.http1 import build_http1, stays_open_after_error
from twistproxy.config.http_filters import build_http_filters
from twistproxy.config.local_reply import build_local_replies
from twistproxy.config.manager_heads import (
    build_detections,
    build_early_mutations,
    build_proxy_status,
    build_sanitise,
    build_scheme,
    build_tracing,
    internal_addresses,
    keeps_client_cert,
)
from twistproxy.config.routes import build_routes
from twistproxy.config.upgrades import build_manager_upgrades
from twistproxy.model.access_log import UpstreamLogOptions
from twistproxy.model.bootstrap import Node
from twistproxy.model.http_manager import HttpManagerSettings


def build_http_manager(reader: Reader, clusters: Set[str], node: Node) -> HttpManagerSettings:
    """`clusters`: the names that routes may use; `node`: who we are."""
    codec = reader.enum("codec_type")
    if codec not in ("AUTO", "HTTP1"):
        reader.problem(f"{codec} is not implemented so far; AUTO and HTTP1 are", "codec_type")
    # They say how HTTP/2 and HTTP/3 are spoken, and neither is.
    reader.ignore("http2_protocol_options", "http3_protocol_options", "stream_flush_timeout")
    if reader.oneof("route_specifier") != "route_config":
        _refuse_routes(reader)
    routes = build_routes(reader.message_or_empty("route_config"), clusters)
    filters, router = build_http_filters(reader, node.cluster)
    common = reader.message_or_empty("common_http_protocol_options")
    internal_cidrs, internal_unix_sockets = internal_addresses(reader)
    tracing, pack_trace_reason = build_tracing(reader)
    server_name = (reader.string("server_name") or "twistproxy").encode()
    agent = reader.boolean("add_user_agent")
    return HttpManagerSettings(
        stat_prefix=reader.string("stat_prefix"),
        routes=routes,
        access_logs=build_access_logs(reader),
        log_options=build_log_options(reader),
        local_replies=build_local_replies(reader),
        http1=build_http1(reader, common),
        server_name=server_name,
        server_header=reader.enum("server_header_transformation"),
        use_remote_address=reader.boolean("use_remote_address"),
        xff_num_trusted_hops=reader.integer("xff_num_trusted_hops", 0),
        skip_xff_append=reader.boolean("skip_xff_append"),
        internal_cidrs=internal_cidrs,
        internal_unix_sockets=internal_unix_sockets,
        detections=build_detections(reader),
        append_forwarded_port=reader.boolean("append_x_forwarded_port"),
        scheme=build_scheme(reader),
        keep_client_cert=keeps_client_cert(reader),
        pack_trace_reason=pack_trace_reason,
        tracing=tracing,
        proxy_status=build_proxy_status(reader, server_name, node),
        generate_request_id=reader.boolean("generate_request_id", True),
        preserve_external_request_id=reader.boolean("preserve_external_request_id"),
        always_set_request_id_in_response=reader.boolean("always_set_request_id_in_response"),
        idle_timeout=common.duration("idle_timeout", 3600.0) or None,
        max_connection_duration=common.duration("max_connection_duration") or None,
        http1_safe_max_connection_duration=reader.boolean("http1_safe_max_connection_duration"),
        max_requests_per_connection=common.integer("max_requests_per_connection", 0),
        stream_idle_timeout=reader.duration("stream_idle_timeout", 300.0),
        max_stream_duration=common.duration("max_stream_duration", 0.0),
        request_timeout=reader.duration("request_timeout", 0.0),
        request_headers_timeout=reader.duration("request_headers_timeout", 0.0),
        drain_timeout=reader.duration("drain_timeout", 5.0),
        delayed_close_timeout=reader.duration("delayed_close_timeout", 1.0),
        filters=filters,
        **_router(router),
        proxy_100_continue=reader.boolean("proxy_100_continue"),
        user_agent=node.cluster.encode() if agent else b"",
        node_id=node.id.encode() if agent else b"",
        sanitise=build_sanitise(reader),
        via=reader.string("via").encode(),
        early_mutations=build_early_mutations(reader),
        upgrades=build_manager_upgrades(reader, router, node.cluster),
        stays_open_after_error=stays_open_after_error(reader),
        append_local_overload=reader.boolean("append_local_overload"),
    )


def _refuse_routes(manager: Reader) -> None:
    """Routes from a file are inline by now (`config.file_resources`)."""
    kind = str(manager.oneof("route_specifier"))
    rds = manager.message("rds") if kind == "rds" else None
    if rds is None:
        manager.refuse(kind, "is not implemented; route_config, and rds with a file, are")
    elif rds.has("config_source"):
        rds.ignore("route_config_name")
        read_file_source(rds.message_or_empty("config_source"), "routes")


def _router(reader: Reader | None) -> dict[str, Any]:
    """The router's settings."""
    if reader is None:
        return {}
    # Statistics of answers are always kept, they cost nothing to speak of; nothing is traced, so there are no spans.
    reader.ignore("dynamic_stats", "start_child_span")
    options = reader.message_or_empty("upstream_log_options")
    return {
        "upstream_logs": build_access_logs(reader, "upstream_log"),
        "upstream_log_options": UpstreamLogOptions(
            options.boolean("flush_upstream_log_on_upstream_stream"),
            options.duration("upstream_log_flush_interval", 0.0),
        ),
        "envoy_headers": not reader.boolean("suppress_envoy_headers"),
        "strict_check_headers": tuple(name.encode() for name in reader.strings("strict_check_headers")),
        "respect_expected_rq_timeout": reader.boolean("respect_expected_rq_timeout"),
    }
