"""Endpoints that change: who is asked from then on, and what is counted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .harness import Proxy, wait_for
from .origin import text
from .settings import Config, bootstrap, endpoint, listener

pytestmark = pytest.mark.parity

CONCURRENCY = (1, 2)

#: What the cluster manager counts of updates.
COUNTED = (
    "cluster_updated",
    "cluster_updated_via_merge",
    "update_merge_cancelled",
    "update_out_of_merge_window",
)
#: Windows by cluster.
WINDOWS = {"first": "30s", "without": "0s"}

TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def eds(proxy: Proxy, name: str, *hosts: str) -> str:
    """Hosts as `origin`, `origin:health`, `origin@priority`, `origin*weight`."""
    groups: dict[int, list[Config]] = {}
    for one in hosts:
        one, _, weight = one.partition("*")
        one, _, priority = one.partition("@")
        one, _, health = one.partition(":")
        made = endpoint(proxy.origin(one).port) | {
            "health_status": health or "UNKNOWN",
            "load_balancing_weight": int(weight or 1),
        }
        groups.setdefault(int(priority or 0), []).append(made)
    localities = [{"priority": priority, "lb_endpoints": found} for priority, found in groups.items()]
    return json.dumps({"resources": [{"@type": TYPE, "cluster_name": name, "endpoints": localities}]})


def replace(file: Path, content: str) -> None:
    new = file.with_suffix(".new")
    new.write_text(content)
    new.rename(file)


def path(proxy: Proxy, name: str) -> Path:
    return proxy.directory / f"{name}.json"


def configure(proxy: Proxy) -> Config:
    clusters: list[Config] = []
    routes: list[Config] = []
    for name, window in WINDOWS.items():
        path(proxy, name).write_text(eds(proxy, name, "a", "b"))
        source = {"resource_api_version": "V3", "path_config_source": {"path": str(path(proxy, name))}}
        made: Config = {
            "name": name,
            "type": "EDS",
            "connect_timeout": "1s",
            "eds_cluster_config": {"eds_config": source},
            "common_lb_config": {"update_merge_window": window},
        }
        clusters.append(made)
        routes.append({"match": {"prefix": f"/{name}/"}, "route": {"cluster": name}})
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


def counted(proxy: Proxy) -> tuple[int, ...]:
    stats = proxy.stats("^cluster_manager")
    return tuple(stats.get(f"cluster_manager.{name}", 0) for name in COUNTED)


def updates(proxy: Proxy, name: str) -> int:
    return proxy.stat(f"cluster.{name}.update_success")


def update(proxy: Proxy, name: str, *hosts: str) -> None:
    """Replace the file and wait until it was read."""
    before = updates(proxy, name)
    replace(path(proxy, name), eds(proxy, name, *hosts))
    assert wait_for(lambda: updates(proxy, name) > before)


def asked(proxy: Proxy, name: str) -> str:
    """Which origins a few requests on connections of their own reach."""
    for one in "abc":
        proxy.origin(one).default = text(one)
    found = [proxy.ask(f"/{name}/") for _ in range(6 * proxy.concurrency)]
    return "".join(sorted({answer.text for answer in found if answer.status == 200}))


#: Hosts of a cluster one after the other, and which of them are asked then.
STEPS = (
    (("a", "b:UNHEALTHY"), "a"),
    (("a:UNHEALTHY", "b"), "b"),
    (("a:UNHEALTHY", "b", "c"), "bc"),
    (("a:UNHEALTHY", "b", "c:DRAINING"), "b"),
    (("b*3", "c"), "bc"),
    (("a", "b", "c@1"), "ab"),
    (("a:UNHEALTHY", "b:UNHEALTHY", "c@1"), "c"),
    ((), ""),
    (("c", "b", "a"), "abc"),
)


@pytest.mark.parametrize("name", WINDOWS)
def test_what_discovery_says_counts_at_once(proxy: Proxy, name: str) -> None:
    """Envoy's merge window is for what it finds out itself."""
    assert asked(proxy, name) == "ab"
    before = counted(proxy)
    for hosts, expected in STEPS:
        update(proxy, name, *hosts)
        assert wait_for(lambda expected=expected: asked(proxy, name) == expected), hosts
    assert counted(proxy)[0] - before[0] == len(STEPS)
    assert counted(proxy)[1:] == (0, 0, 0)


def test_the_same_again_is_no_update(proxy: Proxy) -> None:
    before = counted(proxy)
    changes = proxy.stat("cluster.first.membership_change")
    rebuilt = proxy.stat("cluster.first.update_no_rebuild")
    update(proxy, "first", "c", "b", "a")
    assert proxy.stat_becomes("cluster.first.update_no_rebuild", rebuilt + 1)
    assert proxy.stat("cluster.first.membership_change") == changes
    assert counted(proxy) == before


def test_an_update_that_changes_nothing_but_the_order_is_none(proxy: Proxy) -> None:
    before = counted(proxy)
    update(proxy, "first", "a", "c", "b")
    assert counted(proxy) == before
