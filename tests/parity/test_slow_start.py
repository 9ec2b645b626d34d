"""Slow start: an endpoint that is new gets little at first."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .harness import Proxy, wait_for
from .origin import text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .test_localities import policy
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

#: Seconds.  With so little aggression a host has the least share, a tenth, until the window is nearly over.
WINDOW = 1.2
SLOW: Config = {
    "slow_start_window": f"{WINDOW}s",
    "aggression": {"default_value": 0.01, "runtime_key": "slow.aggression"},
}
CHECK: Config = {
    "timeout": "1s",
    "interval": "0.05s",
    "no_traffic_interval": "0.05s",
    "healthy_threshold": 1,
    "unhealthy_threshold": 1,
    "http_health_check": {"path": "/health"},
}
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
CLUSTERS: dict[str, Config] = {
    "robin": {"round_robin_lb_config": {"slow_start_config": SLOW}},
    "least": {"lb_policy": "LEAST_REQUEST", "least_request_lb_config": {"slow_start_config": SLOW}},
    "extension": {
        "load_balancing_policy": policy("round_robin", "RoundRobin", slow_start_config=SLOW),
    },
    "none": {},
}


def configure(proxy: Proxy) -> Config:
    clusters = []
    for name, fields in CLUSTERS.items():
        write(proxy, name, "ab")
        made = cluster(name, **fields)
        del made["load_assignment"]
        source = {"path_config_source": {"path": str(path(proxy, name))}, "resource_api_version": "V3"}
        clusters.append(made | {"type": "EDS", "eds_cluster_config": {"eds_config": source}})
    clusters.append(
        cluster(
            "checked",
            *(proxy.origin(name).port for name in "de"),
            round_robin_lb_config={"slow_start_config": SLOW},
            health_checks=[CHECK],
        )
    )
    routes = [
        {"match": {"path_separated_prefix": f"/{name}"}, "route": {"cluster": name}}
        for name in (*CLUSTERS, "checked")
    ]
    virtual_hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), virtual_hosts)], clusters)


def path(proxy: Proxy, name: str) -> Path:
    return proxy.directory / f"{name}.json"


def write(proxy: Proxy, name: str, hosts: str, weights: dict[str, int] | None = None, **fields: Any) -> None:
    """Let these be the endpoints of a cluster."""
    made = []
    for host in hosts:
        origin = proxy.origin(host)
        origin.default = text(host)
        made.append(endpoint(origin.port, weight=(weights or {}).get(host)) | fields.get(host, {}))
    assignment = {"@type": ASSIGNMENT, "cluster_name": name, "endpoints": [{"lb_endpoints": made}]}
    new = proxy.directory / "new.json"
    new.write_text(json.dumps({"version_info": hosts, "resources": [assignment]}))
    os.replace(new, path(proxy, name))


def in_time(began: float) -> bool:
    """Whether the window that began then, or later, is still open: this machine was not too slow to look at it."""
    return time.monotonic() - began < WINDOW * 0.9


def counted(workers: Workers, path: str, count: int) -> list[Counter[str]]:
    """How many of so many requests to each worker each host gets."""
    return [Counter(found) for found in workers.ask(path, count)]


def test_new_host(proxy: Proxy, workers: Workers) -> None:
    """At the start all are new, and equal.  One that comes later gets little until the window is over."""

    def equal(name: str) -> bool:
        return all(abs(found["a"] - 20) <= 1 for found in counted(workers, f"/{name}", 40))

    for name in CLUSTERS:
        assert equal(name) or equal(name)  # those between which the window ends have different weights
    time.sleep(WINDOW * 1.1)
    began = time.monotonic()
    for name in CLUSTERS:
        write(proxy, name, "abc")
    for name in CLUSTERS:
        assert wait_for(lambda name=name: all("c" in found for found in workers.ask(f"/{name}", 25)))
    for name in CLUSTERS:
        for found in counted(workers, f"/{name}", 42):
            if name == "none":
                assert found == {"a": 14, "b": 14, "c": 14}
            elif in_time(began):
                assert 1 <= found["c"] <= 3, (name, found)
                assert abs(found["a"] - found["b"]) <= 1, (name, found)
    time.sleep(WINDOW * 1.1)
    for name in CLUSTERS:
        # A host has its new share when its turn has come for the last time by the old.
        counted(workers, f"/{name}", 30)
        for found in counted(workers, f"/{name}", 60):
            assert all(abs(found[host] - 20) <= 1 for host in "abc"), (name, found)


def test_host_that_is_healthy_again(proxy: Proxy, workers: Workers) -> None:
    """Since its checks pass, not since it is there: the window of all was over."""
    for name in "de":
        proxy.origin(name).default = text(name)
    assert proxy.stat_becomes("cluster.checked.membership_healthy", 2)
    proxy.origin("e").on("/health", text(status="503 Down"))
    assert proxy.stat_becomes("cluster.checked.membership_healthy", 1)
    time.sleep(WINDOW * 1.1)
    began = time.monotonic()
    proxy.origin("e").on("/health", text())
    assert proxy.stat_becomes("cluster.checked.membership_healthy", 2)
    assert wait_for(lambda: all("e" in found for found in workers.ask("/checked", 30)))
    for found in counted(workers, "/checked", 44):
        assert found["e"] >= 3, found
        if in_time(began):
            assert found["e"] <= 5, found
