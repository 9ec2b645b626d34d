"""envoy.config.cluster.v3.OutlierDetection, and what HTTP protocol options say of it, to `model.outlier`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.matchers import header_matchers
from twistproxy.http.response_match import ResponseMatcher
from twistproxy.model.outlier import OutlierSettings

_DEFAULTS = OutlierSettings()

#: Fields that are whole numbers and called the same in the settings.
_NUMBERS = (
    "consecutive_5xx",
    "consecutive_gateway_failure",
    "consecutive_local_origin_failure",
    "max_ejection_percent",
    "enforcing_consecutive_5xx",
    "enforcing_consecutive_gateway_failure",
    "enforcing_consecutive_local_origin_failure",
    "enforcing_success_rate",
    "enforcing_local_origin_success_rate",
    "enforcing_failure_percentage",
    "enforcing_failure_percentage_local_origin",
    "success_rate_minimum_hosts",
    "success_rate_request_volume",
    "success_rate_stdev_factor",
    "failure_percentage_threshold",
    "failure_percentage_minimum_hosts",
    "failure_percentage_request_volume",
)


def build_outlier_detection(reader: Reader | None, errors: ResponseMatcher | None) -> OutlierSettings | None:
    """`reader`: the cluster's outlier_detection, None if there is none.  `errors`: see `build_error_matcher`."""
    if reader is None:
        return None
    base = _milliseconds(reader, "base_ejection_time", _DEFAULTS.base_ejection_time)
    longest = _milliseconds(reader, "max_ejection_time", max(_DEFAULTS.max_ejection_time, base))
    if longest < base:
        reader.problem(
            "outlier detector's max_ejection_time cannot be smaller than base_ejection_time",
            "max_ejection_time",
        )
    if reader.messages("monitors"):
        reader.refuse("monitors", "extensions of outlier detection are not implemented")
    return OutlierSettings(
        errors=errors,
        split=reader.boolean("split_external_local_origin_errors"),
        interval=_milliseconds(reader, "interval", _DEFAULTS.interval),
        base_ejection_time=base,
        max_ejection_time=longest,
        max_ejection_time_jitter=_milliseconds(reader, "max_ejection_time_jitter", 0),
        always_eject_one_host=reader.boolean("always_eject_one_host"),
        detect_degraded_hosts=reader.boolean("detect_degraded_hosts"),
        uneject_when_checked=reader.boolean("successful_active_health_check_uneject_host", True),
        **{name: reader.integer(name, getattr(_DEFAULTS, name)) for name in _NUMBERS},
    )


def _milliseconds(reader: Reader, field: str, default: int) -> int:
    return int(reader.duration(field, default / 1000) * 1000)


def build_error_matcher(reader: Reader) -> ResponseMatcher | None:
    """Of the HTTP protocol options `reader`: which responses are failures, None for those of 5xx."""
    options = reader.message("outlier_detection")
    return None if options is None else _matcher(options.message_or_empty("error_matcher"))


def _matcher(reader: Reader) -> ResponseMatcher:
    """An envoy.config.common.matcher.v3.MatchPredicate."""
    kind = reader.oneof("rule")
    if kind == "http_response_headers_match":
        return ResponseMatcher(header_matchers(reader.message_or_empty(kind), "headers"))
    if kind in ("and_match", "or_match"):
        rules = tuple(_matcher(one) for one in reader.message_or_empty(kind).messages("rules"))
        return ResponseMatcher(all_of=rules) if kind == "and_match" else ResponseMatcher(any_of=rules)
    if kind == "not_match":
        return ResponseMatcher(all_of=(_matcher(reader.message_or_empty(kind)),), invert=True)
    if kind == "any_match":
        reader.boolean(kind)
    else:
        reader.refuse(kind, "only the head of a response can say whether it is an error")
    return ResponseMatcher()
