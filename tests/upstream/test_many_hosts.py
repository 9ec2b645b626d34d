"""Of many hosts, balancers follow what has changed."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, SlowStartSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.testing.clock import FakeClock
from twistproxy.upstream.choosers.base import HostsUpdate
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.choosers.priorities import MANY, PriorityChooser
from twistproxy.upstream.host import Host

#: Nearly all of the weight is on the first hosts.
HEAVY = 1_000_000


def endpoint(at: int, weight: int = 1, health: str = "HEALTHY", priority: int = 0) -> Endpoint:
    return Endpoint(TcpAddress(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}", 80), weight, "", health, priority)


class World:
    """Some heavy hosts and many light ones."""

    def __init__(self, balancing: Balancing, heavy: int = 4, weight: int = HEAVY) -> None:
        self.clock = FakeClock()
        self.stats = ClusterStats()
        params = LoadBalancerParams(balancing, self.stats, Random(5), self.clock.monotonic)
        self.chooser = PriorityChooser(params)
        self.hosts = {at: Host(endpoint(at, weight if at < heavy else 1)) for at in range(MANY + 2 * heavy)}
        self.numbers = {host: at for at, host in self.hosts.items()}
        self.update(added=list(self.hosts))
        self.picks(1)

    def update(
        self,
        added: list[int] | None = None,
        removed: list[int] | None = None,
        changed: list[Endpoint] | None = None,
    ) -> None:
        gone = [self.hosts.pop(at) for at in removed or ()]
        by_address = {host.address: host for host in self.hosts.values()}
        others = []
        for one in changed or ():
            by_address[one.address].follow(one, set())
            others.append(by_address[one.address])
        new = [self.hosts.setdefault(at, Host(endpoint(at, HEAVY))) for at in added or ()]
        for at, host in self.hosts.items():
            self.numbers[host] = at
        self.chooser.update(HostsUpdate(self.hosts.values(), new, gone, others))

    def picks(self, count: int) -> Counter[int]:
        pick = self.chooser.picking()
        found = []
        for _ in range(count):
            host = pick()
            assert host is not None
            found.append(self.numbers[host])
        return Counter(found)

    def balancer(self) -> object:
        return self.chooser._made[0, False]


def about(found: Counter[int], **shares: int) -> bool:
    return all(abs(found[int(at[1:])] - share) <= 12 for at, share in shares.items())


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST"])
def test_by_weight(policy: str) -> None:
    world = World(Balancing(policy))
    balancer = world.balancer()
    assert about(world.picks(400), _0=100, _1=100, _2=100, _3=100)
    world.update(added=[9000], removed=[0, 50])
    assert about(world.picks(400), _0=0, _1=100, _2=100, _3=100, _9000=100)
    world.update(changed=[endpoint(1, 3 * HEAVY), endpoint(60, HEAVY)])
    assert about(world.picks(700), _1=300, _2=100, _3=100, _9000=100, _60=100)
    world.update(changed=[endpoint(1, HEAVY, "UNHEALTHY")])
    assert about(world.picks(400), _1=0, _2=100, _3=100, _9000=100, _60=100)
    world.update(changed=[endpoint(1, HEAVY)], removed=[2])
    assert about(world.picks(400), _1=100, _2=0, _3=100, _9000=100, _60=100)
    assert world.balancer() is balancer


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"])
def test_of_equal_weight(policy: str) -> None:
    world = World(Balancing(policy), weight=1)
    for at in range(100):
        world.hosts[3000 + at] = Host(endpoint(3000 + at))
    new = [world.hosts[3000 + at] for at in range(100)]
    for at, host in world.hosts.items():
        world.numbers[host] = at
    balancer = world.balancer()
    gone = [world.hosts.pop(at) for at in range(100)]
    world.chooser.update(HostsUpdate(world.hosts.values(), new, gone))
    assert world.balancer() is balancer
    found = world.picks(30 * len(world.hosts))
    assert found.keys() == world.hosts.keys()
    if policy == "ROUND_ROBIN":
        assert set(found.values()) == {30}
    world.update(changed=[endpoint(500, 20 * HEAVY)])  # weights differ now
    assert policy == "RANDOM" or world.picks(100)[500] >= 90


def test_slow_start() -> None:
    world = World(Balancing(slow_start=SlowStartSettings(10.0, min_weight=0.1)))
    world.clock.advance(11.0)
    balancer = world.balancer()
    world.update(added=[9000], removed=[0])
    assert about(world.picks(310), _1=100, _2=100, _3=100, _9000=10)
    world.clock.advance(11.0)
    world.picks(40)
    assert about(world.picks(400), _1=100, _2=100, _3=100, _9000=100)
    assert world.balancer() is balancer


def test_panic_and_back() -> None:
    world = World(Balancing())
    for at, host in list(world.hosts.items()):
        if at >= 4:
            host.use(endpoint(at, 1, "UNHEALTHY"))
    world.chooser.rebuild()
    assert about(world.picks(400), _0=100, _3=100)
    assert world.stats.lb_healthy_panic == 400
    world.update(changed=[endpoint(0, HEAVY, "UNHEALTHY")])
    assert about(world.picks(400), _0=100, _3=100)
    assert world.stats.lb_healthy_panic == 800


def test_another_priority() -> None:
    world = World(Balancing())
    world.update(changed=[endpoint(at, HEAVY, priority=1) for at in range(3)])
    assert world.picks(400)[3] > 390
    world.update(changed=[replace(endpoint(3, HEAVY), health="UNHEALTHY")])
    assert world.picks(100).keys().isdisjoint({0, 1, 2, 3})
    world.update(removed=[at for at in world.hosts if at >= 4 and at < 200])
    world.update(changed=[endpoint(0, HEAVY, priority=2)])
    assert world.picks(100).keys().isdisjoint({0, 1, 2, 3})


def test_an_update_that_leaves_something_out() -> None:
    """Whoever only says which hosts there are is understood."""
    world = World(Balancing())
    del world.hosts[0]
    world.chooser.update(HostsUpdate(world.hosts.values()))
    assert about(world.picks(300), _0=0, _1=100, _2=100, _3=100)
