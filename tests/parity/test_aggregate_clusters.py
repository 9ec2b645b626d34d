"""Aggregate clusters: the priorities of several clusters, one after the other."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .origin import Exchange, silent
from .settings import Config, access_log, bootstrap, cluster, endpoint, listener, protocol_options
from .test_cluster_types import eds_cluster, eds_path, eds_text, replace
from .test_subset_requests import PREVIOUS_HOSTS, PREVIOUS_PRIORITIES, match

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
AGGREGATE = "type.googleapis.com/envoy.extensions.clusters.aggregate.v3.ClusterConfig"
NAMES = "abcd"


def aggregate(name: str, *members: str, **fields: Any) -> Config:
    return {
        "name": name,
        "connect_timeout": "1s",
        "lb_policy": "CLUSTER_PROVIDED",
        "cluster_type": {
            "name": "envoy.clusters.aggregate",
            "typed_config": {"@type": AGGREGATE, "clusters": list(members)},
        },
        **fields,
    }


def configure(proxy: Proxy) -> Config:
    ports = {name: proxy.origin(name).port for name in NAMES}

    def host(name: str, health: str = "HEALTHY", **metadata: str) -> Config:
        found = {**endpoint(ports[name]), "health_status": health}
        return {**found, "metadata": {"filter_metadata": {"envoy.lb": metadata}}}

    def member(name: str, *priorities: list[Config], **fields: Any) -> Config:
        groups = [{"priority": at, "lb_endpoints": hosts} for at, hosts in enumerate(priorities)]
        return cluster(name, load_assignment={"cluster_name": name, "endpoints": groups}, **fields)

    ill = "UNHEALTHY"
    subsets = {"subset_selectors": [{"keys": ["v"]}]}
    replace(eds_path(proxy), eds_text("eds", ports["a"]))
    tight = {"thresholds": [{"max_requests": 1}]}
    brief = protocol_options(common_http_protocol_options={"max_stream_duration": "0.1s"})
    clusters = [
        member("one", [host("a")]),
        member("two", [host("b", ill)], [host("c")]),
        member("half", [host("a"), host("b", ill)]),
        member("ill", [host("a", ill), host("b", ill)]),
        member("ill-too", [host("c", ill), host("d", ill)]),
        member("degraded", [host("a", "DEGRADED"), host("b", ill)]),
        member("empty"),
        member("gap", [], [], [host("d")]),
        member("dead", [endpoint(1)]),
        member("tight", [host("a")], circuit_breakers=tight),
        member("brief", [host("a")], typed_extension_protocol_options=brief),
        member("ring", [host("a"), host("b")], [host("c")], lb_policy="RING_HASH"),
        member("parts", [host("a", v="1"), host("b", v="2")], [host("c", v="1")], lb_subset_config=subsets),
        eds_cluster("eds", eds_path(proxy)),
        aggregate("first", "one", "two"),
        aggregate("failover", "ill", "empty", "missing", "two"),
        aggregate("spill", "half", "two"),
        aggregate("panic", "ill", "ill-too"),
        aggregate("worse", "degraded", "gap"),
        aggregate("none", "empty", "missing"),
        aggregate("nested", "first"),
        aggregate("itself", "itself", "one"),
        aggregate("limited", "tight"),
        aggregate("limiting", "one", circuit_breakers=tight),
        aggregate("short", "brief"),
        aggregate("shortening", "one", typed_extension_protocol_options=brief),
        aggregate("hash", "ill", "ring"),
        aggregate("subset", "parts", "two"),
        aggregate("changing", "eds", "two"),
        aggregate("retry", "half", "one", "two"),
        aggregate("unreachable", "dead", "one"),
        aggregate("hosts", "one", "two", "gap"),
    ]
    policies: dict[str, Config] = {
        "retry": {
            "retry_policy": {
                "retry_on": "5xx",
                "num_retries": 2,
                "retry_priority": {
                    "name": "p",
                    "typed_config": {"@type": PREVIOUS_PRIORITIES, "update_frequency": 1},
                },
            }
        },
        "hosts": {
            "retry_policy": {
                "retry_on": "5xx",
                "num_retries": 1,
                "retry_host_predicate": [{"name": "p", "typed_config": {"@type": PREVIOUS_HOSTS}}],
                "host_selection_retry_max_attempts": "3",
            }
        },
        "hash": {"hash_policy": [{"header": {"header_name": "x-key"}}]},
        "subset": match(v="1"),
        "unreachable": {"retry_policy": {"retry_on": "connect-failure", "num_retries": 1}},
    }
    routes = [
        {
            "match": {"path_separated_prefix": f"/{one['name']}"},
            "route": {"cluster": one["name"], "timeout": "1s", **policies.get(one["name"], {})},
        }
        for one in clusters
    ]
    virtual_host = {
        "name": "all",
        "domains": ["*"],
        "routes": routes,
        "response_headers_to_add": [{"header": {"key": "x-host", "value": "%UPSTREAM_REMOTE_ADDRESS%"}}],
    }
    log = access_log(
        proxy.log().path, "%REQ(:path)%|%UPSTREAM_CLUSTER%|%UPSTREAM_CLUSTER_RAW%|%RESPONSE_FLAGS%\n"
    )
    return bootstrap(
        proxy.port("admin"), [listener("main", proxy.port(), [virtual_host], access_log=[log])], clusters
    )


def reached(proxy: Proxy, path: str, count: int = 10, *headers: str) -> Counter[str]:
    """How many requests reached which host; "" for none."""
    ports = {f"127.0.0.1:{proxy.origin(name).port}": name for name in NAMES}
    lines = "".join(f"{line}\r\n" for line in ("host: a", *headers))
    found: Counter[str] = Counter()
    for _ in range(2):
        with proxy.client() as client:
            for _ in range(count):
                client.send(f"GET /{path} HTTP/1.1\r\n{lines}\r\n")
                response = client.read()
                if response.status == 503:
                    assert response.body == b"no healthy upstream"
                found[ports[str(response["x-host"])] if response.status == 200 else ""] += 1
    return found


@pytest.mark.parametrize(
    ("path", "hosts"),
    [
        ("first", "a"),
        ("failover", "c"),
        ("spill", "ac"),
        ("panic", "abcd"),
        ("worse", "d"),
        ("none", ""),
        ("nested", ""),
        ("itself", "a"),
        ("subset", "a"),
        ("hash", "ab"),
    ],
)
def test_reached(proxy: Proxy, path: str, hosts: str) -> None:
    found = reached(proxy, path, 40)
    assert "".join(sorted(found)) == hosts


def test_shares(proxy: Proxy) -> None:
    """Half of the hosts of the first cluster are well, which take 70 of 100 requests."""
    found = reached(proxy, "spill", 100)
    assert 115 <= found["a"] <= 165
    found = reached(proxy, "panic", 100)
    assert all(25 <= found[name] <= 75 for name in NAMES)


def test_a_panic_is_counted_where_the_hosts_are(proxy: Proxy) -> None:
    def panics() -> dict[str, int]:
        return {name: proxy.stat(f"cluster.{name}.lb_healthy_panic") for name in ("panic", "ill", "ill-too")}

    before = panics()
    reached(proxy, "panic", 10)
    after = panics()
    assert after["panic"] == before["panic"]
    assert sum(after.values()) - sum(before.values()) == 20


def test_a_hash_chooses_the_host(proxy: Proxy) -> None:
    found = [reached(proxy, "hash", 2, f"x-key: {number}") for number in range(40)]
    assert all(len(one) == 1 for one in found)
    assert len(set(map(tuple, found))) == 2


def test_what_counts_where(proxy: Proxy) -> None:
    """Connections and requests where the hosts are, responses where the route leads."""
    before = proxy.stats(
        "^cluster.(first|one).(upstream_(rq|cx)_(total|200|2xx|completed)|membership_total)$"
    )
    reached(proxy, "first", 3)
    after = proxy.stats("^cluster.(first|one).(upstream_(rq|cx)_(total|200|2xx|completed)|membership_total)$")
    changes = {name.removeprefix("cluster."): after[name] - before.get(name, 0) for name in after}
    assert changes.pop("one.upstream_cx_total") <= 2
    assert {name: change for name, change in changes.items() if change} == {
        "first.upstream_rq_200": 6,
        "first.upstream_rq_2xx": 6,
        "first.upstream_rq_completed": 6,
        "one.upstream_rq_total": 6,
    }
    assert after["cluster.first.membership_total"] == 0


def test_nobody_there(proxy: Proxy) -> None:
    before = proxy.stat("cluster.none.upstream_cx_none_healthy")
    assert reached(proxy, "none", 1) == {"": 2}
    assert proxy.stat("cluster.none.upstream_cx_none_healthy") == before + 2


def test_in_logs_and_pages(proxy: Proxy) -> None:
    assert proxy.ask("/first/log").status == 200
    assert proxy.log().line("/first/log") == "/first/log|first|first|-"
    page = proxy.admin_json("/clusters?format=json")["cluster_statuses"]
    [found] = [one for one in page if one["name"] == "first"]
    assert not found.get("host_statuses")


def holding(proxy: Proxy, path: str) -> tuple[int, str | None]:
    """Hold a request, and what becomes of another one meanwhile: its status and x-envoy-overloaded."""
    proxy.origin("a").forget()
    proxy.origin("a").on(f"/{path}/held", silent())
    with proxy.client() as client:
        client.send(f"GET /{path}/held HTTP/1.1\r\nhost: a\r\n\r\n")
        assert wait_for(lambda: not proxy.origin("a").queue.empty())
        response = proxy.ask(f"/{path}/more")
    return response.status, response["x-envoy-overloaded"]


def test_the_breakers_of_the_hosts_own_cluster_count(proxy: Proxy) -> None:
    assert holding(proxy, "limited") == (503, "true")
    assert proxy.stat("cluster.tight.upstream_rq_active_overflow") == 1
    assert holding(proxy, "limiting") == (200, None)


@pytest.mark.parametrize(
    ("path", "body", "reached"),
    [
        ("short", b"upstream max stream duration reached", 1),
        ("shortening", b"upstream request timeout", 0),
    ],
)
def test_max_stream_duration(proxy: Proxy, path: str, body: bytes, reached: int) -> None:
    """That of the host's own cluster."""
    proxy.origin("a").on(f"/{path}", silent())
    before = proxy.stat("cluster.brief.upstream_rq_max_duration_reached")
    response = proxy.ask(f"/{path}")
    assert response.status == 504
    assert response.body == body
    assert proxy.stat("cluster.brief.upstream_rq_max_duration_reached") == before + reached


def failing(exchange: Exchange) -> None:
    exchange.send("HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n")


def test_a_retry_goes_to_another_priority(proxy: Proxy) -> None:
    """The clusters "half", "one" and "two" have one priority each that has hosts which are well."""
    for name in NAMES:
        proxy.origin(name).forget()
        proxy.origin(name).on("/retry", failing)
    for _ in range(6):
        assert proxy.ask("/retry").status == 500
    counts = {name: proxy.origin(name).queue.qsize() for name in NAMES}
    assert counts["b"] == counts["d"] == 0
    assert counts["a"] + counts["c"] == 18
    assert counts["c"] >= 6


def test_a_retry_avoids_the_host(proxy: Proxy) -> None:
    """Only within the priority that is chosen, which has no other."""
    for name in NAMES:
        proxy.origin(name).forget()
        proxy.origin(name).on("/hosts", failing)
    assert proxy.ask("/hosts").status == 500
    assert proxy.origin("a").queue.qsize() == 2


def test_a_member_that_changes(proxy: Proxy) -> None:
    ports = {name: proxy.origin(name).port for name in NAMES}
    assert set(reached(proxy, "changing")) == {"a"}
    replace(eds_path(proxy), eds_text("eds", ports["d"]))
    assert wait_for(lambda: set(reached(proxy, "changing", 4)) == {"d"})
    replace(eds_path(proxy), eds_text("eds"))
    assert wait_for(lambda: set(reached(proxy, "changing", 4)) == {"c"})
    replace(eds_path(proxy), eds_text("eds", ports["a"]))
    assert wait_for(lambda: set(reached(proxy, "changing", 4)) == {"a"})
