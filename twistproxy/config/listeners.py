"""envoy.config.listener.v3 and the HTTP connection manager to `model.listener` and `model.http_manager`."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from twistproxy.config.access_logs import build_access_logs
from twistproxy.config.fields import Reader
from twistproxy.config.routes import build_routes
from twistproxy.config.values import address, cidr, ipv4_compat
from twistproxy.model.address import TcpAddress
from twistproxy.model.bootstrap import Node
from twistproxy.model.http_manager import Http1Settings, HttpManagerSettings
from twistproxy.model.listener import FilterChain, ListenerSettings

_HTTP_MANAGER = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
_ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_RAW_BUFFER = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer"


def build_listeners(resources: Reader, clusters: Set[str], node: Node) -> tuple[ListenerSettings, ...]:
    """All static listeners, in order.  `clusters`: the names that routes may use; `node`: who we are."""
    built: dict[str, ListenerSettings] = {}
    for reader in resources.messages("listeners"):
        settings = _listener(reader, clusters, node)
        if settings is not None:
            if settings.name in built:
                reader.problem(f"a listener of the name {settings.name!r} is there already", "name")
            built[settings.name] = settings
    return tuple(built.values())


def _listener(reader: Reader, clusters: Set[str], node: Node) -> ListenerSettings | None:
    where = reader.message("address")
    if where is None:
        reader.problem("an address is expected", "address")
        return None
    found = address(where)
    # Without listener filters there is nothing that these would wait for; the direction only labels.
    reader.ignore("listener_filters_timeout", "continue_on_listener_filters_timeout", "traffic_direction")
    chain = _chain(reader, clusters, node)
    if chain is None:
        return None
    backlog = reader.integer("tcp_backlog_size", 0)
    return ListenerSettings(
        name=reader.string("name") or str(found),
        address=found,
        filter_chain=chain,
        stat_name=reader.string("stat_prefix") or str(found).replace(":", "_"),
        reuse_port=reader.boolean("enable_reuse_port", True),
        ipv4_compat=isinstance(found, TcpAddress) and ipv4_compat(where),
        backlog=backlog,
        buffer_limit=reader.integer("per_connection_buffer_limit_bytes"),
        bind_to_port=reader.boolean("bind_to_port", True),
    )


def _chain(reader: Reader, clusters: Set[str], node: Node) -> FilterChain | None:
    chains = [_filter_chain(one, clusters, node) for one in reader.messages("filter_chains")]
    default = reader.message("default_filter_chain")
    if default is not None:
        chains.append(_filter_chain(default, clusters, node))
    if len(reader.raw.filter_chains) > 1:
        reader.problem(
            "multiple filter chains with the same matching rules are defined (matching rules are not implemented)",
            "filter_chains",
        )
    if not chains:
        reader.problem("no filter chains specified", "filter_chains")
        return None
    return chains[0]


def _filter_chain(reader: Reader, clusters: Set[str], node: Node) -> FilterChain | None:
    match = reader.message("filter_chain_match")
    if match is not None and not match.raw.ListFields():
        match.ignore()
    socket = reader.message("transport_socket")
    if socket is not None:
        socket.ignore("name")
        config = socket.unpack("typed_config")
        if config is None or config.type_name != _RAW_BUFFER:
            socket.problem("only plain text from downstreams is implemented so far")
    filters = reader.messages("filters")
    built = None
    for at, one in enumerate(filters):
        one.ignore("name")
        config = one.unpack("typed_config")
        if config is None:
            continue
        if config.type_name != _HTTP_MANAGER:
            one.problem(f"the network filter {config.type_name} is not implemented", "typed_config")
            config.ignore(*(field.name for field in config.raw.DESCRIPTOR.fields))
        elif at != len(filters) - 1:
            one.problem("is a terminal filter and must be the last of the chain")
        else:
            name = reader.string("name")
            manager = _http_manager(config, clusters, node)
            built = FilterChain(name, replace(manager, filter_chain_name=name))
    if not filters:
        reader.problem("a filter chain without filters is not implemented", "filters")
    return built


def _http_manager(reader: Reader, clusters: Set[str], node: Node) -> HttpManagerSettings:
    codec = reader.enum("codec_type")
    if codec not in ("AUTO", "HTTP1"):
        reader.problem(f"{codec} is not implemented so far; AUTO and HTTP1 are", "codec_type")
    # They say how HTTP/2 and HTTP/3 are spoken, and neither is.
    reader.ignore("http2_protocol_options", "http3_protocol_options")
    _only(reader, "forward_client_cert_details", "SANITIZE")
    if reader.oneof("route_specifier") != "route_config":
        reader.problem("routes must be inline (route_config) so far", str(reader.oneof("route_specifier")))
    routes = build_routes(reader.message_or_empty("route_config"), clusters)
    common = reader.message_or_empty("common_http_protocol_options")
    internal = reader.message_or_empty("internal_address_config")
    envoy_headers = _http_filters(reader)
    _only(reader, "path_with_escaped_slashes_action", "IMPLEMENTATION_SPECIFIC_DEFAULT", "KEEP_UNCHANGED")
    agent = reader.boolean("add_user_agent")
    for name in ("normalize_path", "merge_slashes"):
        if reader.boolean(name):
            reader.problem("is not implemented so far", name)
    return HttpManagerSettings(
        stat_prefix=reader.string("stat_prefix"),
        routes=routes,
        access_logs=build_access_logs(reader),
        http1=_http1(reader, common),
        server_name=(reader.string("server_name") or "twistproxy").encode(),
        server_header=reader.enum("server_header_transformation"),
        use_remote_address=reader.boolean("use_remote_address"),
        xff_num_trusted_hops=reader.integer("xff_num_trusted_hops", 0),
        skip_xff_append=reader.boolean("skip_xff_append"),
        internal_cidrs=tuple(cidr(one) for one in internal.messages("cidr_ranges")),
        generate_request_id=reader.boolean("generate_request_id", True),
        preserve_external_request_id=reader.boolean("preserve_external_request_id"),
        always_set_request_id_in_response=reader.boolean("always_set_request_id_in_response"),
        idle_timeout=common.duration("idle_timeout", 3600.0) or None,
        max_connection_duration=common.duration("max_connection_duration") or None,
        max_requests_per_connection=common.integer("max_requests_per_connection", 0),
        stream_idle_timeout=reader.duration("stream_idle_timeout", 300.0),
        request_timeout=reader.duration("request_timeout", 0.0),
        request_headers_timeout=reader.duration("request_headers_timeout", 0.0),
        drain_timeout=reader.duration("drain_timeout", 5.0),
        delayed_close_timeout=reader.duration("delayed_close_timeout", 1.0),
        envoy_headers=envoy_headers,
        proxy_100_continue=reader.boolean("proxy_100_continue"),
        user_agent=node.cluster.encode() if agent else b"",
        node_id=node.id.encode() if agent else b"",
    )


def _only(reader: Reader, name: str, *values: str) -> None:
    value = reader.enum(name)
    if value not in values:
        reader.problem(f"{value} is not implemented so far", name)


def _http1(reader: Reader, common: Reader) -> Http1Settings:
    options = reader.message_or_empty("http_protocol_options")
    return Http1Settings(
        accept_http_10=options.boolean("accept_http_10"),
        default_host_for_http_10=options.string("default_host_for_http_10").encode(),
        enable_trailers=options.boolean("enable_trailers"),
        allow_absolute_url=options.boolean("allow_absolute_url", True),
        max_head_bytes=reader.integer("max_request_headers_kb", 60) * 1024,
        max_headers=common.integer("max_headers_count", 100),
    )


def _http_filters(reader: Reader) -> bool:
    """Only the router is there so far.  Returns whether it sets x-envoy-* headers."""
    envoy_headers = True
    filters = reader.messages("http_filters")
    for one in filters:
        one.ignore("name")
        config = one.unpack("typed_config")
        if config is None:
            if not one.has("typed_config"):
                one.problem("a typed_config is expected", "typed_config")
            continue
        if config.type_name != _ROUTER:
            one.problem(f"the HTTP filter {config.type_name} is not implemented", "typed_config")
            config.ignore(*(field.name for field in config.raw.DESCRIPTOR.fields))
            continue
        config.ignore("dynamic_stats", "start_child_span")
        envoy_headers = not config.boolean("suppress_envoy_headers")
    return envoy_headers
