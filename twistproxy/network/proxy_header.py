"""The listener filter proxy_protocol: what a connection says before its first request (Envoy:
configuration/listeners/listener_filters/proxy_protocol)."""

from __future__ import annotations

from twistproxy.api.clock import Clock, Timer
from twistproxy.api.transport import ConnectionFactory, Transport, TransportHandler
from twistproxy.http.proxy_protocol import BadProxyHeader, ProxyHeader, read_proxy_header
from twistproxy.model.address import Address, ProxiedAddress, TcpAddress
from twistproxy.model.listener import ProxyHeaderSettings
from twistproxy.observe.manager_stats import ListenerStats
from twistproxy.observe.stats import Snapshot


class ProxyHeaders:
    """Of one listener.

    settings  they may change, also for connections that wait
    stats     the listener's
    go_on     makes the handler of a connection whose client is known
    """

    def __init__(
        self, settings: ProxyHeaderSettings, clock: Clock, stats: ListenerStats, go_on: ConnectionFactory
    ) -> None:
        self.settings = settings
        self.clock = clock
        self.stats = stats
        self.go_on = go_on
        self.not_found_allowed = self.not_found_disallowed = 0
        self.found, self.disallowed, self.errors = [0, 0, 0], [0, 0, 0], [0, 0, 0]

    def accept(self, transport: Transport, remote: Address, local: Address) -> TransportHandler:
        return _Waiting(self, transport, remote, local)

    def judge(self, data: bytes) -> ProxyHeader | None:
        """The header that counts, version 0 for none; None if more is needed.  BadProxyHeader: there is to be no
        connection."""
        try:
            header = read_proxy_header(data)
        except BadProxyHeader as bad:
            self.errors[bad.version] += 1
            raise
        if header is None:
            return None
        if header.version in self.settings.refused:
            self.disallowed[header.version] += 1
            if not self.settings.optional:
                raise BadProxyHeader(header.version)
            return ProxyHeader(0, 0)
        if header.version:
            self.found[header.version] += 1
        elif self.settings.optional:
            self.not_found_allowed += 1
        else:
            self.not_found_disallowed += 1
            raise BadProxyHeader(0)
        return header

    def collect(self, out: Snapshot) -> None:
        prefix = f"proxy_proto.{self.settings.stat_prefix}"
        for version in (1, 2):
            for name, counts in (
                ("disallowed", self.disallowed),
                ("error", self.errors),
                ("found", self.found),
            ):
                out.counters[f"{prefix}versions.v{version}.{name}"] += counts[version]
        out.counters[prefix + "not_found_allowed"] += self.not_found_allowed
        out.counters[prefix + "not_found_disallowed"] += self.not_found_disallowed


class _Waiting:
    """Keeps what comes until the header is whole; then stands before the handler and is only passed through."""

    def __init__(self, headers: ProxyHeaders, transport: Transport, remote: Address, local: Address) -> None:
        self._headers = headers
        self._transport = transport
        self._remote = remote
        self._local = local
        self._data = b""
        self._handler: TransportHandler | None = None
        self._over = False
        self._timer: Timer | None = None
        headers.stats.downstream_pre_cx_active += 1
        timeout = headers.settings.timeout
        if timeout:
            self._timer = headers.clock.call_later(timeout, self._late)

    def data_received(self, data: bytes) -> None:
        if self._handler is not None:
            self._handler.data_received(data)
        elif not self._over:
            self._data += data
            try:
                header = self._headers.judge(self._data)
            except BadProxyHeader:
                self._refuse()
                return
            if header is not None:
                self._found(header)

    def read_ended(self) -> None:
        if self._handler is not None:
            self._handler.read_ended()
        elif not self._over:
            self._headers.stats.downstream_listener_filter_remote_close += 1
            self._refuse()

    def connection_lost(self, reason: str) -> None:
        if self._handler is not None:
            self._handler.connection_lost(reason)
        elif not self._over:
            self._decided()

    def _late(self) -> None:
        self._timer = None
        self._headers.stats.downstream_pre_cx_timeout += 1
        if self._headers.settings.goes_on:
            self._found(ProxyHeader(0, 0))
        else:
            self._refuse()

    def _found(self, header: ProxyHeader) -> None:
        self._decided()
        remote, local = self._remote, self._local
        if header.source is not None and header.destination is not None:
            remote = ProxiedAddress(*header.source)
            remote.direct = self._remote
            local = TcpAddress(*header.destination)
        rest, self._data = self._data[header.length :], b""
        self._handler = handler = self._headers.go_on(self._transport, remote, local)
        if rest:
            handler.data_received(rest)

    def _refuse(self) -> None:
        self._decided()
        self._data = b""
        self._transport.loseConnection()

    def _decided(self) -> None:
        self._over = True
        self._headers.stats.downstream_pre_cx_active -= 1
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
