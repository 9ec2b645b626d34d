"""Who is asked, how often and for how long: resolvers of clusters and of the bootstrap, and what is counted of them."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .settings import (
    Config,
    access_log,
    address,
    bootstrap,
    cluster,
    dns_resolver,
    endpoint,
    listener,
)
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

NEVER = "600s"
DNS_CLUSTER = "type.googleapis.com/envoy.extensions.clusters.dns.v3.DnsCluster"
_SYSTEM = "envoy.extensions.network.dns_resolver.getaddrinfo.v3.GetAddrInfoDnsResolverConfig"
GETADDRINFO = "type.googleapis.com/" + _SYSTEM

#: clusters and the addresses that they find
FOUND = {
    "bootstrap": "127.0.0.1",
    "own": "127.0.0.2",
    "deprecated-list": "127.0.0.2",
    "deprecated-config": "127.0.0.2",
    "deprecated-tcp": "127.0.0.2",
    "tcp": "127.0.0.2",
    "refusing": "127.0.0.2",
    "closed": "127.0.0.2",
    "missing": "",
    "fails": "",
    "silent": "",
    "extension": "127.0.0.2",
    "getaddrinfo": "127.0.0.1",
    "getaddrinfo-none": "",
}


def configure(proxy: Proxy) -> Config:
    main, own, refusing = proxy.dns, proxy.dns_server("own"), proxy.dns_server("refusing")
    main.a("app.test", "127.0.0.1")
    for name in ("app.test", "plain.test", "tcp.test", "old.test", "extension.test"):
        own.a(name, "127.0.0.2")
    own.says("fails.test", "SERVFAIL")
    own.says("silent.test", "silence")
    refusing.says("app.test", "REFUSED")
    closed = proxy.port("closed")

    def named(name: str, host: str, **fields: object) -> Config:
        settings: Config = {"type": "STRICT_DNS", "dns_refresh_rate": NEVER, "dns_lookup_family": "V4_ONLY"}
        settings["wait_for_warm_on_init"] = name != "silent"
        return cluster(name, endpoint(proxy.port("nobody"), host), **settings, **fields)

    def asking(*ports: int, **options: object) -> Config:
        resolver = dns_resolver(ports[0], **options)
        resolver["typed_config"]["resolvers"] = [address(port) for port in ports]
        return {"typed_dns_resolver_config": resolver}

    over_tcp = {"use_tcp_for_dns_lookups": True}
    old = {"resolvers": [address(own.port)], "dns_resolver_options": over_tcp}
    system = {"name": "x", "typed_config": {"@type": GETADDRINFO, "num_retries": 0}}
    extension = named("extension", "extension.test")
    for field in ("type", "dns_refresh_rate", "dns_lookup_family"):
        del extension[field]
    extension["cluster_type"] = {
        "name": "envoy.cluster.dns",
        "typed_config": {
            "@type": DNS_CLUSTER,
            "dns_lookup_family": "V4_ONLY",
            "dns_refresh_rate": NEVER,
            **asking(own.port),
        },
    }
    clusters = [
        named("bootstrap", "app.test"),
        named("own", "app.test", **asking(own.port)),
        named("deprecated-list", "plain.test", dns_resolvers=[address(own.port)]),
        named("deprecated-config", "old.test", dns_resolution_config=old),
        named("deprecated-tcp", "old.test", dns_resolvers=[address(own.port)], **over_tcp),
        named("tcp", "tcp.test", **asking(own.port, dns_resolver_options=over_tcp)),
        named("refusing", "app.test", **asking(refusing.port, own.port)),
        named("closed", "app.test", **asking(closed, own.port)),
        named("missing", "missing.test"),
        named("fails", "fails.test", **asking(own.port, query_tries=2)),
        named("silent", "silent.test", **asking(own.port, query_tries=1, query_timeout_seconds=1)),
        extension,
        named("getaddrinfo", "localhost", typed_dns_resolver_config=system),
        named("getaddrinfo-none", "missing.invalid.", typed_dns_resolver_config=system),
    ]
    resolver = dns_resolver(main.port, query_tries=3)
    routes = [{"match": {"path_separated_prefix": f"/{name}"}, "route": {"cluster": name}} for name in FOUND]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    log = access_log(proxy.log().path, "%REQ(:PATH)%|%UPSTREAM_HOST%\n")
    main_listener = listener("main", proxy.port(), hosts, access_log=[log])
    return bootstrap(proxy.port("admin"), [main_listener], clusters, typed_dns_resolver_config=resolver)


def test_who_is_asked(proxy: Proxy) -> None:
    found = {}
    for each in proxy.admin_json("/clusters?format=json")["cluster_statuses"]:
        hosts = each.get("host_statuses", [])
        found[each["name"]] = " ".join(host["address"]["socket_address"]["address"] for host in hosts)
    assert found == FOUND


def test_all_workers_know(proxy: Proxy, workers: Workers) -> None:
    """Nobody listens there, but each worker knows where it is."""
    for name, found in FOUND.items():
        assert workers.ask(f"/{name}/asked") == [["503"]] * proxy.concurrency
        where = f"{found}:{proxy.port('nobody')}" if found else "-"
        wanted = [f"/{name}/asked|{where}"] * proxy.concurrency
        assert wait_for(
            lambda name=name, wanted=wanted: [x for x in proxy.log().lines() if f"/{name}/" in x] == wanted
        )


def test_over_tcp_or_not(proxy: Proxy) -> None:
    asked = {name: proxy.dns_server("own").questions(f"{name}.test") for name in ("plain", "tcp", "old")}
    assert {name: {each.tcp for each in all_of} for name, all_of in asked.items()} == {
        "plain": {False},
        "tcp": {True},
        "old": {True},
    }


def test_how_often(proxy: Proxy) -> None:
    own = proxy.dns_server("own")
    assert len(own.questions("fails.test")) == 2
    assert len(own.questions("silent.test")) == 1
    assert len(proxy.dns.questions("missing.test")) == 1
    assert len(proxy.dns_server("refusing").questions("app.test")) == 1


def test_counted(proxy: Proxy) -> None:
    """getaddrinfo is not c-ares."""
    assert wait_for(lambda: proxy.stat("cluster.silent.update_failure") == 1)
    found = proxy.stats("^dns%5C.cares")
    found.pop("dns.cares.reinits")
    assert found == {
        "dns.cares.resolve_total": 12,
        "dns.cares.pending_resolutions": 0,
        "dns.cares.not_found": 1,
        "dns.cares.get_addr_failure": 1,
        "dns.cares.timeouts": 1,
    }


def test_a_system_that_cannot_say_is_a_failure_or_nothing(proxy: Proxy) -> None:
    """It depends on the machine's own resolver which of them."""
    stats = proxy.stats("^cluster%5C.getaddrinfo-none%5C.update")
    failed = stats["cluster.getaddrinfo-none.update_failure"]
    assert failed + stats["cluster.getaddrinfo-none.update_success"] == 1
