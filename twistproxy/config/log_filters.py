"""envoy.config.accesslog.v3.AccessLogFilter to `observe.log_filters`."""

from __future__ import annotations

from twistproxy.config.fields import Reader
from twistproxy.config.matchers import header_matcher, metadata_matcher
from twistproxy.model.access_log import LogFilter
from twistproxy.observe import log_filters as found
from twistproxy.observe.flags import flags_of
from twistproxy.primitives.runtime import DENOMINATORS

#: envoy.config.accesslog.v3.GrpcStatusFilter.Status, by number.
_GRPC: tuple[str, ...] = (
    *("OK", "CANCELED", "UNKNOWN", "INVALID_ARGUMENT", "DEADLINE_EXCEEDED", "NOT_FOUND", "ALREADY_EXISTS"),
    *("PERMISSION_DENIED", "RESOURCE_EXHAUSTED", "FAILED_PRECONDITION", "ABORTED", "OUT_OF_RANGE"),
    *("UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "UNAUTHENTICATED"),
)


def build_log_filter(reader: Reader) -> LogFilter | None:
    """The filter; None if it cannot be built, which is noted."""
    kind = reader.oneof("filter_specifier")
    if kind is None:
        reader.problem("a filter is expected")
        return None
    one = reader.message_or_empty(kind)
    if kind == "status_code_filter":
        return found.ByStatus(_comparison(one))
    if kind == "duration_filter":
        return found.ByDuration(_comparison(one))
    if kind == "not_health_check_filter":
        return found.NotHealthCheck()
    if kind == "traceable_filter":
        return found.Never()
    if kind == "runtime_filter":
        return _sampled(one)
    if kind in ("and_filter", "or_filter"):
        several = [build_log_filter(each) for each in one.messages("filters")]
        filters = tuple(each for each in several if each is not None)
        return found.And(filters) if kind == "and_filter" else found.Or(filters)
    if kind == "header_filter":
        return found.ByHeader(header_matcher(one.message_or_empty("header")))
    if kind == "response_flag_filter":
        return found.ByFlags(flags_of(one.strings("flags")))
    if kind == "grpc_status_filter":
        numbers = frozenset(_GRPC.index(name) for name in one.enums("statuses") if name in _GRPC)
        return found.ByGrpcStatus(numbers, one.boolean("exclude"))
    if kind == "metadata_filter":
        return _by_metadata(one)
    if kind == "log_type_filter":
        return found.ByType(frozenset(one.enums("types")), one.boolean("exclude"))
    reader.problem("is not implemented", kind)
    one.ignore_all()
    return None


def _comparison(reader: Reader) -> found.Comparison:
    comparison = reader.message_or_empty("comparison")
    value = comparison.message_or_empty("value")
    return found.Comparison(
        comparison.enum("op"), value.integer("default_value", 0), value.string("runtime_key")
    )


def _sampled(reader: Reader) -> found.Sampled:
    share = reader.message_or_empty("percent_sampled")
    return found.Sampled(
        reader.string("runtime_key"),
        share.integer("numerator", 0),
        DENOMINATORS[share.enum("denominator")],
        reader.boolean("use_independent_randomness"),
    )


def _by_metadata(reader: Reader) -> found.ByMetadata | None:
    matcher = reader.message("matcher")
    otherwise = reader.boolean("match_if_key_not_found", True)
    if matcher is None:
        reader.problem("a matcher is expected", "matcher")
        return None
    return found.ByMetadata(metadata_matcher(matcher), otherwise)
