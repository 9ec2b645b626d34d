"""Pools that want more than connections as usual."""

from __future__ import annotations

import types
from random import Random
from typing import Any

import pytest

from twistproxy.api.codec import ResetReason
from twistproxy.api.upstream import PoolFailure
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.address import Address, PipeAddress, TcpAddress
from twistproxy.model.cluster import ClusterSettings, ProxyProtocol, Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.sockets import LocalAddress, UpstreamSockets, ways_to
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.host import Host
from twistproxy.upstream.pool.http import HttpPool
from twistproxy.upstream.pool.special import SpecialPool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
FIRST = TcpAddress("1.2.3.4", 80)
SECOND = TcpAddress("1.2.3.5", 80)
SIX = TcpAddress("::1", 80)


class Request:
    """Who wants a stream; sends a GET when it has one."""

    def __init__(self, pool: HttpPool) -> None:
        self.pool = pool
        self.encoder: Any = None
        self.failed: tuple[PoolFailure, str] | None = None

    def pool_ready(self, encoder: Any, host: Any) -> None:
        self.encoder = encoder
        encoder.encode_headers(RequestHead(b"GET", b"/", b"a", [], {}), True)

    def pool_failed(self, failure: PoolFailure, detail: str) -> None:
        self.failed = (failure, detail)

    def decode_1xx(self, head: ResponseHead) -> None: ...

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None: ...

    def decode_data(self, data: bytes, end_stream: bool) -> None: ...

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        self.pool.stream_gone()


def client(number: int, port: int) -> Any:
    return types.SimpleNamespace(number=number, remote_text=f"9.9.9.9:{port}", local_text="8.8.8.8:80")


class Bed:
    """A cluster in memory."""

    def __init__(self, *addresses: Address, endpoint: Endpoint | None = None, **settings: Any) -> None:
        self.clock = FakeClock()
        self.connector = FakeConnector(self.clock)
        endpoints = tuple(Endpoint(each) for each in addresses or (FIRST,))
        self.cluster = Cluster(
            ClusterSettings("app", endpoints=(endpoint,) if endpoint else endpoints, **settings),
            self.clock,
            self.connector,
            Deadlines(self.clock.monotonic, self.clock.call_later),
            Random(1),
        )
        self.hosts = list(self.cluster.hosts.values())

    def pool(self, host: Host | None = None, downstream: Any = None) -> HttpPool:
        pool = self.cluster.pool(host or self.hosts[0], False, downstream)
        assert pool is not None
        return pool

    def ask(self, host: Host | None = None, downstream: Any = None) -> Request:
        pool = self.pool(host, downstream)
        request = Request(pool)
        pool.new_stream(request)
        return request

    def finish(self) -> None:
        """Nothing is left once all connections have ended."""
        for attempt in self.connector.attempts:
            if not attempt.over:
                attempt.fail()
        for connection in self.connector.connections:
            connection.end()
        self.clock.advance(0)
        limits, stats = self.cluster.limits[0], self.cluster.stats
        assert (limits.connections, limits.pending, limits.requests, limits.pools) == (0, 0, 0, 0)
        assert (stats.upstream_cx_active, stats.upstream_rq_active, stats.upstream_rq_pending_active) == (
            0,
            0,
            0,
        )
        assert not any(host.keyed_pools for host in self.hosts)


def test_a_cluster_that_wants_nothing_special_has_a_pool_of_the_usual_kind() -> None:
    assert type(Bed().pool()) is HttpPool
    assert type(Bed(preconnect_ratio=1.5).pool()) is SpecialPool
    assert type(Bed(endpoint=Endpoint(FIRST, additional=(SIX,))).pool()) is SpecialPool


@pytest.mark.parametrize(
    ("addresses", "sockets", "order"),
    [
        ("4a", {}, "4a"),
        ("4a 4b 6a 6b 6c", {}, "4a 6a 4b 6b 6c"),
        ("6a 4a 4b", {}, "6a 4a 4b"),
        ("4a 4b 6a", {"first_family": 6}, "6a 4a 4b"),
        ("4a 4b", {"first_family": 6}, "4a 4b"),
        ("4a 4b 4c 4d 6a 6b", {"first_count": 2}, "4a 4b 6a 4c 4d 6b"),
    ],
)
def test_families_alternate(addresses: str, sockets: dict[str, Any], order: str) -> None:
    def named(name: str) -> Address:
        return TcpAddress("::" + name[1] if name[0] == "6" else "1.1.1." + str(ord(name[1])), 80)

    ways = ways_to(tuple(map(named, addresses.split())), UpstreamSockets(**sockets))
    assert [way.address for way in ways] == [named(name) for name in order.split()]


def test_an_address_has_the_source_of_its_family() -> None:
    four, six = LocalAddress(TcpAddress("1.1.1.1", 0)), LocalAddress(TcpAddress("::2", 0))
    sockets = UpstreamSockets((six, four))
    found = [way.source for way in ways_to((FIRST, SIX), sockets)]
    assert found == [four, six]
    assert ways_to((PipeAddress("/a"),), sockets)[0].source == six
    assert ways_to((SIX,), UpstreamSockets((four,)))[0].source == four


def test_connections_are_made_ahead_and_replaced_when_they_fail() -> None:
    bed = Bed(preconnect_ratio=2.0)
    bed.connector.hold = True
    request = bed.ask()
    first, second = bed.connector.attempts
    bed.connector.connections.append(first.succeed())
    assert request.encoder is not None
    second.fail()
    assert len(bed.connector.attempts) == 3, (
        "there is a request still, and it shall have another connection beside it"
    )
    assert bed.cluster.stats.upstream_cx_connect_fail == 1
    bed.connector.hold = False
    bed.hosts[0].healthy = False
    bed.ask()
    assert len(bed.connector.attempts) == 3, "hosts that are not healthy get no more than they need"
    bed.hosts[0].cluster = None
    bed.connector.attempts[2].over = False
    bed.cluster.drain()
    bed.finish()


def test_what_is_known_ahead_is_what_comes() -> None:
    bed = Bed(FIRST, SECOND, predictive_preconnect_ratio=2.0)
    host = bed.cluster.pick()
    assert host is not None
    bed.ask(host)
    ahead = [attempt.address for attempt in bed.connector.attempts[:2]]
    assert len(bed.connector.attempts) == 3 - (host.address in ahead)
    following = [bed.cluster.pick(), bed.cluster.pick()]
    assert [one.address for one in following if one is not None] == ahead
    bed.clock.advance(0)
    bed.finish()


def test_each_client_has_a_pool_of_its_own() -> None:
    bed = Bed(pool_per_downstream_connection=True)
    one, other = client(1, 1), client(2, 2)
    assert bed.pool(downstream=one) is bed.pool(downstream=one)
    bed.ask(downstream=one)
    bed.ask(downstream=other)
    assert bed.pool(downstream=one) is not bed.pool(downstream=other)
    assert bed.hosts[0].count_pools(0) == 2
    bed.clock.advance(0)
    bed.connector.connections[0].receive(OK)
    assert bed.ask(downstream=one).encoder.transport is bed.connector.connections[0]
    bed.finish()


def test_a_refused_request_leaves_no_pool_behind() -> None:
    bed = Bed(pool_per_downstream_connection=True, default_thresholds=Thresholds(max_pending_requests=0))
    assert bed.ask(downstream=client(1, 1)).failed == (PoolFailure.OVERFLOW, "")
    assert not bed.hosts[0].keyed_pools
    bed.finish()


def test_an_unused_pool_of_the_host_makes_room() -> None:
    limits = Thresholds(max_connection_pools=1)
    bed = Bed(FIRST, SECOND, pool_per_downstream_connection=True, default_thresholds=limits)
    bed.ask(downstream=client(1, 1))
    bed.clock.advance(0)
    assert bed.cluster.pool(bed.hosts[0], False, client(2, 2)) is None, "the only one is in use"
    bed.connector.connections[0].receive(OK)
    assert bed.cluster.pool(bed.hosts[1], False, client(2, 2)) is None, "it is another host's"
    assert bed.cluster.stats.upstream_cx_pool_overflow == 2
    assert bed.ask(downstream=client(2, 2)).failed is None
    bed.clock.advance(0)
    assert bed.connector.connections[0].closed
    assert bed.cluster.limits[0].pools == 1
    bed.finish()


def test_pools_of_a_host_that_is_gone_count_until_they_are_empty() -> None:
    limits = Thresholds(max_connection_pools=3)
    bed = Bed(FIRST, default_thresholds=limits)
    bed.ask()
    bed.clock.advance(0)
    bed.cluster.set_endpoints((Endpoint(SECOND),))
    assert bed.cluster.limits[0].pools == 1
    bed.connector.connections[0].receive(OK)
    bed.clock.advance(0)
    assert bed.cluster.limits[0].pools == 0
    bed.finish()


@pytest.mark.parametrize("version", ["V1", "V2"])
def test_the_header_comes_before_the_first_request(version: str) -> None:
    bed = Bed(proxy_protocol=ProxyProtocol(version, b"\xe1\0\1x"))
    bed.ask(downstream=client(1, 7))
    bed.clock.advance(0)
    (connection,) = bed.connector.connections
    sent = connection.take()
    header, _, request = sent.partition(b"GET / ")
    assert request
    if version == "V1":
        assert header == b"PROXY TCP4 9.9.9.9 8.8.8.8 7 80\r\n"
    else:
        assert header.startswith(b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\t\t\t\t\x08\x08\x08\x08\0\7\0\x50")
        assert header.endswith(b"\xe1\0\1x")
    connection.receive(OK)
    assert bed.ask(downstream=client(2, 7)).encoder is not None, (
        "whoever has the same addresses may have it, too"
    )
    assert connection.take().startswith(b"GET / ")
    connection.receive(OK)
    assert bed.ask(downstream=client(2, 8)).encoder is None
    bed.clock.advance(0)
    bed.finish()


def test_a_host_has_so_many_connections() -> None:
    limits = Thresholds(max_connections_per_host=1)
    bed = Bed(FIRST, SECOND, default_thresholds=limits)
    first, second = bed.hosts
    requests = [bed.ask(first), bed.ask(first), bed.ask(second)]
    bed.clock.advance(0)
    assert [request.encoder is not None for request in requests] == [True, False, True]
    # Asked for by the second request, and again when the first had its connection and the second had none.
    assert bed.cluster.stats.upstream_cx_overflow == 2
    bed.connector.connections[0].receive(OK)
    assert requests[1].encoder is not None
    bed.finish()


def test_how_it_dials_and_what_becomes_of_it() -> None:
    bed = Bed(endpoint=Endpoint(FIRST, additional=(SIX,)), connect_timeout=2.0)
    bed.connector.hold = True
    requests = [bed.ask() for _ in range(4)]
    attempts = bed.connector.attempts
    assert [way.address for way in attempts[0].ways] == [FIRST, SIX]
    assert attempts[0].timeout == 2.0
    attempts[0].try_another()
    assert (bed.cluster.stats.upstream_cx_total, bed.cluster.stats.upstream_cx_active) == (5, 4)
    attempts[0].fail_dialling("failed to bind", local=True, binding=True)
    assert [request.failed for request in requests] == [(PoolFailure.LOCAL_FAILURE, "failed to bind")] * 4
    assert bed.cluster.stats.bind_errors == 1
    assert bed.cluster.stats.upstream_cx_destroy_local == 1
    last = bed.ask()
    attempts[1].fail_dialling("delayed connect error: Connection refused")
    assert last.failed == (PoolFailure.CONNECT_FAILURE, "delayed connect error: Connection refused")
    assert bed.cluster.stats.upstream_cx_destroy_remote == 1
    attempts[2].fail("", True)
    assert bed.cluster.stats.upstream_cx_connect_timeout == 1
    bed.finish()


def test_other_addresses_are_another_way_there() -> None:
    bed = Bed(FIRST)
    bed.ask()
    bed.clock.advance(0)
    bed.connector.connections[0].receive(OK)
    bed.cluster.set_endpoints((Endpoint(FIRST, additional=(SIX,)),))
    bed.ask()
    assert [way.address for way in bed.connector.attempts[-1].ways] == [FIRST, SIX]
    bed.clock.advance(0)
    assert bed.connector.connections[0].closed
    bed.finish()
