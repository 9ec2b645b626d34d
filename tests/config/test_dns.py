"""DNS clusters and resolvers from configuration."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twistproxy.config.build import build_bootstrap
from twistproxy.config.load import load_bootstrap
from twistproxy.errors import ConfigError
from twistproxy.model.discovery import CaresResolver, DnsSource, DnsTarget, SystemResolver
from twistproxy.model.server_options import ServerOptions

TYPES = "type.googleapis.com/envoy.extensions."
CARES = TYPES + "network.dns_resolver.cares.v3.CaresDnsResolverConfig"
GETADDRINFO = TYPES + "network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig"
DNS_CLUSTER = TYPES + "clusters.dns.v3.DnsCluster"


def host(name: str, port: int = 80) -> dict[str, Any]:
    return {"endpoint": {"address": {"socket_address": {"address": name, "port_value": port}}}}


def cluster(*hosts: dict[str, Any], **fields: Any) -> dict[str, Any]:
    found = list(hosts) or [host("app.test")]
    return {
        "name": "app",
        "type": "STRICT_DNS",
        "load_assignment": {"cluster_name": "app", "endpoints": [{"lb_endpoints": found}]},
        **fields,
    }


def resolver(type_url: str = CARES, **settings: Any) -> dict[str, Any]:
    return {"name": "resolver", "typed_config": {"@type": type_url, **settings}}


def server(address: str, port: int | None = None) -> dict[str, Any]:
    socket: dict[str, Any] = {"address": address, "port_value": port or 0}
    return {"socket_address": socket}


def build(made: dict[str, Any], **bootstrap: Any) -> DnsSource:
    text = json.dumps({"static_resources": {"clusters": [made]}, **bootstrap})
    document = load_bootstrap(None, text)
    [settings] = build_bootstrap(document, ServerOptions()).clusters
    assert isinstance(settings.source, DnsSource)
    return settings.source


def problems(made: dict[str, Any], **bootstrap: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        build(made, **bootstrap)
    return "; ".join(problem.message for problem in caught.value.problems)


def test_defaults() -> None:
    assert build(cluster()) == DnsSource("app", False, (DnsTarget("app.test", 80),))


def test_all_fields() -> None:
    made = cluster(
        dns_refresh_rate="7s",
        dns_jitter="1s",
        dns_failure_refresh_rate={"base_interval": "2s"},
        respect_dns_ttl=True,
        dns_lookup_family="V4_PREFERRED",
        wait_for_warm_on_init=False,
    )
    assert build(made) == DnsSource(
        "app",
        False,
        (DnsTarget("app.test", 80),),
        refresh_rate=7.0,
        failure_refresh_rate=(2.0, 20.0),
        respect_dns_ttl=True,
        family="V4_PREFERRED",
        jitter=1.0,
        wait=False,
    )


def test_cares() -> None:
    settings = resolver(
        resolvers=[server("192.0.2.1"), server("2001:db8::1", 5353)],
        use_resolvers_as_fallback=True,
        filter_unroutable_families=True,
        dns_resolver_options={"use_tcp_for_dns_lookups": True, "no_default_search_domain": True},
        udp_max_queries=3,
        query_timeout_seconds=2,
        query_tries=1,
        rotate_nameservers=True,
        edns0_max_payload_size=4096,
        max_udp_channel_duration="5s",
        reinit_channel_on_timeout=True,
    )
    assert build(cluster(typed_dns_resolver_config=settings)).resolver == CaresResolver(
        (("192.0.2.1", 53), ("2001:db8::1", 5353)),
        fallback=True,
        tcp_only=True,
        search_domains=False,
        timeout=2.0,
        tries=1,
        rotate=True,
        payload=4096,
        socket_queries=3,
        filter_families=True,
    )


def test_getaddrinfo() -> None:
    settings = resolver(GETADDRINFO, num_retries=0, num_resolver_threads=3)
    assert build(cluster(typed_dns_resolver_config=settings)).resolver == SystemResolver(0, 3)
    assert build(cluster(typed_dns_resolver_config=resolver(GETADDRINFO))).resolver == SystemResolver()


OLD = {"resolvers": [server("192.0.2.9")], "dns_resolver_options": {"use_tcp_for_dns_lookups": True}}
OLD_RESOLVER = CaresResolver((("192.0.2.9", 53),), tcp_only=True)
NEW = {"typed_dns_resolver_config": resolver(resolvers=[server("192.0.2.1")])}
NEW_RESOLVER = CaresResolver((("192.0.2.1", 53),))


@pytest.mark.parametrize(
    ("fields", "bootstrap", "expected"),
    [
        ({"dns_resolvers": [server("192.0.2.9")], "use_tcp_for_dns_lookups": True}, {}, OLD_RESOLVER),
        ({"dns_resolution_config": OLD}, {}, OLD_RESOLVER),
        ({}, {"dns_resolution_config": OLD}, OLD_RESOLVER),
        ({}, {"use_tcp_for_dns_lookups": True}, CaresResolver(tcp_only=True)),
        ({}, NEW, NEW_RESOLVER),
        (NEW, {"dns_resolution_config": OLD}, NEW_RESOLVER),
    ],
)
def test_which_resolver(fields: dict[str, Any], bootstrap: dict[str, Any], expected: CaresResolver) -> None:
    assert build(cluster(**fields), **bootstrap).resolver == expected


def extension(name: str = "envoy.cluster.dns", *hosts: dict[str, Any], **settings: Any) -> dict[str, Any]:
    made = cluster(*hosts)
    del made["type"]
    made["cluster_type"] = {"name": name}
    if settings:
        made["cluster_type"]["typed_config"] = {"@type": DNS_CLUSTER, **settings}
    return made


def test_extension() -> None:
    made = extension(
        dns_refresh_rate="7s",
        dns_jitter="1s",
        dns_failure_refresh_rate={"base_interval": "2s", "max_interval": "3s"},
        respect_dns_ttl=True,
        dns_lookup_family="ALL",
        all_addresses_in_single_endpoint=True,
        **NEW,
    )
    assert build(made) == DnsSource(
        "app", True, (DnsTarget("app.test", 80),), 7.0, (2.0, 3.0), True, "ALL", NEW_RESOLVER, 1.0
    )
    assert build(extension(dns_lookup_family="UNSPECIFIED"), **NEW).resolver == NEW_RESOLVER
    assert build(extension(dns_refresh_rate="7s")).family == "AUTO"


@pytest.mark.parametrize(
    ("name", "logical"),
    [("envoy.cluster.dns", False), ("envoy.cluster.strict_dns", False), ("envoy.cluster.logical_dns", True)],
)
def test_extension_by_its_name(name: str, logical: bool) -> None:
    assert build(extension(name)) == DnsSource("app", logical, (DnsTarget("app.test", 80),))


def test_services() -> None:
    found = build(cluster(host("_http._tcp.app.test", 0), host("_http.app.test"), host("_a._b")))
    assert [target.service for target in found.targets] == [True, False, False]


SINGLE = "LOGICAL_DNS clusters must have a single locality_lb_endpoint and a single lb_endpoint"


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (cluster(host("a"), host("b"), type="LOGICAL_DNS"), SINGLE),
        ({"name": "app", "type": "LOGICAL_DNS"}, "LOGICAL_DNS clusters must have a single host"),
        (extension("x", host("a"), host("b"), all_addresses_in_single_endpoint=True), SINGLE),
        (
            cluster(dns_failure_refresh_rate={"base_interval": "5s", "max_interval": "1s"}),
            "dns_failure_refresh_rate must have max_interval greater than or equal to the base_interval",
        ),
        (
            cluster(typed_dns_resolver_config=resolver(resolvers=[server("ns.test")])),
            "malformed IP address: ns.test",
        ),
        (cluster(dns_resolvers=[server("ns.test")]), "malformed IP address: ns.test"),
        (
            cluster(typed_dns_resolver_config=resolver(resolvers=[{"pipe": {"path": "/x"}}])),
            "DNS resolver '/x' is not an IP address",
        ),
        (
            cluster(
                typed_dns_resolver_config=resolver(
                    TYPES + "network.dns_resolver.apple.v3.AppleDnsResolverConfig"
                )
            ),
            "only the resolvers cares and getaddrinfo are implemented",
        ),
        (cluster(host("_http._tcp.app.test", 80)), "its port_value must be 0"),
        (
            cluster(host("_http._tcp.app.test", 0), typed_dns_resolver_config=resolver(GETADDRINFO)),
            "getaddrinfo cannot ask for the SRV records of _http._tcp.app.test",
        ),
        (cluster({"endpoint": {"address": {"pipe": {"path": "/x"}}}}), "a Unix socket has no name"),
        (cluster(use_tcp_for_dns_lookups=True), "is set, but"),
        (cluster(dns_resolution_config=OLD, **NEW), "is set, but"),
        (extension(dns_lookup_family="ALL") | {"respect_dns_ttl": True}, "is set, but"),
        (extension("no.such.extension"), "the cluster extension no.such.extension is not implemented"),
    ],
)
def test_problems(made: dict[str, Any], expected: str) -> None:
    assert expected in problems(made)
