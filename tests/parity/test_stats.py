"""Statistics after a known sequence of requests: Envoy's names and exact values."""

from __future__ import annotations

import re

import pytest

from .harness import Proxy, wait_for
from .origin import raw, silent, text
from .settings import Config, bootstrap, cluster, listener
from .wire import Ended

pytestmark = pytest.mark.parity
VIRTUAL_HOSTS = """
- name: all
  domains: ["*"]
  routes:
  - {match: {path: "/direct"}, direct_response: {status: 200, body: {inline_string: "direct"}}}
  - {match: {path: "/redirect"}, redirect: {path_redirect: "/x"}}
  - {match: {path: "/absent"}, route: {cluster: absent}}
  - {match: {path: "/refused"}, route: {cluster: refused}}
  - {match: {path: "/empty"}, route: {cluster: empty}}
  - {match: {path: "/slow"}, route: {cluster: app, timeout: 0.1s}}
  - {match: {prefix: "/app"}, route: {cluster: app}}
"""


def configure(proxy: Proxy) -> Config:
    clusters = [
        cluster("app", proxy.origin().port),
        cluster("refused", proxy.port("nobody")),
        cluster("empty"),
        cluster("unused", proxy.origin().port),
        cluster("renamed", proxy.origin().port, alt_stat_name="other"),
    ]
    listeners = [
        listener("main", proxy.port(), VIRTUAL_HOSTS, route_config={"validate_clusters": False}),
        listener("second", proxy.port("second"), VIRTUAL_HOSTS, route_config={"validate_clusters": False}),
    ]
    return bootstrap(proxy.port("admin"), listeners, clusters)


def traffic(proxy: Proxy) -> None:
    """One connection with nine requests, then five connections with one each."""
    origin = proxy.origin()
    origin.on("/app/created", text(status="201 Created"))
    origin.on("/app/moved", text(status="302 Found"))
    origin.on("/app/missing", text(status="404 Not Found"))
    origin.on("/app/broken", text(status="500 Oops"))
    origin.on("/app/closed", raw(then="close"))
    origin.on("/app/cut", raw("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc", then="close"))
    origin.on("/slow", silent())
    origin.on("/app/silent", silent())
    with proxy.client() as client:
        for path in ("/app", "/app/created", "/app/moved", "/app/missing", "/app/broken"):
            client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").read()
        for path in ("/direct", "/redirect", "/nothing", "/absent", "/empty"):
            client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n").read()
    assert proxy.ask("/app", method="POST", body=b"12345").status == 200
    assert proxy.ask("/refused").status == 503
    assert proxy.ask("/app/closed", method="POST").status == 503  # a GET would be sent twice
    assert proxy.ask("/slow").status == 504
    with proxy.client() as client, pytest.raises(Ended):
        client.send("GET /app/cut HTTP/1.1\r\nhost: a\r\n\r\n").read()
    client = proxy.client()
    client.send("GET /app/silent HTTP/1.1\r\nhost: a\r\n\r\n")
    wait_for(lambda: proxy.stat("cluster.app.upstream_rq_active") == 1)
    client.close()
    with proxy.client() as client:
        assert client.send("GET / HTTP/1.1\r\nhost: a\r\nx a: b\r\n\r\n").read().status == 400
        assert client.ended()
    wait_for(lambda: proxy.stat("http.main.downstream_cx_active") == 0)


@pytest.fixture(scope="module")
def stats(proxy: Proxy) -> dict[str, int]:
    traffic(proxy)
    return proxy.stats()


UNCOUNTED = re.compile(
    "bytes|total_match_count|worker_0|delayed_close|response_before_rq_complete|memory|version"
)


def used(stats: dict[str, int], prefix: str) -> dict[str, int]:
    """Statistics under a prefix that are not 0, without those of bytes and of Envoy's insides."""
    return {
        name.removeprefix(prefix): value
        for name, value in stats.items()
        if name.startswith(prefix) and value and not UNCOUNTED.search(name)
    }


def test_http(stats: dict[str, int]) -> None:
    assert used(stats, "http.main.") == {
        "downstream_cx_destroy": 8,
        "downstream_cx_destroy_active_rq": 1,
        "downstream_cx_destroy_local": 2,
        "downstream_cx_destroy_remote": 6,
        "downstream_cx_destroy_remote_active_rq": 1,
        "downstream_cx_http1_total": 8,
        "downstream_cx_protocol_error": 1,
        "downstream_cx_total": 8,
        "downstream_rq_2xx": 5,
        "downstream_rq_3xx": 2,
        "downstream_rq_4xx": 3,
        "downstream_rq_5xx": 6,
        "downstream_rq_completed": 16,
        "downstream_rq_http1_total": 17,
        "downstream_rq_rx_reset": 3,
        "downstream_rq_total": 17,
        "downstream_rq_tx_reset": 1,
        "no_cluster": 1,
        "no_route": 1,
        "rq_direct_response": 2,
        "rq_total": 16,
    }


def test_cluster(stats: dict[str, int]) -> None:
    assert used(stats, "cluster.app.") == {
        "external.upstream_rq_200": 3,
        "external.upstream_rq_201": 1,
        "external.upstream_rq_2xx": 4,
        "external.upstream_rq_302": 1,
        "external.upstream_rq_3xx": 1,
        "external.upstream_rq_404": 1,
        "external.upstream_rq_4xx": 1,
        "external.upstream_rq_500": 1,
        "external.upstream_rq_503": 1,
        "external.upstream_rq_504": 1,
        "external.upstream_rq_5xx": 3,
        "external.upstream_rq_completed": 9,
        "membership_change": 1,
        "membership_healthy": 1,
        "membership_total": 1,
        "upstream_cx_destroy": 4,
        "upstream_cx_destroy_local": 2,
        "upstream_cx_destroy_local_with_active_rq": 2,
        "upstream_cx_destroy_remote": 2,
        "upstream_cx_destroy_remote_with_active_rq": 2,
        "upstream_cx_destroy_with_active_rq": 4,
        "upstream_cx_http1_total": 4,
        "upstream_cx_protocol_error": 1,
        "upstream_cx_total": 4,
        "upstream_rq_200": 3,
        "upstream_rq_201": 1,
        "upstream_rq_2xx": 4,
        "upstream_rq_302": 1,
        "upstream_rq_3xx": 1,
        "upstream_rq_404": 1,
        "upstream_rq_4xx": 1,
        "upstream_rq_500": 1,
        "upstream_rq_503": 1,
        "upstream_rq_504": 1,
        "upstream_rq_5xx": 3,
        "upstream_rq_completed": 9,
        "upstream_rq_pending_total": 4,
        "upstream_rq_timeout": 1,
        "upstream_rq_total": 10,
    }


def test_refused_cluster(stats: dict[str, int]) -> None:
    assert used(stats, "cluster.refused.") == {
        "external.upstream_rq_503": 1,
        "external.upstream_rq_5xx": 1,
        "external.upstream_rq_completed": 1,
        "membership_change": 1,
        "membership_healthy": 1,
        "membership_total": 1,
        "upstream_cx_connect_fail": 1,
        "upstream_cx_destroy": 1,
        "upstream_cx_destroy_remote": 1,
        "upstream_cx_http1_total": 1,
        "upstream_cx_total": 1,
        "upstream_rq_503": 1,
        "upstream_rq_5xx": 1,
        "upstream_rq_completed": 1,
        "upstream_rq_pending_failure_eject": 1,
        "upstream_rq_pending_total": 1,
    }


def test_empty_cluster(stats: dict[str, int]) -> None:
    assert used(stats, "cluster.empty.") == {
        "external.upstream_rq_503": 1,
        "external.upstream_rq_5xx": 1,
        "external.upstream_rq_completed": 1,
        "lb_healthy_panic": 1,
        "upstream_cx_none_healthy": 1,
        "upstream_rq_503": 1,
        "upstream_rq_5xx": 1,
        "upstream_rq_completed": 1,
    }


def test_unused_cluster(stats: dict[str, int]) -> None:
    assert used(stats, "cluster.unused.") == {
        "membership_change": 1,
        "membership_healthy": 1,
        "membership_total": 1,
    }


def test_listener(proxy: Proxy, stats: dict[str, int]) -> None:
    assert used(stats, f"listener.127.0.0.1_{proxy.port()}.") == {
        "downstream_cx_destroy": 8,
        "downstream_cx_total": 8,
        "http.main.downstream_rq_2xx": 5,
        "http.main.downstream_rq_3xx": 2,
        "http.main.downstream_rq_4xx": 3,
        "http.main.downstream_rq_5xx": 6,
        "http.main.downstream_rq_completed": 16,
    }


def test_unused_listener(proxy: Proxy, stats: dict[str, int]) -> None:
    assert used(stats, f"listener.127.0.0.1_{proxy.port('second')}.") == {}


def test_managers(stats: dict[str, int]) -> None:
    assert used(stats, "cluster_manager.") == {"active_clusters": 5, "cluster_added": 5}
    assert used(stats, "listener_manager.") == {
        "listener_added": 2,
        "listener_create_success": 2,
        "total_listeners_active": 2,
        "workers_started": 1,
    }


def test_server(proxy: Proxy, stats: dict[str, int]) -> None:
    assert stats["server.live"] == 1
    assert stats["server.state"] == 0
    assert stats["server.concurrency"] == 1
    assert stats["server.memory_allocated"] > 0
    assert 0 <= stats["server.uptime"] < 600
    assert stats["server.total_connections"] == 0
    assert proxy.stat("server.uptime") >= stats["server.uptime"]


def test_alternative_name(stats: dict[str, int]) -> None:
    assert stats["cluster.other.membership_total"] == 1
    assert not [name for name in stats if name.startswith("cluster.renamed.")]


def test_bytes(proxy: Proxy) -> None:
    """Bytes on the wire, both sides: they grow by what was sent."""
    names = ["http.main.downstream_cx_rx_bytes_total", "http.main.downstream_cx_tx_bytes_total"]
    before = proxy.stats("bytes_total")
    request = b"POST /app HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n" + b"x" * 1000
    with proxy.client() as client:
        answer = client.send(request).read_head()
        while len(client.buffer) < 5:
            client.read_some()
    head = sum(len(name) + len(value) + 4 for name, value in answer.headers) + len("HTTP/1.1 200 OK\r\n\r\n")
    expected = [before[names[0]] + len(request), before[names[1]] + head + 5]
    assert wait_for(lambda: [proxy.stat(name) for name in names] == expected)
    sent = (
        proxy.stat("cluster.app.upstream_cx_tx_bytes_total")
        - before["cluster.app.upstream_cx_tx_bytes_total"]
    )
    assert 1000 < sent < 1400


def test_histograms(proxy: Proxy) -> None:
    page = proxy.admin_json("/stats?format=json&filter=rq_time")
    [found] = [each["histograms"] for each in page["stats"] if "histograms" in each]
    assert found["supported_quantiles"] == [0, 25, 50, 75, 90, 95, 99, 99.5, 99.9, 100]
    names = {each["name"] for each in found["computed_quantiles"]}
    assert {"cluster.app.upstream_rq_time", "http.main.downstream_rq_time"} <= names
    for each in found["computed_quantiles"]:
        assert len(each["values"]) == 10
        assert set(each["values"][0]) == {"cumulative", "interval"}
