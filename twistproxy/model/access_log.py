"""Access logs as configured (envoy.config.accesslog.v3, envoy.extensions.access_loggers)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AccessLogSettings:
    """Where to (a path, "/dev/stdout" or "/dev/stderr") and the format string; None is Envoy's default format."""

    path: str
    format: str | None = None
