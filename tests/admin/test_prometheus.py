"""The Prometheus exposition.  Names, labels and types are those of Envoy 1.40 for the same statistics."""

from dataclasses import replace

from prometheus_client.parser import text_string_to_metric_families

from twistproxy.admin.merge import Totals
from twistproxy.admin.prometheus import prometheus_text
from twistproxy.admin.stats_select import Selected, parse_stats_query, select

TOTALS = Totals(
    counters={
        "cluster.app.upstream_rq_200": 12,
        "cluster.app.upstream_rq_503": 1,
        "cluster.app.assignment_stale": 0,
        "cluster.app.upstream_cx_total": 4,
    },
    gauges={"server.live": 1, "cluster.app.upstream_cx_active": 4},
    histograms={"http.in.downstream_rq_time": {0: 5, 1: 5, 2: 1, 41: 1, 43: 1, 47: 1}},
    text={"cluster.sds.dotted.version_text": "v1"},
)


def selected(**query: str) -> Selected:
    return select(TOTALS, parse_stats_query(query))


def test_types_and_samples() -> None:
    text = prometheus_text(selected(type="Counters")) + prometheus_text(selected(type="Gauges"))
    assert text == (
        "# TYPE envoy_cluster_assignment_stale counter\n"
        'envoy_cluster_assignment_stale{envoy_cluster_name="app"} 0\n'
        "# TYPE envoy_cluster_upstream_cx_total counter\n"
        'envoy_cluster_upstream_cx_total{envoy_cluster_name="app"} 4\n'
        "# TYPE envoy_cluster_upstream_rq counter\n"
        'envoy_cluster_upstream_rq{envoy_cluster_name="app",envoy_response_code="200"} 12\n'
        'envoy_cluster_upstream_rq{envoy_cluster_name="app",envoy_response_code="503"} 1\n'
        "# TYPE envoy_cluster_upstream_cx_active gauge\n"
        'envoy_cluster_upstream_cx_active{envoy_cluster_name="app"} 4\n'
        "# TYPE envoy_server_live gauge\n"
        "envoy_server_live 1\n"
    )


def test_histogram() -> None:
    (family,) = text_string_to_metric_families(prometheus_text(selected(type="Histograms")))
    assert (family.name, family.type) == ("envoy_http_downstream_rq_time", "histogram")
    values = {(s.name, s.labels.get("le")): s.value for s in family.samples}
    assert {s.labels["envoy_http_conn_manager_prefix"] for s in family.samples} == {"in"}
    name = "envoy_http_downstream_rq_time"
    bounds = [le for kind, le in values if kind == f"{name}_bucket"]
    assert bounds == [
        *("0.5", "1", "5", "10", "25", "50", "100", "250", "500", "1000", "2500", "5000", "10000"),
        *("30000", "60000", "300000", "600000", "1800000", "3600000", "+Inf"),
    ]
    assert [values[f"{name}_bucket", le] for le in ("0.5", "1", "5", "25", "50", "+Inf")] == [
        5,
        10,
        11,
        11,
        14,
        14,
    ]
    assert values[f"{name}_count", None] == 14
    assert values[f"{name}_sum", None] == 139.76984134518304


def test_summary_of_the_last_interval() -> None:
    chosen = replace(selected(type="Histograms"), intervals=TOTALS.histograms)
    (family,) = text_string_to_metric_families(prometheus_text(chosen, summaries=True))
    assert family.type == "summary"
    quantiles = {s.labels["quantile"]: s.value for s in family.samples if "quantile" in s.labels}
    assert list(quantiles) == ["0", "0.25", "0.5", "0.75", "0.9", "0.95", "0.99", "0.995", "0.999", "1"]
    assert quantiles["0.75"] == 2.05


def test_text_readouts_only_when_asked_for() -> None:
    assert prometheus_text(selected(type="TextReadouts")) == ""
    assert prometheus_text(selected(type="TextReadouts"), text_readouts=True) == (
        "# TYPE envoy_cluster_dotted_version_text gauge\n"
        'envoy_cluster_dotted_version_text{envoy_cluster_name="sds",text_value="v1"} 0\n'
    )


def test_a_filter_sees_the_dotted_names() -> None:
    assert (
        prometheus_text(selected(filter="server\\.live"))
        == "# TYPE envoy_server_live gauge\nenvoy_server_live 1\n"
    )
    assert prometheus_text(selected(filter="envoy_server_live")) == ""
