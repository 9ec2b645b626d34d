"""Tag extraction.  The expected names and tags are those of Envoy 1.40's /stats/prometheus for the same names."""

import pytest

from twistproxy.observe.stat_names import TagExtractor, prometheus_label, prometheus_name

CASES = [
    ("server.live", "server.live", {}),
    ("cluster.app.upstream_rq_total", "cluster.upstream_rq_total", {"cluster_name": "app"}),
    ("cluster.app.upstream_rq_200", "cluster.upstream_rq", {"cluster_name": "app", "response_code": "200"}),
    (
        "cluster.app.external.upstream_rq_2xx",
        "cluster.external.upstream_rq_xx",
        {"cluster_name": "app", "response_code_class": "2"},
    ),
    ("cluster.sds.dotted.max_host_weight", "cluster.dotted.max_host_weight", {"cluster_name": "sds"}),
    ("http.in.downstream_cx_total", "http.downstream_cx_total", {"http_conn_manager_prefix": "in"}),
    (
        "listener.127.0.0.1_80.http.in.downstream_rq_1xx",
        "listener.http.downstream_rq_xx",
        {
            "http_conn_manager_prefix": "in",
            "listener_address": "127.0.0.1_80",
            "response_code_class": "1",
        },
    ),
    (
        "listener.[__1]_80.downstream_cx_total",
        "listener.downstream_cx_total",
        {"listener_address": "[__1]_80"},
    ),
    ("listener.admin.downstream_cx_total", "listener.admin.downstream_cx_total", {}),
    (
        "listener.two.dots.downstream_cx_total",
        "listener.dots.downstream_cx_total",
        {"listener_address": "two"},
    ),
    (
        "listener.127.0.0.1_80.worker_3.downstream_cx_active",
        "listener.worker.downstream_cx_active",
        {"listener_address": "127.0.0.1_80", "worker_id": "3"},
    ),
    ("server.worker_0.watchdog_miss", "server.worker.watchdog_miss", {"worker_id": "0"}),
    ("tcp.tt.downstream_cx_total", "tcp.downstream_cx_total", {"tcp_prefix": "tt"}),
    (
        "vhost.vh.vcluster.vc.upstream_rq_timeout",
        "vhost.vcluster.upstream_rq_timeout",
        {"virtual_host": "vh", "virtual_cluster": "vc"},
    ),
    (
        "vhost.vh.route.rt.upstream_rq_503",
        "vhost.route.upstream_rq",
        {"virtual_host": "vh", "route": "rt", "response_code": "503"},
    ),
    ("lp.http_local_rate_limit.ok", "http_local_rate_limit.ok", {"local_http_ratelimit_prefix": "lp"}),
    (
        "http.in.rbac.pre.policy.p1.shadow_denied",
        "http.rbac.policy.shadow_denied",
        {"http_conn_manager_prefix": "in", "rbac_http_prefix": "pre", "rbac_policy_name": "p1"},
    ),
    (
        "http.in.rds.local.route.update_success",
        "http.rds.update_success",
        {"http_conn_manager_prefix": "in", "rds_route_config": "local.route"},
    ),
    (
        "listener.0.0.0.0_443.ssl.versions.TLSv1.3",
        "listener.ssl.versions",
        {"listener_address": "0.0.0.0_443", "ssl_version": "TLSv1.3"},
    ),
]


@pytest.mark.parametrize(("full", "name", "tags"), CASES)
def test_tags_leave_the_name(full: str, name: str, tags: dict[str, str]) -> None:
    found = TagExtractor().extract(full)
    assert found.name == name
    assert found.tags == tuple(sorted((f"envoy.{tag}", value) for tag, value in tags.items()))


def test_a_cluster_called_like_a_response_code_class() -> None:
    assert TagExtractor().extract("cluster.a_rq_2xx.upstream_cx_total").tags == (
        ("envoy.cluster_name", "a_rq_2xx"),
    )


def test_prometheus_spelling() -> None:
    assert prometheus_name("cluster.upstream_rq") == "envoy_cluster_upstream_rq"
    assert prometheus_name("cluster.zone.a-b.x") == "envoy_cluster_zone_a_b_x"
    assert prometheus_label("envoy.cluster_name") == "envoy_cluster_name"
