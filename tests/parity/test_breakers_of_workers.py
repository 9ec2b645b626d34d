"""Circuit breakers hold for all workers together: which of them a connection has come to cannot be told."""

from __future__ import annotations

import time

import pytest

from .harness import Proxy, wait_for
from .origin import raw, silent
from .settings import Config, bootstrap, cluster, listener
from .wire import Client

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

#: So many connections come to both of two workers, but for once in 500 times, and then nothing is tested in vain.
MANY = 10
SLOW = raw(0.4, "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


def configure(proxy: Proxy) -> Config:
    limits: dict[str, Config] = {
        "requests": {"max_requests": 7, "track_remaining": True},
        "pending": {"max_pending_requests": 6, "track_remaining": True},
        "retries": {"max_retries": 3},
        "budget": {"retry_budget": {"budget_percent": {"value": 30}, "min_retry_concurrency": 2}},
    }
    thresholds = {name: [values] for name, values in limits.items()}
    thresholds["priorities"] = [{"max_requests": 2}, {"priority": "HIGH", "max_requests": 4}]
    ports = {name: proxy.origin(name).port for name in thresholds} | {"pending": proxy.full_port()}
    clusters = [
        cluster(name, ports[name], connect_timeout="20s", circuit_breakers={"thresholds": values})
        for name, values in thresholds.items()
    ]
    routes = [
        {"match": {"prefix": "/priorities-high"}, "route": {"cluster": "priorities", "priority": "HIGH"}},
        *({"match": {"prefix": f"/{name}"}, "route": _action(name)} for name in thresholds),
    ]
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


def _action(name: str) -> Config:
    if name not in ("retries", "budget"):
        return {"cluster": name}
    back_off = {"base_interval": "0.6s", "max_interval": "0.6s"}
    return {"cluster": name, "retry_policy": {"retry_on": "5xx", "retry_back_off": back_off}}


def start(proxy: Proxy, path: str) -> Client:
    return proxy.client().send(f"GET {path} HTTP/1.1\r\nhost: a\r\n\r\n")


def start_many(proxy: Proxy, path: str, count: int) -> list[Client]:
    return [start(proxy, path) for _ in range(count)]


def statuses(clients: list[Client]) -> list[int]:
    found = sorted(client.read().status for client in clients)
    for client in clients:
        client.close()
    return found


def gauges(proxy: Proxy, name: str) -> dict[str, int]:
    prefix = f"cluster.{name}.circuit_breakers.default."
    return {each.removeprefix(prefix): value for each, value in proxy.stats(f"^{prefix}").items()}


def test_requests(proxy: Proxy) -> None:
    proxy.origin("requests").on("/requests", SLOW)
    clients = []
    for _ in range(7):
        clients.append(start(proxy, "/requests"))
        proxy.origin("requests").take()
    found = gauges(proxy, "requests")
    assert (found["rq_open"], found["remaining_rq"]) == (1, 0)
    assert statuses(start_many(proxy, "/requests", MANY)) == [503] * MANY
    assert statuses(clients) == [200] * 7
    assert wait_for(lambda: gauges(proxy, "requests")["remaining_rq"] == 7)
    assert statuses(start_many(proxy, "/requests/again", 7)) == [200] * 7


def test_pending_requests(proxy: Proxy) -> None:
    def waiting() -> int:
        return proxy.stat("cluster.pending.upstream_rq_pending_active")

    clients = start_many(proxy, "/pending", 6)
    assert wait_for(lambda: waiting() == 6)
    found = gauges(proxy, "pending")
    assert (found["rq_pending_open"], found["remaining_pending"]) == (1, 0)
    assert statuses(start_many(proxy, "/pending", MANY)) == [503] * MANY
    for client in clients[:2]:
        client.close()
    assert wait_for(lambda: waiting() == 4)
    clients += start_many(proxy, "/pending", 2)
    assert wait_for(lambda: waiting() == 6)
    assert proxy.stat("cluster.pending.upstream_rq_pending_overflow") == MANY
    for client in clients:
        client.close()
    assert wait_for(lambda: gauges(proxy, "pending")["remaining_pending"] == 6)


def test_priorities(proxy: Proxy) -> None:
    origin = proxy.origin("priorities")
    for path, most in (("/priorities", 2), ("/priorities-high", 4)):
        origin.on(path, SLOW)
        clients = []
        for _ in range(most):
            clients.append(start(proxy, path))
            origin.take()
        assert statuses(start_many(proxy, path, MANY)) == [503] * MANY
        assert statuses(clients) == [200] * most


@pytest.mark.parametrize(("name", "most"), [("retries", 3), ("budget", 3)])
def test_retries(proxy: Proxy, name: str, most: int) -> None:
    """Of ten requests that fail at once so many are sent again: three, or 30 % of them.  A budget counts what is active
    when a request fails, and those that wait to be sent again are not."""
    proxy.origin(name).on(f"/{name}", raw(0.3, "HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n"))
    clients = start_many(proxy, f"/{name}", MANY)
    assert statuses(clients) == [503] * MANY
    found = proxy.stats(f"^cluster.{name}.upstream_rq_retry")
    retried = found[f"cluster.{name}.upstream_rq_retry"]
    assert (2 if name == "budget" else most) <= retried <= most
    assert retried + found[f"cluster.{name}.upstream_rq_retry_overflow"] == MANY


def test_a_silent_upstream_does_not_fill_the_others(proxy: Proxy) -> None:
    """Places are given back, whatever becomes of the request."""
    proxy.origin("requests").on("/requests", silent())
    for _ in range(2):
        clients = []
        for _ in range(7):
            clients.append(start(proxy, "/requests"))
            proxy.origin("requests").take()
        for client in clients:
            client.close()
        limit = time.monotonic() + 3
        while gauges(proxy, "requests")["remaining_rq"] != 7:
            assert time.monotonic() < limit
