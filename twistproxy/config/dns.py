"""STRICT_DNS and LOGICAL_DNS clusters, `envoy.cluster.dns`, and the resolvers that they name, to `model.discovery`."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import cast

from twistproxy.config.fields import Reader
from twistproxy.config.values import endpoints, is_ip
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import (
    CaresResolver,
    DnsSource,
    DnsTarget,
    LookupFamily,
    Resolver,
    SystemResolver,
)
from twistproxy.model.endpoint import Endpoint

_RESOLVERS = "envoy.extensions.network.dns_resolver."
_CARES = _RESOLVERS + "cares.v3.CaresDnsResolverConfig"
_GETADDRINFO = _RESOLVERS + "getaddrinfo.v3.GetAddrInfoDnsResolverConfig"
_DNS_CLUSTER = "envoy.extensions.clusters.dns.v3.DnsCluster"
_DNS_PORT = 53

#: `_service._proto.name` of RFC 2782.
_SERVICE_NAME = re.compile(r"_[^.]+\._[^.]+\.[^.].*", re.DOTALL)

#: Names of cluster extensions that need no configuration: whether all addresses are one endpoint.
_BY_NAME = {"envoy.cluster.dns": False, "envoy.cluster.strict_dns": False, "envoy.cluster.logical_dns": True}


def build_default_resolver(bootstrap: Reader) -> Resolver:
    """The resolver of all clusters that name none, from the bootstrap's fields."""
    return _resolver(bootstrap) or CaresResolver()


def build_dns(reader: Reader, name: str, logical: bool, default: Resolver) -> DnsSource:
    """A cluster of `type` STRICT_DNS or LOGICAL_DNS."""
    resolver = _resolver(reader) or default
    return _source(
        reader, reader, name, logical, cast(LookupFamily, reader.enum("dns_lookup_family")), resolver
    )


def build_dns_extension(reader: Reader, custom: Reader, name: str, default: Resolver) -> DnsSource | None:
    """A cluster whose `cluster_type` (`custom`) is envoy.cluster.dns or one of its like; None if it is another one."""
    config = custom.unpack("typed_config")
    extension = custom.string("name")
    if config is None:
        if extension not in _BY_NAME or custom.has("typed_config"):
            return None
        return build_dns(reader, name, _BY_NAME[extension], default)
    if config.type_name != _DNS_CLUSTER:
        return None
    family = config.enum("dns_lookup_family").replace("UNSPECIFIED", "AUTO")
    resolver = _typed_resolver(config) or default
    logical = config.boolean("all_addresses_in_single_endpoint")
    return _source(reader, config, name, logical, cast(LookupFamily, family), resolver)


def _source(
    cluster: Reader, config: Reader, name: str, logical: bool, family: LookupFamily, resolver: Resolver
) -> DnsSource:
    """`config` has the settings: the cluster itself or its extension."""
    return DnsSource(
        cluster=name,
        logical=logical,
        targets=_targets(cluster, logical, resolver),
        refresh_rate=config.duration("dns_refresh_rate", 5.0),
        failure_refresh_rate=_failure_refresh_rate(config),
        respect_dns_ttl=config.boolean("respect_dns_ttl"),
        family=family,
        resolver=resolver,
        jitter=config.duration("dns_jitter", 0.0),
        wait=cluster.boolean("wait_for_warm_on_init", True),
    )


def _failure_refresh_rate(config: Reader) -> tuple[float, float] | None:
    rate = config.message("dns_failure_refresh_rate")
    if rate is None:
        return None
    base = rate.duration("base_interval", 5.0)
    most = rate.duration("max_interval", base * 10)
    if most < base:
        rate.problem(
            "dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval"
        )
    return base, most


def _targets(reader: Reader, logical: bool, resolver: Resolver) -> tuple[DnsTarget, ...]:
    assignment = reader.message("load_assignment")
    found = [] if assignment is None else endpoints(assignment, True)
    if logical and len(found) != 1:
        reader.problem(
            "LOGICAL_DNS clusters must have a single host"
            if assignment is None
            else "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint"
        )
    targets = []
    for one in found:
        if not isinstance(one.address, TcpAddress):
            reader.problem("a Unix socket has no name to resolve", "load_assignment")
            continue
        targets.append(_target(one, one.address))
        if not targets[-1].service:
            continue
        if one.address.port:
            reader.problem(
                f"the ports of {one.address.host} come from its SRV records: its port_value must be 0",
                "load_assignment",
            )
        if isinstance(resolver, SystemResolver):
            reader.problem(
                f"getaddrinfo cannot ask for the SRV records of {one.address.host}", "load_assignment"
            )
    return tuple(targets)


def _target(one: Endpoint, address: TcpAddress) -> DnsTarget:
    return DnsTarget(
        host=address.host,
        port=address.port,
        weight=one.weight,
        priority=one.priority,
        locality=one.locality,
        locality_weight=one.locality_weight,
        hostname=one.hostname,
        health=one.health,
        canary=one.canary,
        hash_key=one.hash_key,
        metadata=one.metadata,
        check=one.check,
        service=_SERVICE_NAME.fullmatch(address.host) is not None,
    )


def _resolver(reader: Reader) -> Resolver | None:
    """What a cluster or the bootstrap says of its resolver; None if nothing.

    The first of several fields wins and the others have no effect, as in Envoy (DnsFactoryUtil).
    """
    if reader.has("typed_dns_resolver_config"):
        return _typed_resolver(reader)
    if reader.has("dns_resolution_config"):
        return _simple_cares(reader.message_or_empty("dns_resolution_config"))
    if "dns_resolvers" not in reader.raw.DESCRIPTOR.fields_by_name:
        # The bootstrap: the system's servers are asked over TCP.
        return CaresResolver(tcp_only=True) if reader.boolean("use_tcp_for_dns_lookups") else None
    servers = _servers(reader.messages("dns_resolvers"))
    return CaresResolver(servers, tcp_only=reader.boolean("use_tcp_for_dns_lookups")) if servers else None


def _typed_resolver(reader: Reader) -> Resolver | None:
    extension = reader.message("typed_dns_resolver_config")
    if extension is None:
        return None
    # Envoy, too, goes by the type alone.
    extension.ignore("name")
    config = extension.unpack("typed_config")
    if config is None:
        if not extension.has("typed_config"):
            extension.problem("typed_config is required")
        return None
    if config.type_name == _CARES:
        return _cares(config)
    if config.type_name == _GETADDRINFO:
        retries, threads = config.integer("num_retries"), config.integer("num_resolver_threads", 1)
        return SystemResolver(retries, max(threads, 1))
    extension.refuse("typed_config", "only the resolvers cares and getaddrinfo are implemented")
    return None


def _cares(config: Reader) -> CaresResolver:
    # These two are about sockets that go stale; each of ours asks few questions and is closed when it is idle.
    config.ignore("max_udp_channel_duration", "reinit_channel_on_timeout")
    return replace(
        _simple_cares(config),
        fallback=config.boolean("use_resolvers_as_fallback"),
        timeout=float(config.integer("query_timeout_seconds", 0) or 5),
        tries=config.integer("query_tries", 0) or 4,
        rotate=config.boolean("rotate_nameservers"),
        payload=config.integer("edns0_max_payload_size", 1232),
        socket_queries=config.integer("udp_max_queries", 0),
        filter_families=config.boolean("filter_unroutable_families"),
    )


def _simple_cares(config: Reader) -> CaresResolver:
    """What the older field `dns_resolution_config` has, too."""
    options = config.message_or_empty("dns_resolver_options")
    return CaresResolver(
        _servers(config.messages("resolvers")),
        tcp_only=options.boolean("use_tcp_for_dns_lookups"),
        search_domains=not options.boolean("no_default_search_domain"),
    )


def _servers(readers: list[Reader]) -> tuple[tuple[str, int], ...]:
    """(IP address, port) of each envoy.config.core.v3.Address."""
    servers = []
    for reader in readers:
        socket = reader.message("socket_address")
        if socket is None:
            pipe = reader.message_or_empty("pipe")
            reader.problem(f"DNS resolver '{pipe.string('path')}' is not an IP address")
            continue
        socket.enum("protocol")
        host = socket.string("address")
        if not is_ip(host):
            socket.problem(f"malformed IP address: {host}", "address")
        servers.append((host, socket.integer("port_value", 0) or _DNS_PORT))
    return tuple(servers)
