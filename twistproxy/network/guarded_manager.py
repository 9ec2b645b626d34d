"""A connection manager that minds the overload manager.  The others are plain ones, and pay nothing for it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

from twistproxy.api.http_filter import FilterChain, TerminalFilter
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.model.overload import (
    DISABLE_KEEPALIVE,
    REDUCE_TIMEOUTS,
    SHED_HEADERS,
    SHED_ROUTER,
    STOP_REQUESTS,
    ReducedTimeouts,
    ScaledTimer,
)
from twistproxy.network.http_connection_manager import HttpConnection, HttpConnectionManager
from twistproxy.observe.manager_stats import HttpManagerStats
from twistproxy.primitives.overload import Overload
from twistproxy.stream.response_headers import Exchange, ResponseHeaders
from twistproxy.stream.stream import Stream

_BODY = b"envoy overloaded"
_MARK = ((b"x-envoy-local-overloaded", b"true"),)
_FOREVER = float("inf")


class SheddingRouter:
    """A router that refuses what is met by a load shed point before it asks an upstream."""

    def __init__(self, router: TerminalFilter, overload: Overload, stats: HttpManagerStats) -> None:
        self._router = router
        self._overload = overload
        self._stats = stats

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> None:
        route = stream.route
        if route is not None and route.redirect is None and route.direct_response is None:
            if self._overload.sheds(SHED_ROUTER):
                self._stats.rq_overload_local_reply += 1
                stream.local_reply(503, _BODY, 0, "overload")
                return
        self._router.decode_headers(stream, head, end_stream)


class GuardedResponseHeaders(ResponseHeaders):
    """Has connections end with their response while that is asked for."""

    __slots__ = ("_overload",)

    def __init__(self, settings: HttpManagerSettings, wall: Callable[[], float], overload: Overload) -> None:
        super().__init__(settings, wall)
        self._overload = overload

    def apply(self, head: ResponseHead, exchange: Exchange) -> None:
        super().apply(head, exchange)
        if self._overload.happens(DISABLE_KEEPALIVE):
            stream: Any = exchange
            cast("HttpConnection", stream.connection).keepalive_disabled()


class GuardedManager(HttpConnectionManager):
    """`guard` follows before the first connection."""

    def guard(self, overload: Overload, timeouts: ReducedTimeouts, wall: Callable[[], float]) -> None:
        self._overload = overload
        self._timeouts = timeouts
        self._scale = 1.0
        self._no_filters = FilterChain((), self.chain.router)
        self.response_headers = GuardedResponseHeaders(self.settings, wall, overload)
        self.overload_changed()

    def check(self, stream: Stream, head: RequestHead) -> bool:
        overload = self._overload
        if overload.sheds(SHED_HEADERS) or overload.happens(STOP_REQUESTS):
            self.stats.downstream_rq_overload_close += 1
            # Past the filters, as in Envoy: what is short is not to be spent on them.
            chain, self.chain = self.chain, self._no_filters
            marks = _MARK if self.settings.append_local_overload else ()
            stream.local_reply(503, _BODY, 0, "overload", marks)
            self.chain = chain
            return False
        return super().check(stream, head)

    # ---- time limits

    def overload_changed(self) -> None:
        """Have the time limits of all connections and streams be as long as they may be now."""
        scale = 1.0 - self._overload.value(REDUCE_TIMEOUTS)
        if scale == self._scale:
            return
        self._scale = scale
        settings, timeouts = self.settings, self._timeouts
        self.connection_settings = limited = replace(
            settings,
            idle_timeout=self._scaled(settings.idle_timeout, timeouts.connection_idle),
            max_connection_duration=self._scaled(settings.max_connection_duration, timeouts.connection_max),
        )
        self.first_connection_limit = min(
            limited.idle_timeout or _FOREVER, limited.max_connection_duration or _FOREVER
        )
        self.first_timeout = min(
            self.idle_limit(settings.stream_idle_timeout or _FOREVER), self.max_stream_duration
        )
        now = self.monotonic()
        for connection in list(self.connections):
            connection.use_settings(limited, now)
            stream = connection.stream
            if stream is not None and not stream.end:
                stream.deadline = now
                self.deadlines.add(stream)

    def idle_limit(self, whole: float) -> float:
        found = self._scaled(whole, self._timeouts.stream_idle)
        return whole if found is None else found

    def _scaled(self, whole: float | None, timer: ScaledTimer | None) -> float | None:
        """A limit of `whole` seconds as it is now (Envoy: ScaledRangeTimerManagerImpl)."""
        if not whole or whole == _FOREVER or timer is None:
            return whole
        least = timer.least(whole)
        return least + (whole - least) * self._scale
