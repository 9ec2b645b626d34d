"""Connections to one host at one priority, kept and reused (Envoy: arch_overview/upstream/connection_pooling).

HTTP/1 carries one stream a connection.  A request takes a free connection, the last one used first, or waits while one
is opened for it.
"""

from __future__ import annotations

from collections import deque

from twistproxy.api.clock import Clock
from twistproxy.api.filter_state import FilterState
from twistproxy.api.transport import Connector, Transport, TransportHandler
from twistproxy.api.upstream import PoolCallbacks, PoolFailure
from twistproxy.codec.h1_client import Http1ClientConnection
from twistproxy.codec.h1_extended import ExtendedClientConnection
from twistproxy.model.address import PipeAddress
from twistproxy.model.cluster import ClusterSettings
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.upstream.host import Host
from twistproxy.upstream.resource_limits import ResourceLimits

_FOREVER = float("inf")


class HttpPool:
    """`new_stream(request)` calls `request.pool_ready` or `pool_failed`, at once or later."""

    __slots__ = (
        "_clock",
        "_connecting",
        "_connector",
        "_draining",
        "_failing",
        "_idle",
        "_idle_timeout",
        "_limited",
        "_open",
        "_pending",
        "_settings",
        "_timeouts",
        "_told",
        "deadline",
        "host",
        "known",
        "limits",
        "speaks_http",
        "stats",
    )

    def __init__(
        self,
        host: Host,
        settings: ClusterSettings,
        stats: ClusterStats,
        limits: ResourceLimits,
        clock: Clock,
        connector: Connector,
        timeouts: Deadlines,
    ) -> None:
        self.host = host
        self.stats = stats
        self.limits = limits
        self.deadline = 0.0
        self.speaks_http = True
        self.known: FilterState | None = None  # of the request that it was made for, as far as it is shared
        self._settings = settings
        self._idle_timeout = settings.idle_timeout or 0.0
        self._clock = clock
        self._connector = connector
        self._timeouts = timeouts
        self._idle: list[Http1ClientConnection] = []
        self._open: set[Http1ClientConnection] = set()
        self._connecting: set[Connecting] = set()
        self._pending: deque[PoolCallbacks] = deque()
        self._failing = self._pending  # those of a failure that have not been told yet
        self._draining = False
        #: of its open connections, the bytes that statistics have already (`drain`)
        self._told: dict[Http1ClientConnection, tuple[int, int]] = {}
        self._limited = bool(settings.max_requests_per_connection or settings.max_connection_duration)

    # ---- streams

    def new_stream(self, request: PoolCallbacks) -> None:
        limits = self.limits
        if self._idle:
            if limits.requests_full():
                self._too_many_requests(request)
            else:
                self._attach(self._idle.pop(), request)
            return
        self._wait(request)

    def new_stream_elsewhere(self, request: PoolCallbacks) -> None:
        """As `new_stream`, but not on a connection that has been idle, which may be about to end as the one did that
        the request was on: its place goes to a new one as soon as it is gone."""
        self._wait(request)

    def _wait(self, request: PoolCallbacks) -> None:
        limits, stats = self.limits, self.stats
        if limits.pending_full():
            stats.upstream_rq_pending_overflow += 1
            request.pool_failed(PoolFailure.OVERFLOW, "")
            return
        limits.count_pending(1)
        stats.upstream_rq_pending_total += 1
        stats.upstream_rq_pending_active += 1
        self.host.stats.rq_pending_active += 1
        self._pending.append(request)
        self._grow()

    def _grow(self) -> None:
        """There may be more requests that wait than connections that are being made."""
        if len(self._connecting) < len(self._pending):
            self._connect()

    def cancel(self, request: PoolCallbacks) -> None:
        """A request that waits is wanted no more."""
        waiting = self._pending
        if request not in waiting:
            waiting = self._failing
            if request not in waiting:
                return
        waiting.remove(request)
        self._no_longer_pending()
        self.stats.upstream_rq_cancelled += 1

    def _too_many_requests(self, request: PoolCallbacks) -> None:
        self.stats.upstream_rq_active_overflow += 1
        request.pool_failed(PoolFailure.OVERFLOW, "")

    def _no_longer_pending(self) -> None:
        self.limits.count_pending(-1)
        self.stats.upstream_rq_pending_active -= 1
        self.host.stats.rq_pending_active -= 1

    def _attach(self, connection: Http1ClientConnection, request: PoolCallbacks) -> None:
        self.limits.count_requests(1)
        stats = self.stats
        stats.upstream_rq_total += 1
        stats.upstream_rq_active += 1
        self.host.stats.rq_total += 1
        self.host.begin_request()
        connection.new_stream(request)  # type: ignore[arg-type]  # who waits for a stream decodes its response
        request.pool_ready(connection, self.host)

    def stream_done(self, connection: Http1ClientConnection, reusable: bool) -> None:
        """From the codec: the stream is over, the connection is still there."""
        self.stream_gone()
        if reusable:
            if not self._draining and not (self._limited and self._is_worn_out(connection)):
                if self._pending:
                    connection.attached_at = self._clock.monotonic()
                    self._serve_pending(connection)
                else:
                    self._keep(connection)
                return
        elif connection.said_close:
            self.stats.upstream_cx_close_notify += 1
        connection.close()

    def _is_worn_out(self, connection: Http1ClientConnection) -> bool:
        """Whether it carried as many requests, or is as old, as it may."""
        most, age = self._settings.max_requests_per_connection, self._settings.max_connection_duration
        if most and connection.streams >= most:
            self.stats.upstream_cx_max_requests += 1
            return True
        if age and self._clock.monotonic() >= connection.opened_at + age:
            self.stats.upstream_cx_max_duration_reached += 1
            return True
        return False

    def stream_gone(self) -> None:
        """Also from the request: its stream was reset, by itself or by the other side, and with it an HTTP/1
        connection."""
        self.limits.count_requests(-1)
        self.stats.upstream_rq_active -= 1
        self.host.end_request()

    def _serve_pending(self, connection: Http1ClientConnection) -> None:
        """Give a free connection to the first request that waits.  Where the cluster may have no more requests, none of
        them can have it; they must not wait, since nothing may come that would wake them."""
        limits, pending = self.limits, self._pending
        while pending:
            request = pending.popleft()
            self._no_longer_pending()
            if not limits.requests_full():
                self._attach(connection, request)
                if pending:
                    self._grow()
                return
            self._too_many_requests(request)
        if self._draining:
            connection.close()
        else:
            self._keep(connection)

    # ---- connections

    def _keep(self, connection: Http1ClientConnection) -> None:
        self._idle.append(connection)
        idle_timeout = self._idle_timeout
        if idle_timeout:
            connection.used_at = now = self._clock.monotonic()
            if not self.deadline:
                self.deadline = now + idle_timeout
                self._timeouts.add(self)
        if self._limited:
            self._watch_age(connection)

    def _watch_age(self, connection: Http1ClientConnection) -> None:
        age = self._settings.max_connection_duration
        if age and not (self.deadline and self.deadline <= connection.opened_at + age):
            self.deadline = connection.opened_at + age
            self._timeouts.add(self)

    def on_deadline(self, now: float) -> None:
        """Close what was not used for `idle_timeout`, the longest unused are first in the list, or is too old."""
        idle_timeout = self._idle_timeout or _FOREVER
        idle = self._idle
        while idle and idle[0].used_at + idle_timeout <= now:
            self.stats.upstream_cx_idle_timeout += 1
            idle.pop(0).close()
        self.deadline = idle[0].used_at + idle_timeout if idle else _FOREVER
        age = self._settings.max_connection_duration
        if age:
            for connection in [one for one in idle if one.opened_at + age <= now]:
                self.stats.upstream_cx_max_duration_reached += 1
                idle.remove(connection)
                connection.close()
            self.deadline = min([self.deadline, *[one.opened_at + age for one in idle]])
        if not idle or self.deadline == _FOREVER:
            self.deadline = 0.0
            self._timeouts.discard(self)

    def _may_connect(self) -> bool:
        """Whether the circuit breaker lets one more connection be."""
        return not self.limits.connections_full()

    def _connect(self) -> bool:
        """Make one more connection, if that may be.  Whether one more might be after it."""
        may = self._may_connect()
        stats = self.stats
        if not may:
            stats.upstream_cx_overflow += 1
            if self._open or self._connecting:
                return False  # one of those will serve the request
        self.limits.count_connections(1)
        stats.upstream_cx_total += 1
        if self.speaks_http:
            stats.upstream_cx_http1_total += 1
        stats.upstream_cx_active += 1
        host_stats = self.host.stats
        host_stats.cx_total += 1
        host_stats.cx_active += 1
        self._connecting.add(self._begin(self._clock.monotonic()))
        return may

    def _begin(self, now: float) -> Connecting:
        """Begin an attempt to connect."""
        attempt = Connecting(self, now)
        self._connector.connect(self.host.address, self._settings.connect_timeout, attempt)
        return attempt

    def connected(self, attempt: Connecting, transport: Transport) -> TransportHandler:
        now = self._clock.monotonic()
        self._connecting.discard(attempt)
        self.stats.connect_ms.record(int((now - attempt.started) * 1000))
        connection = self.connection(transport, now)
        connection.connect_started = attempt.started
        self._open.add(connection)
        if self._settings.buffer_limit is not None:
            transport.bufferSize = self._settings.buffer_limit
        transport.registerProducer(connection, True)
        if self._pending:
            self._serve_pending(connection)
        elif self._draining:
            connection.close()
        else:
            self._keep(connection)
        return connection

    def connection(self, transport: Transport, now: float) -> Http1ClientConnection:
        settings = self._settings.http1
        if settings.extended:
            return ExtendedClientConnection(transport, self, settings, now)
        return Http1ClientConnection(transport, self, settings, now)

    def connect_failed(self, attempt: Connecting, reason: str, timed_out: bool) -> None:
        if timed_out:
            self.stats.upstream_cx_connect_timeout += 1
            self._failed(attempt, PoolFailure.CONNECT_TIMEOUT, "")  # the failure says it
        else:
            # Envoy's words: a Unix socket refuses at once, TCP after the call has returned.
            when = "immediate" if isinstance(self.host.address, PipeAddress) else "delayed"
            self._failed(attempt, PoolFailure.CONNECT_FAILURE, f"{when} connect error: {reason}")

    def _failed(self, attempt: Connecting, failure: PoolFailure, reason: str) -> None:
        """An attempt to connect came to nothing: so do the requests that wait."""
        self._connecting.discard(attempt)
        self._connection_gone(failure != PoolFailure.CONNECT_FAILURE)
        stats = self.stats
        stats.upstream_cx_connect_fail += 1
        self.host.stats.cx_connect_fail += 1
        # Whoever is told may ask anew, or cancel another of them.
        failed = self._failing = self._pending
        self._pending = deque()
        while failed:
            request = failed.popleft()
            self._no_longer_pending()
            stats.upstream_rq_pending_failure_eject += 1
            request.pool_failed(failure, reason)

    def connection_lost(self, connection: Http1ClientConnection, reason: str) -> None:
        if connection not in self._open:
            return
        self._open.discard(connection)
        local = connection.closed_by_us
        self._connection_gone(local)
        stats = self.stats
        if connection.cut_short:
            stats.upstream_cx_destroy_with_active_rq += 1
            if local:
                stats.upstream_cx_destroy_local_with_active_rq += 1
            else:
                stats.upstream_cx_destroy_remote_with_active_rq += 1
        received, sent = connection.bytes_received, connection.bytes_sent
        if self._told:
            told = self._told.pop(connection, (0, 0))
            received -= told[0]
            sent -= told[1]
        stats.upstream_cx_rx_bytes_total += received
        stats.upstream_cx_tx_bytes_total += sent
        stats.length_ms.record(int((self._clock.monotonic() - connection.opened_at) * 1000))
        stats.rq_per_cx.record(connection.streams)
        if connection in self._idle:
            self._idle.remove(connection)
        if self._pending:
            self._grow()

    def is_empty(self) -> bool:
        """Whether it has neither a connection nor a request."""
        return not (self._open or self._connecting or self._pending)

    def is_busy(self) -> bool:
        """Whether a request is on one of its connections, or waits for one."""
        return bool(self._pending) or len(self._open) > len(self._idle)

    def _connection_gone(self, local: bool) -> None:
        """A connection ended, or never came to be.  `local`: by our doing."""
        self.limits.count_connections(-1)
        self.host.stats.cx_active -= 1
        stats = self.stats
        stats.upstream_cx_active -= 1
        stats.upstream_cx_destroy += 1
        if local:
            stats.upstream_cx_destroy_local += 1
        else:
            stats.upstream_cx_destroy_remote += 1

    def drain(self) -> None:
        """The host is gone from its cluster: close what is free now, and the rest as it becomes free."""
        if self._draining:
            return
        self._draining = True
        # Nobody asks for its `open_bytes` any more.
        self._told = {one: (one.bytes_received, one.bytes_sent) for one in self._open}
        received, sent = self.open_bytes()
        self.stats.upstream_cx_rx_bytes_total += received
        self.stats.upstream_cx_tx_bytes_total += sent
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()
        self._timeouts.discard(self)

    def host_failed(self) -> None:
        """The host has failed its health checks, or was ejected."""
        self.drain()

    def open_bytes(self) -> tuple[int, int]:
        """Bytes received and sent on connections that are still open."""
        return sum(c.bytes_received for c in self._open), sum(c.bytes_sent for c in self._open)


class Connecting:
    """One attempt to connect: `api.transport.ConnectCallbacks`."""

    __slots__ = ("pool", "started")

    def __init__(self, pool: HttpPool, started: float) -> None:
        self.pool = pool
        self.started = started

    def connected(self, transport: Transport) -> TransportHandler:
        return self.pool.connected(self, transport)

    def connect_failed(self, reason: str, timed_out: bool) -> None:
        self.pool.connect_failed(self, reason, timed_out)
