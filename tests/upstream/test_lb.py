"""Which host is next."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from twistproxy.model.address import TcpAddress
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.choose import load_balancer


def hosts(*weights: int) -> list[Host]:
    return [Host(Endpoint(TcpAddress(f"10.0.0.{at}", 80), weight)) for at, weight in enumerate(weights)]


@pytest.mark.parametrize("policy", ["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"])
def test_no_hosts_and_one_host(policy: str) -> None:
    settings = ClusterSettings("a", policy)
    assert load_balancer(settings, [], Random(1)).pick() is None
    (only,) = hosts(1)
    assert load_balancer(settings, [only], Random(1)).pick() is only


def test_round_robin_takes_turns_from_anywhere() -> None:
    chosen = hosts(3, 3, 3)
    starts = set()
    for seed in range(20):
        balancer = load_balancer(ClusterSettings("a"), chosen, Random(seed))
        picks = [chosen.index(balancer.pick()) for _ in range(9)]  # type: ignore[arg-type]
        assert picks == [(picks[0] + step) % 3 for step in range(9)]
        starts.add(picks[0])
    assert starts == {0, 1, 2}


def test_round_robin_by_weight_is_exact_and_even() -> None:
    chosen = hosts(1, 2, 5)
    balancer = load_balancer(ClusterSettings("a"), chosen, Random(4))
    picks = [chosen.index(balancer.pick()) for _ in range(800)]  # type: ignore[arg-type]
    counts = Counter(picks)
    assert all(abs(counts[at] - share) <= 1 for at, share in enumerate((100, 200, 500)))
    assert max(len(run) for run in "".join(map(str, picks)).replace("2", " ").split()) <= 3


def test_least_request_prefers_the_idle_one() -> None:
    chosen = hosts(1, 1)
    chosen[0].stats.rq_active = 10
    balancer = load_balancer(ClusterSettings("a", "LEAST_REQUEST"), chosen, Random(2))
    counts = Counter(chosen.index(balancer.pick()) for _ in range(1000))  # type: ignore[arg-type]
    assert 650 < counts[1] < 850  # both choices fall on the busy one in a quarter of the cases


def test_least_request_by_weight_and_load() -> None:
    chosen = hosts(1, 3)
    balancer = load_balancer(ClusterSettings("a", "LEAST_REQUEST"), chosen, Random(2))
    counts = Counter(chosen.index(balancer.pick()) for _ in range(400))  # type: ignore[arg-type]
    assert 280 < counts[1] < 320
    chosen[1].stats.rq_active = 2
    counts = Counter(chosen.index(balancer.pick()) for _ in range(400))  # type: ignore[arg-type]
    assert 180 < counts[1] < 220


def test_random_reaches_everybody() -> None:
    chosen = hosts(1, 1, 1)
    balancer = load_balancer(ClusterSettings("a", "RANDOM"), chosen, Random(2))
    counts = Counter(chosen.index(balancer.pick()) for _ in range(3000))  # type: ignore[arg-type]
    assert all(850 < counts[at] < 1150 for at in range(3))
