"""Hosts that workers have met."""

from __future__ import annotations

from twisted.internet.task import Clock

from twistproxy.discovery.original_dst import OriginalDstHosts
from twistproxy.discovery.snapshot import EndpointStore
from twistproxy.discovery.source import ClusterUpdates
from twistproxy.model.address import TcpAddress
from twistproxy.model.discovery import OriginalDstSource

A, B = TcpAddress("1.2.3.4", 80), TcpAddress("1.2.3.5", 80)


class World:
    def __init__(self) -> None:
        self.clock = Clock()
        self.changes = 0
        self.store = EndpointStore(self._changed)
        self.store.declare("app")
        source = OriginalDstSource("app", 10.0)
        self.hosts = OriginalDstHosts(self.clock, source, ClusterUpdates(self.store, "app"))
        self.hosts.start()

    def _changed(self, *_: object) -> None:
        self.changes += 1

    @property
    def known(self) -> list[str]:
        found = self.store.get("app")
        assert found is not None and found.resolved
        return [endpoint.hostname for endpoint in found.endpoints]


def test_hosts_come_as_they_are_met() -> None:
    world = World()
    assert world.known == []
    before = world.changes
    world.hosts.used([A])
    world.hosts.used([A, B])
    world.hosts.used([B])
    assert world.known == ["app1.2.3.4:80", "app1.2.3.5:80"]
    assert world.changes == before + 2


def test_hosts_go_when_nobody_has_them_in_use() -> None:
    world = World()
    world.hosts.used([A, B])
    world.clock.advance(10.0)
    world.hosts.used([B])
    world.clock.advance(10.0)
    assert world.known == ["app1.2.3.5:80"]
    world.clock.advance(10.0)
    world.clock.advance(10.0)
    assert world.known == []
    assert world.clock.getDelayedCalls() == []


def test_hosts_of_an_earlier_process_stay_until_all_workers_can_have_told_of_them() -> None:
    world = World()
    world.hosts.used([A])
    world.clock.advance(10.0)
    assert not world.store.complete("app")
    world.hosts.used([B])
    world.clock.advance(5.0)
    assert world.store.complete("app")
    assert world.known == ["app1.2.3.4:80", "app1.2.3.5:80"]


def test_a_source_that_is_stopped_has_no_timer() -> None:
    world = World()
    world.hosts.used([A])
    assert world.clock.getDelayedCalls()
    world.hosts.stop()
    assert world.clock.getDelayedCalls() == []
