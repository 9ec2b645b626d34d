"""Access logs as configured (envoy.config.accesslog.v3, envoy.extensions.access_loggers)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol


@dataclass(frozen=True, slots=True)
class LogFormat:
    """envoy.config.core.v3.SubstitutionFormatString: either `text` or `json`, a structure of plain values.

    omit_empty    leave out what has no value, which is else "-", or null in JSON
    content_type  of a body that is made with it; b"": of its kind
    without_query  `%REQ_WITHOUT_QUERY%` may be used (formatters: envoy.formatter.req_without_query)
    """

    text: str | None = None
    json: Mapping[str, Any] | None = None
    omit_empty: bool = False
    content_type: bytes = b""
    without_query: bool = False


class LogFilter(Protocol):
    """Which requests are written (`observe.log_filters`).  Equal to one that passes the same."""

    def passes(self, stream: Any) -> bool: ...


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """Where to (a path, "/dev/stdout" or "/dev/stderr"), what (None: everything), and how (None: Envoy's default
    format)."""

    path: str
    format: LogFormat | None = None
    filter: LogFilter | None = None


@dataclass(frozen=True, slots=True)
class AccessLogOptions:
    """Lines before a request's end: at its begin, every so many seconds (0: never), when its tunnel is open."""

    on_new_request: bool = False
    interval: float = 0.0
    on_tunnel: bool = False


#: Only at the end.
AT_THE_END = AccessLogOptions()


@dataclass(frozen=True, slots=True)
class UpstreamLogOptions:
    """Lines before an attempt's end: when it has its connection, then every so many seconds (0: never)."""

    on_pool_ready: bool = False
    interval: float = 0.0


#: Only at the end.
UPSTREAM_AT_THE_END = UpstreamLogOptions()
