"""The settings of each HTTP filter to `model.http_filters`."""

from __future__ import annotations

from typing import Any

from twistproxy.config.fields import Reader
from twistproxy.config.header_rules import build_header_to_add
from twistproxy.config.matchers import header_matcher, string_matcher
from twistproxy.model.header_rules import HeaderRules
from twistproxy.model.http_filters import (
    BufferSettings,
    CorsFilterSettings,
    CorsSettings,
    FaultSettings,
    HeaderMutationSettings,
    HealthCheckSettings,
    MetadataToSet,
    Mutation,
    QueryMutation,
    RouteFilter,
    RuntimeFraction,
    SetMetadataSettings,
)
from twistproxy.primitives.runtime import DENOMINATORS


def build_buffer(reader: Reader, cluster: str = "") -> BufferSettings:
    return BufferSettings(reader.integer("max_request_bytes", 0))


def build_buffer_override(reader: Reader) -> RouteFilter:
    if reader.oneof("override") == "disabled":
        return RouteFilter(None, reader.boolean("disabled"))
    return RouteFilter(build_buffer(reader.message_or_empty("buffer")))


def build_cors(reader: Reader, cluster: str) -> CorsFilterSettings:
    return CorsFilterSettings()


def build_cors_policy(reader: Reader) -> RouteFilter:
    """envoy.extensions.filters.http.cors.v3.CorsPolicy."""
    return RouteFilter(
        CorsSettings(
            tuple(string_matcher(one) for one in reader.messages("allow_origin_string_match")),
            reader.string("allow_methods"),
            reader.string("allow_headers"),
            reader.string("expose_headers"),
            reader.string("max_age"),
            reader.choice("allow_credentials"),
            reader.choice("allow_private_network_access"),
            reader.choice("forward_not_matching_preflights"),
            _fraction(reader, "filter_enabled"),
            _fraction(reader, "shadow_enabled"),
        )
    )


def _fraction(reader: Reader, name: str) -> RuntimeFraction | None:
    """envoy.config.core.v3.RuntimeFractionalPercent."""
    given = reader.message(name)
    if given is None:
        return None
    share = given.message_or_empty("default_value")
    return RuntimeFraction(
        share.integer("numerator", 0),
        DENOMINATORS.get(share.enum("denominator"), 100),
        given.string("runtime_key"),
    )


def build_fault(reader: Reader, cluster: str = "") -> FaultSettings:
    def key(field: str, default: str) -> str:
        return reader.string(field) or f"fault.http.{default}"

    delay = reader.message("delay")
    abort = reader.message_or_empty("abort")
    kind = abort.oneof("error_type")
    rate = reader.message("response_rate_limit")
    rate_key = key("response_rate_limit_percent_runtime", "rate_limit.response_percent")
    delay_ms: int | None = None
    if delay is not None and delay.oneof("fault_delay_secifier") == "fixed_delay":
        delay_ms = round(delay.duration("fixed_delay", 0.0) * 1000)
    elif delay is not None:
        delay.message("header_delay")
    if kind == "header_abort":
        abort.message("header_abort")
    return FaultSettings(
        None
        if delay is None
        else _percentage(delay, key("delay_percent_runtime", "delay.fixed_delay_percent")),
        delay_ms,
        key("delay_duration_runtime", "delay.fixed_duration_ms"),
        _percentage(abort, key("abort_percent_runtime", "abort.abort_percent")),
        None if kind == "header_abort" else abort.integer("http_status", 0),
        key("abort_http_status_runtime", "abort.http_status"),
        reader.string("upstream_cluster"),
        tuple(header_matcher(one) for one in reader.messages("headers")),
        frozenset(node.encode() for node in reader.strings("downstream_nodes")),
        reader.integer("max_active_faults"),
        key("max_active_faults_runtime", "max_active_faults"),
        not reader.boolean("disable_downstream_cluster_stats"),
        abort.integer("grpc_status", 0) if kind == "grpc_status" else None,
        key("abort_grpc_status_runtime", "abort.grpc_status"),
        None if rate is None else _percentage(rate, rate_key),
        None if rate is None else _fixed_rate(rate),
        (reader.struct("filter_metadata") if reader.has("filter_metadata") else None) or {},
    )


def _fixed_rate(rate: Reader) -> int | None:
    """None: the request says it."""
    if rate.oneof("limit_type") == "fixed_limit":
        return rate.message_or_empty("fixed_limit").integer("limit_kbps", 0)
    rate.message("header_limit")
    return None


def build_fault_override(reader: Reader) -> RouteFilter:
    return RouteFilter(build_fault(reader))


def _percentage(reader: Reader, key: str) -> RuntimeFraction:
    share = reader.message_or_empty("percentage")
    denominator = DENOMINATORS.get(share.enum("denominator"), 100)
    return RuntimeFraction(share.integer("numerator", 0), denominator, key)


def build_health_check(reader: Reader, cluster: str) -> HealthCheckSettings:
    """`cluster`: the name of ours."""
    pass_through = reader.boolean("pass_through_mode")
    cache_time = reader.duration("cache_time", 0.0)
    if cache_time and not pass_through:
        reader.problem("cache_time_ms must not be set when path_through_mode is disabled", "cache_time")
    percentages = reader.map_messages("cluster_min_healthy_percentages")
    return HealthCheckSettings(
        pass_through,
        tuple(header_matcher(one) for one in reader.messages("headers")),
        cache_time,
        tuple((name, one.number("value", 0.0)) for name, one in percentages.items()),
        cluster,
    )


def build_header_mutation(reader: Reader, cluster: str = "") -> HeaderMutationSettings:
    return _mutations(
        reader.message_or_empty("mutations"), reader.boolean("most_specific_header_mutations_wins")
    )


def build_header_mutation_override(reader: Reader) -> RouteFilter:
    return RouteFilter(_mutations(reader.message_or_empty("mutations"), False))


def _mutations(reader: Reader, most_specific_wins: bool) -> HeaderMutationSettings:
    def mutations(field: str) -> tuple[Mutation, ...]:
        return tuple(build_mutation(one) for one in reader.messages(field))

    return HeaderMutationSettings(
        mutations("request_mutations"),
        mutations("response_mutations"),
        tuple(_query_mutation(one) for one in reader.messages("query_parameter_mutations")),
        mutations("request_trailers_mutations"),
        mutations("response_trailers_mutations"),
        most_specific_wins,
    )


def build_mutation(reader: Reader) -> Mutation:
    """envoy.config.common.mutation_rules.v3.HeaderMutation."""
    kind = reader.oneof("action")
    if kind == "append":
        return HeaderRules((build_header_to_add(reader.message_or_empty("append")),))
    if kind == "remove_on_match":
        return string_matcher(reader.message_or_empty("remove_on_match").message_or_empty("key_matcher"))
    name = reader.string("remove").lower()
    if name.startswith(":") or name == "host":
        reader.problem(":-prefixed or host headers may not be removed", "remove")
    return HeaderRules(remove=(name,))


def _query_mutation(reader: Reader) -> QueryMutation:
    """envoy.config.core.v3.KeyValueMutation."""
    key = reader.string("remove")
    append = reader.message("append")
    if append is None:
        if not key:
            reader.problem("either append or remove is expected")
        return QueryMutation(key)
    if key:
        reader.problem("Only one of 'append'/'remove can be specified.", "remove")
    record = append.message("record") or append.message_or_empty("entry")
    value = ""
    given: Any = record.message("value") if record.raw.DESCRIPTOR.name == "KeyValuePair" else None
    if given is None:
        value = _text(record)
    elif given.oneof("kind") == "string_value":
        value = given.string("string_value")
    else:
        given.problem("only strings are implemented")
    return QueryMutation(record.string("key"), value, append.enum("action"))


def _text(record: Reader) -> str:
    """The value of a KeyValue, whose bytes have to be text here."""
    try:
        return record.octets("value").decode()
    except UnicodeDecodeError:
        record.problem("is not UTF-8 text", "value")
        return ""


def build_set_metadata(reader: Reader, cluster: str) -> SetMetadataSettings:
    """The deprecated fields come first, and overwrite."""
    found = []
    namespace = reader.string("metadata_namespace")
    value = reader.struct("value")
    if namespace or value:
        found.append(MetadataToSet(namespace, value, True))
    for one in reader.messages("metadata"):
        if one.has("typed_value"):
            one.refuse("typed_value", "is not implemented; value is")
        found.append(
            MetadataToSet(
                one.string("metadata_namespace"), one.struct("value"), one.boolean("allow_overwrite")
            )
        )
    return SetMetadataSettings(tuple(found))


def build_set_metadata_override(reader: Reader) -> RouteFilter:
    """The same, in place of what is said further out."""
    return RouteFilter(build_set_metadata(reader, ""))
