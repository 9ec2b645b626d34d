"""Which locality and which zone requests go to: localities by weight, and zones near to the proxy first."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from .harness import Proxy
from .origin import text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

POLICIES = "type.googleapis.com/envoy.extensions.load_balancing_policies."
WEIGHTED: Config = {"locality_weighted_lb_config": {}}
FIRST: Config = {"metadata_match": {"filter_metadata": {"envoy.lb": {"first": "yes"}}}}
SUBSETS: Config = {"fallback_policy": "NO_FALLBACK", "subset_selectors": [{"keys": ["first"]}]}
HEALTH = {"h": "HEALTHY", "u": "UNHEALTHY", "d": "DEGRADED", "x": "DRAINING"}


def policy(name: str, message: str, **fields: Any) -> Config:
    typed = {"@type": f"{POLICIES}{name}.v3.{message}", **fields}
    return {"policies": [{"typed_extension_config": {"name": name, "typed_config": typed}}]}


def zone(name: str, hosts: list[Config], weight: int | None = None, priority: int = 0) -> Config:
    found: Config = {"locality": {"zone": name}, "lb_endpoints": hosts, "priority": priority}
    if weight is not None:
        found["load_balancing_weight"] = weight
    return found


class Hosts:
    """The endpoints of a cluster: each an origin of its own that answers with its name, zone and number."""

    def __init__(self, proxy: Proxy, cluster_name: str) -> None:
        self.proxy = proxy
        self.cluster = cluster_name

    def __call__(self, place: str, states: str, weights: tuple[int, ...] = ()) -> list[Config]:
        found = []
        for number, state in enumerate(states):
            origin = self.proxy.origin(f"{self.cluster}-{place}{number}")
            origin.default = text(f"{place}{number}")
            made = endpoint(origin.port, weight=weights[number] if weights else None)
            if not number:
                made["metadata"] = {"filter_metadata": {"envoy.lb": {"first": "yes"}}}
            found.append(made | {"health_status": HEALTH[state]})
        return found


# name: (fields of the cluster, [(zone, weight, health of its hosts)], requests, hosts that get them and how many)
WEIGHTS: dict[str, tuple[Config, list[tuple[str, int | None, str]], int, dict[str, int]]] = {
    "wrr": ({"common_lb_config": WEIGHTED}, [("a", 1, "h"), ("b", 3, "hh")], 40, {"a": 10, "b": 30}),
    "wrr-random": (
        {"common_lb_config": WEIGHTED, "lb_policy": "RANDOM"},
        [("a", 1, "h"), ("b", 3, "hh")],
        40,
        {"a": 10, "b": 30},
    ),
    "wrr-least": (
        {"common_lb_config": WEIGHTED, "lb_policy": "LEAST_REQUEST"},
        [("a", 1, "h"), ("b", 3, "hh")],
        40,
        {"a": 10, "b": 30},
    ),
    "off": ({}, [("a", 1, "h"), ("b", 3, "hh")], 42, {"a": 14, "b": 28}),
    "weightless": ({"common_lb_config": WEIGHTED}, [("a", None, "h"), ("b", 3, "hh")], 40, {"b": 40}),
    "all-weightless": (
        {"common_lb_config": WEIGHTED},
        [("a", None, "h"), ("b", None, "hh")],
        42,
        {"a": 14, "b": 28},
    ),
    # Half of b's hosts are left: 1.4 * 0.5 of its weight of 10 counts.
    "half": ({"common_lb_config": WEIGHTED}, [("a", 3, "hh"), ("b", 10, "hu")], 40, {"a": 12, "b": 28}),
    "drained": ({"common_lb_config": WEIGHTED}, [("a", 3, "hh"), ("b", 9, "hx")], 40, {"a": 10, "b": 30}),
    "gone": ({"common_lb_config": WEIGHTED}, [("a", 1, "hhh"), ("b", 3, "uu")], 40, {"a": 40}),
    "panic": ({"common_lb_config": WEIGHTED}, [("a", 1, "u"), ("b", 3, "uuh")], 40, {"a": 10, "b": 30}),
    "extension": (
        {
            "load_balancing_policy": policy(
                "round_robin", "RoundRobin", locality_lb_config={"locality_weighted_lb_config": {}}
            )
        },
        [("a", 1, "h"), ("b", 3, "hh")],
        40,
        {"a": 10, "b": 30},
    ),
    "extension-random": (
        {"load_balancing_policy": policy("random", "Random", locality_lb_config=WEIGHTED)},
        [("a", 1, "h"), ("b", 3, "hh")],
        40,
        {"a": 10, "b": 30},
    ),
    "extension-least": (
        {"load_balancing_policy": policy("least_request", "LeastRequest", locality_lb_config=WEIGHTED)},
        [("a", 1, "h"), ("b", 3, "hh")],
        40,
        {"a": 10, "b": 30},
    ),
    "ring-weightless": (
        {"common_lb_config": WEIGHTED, "lb_policy": "RING_HASH"},
        [("a", None, "h"), ("b", None, "hh")],
        40,
        {"5": 40},
    ),
    "maglev-gone": (
        {"common_lb_config": WEIGHTED, "lb_policy": "MAGLEV"},
        [("a", 1, "hhh"), ("b", 3, "uu")],
        40,
        {"a": 40},
    ),
    "subset-unaware": (
        {"common_lb_config": WEIGHTED, "lb_subset_config": SUBSETS},
        [("a", 1, "h"), ("b", 3, "h")],
        40,
        {"a": 20, "b": 20},
    ),
    "subset-aware": (
        {"common_lb_config": WEIGHTED, "lb_subset_config": SUBSETS | {"locality_weight_aware": True}},
        [("a", 1, "h"), ("b", 3, "h")],
        40,
        {"a": 10, "b": 30},
    ),
    # Of each locality, the first host is in the subset: half of a, a third of b, whose 9 become 3.
    "subset-scaled": (
        {
            "common_lb_config": WEIGHTED,
            "lb_subset_config": SUBSETS | {"locality_weight_aware": True, "scale_locality_weight": True},
        },
        [("a", 2, "hh"), ("b", 9, "hhh")],
        40,
        {"a": 10, "b": 30},
    ),
    "extension-off": (
        {"load_balancing_policy": policy("round_robin", "RoundRobin")},
        [("a", 1, "h"), ("b", 3, "hh")],
        42,
        {"a": 14, "b": 28},
    ),
}


def configure(proxy: Proxy) -> Config:
    clusters = []
    for name, (fields, zones, *_) in WEIGHTS.items():
        made = cluster(name, **fields)
        hosts = Hosts(proxy, name)
        groups = [zone(place, hosts(place, states), weight) for place, weight, states in zones]
        made["load_assignment"]["endpoints"] = groups
        clusters.append(made)
    routes = [
        {"match": {"path_separated_prefix": f"/{each['name']}"}, "route": {"cluster": each["name"]} | FIRST}
        for each in clusters
    ]
    hosts_ = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts_)], clusters)


@pytest.mark.parametrize("name", WEIGHTS)
def test_localities_by_weight(workers: Workers, name: str) -> None:
    _, _, count, expected = WEIGHTS[name]
    for answers in workers.ask(f"/{name}", count):
        found = Counter(each[0] for each in answers)
        assert set(found) == set(expected)
        assert all(abs(found[place] - expected[place]) <= 1 for place in expected), found
