"""Limits of downstream connections that the runtime sets: of all together, and of one listener."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from .harness import Proxy, wait_for
from .settings import Config, bootstrap, cluster, listener, routes_to
from .wire import Client, Ended

pytestmark = pytest.mark.parity

CONCURRENCY = (1, 2)
GET = "GET /{} HTTP/1.1\r\nhost: a\r\n\r\n"
GLOBAL, LISTENER = (
    "overload.global_downstream_max_connections",
    "envoy.resource_limits.listener.{}.connection_limit",
)


def configure(proxy: Proxy) -> Config:
    listeners = [listener(name, proxy.port(name), routes_to("app")) for name in ("main", "other", "exempt")]
    listeners[2]["ignore_global_conn_limit"] = True
    layers = [
        {"name": "static", "static_layer": {LISTENER.format("other"): 2}},
        {"name": "admin", "admin_layer": {}},
    ]
    config = bootstrap(
        proxy.port("admin"),
        listeners,
        [cluster("app", proxy.origin().port)],
        layered_runtime={"layers": layers},
    )
    config["admin"]["ignore_global_conn_limit"] = True
    return config


def count(proxy: Proxy, name: str, what: str) -> int:
    return proxy.stat(f"listener.127.0.0.1_{proxy.port(name)}.{what}")


def opened(proxy: Proxy, stack: ExitStack, name: str) -> Client:
    """A connection that is kept."""
    client = stack.enter_context(proxy.client(name))
    assert client.send(GET.format("kept")).read().status == 200
    return client


def refused(proxy: Proxy, name: str) -> bool:
    try:
        proxy.ask("/one", name)
    except (Ended, OSError):
        return True
    return False


@contextmanager
def runtime(proxy: Proxy, **values: int) -> Iterator[None]:
    def modify(query: str) -> None:
        assert proxy.admin(f"/runtime_modify?{query}", "POST").status == 200

    modify("&".join(f"{key}={value}" for key, value in values.items()))
    try:
        yield
    finally:
        modify("&".join(f"{key}=" for key in values))


def test_of_a_listener(proxy: Proxy) -> None:
    with ExitStack() as stack:
        first = opened(proxy, stack, "other")
        opened(proxy, stack, "other")
        assert all(refused(proxy, "other") for _ in range(6))
        assert first.send(GET.format("on")).read().status == 200
        assert not refused(proxy, "main")
        assert count(proxy, "other", "downstream_cx_overflow") == 6
        assert count(proxy, "other", "downstream_cx_total") == 2
        first.close()
        assert wait_for(lambda: not refused(proxy, "other"))
    assert wait_for(lambda: count(proxy, "other", "downstream_cx_active") == 0)


def test_a_limit_that_comes_later(proxy: Proxy) -> None:
    """What is open already counts."""
    with ExitStack() as stack:
        for _ in range(3):
            opened(proxy, stack, "main")
        with runtime(proxy, **{LISTENER.format("main"): 3}):
            assert wait_for(lambda: refused(proxy, "main"))
            assert all(refused(proxy, "main") for _ in range(4))
            assert not refused(proxy, "other")
        assert wait_for(lambda: not refused(proxy, "main"))


def test_of_all(proxy: Proxy) -> None:
    """The admin's connections count in Envoy; here they are none of the workers'."""
    before = count(proxy, "main", "downstream_global_cx_overflow")
    with ExitStack() as stack:
        for name in ("main", "main", "other", "exempt", "exempt"):
            opened(proxy, stack, name)
        with runtime(proxy, **{GLOBAL: 5}):
            assert wait_for(lambda: refused(proxy, "main"))
            assert all(refused(proxy, name) for name in ("main", "other") * 3)
            assert not refused(proxy, "exempt")
        assert wait_for(lambda: not refused(proxy, "main"))
    assert count(proxy, "main", "downstream_global_cx_overflow") >= before + 4
    assert count(proxy, "exempt", "downstream_global_cx_overflow") == 0
