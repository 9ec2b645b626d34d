"""Requests that end in a tunnel: upgrades and CONNECT (Envoy: arch_overview/http/upgrades)."""

from __future__ import annotations

from collections.abc import Mapping

from twistproxy.api.codec import TunnelEnd
from twistproxy.api.http_filter import FilterChain
from twistproxy.http.message import RequestHead
from twistproxy.model.upgrade import UpgradeSettings
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.stream.stream import Stream


class Upgrades:
    """What one connection manager allows; a route may say otherwise."""

    __slots__ = ("_chains", "_enabled", "_stats")

    def __init__(
        self,
        settings: tuple[UpgradeSettings, ...],
        stats: HttpManagerStats,
        chains: Mapping[str, FilterChain],
    ) -> None:
        """`chains`: by kind, of those that have one of their own."""
        self._enabled = {one.kind.encode(): one.enabled for one in settings}
        self._stats = stats
        self._chains = {kind.encode(): chain for kind, chain in chains.items()}

    def admit(self, stream: Stream, head: RequestHead) -> FilterChain | None:
        """The chain through which the request may go on; None: it has been answered.

        Without a route it may: it gets the 404 of any other request.  What is refused ends its connection, since
        bytes of a tunnel may follow that must not be taken for a request.
        """
        kind = head.index.get(b"upgrade", b"connect").lower()
        route = stream.route
        allowed = None if route is None else route.upgrades.get(kind)
        if allowed is None:
            allowed = self._enabled.get(kind, False)
        if allowed:
            self._stats.downstream_cx_upgrades_total += 1
            stream.connection.upgraded()
            return self._chains.get(kind, stream.context.chain)
        if route is None:
            return stream.context.chain
        self._stats.downstream_rq_ws_on_non_ws_route += 1
        stream.cluster = route.cluster or ""
        stream.connection.answered_early()
        stream.local_reply(403, b"", 0, "upgrade_failed")
        return None

    def routes_changed(self) -> None:
        """There are other routes from now on."""
        for chain in self._chains.values():
            chain.routes_changed()


class _Passage:
    """`api.codec.Passage`: what both directions have in common."""

    __slots__ = ("_end", "_monotonic", "_stream", "_write")

    def __init__(self, stream: Stream, end: TunnelEnd) -> None:
        self._stream = stream
        self._end = end
        self._monotonic = stream.context.monotonic
        self._write = end.transport.write

    def _pass(self, data: bytes, count: int) -> None:
        self._stream.last_activity = self._monotonic()
        self._end.bytes_sent += count
        self._write(data)


class RequestPassage(_Passage):
    """From the downstream to the upstream."""

    __slots__ = ()

    def send(self, data: bytes) -> None:
        count = len(data)
        self._stream.bytes_received += count
        self._pass(data, count)


class ResponsePassage(_Passage):
    """From the upstream to the downstream."""

    __slots__ = ()

    def send(self, data: bytes) -> None:
        count = len(data)
        self._stream.bytes_sent += count
        self._pass(data, count)


def open_tunnel(stream: Stream, upstream: TunnelEnd) -> None:
    """Both sides have switched: from now on bytes go straight from one transport to the other, unless filters want to
    see them."""
    early_logs = stream.context.early_logs
    if early_logs is not None:
        early_logs.tunnel_open(stream)
    downstream = stream.tunnel_end()
    if downstream is not None:
        downstream.passage = RequestPassage(stream, upstream)
        upstream.passage = ResponsePassage(stream, downstream)
