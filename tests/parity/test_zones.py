"""Zone aware routing: requests stay in the proxy's own zone as far as that does not overload its hosts."""

from __future__ import annotations

from typing import Any

import pytest

from .harness import Proxy
from .origin import text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .test_localities import HEALTH, policy, zone
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

ASKED = 60
ALL = "lb_zone_routing_all_directly"
SAMPLED = "lb_zone_routing_sampled"
ACROSS = "lb_zone_routing_cross_zone"
SMALL = "lb_zone_cluster_too_small"


def aware(**fields: Any) -> Config:
    return {"common_lb_config": {"zone_aware_lb_config": fields}}


def robin(**fields: Any) -> Config:
    """The policy's extension with these settings of zone aware routing."""
    return {
        "load_balancing_policy": policy(
            "round_robin", "RoundRobin", locality_lb_config={"zone_aware_lb_config": fields}
        )
    }


# The proxy is in zone a; of its own cluster half of the hosts are there, half in b.
# name: (fields of the cluster, health of the hosts of each zone, zones that get requests, statistic that counts them)
CASES: dict[str, tuple[Config, dict[str, str], str, str]] = {
    "direct": ({}, {"a": "hhh", "b": "hhh"}, "a", ALL),
    "direct-least": ({"lb_policy": "LEAST_REQUEST"}, {"a": "hhh", "b": "hhh"}, "a", ALL),
    "direct-random": ({"lb_policy": "RANDOM"}, {"a": "hhh", "b": "hhh"}, "a", ALL),
    "direct-extension": (robin(), {"a": "hhh", "b": "hhh"}, "a", ALL),
    "small": ({}, {"a": "h", "b": "h"}, "ab", ""),
    "small-allowed": (aware(min_cluster_size=2), {"a": "h", "b": "h"}, "a", ALL),
    # Zone b has its half from the proxies there.
    "none-there": ({}, {"b": "hhh", "c": "hhh"}, "c", ACROSS),
    "one-zone": ({}, {"b": "hhhhhh"}, "b", ""),
    "sick-there": ({}, {"a": "uhu", "b": "hhhhh"}, "ab", "both"),
    "some-there": ({}, {"a": "hh", "b": "hhhh"}, "ab", "both"),
    "forced": (robin(force_local_zone={}), {"a": "hh", "b": "hhhh"}, "a", ALL),
    "forced-too-few": (robin(force_local_zone={"min_size": 3}), {"a": "hh", "b": "hhhh"}, "ab", "both"),
    "switched-off": (aware(routing_enabled={"value": 0}), {"a": "hhh", "b": "hhh"}, "ab", ""),
    "weighted": (
        {"common_lb_config": {"locality_weighted_lb_config": {}}},
        {"a": "hhh", "b": "hhh"},
        "ab",
        "",
    ),
    "panic": ({}, {"a": "hhu", "b": "uuuu"}, "ab", ""),
    "panic-fails": (aware(fail_traffic_on_panic=True), {"a": "hhu", "b": "uuuu"}, "5", ""),
    "degraded": ({}, {"a": "ddd", "b": "ddd"}, "ab", ""),
    "basis": (robin(locality_basis="HEALTHY_HOSTS_WEIGHT"), {"a": "hh", "b": "hhhh"}, "a", ALL),
}
WEIGHTS = {"basis": {"a": 4, "b": 1}}


def configure(proxy: Proxy) -> Config:
    hosts = {f"{place}{number}": proxy.origin(f"{place}{number}") for place in "abc" for number in range(6)}
    for name, origin in hosts.items():
        origin.default = text(name)
    clusters = [cluster("local", type="STATIC")]
    clusters[0]["load_assignment"]["endpoints"] = [
        zone("a", [endpoint(hosts["a0"].port)]),
        zone("b", [endpoint(hosts["b0"].port)]),
    ]
    for name, (fields, zones, *_) in CASES.items():
        made = cluster(name, **fields)
        made["load_assignment"]["endpoints"] = [
            zone(
                place,
                [
                    endpoint(hosts[f"{place}{number}"].port, weight=WEIGHTS.get(name, {}).get(place))
                    | {"health_status": HEALTH[state]}
                    for number, state in enumerate(states)
                ],
                1,
            )
            for place, states in zones.items()
        ]
        clusters.append(made)
    routes = [
        {"match": {"path_separated_prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]}}
        for each in clusters
    ]
    virtual_hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    made = bootstrap(proxy.port("admin"), [listener("main", proxy.port(), virtual_hosts)], clusters)
    made["node"]["locality"] = {"zone": "a"}
    made["cluster_manager"] = {"local_cluster_name": "local"}
    made["layered_runtime"] = {"layers": [{"name": "admin", "admin_layer": {}}]}
    return made


@pytest.mark.parametrize("name", CASES)
def test_zones(proxy: Proxy, workers: Workers, name: str) -> None:
    _, _, asked, counted = CASES[name]
    found = workers.share(f"/{name}", ASKED)
    assert "".join(sorted({each[0] for each in found})) == asked
    stats = proxy.stats(f"^cluster.{name}.lb_")
    counts = {each: stats[f"cluster.{name}.{each}"] for each in (ALL, SAMPLED, ACROSS)}
    if counted == "both":
        assert counts[ALL] == 0
        assert counts[SAMPLED] == sum(each[0] == "a" for each in found)
        assert counts[ACROSS] == sum(each[0] == "b" for each in found)
    else:
        assert counts == {ALL: 0, SAMPLED: 0, ACROSS: 0} | ({counted: ASKED} if counted else {})
    assert stats[f"cluster.{name}.lb_zone_no_capacity_left"] == 0
    assert stats[f"cluster.{name}.lb_recalculate_zone_structures"] > 0
    assert (stats[f"cluster.{name}.{SMALL}"] > 0) is (name in ("small", "panic", "panic-fails", "degraded"))
    assert stats[f"cluster.{name}.lb_healthy_panic"] == (ASKED if name.startswith("panic") else 0)


def test_how_much_stays(workers: Workers) -> None:
    """A third of the upstream hosts are here, and half of the proxies: two of three requests stay."""
    found = workers.share("/some-there", 400)
    stayed = sum(each[0] == "a" for each in found)
    assert 210 <= stayed <= 325


def test_runtime(proxy: Proxy, workers: Workers) -> None:
    try:
        assert proxy.admin("/runtime_modify?upstream.zone_routing.enabled=0", "POST").status == 200
        assert {each[0] for each in workers.share("/direct", 20)} == {"a", "b"}
    finally:
        assert proxy.admin("/runtime_modify?upstream.zone_routing.enabled=", "POST").status == 200
    assert {each[0] for each in workers.share("/direct", 20)} == {"a"}
