"""envoy.config.cluster.v3 to `model.cluster`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from twistproxy.config.config_source import read_file_source
from twistproxy.config.dns import build_dns, build_dns_extension
from twistproxy.config.fields import Reader
from twistproxy.config.health_checks import build_cluster_checks
from twistproxy.config.http1 import build_upstream_http
from twistproxy.config.load_balancing import build_balancing
from twistproxy.config.outlier import build_outlier_detection
from twistproxy.config.provided import build_aggregate, build_original_dst, check_provided, is_original_dst
from twistproxy.config.upstream_sockets import (
    BindConfig,
    build_bind_config,
    build_sockets,
    build_transport_socket,
)
from twistproxy.config.values import assignment_policy, endpoints, filter_metadata
from twistproxy.model.cluster import ClusterSettings, Thresholds
from twistproxy.model.discovery import (
    DiscoverySource,
    EdsFileSource,
    OriginalDstSource,
    Resolver,
    StaticSource,
    V1SdsSource,
)
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.server_options import ServerOptions

#: Ours: a cluster that is polled from a v1 SDS REST API, as the translation of v1 JSON writes it.
V1_SDS = "twistproxy.clusters.v1_sds"

#: A Duration as protobuf's JSON mapping writes it.
_SECONDS = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,9})?)s", re.ASCII)
_NOT_PER_HOST = (
    "max_connection_pools",
    "max_pending_requests",
    "max_requests",
    "max_retries",
    "retry_budget",
    "track_remaining",
)


def build_clusters(
    resources: Reader, options: ServerOptions, resolver: Resolver, bind_config: BindConfig | None = None
) -> tuple[ClusterSettings, ...]:
    """All static clusters, in order.  A name may be used once.  `resolver`, `bind_config`: those of clusters that have
    none of their own."""
    built: dict[str, ClusterSettings] = {}
    later: list[tuple[str, Reader, Reader]] = []
    for reader in resources.messages("clusters"):
        settings = _cluster(reader, options, resolver, later, bind_config)
        if settings.name in built:
            reader.problem(f"cluster manager: duplicate cluster '{settings.name}'", "name")
        built[settings.name] = settings
    for name, reader, config in later:
        built[name] = replace(built[name], source=_v1_sds(name, reader, config, built))
    return tuple(built.values())


def _cluster(
    reader: Reader,
    options: ServerOptions,
    resolver: Resolver,
    later: list[tuple[str, Reader, Reader]],
    bind_config: BindConfig | None,
) -> ClusterSettings:
    name = reader.string("name")
    balancing = build_balancing(reader)
    http = build_upstream_http(reader)
    check_provided(reader, balancing.policy)
    original = build_original_dst(reader) if is_original_dst(reader) else None
    members = build_aggregate(reader)
    fixed, source = ([], None) if members is not None else _endpoints(reader, name, options, resolver, later)
    if original is not None:
        source = OriginalDstSource(name, original.cleanup_interval)
    default, high = _thresholds(reader)
    stat_name = reader.string("alt_stat_name")
    sockets = build_sockets(
        reader, build_bind_config(reader.message("upstream_bind_config"), f"Cluster {name}"), bind_config
    )
    checks = build_cluster_checks(reader, name, stat_name, http, source, sockets)
    outlier = build_outlier_detection(reader.message("outlier_detection"), http.errors)
    # Workers that count together do so in rows that the discovery process gives to hosts.
    together = outlier is not None or (
        options.concurrency > 1
        and (
            balancing.compares_load
            or default.max_connections_per_host is not None
            or high.max_connections_per_host is not None
        )
    )
    if source is None and members is None and (together or checks is not None):
        fixed, source = [], StaticSource(name, tuple(fixed))
    common = reader.message_or_empty("common_lb_config")
    preconnect = reader.message_or_empty("preconnect_policy")
    return ClusterSettings(
        name=name,
        balancing=balancing,
        policy=assignment_policy(reader.message("load_assignment")),
        connect_timeout=reader.duration("connect_timeout", 5.0),
        original_dst=original,
        aggregate=members or (),
        endpoints=tuple(fixed),
        source=source,
        stat_name=stat_name,
        metadata=filter_metadata(reader),
        max_requests_per_connection=http.max_requests or reader.integer("max_requests_per_connection", 0),
        idle_timeout=http.idle_timeout,
        max_stream_duration=http.max_stream_duration,
        retry=http.retry,
        max_connection_duration=http.max_connection_duration,
        http1=http.http1,
        buffer_limit=reader.integer("per_connection_buffer_limit_bytes"),
        default_thresholds=default,
        high_thresholds=high,
        outlier=outlier,
        health_checks=checks,
        close_on_failure=reader.boolean("close_connections_on_host_health_failure"),
        close_on_change=common.boolean("close_connections_on_host_set_change"),
        sockets=sockets,
        proxy_protocol=build_transport_socket(reader),
        preconnect_ratio=preconnect.number("per_upstream_preconnect_ratio", 1.0),
        predictive_preconnect_ratio=preconnect.number("predictive_preconnect_ratio", 1.0),
        pool_per_downstream_connection=reader.boolean("connection_pool_per_downstream_connection"),
    )


def _thresholds(reader: Reader) -> tuple[Thresholds, Thresholds]:
    found: dict[str, Thresholds] = {}
    per_host: dict[str, int | None] = {}
    breakers = reader.message("circuit_breakers")
    if breakers is not None:
        # The first of a priority counts, as in Envoy.
        for one in breakers.messages("thresholds"):
            thresholds = Thresholds(
                max_connections=one.integer("max_connections", 1024),
                max_pending_requests=one.integer("max_pending_requests", 1024),
                max_requests=one.integer("max_requests", 1024),
                max_retries=one.integer("max_retries", 3),
                track_remaining=one.boolean("track_remaining"),
                max_connection_pools=one.integer("max_connection_pools"),
                retry_budget=_budget(one.message("retry_budget")),
            )
            found.setdefault(one.enum("priority"), thresholds)
        for one in breakers.messages("per_host_thresholds"):
            for field in _NOT_PER_HOST:
                if one.has(field):
                    one.refuse(field, "Unsupported field in per_host_thresholds")
            per_host.setdefault(one.enum("priority"), one.integer("max_connections"))
    default, high = (
        replace(found.get(name, Thresholds()), max_connections_per_host=per_host.get(name))
        for name in ("DEFAULT", "HIGH")
    )
    return default, high


def _budget(reader: Reader | None) -> tuple[float, int] | None:
    if reader is None:
        return None
    return reader.number("budget_percent", 20.0), reader.integer("min_retry_concurrency", 3)


def _endpoints(
    reader: Reader,
    name: str,
    options: ServerOptions,
    resolver: Resolver,
    later: list[tuple[str, Reader, Reader]],
) -> tuple[list[Endpoint], DiscoverySource | None]:
    if reader.oneof("cluster_discovery_type") == "cluster_type":
        custom = reader.message_or_empty("cluster_type")
        dns = build_dns_extension(reader, custom, name, resolver)
        if dns is not None:
            return [], dns
        config = custom.unpack("typed_config")
        if config is None or custom.string("name") != V1_SDS:
            what = custom.string("name") if config is None else config.called
            custom.problem(f"the cluster extension {what} is not implemented")
            custom.ignore_all()
            return [], None
        config.ignore("type_url", "value")
        later.append((name, custom, config))
        return [], None
    kind = reader.enum("type")
    if kind not in ("STRICT_DNS", "LOGICAL_DNS"):
        # Many files have it at every cluster.  Where there are no names it says nothing, here as in Envoy.
        reader.ignore("dns_lookup_family")
    if kind == "ORIGINAL_DST":
        return [], None
    if kind == "EDS":
        return [], _eds(reader, name, options)
    if kind in ("STRICT_DNS", "LOGICAL_DNS"):
        return [], build_dns(reader, name, kind == "LOGICAL_DNS", resolver)
    assignment = reader.message("load_assignment")
    found = [] if assignment is None else endpoints(assignment, False)
    if kind == "STATIC":
        return found, None
    reader.problem(f"{kind} is not implemented", "type")
    return [], None


def _eds(reader: Reader, name: str, options: ServerOptions) -> DiscoverySource | None:
    config = reader.message_or_empty("eds_cluster_config")
    source = config.message("eds_config")
    if source is None:
        reader.problem("an EDS cluster needs an eds_config", "eds_cluster_config")
        return None
    file = read_file_source(source, "endpoints")
    service = config.string("service_name")
    if file is None:
        return None
    unsupported: Any = options.unsupported
    return EdsFileSource(name, service, file.path, file.watched_directory, unsupported)


def _v1_sds(
    name: str, custom: Reader, config: Reader, built: dict[str, ClusterSettings]
) -> V1SdsSource | None:
    """`value`: {cluster: where the API is, service_name, refresh_delay: "30s"}."""
    value = config.struct("value")
    asked = str(value.get("cluster", ""))
    service = built.get(asked)
    if service is None:
        custom.problem(f"unknown cluster {asked!r}", "typed_config.value.cluster")
        return None
    hosts = service.source if service.source is not None else service.endpoints
    if isinstance(hosts, StaticSource):
        hosts = hosts.endpoints
    if isinstance(hosts, (EdsFileSource, OriginalDstSource, V1SdsSource)):
        custom.problem(
            "the discovery service's own cluster must be static or resolved", "typed_config.value.cluster"
        )
        return None
    delay = _SECONDS.fullmatch(str(value.get("refresh_delay", "30s")))
    if delay is None or not float(delay[1]):
        custom.problem('a duration in seconds is expected, such as "30s"', "typed_config.value.refresh_delay")
        return None
    return V1SdsSource(name, str(value.get("service_name") or name), float(delay[1]), hosts, asked)
