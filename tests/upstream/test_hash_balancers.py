"""RING_HASH and MAGLEV against what Envoy chose, and the properties that they are there for."""

from __future__ import annotations

from random import Random

import pytest
import xxhash

from tests.parity.hash_choices import CHOICES
from twistproxy.model.address import TcpAddress
from twistproxy.model.balancing import Balancing, MaglevSettings, RingHashSettings
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.primitives.murmur_hash import murmur_hash
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.upstream.choosers.hashing import HashChooser
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host
from twistproxy.upstream.lb.bounded_load import BoundedLoad
from twistproxy.upstream.lb.maglev import Maglev
from twistproxy.upstream.lb.ring_hash import RingHash

KEYS = [xxhash.xxh64_intdigest(f"key-{number}".encode()) for number in range(200)]


def hosts(*weights: int, count: int = 3) -> list[Host]:
    found = []
    for at in range(count):
        key = f"key-of-{chr(ord('a') + at)}"
        weight = weights[at] if weights else 1
        address = TcpAddress("127.0.0.1", 8000 + at)
        found.append(Host(Endpoint(address, weight, f"host-{chr(ord('a') + at)}", hash_key=key)))
    return found


def letters(balancer: RingHash | Maglev | BoundedLoad, keys: list[int] = KEYS) -> str:
    chosen = [balancer.pick_hash(key, 0) for key in keys]
    return "".join(host.endpoint.hostname[-1] if host else "-" for host in chosen)


@pytest.mark.parametrize(
    ("name", "settings", "weights"),
    [
        ("ring", RingHashSettings(), ()),
        ("ring-murmur", RingHashSettings(murmur=True), ()),
        ("ring-small", RingHashSettings(3, 8), ()),
        ("ring-weighted", RingHashSettings(), (1, 2, 5)),
    ],
)
def test_ring_as_envoys(name: str, settings: RingHashSettings, weights: tuple[int, ...]) -> None:
    assert letters(RingHash(hosts(*weights), settings)) == CHOICES[name]


@pytest.mark.parametrize(
    ("name", "settings", "weights"),
    [
        ("maglev", MaglevSettings(), ()),
        ("maglev-small", MaglevSettings(11), ()),
        ("maglev-weighted", MaglevSettings(), (1, 2, 5)),
    ],
)
def test_table_as_envoys(name: str, settings: MaglevSettings, weights: tuple[int, ...]) -> None:
    assert letters(Maglev(hosts(*weights), settings)) == CHOICES[name]


def test_the_order_of_hosts_does_not_matter_to_maglev() -> None:
    assert letters(Maglev(hosts()[::-1], MaglevSettings())) == CHOICES["maglev"]


@pytest.mark.parametrize(("data", "value"), [(b"foo", 9631199822919835226), (b"bar", 11474628671133349555)])
def test_murmur_hash(data: bytes, value: int) -> None:
    """Values of Envoy's own test (test/common/common/hash_test.cc); rings have longer keys."""
    assert murmur_hash(data) == value


def test_without_hosts() -> None:
    assert RingHash([], RingHashSettings()).pick_hash(5, 0) is None
    assert Maglev([], MaglevSettings()).pick_hash(5, 0) is None
    assert RingHash([], RingHashSettings()).sizes == (0, 0, 0)
    assert Maglev([], MaglevSettings()).sizes == (0, 0)


@pytest.mark.parametrize("kind", ["ring", "maglev"])
def test_most_keys_stay_when_a_host_goes(kind: str) -> None:
    def table(count: int) -> RingHash | Maglev:
        some = hosts(count=count)
        if kind == "ring":
            return RingHash(some, RingHashSettings())
        return Maglev(some, MaglevSettings())

    before, after = letters(table(10)), letters(table(9))
    moved = [old for old, new in zip(before, after) if old != new]
    assert moved.count("j") >= 10
    assert len(moved) - moved.count("j") <= 20


def test_further_attempts_go_elsewhere() -> None:
    for balancer in (
        RingHash(hosts(), RingHashSettings()),
        Maglev(hosts(), MaglevSettings()),
    ):
        for key in KEYS[:20]:
            assert len({balancer.pick_hash(key, attempt) for attempt in range(20)}) > 1


def test_a_loaded_host_passes_on() -> None:
    some = hosts()
    active = [0]
    bounded = BoundedLoad(RingHash(some, RingHashSettings()), some, [1 / 3] * 3, 120, lambda: active[0])
    key = KEYS[1]
    found = ""
    for _ in range(9):
        host = bounded.pick_hash(key, 0)
        assert host is not None
        host.stats.rq_active += 1
        active[0] += 1
        found += host.endpoint.hostname[-1]
    assert found == "aaaccacac"  # as Envoy


def test_all_loaded_hosts() -> None:
    """The one with the least to do."""
    some = hosts()
    for host, active in zip(some, (9, 5, 7)):
        host.stats.rq_active = active
    bounded = BoundedLoad(RingHash(some, RingHashSettings()), some, [1 / 3] * 3, 100, lambda: 0)
    assert {bounded.pick_hash(key, 0) for key in KEYS} == {some[1]}


def cluster(*endpoints: Endpoint) -> Cluster:
    settings = ClusterSettings("a", Balancing("RING_HASH", hashing=RingHashSettings()), endpoints=endpoints)
    clock = FakeClock()
    timeouts = Deadlines(clock.monotonic, clock.call_later)
    return Cluster(settings, clock, FakeConnector(clock), timeouts, Random(1))


def chooser_of(hashing: Cluster) -> HashChooser:
    assert isinstance(hashing.chooser, HashChooser)
    return hashing.chooser


def test_priorities_share_by_the_hash() -> None:
    """A key has the same host each time, also where a second priority has a share."""
    addresses = [TcpAddress("127.0.0.1", port) for port in range(1, 7)]
    health = ["HEALTHY", "UNHEALTHY", "UNHEALTHY", "HEALTHY", "HEALTHY", "HEALTHY"]
    split = cluster(
        *(Endpoint(a, health=h, priority=at // 3) for at, (a, h) in enumerate(zip(addresses, health)))
    )
    first = [chooser_of(split).pick_hash(key, 0) for key in KEYS]
    assert first == [chooser_of(split).pick_hash(key, 0) for key in KEYS]
    shares = [sum(host is not None and host.endpoint.priority == each for host in first) for each in (0, 1)]
    assert 60 < shares[0] < 120
    assert sum(shares) == 200


def test_a_cluster_picks_without_a_hash() -> None:
    two = cluster(Endpoint(TcpAddress("127.0.0.1", 1)), Endpoint(TcpAddress("127.0.0.1", 2)))
    assert len({two.pick() for _ in range(50)}) == 2
    assert cluster().pick() is None
    assert chooser_of(cluster()).pick_hash(5, 0) is None
