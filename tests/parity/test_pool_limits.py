"""How many pools of connections a cluster has, whom they are for, and how many connections a host may have."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event

import pytest

from .harness import Proxy, wait_for
from .origin import Exchange, raw, text
from .settings import Config, access_log, bootstrap, cluster, listener
from .wire import Client

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

#: So many connections come to both of two workers, but for once in 500 times, and then nothing is tested in vain.
MANY = 10
UNLIMITED = 2**64 - 1
SLOW = raw(0.4, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def breakers(*per_host: Config, **limits: object) -> Config:
    return {"circuit_breakers": {"thresholds": [limits], "per_host_thresholds": list(per_host)}}


def configure(proxy: Proxy) -> Config:
    def ports(name: str, count: int) -> list[int]:
        return [proxy.origin(f"{name}{number}").port for number in range(count)]

    clusters = [
        cluster("pools", *ports("pools", 2), **breakers(max_connection_pools=1, track_remaining=True)),
        cluster("none", *ports("none", 1), **breakers(max_connection_pools=0)),
        cluster("retried", *ports("none", 1), **breakers(max_connection_pools=0)),
        cluster(
            "own",
            *ports("own", 1),
            connection_pool_per_downstream_connection=True,
            **breakers(track_remaining=True),
        ),
        cluster("hosts", *ports("hosts", 2), **breakers({"max_connections": 1})),
        cluster("shared", *ports("shared", 1), **breakers({"max_connections": 4})),
        cluster("twice", *ports("twice", 1), circuit_breakers={"thresholds": [{"max_requests": 1}, {}]}),
    ]
    routes = [
        {"match": {"prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}} for each in clusters
    ]
    routes[2]["route"]["retry_policy"] = {"retry_on": "5xx"}
    log = access_log(
        proxy.log().path, "%REQ(:PATH)%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%\n"
    )
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    main = listener("main", proxy.port(), hosts, access_log=[log])
    return bootstrap(proxy.port("admin"), [main], clusters)


@pytest.fixture(autouse=True)
def no_connections(proxy: Proxy) -> Iterator[None]:
    yield
    for origin in proxy.origins.values():
        origin.default = text()
        origin.hang_up()
    assert wait_for(lambda: not any(proxy.stats("upstream_cx_active$").values()))


def start(proxy: Proxy, path: str) -> Client:
    return proxy.client().send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")


def gauge(proxy: Proxy, cluster: str, name: str) -> int:
    return proxy.stat(f"cluster.{cluster}.circuit_breakers.default.{name}")


def test_one_pool(proxy: Proxy) -> None:
    """While one host has a pool, the other cannot have one; nor can another worker."""
    asked = Event()

    def slow(exchange: Exchange) -> None:
        asked.set()
        SLOW(exchange)

    for number in (0, 1):
        proxy.origin(f"pools{number}").default = slow
    assert gauge(proxy, "pools", "remaining_cx_pools") == 1
    first = start(proxy, "/pools")
    assert asked.wait(3)
    assert gauge(proxy, "pools", "cx_pool_open") == 1
    assert gauge(proxy, "pools", "remaining_cx_pools") == 0
    for number in (0, 1):
        proxy.origin(f"pools{number}").default = text()
    if proxy.concurrency == 1:
        refused = proxy.ask("/pools?refused")
        assert (refused.status, refused.text) == (503, "no healthy upstream")
        assert proxy.log().line("?refused") == "/pools?refused|503|UH|no_healthy_upstream"
        assert proxy.ask("/pools?taken").status == 200  # by the host that has the pool
    found = [proxy.ask("/pools").status for _ in range(MANY)]
    refused_count = found.count(503) + (proxy.concurrency == 1)
    assert found.count(200) + found.count(503) == MANY
    assert refused_count > 0
    assert proxy.stat("cluster.pools.upstream_cx_pool_overflow") == refused_count
    assert proxy.stat("cluster.pools.upstream_cx_none_healthy") == 0
    assert first.read().text == "ok"


def test_a_pool_without_connections_is_none(proxy: Proxy) -> None:
    assert gauge(proxy, "pools", "cx_pool_open") == 0
    assert gauge(proxy, "pools", "remaining_cx_pools") == 1
    assert proxy.ask("/pools").status == 200
    assert gauge(proxy, "pools", "cx_pool_open") == 1  # its connection is kept


def test_no_pool(proxy: Proxy) -> None:
    assert proxy.ask("/none").text == "no healthy upstream"
    assert proxy.stat("cluster.none.upstream_cx_pool_overflow") == 1
    assert proxy.stat("cluster.none.upstream_rq_503") == 1


def test_no_pool_is_nothing_to_retry(proxy: Proxy) -> None:
    assert proxy.ask("/retried").text == "no healthy upstream"
    assert proxy.stat("cluster.retried.upstream_rq_retry") == 0


def test_a_pool_for_each_client(proxy: Proxy) -> None:
    one, other = proxy.client(), proxy.client()
    seen = []
    for client in (one, one, other, one, other):
        client.send("GET /own HTTP/1.1\r\nhost: a\r\n\r\n")
        assert client.read().text == "hello"
        seen.append(proxy.origin("own0").take().connection)
    first, second = seen[0], seen[2]
    assert first != second
    assert seen == [first, first, second, first, second]
    assert gauge(proxy, "own", "remaining_cx_pools") == UNLIMITED - 2
    one.close()
    other.close()
    assert proxy.ask("/own").status == 200
    assert proxy.origin("own0").take().connection not in (first, second)
    # Whose clients are gone stay until they have been idle for too long.
    assert gauge(proxy, "own", "remaining_cx_pools") == UNLIMITED - 3
    proxy.origin("own0").hang_up()
    assert wait_for(lambda: gauge(proxy, "own", "remaining_cx_pools") == UNLIMITED)


def test_a_host_has_one_connection(proxy: Proxy) -> None:
    for number in (0, 1):
        proxy.origin(f"hosts{number}").default = SLOW
    if proxy.concurrency > 1:
        return  # a worker that has none makes one in any case
    clients = [start(proxy, "/hosts") for _ in range(2)]
    assert proxy.stat_becomes("cluster.hosts.upstream_rq_active", 2)
    assert proxy.stat("cluster.hosts.upstream_cx_overflow") == 0
    for waiting in (1, 2):
        clients.append(start(proxy, "/hosts"))
        assert proxy.stat_becomes("cluster.hosts.upstream_rq_pending_active", waiting)
    assert proxy.stat("cluster.hosts.upstream_cx_overflow") == 2
    for client in clients:
        assert client.read().text == "ok"
    assert [proxy.origin(f"hosts{number}").count for number in (0, 1)] == [1, 1]


def test_workers_count_the_connections_of_a_host_together(proxy: Proxy) -> None:
    """But one that has none makes one in any case: the fifth, if the other was first to make four."""
    answered = Event()

    def held(exchange: Exchange) -> None:
        answered.wait(5.0)
        text("ok")(exchange)

    def counts() -> tuple[int, int]:
        found = proxy.stats("^cluster.shared.upstream_(cx|rq_pending)_active$")
        return (
            found["cluster.shared.upstream_cx_active"],
            found["cluster.shared.upstream_rq_pending_active"],
        )

    proxy.origin("shared0").default = held
    expected = [(4, 8), (5, 7)][: proxy.concurrency]
    clients = [start(proxy, "/shared") for _ in range(12)]
    assert wait_for(lambda: counts() in expected), counts()
    answered.set()
    for client in clients:
        assert client.read().text == "ok"
    assert counts() in [(4, 0), (5, 0)][: proxy.concurrency]


def test_the_first_limits_of_a_priority_count(proxy: Proxy) -> None:
    proxy.origin("twice0").default = SLOW
    client = start(proxy, "/twice")
    proxy.origin("twice0").take()
    assert proxy.ask("/twice").status == 503
    assert client.read().text == "ok"
