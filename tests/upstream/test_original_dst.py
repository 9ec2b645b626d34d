"""Hosts of ORIGINAL_DST clusters in one worker: when they are made, told of, adopted and forgotten."""

from __future__ import annotations

from typing import Any

from twistproxy.filters.balancer_context import RequestContext
from twistproxy.model.address import OriginalDestination, TcpAddress
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.original_dst import OriginalDstSettings
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.data_plane import LOCAL
from twistproxy.testing.requests import request_context
from twistproxy.upstream.choosers.base import HostsUpdate
from twistproxy.upstream.choosers.original_dst import OriginalDstChooser
from twistproxy.upstream.host import Host


def going(header: str = "", metadata: Any = None, connection: str = "") -> RequestContext:
    """A request with a header, metadata and a connection, as far as they are given."""
    local = OriginalDestination(connection, 80) if connection else LOCAL
    return request_context({"x-to": header} if header else {}, metadata, local)


class World:
    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.told: list[list[str]] = []
        self.stats = ClusterStats()
        found = OriginalDstSettings("x-to", **settings)
        self.chooser = OriginalDstChooser("app", found, self.stats, self.clock, self._tell)

    def _tell(self, addresses: list[TcpAddress]) -> None:
        self.told.append(sorted(map(str, addresses)))

    def choose(self, *args: Any, **fields: Any) -> Host | None:
        return self.chooser.choose(going(*args, **fields))

    def known(self, *hosts: Host) -> None:
        """The discovery process tells of these."""
        added = [self.chooser.adopt(host.endpoint) or Host(host.endpoint) for host in hosts]
        assert added == list(hosts)
        self.chooser.update(HostsUpdate(added, added))


def test_a_host_is_made_once_and_told_of_once() -> None:
    world = World()
    first = world.choose("1.2.3.4:80")
    assert first is not None
    assert first.endpoint == Endpoint(TcpAddress("1.2.3.4", 80), hostname="app1.2.3.4:80")
    assert world.choose("1.2.3.4:80") is first
    assert world.told == [["1.2.3.4:80"]]
    world.known(first)
    assert world.choose("1.2.3.4:80") is first
    assert world.told == [["1.2.3.4:80"]]


def test_what_is_in_use_is_told_in_each_interval() -> None:
    world = World(cleanup_interval=5.0)
    used, held = world.choose("1.2.3.4:80"), world.choose("1.2.3.4:81")
    assert used is not None and held is not None
    world.known(used, held)
    held.stats.cx_active = 1
    world.told.clear()
    world.clock.advance(5.0)
    assert world.told == [["1.2.3.4:80", "1.2.3.4:81"]]
    world.clock.advance(5.0)
    assert world.told[1:] == [["1.2.3.4:81"]]
    held.stats.cx_active = 0
    world.clock.advance(20.0)
    assert len(world.told) == 2


def test_a_host_that_nobody_told_of_is_forgotten() -> None:
    """The discovery process was not there, or knows better."""
    world = World(cleanup_interval=5.0)
    first = world.choose("1.2.3.4:80")
    world.clock.advance(5.0)
    world.clock.advance(5.0)
    assert world.choose("1.2.3.4:80") is not first
    assert world.told == [["1.2.3.4:80"]] * 3


def test_a_host_that_is_gone_is_made_anew() -> None:
    world = World()
    first = world.choose("1.2.3.4:80")
    assert first is not None
    world.known(first)
    world.chooser.update(HostsUpdate((), removed=[first]))
    assert world.choose("1.2.3.4:80") is not first


def test_metadata_goes_before_the_header_and_that_before_the_connection() -> None:
    world = World(metadata=("dst", "host"))
    found = [
        world.choose("1.1.1.1:1", {"dst": {"host": "2.2.2.2:2"}}, "3.3.3.3"),
        world.choose("1.1.1.1:1", {"dst": {"host": ["2.2.2.2:2", "no"]}}, "3.3.3.3"),
        world.choose("1.1.1.1:1", {"dst": {"host": 5}}, "3.3.3.3"),
        world.choose("1.1.1.1:1", {"dst": "host"}, "3.3.3.3"),
        world.choose("nonsense", {"dst": {"host": "no"}}, "3.3.3.3"),
        world.choose("", None, "3.3.3.3"),
        world.choose("", {"dst": {}}),
    ]
    assert [host and host.address_text for host in found] == [
        "2.2.2.2:2",
        "2.2.2.2:2",
        "1.1.1.1:1",
        "1.1.1.1:1",
        "3.3.3.3:80",
        "3.3.3.3:80",
        None,
    ]
    assert world.stats.original_dst_host_invalid == 2
    assert world.chooser.pick() is None


def test_another_port() -> None:
    world = World(port=8080)
    host = world.choose("1.2.3.4:80")
    assert host is not None and host.address_text == "1.2.3.4:8080"


def test_after_the_cluster_has_gone_nothing_is_told() -> None:
    world = World()
    world.choose("1.2.3.4:80")
    world.chooser.drain()
    world.clock.advance(60.0)
    assert len(world.told) == 1
