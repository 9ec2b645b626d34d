"""Which hosts get requests by their health and priority, and how that is counted and shown."""

from __future__ import annotations

import re

import pytest

from .harness import Proxy
from .origin import text
from .settings import Config, bootstrap, cluster, endpoint, listener
from .workers import Workers

pytestmark = pytest.mark.parity
CONCURRENCY = (1, 2)

# name: (health of the hosts of each priority, hosts that get requests, panic, members healthy, degraded, excluded)
CASES: dict[str, tuple[list[list[str]], str, bool, tuple[int, int, int]]] = {
    "all_out": ([["UNHEALTHY", "UNHEALTHY"]], "01", True, (0, 0, 0)),
    "half_out": ([["UNHEALTHY", "HEALTHY"]], "1", False, (1, 0, 0)),
    "most_out": ([["UNHEALTHY", "TIMEOUT", "HEALTHY"]], "012", True, (1, 0, 0)),
    "draining": ([["UNHEALTHY", "DRAINING", "HEALTHY"]], "2", False, (1, 0, 1)),
    "two_left": ([["UNHEALTHY", "HEALTHY", "TIMEOUT", "UNKNOWN"]], "13", False, (2, 0, 0)),
    "next_priority": ([["UNHEALTHY", "UNHEALTHY"], ["HEALTHY"]], "2", False, (1, 0, 0)),
    "first_priority": ([["HEALTHY", "HEALTHY"], ["HEALTHY"]], "01", False, (3, 0, 0)),
    "shared": ([["HEALTHY", "UNHEALTHY"], ["HEALTHY"]], "02", False, (2, 0, 0)),
    "degraded": ([["DEGRADED", "HEALTHY"]], "01", False, (1, 1, 0)),
    "only_draining": ([["DRAINING", "DRAINING"]], "01", True, (0, 0, 2)),
    "degraded_only": ([["DEGRADED", "UNHEALTHY"]], "0", False, (0, 1, 0)),
}


def configure(proxy: Proxy) -> Config:
    clusters: list[Config] = []
    routes: list[Config] = []
    for name, (priorities, *_) in CASES.items():
        made = cluster(name)
        groups: list[Config] = []
        count = 0
        for priority, states in enumerate(priorities):
            hosts: list[Config] = []
            for state in states:
                hosts.append(endpoint(proxy.origin(f"{name}{count}").port) | {"health_status": state})
                count += 1
            groups.append({"priority": priority, "lb_endpoints": hosts})
        made["load_assignment"]["endpoints"] = groups
        clusters.append(made)
        routes.append({"match": {"prefix": f"/{name}/"}, "route": {"cluster": name}})
    hosts = [{"name": "all", "domains": ["*"], "routes": routes}]
    return bootstrap(proxy.port("admin"), [listener("main", proxy.port(), hosts)], clusters)


@pytest.mark.parametrize("name", CASES)
def test_who_is_asked(proxy: Proxy, workers: Workers, name: str) -> None:
    priorities, asked, panic, members = CASES[name]
    count = sum(len(states) for states in priorities)
    for number in range(count):
        proxy.origin(f"{name}{number}").default = text(str(number))
    for found in workers.ask(f"/{name}/", 60):
        assert "".join(sorted(set(found))) == asked
    stats = proxy.stats(f"^cluster.{name}.(lb_healthy|membership)")
    prefix = f"cluster.{name}."
    assert stats == {
        prefix + "lb_healthy_panic": 60 * proxy.concurrency if panic else 0,
        prefix + "membership_change": len(priorities),
        prefix + "membership_healthy": members[0],
        prefix + "membership_degraded": members[1],
        prefix + "membership_excluded": members[2],
        prefix + "membership_total": count,
    }


def test_flags(proxy: Proxy) -> None:
    lines = proxy.admin("/clusters").text.splitlines()
    found = {
        proxy_line[1]: proxy_line[2]
        for line in lines
        if (proxy_line := re.fullmatch(r"\w+::127.0.0.1:(\d+)::health_flags::(.*)", line))
    }
    words = {
        "UNHEALTHY": "/failed_eds_health",
        "TIMEOUT": "/failed_eds_health",
        "DRAINING": "/eds_status_draining",
        "DEGRADED": "/degraded_eds_health",
    }
    for name, (priorities, *_) in CASES.items():
        states = [state for group in priorities for state in group]
        for number, state in enumerate(states):
            assert found[str(proxy.origin(f"{name}{number}").port)] == words.get(state, "healthy")
