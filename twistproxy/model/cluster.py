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
from twistproxy.model.original_dst import OriginalDstSettings
from twistproxy.model.outlier import OutlierSettings
from twistproxy.model.retry import RetryPolicy
from twistproxy.model.sockets import UpstreamSockets


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Circuit breaker limits of one priority; the defaults are Envoy's.

    max_connection_pools, max_connections_per_host  None for any number; the latter counts those of both priorities
    track_remaining  show what is left of them
    retry_budget     (per cent of the requests that are active and pending, but at least so many) in place of
                     `max_retries`
    """

    max_connections: int = 1024
    max_pending_requests: int = 1024
    max_requests: int = 1024
    max_retries: int = 3
    max_connection_pools: int | None = None
    max_connections_per_host: int | None = None
    track_remaining: bool = False
    retry_budget: tuple[float, int] | None = None


@dataclass(frozen=True, slots=True)
class ProxyProtocol:
    """The header of the PROXY protocol that connections begin with.  `version`: V1 or V2; `tlvs`: what the latter has
    beside the addresses."""

    version: str
    tlvs: bytes = b""


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """One cluster.

    balancing        how hosts are chosen
    policy           what is said of all its endpoints, unless discovery says something else
    connect_timeout  seconds
    original_dst     how the destination of a request is found, for clusters of that type
    aggregate        the names of the clusters of an aggregate one, in the order in which they are used
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
    sockets          None where they are as usual
    proxy_protocol   what connections begin with
    preconnect_ratio  connections that a host shall have for each request it has
    predictive_preconnect_ratio  connections that the cluster shall have for each request it has and the one coming;
                     neither is above 3
    """

    name: str
    balancing: Balancing = field(default_factory=Balancing)
    policy: AssignmentPolicy = field(default_factory=AssignmentPolicy)
    connect_timeout: float = 5.0
    original_dst: OriginalDstSettings | None = None
    aggregate: tuple[str, ...] = ()
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
    sockets: UpstreamSockets | None = None
    proxy_protocol: ProxyProtocol | None = None
    preconnect_ratio: float = 1.0
    predictive_preconnect_ratio: float = 1.0
    pool_per_downstream_connection: bool = False

    @property
    def limits_hosts(self) -> bool:
        """Whether a host may have so many connections only."""
        every = (self.default_thresholds, self.high_thresholds)
        return any(one.max_connections_per_host is not None for one in every)

    @property
    def counts_hosts_together(self) -> bool:
        """Whether it matters what other workers have at a host."""
        return self.balancing.compares_load or self.limits_hosts

    @property
    def has_special_pools(self) -> bool:
        """Whether pools of the usual kind (`upstream.pool.http`) are not enough."""
        every = (self.default_thresholds, self.high_thresholds)
        return bool(
            self.sockets is not None
            or self.proxy_protocol is not None
            or self.preconnect_ratio > 1.0
            or self.predictive_preconnect_ratio > 1.0
            or self.pool_per_downstream_connection
            or any(one.max_connection_pools is not None for one in every)
            or self.limits_hosts
        )
