"""The filters admission control and adaptive concurrency to `model.guards`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.model.guards import (
    AdaptiveConcurrencySettings,
    AdmissionControlSettings,
    GradientSettings,
    RuntimeFlag,
    RuntimeNumber,
)

#: Envoy's SuccessCriteriaEvaluator: what is a success where the configuration does not say.
_HTTP_SUCCESS = ((0, 500),)
_GRPC_SUCCESS = frozenset((0, 1, 2, 3, 5, 6, 7, 9, 11, 12, 16))
_LEAST_STATUS, _MOST_STATUS = 100, 600
_MOST_GRPC_STATUS = 16


def build_admission_control(reader: Reader, cluster: str = "") -> AdmissionControlSettings:
    criteria = reader.message_or_empty("success_criteria")
    http: tuple[tuple[int, int], ...] = _HTTP_SUCCESS
    grpc = _GRPC_SUCCESS
    http_criteria = criteria.message("http_criteria")
    if http_criteria is not None:
        http = tuple(_range(one) for one in http_criteria.messages("http_success_status"))
    grpc_criteria = criteria.message("grpc_criteria")
    if grpc_criteria is not None:
        grpc = frozenset(grpc_criteria.integers("grpc_success_status"))
        for status in sorted(grpc):
            if status > _MOST_GRPC_STATUS:
                grpc_criteria.problem(f"invalid gRPC code {status}", "grpc_success_status")
    threshold = reader.message("sr_threshold")
    if threshold is not None and threshold.message_or_empty("default_value").number("value", 0.0) < 1.0:
        threshold.problem("Success rate threshold cannot be less than 1.0%.", "default_value")
    window = int(reader.duration("sampling_window", 30.0))
    if window < 1:
        reader.problem("must be at least a second: with less Envoy divides by zero", "sampling_window")
    return AdmissionControlSettings(
        http,
        grpc,
        window,
        runtime_flag(reader),
        _number(reader, "aggression", 1.0),
        _percent(reader, "sr_threshold", 95.0),
        _number(reader, "rps_threshold", 0),
        _percent(reader, "max_rejection_probability", 80.0),
    )


def _range(reader: Reader) -> tuple[int, int]:
    """envoy.type.v3.Int32Range of HTTP statuses."""
    start, end = reader.integer("start", 0), reader.integer("end", 0)
    if not _LEAST_STATUS <= start <= end <= _MOST_STATUS:
        reader.problem(f"invalid HTTP range: [{start}, {end})")
    return start, end


def runtime_flag(reader: Reader) -> RuntimeFlag:
    """`enabled`, an envoy.config.core.v3.RuntimeFeatureFlag."""
    given = reader.message("enabled")
    if given is None:
        return RuntimeFlag()
    return RuntimeFlag(given.boolean("default_value", True), given.string("runtime_key"))


def _number(reader: Reader, name: str, default: float) -> RuntimeNumber:
    given = reader.message(name)
    if given is None:
        return RuntimeNumber(default)
    return RuntimeNumber(given.number("default_value", 0.0), given.string("runtime_key"))


def _percent(reader: Reader, name: str, default: float) -> RuntimeNumber:
    given = reader.message(name)
    if given is None:
        return RuntimeNumber(default)
    value = given.message_or_empty("default_value").number("value", 0.0)
    return RuntimeNumber(value, given.string("runtime_key"))


def build_adaptive_concurrency(reader: Reader, cluster: str = "") -> AdaptiveConcurrencySettings:
    gradient = reader.message_or_empty("gradient_controller_config")
    limit = gradient.message_or_empty("concurrency_limit_params")
    rtt = gradient.message_or_empty("min_rtt_calc_params")
    status = reader.message("concurrency_limit_exceeded_status")
    interval, fixed = rtt.duration("interval", 0.0), rtt.duration("fixed_value", 0.0)
    if not rtt.has("interval") and fixed < 0.001:
        rtt.problem("adaptive_concurrency: neither `concurrency_update_interval` nor `fixed_value` set")
    code = 0 if status is None else status.integer("code", 0)
    return AdaptiveConcurrencySettings(
        GradientSettings(
            limit.duration("concurrency_update_interval", 0.0),
            limit.integer("max_concurrency_limit", 1000),
            _share(gradient, "sample_aggregate_percentile", 50.0),
            interval,
            fixed,
            rtt.integer("request_count", 50),
            _share(rtt, "jitter", 15.0),
            rtt.integer("min_concurrency", 3),
            _share(rtt, "buffer", 25.0),
        ),
        runtime_flag(reader),
        code if code >= 400 else 503,
    )


def _share(reader: Reader, name: str, default: float) -> float:
    """envoy.type.v3.Percent"""
    given = reader.message(name)
    return default if given is None else given.number("value", 0.0)
