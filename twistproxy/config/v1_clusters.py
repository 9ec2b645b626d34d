"""v1 clusters to v3 Clusters."""

from __future__ import annotations

from typing import Any

from .v1_address import address_of, host_port
from .v1_health import health_checks
from .v1_reader import Part, Text, V1Object, typed, typed_struct
from .v1_tls import cluster_transport_socket

SDS_CLUSTER_TYPE = "twistproxy.clusters.v1_sds"
_TYPES = ("static", "strict_dns", "logical_dns", "sds", "original_dst")
_POLICIES = ("round_robin", "least_request", "random", "ring_hash", "original_dst_lb")
_UPSTREAM_HTTP = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
_CARES = "envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig"
_MOST_STREAMS = 2**31 - 1
_WINDOW = 256 * 1024 * 1024
_TEN_YEARS = "315360000s"


def cluster(item: V1Object) -> Part:
    """One v1 cluster object."""
    kind = item.choice("type", _TYPES, required=True)
    name = item.name()
    policy = item.choice("lb_type", _POLICIES, required=True)
    if (kind == "original_dst") != (policy == "original_dst_lb") and kind and policy:
        item.problem("the type original_dst and the lb_type original_dst_lb go together", "lb_type")
    family = item.choice("dns_lookup_family", ("v4_only", "v6_only", "auto"))
    content: dict[str, Any] = {
        "name": name,
        **_discovery(item, kind, name),
        "connect_timeout": item.milliseconds("connect_timeout_ms", required=True),
        "per_connection_buffer_limit_bytes": item.integer("per_connection_buffer_limit_bytes", low=1),
        "lb_policy": _policy(policy),
        "ring_hash_lb_config": _ring_hash(item),
        "load_assignment": _load_assignment(item, kind, name),
        "health_checks": health_checks(item),
        "circuit_breakers": _circuit_breakers(item),
        "transport_socket": cluster_transport_socket(item),
        "typed_extension_protocol_options": {_UPSTREAM_HTTP: _upstream_http(item)},
        "dns_refresh_rate": item.milliseconds("dns_refresh_rate_ms"),
        "dns_lookup_family": family.upper() if family else "V4_ONLY",
        "typed_dns_resolver_config": _resolvers(item),
        "cleanup_interval": item.milliseconds("cleanup_interval_ms"),
        "outlier_detection": _outlier_detection(item),
    }
    if kind in ("static", "sds", "original_dst") and family is None:
        del content["dns_lookup_family"]
    elif family is None:
        item.conversion.note("DNS: v1 asked for IPv4 addresses only (dns_lookup_family: V4_ONLY).")
    return item.v3(content)


def _discovery(item: V1Object, kind: Text | None, name: Text | None) -> dict[str, Any]:
    service = item.string("service_name")
    if kind != "sds":
        return {"type": kind.upper() if kind else None}
    source = item.conversion.sds_cluster
    if source is None:
        item.problem("a cluster of type sds needs cluster_manager.sds", "type")
    value = {
        "cluster": source,
        "service_name": service or name,
        "refresh_delay": item.conversion.sds_refresh_delay,
    }
    return {"cluster_type": typed_struct(SDS_CLUSTER_TYPE, SDS_CLUSTER_TYPE, value)}


def _policy(policy: Text | None) -> str | None:
    if policy is None:
        return None
    return "CLUSTER_PROVIDED" if policy == "original_dst_lb" else policy.upper()


def _ring_hash(item: V1Object) -> dict[str, Any] | None:
    config = item.object("ring_hash_lb_config")
    if config is None:
        return None
    size, standard = config.integer("minimum_ring_size", low=0), config.boolean("use_std_hash")
    function = "XX_HASH" if standard is False else "MURMUR_HASH_2"
    item.conversion.note("Ring hash: use_std_hash of v1 is MURMUR_HASH_2, libstdc++'s std::hash.")
    return config.v3({"minimum_ring_size": size or None, "hash_function": function}, close=False)


def _load_assignment(item: V1Object, kind: Text | None, name: Text | None) -> dict[str, Any] | None:
    wanted = kind in ("static", "strict_dns", "logical_dns")
    hosts = item.objects("hosts", required=wanted, least=1)
    if kind == "original_dst" and item.has("hosts"):
        item.problem("a cluster of type original_dst has no hosts of its own", "hosts")
    if not wanted:
        return None
    if kind == "logical_dns" and len(hosts) > 1:
        item.warning("a cluster of type logical_dns uses only the first of its hosts", "hosts")
    endpoints = []
    seen: set[str | None] = set()
    for host in hosts:
        url = host.string("url", required=True)
        if url in seen and url is not None:
            host.problem(f'the host "{url}" is there twice', "url")
        seen.add(url)
        address = address_of(host, "url", required=False, resolved=kind == "static")
        endpoints.append(host.v3({"endpoint": {"address": address}}))
    if kind == "logical_dns":
        endpoints = endpoints[:1]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def _circuit_breakers(item: V1Object) -> dict[str, Any] | None:
    breakers = item.object("circuit_breakers")
    if breakers is None:
        return None
    thresholds = []
    for priority in ("default", "high"):
        limits = breakers.object(priority)
        if limits is None:
            continue
        names = ("max_connections", "max_pending_requests", "max_requests", "max_retries")
        content: dict[str, Any] = {"priority": priority.upper()}
        thresholds.append(limits.v3(content | {name: limits.integer(name, low=0) for name in names}))
    return breakers.v3({"thresholds": thresholds})


def _upstream_http(item: V1Object) -> dict[str, Any]:
    """HTTP towards the cluster; v1 closed no idle connection, v3 does after an hour."""
    item.conversion.note(
        "Idle upstream connections are kept, as in v1 (idle_timeout: 0s); v3 closes them after 1 h."
    )
    http2 = item.choice("features", ("http2",)) is not None
    most = item.integer("max_requests_per_connection", low=1)
    options = item.object("http2_settings")
    codec = item.choice("http_codec_options", ("no_compression",))
    if codec is not None:
        item.warning('an old spelling of "http2_settings": {"hpack_table_size": 0}', "http_codec_options")
    settings = http2_options(options, codec is not None) if http2 or options is not None or codec else None
    # In the 1.7 and 1.8 releases the presence of http2_settings alone switched to HTTP/2.
    use_http2 = http2 or options is not None
    return {
        "@type": f"type.googleapis.com/{_UPSTREAM_HTTP}",
        "common_http_protocol_options": {"idle_timeout": "0s", "max_requests_per_connection": most},
        "explicit_http_config": {"http2_protocol_options": settings}
        if use_http2
        else {"http_protocol_options": {}},
    }


def http2_options(settings: V1Object | None, no_compression: bool = False) -> dict[str, Any]:
    """v1 `http2_settings` with v1's defaults written out; the object is an open one."""
    if settings is None:
        table = streams = stream_window = connection_window = None
    else:
        table = settings.integer("hpack_table_size", low=0, high=2**32 - 1)
        streams = settings.integer("max_concurrent_streams", low=1, high=_MOST_STREAMS)
        stream_window = settings.integer("initial_stream_window_size", low=65535, high=_MOST_STREAMS)
        connection_window = settings.integer("initial_connection_window_size", low=65535, high=_MOST_STREAMS)
        if no_compression and table:
            settings.problem(
                '"no_compression" and an hpack_table_size exclude each other', "hpack_table_size"
            )
        settings.conversion.note("HTTP/2: v1's windows (256 MiB) and stream limit (2^31-1) are written out.")
    return {
        "hpack_table_size": 0 if no_compression else table,
        "max_concurrent_streams": streams or _MOST_STREAMS,
        "initial_stream_window_size": stream_window or _WINDOW,
        "initial_connection_window_size": connection_window or _WINDOW,
    }


def _resolvers(item: V1Object) -> dict[str, Any] | None:
    servers = item.strings("dns_resolvers", least=1, unique=True)
    if not servers:
        return None
    addresses = [host_port(item, "dns_resolvers", server) for server in servers]
    return typed(
        "envoy.network.dns_resolver.cares", _CARES, {"resolvers": [a for a in addresses if a is not None]}
    )


def _outlier_detection(item: V1Object) -> dict[str, Any] | None:
    found = item.object("outlier_detection")
    if found is None:
        return None
    counts = (
        "consecutive_5xx",
        "consecutive_gateway_failure",
        "success_rate_minimum_hosts",
        "success_rate_request_volume",
        "success_rate_stdev_factor",
    )
    percents = (
        "max_ejection_percent",
        "enforcing_consecutive_5xx",
        "enforcing_consecutive_gateway_failure",
        "enforcing_success_rate",
    )
    content: dict[str, Any] = {name: found.integer(name, low=1) for name in counts}
    content |= {name: found.integer(name, low=0, high=100) for name in percents}
    content["interval"] = found.milliseconds("interval_ms")
    content["base_ejection_time"] = found.milliseconds("base_ejection_time_ms")
    content["max_ejection_time"] = _TEN_YEARS
    item.conversion.note("Outlier ejection: v1 had no upper limit (max_ejection_time is set to ten years).")
    return found.v3(content)
