"""How requests are spread: round robin with weights, least request, random."""

from __future__ import annotations

from collections import Counter

import pytest

from .harness import Proxy, wait_for
from .origin import silent
from .settings import Config, bootstrap, cluster, endpoint, listener

pytestmark = pytest.mark.parity
NAMES = "abc"


def configure(proxy: Proxy) -> Config:
    ports = [proxy.origin(name).port for name in NAMES]
    weighted = [endpoint(port, weight=weight) for port, weight in zip(ports, (1, 2, 3))]
    clusters = [
        cluster("robin", *ports),
        cluster("explicit", *ports, lb_policy="ROUND_ROBIN"),
        cluster("weighted", *weighted, lb_policy="ROUND_ROBIN"),
        cluster("least", *ports, lb_policy="LEAST_REQUEST"),
        cluster("least-weighted", *weighted, lb_policy="LEAST_REQUEST"),
        cluster("random", *ports, lb_policy="RANDOM"),
        cluster("pair", *ports[:2], lb_policy="LEAST_REQUEST", least_request_lb_config={"choice_count": 10}),
        cluster("one-dead", ports[0], proxy.port("nobody")),
    ]
    routes = [
        {"match": {"path_separated_prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}}
        for each in clusters
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


def chosen(proxy: Proxy, path: str, count: int) -> str:
    """The names of the upstreams that one request after the other went to."""
    found = ""
    with proxy.client() as client:
        for _ in range(count):
            client.send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")
            assert client.read().status == 200
            for name in NAMES:
                if not proxy.origin(name).queue.empty():
                    proxy.origin(name).take()
                    found += name
    assert len(found) == count
    return found


@pytest.mark.parametrize("path", ["/robin", "/explicit"])
def test_round_robin(proxy: Proxy, path: str) -> None:
    found = chosen(proxy, path, 99)
    assert Counter(found) == {"a": 33, "b": 33, "c": 33}
    assert found == found[:3] * 33


def test_round_robin_with_weights(proxy: Proxy) -> None:
    """Over any six requests each endpoint has its share, and none has it all at once."""
    found = chosen(proxy, "/weighted", 120)
    assert Counter(found) == {"a": 20, "b": 40, "c": 60}
    assert found == found[:6] * 20
    assert found[:6] in "cbcabc" * 2  # it begins anywhere


def test_least_request(proxy: Proxy) -> None:
    found = Counter(chosen(proxy, "/least", 150))
    assert set(found) == set(NAMES)
    assert min(found.values()) >= 20


def test_least_request_with_weights(proxy: Proxy) -> None:
    """With nothing active it is a weighted round robin."""
    found = Counter(chosen(proxy, "/least-weighted", 120))
    assert found == {"a": 20, "b": 40, "c": 60}


def test_least_request_avoids_the_busy_one(proxy: Proxy) -> None:
    for name in NAMES:
        proxy.origin(name).on("/pair/busy", silent())
    clients = []
    for _ in range(3):
        clients.append(proxy.client().send("GET /pair/busy HTTP/1.1\r\nhost: a\r\n\r\n"))
        assert proxy.stat_becomes("cluster.pair.upstream_rq_active", len(clients))
    wait_for(lambda: sum(proxy.origin(name).queue.qsize() for name in "ab") == 3)
    held = {name: proxy.origin(name).queue.qsize() for name in "ab"}
    assert sorted(held.values()) == [1, 2]
    freer = min(held, key=lambda name: held[name])
    for name in NAMES:
        proxy.origin(name).forget()
    found = Counter(chosen(proxy, "/pair/free", 20))
    assert found[freer] >= 18
    for client in clients:
        client.close()


def test_random(proxy: Proxy) -> None:
    found = chosen(proxy, "/random", 150)
    counts = Counter(found)
    assert set(counts) == set(NAMES)
    assert min(counts.values()) >= 20
    assert found != found[:3] * 50


def test_a_dead_endpoint_is_still_chosen(proxy: Proxy) -> None:
    """Nothing takes it out without health checks; each second request fails."""
    statuses = [proxy.ask("/one-dead").status for _ in range(8)]
    assert sorted(statuses) == [200] * 4 + [503] * 4


def test_requests_of_each_host_are_counted(proxy: Proxy) -> None:
    before = hosts(proxy)
    chosen(proxy, "/robin", 6)
    after = hosts(proxy)
    assert [after[port] - before[port] for port in sorted(after)] == [2, 2, 2]


def hosts(proxy: Proxy) -> dict[int, int]:
    """Requests so far by the endpoint's port, from /clusters."""
    page = proxy.admin_json("/clusters?format=json")
    [found] = [each for each in page["cluster_statuses"] if each["name"] == "robin"]
    counts = {}
    for host in found["host_statuses"]:
        stats = {each["name"]: int(each.get("value", 0)) for each in host["stats"]}
        counts[host["address"]["socket_address"]["port_value"]] = stats["rq_total"]
    return counts
