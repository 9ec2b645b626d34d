"""DNS in v1 JSON, which Envoy 1.40 does not read: for twistproxy alone."""

from __future__ import annotations

import json

import pytest

from .harness import Proxy, wait_for
from .origin import text
from .settings import Config
from .wire import request_bytes
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
ENGINES = ("twistproxy",)


def configure(proxy: Proxy) -> Config:
    proxy.dns.a("app.test", "127.0.0.9", "127.0.0.1", "::1")
    proxy.dns.a("sds.test", "127.0.0.1")
    port = proxy.origin().port
    proxy.dns.srv("_http._tcp.app.test", (0, 1, port, "app.test"))
    hosts = {"hosts": [{"ip_address": "127.0.0.1", "port": port}]}
    proxy.origin("sds").default = text(json.dumps(hosts))

    def cluster(name: str, kind: str, *urls: str, **fields: object) -> Config:
        found: Config = {"name": name, "type": kind, "connect_timeout_ms": 250, "lb_type": "round_robin"}
        found["dns_resolvers"] = [f"127.0.0.1:{proxy.dns.port}"]
        found["dns_refresh_rate_ms"] = 50
        return found | {"hosts": [{"url": url} for url in urls]} | fields

    found = {"name": "found", "type": "sds", "service_name": "app", "connect_timeout_ms": 250}
    clusters = [
        cluster("strict", "strict_dns", f"tcp://app.test:{port}"),
        cluster("logical", "logical_dns", f"tcp://app.test:{port}", "tcp://other.test:80"),
        cluster("six", "strict_dns", f"tcp://app.test:{port}", dns_lookup_family="v6_only"),
        cluster("auto", "strict_dns", f"tcp://app.test:{port}", dns_lookup_family="auto"),
        cluster("service", "strict_dns", "tcp://_http._tcp.app.test:0"),
        {**found, "lb_type": "round_robin"},
    ]
    sds = cluster("sds", "strict_dns", f"tcp://sds.test:{proxy.origin('sds').port}")
    routes = [{"prefix": f"/{each['name']}", "cluster": each["name"]} for each in clusters]
    manager = {
        "codec_type": "http1",
        "stat_prefix": "main",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]},
        "filters": [{"type": "decoder", "name": "router", "config": {}}],
    }
    return {
        "listeners": [
            {
                "address": f"tcp://127.0.0.1:{proxy.port()}",
                "filters": [{"type": "read", "name": "http_connection_manager", "config": manager}],
            }
        ],
        "admin": {"access_log_path": "/dev/null", "address": f"tcp://127.0.0.1:{proxy.port('admin')}"},
        "cluster_manager": {
            "clusters": clusters,
            "sds": {"cluster": sds, "refresh_delay_ms": 50},
        },
    }


def answered(workers: Workers, path: str) -> bool:
    """Whether each worker has requests for this path answered, by all hosts of its cluster."""
    clients = workers.new_clients()
    found = [client.send(request_bytes(path)).read().status for _ in range(3) for client in clients]
    workers.proxy.origin().forget()
    for client in clients:
        client.close()
    return set(found) == {200}


def addresses(proxy: Proxy, name: str) -> str:
    page = proxy.admin_json(f"/clusters?format=json&filter=^{name}$")
    hosts = page["cluster_statuses"][0].get("host_statuses", [])
    return " ".join(host["address"]["socket_address"]["address"] for host in hosts)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("strict", "127.0.0.9 127.0.0.1"),
        ("logical", "127.0.0.9"),
        ("six", "::1"),
        ("auto", "::1"),
        ("service", "127.0.0.9 127.0.0.1"),
        ("found", "127.0.0.1"),
    ],
)
def test_addresses(proxy: Proxy, name: str, expected: str) -> None:
    assert wait_for(lambda: addresses(proxy, name) == expected)


@pytest.mark.parametrize("name", ["logical", "found"])
def test_requests(proxy: Proxy, workers: Workers, name: str) -> None:
    assert wait_for(lambda: addresses(proxy, name))
    assert answered(workers, f"/{name}")


def test_changes_and_a_discovery_service_that_moves(proxy: Proxy, workers: Workers) -> None:
    """While the name of the discovery service has no address, what it said last stays."""
    dns = proxy.dns
    dns.says("sds.test", "NXDOMAIN")
    assert wait_for(lambda: addresses(proxy, "sds") == "")
    failures = proxy.stat("cluster.found.update_failure")
    assert wait_for(lambda: proxy.stat("cluster.found.update_failure") > failures)
    assert answered(workers, "/found")
    dns.clear("sds.test")
    assert wait_for(lambda: addresses(proxy, "sds") == "127.0.0.1")
    successes = proxy.stat("cluster.found.update_success")
    assert wait_for(lambda: proxy.stat("cluster.found.update_success") > successes)
    dns.a("app.test", "127.0.0.1")
    assert wait_for(lambda: addresses(proxy, "strict") == addresses(proxy, "logical") == "127.0.0.1")
    assert wait_for(lambda: answered(workers, "/strict"))
