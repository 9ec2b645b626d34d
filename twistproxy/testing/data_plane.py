"""The whole data plane of a worker on fakes: bytes in, bytes to the upstream, bytes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from twistproxy.model.access_log import AccessLogSettings, LogFormat
from twistproxy.model.address import TcpAddress
from twistproxy.model.bootstrap import AdminSettings, Bootstrap, Node
from twistproxy.model.cluster import ClusterSettings
from twistproxy.model.endpoint import Endpoint
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.model.listener import FilterChain, ListenerSettings
from twistproxy.model.route import (
    ClusterAction,
    RouteConfiguration,
    RouteMatch,
    RouteSettings,
    VirtualHostSettings,
)
from twistproxy.model.server_options import ServerOptions
from twistproxy.process.wiring import Runtime
from twistproxy.testing.clock import FakeClock
from twistproxy.testing.connector import FakeConnector
from twistproxy.testing.log_files import MemoryLogFiles
from twistproxy.testing.transport import MemoryTransport

#: Where the one host of the cluster "app" is.
UPSTREAM = TcpAddress("10.0.0.1", 80)
LOCAL = TcpAddress("127.0.0.1", 10000)
LOG = "/log"
LOG_FORMAT = (
    "%REQ(:METHOD)% %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%"
    " %BYTES_RECEIVED% %BYTES_SENT%\n"
)


def routes_to(*routes: RouteSettings, domains: tuple[str, ...] = ("*",)) -> RouteConfiguration:
    """One virtual host; without routes everything goes to the cluster "app"."""
    chosen = routes or (RouteSettings(RouteMatch(prefix="/"), ClusterAction("app")),)
    return RouteConfiguration("routes", (VirtualHostSettings("all", domains, chosen),))


def manager(routes: RouteConfiguration | None = None, **settings: Any) -> HttpManagerSettings:
    settings.setdefault("generate_request_id", False)
    log = AccessLogSettings(LOG, LogFormat(LOG_FORMAT))
    return HttpManagerSettings("ingress", routes or routes_to(), (log,), **settings)


def cluster(name: str = "app", **settings: Any) -> ClusterSettings:
    settings.setdefault("endpoints", (Endpoint(UPSTREAM),))
    return ClusterSettings(name, **settings)


def listener(settings: HttpManagerSettings, name: str = "main") -> ListenerSettings:
    return ListenerSettings(name, LOCAL, FilterChain("", settings), str(LOCAL))


def bootstrap(settings: HttpManagerSettings, *clusters: ClusterSettings) -> Bootstrap:
    return Bootstrap(Node(), AdminSettings(), (listener(settings),), clusters)


class DataPlane:
    """A `Runtime` with one listener "main" and, unless told otherwise, the cluster "app"."""

    def __init__(
        self,
        settings: HttpManagerSettings | None = None,
        *clusters: ClusterSettings,
        high_water: int = 65536,
    ) -> None:
        self.clock = FakeClock()
        self.connector = FakeConnector(self.clock, high_water)
        self.logs = MemoryLogFiles()
        self.high_water = high_water
        self.runtime = Runtime(
            self.clock, self.connector, self.logs, ServerOptions(local_address="192.0.2.9")
        )
        self.bootstrap = bootstrap(settings or manager(), *(clusters or (cluster(),)))
        self.runtime.apply(self.bootstrap)
        self._accept = self.runtime.accept("main")
        self.clients: list[MemoryTransport] = []

    def reload(self, settings: HttpManagerSettings | None = None, *clusters: ClusterSettings) -> None:
        """Apply a changed configuration; what is not given stays."""
        listeners = self.bootstrap.listeners if settings is None else (listener(settings),)
        self.bootstrap = replace(
            self.bootstrap, listeners=listeners, clusters=clusters or self.bootstrap.clusters
        )
        self.runtime.apply(self.bootstrap)

    def client(self, remote: str = "198.51.100.7", local: TcpAddress = LOCAL) -> MemoryTransport:
        """A new connection to the listener."""
        transport = MemoryTransport(self.clock, self.high_water)
        transport.handler = self._accept(transport, TcpAddress(remote, 5555), local)
        self.clients.append(transport)
        return transport

    def turn(self) -> None:
        """What is due now happens: connections come up, ends are told."""
        self.clock.advance()

    @property
    def upstream(self) -> MemoryTransport:
        """The newest connection to an upstream."""
        self.turn()
        return self.connector.connections[-1]

    @property
    def log(self) -> list[str]:
        return self.logs.open(LOG).lines

    def counter(self, name: str) -> int:
        snapshot = self.runtime.snapshot()
        value: int = snapshot["counters"].get(name, 0)
        return value

    def finish(self, drains: int = 0) -> None:
        """All clients leave, the idle upstream connections end: nothing may be left.  `drains`: how many replaced
        managers still wait for the end of their drain time."""
        for client in self.clients:
            if not client.closed:
                client.lose("")
        self.turn()
        for connection in self.connector.connections:
            connection.end()
        self.turn()
        self.turn()
        for attempt in self.connector.attempts:
            if not attempt.over:
                attempt.fail()
        self.assert_nothing_left(drains)

    def assert_nothing_left(self, drains: int = 0) -> None:
        """No stream, no connection, no deadline; all gauges of what is in use are zero."""
        gauges = self.runtime.snapshot()["gauges"]
        in_use = {
            name: value
            for name, value in gauges.items()
            if value and name.endswith(("_active", "pending_active")) and "clusters" not in name
        }
        assert in_use == {}, in_use
        assert self.runtime.active_connections() == 0
        assert self.runtime.active_requests() == 0
        assert all(connection.closed for connection in self.connector.connections)
        # One timer more at most is left: that of the deadlines, and it finds nothing to do.
        assert len(self.clock.pending()) <= 1 + drains
        self.clock.advance(4000.0)
        assert self.clock.pending() == []
