"""HTTP filters and what routes say about them, to `model.http_filters`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from twistproxy.config.fields import Reader
from twistproxy.config.filter_settings import (
    build_buffer,
    build_buffer_override,
    build_cors,
    build_cors_policy,
    build_fault,
    build_fault_override,
    build_header_mutation,
    build_header_mutation_override,
    build_health_check,
    build_set_metadata,
    build_set_metadata_override,
)
from twistproxy.config.filter_state import build_set_filter_state, build_set_filter_state_override
from twistproxy.config.guards import build_adaptive_concurrency, build_admission_control
from twistproxy.model.http_filters import OLD_CORS, FilterLevel, HttpFilterSettings, RouteFilter

ROUTER = "envoy.extensions.filters.http.router.v3.Router"
_FILTER_CONFIG = "envoy.config.route.v3.FilterConfig"
_PREFIX = "envoy.extensions.filters.http."


@dataclass(frozen=True, slots=True)
class _Kind:
    """name         what Envoy calls it in errors
    build           makes the settings of the chain; it is given the reader and our cluster's name
    override        the message type of a route's settings, "" if routes have none
    build_override  makes what a route says
    old_name        see `HttpFilterSettings`
    """

    name: str
    build: Callable[[Reader, str], Any]
    override: str = ""
    build_override: Callable[[Reader], RouteFilter] | None = None
    old_name: str = ""


_KINDS = {
    _PREFIX + "adaptive_concurrency.v3.AdaptiveConcurrency": _Kind(
        "envoy.filters.http.adaptive_concurrency", build_adaptive_concurrency
    ),
    _PREFIX + "admission_control.v3.AdmissionControl": _Kind(
        "envoy.filters.http.admission_control", build_admission_control
    ),
    _PREFIX + "buffer.v3.Buffer": _Kind(
        "envoy.filters.http.buffer",
        build_buffer,
        _PREFIX + "buffer.v3.BufferPerRoute",
        build_buffer_override,
    ),
    _PREFIX + "cors.v3.Cors": _Kind(
        "envoy.filters.http.cors", build_cors, _PREFIX + "cors.v3.CorsPolicy", build_cors_policy, OLD_CORS
    ),
    _PREFIX + "fault.v3.HTTPFault": _Kind(
        "envoy.filters.http.fault", build_fault, _PREFIX + "fault.v3.HTTPFault", build_fault_override
    ),
    _PREFIX + "header_mutation.v3.HeaderMutation": _Kind(
        "envoy.filters.http.header_mutation",
        build_header_mutation,
        _PREFIX + "header_mutation.v3.HeaderMutationPerRoute",
        build_header_mutation_override,
    ),
    _PREFIX + "health_check.v3.HealthCheck": _Kind("envoy.filters.http.health_check", build_health_check),
    _PREFIX + "set_filter_state.v3.Config": _Kind(
        "envoy.filters.http.set_filter_state",
        build_set_filter_state,
        _PREFIX + "set_filter_state.v3.Config",
        build_set_filter_state_override,
    ),
    _PREFIX + "set_metadata.v3.Config": _Kind(
        "envoy.filters.http.set_metadata",
        build_set_metadata,
        _PREFIX + "set_metadata.v3.Config",
        build_set_metadata_override,
    ),
}
_OVERRIDES = {kind.override: kind.build_override for kind in _KINDS.values() if kind.build_override}


def build_http_filters(
    owner: Reader, cluster: str, field: str = "http_filters", chain: str = "http"
) -> tuple[tuple[HttpFilterSettings, ...], Reader | None]:
    """The filters before the router, and the router's settings.

    cluster  the name of ours
    chain    what it is called in errors
    """
    found: list[HttpFilterSettings] = []
    router: Reader | None = None
    filters = owner.messages(field)
    for one in filters:
        name = one.string("name")
        last = one is filters[-1]
        config = one.unpack("typed_config")
        optional = one.boolean("is_optional")
        disabled = one.boolean("disabled")
        if config is None:
            if not one.has("typed_config"):
                one.problem("a typed_config is expected", "typed_config")
            continue
        if config.type_name == ROUTER:
            router = config
            if not last:
                one.problem(
                    f"Error: terminal filter named {name} of type envoy.filters.http.router must be the last filter"
                    f" in a {chain} filter chain."
                )
            elif disabled:
                one.problem(
                    f"Error: the last (terminal) filter ({name}) in the chain cannot be disabled by default.",
                    "disabled",
                )
            continue
        kind = _KINDS.get(config.type_name)
        if kind is None:
            config.ignore_all()
            if not optional:
                one.problem(f"the HTTP filter {config.called} is not implemented", "typed_config")
            continue
        found.append(HttpFilterSettings(name, kind.build(config, cluster), disabled, kind.old_name))
        if last:
            one.problem(
                f"Error: non-terminal filter named {name} of type {kind.name} is the last filter in a {chain}"
                " filter chain."
            )
    return tuple(found), router


def build_filter_level(owner: Reader) -> FilterLevel:
    """`typed_per_filter_config` of a route, virtual host, route configuration or weighted cluster."""
    level: dict[str, RouteFilter] = {}
    for name, config in owner.map_messages("typed_per_filter_config").items():
        said = _route_filter(name, config)
        if said is not None:
            level[name] = said
    return level


def build_old_cors(owner: Reader) -> FilterLevel:
    """The deprecated `cors` of a virtual host or of a route's action, as a level of its own."""
    policy = owner.message("cors")
    return {} if policy is None else {OLD_CORS: build_cors_policy(policy)}


def with_outer(own: FilterLevel, outer: tuple[FilterLevel, ...]) -> tuple[FilterLevel, ...]:
    """The levels that say something about filters, the most specific first."""
    return (own, *outer) if own else outer


def _route_filter(name: str, config: Reader) -> RouteFilter | None:
    if config.type_name != _FILTER_CONFIG:
        return _override(name, config, False)
    disabled = config.boolean("disabled")
    optional = config.boolean("is_optional")
    inner = config.unpack("config")
    if inner is None:
        if disabled or config.has("config"):
            return RouteFilter(None, disabled)
        config.problem(f"Empty route/virtual host per filter configuration for {name} filter", "config")
        return None
    said = _override(name, inner, optional)
    if said is None:
        return None
    return RouteFilter(said.settings, said.disabled or disabled)


def _override(name: str, config: Reader, optional: bool) -> RouteFilter | None:
    build = _OVERRIDES.get(config.type_name)
    if build is not None:
        return build(config)
    config.ignore_all()
    kind = _KINDS.get(config.type_name)
    if config.type_name == ROUTER or (kind is not None and not kind.override):
        config.problem(f"The filter {name} doesn't support virtual host or route specific configurations")
    elif kind is not None:
        config.problem(f"Unable to unpack as {kind.override}: it is a {config.type_name}")
    elif not optional:
        config.problem(f"the HTTP filter of {config.called} is not implemented")
    return None
