"""What a route does: forward with rewrites, redirect, or answer by itself."""

from __future__ import annotations

import re
from typing import Any

import re2

from twistproxy.http.message import RequestHead
from twistproxy.model.retry import RequestPlan
from twistproxy.model.route import (
    ClusterAction,
    DirectResponse,
    RedirectAction,
    RegexRewrite,
    RouteSettings,
    WeightedCluster,
)
from twistproxy.model.upgrade import ConnectSettings
from twistproxy.route.counting import Counting
from twistproxy.route.hash_policy import HashPolicies
from twistproxy.route.header_rules import HeaderEdits, OuterRules
from twistproxy.route.mirroring import MirrorPolicy
from twistproxy.route.path_match import compile_path
from twistproxy.route.uri_template import TemplateRewrite, UriTemplate


class Route:
    """A compiled route.

    Exactly one of `cluster` (a name), `redirect` and `direct_response` is not None.
    timeout          seconds over the whole response, 0 for none
    timeout_text     it in milliseconds, for x-envoy-expected-rq-timeout-ms
    plan             retries, hedging, further time limits; None if there are none
    one_attempt      the plan says nothing of more attempts than one, nor of their time
    rewrites         whether `rewrite` has anything to do
    upgrades         which upgrades it allows or forbids, by their names in lower case
    connect          set if a CONNECT ends here and becomes a TCP connection
    counting         where its requests are counted beside their cluster, None for nowhere
    hash_policies    what a hash balancer chooses hosts by, None if nothing is said
    mirrors          where copies of requests go, None for nowhere
    response_rules   what is done to the headers of every answer, None if nothing
    """

    __slots__ = (
        "_host",
        "_match",
        "_prefix",
        "_regex",
        "cluster",
        "connect",
        "counting",
        "direct_response",
        "hash_policies",
        "high_priority",
        "mirrors",
        "name",
        "not_found_status",
        "one_attempt",
        "plan",
        "redirect",
        "request_rules",
        "response_rules",
        "rewrites",
        "timeout",
        "timeout_text",
        "upgrades",
        "virtual_host",
    )

    def __init__(
        self, settings: RouteSettings, virtual_host: str, rules: OuterRules, weighted: WeightedCluster
    ) -> None:
        self.name = settings.name
        self.virtual_host = virtual_host
        self.cluster: str | None = None
        self.redirect: RedirectAction | None = None
        self.direct_response: DirectResponse | None = None
        self.plan: RequestPlan | None = None
        self.one_attempt = True
        self.timeout = 0.0
        self.timeout_text = b""
        self.not_found_status = 503
        self.high_priority = False
        self.counting: Counting | None = None
        self.hash_policies: HashPolicies | None = None
        self.mirrors: list[MirrorPolicy] | None = None
        self.rewrites = False
        self.upgrades: dict[bytes, bool] = {}
        self.connect: ConnectSettings | None = None
        self._match = compile_path(settings.match)
        self.request_rules: HeaderEdits | None
        self.response_rules: HeaderEdits | None
        self.request_rules, self.response_rules = rules.compile(
            settings.headers, weighted.headers, weighted.host_rewrite.encode()
        )
        self._host: bytes | None = None
        self._prefix: bytes | None = None
        self._regex: _Substitution | TemplateRewrite | None = None
        action = settings.action
        if isinstance(action, ClusterAction):
            self.cluster = action.cluster
            self.timeout = action.timeout
            self.plan = action.plan
            self.one_attempt = action.plan is None or action.plan.one_attempt
            self.timeout_text = b"%d" % round(action.timeout * 1000)
            self.not_found_status = action.cluster_not_found_status
            self.high_priority = action.high_priority
            self.upgrades = {one.kind.encode(): one.enabled for one in action.upgrades}
            self.connect = action.connect
            if action.hash_policies:
                self.hash_policies = HashPolicies(action.hash_policies)
            if action.mirrors:
                self.mirrors = [MirrorPolicy(one, rules.clocks) for one in action.mirrors]
            self._host = None if action.host_rewrite is None else action.host_rewrite.encode()
            self._prefix = None if action.prefix_rewrite is None else action.prefix_rewrite.encode()
            self._regex = None if action.regex_rewrite is None else _Substitution(action.regex_rewrite)
            if action.template_rewrite is not None and settings.match.template is not None:
                self._regex = TemplateRewrite(action.template_rewrite, UriTemplate(settings.match.template))
            self.rewrites = bool(self.request_rules or self._host or self._prefix or self._regex)
        elif isinstance(action, RedirectAction):
            self.redirect = action
            self._prefix = None if action.prefix_rewrite is None else action.prefix_rewrite.encode()
            self._regex = None if action.regex_rewrite is None else _Substitution(action.regex_rewrite)
        else:
            self.direct_response = action

    def rewrite(self, head: RequestHead, stream: Any) -> None:
        """Header rules first, which path and authority may depend on; what these were goes to x-envoy-original-path and
        x-envoy-original-host."""
        if self.request_rules is not None:
            self.request_rules.apply_to_request(head, stream)
        if self._prefix or self._regex is not None:
            head.set(b"x-envoy-original-path", head.path)
            head.path = self._rewritten_path(head.path)
        if self._host:
            head.set(b"x-envoy-original-host", head.authority)
            head.authority = self._host

    def _rewritten_path(self, path: bytes) -> bytes:
        if self._regex is not None:
            bare, mark, query = path.partition(b"?")
            return self._regex.apply(bare) + mark + query
        assert self._prefix is not None
        return self._prefix + path[self._match.matched_length(path) :]

    def location(self, head: RequestHead) -> bytes:
        """The Location of a redirect (envoy.config.route.v3.RedirectAction); of a direct response what was asked."""
        redirect = self.redirect or _SAME
        scheme = scheme_of(head)
        authority = head.authority
        if redirect.https:
            new_scheme = b"https"
        elif redirect.scheme:
            new_scheme = redirect.scheme.encode()
        else:
            new_scheme = scheme
        host, port = _split_port(authority)
        if redirect.host is not None:
            host, port = redirect.host.encode(), b""
        elif (
            not redirect.keep_port
            and new_scheme != scheme
            and ((scheme, port) in ((b"http", b":80"), (b"https", b":443")))
        ):
            port = b""  # the default port of the old scheme would be wrong with the new one
        if redirect.port:
            port = b":%d" % redirect.port
        return new_scheme + b"://" + host + port + self._redirect_path(redirect, head.path)

    def _redirect_path(self, redirect: RedirectAction, path: bytes) -> bytes:
        query = b""
        if b"?" in path and not redirect.strip_query:
            query = path[path.index(b"?") :]
        bare = path.partition(b"?")[0]
        if redirect.path is not None:
            # A path with a query of its own replaces both (Envoy: path_redirect).
            new = redirect.path.encode()
            return new if b"?" in new else new + query
        if self._prefix is not None:
            return self._prefix + bare[self._match.matched_length(bare) :] + query
        if self._regex is not None:
            return self._regex.apply(bare) + query
        return bare + query


#: For a route without weighted clusters.
_ONE_CLUSTER = WeightedCluster(1)

#: The redirect that changes nothing.
_SAME = RedirectAction()


class _Substitution:
    """`RegexMatchAndSubstitute`: RE2, every match replaced, \\0 to \\9 stand for groups."""

    __slots__ = ("_pattern", "_template")

    def __init__(self, rewrite: RegexRewrite) -> None:
        self._pattern = re2.compile(rewrite.pattern.encode())
        # `re2.sub` takes \g<0>, but no bare \0.
        self._template = re.sub(rb"\\(\d)", rb"\\g<\1>", rewrite.substitution.encode())

    def apply(self, path: bytes) -> bytes:
        result: bytes = self._pattern.sub(self._template, path)
        return result


def scheme_of(head: RequestHead) -> bytes:
    """The scheme of the client's URL: x-forwarded-proto says it (Envoy: Http::Utility::getScheme)."""
    forwarded = head.get(b"x-forwarded-proto") if head.scheme == b"http" else None
    return forwarded if forwarded in (b"http", b"https") else head.scheme


def _split_port(authority: bytes) -> tuple[bytes, bytes]:
    name, colon, port = authority.rpartition(b":")
    return (name, colon + port) if colon and port.isdigit() else (authority, b"")


def compile_route(
    settings: RouteSettings,
    virtual_host: str,
    rules: OuterRules | None = None,
    weighted: WeightedCluster = _ONE_CLUSTER,
) -> Route:
    """`rules`: the header rules around the route.  `weighted`: the one of its weighted clusters that this is for."""
    return Route(settings, virtual_host, rules or OuterRules(), weighted)
