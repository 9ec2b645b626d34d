"""Filters of access logs (envoy.config.accesslog.v3.AccessLogFilter): whether a request is written.

Also what a local reply's mapper matches.  Each is a frozen description that can be asked.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from twistproxy.http.grpc import status_of_http
from twistproxy.http.header_match import HeaderMatcher
from twistproxy.model.access_log import LogFilter
from twistproxy.observe.log_fields import response_trailers
from twistproxy.observe.log_times import duration
from twistproxy.primitives.value_match import MISSING, MetadataMatcher


@dataclass(frozen=True, slots=True)
class Comparison:
    """`op` one of EQ GE LE NE; the runtime may replace `value` under `key`."""

    op: str
    value: int
    key: str = ""

    def holds(self, found: int, stream: Any) -> bool:
        value = stream.context.runtime.get_integer(self.key, self.value) if self.key else self.value
        if self.op == "GE":
            return found >= value
        if self.op == "LE":
            return found <= value
        return (found == value) == (self.op == "EQ")


@dataclass(frozen=True, slots=True)
class ByStatus:
    """No response counts as 0."""

    comparison: Comparison

    def passes(self, stream: Any) -> bool:
        response = stream.response
        return self.comparison.holds(0 if response is None else response.status, stream)


@dataclass(frozen=True, slots=True)
class ByDuration:
    """In milliseconds."""

    comparison: Comparison

    def passes(self, stream: Any) -> bool:
        return self.comparison.holds(duration(stream), stream)


@dataclass(frozen=True, slots=True)
class NotHealthCheck:
    def passes(self, stream: Any) -> bool:
        return not stream.health_check


@dataclass(frozen=True, slots=True)
class Never:
    """`traceable_filter`: no request is traced."""

    def passes(self, stream: Any) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Sampled:
    """A share of requests.  The same request, by its x-request-id, is in the share at every proxy, unless
    `independent`."""

    key: str
    numerator: int
    denominator: int
    independent: bool = False

    def passes(self, stream: Any) -> bool:
        context = stream.context
        chosen = -1 if self.independent else _number_of(stream.head.index.get(b"x-request-id", b""))
        if chosen < 0:
            chosen = context.random.getrandbits(64)
        enabled: bool = context.runtime.feature_enabled(self.key, self.numerator, self.denominator, chosen)
        return enabled


def _number_of(request_id: bytes) -> int:
    """The number that Envoy makes of a UUID, its first 32 bits; -1 if it is none."""
    if len(request_id) < 8:
        return -1
    try:
        return int(request_id[:8], 16)
    except ValueError:
        return -1


@dataclass(frozen=True, slots=True)
class And:
    filters: tuple[LogFilter, ...]

    def passes(self, stream: Any) -> bool:
        return all(one.passes(stream) for one in self.filters)


@dataclass(frozen=True, slots=True)
class Or:
    filters: tuple[LogFilter, ...]

    def passes(self, stream: Any) -> bool:
        return any(one.passes(stream) for one in self.filters)


@dataclass(frozen=True, slots=True)
class ByHeader:
    """Of the request."""

    matcher: HeaderMatcher

    def passes(self, stream: Any) -> bool:
        return self.matcher.matches(stream.head)


@dataclass(frozen=True, slots=True)
class ByFlags:
    """One of these response flags (`observe.flags`) is set; 0: any is."""

    flags: int

    def passes(self, stream: Any) -> bool:
        found: int = stream.flags
        return bool(found & self.flags if self.flags else found)


@dataclass(frozen=True, slots=True)
class ByGrpcStatus:
    """What the trailers say, or the head, or else what the HTTP status stands for."""

    statuses: frozenset[int]
    exclude: bool = False

    def passes(self, stream: Any) -> bool:
        return (_grpc_status(stream) in self.statuses) != self.exclude


def _grpc_status(stream: Any) -> int:
    response = stream.response
    for fields in (response_trailers(stream), response):
        value = None if fields is None else fields.get(b"grpc-status")
        if value is not None and value.isdigit():
            return int(value)
    return 2 if response is None else status_of_http(response.status)


@dataclass(frozen=True, slots=True)
class ByMetadata:
    """Dynamic metadata; `otherwise`: what holds where the key is not there."""

    matcher: MetadataMatcher
    otherwise: bool

    def passes(self, stream: Any) -> bool:
        if self.matcher.find(stream.metadata) is MISSING:
            return self.otherwise
        return self.matcher.matches(stream.metadata)


@dataclass(frozen=True, slots=True)
class ByType:
    """Why the line is written: envoy.data.accesslog.v3.AccessLogType."""

    types: frozenset[str]
    exclude: bool = False

    def passes(self, stream: Any) -> bool:
        return (stream.log_type() in self.types) != self.exclude
