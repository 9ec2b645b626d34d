"""Cross-origin requests (Envoy: configuration/http/http_filters/cors_filter; the Fetch standard, "CORS protocol")."""

from __future__ import annotations

from typing import Any

from twistproxy.api.http_filter import FilterStatus
from twistproxy.filters.tools import FilterTools
from twistproxy.http.headers import Header
from twistproxy.http.message import RequestHead, ResponseHead
from twistproxy.model.http_filters import CorsFilterSettings, CorsSettings, RuntimeFraction

_VALID, _INVALID = "cors.origin_valid", "cors.origin_invalid"
_ALWAYS, _NEVER = RuntimeFraction(), RuntimeFraction(0)


class CorsFilter:
    """Without a policy of the route it does nothing.  Of several levels each field comes from the nearest that has it.

    A preflight of a known origin is answered here, and responses to that origin get headers.
    """

    def __init__(
        self, settings: CorsFilterSettings, overrides: tuple[CorsSettings, ...], tools: FilterTools
    ) -> None:
        def first(name: str, default: Any) -> Any:
            values = [getattr(policy, name) for policy in overrides]
            return next((value for value in values if value not in (None, "", ())), default)

        self._counters = tools.counters
        tools.count(_VALID, _INVALID)
        self._active = bool(overrides)
        self._runtime = tools.runtime
        self._origins = first("origins", ())
        # One that matches "*" takes any origin: `exact: "*"` and `prefix: "*"` are in many files.
        self._any_origin = any(matcher.matches(b"*") for matcher in self._origins)
        self._enabled: RuntimeFraction = first("enabled", _ALWAYS)
        self._shadow: RuntimeFraction = first("shadow", _NEVER)
        self._forward: bool = first("forward_unmatched_preflights", True)
        credentials = [(b"access-control-allow-credentials", b"true")]
        self._credentials: list[Header] = credentials if first("allow_credentials", False) else []
        self._exposed = _headers(access_control_expose_headers=first("expose_headers", ""))
        self._private = bool(first("private_network", False))
        self._preflight = _headers(
            access_control_allow_methods=first("allow_methods", ""),
            access_control_allow_headers=first("allow_headers", ""),
            access_control_max_age=first("max_age", ""),
        )

    def decode_headers(self, stream: Any, head: RequestHead, end_stream: bool) -> FilterStatus:
        origin = head.get(b"origin") if self._active else None
        if not origin:
            return FilterStatus.CONTINUE
        enabled = self._is_on(self._enabled, stream)
        if not enabled and not self._is_on(self._shadow, stream):
            return FilterStatus.CONTINUE
        allowed = self._any_origin or any(matcher.matches(origin) for matcher in self._origins)
        self._counters[_VALID if allowed else _INVALID] += 1
        if not enabled:
            return FilterStatus.CONTINUE
        preflight = head.method == b"OPTIONS" and bool(head.get(b"access-control-request-method"))
        if not allowed:
            if preflight and not self._forward:
                stream.local_reply(200, b"", 0, "cors_response")
                return FilterStatus.STOP
            return FilterStatus.CONTINUE
        stream.notes[self] = origin
        if not preflight:
            return FilterStatus.CONTINUE
        headers = [*self._preflight]
        if self._private and head.get(b"access-control-request-private-network") == b"true":
            headers.append((b"access-control-allow-private-network", b"true"))
        stream.local_reply(200, b"", 0, "cors_response", tuple(headers))
        return FilterStatus.STOP

    def encode_headers(self, stream: Any, head: ResponseHead, end_stream: bool) -> FilterStatus:
        origin = stream.notes.get(self)
        if origin is not None:
            head.set(b"access-control-allow-origin", origin)
            for name, value in self._credentials:
                head.set(name, value)
            for name, value in self._exposed:
                head.set(name, value)
        return FilterStatus.CONTINUE

    def _is_on(self, share: RuntimeFraction, stream: Any) -> bool:
        return self._runtime.feature_enabled(
            share.runtime_key, share.numerator, share.denominator, stream.random_value()
        )


def _headers(**values: str) -> list[Header]:
    return [(name.replace("_", "-").encode(), value.encode()) for name, value in values.items() if value]
