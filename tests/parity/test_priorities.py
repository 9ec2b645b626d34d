"""How much each priority gets: thresholds of panic, overprovisioning, health by weight, and the runtime's say."""

from __future__ import annotations

import json
import os
from collections import Counter

import pytest

from .harness import Proxy, wait_for
from .origin import text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .test_localities import HEALTH, policy
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)
#: By all workers together.
ASKED = 200
ASSIGNMENT = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def threshold(per_cent: float) -> Config:
    return {"common_lb_config": {"healthy_panic_threshold": {"value": per_cent}}}


# name: (fields of the cluster, policy of the assignment, health of the hosts of each priority,
#        per cent of the requests for each priority, whether one is in a panic)
CASES: dict[str, tuple[Config, Config, list[str], list[int], bool]] = {
    "failover": ({}, {}, ["uu", "hh"], [0, 100], False),
    "spill": ({}, {}, ["hu", "hh"], [70, 30], False),
    "gap": ({}, {}, ["hu", "", "hh"], [70, 0, 30], False),
    "factor": ({}, {"overprovisioning_factor": 200}, ["hu", "hh"], [100, 0], False),
    "factor-low": ({}, {"overprovisioning_factor": 100}, ["hu", "hh"], [50, 50], False),
    "factor-below": ({}, {"overprovisioning_factor": 50}, ["hh", "hh"], [50, 50], False),
    "weighted": ({}, {"weighted_priority_health": True}, ["Hu", "hh"], [100, 0], False),
    "weighted-low": ({}, {"weighted_priority_health": True}, ["hU", "hh"], [14, 86], False),
    "degraded": ({}, {}, ["hdu", "h"], [46, 54], False),
    "degraded-after-all": ({}, {}, ["ddd", "huu"], [54, 46], False),
    # 33 * 1.4 and 33 * 1.4 are 92 per cent; of each priority less than half is left
    "panic": ({}, {}, ["huu", "huu"], [50, 50], True),
    "panic-of-one": ({}, {}, ["huu", "hu"], [46, 54], False),
    "panic-below": (threshold(20), {}, ["huu", "huuu"], [57, 43], False),
    "panic-by-size": ({}, {}, ["u", "uuu"], [25, 75], True),
    "no-panic": (threshold(0), {}, ["uu"], [0], False),
    "panic-always": (threshold(100), {}, ["hhu", "uuuu"], [42, 58], True),
    "fails": (
        {"common_lb_config": {"zone_aware_lb_config": {"fail_traffic_on_panic": True}}},
        {},
        ["uuh"],
        [0],
        True,
    ),
    "fails-not": (
        {"common_lb_config": {"zone_aware_lb_config": {"fail_traffic_on_panic": True}}},
        {},
        ["uhh"],
        [100],
        False,
    ),
    "extension": (
        threshold(0) | {"load_balancing_policy": policy("least_request", "LeastRequest")},
        {},
        ["uu"],
        [0],
        False,
    ),
    "extension-fails": (
        {
            "load_balancing_policy": policy(
                "random",
                "Random",
                locality_lb_config={"zone_aware_lb_config": {"fail_traffic_on_panic": True}},
            )
        },
        {},
        ["uuh"],
        [0],
        True,
    ),
    "ring": ({"lb_policy": "RING_HASH"}, {}, ["hu", "hh"], [70, 30], False),
    "ring-none": ({"lb_policy": "RING_HASH"} | threshold(0), {}, ["uu"], [0], False),
    "ring-panic": ({"lb_policy": "MAGLEV"}, {}, ["uuh"], [100], True),
}


def write(proxy: Proxy, assigned: Config) -> None:
    """Of the first priority of the cluster "eds" half is left, of the second all."""
    groups = [
        {
            "priority": priority,
            "lb_endpoints": [
                endpoint(proxy.origin(f"{priority}{number}").port) | {"health_status": HEALTH[state]}
                for number, state in enumerate(states)
            ],
        }
        for priority, states in enumerate(("hu", "hh"))
    ]
    assignment = {"@type": ASSIGNMENT, "cluster_name": "eds", "endpoints": groups, "policy": assigned}
    new = proxy.directory / "new.json"
    new.write_text(json.dumps({"resources": [assignment]}))
    os.replace(new, proxy.directory / "eds.json")


def configure(proxy: Proxy) -> Config:
    hosts = {
        f"{priority}{number}": proxy.origin(f"{priority}{number}")
        for priority in range(3)
        for number in range(4)
    }
    for name, origin in hosts.items():
        origin.default = text(name)
    clusters = []
    for name, (fields, assigned, groups, *_) in CASES.items():
        made = cluster(name, **fields)
        made["load_assignment"]["endpoints"] = [
            {
                "priority": priority,
                "lb_endpoints": [
                    endpoint(hosts[f"{priority}{number}"].port, weight=9 if state.isupper() else None)
                    | {"health_status": HEALTH[state.lower()]}
                    for number, state in enumerate(states)
                ],
            }
            for priority, states in enumerate(groups)
        ]
        made["load_assignment"]["policy"] = assigned
        clusters.append(made)
    write(proxy, {"overprovisioning_factor": 200})
    source = {"path_config_source": {"path": str(proxy.directory / "eds.json")}, "resource_api_version": "V3"}
    eds = cluster("eds") | {"type": "EDS", "eds_cluster_config": {"eds_config": source}}
    del eds["load_assignment"]
    clusters.append(eds)
    routes = [
        {"match": {"path_separated_prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}}
        for each in clusters
    ]
    virtual_hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    made = bootstrap(proxy.port("admin"), [listener("main", proxy.port(), virtual_hosts)], clusters)
    made["layered_runtime"] = {"layers": [{"name": "admin", "admin_layer": {}}]}
    return made


@pytest.mark.parametrize("name", CASES)
def test_shares(proxy: Proxy, workers: Workers, name: str) -> None:
    _, _, _, loads, panic = CASES[name]
    found = Counter(each[0] for each in workers.share(f"/{name}", ASKED))
    if not any(loads):
        assert found == {"5": ASKED}
    for priority, load in enumerate(loads):
        if load in (0, 100):
            assert found[str(priority)] == load * ASKED // 100
        else:  # more than five standard deviations
            assert abs(found[str(priority)] - load * ASKED // 100) <= 40, found
    panics = proxy.stat(f"cluster.{name}.lb_healthy_panic")
    assert (panics > 0) is panic


def test_discovered_policy(proxy: Proxy, workers: Workers) -> None:
    """What the factor is goes with the endpoints, and counts though they are the same."""
    assert {each[0] for each in workers.share("/eds", 60)} == {"0"}
    write(proxy, {"overprovisioning_factor": 100})
    assert wait_for(lambda: {each[0] for each in workers.share("/eds", 20)} == {"0", "1"})
    write(proxy, {})
    assert wait_for(lambda: sum(each[0] == "0" for each in workers.share("/eds", 60)) >= 40)


def test_stale_assignment(proxy: Proxy, workers: Workers) -> None:
    """Endpoints that are not renewed in time are forgotten, until there are others."""
    before = proxy.stats("^cluster.eds.assignment_")
    try:
        write(proxy, {"endpoint_stale_after": "0.2s"})
        assert proxy.stat_becomes("cluster.eds.membership_total", 0)
        assert wait_for(lambda: workers.ask("/eds") == [["503"]] * proxy.concurrency)
    finally:
        write(proxy, {})
    assert proxy.stat_becomes("cluster.eds.membership_total", 4)
    after = proxy.stats("^cluster.eds.assignment_")
    grown = {name.rpartition(".")[2]: after[name] - before[name] for name in after}
    assert grown == {"assignment_stale": 1, "assignment_timeout_received": 1, "assignment_use_cached": 0}
