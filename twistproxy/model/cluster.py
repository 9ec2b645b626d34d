"""Clusters as configured (envoy.config.cluster.v3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twistproxy.model.balancing import Balancing
from twistproxy.model.discovery import DiscoverySource
from twistproxy.model.endpoint import AssignmentPolicy, Endpoint
from twistproxy.model.health_check import ClusterChecks
from twistproxy.model.http1 import UpstreamHttp1Settings
from twistproxy.model.outlier import OutlierSettings
from twistproxy.model.retry import RetryPolicy


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

    balancing        how hosts are chosen
    policy           what is said of all its endpoints, unless discovery says something else
    connect_timeout  seconds
    endpoints        those of a STATIC cluster
    source           where the others come from, None for STATIC
    buffer_limit     bytes in a connection's write buffer, or held while there is none, above which their source is
                     paused; None: what the transport thinks best
    idle_timeout     seconds an unused connection is kept, None for ever
    retry            in place of the policies of routes
    max_stream_duration  seconds that one attempt of a request may take once it has a connection, 0 for any time
    max_connection_duration  seconds any connection takes requests, None for ever
    health_checks    None: its hosts are not checked
    close_on_failure  when a host fails its health checks or is ejected, its tunnels are closed
    close_on_change  when hosts come or go, no connection to any of them takes further requests
    """

    name: str
    balancing: Balancing = field(default_factory=Balancing)
    policy: AssignmentPolicy = field(default_factory=AssignmentPolicy)
    connect_timeout: float = 5.0
    endpoints: tuple[Endpoint, ...] = ()
    source: DiscoverySource | None = None
    stat_name: str = ""
    max_requests_per_connection: int = 0
    idle_timeout: float | None = 3600.0
    max_stream_duration: float = 0.0
    retry: RetryPolicy | None = None
    max_connection_duration: float | None = None
    http1: UpstreamHttp1Settings = field(default_factory=UpstreamHttp1Settings)
    buffer_limit: int | None = None
    metadata: Mapping[str, Any] | None = field(default=None, hash=False)
    default_thresholds: Thresholds = field(default_factory=Thresholds)
    high_thresholds: Thresholds = field(default_factory=Thresholds)
    outlier: OutlierSettings | None = None
    health_checks: ClusterChecks | None = None
    close_on_failure: bool = False
    close_on_change: bool = False
