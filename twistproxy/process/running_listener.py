"""A listener at run time."""

from __future__ import annotations

from collections.abc import Callable

from twistproxy.api.clock import Clock
from twistproxy.api.transport import Transport, TransportHandler
from twistproxy.model.address import Address, OriginalDestination
from twistproxy.model.listener import ListenerSettings, ProxyHeaderSettings
from twistproxy.network.connection_limits import Gate
from twistproxy.network.guarded_handlers import GuardedDispatch, RefusedConnection
from twistproxy.network.http_connection_manager import HttpConnectionManager
from twistproxy.network.proxy_header import ProxyHeaders
from twistproxy.observe.manager_stats import ListenerStats
from twistproxy.observe.stats import Snapshot
from twistproxy.primitives.overload import Overload
from twistproxy.route.table import RouteTable


class RunningListener:
    """A listener at run time, the same object as long as its name is configured."""

    def __init__(self, restored: Callable[[OriginalDestination], RunningListener | None]) -> None:
        """`restored`: the listener of the address that a redirected connection was going to."""
        self._restored = restored
        self.hands_off = False
        self.settings: ListenerSettings | None = None
        self.manager: HttpConnectionManager = None  # type: ignore[assignment]  # `use` comes before any connection
        self.table: RouteTable = None  # type: ignore[assignment]  # comes with it
        self.stats = ListenerStats()
        self._old: list[HttpConnectionManager] = []
        #: None where nothing limits connections
        self.gate: Gate | None = None
        self._dispatch: Overload | None = None
        #: None where connections begin with a request
        self.proxy_headers: ProxyHeaders | None = None

    def use_gate(self, gate: Gate | None, dispatch: Overload | None) -> None:
        """
        gate      what has to admit each connection from now on
        dispatch  what looks at each piece of what clients send
        """
        self.gate = gate
        self._dispatch = dispatch
        for manager in self.managers():
            manager.closed = None if gate is None else gate.closed

    def use(self, manager: HttpConnectionManager, draining: bool) -> None:
        if self.settings is not None:
            self.manager.drain()
            self._old = [old for old in (*self._old, self.manager) if old.connections]
        self.manager = manager
        manager.draining = draining
        manager.lengths = self.stats.length_ms
        if self.gate is not None:
            manager.closed = self.gate.closed

    def use_proxy_headers(self, settings: ProxyHeaderSettings | None, clock: Clock) -> None:
        """Connections begin with a PROXY header from now on, or (None) with a request."""
        if settings is None:
            self.proxy_headers = None
        elif self.proxy_headers is None:
            self.proxy_headers = ProxyHeaders(settings, clock, self.stats, self._known)
        else:
            self.proxy_headers.settings = settings

    def accept(self, transport: Transport, remote: Address, local: Address) -> TransportHandler:
        if self.proxy_headers is not None:
            return self.proxy_headers.accept(transport, remote, local)
        return self._known(transport, remote, local)

    def _known(self, transport: Transport, remote: Address, local: Address) -> TransportHandler:
        """The handler of a connection whose ends are known."""
        if self.hands_off and isinstance(local, OriginalDestination):
            return (self._restored(local) or self)._take(transport, remote, local)
        return self._take(transport, remote, local)

    def _take(self, transport: Transport, remote: Address, local: Address) -> TransportHandler:
        if self.gate is not None and not self.gate.admits():
            return RefusedConnection(transport)
        self.stats.downstream_cx_total += 1
        codec = self.manager.accept(transport, remote, local)
        return codec if self._dispatch is None else GuardedDispatch(codec, self._dispatch)

    def connections(self) -> int:
        """How many are open."""
        return sum(len(manager.connections) for manager in self.managers())

    def managers(self) -> list[HttpConnectionManager]:
        return [self.manager, *self._old]

    def drain(self) -> None:
        for manager in self.managers():
            manager.drain()

    def undrain(self) -> None:
        self.manager.undrain()

    def active(self) -> tuple[int, int]:
        """Open connections, and requests in flight on them."""
        totals = [manager.collect_active() for manager in self.managers()]
        return sum(total[0] for total in totals), sum(total[1] for total in totals)

    def collect_connections(self, out: Snapshot) -> int:
        """Write what open connections add to the figures of their managers.  Returns how many there are."""
        connections = 0
        for manager in self.managers():
            open_now, requests, received, sent, upgraded, draining = manager.collect_active()
            connections += open_now
            http = f"http.{manager.settings.stat_prefix}."
            out.counters[http + "downstream_cx_rx_bytes_total"] += received
            out.counters[http + "downstream_cx_tx_bytes_total"] += sent
            out.gauges[http + "downstream_cx_active"] += open_now
            out.gauges[http + "downstream_cx_http1_active"] += open_now
            out.gauges[http + "downstream_rq_active"] += requests
            out.gauges[http + "downstream_cx_upgrades_active"] += upgraded
            out.gauges[http + "downstream_cx_http1_soft_drain"] += draining
        return connections

    def collect(self, out: Snapshot) -> None:
        assert self.settings is not None
        prefix = f"listener.{self.settings.stat_name}."
        connections = self.collect_connections(out)
        self.stats.collect(prefix, out)
        if self.proxy_headers is not None:
            self.proxy_headers.collect(out)
        out.gauges[prefix + "downstream_cx_active"] = connections
        out.counters[prefix + "downstream_cx_destroy"] = (
            out.counters[prefix + "downstream_cx_total"] - connections
        )
        of_worker = f"{prefix}worker_{out.worker}."
        out.gauges[of_worker + "downstream_cx_active"] = connections
        out.counters[of_worker + "downstream_cx_total"] = self.stats.downstream_cx_total
        name = f"{prefix}http.{self.manager.settings.stat_prefix}."
        for status, count in self.manager.stats.statuses.items():
            out.counters[f"{name}downstream_rq_{status // 100}xx"] = count
        out.counters[name + "downstream_rq_completed"] = self.manager.stats.downstream_rq_completed
