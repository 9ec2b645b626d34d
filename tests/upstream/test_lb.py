"""Which host is next."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, LeastRequestSettings, SlowStartSettings
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint
from twistproxy.model.health import FAILED_ACTIVE_HC, FAILED_OUTLIER_CHECK
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.testing.clock import FakeClock
from twistproxy.upstream.choosers.balancers import Balancers
from twistproxy.upstream.choosers.params import LoadBalancerParams
from twistproxy.upstream.choosers.priorities import PriorityChooser
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.shares import priorities


class Balancer:
    """Over the hosts of one priority."""

    def __init__(
        self, balancing: Balancing, some: list[Host], seed: int, clock: FakeClock | None = None
    ) -> None:
        self.clock = clock or FakeClock()
        self.params = LoadBalancerParams(balancing, ClusterStats(), Random(seed), self.clock.monotonic)
        self.balancers = Balancers(self.params)
        self.use(some)

    def use(self, some: list[Host]) -> None:
        self.hosts = some
        found = priorities(some, AssignmentPolicy(), 50)
        self.balancers.begin(found)
        self.pick = self.balancers.of(found[0], False).pick if found[0].healthy else lambda: None

    def picks(self, count: int) -> list[int]:
        """The numbers of the hosts that are picked."""
        found = []
        for _ in range(count):
            host = self.pick()
            assert host is not None
            found.append(self.hosts.index(host))
        return found


def hosts(*weights: int) -> list[Host]:
    return [Host(Endpoint(TcpAddress(f"10.0.0.{at}", 80), weight)) for at, weight in enumerate(weights)]


ROBIN = Balancing()
LEAST = Balancing("LEAST_REQUEST")
RANDOM = Balancing("RANDOM")


@pytest.mark.parametrize("balancing", [ROBIN, LEAST, RANDOM])
def test_no_hosts_and_one_host(balancing: Balancing) -> None:
    params = LoadBalancerParams(balancing, ClusterStats(), Random(1), FakeClock().monotonic)
    chooser = PriorityChooser(params)
    assert chooser.pick() is None
    assert Balancer(balancing, hosts(1), 1).picks(5) == [0] * 5


def test_round_robin_takes_turns_from_anywhere() -> None:
    starts = set()
    for seed in range(20):
        picks = Balancer(ROBIN, hosts(3, 3, 3), seed).picks(9)
        assert picks == [(picks[0] + step) % 3 for step in range(9)]
        starts.add(picks[0])
    assert starts == {0, 1, 2}


def test_round_robin_by_weight_is_exact_and_even() -> None:
    picks = Balancer(ROBIN, hosts(1, 2, 5), 4).picks(800)
    counts = Counter(picks)
    assert all(abs(counts[at] - share) <= 1 for at, share in enumerate((100, 200, 500)))
    assert max(len(run) for run in "".join(map(str, picks)).replace("2", " ").split()) <= 3


def test_least_request_prefers_the_idle_one() -> None:
    chosen = hosts(1, 1)
    chosen[0].stats.rq_active = 10
    counts = Counter(Balancer(LEAST, chosen, 2).picks(1000))
    assert 650 < counts[1] < 850  # both choices fall on the busy one in a quarter of the cases


def test_least_request_of_all() -> None:
    chosen = hosts(1, 1, 1, 1)
    for host, active in zip(chosen, (3, 2, 9, 2)):
        host.stats.rq_active = active
    balancing = Balancing("LEAST_REQUEST", LeastRequestSettings(full_scan=True))
    counts = Counter(Balancer(balancing, chosen, 2).picks(1000))
    assert set(counts) == {1, 3}
    assert 420 < counts[1] < 580


def test_least_request_by_weight_and_load() -> None:
    chosen = hosts(1, 3)
    balancer = Balancer(LEAST, chosen, 2)
    assert 280 < Counter(balancer.picks(400))[1] < 320
    chosen[1].stats.rq_active = 2
    assert 180 < Counter(balancer.picks(400))[1] < 220


@pytest.mark.parametrize(("bias", "low", "high"), [(0.0, 298, 302), (2.0, 95, 105), (1000.0, 0, 1)])
def test_bias(bias: float, low: int, high: int) -> None:
    """Weights 1 and 3, of which two active requests make 3 / 3**bias."""
    chosen = hosts(1, 3)
    chosen[1].stats.rq_active = 2
    balancing = Balancing("LEAST_REQUEST", LeastRequestSettings(bias=bias))
    assert low <= Counter(Balancer(balancing, chosen, 2).picks(400))[1] <= high


def test_bias_and_aggression_from_the_runtime() -> None:
    balancing = Balancing(
        "LEAST_REQUEST",
        LeastRequestSettings(bias=1.0, bias_key="bias"),
        slow_start=SlowStartSettings(1.0, 2.0, "aggression"),
    )
    params = LoadBalancerParams(balancing, ClusterStats(), Random(1), FakeClock().monotonic)
    assert (params.bias, params.aggression) == (1.0, 2.0)
    assert params.use_runtime(RuntimeValues({"bias": 0.0, "aggression": 0.5}))
    assert (params.bias, params.aggression) == (0.0, 0.5)
    assert not params.use_runtime(RuntimeValues({"bias": 0.0, "aggression": 0.5, "other": 1}))
    # What makes no sense counts as 1.0.
    assert params.use_runtime(RuntimeValues({"bias": -1.0, "aggression": 0.0}))
    assert (params.bias, params.aggression) == (1.0, 1.0)


def test_random_reaches_everybody() -> None:
    counts = Counter(Balancer(RANDOM, hosts(1, 1, 9), 2).picks(3000))
    assert all(850 < counts[at] < 1150 for at in range(3))


SLOW = SlowStartSettings(10.0, min_weight=0.1)


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST"])
def test_a_new_host_starts_slowly(policy: str) -> None:
    balancer = Balancer(Balancing(policy, slow_start=SLOW), hosts(1, 1), 3)
    balancer.clock.advance(11.0)
    balancer.use([*balancer.hosts, *hosts(1, 1, 1)[2:]])
    counts = Counter(balancer.picks(210))
    assert 8 <= counts[2] <= 12  # a tenth of what the others get, which is the least
    balancer.clock.advance(5.0)
    counts = Counter(balancer.picks(250))
    assert 45 <= counts[2] <= 60  # half
    balancer.clock.advance(6.0)
    balancer.picks(3)
    assert 95 <= Counter(balancer.picks(300))[2] <= 105


def test_with_aggression_it_is_faster() -> None:
    slow = SlowStartSettings(10.0, aggression=2.0)
    balancer = Balancer(Balancing(slow_start=slow), hosts(1), 3)
    balancer.clock.advance(11.0)
    balancer.use([*balancer.hosts, *hosts(1, 1)[1:]])
    balancer.clock.advance(2.5)
    assert 95 <= Counter(balancer.picks(300))[1] <= 105  # half, after a quarter of the time


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST"])
def test_hosts_that_began_before_this_worker_knew_them(policy: str) -> None:
    clock = FakeClock()
    began = [
        Host(replace(host.endpoint, since=clock.monotonic() - age))
        for host, age in zip(hosts(1, 1, 1), (20.0, 11.0, 5.0))
    ]
    balancer = Balancer(Balancing(policy, slow_start=SLOW), began, 3, clock)
    counts = Counter(balancer.picks(250))
    assert abs(counts[0] - 100) < 10
    assert abs(counts[1] - 100) < 10
    assert abs(counts[2] - 50) < 10


def test_all_new_hosts_are_equal() -> None:
    counts = Counter(Balancer(Balancing(slow_start=SLOW), hosts(1, 1, 1), 3).picks(300))
    assert all(99 <= counts[at] <= 101 for at in range(3))


def test_who_failed_its_checks_starts_slowly_again() -> None:
    some = hosts(1, 1)
    balancer = Balancer(Balancing(slow_start=SLOW), some, 3)
    balancer.clock.advance(20.0)
    for flags, slow in ((FAILED_OUTLIER_CHECK, False), (FAILED_ACTIVE_HC, True)):
        some[1].use(replace(some[1].endpoint, flags=flags))
        balancer.use(some)
        balancer.clock.advance(20.0)
        some[1].use(replace(some[1].endpoint, flags=0))
        balancer.use(some)
        count = Counter(balancer.picks(220))[1]
        assert 15 <= count <= 25 if slow else 108 <= count <= 112
