"""Settings of the filters that refuse requests for the health of the upstreams: admission control and adaptive
concurrency."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class RuntimeNumber:
    """envoy.config.core.v3.RuntimeDouble, RuntimePercent and RuntimeUInt32: the runtime may say otherwise."""

    value: float
    runtime_key: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeFlag:
    """envoy.config.core.v3.RuntimeFeatureFlag"""

    value: bool = True
    runtime_key: str = ""


@dataclass(frozen=True, slots=True)
class AdmissionControlSettings:
    """envoy.extensions.filters.http.admission_control.v3

    http_success   ranges of statuses [start, end) that are successes
    grpc_success   gRPC statuses that are
    window         seconds over which requests are counted
    sr_threshold, max_rejection   percent
    """

    http_success: tuple[tuple[int, int], ...]
    grpc_success: frozenset[int]
    window: int = 30
    enabled: RuntimeFlag = RuntimeFlag()
    aggression: RuntimeNumber = RuntimeNumber(1.0)
    sr_threshold: RuntimeNumber = RuntimeNumber(95.0)
    rps_threshold: RuntimeNumber = RuntimeNumber(0)
    max_rejection: RuntimeNumber = RuntimeNumber(80.0)


@dataclass(frozen=True, slots=True)
class GradientSettings:
    """envoy.extensions.filters.http.adaptive_concurrency.v3.GradientControllerConfig.  Times in seconds, shares in
    percent.

    fixed_rtt   the least round-trip time is this and is not measured; 0: it is
    """

    update_interval: float
    max_limit: int = 1000
    percentile: float = 50.0
    rtt_interval: float = 0.0
    fixed_rtt: float = 0.0
    rtt_requests: int = 50
    jitter: float = 15.0
    min_limit: int = 3
    buffer: float = 25.0


@dataclass(frozen=True, slots=True)
class AdaptiveConcurrencySettings:
    """envoy.extensions.filters.http.adaptive_concurrency.v3; `status` of what is refused."""

    gradient: GradientSettings
    enabled: RuntimeFlag = RuntimeFlag()
    status: int = 503


def gradient_key(listener: str, number: int, settings: GradientSettings) -> str:
    """By what all processes know a controller: the filter of this number among those of its kind in the listener's
    chain, as long as its settings stay."""
    return f"gradient\0{listener}\0{number}\0{settings}"


def gradient_keys(listeners: Iterable[Any]) -> Iterator[str]:
    """The keys of all controllers of these `model.listener.ListenerSettings`."""
    for listener in listeners:
        number = 0
        for one in listener.filter_chain.http_manager.filters:
            if isinstance(one.settings, AdaptiveConcurrencySettings):
                yield gradient_key(listener.name, number, one.settings.gradient)
                number += 1
