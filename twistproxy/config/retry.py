"""Retry and hedge policies and the time limits of routes to `model.retry`."""

from __future__ import annotations

from dataclasses import dataclass, replace

from twistproxy.config.fields import Reader
from twistproxy.config.matchers import header_matchers
from twistproxy.config.values import namespace_of
from twistproxy.model.retry import (
    NO_PLAN,
    RETRY_ON,
    RETRY_ON_GRPC,
    RequestPlan,
    ResetHeader,
    RetryPolicy,
    retry_words,
)
from twistproxy.primitives.metadata_match import Labels, labels

_PREDICATES = "envoy.extensions.retry.host."
_PREVIOUS_PRIORITIES = "envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"


@dataclass(frozen=True, slots=True)
class VirtualHostPlan:
    """What a virtual host says for all its routes: of this a route's own retry and hedge policy take the place.

    new_limit, old_limit  request_body_buffer_limit and per_request_buffer_limit_bytes
    """

    retry: RetryPolicy | None
    hedge: bool | None
    new_limit: int | None
    old_limit: int | None
    plan: RequestPlan


def build_virtual_host_plan(reader: Reader) -> VirtualHostPlan:
    """The fields of envoy.config.route.v3.VirtualHost."""
    _refuse(reader, "retry_policy_typed_config")
    return VirtualHostPlan(
        retry=build_retry_policy(reader.message("retry_policy")),
        hedge=_hedge(reader.message("hedge_policy")),
        new_limit=reader.integer("request_body_buffer_limit"),
        old_limit=reader.integer("per_request_buffer_limit_bytes"),
        plan=RequestPlan(
            count_in_request=reader.boolean("include_request_attempt_count"),
            count_in_response=reader.boolean("include_attempt_count_in_response"),
            tell_timeout_retry=reader.boolean("include_is_timeout_retry_header"),
        ),
    )


def build_plan(route: Reader, action: Reader, of_host: VirtualHostPlan) -> RequestPlan | None:
    """The plan of one route, None if one attempt within the route's timeout is all there is.

    `route`, `action`: envoy.config.route.v3.Route and its RouteAction."""
    _refuse(action, "retry_policy_typed_config")
    # These are about HTTP/3 and about HTTP/2 streams whose end waits for flow control.
    action.ignore("early_data_policy", "flush_timeout")
    retry = build_retry_policy(action.message("retry_policy"))
    if retry is None:
        retry = of_host.retry
    hedge = _hedge(action.message("hedge_policy"))
    if hedge is None:
        hedge = bool(of_host.hedge)
    # The newer field goes before the older one, wherever they are.
    limits = (
        route.integer("request_body_buffer_limit"),
        of_host.new_limit,
        route.integer("per_request_buffer_limit_bytes"),
        of_host.old_limit,
    )
    plan = replace(
        of_host.plan,
        retry=retry or RetryPolicy(),
        buffer_limit=next((limit for limit in limits if limit is not None), None),
        hedge=hedge,
        idle_timeout=action.duration("idle_timeout"),
        grpc_timeout_max=action.duration("max_grpc_timeout"),
        grpc_timeout_offset=action.duration("grpc_timeout_offset", 0.0),
    )
    duration = action.message("max_stream_duration")
    if duration is not None:
        plan = replace(
            plan,
            # An empty message already takes the place of the route's timeout.
            max_duration=duration.duration("max_stream_duration"),
            replaces_timeout=True,
            grpc_duration_max=duration.duration("grpc_timeout_header_max"),
            grpc_duration_offset=duration.duration("grpc_timeout_header_offset", 0.0),
        )
    return None if plan == NO_PLAN else plan


def build_retry_policy(reader: Reader | None) -> RetryPolicy | None:
    """envoy.config.route.v3.RetryPolicy; None for None."""
    if reader is None:
        return None
    words = reader.string("retry_on").split(",")
    retry_on = retry_words(words, RETRY_ON)[0] | retry_words(words, RETRY_ON_GRPC)[0]
    _refuse(reader, "retry_options_predicates")
    base, most = _back_off(reader.message("retry_back_off"))
    headers, reset_most = _rate_limited(reader.message("rate_limited_retry_back_off"))
    other_hosts, no_canaries, no_labels = _host_predicates(reader)
    return RetryPolicy(
        retry_on=retry_on,
        num_retries=reader.integer("num_retries", 1),
        per_try_timeout=reader.duration("per_try_timeout", 0.0),
        per_try_idle_timeout=reader.duration("per_try_idle_timeout", 0.0),
        retriable_status_codes=tuple(reader.integers("retriable_status_codes")),
        retriable_headers=header_matchers(reader, "retriable_headers"),
        retriable_request_headers=header_matchers(reader, "retriable_request_headers"),
        base_interval=base,
        max_interval=most,
        reset_headers=headers,
        reset_max_interval=reset_most,
        other_hosts=other_hosts,
        no_canaries=no_canaries,
        no_labels=no_labels,
        host_attempts=reader.integer("host_selection_retry_max_attempts", 0) or 1,
        priority_updates=_priorities(reader.message("retry_priority")),
    )


def _back_off(reader: Reader | None) -> tuple[float, float]:
    """Base and maximum, 0 for the defaults; what is below a millisecond counts as one."""
    if reader is None:
        return 0.0, 0.0
    base = max(0.001, reader.duration("base_interval", 0.025))
    most = reader.duration("max_interval")
    if most is None:
        return base, base * 10
    most = max(0.001, most)
    if most < base:
        reader.problem(
            "retry_policy.max_interval must greater than or equal to the base_interval", "max_interval"
        )
    return base, most


def _rate_limited(reader: Reader | None) -> tuple[tuple[ResetHeader, ...], float]:
    if reader is None:
        return (), 300.0
    headers = tuple(
        ResetHeader(one.string("name").lower().encode(), one.enum("format") == "UNIX_TIMESTAMP")
        for one in reader.messages("reset_headers")
    )
    return headers, max(0.001, reader.duration("max_interval", 300.0))


def _host_predicates(reader: Reader) -> tuple[bool, bool, Labels]:
    """previous_hosts, omit_canary_hosts, and what omit_host_metadata omits."""
    found = set()
    omitted: Labels = ()
    for one in reader.messages("retry_host_predicate"):
        one.ignore("name")
        config = one.unpack("typed_config")
        kind = config.type_name.removeprefix(_PREDICATES) if config is not None else ""
        if kind == "previous_hosts.v3.PreviousHostsPredicate":
            found.add("previous")
        elif kind == "omit_canary_hosts.v3.OmitCanaryHostsPredicate":
            found.add("canary")
        elif kind == "omit_host_metadata.v3.OmitHostMetadataConfig" and config is not None:
            if omitted:
                one.problem("only one omit_host_metadata is implemented")
            match = config.message_or_empty("metadata_match")
            match.ignore("filter_metadata")
            omitted = labels(namespace_of(match.raw.filter_metadata, "envoy.lb"))
        else:
            one.problem(
                "of the predicates previous_hosts, omit_canary_hosts and omit_host_metadata are implemented"
            )
            if config is not None:
                config.ignore_all()
    return "previous" in found, "canary" in found, omitted


def _priorities(reader: Reader | None) -> int:
    """The update frequency of previous_priorities."""
    if reader is None:
        return 0
    reader.ignore("name")
    config = reader.unpack("typed_config")
    if config is None or config.type_name != _PREVIOUS_PRIORITIES:
        reader.problem("of the retry priorities previous_priorities is implemented")
        return 0
    return config.integer("update_frequency", 0)


def _hedge(reader: Reader | None) -> bool | None:
    if reader is None:
        return None
    if reader.integer("initial_requests", 1) != 1:
        reader.problem("Envoy does nothing with it, nor do we; only 1 is taken", "initial_requests")
    if reader.fraction("additional_request_chance", 0.0):
        reader.problem("Envoy does nothing with it, nor do we; only 0 is taken", "additional_request_chance")
    return reader.boolean("hedge_on_per_try_timeout")


def _refuse(reader: Reader, name: str) -> None:
    if reader.has(name):
        reader.refuse(name)
