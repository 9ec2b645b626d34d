"""What a configuration says of statistics (envoy.config.metrics.v3): names, tags, buckets, and where they are sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twistproxy.model.address import TcpAddress
from twistproxy.primitives.string_match import TextMatcher


@dataclass(frozen=True, slots=True)
class TagRule:
    """How a tag comes to a statistic.

    value    the same for all; None: `pattern` finds it
    pattern  an RE2 expression: its first group leaves the name, its second one, or else the first, is the value
    """

    name: str
    value: str | None = None
    pattern: str = ""


@dataclass(frozen=True, slots=True)
class StatMatch:
    """Which statistics there are: those that one of the matchers matches, or with `inverted` the others."""

    matchers: tuple[TextMatcher, ...]
    inverted: bool = False


@dataclass(frozen=True, slots=True)
class BucketRule:
    """The bounds of the histograms that `match` matches, rising."""

    match: TextMatcher
    bounds: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class StatsdSettings:
    """A statsd server.

    tags       how tags are written: not at all (then names have all), as DogStatsD or as Graphite wants them
    udp        where datagrams go; None for `tcp`
    tcp        the hosts that one connection goes to, the first that can be had
    max_bytes  as many lines go in one datagram as fit in so many bytes; 0: each in its own
    """

    prefix: str
    tags: Literal["", "dog", "graphite"] = ""
    udp: TcpAddress | None = None
    tcp: tuple[TcpAddress, ...] = ()
    max_bytes: int = 0


@dataclass(frozen=True, slots=True)
class StatsSettings:
    """
    default_tags    whether Envoy's own tags are extracted
    shown           None: all are
    flush_on_admin  sinks are told only when the admin is asked for statistics
    """

    default_tags: bool = True
    tags: tuple[TagRule, ...] = ()
    shown: StatMatch | None = None
    buckets: tuple[BucketRule, ...] = ()
    sinks: tuple[StatsdSettings, ...] = ()
    flush_on_admin: bool = False


DEFAULT_STATISTICS = StatsSettings()
