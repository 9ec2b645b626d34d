"""Answers health checks of this proxy (Envoy: configuration/http/http_filters/health_check_filter)."""

from __future__ import annotations

from typing import Any

from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.tools import FilterTools
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.http_filters import HealthCheckSettings
from twistproxy.observe import flags

_NAMES = (
    "cached_response",
    "degraded",
    "failed",
    "failed_cluster_empty",
    "failed_cluster_not_found",
    "failed_cluster_unhealthy",
    "ok",
    "request_total",
)


class HealthCheckFilter:
    """Requests with all the headers of the settings are health checks.

    Without pass-through they are answered here.  With it they go on, and with a cache time only one in each such time:
    the others get what the last one got.  After /healthcheck/fail all get 503, and other responses say so.
    """

    def __init__(
        self, settings: HealthCheckSettings, overrides: tuple[HealthCheckSettings, ...], tools: FilterTools
    ) -> None:
        self._settings = settings
        self._tools = tools
        self._counters = tools.counters
        tools.count(*(f"health_check.{name}" for name in _NAMES))
        self._cluster = settings.cluster.encode()
        self._started = tools.clock.monotonic()
        self._cached = 200
        self._degraded = False
        #: the cache time, counted from the start, whose answer is cached
        self._cached_in = -1

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        if not all(matcher.matches(head, stream) for matcher in self._settings.headers):
            return FilterStatus.CONTINUE
        stream.health_check = True
        stream.notes[self] = handling = (
            not self._settings.pass_through or not self._tools.healthy() or self._is_cached()
        )
        if not handling:
            return FilterStatus.CONTINUE
        if end_stream:
            self._answer(stream)
        return FilterStatus.STOP

    def decode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        if not stream.notes.get(self):
            return FilterStatus.CONTINUE
        if end_stream:
            self._answer(stream)
        return FilterStatus.STOP

    def decode_trailers(self, stream: Any, trailers: HeaderMap) -> FilterStatus:
        if not stream.notes.get(self):
            return FilterStatus.CONTINUE
        self._answer(stream)
        return FilterStatus.STOP

    def encode_headers(self, stream: Any, head: ResponseHead, end_stream: bool) -> FilterStatus:
        if self in stream.notes:
            if self._settings.cache_time and not stream.notes[self]:
                self._cached_in = self._now()
                self._cached = head.status
                self._degraded = b"x-envoy-degraded" in head.index
            head.set(b"x-envoy-upstream-healthchecked-cluster", self._cluster)
        if not self._tools.healthy():
            head.set(b"x-envoy-immediate-health-check-fail", b"true")
        return FilterStatus.CONTINUE

    def _now(self) -> int:
        return int((self._tools.clock.monotonic() - self._started) / self._settings.cache_time)

    def _is_cached(self) -> bool:
        return bool(self._settings.cache_time) and self._cached_in == self._now()

    def _count(self, name: str) -> None:
        self._counters[f"health_check.{name}"] += 1

    def _answer(self, stream: Any) -> None:
        headers: tuple[tuple[bytes, bytes], ...] = ()
        if not self._tools.healthy():
            status, details = 503, "health_check_failed"
        elif self._settings.pass_through:
            status, details = self._cached, "health_check_cached"
            self._count("cached_response")
            if self._degraded:
                headers = ((b"x-envoy-degraded", b""),)
                self._count("degraded")
        else:
            status, details = self._of_clusters()
        healthy = status // 100 == 2
        self._count("request_total")
        self._count("ok" if healthy else "failed")
        flag = 0 if healthy else flags.LH
        stream.local_reply(status, b"", flag, details, headers)

    def _of_clusters(self) -> tuple[int, str]:
        """Status and details by the health of the clusters that are to be healthy."""
        details = "health_check_ok"
        for name, percent in self._settings.min_healthy:
            details = "health_check_ok_cluster_healthy"
            cluster = self._tools.get_cluster(name)
            reason = ""
            if cluster is None:
                reason = "cluster_not_found"
                details = "health_check_failed_no_cluster_found"
            else:
                hosts, available = cluster.membership()
                if not hosts:
                    reason = "cluster_empty" if percent else ""
                elif 100 * available < hosts * percent:
                    reason = "cluster_unhealthy"
                if reason:
                    details = f"health_check_failed_{reason}"
            if reason:
                self._count(f"failed_{reason}")
                return 503, details
        return 200, details
