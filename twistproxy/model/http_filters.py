"""HTTP filters as configured, made into objects by `filters.registry`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twistproxy.http.header_match import HeaderMatcher
from twistproxy.model.access_log import LogFormat
from twistproxy.model.header_rules import HeaderRules
from twistproxy.primitives.string_match import StringMatcher


@dataclass(frozen=True, slots=True)
class HttpFilterSettings:
    """One filter of a chain.

    name      by which routes refer to it
    settings  one of the classes below
    disabled  it acts only where a route enables it
    old_name  what to look for at a route that says nothing under `name`: fields of the route from before filters had
              settings there
    """

    name: str
    settings: Any
    disabled: bool = False
    old_name: str = ""


@dataclass(frozen=True, slots=True)
class RouteFilter:
    """What a route, virtual host, route configuration or weighted cluster says about a filter.

    settings  one of the classes below, or None
    disabled  whether it does not act here
    """

    settings: Any = None
    disabled: bool = False


#: The field `cors` of routes and virtual hosts, as a name in a level: no filter can be called so.
OLD_CORS = "\0cors"

#: One level's words about filters, by their names.
FilterLevel = Mapping[str, RouteFilter]


@dataclass(frozen=True, slots=True)
class BufferSettings:
    """envoy.extensions.filters.http.buffer.v3"""

    max_request_bytes: int


@dataclass(frozen=True, slots=True)
class RuntimeFraction:
    """envoy.config.core.v3.RuntimeFractionalPercent"""

    numerator: int = 100
    denominator: int = 100
    runtime_key: str = ""


@dataclass(frozen=True, slots=True)
class CorsSettings:
    """envoy.extensions.filters.http.cors.v3.CorsPolicy.  None: as the level above says.

    max_age  a text of seconds
    """

    origins: tuple[StringMatcher, ...] = ()
    allow_methods: str = ""
    allow_headers: str = ""
    expose_headers: str = ""
    max_age: str = ""
    allow_credentials: bool | None = None
    private_network: bool | None = None
    forward_unmatched_preflights: bool | None = None
    enabled: RuntimeFraction | None = None
    shadow: RuntimeFraction | None = None


@dataclass(frozen=True, slots=True)
class CorsFilterSettings:
    """envoy.extensions.filters.http.cors.v3.Cors: what it does is said by the routes."""


@dataclass(frozen=True, slots=True)
class HealthCheckSettings:
    """envoy.extensions.filters.http.health_check.v3.  `cache_time` in seconds, 0 for no cache.

    min_healthy  percent of the hosts of each cluster that have to be healthy
    """

    pass_through: bool
    headers: tuple[HeaderMatcher, ...] = ()
    cache_time: float = 0.0
    min_healthy: tuple[tuple[str, float], ...] = ()
    cluster: str = ""


@dataclass(frozen=True, slots=True)
class QueryMutation:
    """envoy.config.core.v3.KeyValueMutation.  `action` of an append; "" removes."""

    key: str
    value: str = ""
    action: str = ""


#: Rules of one header, or a matcher of the names that go.
Mutation = HeaderRules | StringMatcher


@dataclass(frozen=True, slots=True)
class HeaderMutationSettings:
    """envoy.extensions.filters.http.header_mutation.v3, each list in the order in which it acts."""

    request: tuple[Mutation, ...] = ()
    response: tuple[Mutation, ...] = ()
    query: tuple[QueryMutation, ...] = ()
    request_trailers: tuple[Mutation, ...] = ()
    response_trailers: tuple[Mutation, ...] = ()
    most_specific_wins: bool = False


@dataclass(frozen=True, slots=True)
class MetadataToSet:
    """Plain values for a namespace of the dynamic metadata."""

    namespace: str
    value: Mapping[str, Any]
    overwrite: bool = False


@dataclass(frozen=True, slots=True)
class SetMetadataSettings:
    """envoy.extensions.filters.http.set_metadata.v3"""

    metadata: tuple[MetadataToSet, ...]


@dataclass(frozen=True, slots=True)
class StateRule:
    """An object for the filter state.

    factory        the name of what makes it of a text (`api.filter_state.FACTORIES`)
    format         that makes the text
    skip_if_empty  there is no object of ""
    shared         the connection to the upstream gets to know it
    """

    key: str
    factory: str
    format: LogFormat
    skip_if_empty: bool = False
    shared: bool = False


@dataclass(frozen=True, slots=True)
class SetFilterStateSettings:
    """envoy.extensions.filters.http.set_filter_state.v3"""

    rules: tuple[StateRule, ...]
    clear_route_cache: bool = False


@dataclass(frozen=True, slots=True)
class FaultSettings:
    """envoy.extensions.filters.http.fault.v3, with the keys under which the runtime may say otherwise.

    delay_share   None: no delays
    delay_ms      None: the request says it
    abort_status  None: the request says it; 0: no aborts, but for the runtime
    abort_grpc    the gRPC status of aborts, instead; None: none is configured
    rate_share    None: responses are as fast as they come
    rate          KiB of content a second; None: the request says it
    metadata      what is left in the dynamic metadata, under the filter's name, where something was delayed or aborted
    nodes         values of x-envoy-downstream-service-node; empty for any
    cluster_stats count by downstream cluster, too
    """

    delay_share: RuntimeFraction | None
    delay_ms: int | None
    delay_key: str
    abort_share: RuntimeFraction
    abort_status: int | None
    status_key: str
    upstream_cluster: str = ""
    headers: tuple[HeaderMatcher, ...] = ()
    nodes: frozenset[bytes] = frozenset()
    max_active: int | None = None
    max_active_key: str = ""
    cluster_stats: bool = True
    abort_grpc: int | None = None
    grpc_key: str = ""
    rate_share: RuntimeFraction | None = None
    rate: int | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict, hash=False)
