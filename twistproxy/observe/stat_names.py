"""From Envoy's dotted statistic names to names with tags, and to Prometheus' spelling.

"cluster.app.upstream_rq_200" becomes "cluster.upstream_rq" with response_code=200 and cluster_name=app.
The default tags are those of Envoy's `TagNameValues`
(https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/metrics/v3/stats.proto).  A tag's value ends at
the next dot, so a cluster called "a.b" has the tag "a", as in Envoy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from twistproxy.model.statistics import TagRule
from twistproxy.primitives.expression import ecmascript

_VALUE = r"[^.]+"
_ADDRESS = r"(?:(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[a-fA-F_\d]+\])_\d+)"
_OWNER = r"(?:listener|cluster)\..*?"


@dataclass(frozen=True, slots=True)
class TaggedName:
    """A name without the tags' text, and the tags as (name, value), sorted by name."""

    name: str
    tags: tuple[tuple[str, str], ...]


class _Rule(NamedTuple):
    """How one tag is found.

    start, part   what the name must start with and contain; saves most of the searches
    expression    group 1 is the text that leaves the name, group 2 the tag's value
    """

    tag: str
    start: str
    part: str
    expression: Any


def _token_rule(tag: str, pattern: str) -> _Rule:
    """A rule from Envoy's token patterns: `$` is the value, `*` one token, `**` the rest."""
    words = pattern.split(".")
    forms = {"$": rf"(({_VALUE})\.)", "**": r".+", "*": rf"{_VALUE}\."}
    text = "^" + "".join(forms.get(word, re.escape(word) + r"\.") for word in words)
    literal = [word for word in words if word not in forms]
    start = "" if words[0] in forms else words[0] + "."
    part = "" if start and len(literal) == 1 else f"{literal[-1]}."
    return _Rule(tag, start, part, re.compile(text))


def _regex_rule(tag: str, start: str, part: str, expression: str) -> _Rule:
    return _Rule(tag, start, part, re.compile(expression))


# The most special first; of two rules for one tag the first that matches counts.
_RULES: tuple[_Rule, ...] = (
    _regex_rule("envoy.response_code", "", "_rq_", r"_rq(_(\d{3}))$"),
    _regex_rule("envoy.response_code_class", "", "_rq_", r"_rq_((\d))xx$"),
    _token_rule("envoy.grpc_bridge_method", "cluster.*.grpc.*.$.**"),
    _token_rule("envoy.http_user_agent", "http.*.user_agent.$.**"),
    _token_rule("envoy.virtual_cluster", "vhost.*.vcluster.$.**"),
    _token_rule("envoy.fault_downstream_cluster", "http.*.fault.$.**"),
    _regex_rule("envoy.ssl_cipher", "listener.", ".ssl.", r"^listener\..*?\.ssl\.ciphers(\.([\w-]+))$"),
    _regex_rule("envoy.ssl_curve", "", ".ssl.", rf"^{_OWNER}\.ssl\.curves(\.([\w-]+))$"),
    _regex_rule("envoy.ssl_sigalg", "", ".ssl.", rf"^{_OWNER}\.ssl\.sigalgs(\.([\w-]+))$"),
    _regex_rule("envoy.ssl_version", "", ".ssl.", rf"^{_OWNER}\.ssl\.versions(\.(TLSv\d\.\d))$"),
    _regex_rule("envoy.tls_certificate", "", ".ssl.", rf"^{_OWNER}\.ssl\.certificate\.(({_VALUE})\.).*$"),
    _regex_rule("cipher_suite", "cluster.", ".ssl.", rf"^cluster\.{_VALUE}\.ssl\.ciphers(\.([\w-]+))$"),
    _regex_rule(
        "envoy.health_check_name",
        "cluster.",
        ".health_check.",
        rf"^cluster\.{_VALUE}\.health_check(\.name\.({_VALUE}))\..+",
    ),
    _token_rule("envoy.grpc_bridge_service", "cluster.*.grpc.$.**"),
    _token_rule("envoy.tcp_prefix", "tcp.$.**"),
    _token_rule("envoy.udp_prefix", "udp.$.**"),
    _token_rule("envoy.clientssl_prefix", "auth.clientssl.$.**"),
    _token_rule("envoy.ratelimit_prefix", "ratelimit.$.**"),
    _token_rule("envoy.cluster_name", "cluster.$.**"),
    _regex_rule(
        "envoy.http_conn_manager_prefix", "listener.", ".http.", rf"^listener\..*?\.http\.(({_VALUE})\.)"
    ),
    _token_rule("envoy.ext_authz_prefix", "cluster.*.ext_authz.$.**"),
    _token_rule("envoy.ext_authz_prefix", "http.*.ext_authz.$.**"),
    _token_rule("envoy.http_conn_manager_prefix", "http.$.**"),
    _regex_rule(
        "envoy.worker_id",
        "",
        ".worker_",
        rf"^(?:listener\.(?:{_ADDRESS}|{_VALUE})|server|listener_manager|thread_local_cluster_manager)"
        r"\.worker(_(\d+))\.",
    ),
    _regex_rule(
        "envoy.listener_address", "listener.", "", rf"^listener\.((?!admin\.)({_ADDRESS}|{_VALUE})\.)"
    ),
    _token_rule("envoy.virtual_host", "vhost.$.**"),
    _regex_rule("envoy.rds_route_config", "http.", ".rds.", rf"^http\.{_VALUE}\.rds\.(([\w\-.]+)\.)\w+?$"),
    _regex_rule(
        "envoy.scoped_rds_config",
        "http.",
        ".scoped_rds.",
        rf"^http\.{_VALUE}\.scoped_rds\.(([\w\-.]+)\.)\w+?$",
    ),
    _token_rule("envoy.route", "vhost.*.route.$.**"),
    _token_rule("envoy.local_http_ratelimit_prefix", "$.http_local_rate_limit.**"),
    _token_rule("envoy.local_network_ratelimit_prefix", "local_rate_limit.$.**"),
    _token_rule("envoy.local_listener_ratelimit_prefix", "listener_local_ratelimit.$.**"),
    _token_rule("envoy.connection_limit_prefix", "connection_limit.$.**"),
    _token_rule("envoy.rbac_prefix", "$.rbac.**"),
    _regex_rule(
        "envoy.rbac_policy_name",
        "http.",
        ".rbac.",
        rf"^http\.{_VALUE}\.rbac\.(?:{_VALUE}\.)?policy\.(({_VALUE})\.)(?:shadow_)?(?:allowed|denied)$",
    ),
    _regex_rule(
        "envoy.rbac_http_prefix", "http.", ".rbac.", rf"^http\.{_VALUE}\.rbac\.((?!policy\.)({_VALUE})\.)"
    ),
    _regex_rule(
        "envoy.proxy_protocol_version",
        "proxy_proto.",
        "versions.",
        rf"^proxy_proto\.((?:{_VALUE}\.)?versions\.v(\d)\.)\w+$",
    ),
    _regex_rule(
        "envoy.proxy_protocol_prefix", "proxy_proto.", "", rf"^proxy_proto\.((?!versions\.)({_VALUE})\.).+$"
    ),
    _regex_rule("envoy.xds_resource_name", "sds.", "", rf"^sds\.(({_VALUE})\.).+"),
)

_NOT_PROMETHEUS = re.compile(r"[^a-zA-Z0-9_]")


#: The names of Envoy's own tags.
DEFAULT_TAGS = frozenset(rule.tag for rule in _RULES)


class TagExtractor:
    """Takes tags out of full names.

    rules     in addition to Envoy's own; one without value and pattern is Envoy's own of that name
    defaults  whether all of Envoy's own count
    """

    def __init__(self, rules: Sequence[TagRule] = (), defaults: bool = True) -> None:
        self._fixed = {rule.name: rule.value for rule in rules if rule.value is not None}
        found = [*_RULES] if defaults else []
        for rule in rules:
            if rule.pattern:
                found.append(_Rule(rule.name, "", "", ecmascript(rule.pattern)))
            elif rule.value is None and not defaults:
                found += [one for one in _RULES if one.tag == rule.name]
        self._rules = tuple(found)
        #: the `TaggedName` of a full name
        self.extract = lru_cache(maxsize=16384)(self._extract)

    def _extract(self, name: str) -> TaggedName:
        tags: dict[str, str] = {**self._fixed}
        removed: list[tuple[int, int]] = []
        for rule in self._rules:
            if rule.part in name and name.startswith(rule.start) and rule.tag not in tags:
                match = rule.expression.search(name)
                if match and match[1] is not None:
                    tags[rule.tag] = match[min(2, rule.expression.groups)] or ""
                    removed.append(match.span(1))
        kept, end = [], 0
        for start, stop in sorted(removed):
            kept.append(name[end : max(start, end)])
            end = max(end, stop)
        kept.append(name[end:])
        return TaggedName("".join(kept).rstrip("."), tuple(sorted(tags.items())))


def prometheus_name(name: str) -> str:
    """A name as Envoy gives it to Prometheus: "cluster.upstream_rq" becomes "envoy_cluster_upstream_rq"."""
    return "envoy_" + _NOT_PROMETHEUS.sub("_", name)


def prometheus_label(tag: str) -> str:
    """A tag's name as a label: "envoy.cluster_name" becomes "envoy_cluster_name"."""
    return _NOT_PROMETHEUS.sub("_", tag)
