"""/stats in its formats, with its filters."""

from __future__ import annotations

import re

import pytest

from .harness import Proxy
from .settings import Config, bootstrap, cluster, listener, routes_to

pytestmark = pytest.mark.parity
LINE = re.compile(r"[^ :]\S*: (\d+|\".*\"|No recorded values|P0\(.*)")


def configure(proxy: Proxy) -> Config:
    main = listener("main", proxy.port(), routes_to("app"))
    return bootstrap(proxy.port("admin"), [main], [cluster("app", proxy.origin().port)])


@pytest.fixture(scope="module", autouse=True)
def _five_requests(proxy: Proxy) -> None:
    for _ in range(5):
        proxy.ask("/x")


def page(proxy: Proxy, query: str) -> str:
    response = proxy.admin(f"/stats{query}")
    assert response.status == 200
    return response.text


def test_text(proxy: Proxy) -> None:
    lines = page(proxy, "").rstrip("\n").splitlines()
    assert all(LINE.fullmatch(line) for line in lines)
    assert "cluster.app.upstream_rq_200: 5" in lines
    numbers = [line.split(": ")[0] for line in lines if re.search(r": \d+$", line)]
    assert numbers == sorted(numbers)


def test_filter(proxy: Proxy) -> None:
    text = page(proxy, "?filter=^http.main.downstream_rq_(total|2xx)$")
    assert text.split() == ["http.main.downstream_rq_2xx:", "5", "http.main.downstream_rq_total:", "5"]


def test_filter_is_a_search(proxy: Proxy) -> None:
    lines = page(proxy, "?filter=app.upstream_rq_2").splitlines()
    assert [line for line in lines if line] == [
        "cluster.app.upstream_rq_200: 5",
        "cluster.app.upstream_rq_2xx: 5",
    ]


def test_filter_encoded(proxy: Proxy) -> None:
    assert (
        page(proxy, "?filter=%5Ecluster%5C.app%5C.upstream_rq_200%24").strip()
        == "cluster.app.upstream_rq_200: 5"
    )


def test_filter_with_nothing(proxy: Proxy) -> None:
    assert page(proxy, "?filter=zzz").strip() == ""


def test_bad_filter(proxy: Proxy) -> None:
    response = proxy.admin("/stats?filter=[")
    assert (response.status, response.text.strip()) == (400, "Invalid re2 regex: missing ]: [")


def test_bad_format(proxy: Proxy) -> None:
    response = proxy.admin("/stats?format=nonsense")
    assert response.status == 400
    assert response.text.startswith("usage: /stats?format=")


def test_used_only(proxy: Proxy) -> None:
    """A gauge that was ever set counts as used, at 0 too; a counter at 0 does not."""
    names = {line.split(":")[0] for line in page(proxy, "?usedonly&filter=^http.main").splitlines() if line}
    assert "http.main.downstream_rq_2xx" in names
    assert "http.main.downstream_rq_active" in names
    assert not names & {
        "http.main.downstream_rq_5xx",
        "http.main.no_route",
        "http.main.downstream_cx_http2_total",
    }


@pytest.mark.parametrize(
    ("kind", "there", "absent"),
    [
        ("Counters", "cluster.app.upstream_rq_total", "cluster.app.membership_total"),
        ("Gauges", "cluster.app.membership_total", "cluster.app.upstream_rq_total"),
        ("Histograms", "cluster.app.upstream_rq_time", "cluster.app.upstream_rq_total"),
    ],
)
def test_type(proxy: Proxy, kind: str, there: str, absent: str) -> None:
    text = page(proxy, f"?type={kind}")
    assert f"{there}: " in text
    assert f"{absent}: " not in text


def test_json(proxy: Proxy) -> None:
    found = proxy.admin_json("/stats?format=json&filter=^cluster.app.upstream_rq_(200|total)$")
    assert found == {
        "stats": [
            {"name": "cluster.app.upstream_rq_200", "value": 5},
            {"name": "cluster.app.upstream_rq_total", "value": 5},
        ]
    }


def prometheus(proxy: Proxy, path: str = "/stats/prometheus") -> list[str]:
    response = proxy.admin(path)
    assert response.status == 200
    return [line for line in response.text.splitlines() if line]


def test_prometheus_names_and_labels(proxy: Proxy) -> None:
    lines = prometheus(proxy)
    for line in (
        "# TYPE envoy_cluster_upstream_rq counter",
        'envoy_cluster_upstream_rq{envoy_response_code="200",envoy_cluster_name="app"} 5',
        "# TYPE envoy_cluster_upstream_rq_xx counter",
        'envoy_cluster_upstream_rq_xx{envoy_response_code_class="2",envoy_cluster_name="app"} 5',
        "# TYPE envoy_cluster_upstream_rq_total counter",
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="app"} 5',
        "# TYPE envoy_cluster_membership_total gauge",
        'envoy_cluster_membership_total{envoy_cluster_name="app"} 1',
        'envoy_http_downstream_rq_xx{envoy_response_code_class="2",envoy_http_conn_manager_prefix="main"} 5',
        'envoy_http_downstream_rq_total{envoy_http_conn_manager_prefix="main"} 5',
        f'envoy_listener_downstream_cx_total{{envoy_listener_address="127.0.0.1_{proxy.port()}"}} 5',
        f'envoy_listener_http_downstream_rq_xx{{envoy_response_code_class="2",'
        f'envoy_http_conn_manager_prefix="main",envoy_listener_address="127.0.0.1_{proxy.port()}"}} 5',
        "# TYPE envoy_server_live gauge",
        "envoy_server_live{} 1",
        "envoy_cluster_manager_active_clusters{} 1",
    ):
        assert normal(line) in [normal(each) for each in lines], line


def normal(line: str) -> str:
    """A sample with its labels in alphabetical order, and without braces if there are none."""
    found = re.fullmatch(r"(\w+)(\{.*\})? (\S+)", line)
    if not found:
        return line
    labels = ",".join(sorted(re.findall(r'\w+="[^"]*"', found[2] or "")))
    return f"{found[1]}{{{labels}}} {float(found[3])}" if labels else f"{found[1]} {float(found[3])}"


def test_prometheus_shape(proxy: Proxy) -> None:
    """One TYPE line before the samples of each name, and no name twice."""
    declared = [line.split()[2] for line in prometheus(proxy) if line.startswith("# TYPE ")]
    assert len(declared) == len(set(declared)) > 100
    assert all(name.startswith("envoy_") for name in declared)


def test_prometheus_histogram(proxy: Proxy) -> None:
    lines = [normal(line) for line in prometheus(proxy) if "downstream_rq_time" in line]
    assert "# TYPE envoy_http_downstream_rq_time histogram" in lines
    bounds = re.findall(r'le="([^"]+)"', " ".join(line for line in lines if '"main"' in line))
    numbers = [float(bound.replace("+Inf", "inf")) for bound in bounds]
    assert numbers == [
        0.5,
        1,
        5,
        10,
        25,
        50,
        100,
        250,
        500,
        1000,
        2500,
        5000,
        10000,
        30000,
        60000,
        300000,
        600000,
        1800000,
        3600000,
        float("inf"),
    ]


def test_prometheus_by_either_path(proxy: Proxy) -> None:
    query = "filter=^cluster.app.upstream_rq_total$"
    expected = [
        "# TYPE envoy_cluster_upstream_rq_total counter",
        'envoy_cluster_upstream_rq_total{envoy_cluster_name="app"} 5.0',
    ]
    for path in (f"/stats?format=prometheus&{query}", f"/stats/prometheus?{query}"):
        assert [normal(line) for line in prometheus(proxy, path) if "# HELP" not in line] == expected


def test_prometheus_used_only(proxy: Proxy) -> None:
    lines = prometheus(proxy, "/stats/prometheus?usedonly&filter=^cluster.app")
    assert any("envoy_cluster_upstream_rq_total{" in line for line in lines)
    assert not any("envoy_cluster_upstream_rq_timeout" in line for line in lines)
