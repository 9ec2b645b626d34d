"""What a route does: forward with rewrites, redirect, or answer by itself."""

from __future__ import annotations

from twistproxy.model.http_filters import FilterLevel
from twistproxy.model.internal_redirect import InternalRedirectSettings
from twistproxy.model.retry import NO_PLAN, RequestPlan
from twistproxy.model.route import (
    ClusterAction,
    RedirectAction,
    RouteSettings,
    WeightedCluster,
)
from twistproxy.model.upgrade import ConnectSettings
from twistproxy.primitives.metadata_match import MetadataMatchCriteria
from twistproxy.route.counting import Counting
from twistproxy.route.direct_reply import DirectReply
from twistproxy.route.hash_policy import HashPolicies
from twistproxy.route.header_rules import OuterRules
from twistproxy.route.mirroring import MirrorPolicy
from twistproxy.route.path_match import compile_path
from twistproxy.route.redirect import Redirect
from twistproxy.route.rewrite import RequestRewrites, compile_path_rewrite


class Route:
    """A compiled route.

    Exactly one of `cluster` (a name), `redirect` and `direct_response` is not None.
    timeout          seconds over the whole response, 0 for none
    timeout_text     it in milliseconds, for x-envoy-expected-rq-timeout-ms
    plan             retries, hedging, further time limits; None if there are none
    one_attempt      the plan says nothing of more attempts than one, nor of their time
    filters          what is said about filters here and around, the most specific level first
    rewrites         what is done to requests that are forwarded, None if nothing
    upgrades         which upgrades it allows or forbids, by their names in lower case
    connect          set if a CONNECT ends here and becomes a TCP connection
    counting         where its requests are counted beside their cluster, None for nowhere
    hash_policies    what a hash balancer chooses hosts by, None if nothing is said
    metadata         what is attached to it, by namespace, and in host_metadata to its virtual host; None for nothing
    metadata_match   metadata that the host has to have, None if nothing is said
    mirrors          where copies of requests go, None for nowhere
    internal_redirects  which redirects we follow ourselves, None for none
    watched          one of these two is there
    response_rules   what is done to the headers of every answer, None if nothing
    """

    __slots__ = (
        "cluster",
        "connect",
        "counting",
        "direct_response",
        "filters",
        "hash_policies",
        "high_priority",
        "host_metadata",
        "internal_redirects",
        "metadata",
        "metadata_match",
        "mirrors",
        "name",
        "not_found_status",
        "one_attempt",
        "plan",
        "redirect",
        "response_rules",
        "rewrites",
        "timeout",
        "timeout_text",
        "upgrades",
        "virtual_host",
        "watched",
    )

    def __init__(
        self, settings: RouteSettings, virtual_host: str, rules: OuterRules, weighted: WeightedCluster
    ) -> None:
        self.name = settings.name
        self.virtual_host = virtual_host
        self.metadata = settings.metadata
        self.host_metadata = rules.host_metadata
        self.filters: tuple[FilterLevel, ...] = settings.filters
        self.cluster: str | None = None
        self.direct_response: DirectReply | None = None
        self.plan: RequestPlan | None = None
        self.one_attempt = True
        self.timeout = 0.0
        self.timeout_text = b""
        self.not_found_status = 503
        self.high_priority = False
        self.counting: Counting | None = None
        self.hash_policies: HashPolicies | None = None
        self.metadata_match: MetadataMatchCriteria | None = None
        self.mirrors: list[MirrorPolicy] | None = None
        self.internal_redirects: InternalRedirectSettings | None = None
        self.watched = False
        self.upgrades: dict[bytes, bool] = {}
        self.connect: ConnectSettings | None = None
        self.redirect: Redirect | None = None
        self.rewrites: RequestRewrites | None = None
        request_rules, self.response_rules = rules.compile(
            settings.headers, weighted.headers, weighted.host_rewrite.encode()
        )
        match = settings.match
        action = settings.action
        if isinstance(action, ClusterAction):
            self.cluster = action.cluster
            self.timeout = action.timeout
            self.plan = action.plan
            self.one_attempt = action.plan is None or action.plan.one_attempt
            if rules.tell_router(settings.headers, weighted.headers):
                self.plan = action.plan or NO_PLAN
                self.one_attempt = False
            self.timeout_text = b"%d" % round(action.timeout * 1000)
            self.not_found_status = action.cluster_not_found_status
            self.high_priority = action.high_priority
            self.upgrades = {one.kind.encode(): one.enabled for one in action.upgrades}
            self.connect = action.connect
            if action.hash_policies:
                self.hash_policies = HashPolicies(action.hash_policies)
            if action.metadata_match is not None or weighted.metadata_match is not None:
                self.metadata_match = MetadataMatchCriteria(
                    {**(action.metadata_match or {}), **(weighted.metadata_match or {})}
                )
            if action.mirrors:
                self.mirrors = [MirrorPolicy(one, rules.clocks) for one in action.mirrors]
            self.internal_redirects = action.internal_redirects
            self.watched = bool(self.mirrors or self.internal_redirects)
            rewrites = RequestRewrites(
                request_rules,
                compile_path_rewrite(action, compile_path(match), match.template, rules.clocks),
                action.host_rewrite,
                action.append_forwarded_host,
                rules.clocks,
            )
            self.rewrites = None if rewrites.empty else rewrites
        elif isinstance(action, RedirectAction):
            self.redirect = Redirect(action, compile_path(match), rules.clocks)
        else:
            self.direct_response = DirectReply(action, rules.clocks)


#: For a route without weighted clusters.
_ONE_CLUSTER = WeightedCluster(1)


def compile_route(
    settings: RouteSettings,
    virtual_host: str,
    rules: OuterRules | None = None,
    weighted: WeightedCluster = _ONE_CLUSTER,
) -> Route:
    """`rules`: the header rules around the route.  `weighted`: the one of its weighted clusters that this is for."""
    return Route(settings, virtual_host, rules or OuterRules(), weighted)
