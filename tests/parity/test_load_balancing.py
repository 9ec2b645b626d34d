"""How requests are spread: round robin with weights, least request, random."""

from __future__ import annotations

from collections import Counter

import pytest

from .harness import Proxy, wait_for
from .origin import silent, text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
NAMES = "abc"


def configure(proxy: Proxy) -> Config:
    for name in NAMES:
        proxy.origin(name).default = text(name)
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


def chosen(workers: Workers, path: str, count: int) -> list[str]:
    """The names of the upstreams that so many requests to each worker went to, one after the other."""
    return ["".join(names) for names in workers.ask(path, count)]


@pytest.mark.parametrize("path", ["/robin", "/explicit"])
def test_round_robin(workers: Workers, path: str) -> None:
    for found in chosen(workers, path, 99):
        assert Counter(found) == {"a": 33, "b": 33, "c": 33}
        assert found == found[:3] * 33


def test_round_robin_with_weights(workers: Workers) -> None:
    """Over any six requests each endpoint has its share, and none has it all at once."""
    for found in chosen(workers, "/weighted", 120):
        assert Counter(found) == {"a": 20, "b": 40, "c": 60}
        assert found == found[:6] * 20
        assert found[:6] in "cbcabc" * 2  # it begins anywhere


def test_least_request(workers: Workers) -> None:
    for found in map(Counter, chosen(workers, "/least", 150)):
        assert set(found) == set(NAMES)
        assert min(found.values()) >= 20


def test_least_request_with_weights(workers: Workers) -> None:
    """With nothing active it is a weighted round robin."""
    for found in chosen(workers, "/least-weighted", 120):
        assert Counter(found) == {"a": 20, "b": 40, "c": 60}


def test_least_request_avoids_the_busy_one(proxy: Proxy, workers: Workers) -> None:
    """For every worker it is busy, whichever has made it so."""
    clients = []
    for name in NAMES:
        proxy.origin(name).on("/pair/busy", silent())
    for _ in range(3):
        clients.append(workers.client(0))
        clients[-1].send("GET /pair/busy HTTP/1.1\r\nhost: a\r\n\r\n")
        assert proxy.stat_becomes("cluster.pair.upstream_rq_active", len(clients))
    wait_for(lambda: sum(proxy.origin(name).queue.qsize() for name in "ab") == 3)
    held = {name: proxy.origin(name).queue.qsize() for name in "ab"}
    assert sorted(held.values()) == [1, 2]
    freer = min(held, key=lambda name: held[name])
    for found in chosen(workers, "/pair/free", 20):
        assert found.count(freer) >= 18
    for client in clients:
        client.close()


def test_random(workers: Workers) -> None:
    """And no worker repeats what another does."""
    sequences = chosen(workers, "/random", 150)
    assert len(set(sequences)) == len(sequences)
    for found in sequences:
        counts = Counter(found)
        assert set(counts) == set(NAMES)
        assert min(counts.values()) >= 20
        assert found != found[:3] * 50


def test_a_dead_endpoint_is_still_chosen(workers: Workers) -> None:
    """Nothing takes it out without health checks; each second request fails."""
    for found in workers.ask("/one-dead", 8):
        assert sorted(found) == ["503"] * 4 + ["a"] * 4


def test_requests_of_each_host_are_counted(proxy: Proxy, workers: Workers) -> None:
    before = hosts(proxy)
    chosen(workers, "/robin", 6)
    after = hosts(proxy)
    assert [after[port] - before[port] for port in sorted(after)] == [2 * proxy.concurrency] * 3


def hosts(proxy: Proxy) -> dict[int, int]:
    """Requests so far by the endpoint's port, from /clusters."""
    page = proxy.admin_json("/clusters?format=json")
    [found] = [each for each in page["cluster_statuses"] if each["name"] == "robin"]
    counts = {}
    for host in found["host_statuses"]:
        stats = {each["name"]: int(each.get("value", 0)) for each in host["stats"]}
        counts[host["address"]["socket_address"]["port_value"]] = stats["rq_total"]
    return counts
