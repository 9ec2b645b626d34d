"""One host's connections."""

from __future__ import annotations

from random import Random
from typing import Any

from twistproxy.api.codec import ResetReason
from twistproxy.api.upstream import PoolFailure
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.cluster import ClusterSettings, Thresholds
from twistproxy.model.endpoint import Endpoint
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.testing.data_plane import UPSTREAM
from twistproxy.upstream.cluster import Cluster
from twistproxy.upstream.pool.http import HttpPool

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


class Request:
    """Who wants a stream; sends a GET when it has one."""

    def __init__(self, pool: HttpPool) -> None:
        self.pool = pool
        self.encoder: Any = None
        self.failed: tuple[PoolFailure, str] | None = None
        self.status = 0

    def pool_ready(self, encoder: Any, host: Any) -> None:
        self.encoder = encoder
        encoder.encode_headers(RequestHead(b"GET", b"/", b"a", [], {}), True)

    def pool_failed(self, failure: PoolFailure, detail: str) -> None:
        self.failed = (failure, detail)

    def decode_1xx(self, head: ResponseHead) -> None: ...

    def decode_headers(self, head: ResponseHead, end_stream: bool) -> None:
        self.status = head.status

    def decode_data(self, data: bytes, end_stream: bool) -> None: ...

    def on_reset(self, reason: ResetReason, detail: str) -> None:
        self.failed = (PoolFailure.CONNECT_FAILURE, reason.name)
        self.pool.stream_gone()


class Bed:
    def __init__(self, **settings: Any) -> None:
        self.clock = FakeClock()
        self.connector = FakeConnector(self.clock)
        self.deadlines = Deadlines(self.clock.monotonic, self.clock.call_later)
        self.cluster = Cluster(
            ClusterSettings("app", endpoints=(Endpoint(UPSTREAM),), **settings),
            self.clock,
            self.connector,
            self.deadlines,
            Random(1),
        )
        (self.host,) = self.cluster.hosts.values()
        self.pool = self.cluster.pool(self.host, False)

    def ask(self) -> Request:
        request = Request(self.pool)
        self.pool.new_stream(request)
        return request

    def finish(self) -> None:
        for connection in self.connector.connections:
            connection.end()
        self.clock.advance(0)
        limits, stats = self.pool.limits, self.cluster.stats
        assert (limits.connections, limits.pending, limits.requests) == (0, 0, 0)
        assert (stats.upstream_cx_active, stats.upstream_rq_active, stats.upstream_rq_pending_active) == (
            0,
            0,
            0,
        )
        assert (self.host.stats.cx_active, self.host.stats.rq_active) == (0, 0)


def test_the_connection_used_last_is_taken_first() -> None:
    bed = Bed()
    requests = [bed.ask() for _ in range(3)]
    bed.clock.advance()
    first, second, third = bed.connector.connections
    for connection in (second, first, third):
        connection.receive(OK)
    assert [request.status for request in requests] == [200, 200, 200]
    assert [bed.ask().encoder.transport for _ in range(3)] == [third, first, second]
    for connection in bed.connector.connections:
        connection.receive(OK)
    bed.finish()


def test_a_waiting_request_takes_the_first_free_connection() -> None:
    bed = Bed(default_thresholds=Thresholds(max_connections=1))
    bed.ask()
    bed.clock.advance()
    waiting = [bed.ask() for _ in range(3)]
    bed.clock.advance()
    (connection,) = bed.connector.connections
    for request in waiting:
        assert request.encoder is None
        connection.receive(OK)
        assert request.encoder is not None
    connection.receive(OK)
    assert len(bed.connector.attempts) == 1
    bed.finish()


def test_waiting_requests_get_a_new_connection_when_the_only_one_is_lost() -> None:
    bed = Bed(default_thresholds=Thresholds(max_connections=1))
    first = bed.ask()
    bed.clock.advance()
    second = bed.ask()
    bed.connector.connections[0].lose()
    assert first.failed is not None
    bed.clock.advance()
    assert second.encoder is not None
    bed.finish()


def test_overflows() -> None:
    bed = Bed(default_thresholds=Thresholds(max_pending_requests=1, max_requests=1))
    served, refused = bed.ask(), bed.ask()
    assert refused.failed == (PoolFailure.OVERFLOW, "")
    bed.clock.advance()
    waiting = bed.ask()
    bed.clock.advance()
    assert served.encoder is not None
    assert waiting.failed == (PoolFailure.OVERFLOW, "")
    bed.connector.connections[0].receive(OK)
    assert bed.ask().encoder is not None
    bed.finish()


def test_a_failed_attempt_fails_all_who_wait() -> None:
    bed = Bed(connect_timeout=3.0)
    bed.connector.hold = True
    requests = [bed.ask() for _ in range(3)]
    attempts = bed.connector.attempts
    assert [attempt.timeout for attempt in attempts] == [3.0] * 3
    attempts[0].fail("refused", False)
    assert all(
        request.failed == (PoolFailure.CONNECT_FAILURE, "delayed connect error: refused")
        for request in requests
    )
    attempts[1].fail("", True)
    bed.connector.connections.append(attempts[2].succeed())
    assert bed.ask().encoder is not None
    assert bed.cluster.stats.upstream_cx_connect_fail == 2
    assert bed.cluster.stats.upstream_cx_connect_timeout == 1
    assert bed.host.stats.cx_connect_fail == 2
    bed.finish()


def test_a_cancelled_request_leaves_its_connection_to_the_next() -> None:
    bed = Bed()
    request = bed.ask()
    bed.pool.cancel(request)
    bed.pool.cancel(request)
    bed.clock.advance()
    assert request.encoder is None
    assert bed.ask().encoder.transport is bed.connector.connections[0]
    assert bed.cluster.stats.upstream_rq_cancelled == 1
    bed.finish()


def test_idle_connections_close_after_their_time() -> None:
    bed = Bed(idle_timeout=10.0)
    bed.ask()
    bed.ask()
    bed.clock.advance()
    first, second = bed.connector.connections
    first.receive(OK)
    bed.clock.advance(4)
    second.receive(OK)
    bed.clock.advance(6.1)
    assert first.closed and not second.closed
    bed.ask()
    bed.clock.advance(20)
    assert not second.closed, "a connection in use is not idle"
    second.receive(OK)
    bed.clock.advance(10.1)
    assert second.closed
    assert bed.cluster.stats.upstream_cx_idle_timeout == 2
    assert len(bed.deadlines) == 0
    bed.finish()


def test_drain_closes_what_is_free_now_and_the_rest_later() -> None:
    bed = Bed()
    bed.ask()
    bed.ask()
    bed.clock.advance()
    free, busy = bed.connector.connections
    free.receive(OK)
    bed.pool.drain()
    bed.clock.advance()
    assert free.closed and not busy.closed
    busy.receive(OK)
    bed.clock.advance()
    assert busy.closed
    bed.finish()


def test_set_endpoints_keeps_hosts_that_stay() -> None:
    bed = Bed()
    bed.ask()
    bed.clock.advance()
    bed.connector.connections[0].receive(OK)
    bed.cluster.set_endpoints((Endpoint(UPSTREAM, weight=5),))
    assert bed.cluster.hosts[UPSTREAM] is bed.host and bed.host.weight == 5
    assert bed.ask().encoder is not None
    bed.cluster.set_endpoints(())
    assert bed.cluster.pick() is None
    bed.connector.connections[0].receive(OK)
    bed.clock.advance()
    assert bed.connector.connections[0].closed
    bed.finish()


def test_all_who_wait_are_told_that_the_cluster_may_have_no_more_requests() -> None:
    """Nothing else would: the host has a free connection, and the requests that are too many are at other hosts."""
    bed = Bed(default_thresholds=Thresholds(max_connections=1, max_requests=1))
    waiting = [bed.ask(), bed.ask()]
    bed.pool.limits.requests += 1  # at another host
    bed.clock.advance()
    assert [one.failed for one in waiting] == [(PoolFailure.OVERFLOW, "")] * 2
    bed.pool.limits.requests -= 1
    assert bed.ask().encoder is not None
    bed.finish()


def test_who_is_told_of_a_failure_may_cancel_another_request() -> None:
    """As a copy of a request is, when there is no connection for that: what is cancelled is not failed as well."""
    bed = Bed()
    first, second = Request(bed.pool), Request(bed.pool)
    first.pool_failed = lambda *args: bed.pool.cancel(second)  # type: ignore[method-assign]
    bed.connector.hold = True
    bed.pool.new_stream(first)
    bed.pool.new_stream(second)
    bed.connector.attempts[0].fail()
    assert second.failed is None
    assert bed.cluster.stats.upstream_rq_cancelled == 1
    bed.connector.attempts[1].fail()
    bed.finish()


def test_bytes_of_a_connection_count_once_and_on_when_its_host_goes() -> None:
    bed = Bed()
    bed.ask()
    bed.clock.advance()
    (connection,) = bed.connector.connections
    connection.receive(OK[:20])

    def counted() -> tuple[int, int]:
        out = Snapshot()
        bed.cluster.collect(out)
        prefix = "cluster.app.upstream_cx_"
        return out.counters[prefix + "rx_bytes_total"], out.counters[prefix + "tx_bytes_total"]

    received, sent = counted()
    assert received == 20
    assert sent > 0
    bed.cluster.set_endpoints(())
    assert counted() == (received, sent)
    connection.receive(OK[20:])
    bed.finish()
    assert counted() == (len(OK), sent)
