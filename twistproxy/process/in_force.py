"""What is in force for a request that is tried out: its filters, time limits, retries, hash policies, copies and
redirects, in words."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import Any

from twistproxy.filters.balancer_context import hash_of
from twistproxy.filters.retry_state import retry_state
from twistproxy.filters.router_headers import ROUTER_HEADERS
from twistproxy.filters.timeouts import Timeouts
from twistproxy.http.message import RequestHead
from twistproxy.model.hash_policy import (
    CookieHash,
    FilterStateHash,
    HashPolicy,
    HeaderHash,
    QueryParameterHash,
)
from twistproxy.model.http_filters import HttpFilterSettings
from twistproxy.model.http_manager import HttpManagerSettings
from twistproxy.model.retry import NO_PLAN, RETRY_ON, RETRY_ON_GRPC, RequestPlan, RetryPolicy
from twistproxy.route.action import Route
from twistproxy.stream.stream import Stream
from twistproxy.upstream.cluster import Cluster

_FOREVER = float("inf")


def filters_in_force(filters: tuple[HttpFilterSettings, ...], route: Route | None) -> list[str]:
    """The filters of the chain in order, with what the route says about them."""
    levels = () if route is None else route.filters
    words = []
    for slot in filters:
        said = [level[slot.name] for level in levels if slot.name in level]
        disabled = said[0].disabled if said else slot.disabled
        notes = ["disabled"] if disabled else []
        if said:
            notes.append("as the route says")
        words.append(slot.name + (f" ({', '.join(notes)})" if notes else ""))
    return [*words, "envoy.filters.http.router"]


def in_force(
    stream: Stream, head: RequestHead, settings: HttpManagerSettings, cluster: Cluster | None
) -> Iterator[tuple[str, Any]]:
    """Names and words, for a request that is forwarded.

    head     as it was when its route was picked; left as it is
    cluster  the one that it goes to, None if there is none
    """
    route = stream.route
    assert route is not None
    plan = route.plan or NO_PLAN
    if cluster is not None:
        yield "time_limits", list(_limits(stream, route, plan, head, settings, cluster))
        yield "retries", list(_retries(stream, route, plan, head, cluster))
        yield "hash", list(_hash(stream, route, head, cluster))
    if route.mirrors is not None:
        yield (
            "mirrors",
            [
                f"copied to cluster {policy.cluster(head)!r}"
                + ("" if policy.wants(stream) else ", but not this time: only a share of the requests is")
                for policy in route.mirrors
            ],
        )
    redirects = route.internal_redirects
    if redirects is not None:
        statuses = ", ".join(str(one) for one in sorted(redirects.statuses))
        schemes = "also to another scheme" if redirects.cross_scheme else "only to the same scheme"
        yield "internal_redirects", f"up to {redirects.most} with status {statuses} are followed, {schemes}"


def _copy(head: RequestHead) -> RequestHead:
    return RequestHead(
        head.method, head.path, head.authority, list(head.items), dict(head.index), head.version, head.scheme
    )


def _limits(
    stream: Stream,
    route: Route,
    plan: RequestPlan,
    head: RequestHead,
    settings: HttpManagerSettings,
    cluster: Cluster,
) -> Iterator[str]:
    tunnel = route.connect is not None or b"upgrade" in head.index or not head.path
    asked = not ROUTER_HEADERS.isdisjoint(head.index)
    if not tunnel and (cluster.special or not route.one_attempt or asked):
        limits = Timeouts(
            plan,
            route.timeout,
            cluster.max_stream_duration,
            _copy(head),
            False,
            settings.respect_expected_rq_timeout,
        )
        total, per_try, idle, duration = limits.total, limits.per_try, limits.per_try_idle, limits.duration
        hedge, status = limits.hedge, limits.status
    else:
        total, per_try, idle, duration, hedge, status = round(route.timeout * 1000), 0, 0, 0, False, 504
    by = ", as the request's own headers say" if asked and total != round(route.timeout * 1000) else ""
    yield (
        f"response: {_milliseconds(total)} from the end of the request on{by}" if total else "response: none"
    )
    if per_try:
        what = "then another attempt is made while the slow one goes on" if hedge else f"then {status}"
        yield f"one attempt: {_milliseconds(per_try)}, {what}"
    if idle:
        yield f"silence within one attempt: {_milliseconds(idle)}"
    if duration:
        yield f"one attempt in all: {_milliseconds(duration)}"
    yield f"silence of the stream: {_seconds(stream.idle_timeout)}"
    yield f"the whole stream: {_seconds(stream.duration_at - stream.start)}"
    if settings.request_timeout:
        yield f"the whole request to come in: {_seconds(settings.request_timeout)}"


def _milliseconds(count: int) -> str:
    return _seconds(count / 1000)


def _seconds(seconds: float) -> str:
    return "none" if seconds == _FOREVER else f"{round(seconds, 3):g} s"


def _retries(
    stream: Stream, route: Route, plan: RequestPlan, head: RequestHead, cluster: Cluster
) -> Iterator[str]:
    if route.connect is not None or b"upgrade" in head.index or not head.path:
        yield "none: a tunnel is tried once"
        return
    policy = cluster.retry or plan.retry
    limits = cluster.limits[route.high_priority]
    runtime = stream.context.runtime
    state = retry_state(policy, _copy(head), cluster.stats, limits, Random(0), lambda: 0.0, runtime)
    if state is None or not state.enabled or not state.left:
        yield "none"
        return
    on = state.conditions
    words = [name for name, bit in (*RETRY_ON.items(), *RETRY_ON_GRPC.items()) if on & bit]
    whose = ", as the cluster says" if cluster.retry is not None else ""
    yield f"up to {state.left}, on {', '.join(words)}{whose}"
    base = policy.base_interval
    if not base:
        base = runtime.get_integer("upstream.base_retry_backoff_ms", 25) / 1000
    most = policy.max_interval if policy.base_interval else base * 10
    yield f"back-off: random, at first below {_seconds(base)}, at most {_seconds(most)}"
    yield from _choice(policy)
    if limits.retry_budget is not None:
        percent, least = limits.retry_budget
        yield f"at once in the cluster: {percent:g} % of its requests, at least {least}"
    else:
        yield f"at once in the cluster: {limits.max_retries}"


def _choice(policy: RetryPolicy) -> Iterator[str]:
    if policy.other_hosts:
        yield "at a host that was not tried, if a few looks find one"
    if policy.no_canaries:
        yield "not at a canary, if a few looks find another host"
    if policy.priority_updates:
        yield f"at other priorities after every {policy.priority_updates} attempts"


def _hash(stream: Stream, route: Route, head: RequestHead, cluster: Cluster) -> Iterator[str]:
    policies = route.hash_policies
    hashing = cluster.chooser.own_policies
    if hashing is None:
        if policies is not None:
            yield f"not used: {cluster.settings.balancing.policy} does not look at it"
        return
    own: tuple[HashPolicy, ...] = hashing.settings
    for policy in own or (() if policies is None else policies.settings):
        yield _by(policy) + (", and no further if it is there" if policy.terminal else "")
    value = hash_of(policies, hashing, _copy(head), stream)
    yield "nothing to go by: any host" if value is None else f"this request's is {value}"


def _by(policy: HashPolicy) -> str:
    if isinstance(policy, HeaderHash):
        return f"by header {policy.name}"
    if isinstance(policy, CookieHash):
        made = ", which a client without it is given" if policy.ttl is not None else ""
        return f"by cookie {policy.name}{made}"
    if isinstance(policy, QueryParameterHash):
        return f"by query parameter {policy.name}"
    if isinstance(policy, FilterStateHash):
        return f"by filter state {policy.key}"
    return "by the client's address"
