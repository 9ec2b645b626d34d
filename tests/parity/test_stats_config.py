"""`stats_config`: tags, which statistics there are, buckets; `stats_sinks`: statsd in its dialects; `allow_paths`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from .harness import Proxy, wait_for
from .settings import Config, bootstrap, cluster, listener, routes_to
from .statsd_peer import StatsdPeer
from .test_admin_stats import normal

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
TYPES = {
    "statsd": "type.googleapis.com/envoy.config.metrics.v3.StatsdSink",
    "dog_statsd": "type.googleapis.com/envoy.config.metrics.v3.DogStatsdSink",
    "graphite_statsd": "type.googleapis.com/envoy.extensions.stat_sinks.graphite_statsd.v3.GraphiteStatsdSink",
}
PEERS: dict[str, StatsdPeer] = {}


def sink(kind: str, peer: str, **fields: object) -> Config:
    PEERS[peer] = StatsdPeer()
    if peer != "tcp":
        address = {"protocol": "UDP", "address": "127.0.0.1", "port_value": PEERS[peer].port}
        fields["address"] = {"socket_address": address}
    return {"name": f"envoy.stat_sinks.{kind}", "typed_config": {"@type": TYPES[kind], **fields}}


def configure(proxy: Proxy) -> Config:
    sinks = [
        sink("statsd", "plain", prefix="p"),
        sink("dog_statsd", "dog"),
        sink("dog_statsd", "packed", prefix="q", max_bytes_per_datagram=512),
        sink("graphite_statsd", "graphite"),
        sink("statsd", "tcp", tcp_cluster_name="statsd"),
    ]
    tags = [
        {"tag_name": "fixed", "fixed_value": "v"},
        {"tag_name": "my.part", "regex": r"^cluster\.app\.((upstream_cx)_)"},
        {"tag_name": "total", "regex": r"(_total)$"},
    ]
    config = bootstrap(
        proxy.port("admin"),
        [listener("main", proxy.port(), routes_to("app"))],
        [cluster("app", proxy.origin().port), cluster("statsd", PEERS["tcp"].port)],
        node={"id": "n", "cluster": "c"},
        stats_config={
            "stats_tags": tags,
            "stats_matcher": {
                "exclusion_list": {"patterns": [{"prefix": "cluster.statsd."}, {"contains": ".lb_"}]}
            },
            "histogram_bucket_settings": [
                {"match": {"prefix": "http.main"}, "buckets": [10.5, 2, 3600]},
                {"match": {"contains": "main"}, "buckets": [1]},
            ],
        },
        stats_sinks=sinks,
        stats_flush_interval="0.2s",
    )
    config["admin"]["allow_paths"] = [{"prefix": "/stats"}, {"exact": "/ready"}, {"suffix": "me"}]
    return config


@pytest.fixture(scope="module", autouse=True)
def _traffic(proxy: Proxy) -> Iterator[None]:
    peers = dict(PEERS)
    for _ in range(3):
        proxy.ask("/x")
    yield
    for peer in peers.values():
        peer.stop()


@pytest.mark.parametrize(
    ("peer", "lines"),
    [
        (
            "plain",
            [
                "p.cluster.app.upstream_rq_total:3|c",
                "p.cluster.app.upstream_rq_total:0|c",
                "p.cluster.app.upstream_rq_200:3|c",
                "p.cluster.app.membership_total:1|g",
                "p.cluster.app.circuit_breakers.default.cx_open:0|g",
                "p.server.live:1|g",
                "p.http.main.downstream_rq_2xx:3|c",
            ],
        ),
        (
            "dog",
            [
                "envoy.cluster.upstream_rq:3|c|#envoy.cluster_name:app,envoy.response_code:200,fixed:v",
                "envoy.cluster.membership_healthy:1|g|#envoy.cluster_name:app,fixed:v",
                "envoy.server.live:1|g|#fixed:v",
                "envoy.cluster.rx_bytes:129|c|#envoy.cluster_name:app,fixed:v,my.part:upstream_cx,total:_total",
            ],
        ),
        (
            "packed",
            [
                "q.http.downstream_rq_xx:3|c|#envoy.http_conn_manager_prefix:main,envoy.response_code_class:2,fixed:v"
            ],
        ),
        (
            "graphite",
            [
                "envoy.cluster.upstream_rq;envoy.cluster_name=app;envoy.response_code=200;fixed=v:3|c",
                "envoy.server.live;fixed=v:1|g",
            ],
        ),
        ("tcp", ["envoy.cluster.app.upstream_rq_total:3|c", "envoy.server.live:1|g"]),
    ],
)
def test_statsd(proxy: Proxy, peer: str, lines: list[str]) -> None:
    """Tags are compared without their order, counters with all that came so far: flushes may come between requests."""
    found = PEERS[peer]

    def seen() -> set[str]:
        all_lines = [ordered(line) for line in (*found.lines(), *found.stream.split("\n"))]
        counts = [match for line in all_lines if (match := COUNT.fullmatch(line))]
        sums: Counter[tuple[str, str]] = Counter()
        for match in counts:
            sums[match["name"], match["tags"]] += int(match["count"])
        return {*all_lines, *(f"{name}:{count}|c{tags}" for (name, tags), count in sums.items())}

    assert wait_for(lambda: set(lines) <= seen(), 10), set(lines) - seen()


COUNT = re.compile(r"(?P<name>[^:|]+):(?P<count>\d+)\|c(?P<tags>(\|#.*)?)")


def ordered(line: str) -> str:
    head, mark, tags = line.partition("|#")
    if mark:
        return head + mark + ",".join(sorted(tags.split(",")))
    name, semicolon, rest = line.partition(";")
    if semicolon:
        tags, _, value = rest.partition(":")
        return f"{name};{';'.join(sorted(tags.split(';')))}:{value}"
    return line


def test_times(proxy: Proxy) -> None:
    """Each value that was recorded is told; twistproxy tells equal ones once, with how often they came."""
    peer = PEERS["plain"]
    pattern = re.compile(r"p\.http\.main\.downstream_rq_time:\d+\|ms(?:\|@([\d.]+))?")

    def count() -> int:
        found = [match for line in peer.lines() if (match := pattern.fullmatch(line))]
        return sum(round(1 / float(match[1] or 1)) for match in found)

    assert wait_for(lambda: count() == 3, 10), count()


def test_datagrams(proxy: Proxy) -> None:
    assert wait_for(lambda: len(PEERS["packed"].datagrams) > 4)
    assert not [one for one in PEERS["plain"].datagrams if "\n" in one]
    packed = PEERS["packed"].datagrams
    assert max(len(one) for one in packed) <= 512
    assert [one for one in packed if "\n" in one]


def test_what_is_excluded_is_not_there(proxy: Proxy) -> None:
    names = proxy.stats()
    assert "cluster.app.upstream_rq_total" in names
    assert not [name for name in names if name.startswith("cluster.statsd.") or ".lb_" in name]
    assert 'cluster_name="statsd"' not in proxy.admin("/stats/prometheus").text
    assert not [line for line in PEERS["plain"].lines() if "cluster.statsd" in line]


def test_overflow_of_the_connection_is_counted(proxy: Proxy) -> None:
    assert proxy.stats("^statsd") == {"statsd.cx_overflow": 0}


def test_tags_in_prometheus(proxy: Proxy) -> None:
    text = proxy.admin("/stats/prometheus?filter=^cluster.app.upstream_(cx_overflow|rq_total)$").text
    assert [normal(line) for line in text.splitlines()] == [
        "# TYPE envoy_cluster_overflow counter",
        'envoy_cluster_overflow{envoy_cluster_name="app",fixed="v",my_part="upstream_cx"} 0.0',
        "# TYPE envoy_cluster_upstream_rq counter",
        'envoy_cluster_upstream_rq{envoy_cluster_name="app",fixed="v",total="_total"} 3.0',
    ]


def test_buckets(proxy: Proxy) -> None:
    """The first rule that matches; the bounds are put in order."""
    text = proxy.admin("/stats/prometheus?filter=^http.main.downstream_rq_time$").text
    assert re.findall(r'le="([^"]+)"', text) == ["2", "10.5", "3600", "+Inf"]
    text = proxy.admin("/stats?histogram_buckets=cumulative&filter=^http.main.downstream_rq_time$").text
    assert re.findall(r"B([\d.]+)\(", text) == ["2", "10.5", "3600"]
    found = proxy.admin_json(
        "/stats?format=json&histogram_buckets=disjoint&filter=^http.main.downstream_rq_time$"
    )
    [[histogram]] = [each["histograms"] for each in found["stats"] if "histograms" in each]
    assert [each["upper_bound"] for each in histogram["buckets"]] == [2, 10.5, 3600]
    assert '"0.5"' in proxy.admin("/stats/prometheus?filter=^http.admin.downstream_rq_time$").text


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/ready", 200),
        ("/ready?x", 403),
        ("/stats", 200),
        ("/help", 403),
        ("/", 403),
        ("/help?me", 200),
        ("/statsx", 404),
    ],
)
def test_allowed_paths(proxy: Proxy, path: str, status: int) -> None:
    response = proxy.admin(path)
    assert response.status == status
    if status == 403:
        assert response.text == f"request to path {path} not allowed"
        assert response["content-type"] == "text/plain; charset=UTF-8"
