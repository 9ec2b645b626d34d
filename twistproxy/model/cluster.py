"""Clusters as configured (envoy.config.cluster.v3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from twistproxy.model.discovery import DiscoverySource
from twistproxy.model.endpoint import Endpoint


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Circuit breaker limits of one priority; the defaults are Envoy's.

    track_remaining  show what is left of them
    retry_budget     (per cent of the requests that are active and pending, but at least so many) in place of
                     `max_retries`
    """

    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_requests: int = 1024
    max_retries: int = 3
    track_remaining: bool = False
    retry_budget: tuple[float, int] | None = None


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """One cluster.

    lb_policy        ROUND_ROBIN, LEAST_REQUEST or RANDOM
    connect_timeout  seconds
    endpoints        those of a STATIC cluster
    source           where the others come from, None for STATIC
    buffer_limit     bytes in a connection's write buffer, or held while there is none, above which their source is
                     paused; None: what the transport thinks best
    idle_timeout     seconds an unused connection is kept, None for ever
    max_stream_duration  seconds that one attempt of a request may take once it has a connection, 0 for any time
    """

    name: str
    lb_policy: str = "ROUND_ROBIN"
    connect_timeout: float = 5.0
    endpoints: tuple[Endpoint, ...] = ()
    source: DiscoverySource | None = None
    stat_name: str = ""
    least_request_choices: int = 2
    max_requests_per_connection: int = 0
    idle_timeout: float | None = 3600.0
    max_stream_duration: float = 0.0
    max_response_headers: int = 100
    buffer_limit: int | None = None
    default_thresholds: Thresholds = field(default_factory=Thresholds)
    high_thresholds: Thresholds = field(default_factory=Thresholds)
