"""Connections that are made before there are requests for them: each worker makes them for its own."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Semaphore

import pytest

from .harness import Proxy, wait_for
from .origin import Exchange, text
from .settings import Config, bootstrap, cluster, listener
from .wire import Client
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

MANY = 1000
HOSTS = {
    "each": 1,
    "three": 1,
    "half": 1,
    "capped": 1,
    "ahead": 4,
    "random": 3,
    "least": 3,
    "ring": 3,
    "both": 3,
}


def configure(proxy: Proxy) -> Config:
    def made(name: str, each: float = 1.0, ahead: float = 1.0, **fields: object) -> Config:
        ports = [proxy.origin(f"{name}{number}").port for number in range(HOSTS[name])]
        policy = {"per_upstream_preconnect_ratio": each, "predictive_preconnect_ratio": ahead}
        return cluster(name, *ports, preconnect_policy=policy, **fields)

    clusters = [
        made("each", 2),
        made("three", 3),
        made("half", 1.5),
        made("capped", 3, circuit_breakers={"thresholds": [{"max_connections": 2}]}),
        made("ahead", ahead=2),
        made("random", ahead=3, lb_policy="RANDOM"),
        made("least", ahead=2, lb_policy="LEAST_REQUEST"),
        made("ring", ahead=2, lb_policy="RING_HASH"),
        made("both", 2, 2),
        cluster("dead", proxy.port("dead"), preconnect_policy={"per_upstream_preconnect_ratio": 2}),
        cluster("sick", proxy.origin("sick0").port, preconnect_policy={"per_upstream_preconnect_ratio": 2}),
    ]
    sick = clusters[-1]["load_assignment"]["endpoints"][0]["lb_endpoints"][0]
    sick["health_status"] = "DEGRADED"
    routes = [
        {"match": {"prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}} for each in clusters
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


@pytest.fixture(autouse=True)
def answers(proxy: Proxy) -> Iterator[Semaphore]:
    """How many answers the hosts may give.

    Envoy counts connections of all clusters when it predicts: none may be left for the next test.
    """
    allowed = Semaphore(0)

    def held(exchange: Exchange) -> None:
        allowed.acquire(timeout=5.0)
        text("ok")(exchange)

    for origin in proxy.origins.values():
        origin.default = held
    yield allowed
    allowed.release(MANY)
    hang_up(proxy)


def hang_up(proxy: Proxy) -> None:
    """Again and again: some connections may just be on their way."""

    def none_left() -> bool:
        for origin in proxy.origins.values():
            origin.hang_up()
        return not any(proxy.stats("upstream_cx_active$").values())

    assert wait_for(none_left)


def start(proxy: Proxy, client: Client, name: str) -> Client:
    """Send a request, and wait until it has arrived at one of the hosts."""
    client.send(f"GET /{name} HTTP/1.1\r\nhost: a\r\n\r\n")
    queues = [origin.queue for each, origin in proxy.origins.items() if each.startswith(name)]
    assert wait_for(lambda: any(not queue.empty() for queue in queues))
    next(queue for queue in queues if not queue.empty()).get()
    return client


def connections(proxy: Proxy, name: str, count: int) -> bool:
    return proxy.stat_becomes(f"cluster.{name}.upstream_cx_total", count)


def start_all(workers: Workers, name: str, totals: list[int], answers: Semaphore) -> None:
    """One request after the other to each worker, which has made so many connections then; then all are answered."""
    clients = []
    for number in workers.numbers:
        for total in totals:
            clients.append(start(workers.proxy, workers.client(number), name))
            assert connections(workers.proxy, name, number * totals[-1] + total)
    answers.release(MANY)
    for client in clients:
        assert client.read().text == "ok"
        client.close()


@pytest.mark.parametrize(
    ("name", "totals"),
    [
        ("each", [2, 4, 6, 8]),
        ("three", [3, 6, 9]),
        ("half", [2, 3, 5, 6]),
        ("sick", [1, 2]),
    ],
)
def test_of_each_host(
    proxy: Proxy, workers: Workers, answers: Semaphore, name: str, totals: list[int]
) -> None:
    start_all(workers, name, totals, answers)
    assert proxy.ask(f"/{name}").text == "ok"
    assert proxy.stat(f"cluster.{name}.upstream_cx_total") == totals[-1] * proxy.concurrency
    assert proxy.stat(f"cluster.{name}.upstream_cx_active") == totals[-1] * proxy.concurrency
    assert proxy.stat(f"cluster.{name}.upstream_rq_pending_active") == 0


def test_no_more_than_the_circuit_breaker_allows(proxy: Proxy, workers: Workers, answers: Semaphore) -> None:
    """Of the worker whose connections are as many as all may have."""
    overflows = []
    clients = [workers.client(0) for _ in range(4)]
    for client in clients[:2]:
        start(proxy, client, "capped")
        overflows.append(proxy.stat("cluster.capped.upstream_cx_overflow"))
    for pending, client in enumerate(clients[2:], 1):
        client.send("GET /capped HTTP/1.1\r\nhost: a\r\n\r\n")
        assert proxy.stat_becomes("cluster.capped.upstream_rq_pending_active", pending)
        overflows.append(proxy.stat("cluster.capped.upstream_cx_overflow"))
    assert overflows == [1, 2, 3, 4]
    answers.release()
    # One more while a request is left waiting behind the one that gets the first free connection.
    assert proxy.stat_becomes("cluster.capped.upstream_cx_overflow", 5)
    answers.release(MANY)
    for client in clients:
        assert client.read().text == "ok"
    assert proxy.stat("cluster.capped.upstream_cx_overflow") == 5
    assert proxy.stat("cluster.capped.upstream_cx_total") == 2


def test_both_attempts_fail(proxy: Proxy) -> None:
    assert proxy.ask("/dead").status == 503
    assert connections(proxy, "dead", 2)
    assert proxy.stat_becomes("cluster.dead.upstream_cx_connect_fail", 2)
    assert proxy.stat("cluster.dead.upstream_rq_pending_failure_eject") == 1


@pytest.mark.parametrize(
    ("name", "totals"),
    [
        ("ahead", [3, 4, 6, 8]),
        ("both", [4]),
        ("least", [1, 2, 3]),
        ("ring", [1, 2]),
    ],
)
def test_of_the_cluster(
    proxy: Proxy, workers: Workers, answers: Semaphore, name: str, totals: list[int]
) -> None:
    start_all(workers, name, totals, answers)
    if name == "ahead":  # those that come next are those that were predicted
        counts = [proxy.origin(f"ahead{number}").count for number in range(4)]
        assert counts == [2 * proxy.concurrency] * 4


def test_of_the_cluster_at_random(proxy: Proxy, workers: Workers, answers: Semaphore) -> None:
    """At any host, which may have one already."""
    total = 0
    for client in workers.new_clients():
        start(proxy, client, "random")
        before, total = total, proxy.stat("cluster.random.upstream_cx_total")
        assert total - before in (3, 4)
    answers.release(MANY)
