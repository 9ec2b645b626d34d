"""Pools of clusters and hosts that want more than connections as usual.  What a cluster is configured for decides which
kind of pool it has, so that the others pay nothing."""

from __future__ import annotations

from typing import Protocol

from twistproxy.api.clock import Clock
from twistproxy.api.transport import Connector, Transport
from twistproxy.api.upstream import PoolCallbacks, PoolFailure
from twistproxy.codec.h1_client import Http1ClientConnection
from twistproxy.codec.tcp_client import TcpClientConnection
from twistproxy.http.proxy_protocol import proxy_header
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.sockets import UpstreamSockets, ways_to
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.upstream.host import Host
from twistproxy.upstream.pool.http import Connecting, HttpPool
from twistproxy.upstream.resource_limits import ResourceLimits

#: Connections that one event may begin (Envoy: ConnPoolImplBase::tryCreateNewConnections).
MOST_AT_ONCE = 3

_USUAL_SOCKETS = UpstreamSockets()


class Downstream(Protocol):
    """The connection of a client for whom a pool may be; texts as `1.2.3.4:80`."""

    number: int

    @property
    def remote_text(self) -> str: ...

    @property
    def local_text(self) -> str: ...


class SpecialPoolOwner(Protocol):
    def emptied(self, pool: SpecialPool, /) -> None:
        """It has no connection and no request any more."""

    def before_stream(self, pool: SpecialPool, /) -> None:
        """A request is about to begin on it."""


class SpecialPool(HttpPool):
    """
    key        whom the pool is for, "" for everybody
    addresses  source and destination of the PROXY header, None for our own
    tunnels    its connections carry tunnels that begin here
    counted    it is among those that are limited
    at         its place among the pools of its host
    """

    __slots__ = ("_most_here", "_owner", "_ratio", "_tunnels", "_ways", "addresses", "at", "counted", "key")

    def __init__(
        self,
        host: Host,
        settings: ClusterSettings,
        stats: ClusterStats,
        limits: ResourceLimits,
        clock: Clock,
        connector: Connector,
        timeouts: Deadlines,
        owner: SpecialPoolOwner,
        at: int,
        key: str,
        addresses: tuple[str, str] | None,
    ) -> None:
        super().__init__(host, settings, stats, limits, clock, connector, timeouts)
        self.at = at
        self.counted = False
        self.key = key
        self.addresses = addresses
        self._owner = owner
        self._ratio = settings.preconnect_ratio
        self._tunnels = at >= 2
        self.speaks_http = not self._tunnels
        most = (settings.high_thresholds if at % 2 else settings.default_thresholds).max_connections_per_host
        self._most_here = 1 << 62 if most is None else most
        endpoint = host.endpoint
        sockets = settings.sockets
        if sockets is None:
            sockets = _USUAL_SOCKETS
        self._ways = ways_to((endpoint.address, *endpoint.additional), sockets)

    # ---- connections ahead of the requests

    def new_stream(self, request: PoolCallbacks) -> None:
        self._owner.before_stream(self)
        ready = bool(self._idle)
        super().new_stream(request)
        if ready:
            self._grow()

    def _wait(self, request: PoolCallbacks) -> None:
        super()._wait(request)
        self._look_whether_empty()  # if it was refused

    def _grow(self) -> None:
        for _ in range(MOST_AT_ONCE):
            if not self._wants_more(self._ratio, 0) or not self._connect():
                return

    def preconnect(self, ratio: float) -> bool:
        """Connect for the next request of the cluster, which may come here.  Whether it was done."""
        return self._wants_more(ratio, 1) and self._connect()

    def _wants_more(self, ratio: float, coming: int) -> bool:
        """Whether there should be more connections for the requests there are and those that are coming."""
        waiting = len(self._pending)
        if not self.host.healthy:
            return waiting > len(self._connecting) + len(self._idle)
        active = len(self._open) - len(self._idle)
        return (waiting + active + coming) * ratio > len(self._connecting) + len(self._open)

    def _may_connect(self) -> bool:
        return self.host.connections() < self._most_here and super()._may_connect()

    # ---- how they are made

    def _begin(self, now: float) -> Connecting:
        self.host.tell_connections()
        attempt = Dialling(self, now)
        self._connector.dial(self._ways, self._settings.connect_timeout, attempt)
        return attempt

    def connection(self, transport: Transport, now: float) -> Http1ClientConnection:
        connection: Http1ClientConnection
        if self._tunnels:
            connection = TcpClientConnection(transport, self, self._settings.http1, now)
        else:
            connection = super().connection(transport, now)
        proxy = self._settings.proxy_protocol
        if proxy is not None:
            connection.write_first(self._proxy_header(transport))
        return connection

    def _proxy_header(self, transport: Transport) -> bytes:
        proxy = self._settings.proxy_protocol
        assert proxy is not None
        if self.addresses is not None:
            return proxy_header(proxy.version, *self.addresses, proxy.tlvs)
        if proxy.version == "V2":
            return proxy_header("V2", "", "")
        return proxy_header("V1", _text(transport.getHost()), _text(transport.getPeer()))

    def dial_failed(self, attempt: Connecting, reason: str, local: bool, binding: bool) -> None:
        if binding:
            self.stats.bind_errors += 1
        self._failed(attempt, PoolFailure.LOCAL_FAILURE if local else PoolFailure.CONNECT_FAILURE, reason)

    # ---- the end

    def host_failed(self) -> None:
        self.drain()
        if self._tunnels and self._settings.close_on_failure:
            for connection in list(self._open):
                connection.transport.abortConnection()

    def _failed(self, attempt: Connecting, failure: PoolFailure, reason: str) -> None:
        super()._failed(attempt, failure, reason)
        if not self._draining:
            self._grow()
        self._look_whether_empty()

    def _connection_gone(self, local: bool) -> None:
        super()._connection_gone(local)
        self.host.tell_connections()

    def connection_lost(self, connection: Http1ClientConnection, reason: str) -> None:
        super().connection_lost(connection, reason)
        self._look_whether_empty()

    def cancel(self, request: PoolCallbacks) -> None:
        super().cancel(request)
        self._look_whether_empty()

    def _look_whether_empty(self) -> None:
        if self.is_empty():
            self._owner.emptied(self)


class Dialling(Connecting):
    """One attempt to connect, maybe at several addresses: `api.transport.DialCallbacks`."""

    __slots__ = ("_pool",)

    def __init__(self, pool: SpecialPool, started: float) -> None:
        super().__init__(pool, started)
        self._pool = pool

    def tried_another(self) -> None:
        self._pool.stats.upstream_cx_total += 1

    def dial_failed(self, reason: str, local: bool, binding: bool) -> None:
        self._pool.dial_failed(self, reason, local, binding)


def _text(address: object) -> str:
    """A Twisted address; "" for a Unix socket's."""
    host = str(getattr(address, "host", ""))
    port = getattr(address, "port", "")
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
