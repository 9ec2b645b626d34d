"""Slow start: an endpoint that is new gets little at first."""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from .harness import Proxy
from .origin import text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .test_localities import chosen, policy

pytestmark = pytest.mark.parity

#: Seconds.  With so little aggression a host has the least share, a tenth, until the window is nearly over.
WINDOW = 1.2
SLOW: Config = {
    "slow_start_window": f"{WINDOW}s",
    "aggression": {"default_value": 0.01, "runtime_key": "slow.aggression"},
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
    routes = [
        {"match": {"path_separated_prefix": f"/{name}"}, "route": {"cluster": name}} for name in CLUSTERS
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


def test_new_host(proxy: Proxy) -> None:
    """At the start all are new, and equal.  One that comes later gets little until the window is over."""
    for name in CLUSTERS:
        found = Counter(chosen(proxy, f"/{name}", 40))
        assert abs(found["a"] - 20) <= 1, (name, found)
    time.sleep(WINDOW * 1.1)
    for name in CLUSTERS:
        write(proxy, name, "abc")
    for name in CLUSTERS:
        assert proxy.stat_becomes(f"cluster.{name}.membership_total", 3)
    for name in CLUSTERS:
        found = Counter(chosen(proxy, f"/{name}", 42))
        if name == "none":
            assert found == {"a": 14, "b": 14, "c": 14}
        else:
            assert 1 <= found["c"] <= 3, (name, found)
            assert abs(found["a"] - found["b"]) <= 1, (name, found)
    time.sleep(WINDOW * 1.1)
    for name in CLUSTERS:
        chosen(
            proxy, f"/{name}", 30
        )  # a host has its new share when its turn has come for the last time by the old
        found = Counter(chosen(proxy, f"/{name}", 60))
        assert all(abs(found[host] - 20) <= 1 for host in "abc"), (name, found)
