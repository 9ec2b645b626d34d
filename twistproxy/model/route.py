"""Routes as configured (envoy.config.route.v3), compiled by `route.table`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from twistproxy.http.condition import Condition, Input
from twistproxy.http.header_match import HeaderMatcher
from twistproxy.model.access_log import LogFormat
from twistproxy.model.hash_policy import HashPolicy
from twistproxy.model.header_rules import NO_RULES, RuleLevel
from twistproxy.model.http_filters import FilterLevel
from twistproxy.model.internal_redirect import InternalRedirectSettings
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.retry import RequestPlan
from twistproxy.model.upgrade import ConnectSettings, UpgradeSettings


@dataclass(frozen=True, slots=True)
class RegexRewrite:
    """RE2 pattern and a substitution with \\1 … as Envoy's `RegexMatchAndSubstitute`."""

    pattern: str
    substitution: str


@dataclass(frozen=True, slots=True)
class RouteMatch:
    """Exactly one of `prefix`, `path`, `regex`, `path_separated_prefix`, `template` is not None, or `connect` is true.

    template    of `envoy.path.match.uri_template`, known to be good
    connect     a CONNECT, which has no path
    conditions  all must hold
    """

    prefix: str | None = None
    path: str | None = None
    regex: str | None = None
    path_separated_prefix: str | None = None
    case_sensitive: bool = True
    template: str | None = None
    connect: bool = False
    conditions: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class WeightedCluster:
    """One of several clusters.  Its name is `cluster`, or if that is "" the value of the header `cluster_header`.
    Its `metadata_match` goes before the action's, name by name."""

    weight: int
    cluster: str = ""
    cluster_header: str = ""
    headers: RuleLevel = NO_RULES
    host_rewrite: str = ""
    filters: FilterLevel = field(default_factory=dict)
    metadata_match: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class WeightedClusters:
    """Each cluster gets requests in proportion to its weight.

    header_name         a request header whose integer takes the place of the random number; "" for none
    use_hash_policy     the hash of the route's hash policies takes its place
    runtime_key_prefix  with a dot and the cluster's name, the runtime key of its weight; "" for none
    """

    clusters: tuple[WeightedCluster, ...]
    header_name: str = ""
    runtime_key_prefix: str = ""
    use_hash_policy: bool = False


@dataclass(frozen=True, slots=True)
class ClusterHeader:
    """The cluster is named by a request header."""

    name: str


@dataclass(frozen=True, slots=True)
class HostRewrite:
    """What the authority becomes; one of these is set.

    literal  itself
    header   the value of this header
    regex    what this makes of the path without its query
    format   a text with `%…%` operators
    auto     the name of the host that the request goes to
    """

    literal: str = ""
    header: str = ""
    regex: RegexRewrite | None = None
    format: str = ""
    auto: bool = False


@dataclass(frozen=True, slots=True)
class ClusterAction:
    """Forward to a cluster.

    cluster  its name; "" if `choice` decides for each request
    template_rewrite  of `envoy.path.rewrite.uri_template`, fit for the template of the match
    path_format  a text with `%…%` operators that the path becomes
    append_forwarded_host  the authority, if it is rewritten, is appended to x-forwarded-host
    timeout  seconds over the whole response, 0 for none
    plan     what there is beyond one attempt within it
    metadata_match  metadata that hosts have to have, where the cluster has subsets
    """

    cluster: str
    timeout: float = 15.0
    prefix_rewrite: str | None = None
    regex_rewrite: RegexRewrite | None = None
    template_rewrite: str | None = None
    path_format: str = ""
    host_rewrite: HostRewrite | None = None
    append_forwarded_host: bool = False
    cluster_not_found_status: int = 503
    high_priority: bool = False
    upgrades: tuple[UpgradeSettings, ...] = ()
    connect: ConnectSettings | None = None
    choice: WeightedClusters | ClusterHeader | None = None
    hash_policies: tuple[HashPolicy, ...] = ()
    plan: RequestPlan | None = None
    mirrors: tuple[MirrorSettings, ...] = ()
    internal_redirects: InternalRedirectSettings | None = None
    metadata_match: Mapping[str, Any] | None = field(default=None, hash=False)


@dataclass(frozen=True, slots=True)
class RedirectAction:
    """Answer with a redirect (envoy.config.route.v3.RedirectAction); "" and 0 for what stays.

    path_format  a text with `%…%` operators in place of `path`
    """

    status: int = 301
    host: str = ""
    path: str = ""
    prefix_rewrite: str = ""
    regex_rewrite: RegexRewrite | None = None
    scheme: str = ""
    https: bool = False
    port: int = 0
    strip_query: bool = False
    keep_port: bool = False
    path_format: str = ""


@dataclass(frozen=True, slots=True)
class DirectResponse:
    """Answer with this.  `format` makes the body that is sent of `body`."""

    status: int
    body: bytes = b""
    format: LogFormat | None = None


RouteAction = ClusterAction | RedirectAction | DirectResponse


@dataclass(frozen=True, slots=True)
class RouteSettings:
    """stat_prefix  what its requests are counted under, beside their clusters; "" for nothing
    filters      what is said about filters here and around, the most specific level first
    metadata     what is attached to it, by namespace; None for nothing
    """

    match: RouteMatch
    action: RouteAction
    name: str = ""
    headers: RuleLevel = NO_RULES
    stat_prefix: str = ""
    filters: tuple[FilterLevel, ...] = ()
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class VirtualCluster:
    """Requests with these headers are counted under this name."""

    name: str
    headers: tuple[HeaderMatcher, ...]


@dataclass(frozen=True, slots=True)
class MatchLeaf:
    """An end of a match tree: the first of these routes that matches."""

    routes: tuple[RouteSettings, ...]


@dataclass(frozen=True, slots=True)
class MatchList:
    """The first branch whose predicate holds and which leads to routes; else `otherwise`."""

    branches: tuple[tuple[Condition, MatchNode], ...]
    otherwise: MatchNode | None = None


@dataclass(frozen=True, slots=True)
class MatchMap:
    """The branch for the value of `input`, or with `exact` false for its longest prefix that leads to routes."""

    input: Input
    exact: bool
    entries: tuple[tuple[str, MatchNode], ...]
    otherwise: MatchNode | None = None


MatchNode = MatchLeaf | MatchList | MatchMap


@dataclass(frozen=True, slots=True)
class VirtualHostSettings:
    """`domains` in lower case: exact, `*.suffix`, `prefix.*` or `*`.

    require_tls       "NONE", "EXTERNAL_ONLY" or "ALL": whose plain requests are redirected to https
    virtual_clusters  what its requests are counted by, beside their clusters
    metadata          what is attached to it, by namespace; None for nothing
    matcher           where the routes are if not in `routes`
    """

    name: str
    domains: tuple[str, ...]
    routes: tuple[RouteSettings, ...]
    require_tls: str = "NONE"
    headers: RuleLevel = NO_RULES
    virtual_clusters: tuple[VirtualCluster, ...] = ()
    matcher: MatchNode | None = None
    metadata: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RouteConfiguration:
    """`most_specific_headers_win`: header rules act from the outside in, so that the route has the last word.

    virtual_host_header    a request header that virtual hosts are found by, in lower case; "" for the authority
    internal_only_headers  in lower case; taken from requests that are not internal
    """

    name: str
    virtual_hosts: tuple[VirtualHostSettings, ...]
    ignore_port_in_host_matching: bool = False
    ignore_path_parameters: bool = False
    headers: RuleLevel = NO_RULES
    most_specific_headers_win: bool = False
    virtual_host_header: str = ""
    internal_only_headers: frozenset[str] = frozenset()
