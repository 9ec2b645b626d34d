"""Localities by weight, and zones near to the proxy."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, ZoneAwareSettings
from twistproxy.model.endpoint import Endpoint, Locality
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock
from twistproxy.upstream.choosers.base import HostsUpdate
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.choosers.priorities import PriorityChooser
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.hash_keys import shares_of_localities
from twistproxy.upstream.lb.localities import by_locality, scale_weights, sizes_of_localities
from twistproxy.upstream.lb.locality_weighted import effective_weight
from twistproxy.upstream.lb.zone_aware import LocalCluster, ZoneAware, ZonePlan, plan

STATES = {"h": "HEALTHY", "u": "UNHEALTHY", "d": "DEGRADED", "x": "DRAINING"}


def hosts(text: str, **fields: int) -> list[Host]:
    """ "a:hu b:h": a healthy and an unhealthy host in zone a, a healthy one in b."""
    return [
        Host(
            Endpoint(
                TcpAddress(f"10.0.{ord(group[0])}.{at}", 80),
                health=STATES[letter],
                locality=Locality(zone=group[0]),
                **fields,
            )
        )
        for group in text.split()
        for at, letter in enumerate(group[2:])
    ]


def local(text: str) -> LocalCluster:
    """The proxy is in zone a."""
    made = LocalCluster(Locality(zone="a"))
    made.update(hosts(text))
    return made


def planned(text: str, at_home: str, **settings: int) -> tuple[bool, int, list[int]] | None:
    stats = ClusterStats()
    some = hosts(text)
    zones = by_locality(some, Locality(zone="a"))
    healthy = sum(host.healthy for host in some)
    found = plan(
        zones, healthy, local(at_home), ZoneAwareSettings(**{"min_cluster_size": 2} | settings), stats
    )
    assert stats.lb_recalculate_zone_structures == 1
    return None if found is None else (found.direct, found.stay, found.residual)


def test_order() -> None:
    some = hosts("c:h b:h a:hu b:u")
    assert [one.locality.zone for one in by_locality(some)] == ["a", "b", "c"]
    found = by_locality(some, Locality(zone="c"))
    assert [(one.locality.zone, len(one.hosts), len(one.healthy)) for one in found] == [
        ("c", 1, 1),
        ("a", 2, 1),
        ("b", 2, 1),
    ]


def test_effective_weight() -> None:
    (one,) = by_locality(hosts("a:huux", locality_weight=10))
    assert effective_weight(one, len(one.healthy), 140) == pytest.approx(10 * 1.4 / 3)
    assert effective_weight(one, 3, 140) == 10
    (none,) = by_locality(hosts("a:x", locality_weight=10))
    assert effective_weight(none, 0, 140) == 0


def test_scaled_weights() -> None:
    """A half of 5 is rounded up."""
    every = [*hosts("a:hhhh", locality_weight=5), *hosts("b:hh", locality_weight=5)]
    found = by_locality([every[0], every[1], every[4], every[5]])
    scale_weights(found, 0, sizes_of_localities(every))
    assert [one.weight for one in found] == [3, 5]


def test_shares_of_localities() -> None:
    some = [*hosts("a:hh", locality_weight=1), *hosts("b:hu", locality_weight=3), *hosts("c:h")]
    assert shares_of_localities(by_locality(some), False) == (
        [some[0], some[1], some[2]],
        [0.125, 0.125, 0.75],
    )
    assert shares_of_localities(by_locality(some), True)[1] == [0.125, 0.125, 0.375, 0.375]
    assert shares_of_localities(by_locality(hosts("c:h")), False) == ([], [])


def test_plans() -> None:
    assert planned("a:hhh b:hhh", "a:h b:h") == (True, 10000, [])
    assert planned("a:hhh b:h", "a:h b:h") == (True, 10000, [])
    # a third of the hosts, and half of those who ask
    assert planned("a:hh b:hhhh", "a:h b:h") == (False, 6666, [0, 1666])
    # 25, 50, 25 % for 40, 40, 20 %
    assert planned("a:h b:hh c:h", "a:hh b:hh c:h") == (False, 6250, [0, 1000, 1500])
    assert planned("b:h c:h", "a:h b:h") == (False, 0, [0, 5000])
    assert planned("a:uu b:hh", "a:h b:h") == (False, 0, [0, 5000])


def test_no_plan() -> None:
    assert planned("a:hhh", "a:h b:h") is None
    assert planned("a:h b:h", "a:h") is None
    assert planned("a:h b:h", "b:h c:h") is None
    assert planned("a:h b:h", "") is None
    assert planned("a:h b:h", "a:h b:h", min_cluster_size=3) is None


def test_forced() -> None:
    assert planned("a:h b:hhh", "a:h b:h", force_local_size=1) == (True, 10000, [])
    assert planned("a:h b:hhh", "a:h", force_local_size=1) == (True, 10000, [])
    assert planned("a:h b:hhh", "a:h b:h", force_local_size=2) == (False, 5000, [0, 2500])


def test_why_not_is_counted() -> None:
    stats = ClusterStats()
    zones = by_locality(hosts("a:h b:h"), Locality(zone="a"))
    assert plan(zones, 2, local("b:h c:h"), ZoneAwareSettings(), stats) is None
    assert stats.lb_local_cluster_not_ok == 1
    assert plan(zones, 2, local("a:h b:h"), ZoneAwareSettings(), stats) is None
    assert stats.lb_zone_cluster_too_small == 1


def test_panic_of_the_local_cluster() -> None:
    assert not local("a:h b:u").panic(50)
    assert local("a:h b:uu").panic(50)
    assert not local("a:h b:xx").panic(50)
    assert local("").panic(50)
    assert not local("").panic(0)


def picked(fails: bool, panic: bool, zone_plan: ZonePlan) -> tuple[Counter[str], ClusterStats]:
    some = {name: Host(Endpoint(TcpAddress("10.0.0.1", 1), hostname=name)) for name in "abc*"}
    stats = ClusterStats()
    balancer = ZoneAware(
        zone_plan,
        [lambda: some["a"], lambda: some["b"], lambda: some["c"]],
        lambda: some["*"],
        (90, 100),
        panic,
        fails,
        Random(3),
        stats,
    )
    found = [balancer.pick() for _ in range(1000)]
    return Counter("-" if host is None else host.endpoint.hostname for host in found), stats


def test_residual_requests() -> None:
    counts, stats = picked(False, False, ZonePlan(False, 5000, [0, 1000, 1500]))
    assert 70 <= counts["*"] <= 130  # do not take part
    assert 400 <= counts["a"] <= 500
    assert 240 <= counts["b"] <= 360
    assert 110 <= counts["c"] <= 190
    assert stats.lb_zone_routing_sampled == counts["a"]
    assert stats.lb_zone_routing_cross_zone == counts["b"] + counts["c"]


def test_no_capacity_left() -> None:
    counts, stats = picked(False, False, ZonePlan(False, 0, [0, 0, 0]))
    assert all(230 <= counts[name] <= 370 for name in "abc")
    assert stats.lb_zone_no_capacity_left == stats.lb_zone_routing_cross_zone == 1000 - counts["*"]


def test_requests_while_the_local_cluster_is_in_a_panic() -> None:
    counts, stats = picked(False, True, ZonePlan(True, 10000, []))
    assert set(counts) == {"*"}
    assert 850 <= stats.lb_local_cluster_not_ok <= 950
    counts, _ = picked(True, True, ZonePlan(True, 10000, []))
    assert set(counts) == {"*", "-"}


def chooser(params: LoadBalancerParams, some: list[Host]) -> PriorityChooser:
    made = PriorityChooser(params)
    made.update(HostsUpdate(some))
    return made


def test_runtime() -> None:
    params = LoadBalancerParams(Balancing(), ClusterStats(), Random(1), FakeClock().monotonic)
    params.local = local("a:h b:h")
    some = hosts("a:hh b:hh")

    def zones() -> set[str]:
        made = chooser(params, some)
        found = [made.pick() for _ in range(40)]
        return {host.endpoint.locality.zone for host in found if host is not None}

    assert zones() == {"a", "b"}  # too few hosts
    prefix = "upstream.zone_routing."
    params.use_runtime(RuntimeValues({prefix + "min_cluster_size": 4}))
    assert zones() == {"a"}
    params.use_runtime(RuntimeValues({prefix + "min_cluster_size": 4, prefix + "enabled": 0}))
    assert zones() == {"a", "b"}
    some = hosts("a:h b:hhh")
    params.use_runtime(RuntimeValues({prefix + "min_cluster_size": 4}))
    assert zones() == {"a", "b"}
    key = prefix + "force_local_zone.min_size"
    params.use_runtime(RuntimeValues({prefix + "min_cluster_size": 4, key: 1}))
    assert zones() == {"a"}


def test_degraded_hosts_of_the_zone() -> None:
    """Who is near is decided by the healthy hosts; the degraded ones follow."""
    params = LoadBalancerParams(Balancing(), ClusterStats(), Random(1), FakeClock().monotonic)
    params.local = local("a:h b:h")
    params.use_runtime(RuntimeValues({"upstream.zone_routing.min_cluster_size": 2}))
    made = chooser(params, hosts("a:hddd b:hddd"))
    found: Counter[tuple[bool, str]] = Counter()
    for _ in range(300):
        host = made.pick()
        assert host is not None
        found[host.degraded, host.endpoint.locality.zone] += 1
    assert set(found) == {(False, "a"), (True, "a")}
