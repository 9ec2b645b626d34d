"""Connections for tunnels that begin here (Envoy: ConnectConfig, arch_overview/http/upgrades)."""

from __future__ import annotations

from twistproxy.api.clock import Clock
from twistproxy.api.transport import Connector, Transport
from twistproxy.codec.tcp_client import TcpClientConnection
from twistproxy.model.cluster import ClusterSettings
from twistproxy.observe.cluster_stats import ClusterStats
from twistproxy.primitives.deadlines import Deadlines
from twistproxy.upstream.host import Host
from twistproxy.upstream.pool.http import HttpPool
from twistproxy.upstream.resource_limits import ResourceLimits


class TcpPool(HttpPool):
    """Limits, waiting and statistics are those of any pool; a connection carries one tunnel and is not used again."""

    __slots__ = ()

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
        super().__init__(host, settings, stats, limits, clock, connector, timeouts)
        self.speaks_http = False

    def host_failed(self) -> None:
        self.drain()
        if self._settings.close_on_failure:
            for connection in list(self._open):
                connection.transport.abortConnection()

    def connection(self, transport: Transport, now: float) -> TcpClientConnection:
        return TcpClientConnection(transport, self, self._settings.http1, now)
