"""Whether a request is traced, as its x-request-id tells every proxy on its way (Envoy:
docs/root/intro/arch_overview/observability/tracing, extensions/request_id/uuid).

A character of the id says why; the number that its first eight digits are decides about samples, so that all proxies
decide alike.  No spans are made: that takes a provider.
"""

from __future__ import annotations

from twistproxy.http.message import RequestHead
from twistproxy.model.http_manager import TracingSettings
from twistproxy.observe.request_id import RequestIds
from twistproxy.primitives.runtime import RuntimeValues
from twistproxy.stream.fields import FORCE_TRACE, REQUEST_ID

#: Where the id says why it is traced, and how.
_PLACE = 14
_LENGTH = 36
NOT_TRACED = b"4"
_SAMPLED = b"9"
_FORCED = b"a"
_BY_CLIENT = b"b"

#: Statistics by that character: `http.<prefix>.tracing.<name>`.
_NAMES = {
    NOT_TRACED: "not_traceable",
    _SAMPLED: "random_sampling",
    _FORCED: "service_forced",
    _BY_CLIENT: "client_enabled",
}


def mark(head: RequestHead, reason: bytes) -> None:
    """Write `reason` into the request id, if that is a UUID by its length."""
    value = head.get(REQUEST_ID) or b""
    if len(value) == _LENGTH:
        head.set(REQUEST_ID, value[:_PLACE] + reason + value[_PLACE + 1 :])


class Tracing:
    """The rules of one connection manager.

    pack_reason  False: ids say nothing and are not changed
    """

    __slots__ = ("_ids", "_pack_reason", "_runtime", "_settings")

    def __init__(
        self, settings: TracingSettings, pack_reason: bool, ids: RequestIds, runtime: RuntimeValues
    ) -> None:
        self._settings = settings
        self._pack_reason = pack_reason
        self._ids = ids
        self._runtime = runtime

    def decide(self, head: RequestHead) -> str:
        """Mark the request's id.  Returns the name of the statistic to count it in."""
        settings = self._settings
        if not settings.by_request_id:
            return _NAMES[_SAMPLED]
        value = head.get(REQUEST_ID) or b""
        number = _number(value)
        if number is None:
            return _NAMES[NOT_TRACED]
        packed = value[_PLACE : _PLACE + 1] if self._pack_reason and len(value) == _LENGTH else b""
        found = reason = packed if packed in _NAMES else NOT_TRACED
        enabled = self._runtime.feature_enabled
        if reason == NOT_TRACED:
            if b"x-client-trace-id" in head.index and enabled(
                "tracing.client_enabled", settings.client, 100, self._ids.random()
            ):
                reason = _BY_CLIENT
            elif FORCE_TRACE in head.index:
                reason = _FORCED
            elif enabled("tracing.random_sampling", settings.sampled, 10_000, number % 10_000):
                reason = _SAMPLED
        if reason != NOT_TRACED and not enabled(
            "tracing.global_enabled", settings.overall, 100, number % 10_000
        ):
            reason = NOT_TRACED
        if reason != found and self._pack_reason:
            mark(head, reason)
        return _NAMES[reason]


def _number(value: bytes) -> int | None:
    """The first eight digits of a request id as a number, None if they are none."""
    try:
        return int(value[:8], 16) if len(value) >= 8 else None
    except ValueError:
        return None
