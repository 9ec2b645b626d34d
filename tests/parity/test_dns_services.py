"""Services by their SRV records, which Envoy does not know: for twistproxy alone, with real processes."""

from __future__ import annotations

import pytest

from .harness import Proxy, wait_for
from .settings import Config, bootstrap, cluster, dns_resolver, endpoint, listener
from .test_dns import becomes

pytestmark = pytest.mark.parity
ENGINES = ("twistproxy",)
CONCURRENCY = (1, 2)


def service(proxy: Proxy, name: str, **fields: object) -> Config:
    target = endpoint(0, f"_http._tcp.{name}.test")
    return cluster(
        name,
        target,
        dns_lookup_family="V4_ONLY",
        typed_dns_resolver_config=dns_resolver(proxy.dns.port),
        **{"type": "STRICT_DNS", "dns_refresh_rate": "0.05s", **fields},
    )


def configure(proxy: Proxy) -> Config:
    dns = proxy.dns
    a, b = proxy.origin("a").port, proxy.origin("b").port
    dns.a("one.test", "127.0.0.1", ttl=1)
    dns.a("two.test", "127.0.0.2")
    for name in ("app", "logical", "added", "ttl"):
        dns.srv(f"_http._tcp.{name}.test", (10, 3, a, "one.test"), (10, 1, b, "One.test"), ttl=300)
    dns.srv("_http._tcp.added.test", (0, 0, a, "two.test"), additional=True)
    dns.srv("_http._tcp.none.test", (0, 0, 0, "."))
    clusters = [
        service(proxy, "app"),
        service(proxy, "logical", type="LOGICAL_DNS"),
        service(proxy, "added"),
        service(proxy, "none"),
        service(proxy, "ttl", dns_refresh_rate="600s", respect_dns_ttl=True),
        service(proxy, "missing"),
    ]
    routes = [
        {"match": {"path_separated_prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}}
        for each in clusters
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


def shown(proxy: Proxy, name: str) -> list[tuple[str, int, str, int, int]]:
    """(address, port, host name, weight, priority) of a cluster's hosts in /clusters."""
    page = proxy.admin_json(f"/clusters?format=json&filter=^{name}$")
    found = []
    for host in page["cluster_statuses"][0].get("host_statuses", []):
        at = host["address"]["socket_address"]
        found.append(
            (at["address"], at["port_value"], host["hostname"], host["weight"], host.get("priority", 0))
        )
    return found


def origins(proxy: Proxy, name: str, requests: int = 40) -> dict[str, int]:
    """Which origins serve requests to a cluster, and how many of them."""
    for _ in range(requests):
        assert proxy.ask(f"/{name}").status == 200
    found = {}
    for origin in "ab":
        queue = proxy.origin(origin).queue
        if size := queue.qsize():
            found[origin] = size
        proxy.origin(origin).forget()
    return found


def test_ports_weights_and_names_come_from_the_records(proxy: Proxy) -> None:
    a, b = proxy.origin("a").port, proxy.origin("b").port
    assert shown(proxy, "app") == [
        ("127.0.0.1", a, "one.test", 3, 0),
        ("127.0.0.1", b, "one.test", 1, 0),
    ]
    found = origins(proxy, "app")
    assert 8 <= found["b"] <= 12  # each worker counts for itself


def test_priorities(proxy: Proxy) -> None:
    """Classes of priority are the cluster's priorities, without gaps, the lowest first."""
    a, b = proxy.origin("a").port, proxy.origin("b").port
    name = "_http._tcp.app.test"
    proxy.dns.srv(name, (30, 1, a, "one.test"), (5, 1, b, "one.test"), (300, 0, a, "two.test"))
    expected = [
        ("127.0.0.1", b, "one.test", 1, 0),
        ("127.0.0.1", a, "one.test", 1, 1),
        ("127.0.0.2", a, "two.test", 1, 2),
    ]
    becomes(lambda: str(shown(proxy, "app")), str(expected))
    assert origins(proxy, "app", 10) == {"b": 10}
    proxy.dns.srv(name, (10, 3, a, "one.test"), (10, 1, b, "One.test"))
    becomes(lambda: str(len(shown(proxy, "app"))), "2")


def test_a_logical_cluster_has_one_host_and_stays_with_it(proxy: Proxy) -> None:
    [first] = shown(proxy, "logical")
    asked = len(proxy.dns.questions("_http._tcp.logical.test"))
    assert wait_for(lambda: len(proxy.dns.questions("_http._tcp.logical.test")) > asked + 5)
    assert shown(proxy, "logical") == [first]
    assert proxy.stat("cluster.logical.membership_change") == 1


def test_addresses_that_come_along_are_not_asked_for(proxy: Proxy) -> None:
    assert [host[:3] for host in shown(proxy, "added")] == [("127.0.0.2", proxy.origin("a").port, "two.test")]


def test_no_such_service(proxy: Proxy) -> None:
    for name in ("none", "missing"):
        assert shown(proxy, name) == []
        assert proxy.ask(f"/{name}").status == 503
        assert proxy.stat(f"cluster.{name}.update_failure") == 0


def test_the_least_time_to_live_counts(proxy: Proxy) -> None:
    """One second, that of the address."""
    assert wait_for(lambda: len(proxy.dns.questions("_http._tcp.ttl.test")) >= 2, 2.5)


def test_a_host_that_cannot_be_resolved_keeps_its_addresses(proxy: Proxy) -> None:
    dns = proxy.dns
    dns.says("one.test", "SERVFAIL")
    asked = len(dns.questions("one.test"))
    assert wait_for(lambda: len(dns.questions("one.test")) > asked + 8)
    assert set(origins(proxy, "app", 12)) == {"a", "b"}
    dns.says("_http._tcp.app.test", "SERVFAIL")
    failed = proxy.stat("cluster.app.update_failure")
    assert wait_for(lambda: proxy.stat("cluster.app.update_failure") > failed + 1)
    assert set(origins(proxy, "app", 12)) == {"a", "b"}
    dns.clear("_http._tcp.app.test")
    dns.clear("one.test")
