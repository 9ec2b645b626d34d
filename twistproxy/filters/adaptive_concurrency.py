"""Refuses what is more at once than the upstream can take (Envoy: configuration/http/http_filters/
adaptive_concurrency_filter)."""

from __future__ import annotations

from typing import Any

from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.tools import FilterTools
from twistproxy.http.headers import HeaderMap
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.guards import AdaptiveConcurrencySettings

_BLOCKED = "adaptive_concurrency.gradient_controller.rq_blocked"


class AdaptiveConcurrencyFilter:
    """A request is under way until the last of its response has passed."""

    def __init__(
        self,
        settings: AdaptiveConcurrencySettings,
        overrides: tuple[AdaptiveConcurrencySettings, ...],
        tools: FilterTools,
    ) -> None:
        self._settings = settings
        self._runtime = tools.runtime
        self._monotonic = tools.clock.monotonic
        self._counters = tools.counters
        tools.count(_BLOCKED)
        self._controller = tools.gradient(settings.gradient)

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        settings = self._settings
        enabled = settings.enabled
        if stream.health_check or not self._runtime.get_boolean(enabled.runtime_key, enabled.value):
            return FilterStatus.CONTINUE
        if not self._controller.admit():
            self._counters[_BLOCKED] += 1
            body = b"reached concurrency limit"
            stream.local_reply(settings.status, body, 0, "reached_concurrency_limit")
            return FilterStatus.STOP
        stream.notes[self] = self._monotonic()
        return FilterStatus.CONTINUE

    def encode_headers(self, stream: Any, head: ResponseHead, end_stream: bool) -> FilterStatus:
        if end_stream:
            self._encoded(stream)
        return FilterStatus.CONTINUE

    def encode_data(self, stream: Any, data: bytes, end_stream: bool) -> FilterStatus:
        if end_stream:
            self._encoded(stream)
        return FilterStatus.CONTINUE

    def encode_trailers(self, stream: Any, trailers: HeaderMap) -> FilterStatus:
        self._encoded(stream)
        return FilterStatus.CONTINUE

    def stream_ended(self, stream: Any) -> None:
        if stream.notes.pop(self, None) is not None:
            self._controller.cancelled()

    def _encoded(self, stream: Any) -> None:
        since = stream.notes.pop(self, None)
        if since is not None:
            self._controller.done(since)
