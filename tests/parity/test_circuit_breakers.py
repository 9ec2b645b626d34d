"""Circuit breaker limits: what is refused at which limit, how it is said, counted and shown."""

from __future__ import annotations

import time

import pytest

from .harness import Proxy
from .origin import raw, silent
from .settings import Config, access_log, bootstrap, cluster, listener
from .wire import Client

pytestmark = pytest.mark.parity
OVERFLOW = "upstream connect error or disconnect/reset before headers. reset reason: overflow"
SLOW = raw(0.25, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")

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


def start(proxy: Proxy, path: str) -> Client:
    """Send a request; the caller reads the answer."""
    return proxy.client().send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")


def slow(proxy: Proxy, name: str, count: int = 1) -> list[Client]:
    """Requests that are waiting at the upstream, each sent when the one before had arrived there."""
    proxy.origin(name).on(f"/{name}", SLOW)
    clients = []
    for _ in range(count):
        clients.append(start(proxy, f"/{name}"))
        proxy.origin(name).take()
    return clients


def counted(proxy: Proxy, name: str) -> dict[str, int]:
    """The cluster's upstream statistics that are not 0, without the response codes."""
    prefix = f"cluster.{name}.upstream_"
    found = proxy.stats(f"^{prefix}")
    return {
        each.removeprefix(prefix): value for each, value in found.items() if value and "_rq_5" not in each
    }


def check_overflow(proxy: Proxy, name: str, word: str) -> None:
    response = proxy.ask(f"/{name}?{word}")
    assert (response.status, response.text) == (503, OVERFLOW)
    assert response.normal == [
        ("content-length", str(len(OVERFLOW))),
        ("content-type", "text/plain"),
        ("date", "DATE"),
        ("server", "SERVER"),
        ("x-envoy-overloaded", "true"),
    ]
    line = proxy.log().line(f"?{word}|")
    assert line == f"/{name}?{word}|503|UO|upstream_reset_before_response_started{{overflow}}"


def finish(clients: list[Client]) -> None:
    for client in clients:
        assert client.read().text == "ok"
        client.close()


def test_second_waits_and_third_is_refused(proxy: Proxy) -> None:
    clients = slow(proxy, "cx1pend1")
    clients.append(start(proxy, "/cx1pend1"))
    assert proxy.stat_becomes("cluster.cx1pend1.upstream_rq_pending_active", 1)
    check_overflow(proxy, "cx1pend1", "third")
    found = proxy.stats("^cluster.cx1pend1.(upstream_rq_pending_overflow|circuit_breakers.default.*open)$")
    assert found == {
        "cluster.cx1pend1.circuit_breakers.default.cx_open": 1,
        "cluster.cx1pend1.circuit_breakers.default.cx_pool_open": 0,
        "cluster.cx1pend1.circuit_breakers.default.rq_open": 0,
        "cluster.cx1pend1.circuit_breakers.default.rq_pending_open": 1,
        "cluster.cx1pend1.circuit_breakers.default.rq_retry_open": 0,
        "cluster.cx1pend1.upstream_rq_pending_overflow": 1,
    }
    finish(clients)
    assert proxy.origin("cx1pend1").take().connection == 1
    assert proxy.stat("cluster.cx1pend1.upstream_cx_overflow") >= 1
    assert proxy.stat("cluster.cx1pend1.upstream_cx_total") == 1


def test_two_connections(proxy: Proxy) -> None:
    clients = slow(proxy, "cx2pend1", 2)
    clients.append(start(proxy, "/cx2pend1"))
    assert proxy.stat_becomes("cluster.cx2pend1.upstream_rq_pending_active", 1)
    check_overflow(proxy, "cx2pend1", "fourth")
    finish(clients)
    assert proxy.stat("cluster.cx2pend1.upstream_cx_total") == 2


def test_one_request(proxy: Proxy) -> None:
    clients = slow(proxy, "rq1")
    check_overflow(proxy, "rq1", "second")
    assert proxy.stat("cluster.rq1.circuit_breakers.default.rq_open") == 1
    finish(clients)
    assert proxy.stat_becomes("cluster.rq1.circuit_breakers.default.rq_open", 0)
    assert proxy.ask("/rq1/again").status == 200


def test_no_request(proxy: Proxy) -> None:
    check_overflow(proxy, "rq0", "none")
    assert counted(proxy, "rq0") == {
        "cx_active": 1,
        "cx_http1_total": 1,
        "cx_total": 1,
        "rq_active_overflow": 1,
        "rq_completed": 1,
        "rq_pending_total": 1,
    }


def test_no_queue(proxy: Proxy) -> None:
    """A request that needs a new connection waits for it in the queue."""
    check_overflow(proxy, "pend0", "none-queued")
    assert counted(proxy, "pend0") == {"rq_completed": 1, "rq_pending_overflow": 1}


def test_no_connection(proxy: Proxy) -> None:
    """Envoy makes one connection even so."""
    assert proxy.ask("/cx0").status == 200


def test_remaining(proxy: Proxy) -> None:
    prefix = "cluster.tracked.circuit_breakers.default.remaining_"
    names = ("cx", "cx_pools", "pending", "retries", "rq")
    assert [proxy.stat(prefix + name) for name in names] == [7, 18446744073709551615, 6, 4, 5]
    clients = slow(proxy, "tracked", 2)
    assert [proxy.stat(prefix + name) for name in names] == [5, 18446744073709551614, 6, 4, 3]
    finish(clients)


def test_a_client_that_leaves_frees_its_place_in_the_queue(proxy: Proxy) -> None:
    clients = slow(proxy, "cx1pend1")
    waiting = start(proxy, "/cx1pend1")
    assert proxy.stat_becomes("cluster.cx1pend1.upstream_rq_pending_active", 1)
    waiting.close()
    assert proxy.stat_becomes("cluster.cx1pend1.upstream_rq_pending_active", 0)
    finish(clients)
    assert proxy.origin("cx1pend1").nothing()


def test_a_client_that_leaves_frees_the_connection(proxy: Proxy) -> None:
    proxy.origin("cx1pend1").on("/cx1pend1", silent())
    client = start(proxy, "/cx1pend1")
    proxy.origin("cx1pend1").take()
    client.close()
    assert proxy.stat_becomes("cluster.cx1pend1.upstream_cx_active", 0)
    assert proxy.ask("/cx1pend1/again").status == 200


def test_priorities_have_limits_of_their_own(proxy: Proxy) -> None:
    assert (proxy.ask("/both").text, proxy.ask("/both-high").text) == (OVERFLOW, "hello")


def test_many_at_once_by_default(proxy: Proxy) -> None:
    started = time.monotonic()
    clients = slow(proxy, "default", 40)
    finish(clients)
    assert time.monotonic() - started < 5
    assert proxy.stat("cluster.default.upstream_cx_total") == 40
