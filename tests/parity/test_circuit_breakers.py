"""Circuit breaker limits: what is refused at which limit, how it is said, counted and shown."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from threading import Event

import pytest

from .harness import Proxy, wait_for
from .origin import Exchange, silent, text
from .settings import Config, access_log, bootstrap, cluster, listener
from .wire import Client, Response
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: overflow"
MOST = 2**64 - 1
#: Set: the upstreams answer.
ANSWERED = Event()

LIMITS: dict[str, Config] = {
    "cx1pend1": {"max_connections": 1, "max_pending_requests": 1},
    "cx2pend1": {"max_connections": 2, "max_pending_requests": 1},
    "rq1": {"max_requests": 1},
    "rq0": {"max_requests": 0},
    "pend0": {"max_pending_requests": 0},
    "cx0": {"max_connections": 0},
    "tracked": {
        "max_connections": 7,
        "max_pending_requests": 6,
        "max_requests": 5,
        "max_retries": 4,
        "track_remaining": True,
    },
    "default": {},
}


def configure(proxy: Proxy) -> Config:
    clusters = []
    routes: list[Config] = []
    for name, limits in LIMITS.items():
        clusters.append(cluster(name, proxy.origin(name).port, circuit_breakers={"thresholds": [limits]}))
        routes.append({"match": {"prefix": f"/{name}"}, "route": {"cluster": name}})
    thresholds = [{"max_requests": 0}, {"priority": "HIGH", "max_requests": 1}]
    clusters.append(cluster("both", proxy.origin("both").port, circuit_breakers={"thresholds": thresholds}))
    for path, priority in (("/both-high", "HIGH"), ("/both", "DEFAULT")):
        action = {"cluster": "both", "priority": priority}
        routes.append({"match": {"prefix": path}, "route": action})
    log = access_log(
        proxy.log().path, "%REQ(:PATH)%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%\n"
    )
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    main = listener("main", proxy.port(), hosts, access_log=[log])
    return bootstrap(proxy.port("admin"), [main], clusters)


@pytest.fixture(autouse=True)
def no_connections(proxy: Proxy) -> Iterator[None]:
    """What one test has connected is no other's."""
    yield
    for origin in proxy.origins.values():
        origin.hang_up()
    assert wait_for(lambda: not any(proxy.stats("upstream_cx_active$").values()))


def start(workers: Workers, path: str, worker: int = 0) -> Client:
    """Send a request to a worker; the caller reads the answer."""
    return workers.client(worker).send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")


def ask(workers: Workers, path: str, worker: int) -> Response:
    with start(workers, path, worker) as client:
        return client.read()


def held(exchange: Exchange) -> None:
    ANSWERED.wait(5.0)
    text("ok")(exchange)


def slow(workers: Workers, name: str, at: Sequence[int] = (0,)) -> list[Client]:
    """Requests to these workers that are waiting at the upstream, each sent when the one before had arrived there, until
    `finish`."""
    ANSWERED.clear()
    origin = workers.proxy.origin(name)
    origin.on(f"/{name}", held)
    clients = []
    for worker in at:
        clients.append(start(workers, f"/{name}", worker))
        origin.take()
    return clients


def counted(proxy: Proxy, name: str) -> dict[str, int]:
    """The cluster's upstream statistics that are not 0, without the response codes."""
    prefix = f"cluster.{name}.upstream_"
    found = proxy.stats(f"^{prefix}")
    return {
        each.removeprefix(prefix): value for each, value in found.items() if value and "_rq_5" not in each
    }


def check_overflow(proxy: Proxy, workers: Workers, name: str, word: str) -> None:
    """Every worker refuses."""
    for worker in workers.numbers:
        response = ask(workers, f"/{name}?{word}{worker}", worker)
        assert (response.status, response.text) == (503, OVERFLOW)
        assert response.normal == [
            ("content-length", str(len(OVERFLOW))),
            ("content-type", "text/plain"),
            ("date", "DATE"),
            ("server", "SERVER"),
            ("x-envoy-overloaded", "true"),
        ]
        line = proxy.log().line(f"?{word}{worker}|")
        assert line == f"/{name}?{word}{worker}|503|UO|upstream_reset_before_response_started{{overflow}}"


def finish(clients: list[Client]) -> None:
    ANSWERED.set()
    for client in clients:
        assert client.read().text == "ok"
        client.close()


def test_second_waits_and_third_is_refused(proxy: Proxy, workers: Workers) -> None:
    clients = slow(workers, "cx1pend1")
    clients.append(start(workers, "/cx1pend1"))
    assert proxy.stat_becomes("cluster.cx1pend1.upstream_rq_pending_active", 1)
    check_overflow(proxy, workers, "cx1pend1", "third")
    found = proxy.stats("^cluster.cx1pend1.(upstream_rq_pending_overflow|circuit_breakers.default.*open)$")
    assert found == {
        "cluster.cx1pend1.circuit_breakers.default.cx_open": 1,
        "cluster.cx1pend1.circuit_breakers.default.cx_pool_open": 0,
        "cluster.cx1pend1.circuit_breakers.default.rq_open": 0,
        "cluster.cx1pend1.circuit_breakers.default.rq_pending_open": 1,
        "cluster.cx1pend1.circuit_breakers.default.rq_retry_open": 0,
        "cluster.cx1pend1.upstream_rq_pending_overflow": proxy.concurrency,
    }
    finish(clients)
    assert proxy.origin("cx1pend1").take().connection == 1
    assert proxy.stat("cluster.cx1pend1.upstream_cx_overflow") >= 1
    assert proxy.stat("cluster.cx1pend1.upstream_cx_total") == 1


def test_two_connections(proxy: Proxy, workers: Workers) -> None:
    clients = slow(workers, "cx2pend1", (0, workers.numbers[-1]))
    clients.append(start(workers, "/cx2pend1"))
    assert proxy.stat_becomes("cluster.cx2pend1.upstream_rq_pending_active", 1)
    check_overflow(proxy, workers, "cx2pend1", "fourth")
    finish(clients)
    assert proxy.stat("cluster.cx2pend1.upstream_cx_total") == 2


def test_one_request(proxy: Proxy, workers: Workers) -> None:
    for worker in workers.numbers:
        clients = slow(workers, "rq1", (worker,))
        check_overflow(proxy, workers, "rq1", f"beside{worker}-")
        assert proxy.stat("cluster.rq1.circuit_breakers.default.rq_open") == 1
        finish(clients)
        assert proxy.stat_becomes("cluster.rq1.circuit_breakers.default.rq_open", 0)
    for worker in workers.numbers:
        assert ask(workers, "/rq1/again", worker).status == 200


def test_no_request(proxy: Proxy, workers: Workers) -> None:
    check_overflow(proxy, workers, "rq0", "none")
    assert counted(proxy, "rq0") == {
        "cx_active": proxy.concurrency,
        "cx_http1_total": proxy.concurrency,
        "cx_total": proxy.concurrency,
        "rq_active_overflow": proxy.concurrency,
        "rq_completed": proxy.concurrency,
        "rq_pending_total": proxy.concurrency,
    }


def test_no_queue(proxy: Proxy, workers: Workers) -> None:
    """A request that needs a new connection waits for it in the queue."""
    check_overflow(proxy, workers, "pend0", "none-queued")
    expected = {"rq_completed": proxy.concurrency, "rq_pending_overflow": proxy.concurrency}
    assert counted(proxy, "pend0") == expected


def test_no_connection(proxy: Proxy, workers: Workers) -> None:
    """Envoy makes one connection even so, in each worker."""
    assert workers.ask("/cx0", 2) == [["hello"] * 2] * proxy.concurrency
    assert proxy.stat("cluster.cx0.upstream_cx_total") == proxy.concurrency


def test_remaining(proxy: Proxy, workers: Workers) -> None:
    prefix = "cluster.tracked.circuit_breakers.default.remaining_"
    names = ("cx", "cx_pools", "pending", "retries", "rq")
    assert [proxy.stat(prefix + name) for name in names] == [7, MOST, 6, 4, 5]
    clients = slow(workers, "tracked", (0, workers.numbers[-1]))
    assert [proxy.stat(prefix + name) for name in names] == [5, MOST - proxy.concurrency, 6, 4, 3]
    finish(clients)


def test_a_client_that_leaves_frees_its_place_in_the_queue(proxy: Proxy, workers: Workers) -> None:
    clients = slow(workers, "cx1pend1")
    waiting = start(workers, "/cx1pend1")
    assert proxy.stat_becomes("cluster.cx1pend1.upstream_rq_pending_active", 1)
    waiting.close()
    assert proxy.stat_becomes("cluster.cx1pend1.upstream_rq_pending_active", 0)
    finish(clients)
    assert proxy.origin("cx1pend1").nothing()


def test_a_client_that_leaves_frees_the_connection(proxy: Proxy, workers: Workers) -> None:
    proxy.origin("cx1pend1").on("/cx1pend1", silent())
    client = start(workers, "/cx1pend1", workers.numbers[-1])
    proxy.origin("cx1pend1").take()
    client.close()
    assert proxy.stat_becomes("cluster.cx1pend1.upstream_cx_active", 0)
    assert workers.ask("/cx1pend1/again") == [["hello"]] * proxy.concurrency


def test_priorities_have_limits_of_their_own(proxy: Proxy, workers: Workers) -> None:
    for worker in workers.numbers:
        assert ask(workers, "/both", worker).text == OVERFLOW
        assert ask(workers, "/both-high", worker).text == "hello"


def test_many_at_once_by_default(proxy: Proxy) -> None:
    started = time.monotonic()
    ANSWERED.clear()
    proxy.origin("default").on("/default", held)
    clients = []
    for _ in range(40):
        clients.append(proxy.client().send("GET /default HTTP/1.1\r\nhost: a\r\n\r\n"))
        proxy.origin("default").take()
    finish(clients)
    assert time.monotonic() - started < 5
    assert proxy.stat("cluster.default.upstream_cx_total") == 40
