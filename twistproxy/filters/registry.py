"""Which class does what a filter's settings say."""

from __future__ import annotations

from typing import Any

from twistproxy.filters.adaptive_concurrency import AdaptiveConcurrencyFilter
from twistproxy.filters.admission_control import AdmissionControlFilter
from twistproxy.filters.buffer import BufferFilter
from twistproxy.filters.cors import CorsFilter
from twistproxy.filters.fault import make_fault_filter
from twistproxy.filters.header_mutation import HeaderMutationFilter
from twistproxy.filters.health_check import HealthCheckFilter
from twistproxy.filters.set_filter_state import SetFilterStateFilter
from twistproxy.filters.set_metadata import SetMetadataFilter
from twistproxy.filters.tools import FilterTools
from twistproxy.model.guards import AdaptiveConcurrencySettings, AdmissionControlSettings
from twistproxy.model.http_filters import (
    BufferSettings,
    CorsFilterSettings,
    CorsSettings,
    FaultSettings,
    HeaderMutationSettings,
    HealthCheckSettings,
    SetFilterStateSettings,
    SetMetadataSettings,
)

#: Settings of a filter in the chain: the class that does it, and the class of its settings at routes.
_FILTERS: dict[type[Any], tuple[Any, type[Any]]] = {
    AdaptiveConcurrencySettings: (AdaptiveConcurrencyFilter, AdaptiveConcurrencySettings),
    AdmissionControlSettings: (AdmissionControlFilter, AdmissionControlSettings),
    BufferSettings: (BufferFilter, BufferSettings),
    CorsFilterSettings: (CorsFilter, CorsSettings),
    FaultSettings: (make_fault_filter, FaultSettings),
    HeaderMutationSettings: (HeaderMutationFilter, HeaderMutationSettings),
    HealthCheckSettings: (HealthCheckFilter, HealthCheckSettings),
    SetFilterStateSettings: (SetFilterStateFilter, SetFilterStateSettings),
    SetMetadataSettings: (SetMetadataFilter, SetMetadataSettings),
}


def make_filter(settings: Any, overrides: tuple[Any, ...], tools: FilterTools) -> Any:
    """The filter for these settings.

    overrides  what the levels of a route say about it, the most specific first; settings of another filter, which has
               the same name in another chain, do not count
    """
    made, route_settings = _FILTERS[type(settings)]
    return made(settings, tuple(one for one in overrides if isinstance(one, route_settings)), tools)
