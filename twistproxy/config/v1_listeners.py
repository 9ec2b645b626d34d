"""v1 listeners and network filters to v3."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

from .suggest import did_you_mean
from .v1_access_logs import access_logs
from .v1_address import address_of, cidrs_of
from .v1_http import connection_manager, connection_manager_direction
from .v1_reader import Part, V1Object, typed, typed_struct
from .v1_tls import listener_transport_socket

FilterMaker: TypeAlias = Callable[[V1Object], dict[str, Any]]

TCP_PROXY_STRUCT = "twistproxy.filters.network.v1_tcp_proxy"
CLIENT_SSL_AUTH_STRUCT = "twistproxy.filters.network.client_ssl_auth"
_NETWORK = "envoy.extensions.filters.network"
_ORIGINAL_DST = "envoy.extensions.filters.listener.original_dst.v3.OriginalDst"
_PROXY_PROTOCOL = "envoy.extensions.filters.listener.proxy_protocol.v3.ProxyProtocol"
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?\Z")
FILTER_TYPES = ("read", "write", "both")


def listener(item: V1Object) -> Part:
    """One v1 listener object."""
    drain = item.choice("drain_type", ("default", "modify_only"))
    filters: list[dict[str, Any]] = []
    direction = None
    for entry in item.objects("filters", required=True):
        made = _network_filter(entry)
        if made is not None:
            filters.append(made)
        direction = direction or connection_manager_direction(entry)
    chain = {"filters": filters, "transport_socket": listener_transport_socket(item)}
    content = {
        "name": item.name(required=False),
        "address": _address(item),
        "traffic_direction": direction,
        "listener_filters": _listener_filters(item) or None,
        "filter_chains": [chain],
        "bind_to_port": item.boolean("bind_to_port"),
        "use_original_dst": item.boolean("use_original_dst"),
        "transparent": item.boolean("transparent"),
        "per_connection_buffer_limit_bytes": item.integer("per_connection_buffer_limit_bytes", low=1),
        "drain_type": drain.upper() if drain else None,
    }
    return item.v3(content)


def _listener_filters(item: V1Object) -> list[dict[str, Any]]:
    """`use_proxy_proto`, and the array `listener_filters` that the last releases with v1 also took."""
    made: list[dict[str, Any]] = []
    proxy_protocol = bool(item.boolean("use_proxy_proto"))
    for entry in item.objects("listener_filters"):
        name, config = entry.string("name", required=True), entry.object("config")
        if config is not None:
            config.close()
        short = (name or "").removeprefix("envoy.").removeprefix("listener.")
        if short == "original_dst":
            made.append(entry.v3(typed("envoy.filters.listener.original_dst", _ORIGINAL_DST)))
        elif short == "proxy_protocol":
            proxy_protocol = True
            entry.close()
        elif name is not None:
            entry.problem(f'unknown listener filter "{name}"', "name")
    if proxy_protocol:
        made.append(
            typed("envoy.filters.listener.proxy_protocol", _PROXY_PROTOCOL, {"disallowed_versions": ["V2"]})
        )
    return made


def _address(item: V1Object) -> dict[str, Any] | None:
    if not item.has("port") or item.has("address"):
        return address_of(item, "address")
    return old_port(item)


def old_port(item: V1Object) -> dict[str, Any] | None:
    """The address of an object that has, as before Envoy 1.3, a bare port."""
    port = item.integer("port", True, 0, 65535)
    item.warning(f'an old spelling of "address": "tcp://0.0.0.0:{port}"', "port")
    return {"socket_address": {"address": "0.0.0.0", "port_value": port}}


def _network_filter(item: V1Object) -> dict[str, Any] | None:
    item.choice("type", FILTER_TYPES)
    name, config = item.string("name", required=True), item.object("config", required=True)
    item.close()
    if name is None or config is None:
        return None
    short = name.removeprefix("envoy.").removeprefix("filters.network.")
    maker = _MAKERS.get(short)
    if maker is None:
        item.problem(f'unknown network filter "{name}"{did_you_mean(short, _MAKERS)}', "name")
        return None
    return config.v3(maker(config))


def _tcp_proxy(config: V1Object) -> dict[str, Any]:
    prefix, logs = config.string("stat_prefix", required=True), access_logs(config)
    if config.has("cluster") and not config.has("route_config"):
        cluster = config.string("cluster")
        config.warning('an old spelling of "route_config": {"routes": [{"cluster": …}]}', "cluster")
        routes: list[dict[str, Any]] = [{"cluster": cluster}]
    else:
        table = config.object("route_config", required=True)
        routes = [_tcp_route(route) for route in table.objects("routes", required=True)] if table else []
        if table is not None:
            table.close()
    config.conversion.note("TCP proxy: v1 closed no idle connection (idle_timeout: 0s); v3 does after 1 h.")
    name = f"{_NETWORK.replace('extensions.', '')}.tcp_proxy"
    common: dict[str, Any] = {"stat_prefix": prefix}
    if logs is not None:
        common["access_log"] = logs
    if len(routes) == 1 and list(routes[0]) == ["cluster"]:
        content = {**common, "cluster": routes[0]["cluster"], "idle_timeout": "0s"}
        return typed(name, f"{_NETWORK}.tcp_proxy.v3.TcpProxy", content)
    text = "v3 has no ordered table of TCP routes: only twistproxy understands the result"
    config.warning(text, "route_config")
    return typed_struct(name, TCP_PROXY_STRUCT, {**common, "routes": routes})


def _tcp_route(route: V1Object) -> Part:
    """A TCP route; one without criteria has only the key `cluster`."""
    content: dict[str, Any] = {"cluster": route.string("cluster", required=True)}
    for key in ("destination_ip_list", "source_ip_list"):
        ranges = cidrs_of(route, key)
        if ranges:
            content[key] = ranges
    for key in ("destination_ports", "source_ports"):
        ports = route.string(key, least=1)
        if ports is not None:
            if not all(_is_port_range(part) for part in ports.split(",")):
                route.problem(f'expected ports such as "1-1024,2048,12345", found "{ports}"', key)
            content[key] = ports
    return route.v3(content)


def _is_port_range(text: str) -> bool:
    match = _PORTS.match(text)
    return match is not None and int(match[1]) <= int(match[2] or match[1]) <= 65535


def _echo(config: V1Object) -> dict[str, Any]:
    return typed("envoy.filters.network.echo", f"{_NETWORK}.echo.v3.Echo")


def _ratelimit(config: V1Object) -> dict[str, Any]:
    descriptors = []
    node = config.plain("descriptors")
    if not isinstance(node, list) or not all(isinstance(item, list) for item in node):
        config.problem("expected an array of arrays of key and value", "descriptors")
        node = []
    for entries in node:
        if not entries or not all(isinstance(e, dict) and set(e) == {"key", "value"} for e in entries):
            config.problem("each descriptor has at least one object of key and value", "descriptors")
            continue
        descriptors.append({"entries": entries})
    service = config.conversion.rate_limit_service
    if service is None:
        config.warning("without rate_limit_service at the top it lets everything pass, as in v1")
    content = {
        "stat_prefix": config.string("stat_prefix", required=True),
        "domain": config.string("domain", required=True),
        "descriptors": descriptors,
        "timeout": config.milliseconds("timeout_ms"),
        "rate_limit_service": service,
    }
    return typed("envoy.filters.network.ratelimit", f"{_NETWORK}.ratelimit.v3.RateLimit", content)


def _client_ssl_auth(config: V1Object) -> dict[str, Any]:
    config.warning("client_ssl_auth is no longer in Envoy: only twistproxy understands the result")
    content = {
        "auth_api_cluster": config.string("auth_api_cluster", required=True),
        "stat_prefix": config.string("stat_prefix", required=True),
        "refresh_delay": config.milliseconds("refresh_delay_ms"),
        "ip_white_list": cidrs_of(config, "ip_white_list") or None,
    }
    return typed_struct("envoy.filters.network.client_ssl_auth", CLIENT_SSL_AUTH_STRUCT, content)


def _redis_proxy(config: V1Object) -> dict[str, Any]:
    pool = config.object("conn_pool", required=True)
    settings = pool.v3({"op_timeout": pool.milliseconds("op_timeout_ms", required=True)}) if pool else None
    content = {
        "stat_prefix": config.string("stat_prefix", required=True),
        "settings": settings,
        "prefix_routes": {"catch_all_route": {"cluster": config.string("cluster_name", required=True)}},
    }
    return typed("envoy.filters.network.redis_proxy", f"{_NETWORK}.redis_proxy.v3.RedisProxy", content)


def _mongo_proxy(config: V1Object) -> dict[str, Any]:
    fault = config.object("fault")
    delay = fault.object("fixed_delay", required=True) if fault is not None else None
    made = None
    if fault is not None:
        fault.close()
    if delay is not None:
        percent = {"numerator": delay.integer("percent", True, 0, 100), "denominator": "HUNDRED"}
        fixed = delay.milliseconds("duration_ms", required=True)
        made = delay.v3({"percentage": percent, "fixed_delay": fixed})
    content = {
        "stat_prefix": config.string("stat_prefix", required=True),
        "access_log": config.string("access_log"),
        "delay": made,
    }
    return typed("envoy.filters.network.mongo_proxy", f"{_NETWORK}.mongo_proxy.v3.MongoProxy", content)


_MAKERS: dict[str, FilterMaker] = {
    "http_connection_manager": connection_manager,
    "tcp_proxy": _tcp_proxy,
    "echo": _echo,
    "ratelimit": _ratelimit,
    "client_ssl_auth": _client_ssl_auth,
    "redis_proxy": _redis_proxy,
    "mongo_proxy": _mongo_proxy,
}
