"""Every name of a statistic that Envoy has, on a configuration with something of everything: none is missing here but
those of a written list, and none is made up."""

from __future__ import annotations

import json
import re

import pytest

from .harness import Proxy, wait_for
from .settings import Config, access_log, bootstrap, cluster, dns_resolver, endpoint, listener, routes_to
from .stat_names import LEFT_OUT, NAMES, OWN

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def configure(proxy: Proxy) -> Config:
    """A used cluster, and one for each kind that counts more than others."""
    port = proxy.origin().port
    assignment = {
        "@type": ASSIGNMENT,
        "cluster_name": "eds",
        "endpoints": [{"lb_endpoints": [endpoint(port)]}],
    }
    file = proxy.directory / "eds.json"
    file.write_text(json.dumps({"resources": [assignment]}))
    proxy.dns.a("app.test", "127.0.0.1")
    check = {
        "timeout": "1s",
        "interval": "60s",
        "unhealthy_threshold": 1,
        "healthy_threshold": 1,
        "http_health_check": {"path": "/health"},
    }
    clusters = [
        cluster("app", port),
        cluster("checked", port, health_checks=[check], outlier_detection={}),
        cluster("breakers", port, circuit_breakers={"thresholds": [{"track_remaining": True}]}),
        cluster(
            "dns",
            endpoint(port, "app.test"),
            type="STRICT_DNS",
            typed_dns_resolver_config=dns_resolver(proxy.dns.port),
        ),
        {
            "name": "eds",
            "type": "EDS",
            "eds_cluster_config": {"eds_config": {"path_config_source": {"path": str(file)}}},
        },
    ]
    main = listener(
        "main", proxy.port(), routes_to("app"), access_log=[access_log(proxy.directory / "main.log")]
    )
    return bootstrap(proxy.port("admin"), [main], clusters, stats_flush_interval="0.1s")


@pytest.fixture(scope="module")
def names(proxy: Proxy) -> set[str]:
    proxy.ask("/x")
    wait_for(
        lambda: (
            proxy.stat("cluster.checked.health_check.success")
            and proxy.stat("http.main.downstream_cx_destroy")
        )
    )
    return {line.split(": ")[0] for line in proxy.admin("/stats").text.splitlines() if line}


def general(proxy: Proxy, names: set[str]) -> set[str]:
    """Without what is of this run: ports, and more than one worker."""
    plain = {name.replace(f"_{proxy.port()}.", "_PORT.") for name in names}
    workers = {name for name in plain if re.search(r"worker_[1-9]", name)}
    assert {re.sub(r"worker_\d", "worker_0", name) for name in workers} <= plain
    assert bool(workers) == (proxy.concurrency > 1)
    return plain - workers


def left_out(name: str) -> bool:
    return any(re.search(pattern, name) for pattern in LEFT_OUT)


def test_names(proxy: Proxy, names: set[str]) -> None:
    found = general(proxy, names)
    expected = {prefix + name for prefix, group in NAMES.items() for name in group.split()}
    if proxy.engine == "twistproxy":
        expected = {name for name in expected if not left_out(name)} | OWN
    assert found - expected == set()
    assert expected - found == set()


def test_the_list_of_what_is_left_out_is_true(proxy: Proxy, names: set[str]) -> None:
    """Each entry is about something that Envoy has, and twistproxy has not."""
    for pattern in LEFT_OUT:
        assert any(re.search(pattern, name) for name in names) == (proxy.engine == "envoy"), pattern


#: Are 0, but were written.
USED_ZEROS = """
    cluster.app.circuit_breakers.default.cx_open cluster.app.circuit_breakers.default.cx_pool_open
    cluster.app.circuit_breakers.default.rq_open cluster.app.circuit_breakers.default.rq_pending_open
    cluster.app.membership_degraded cluster.app.membership_excluded cluster.app.upstream_rq_active
    cluster.app.upstream_rq_pending_active cluster.app.warming_state cluster_manager.warming_clusters
    dns.cares.pending_resolutions http.main.downstream_cx_active http.main.downstream_rq_active
    listener_manager.total_listeners_warming runtime.num_keys runtime.num_layers
    server.compilation_settings.fips_mode server.dynamic_unknown_fields server.state server.static_unknown_fields
    server.total_connections filesystem.write_total_buffered
"""
#: Gauges that nothing has written.
UNUSED = """
    cluster.app.circuit_breakers.default.rq_retry_open cluster.app.circuit_breakers.high.rq_open
    cluster.breakers.circuit_breakers.default.rq_open cluster.breakers.upstream_rq_active cluster.app.lb_subsets_active
    http.main.downstream_cx_ssl_active listener_manager.total_listeners_draining listener_manager.workers_pinned
    server.hot_restart_epoch server.parent_connections
"""


def test_used_only(proxy: Proxy, names: set[str]) -> None:
    assert {*USED_ZEROS.split(), *UNUSED.split()} <= names
    used = {line.split(": ")[0] for line in proxy.admin("/stats?usedonly").text.splitlines() if line}
    assert set(USED_ZEROS.split()) - used == set()
    assert set(UNUSED.split()) & used == set()
    assert used <= {line.split(": ")[0] for line in proxy.admin("/stats").text.splitlines()}


def test_prometheus_families_are_in_the_order_of_the_names(proxy: Proxy) -> None:
    """Counters, gauges, histograms; "cluster.upstream_…" before "cluster_manager.…"."""
    lines = proxy.admin("/stats/prometheus").text.splitlines()
    families = [tuple(line.split()[2:]) for line in lines if line.startswith("# TYPE ")]
    kinds = [kind for _, kind in families]
    assert kinds == sorted(kinds)
    counters = [name for name, kind in families if kind == "counter"]
    for before, after in (
        ("envoy_cluster_upstream_rq_total", "envoy_cluster_manager_cluster_added"),
        ("envoy_http_downstream_rq_total", "envoy_http1_response_flood"),
        ("envoy_cluster_manager_cluster_added", "envoy_filesystem_write_completed"),
    ):
        assert counters.index(before) < counters.index(after)


def test_files_are_counted(proxy: Proxy) -> None:
    before = proxy.stat("filesystem.write_buffered")
    for _ in range(3):
        proxy.ask("/logged")
    assert proxy.stat_becomes("filesystem.write_buffered", before + 3)
    assert proxy.stat_becomes("filesystem.write_total_buffered", 0)
    assert proxy.stat("filesystem.write_completed") > 0
    assert proxy.stat("filesystem.write_failed") == 0


def test_each_workers_share(proxy: Proxy) -> None:
    prefix = f"listener.127.0.0.1_{proxy.port()}."
    for _ in range(4):
        proxy.ask("/x")
    stats = proxy.stats("^listener")
    shares = [stats[f"{prefix}worker_{number}.downstream_cx_total"] for number in range(proxy.concurrency)]
    assert sum(shares) == stats[f"{prefix}downstream_cx_total"]


def test_admin_counts_itself(proxy: Proxy) -> None:
    def counted() -> list[int]:
        stats = proxy.stats("admin")
        return [
            stats[f"{prefix}.{name}"]
            for prefix, name in (
                ("http.admin", "downstream_cx_total"),
                ("http.admin", "downstream_rq_total"),
                ("http.admin", "downstream_rq_2xx"),
                ("http.admin", "downstream_rq_4xx"),
                ("http.admin", "downstream_rq_completed"),
                ("listener.admin", "downstream_cx_total"),
                ("listener.admin", "main_thread.downstream_cx_total"),
                ("listener.admin", "http.admin.downstream_rq_4xx"),
            )
        ]

    before = counted()
    proxy.admin("/nonsense")
    assert [now - then for now, then in zip(counted(), before)] == [2, 2, 1, 1, 2, 2, 2, 1]
    stats = proxy.stats("admin")
    assert stats["http.admin.downstream_cx_active"] == stats["http.admin.downstream_rq_active"] == 1
    assert stats["listener.admin.downstream_cx_active"] == 1
    assert stats["http.admin.downstream_cx_destroy_remote"] == stats["http.admin.downstream_cx_destroy"] > 0
    assert stats["http.admin.downstream_cx_rx_bytes_total"] > 100
    assert stats["http.admin.downstream_cx_tx_bytes_total"] > 10000


def test_lengths_of_connections(proxy: Proxy) -> None:
    """Of the connection manager, and of the listener."""
    expected = {
        "http.main.downstream_cx_length_ms",
        "http.admin.downstream_cx_length_ms",
        f"listener.127.0.0.1_{proxy.port()}.downstream_cx_length_ms",
    }

    def used() -> set[str]:
        text = proxy.admin("/stats?usedonly&filter=downstream_cx_length_ms").text
        return {line.split(":")[0] for line in text.splitlines()}

    assert wait_for(lambda: expected <= used())
