"""The service on a memory reactor: which sources run, and what they leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.testing import MemoryReactorClock

from twistproxy.discovery.recall import GRACE
from twistproxy.discovery.service import DiscoveryService
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import (
    DiscoverySource,
    DnsSource,
    DnsTarget,
    EdsFileSource,
    StaticSource,
    V1SdsSource,
)
from twistproxy.model.endpoint import Endpoint

from .fakes import FakeLookup, Log, addresses
from .test_eds_file import assignment


class Reactor(MemoryReactorClock):
    """A memory reactor without descriptors to watch: files are polled."""


@pytest.fixture(autouse=True)
def _no_inotify(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twistproxy.discovery.file_watch._make_inotify", lambda reactor: None)


class World:
    def __init__(self, tmp_path: Path) -> None:
        self.reactor = Reactor()
        self.log = Log()
        self.lookup = FakeLookup()
        self.socket = tmp_path / "discovery.sock"
        self.service = DiscoveryService(
            self.reactor,
            str(self.socket),
            self.log.logger,
            random=lambda: 0.0,
            instance="me",
            make_lookup=lambda source: self.lookup,
        )

    def start(self, *sources: DiscoverySource) -> None:
        self.service.configure(sources)
        self.service.startService()

    def endpoints(self, cluster: str) -> list[str] | None:
        found = self.service.store.get(cluster)
        return None if found is None or not found.resolved else addresses(found.endpoints)


def dns(cluster: str, name: str = "app.test") -> DnsSource:
    return DnsSource(cluster, False, (DnsTarget(name, 80),))


def test_listens_privately_in_place_of_what_a_killed_process_left(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.socket.touch()
    world.start()
    assert not world.socket.exists()
    ((path, factory, _backlog, mode, _pid),) = world.reactor.unixServers
    assert (path, factory, mode) == (str(world.socket), world.service.fanout, 0o600)


def test_sources_start_with_the_service(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.service.configure([dns("a")])
    assert not world.lookup.asked
    world.service.startService()
    world.service.configure([dns("a"), dns("b", "b.test")])
    assert [name for name, _ in world.lookup.asked] == ["app.test", "b.test"]


def test_a_reload_keeps_equal_sources_running(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start(dns("a"), dns("b"))
    world.lookup.answer("10.0.0.1")
    world.lookup.answer("10.0.0.2")
    before = world.service.store.get("a")
    world.service.configure([dns("a")])
    assert world.service.store.get("a") is before
    assert world.endpoints("b") is None
    assert len(world.lookup.asked) == 2
    assert len(world.reactor.getDelayedCalls()) == 1
    assert "cluster.b.update_attempt" not in world.service.snapshot_stats()["counters"]


def test_another_source_of_a_cluster_starts_from_its_endpoints_and_counters(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start(dns("a"))
    world.lookup.answer("10.0.0.1")
    world.service.configure([dns("a", "other.test")])
    assert world.endpoints("a") == ["10.0.0.1:80"]
    world.lookup.answer("10.0.0.2")
    assert world.endpoints("a") == ["10.0.0.2:80"]
    assert world.service.snapshot_stats()["counters"]["cluster.a.update_success"] == 2


def test_an_answer_to_a_replaced_source_is_ignored(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start(dns("a"))
    world.service.configure([dns("a", "other.test")])
    world.lookup.answer("10.0.0.1")
    assert world.endpoints("a") is None


def test_eds_file(tmp_path: Path) -> None:
    path = tmp_path / "eds.yaml"
    path.write_text(assignment(80))
    world = World(tmp_path)
    world.start(EdsFileSource("app", "", str(path)))
    assert world.endpoints("app") == ["127.0.0.1:80"]
    assert world.service.snapshot_stats() == {
        "counters": {
            "cluster.app.assignment_stale": 0,
            "cluster.app.assignment_timeout_received": 0,
            "cluster.app.init_fetch_timeout": 0,
            "cluster.app.update_attempt": 1,
            "cluster.app.update_success": 1,
            "cluster.app.update_failure": 0,
            "cluster.app.update_rejected": 0,
            "cluster.app.update_empty": 0,
            "cluster.app.update_no_rebuild": 0,
        },
        "gauges": {"cluster.app.update_time": 0},
    }


def test_sds_asks_once_its_service_is_resolved(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start(V1SdsSource("app", "app", 10.0, dns("sds", "sds.test"), "sds"))
    assert [name for name, _ in world.lookup.asked] == ["sds.test"]
    assert not world.reactor.tcpClients
    world.lookup.answer("10.0.0.9")
    assert [(host, port) for host, port, *_ in world.reactor.tcpClients] == [("10.0.0.9", 80)]


def test_sds_clusters_share_the_resolution_of_their_service(tmp_path: Path) -> None:
    world = World(tmp_path)
    hosts = dns("sds", "sds.test")
    world.start(hosts, *(V1SdsSource(name, name, 10.0, hosts, "sds") for name in "abc"))
    assert len(world.lookup.asked) == 1
    world.lookup.answer("10.0.0.9")
    assert len(world.reactor.tcpClients) == 3


def test_sds_with_fixed_hosts(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start(V1SdsSource("app", "app", 10.0, (Endpoint(TcpAddress("10.0.0.9", 81)),), "sds"))
    assert [(host, port) for host, port, *_ in world.reactor.tcpClients] == [("10.0.0.9", 81)]


def test_stop_leaves_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start(dns("a"), EdsFileSource("b", "", str(tmp_path / "none")))
    world.lookup.answer("10.0.0.1")
    world.service.stopService()
    assert not world.reactor.getDelayedCalls()


def test_instances_differ(tmp_path: Path) -> None:
    made = {DiscoveryService(Reactor(), str(tmp_path / "s"), Log().logger).fanout.instance for _ in range(2)}
    assert len(made) == 2


def test_endpoints_that_are_fixed_are_published_at_once(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.start(StaticSource("a", (Endpoint(TcpAddress("10.0.0.1", 80)),)))
    assert world.endpoints("a") == ["10.0.0.1:80"]
    world.service.configure([StaticSource("a", (Endpoint(TcpAddress("10.0.0.2", 80)),))])
    assert world.endpoints("a") == ["10.0.0.2:80"]


def test_a_successor_asks_before_its_sources_do(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.service.configure([dns("a")])
    world.service.recall()
    world.service.startService()
    world.service.configure([dns("a"), dns("b", "b.test")])
    assert not world.lookup.asked
    world.reactor.advance(GRACE)
    assert [name for name, _ in world.lookup.asked] == ["app.test", "b.test"]


def test_a_successor_without_clusters_has_nothing_to_ask(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.service.configure([])
    world.service.recall()
    world.service.startService()
    world.service.configure([dns("a")])
    assert [name for name, _ in world.lookup.asked] == ["app.test"]
