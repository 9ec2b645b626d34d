"""Hosts that go and come back, under traffic: half of them, then all."""

from __future__ import annotations

import socket

import pytest
from ports import free_port

from .harness import Proxy, wait_for
from .origin import Origin, text
from .settings import Config, bootstrap, cluster, listener

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
HOSTS = 4

DETECTION = {
    "consecutive_5xx": 2,
    "interval": "0.1s",
    "base_ejection_time": "0.5s",
    "max_ejection_time": "0.5s",
    "max_ejection_percent": 100,
}


def configure(proxy: Proxy) -> Config:
    # Ports that nothing takes while a host is gone.
    ports = [free_port() for _ in range(HOSTS)]
    for number, port in enumerate(ports):
        proxy.origins[str(number)] = listening_at(port)
    clusters = [cluster("app", *ports, outlier_detection=DETECTION)]
    action = {"cluster": "app", "retry_policy": {"retry_on": "connect-failure,reset", "num_retries": 3}}
    routes = [{"match": {"prefix": "/"}, "route": action}]
    virtual_host = {"name": "all", "domains": ["*"], "routes": routes}
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), [virtual_host])], clusters)


def listening_at(port: int) -> Origin:
    return Origin(socket.create_server(("127.0.0.1", port), backlog=256))


def go(proxy: Proxy, number: int) -> None:
    proxy.origin(str(number)).stop()


def come_back(proxy: Proxy, number: int) -> None:
    """At the same port."""
    proxy.origins[str(number)] = listening_at(proxy.origin(str(number)).port)
    proxy.origins[str(number)].default = text(str(number))


def answers(proxy: Proxy, count: int = 24) -> set[str]:
    found = [proxy.ask("/") for _ in range(count)]
    return {one.text if one.status == 200 else str(one.status) for one in found}


def ejected(proxy: Proxy) -> int:
    return proxy.stat("cluster.app.outlier_detection.ejections_active")


def ejections(proxy: Proxy) -> int:
    return proxy.stat("cluster.app.outlier_detection.ejections_enforced_total")


def tried_in_vain(proxy: Proxy) -> int:
    return proxy.stat("cluster.app.upstream_cx_connect_fail")


def test_half_of_them_and_all_and_back(proxy: Proxy) -> None:
    for number in range(HOSTS):
        proxy.origin(str(number)).default = text(str(number))
    assert answers(proxy) == {"0", "1", "2", "3"}
    for number in (0, 1):
        go(proxy, number)
    # Retries hide the hosts that are gone, and ejection makes an end of the retries.
    assert wait_for(lambda: answers(proxy, 8) <= {"2", "3"} and ejected(proxy) == 2)
    assert wait_for(lambda: proxy.stat("cluster.app.membership_healthy") == 2)
    assert answers(proxy) == {"2", "3"}
    for number in (2, 3):
        go(proxy, number)
    assert wait_for(lambda: answers(proxy, 8) == {"503"} and ejections(proxy) >= HOSTS)
    for number in range(HOSTS):
        come_back(proxy, number)
    # In a panic even ejected hosts are asked.
    assert wait_for(lambda: answers(proxy, 4) <= {"0", "1", "2", "3"})
    assert wait_for(lambda: ejected(proxy) == 0)
    assert wait_for(lambda: answers(proxy) == {"0", "1", "2", "3"})
    assert proxy.stat("cluster.app.membership_healthy") == HOSTS
    before = tried_in_vain(proxy)
    assert answers(proxy) == {"0", "1", "2", "3"}
    assert tried_in_vain(proxy) == before
