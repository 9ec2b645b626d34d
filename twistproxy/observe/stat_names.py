"""From Envoy's dotted statistic names to names with tags, and to Prometheus' spelling.

"cluster.app.upstream_rq_200" becomes "cluster.upstream_rq" with response_code=200 and cluster_name=app.
The default tags are those of Envoy's `TagNameValues`
(https://www.envoyproxy.io/docs/envoy/latest/api-v3/config/metrics/v3/stats.proto).  A tag's value ends at
the next dot, so a cluster called "a.b" has the tag "a", as in Envoy.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

_VALUE = r"[^.]+"
_ADDRESS = r"(?:(?:\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}|\[[a-fA-F_\d]+\])_\d+)"


@dataclass(frozen=True, slots=True)
class TaggedName:
    """A name without the tags' text, and the tags as (name, value), sorted by name."""

    name: str
    tags: tuple[tuple[str, str], ...]


def _tokens(pattern: str) -> str:
    """Envoy's token patterns as a regular expression: `$` is the value, `*` one token, `**` the rest."""
    parts = []
    for token in pattern.split("."):
        if token == "$":
            parts.append(rf"(({_VALUE})\.)")
        elif token == "**":
            parts.append(r".+")
        elif token == "*":
            parts.append(rf"{_VALUE}\.")
        else:
            parts.append(re.escape(token) + r"\.")
    return "^" + "".join(parts)


# In each expression group 1 is the text that leaves the name and group 2 the tag's value.  Order: the most
# special first; of two rules for one tag the first that matches counts.
_RULES: tuple[tuple[str, str], ...] = (
    ("envoy.response_code", r"_rq(_(\d{3}))$"),
    ("envoy.response_code_class", r"_rq_((\d))xx$"),
    ("envoy.grpc_bridge_method", _tokens("cluster.*.grpc.*.$.**")),
    ("envoy.http_user_agent", _tokens("http.*.user_agent.$.**")),
    ("envoy.virtual_cluster", _tokens("vhost.*.vcluster.$.**")),
    ("envoy.fault_downstream_cluster", _tokens("http.*.fault.$.**")),
    ("envoy.ssl_cipher", r"^listener\..*?\.ssl\.ciphers(\.([\w-]+))$"),
    ("envoy.ssl_curve", r"^(?:listener|cluster)\..*?\.ssl\.curves(\.([\w-]+))$"),
    ("envoy.ssl_sigalg", r"^(?:listener|cluster)\..*?\.ssl\.sigalgs(\.([\w-]+))$"),
    ("envoy.ssl_version", r"^(?:listener|cluster)\..*?\.ssl\.versions(\.(TLSv\d\.\d))$"),
    ("envoy.tls_certificate", rf"^(?:listener|cluster)\..*?\.ssl\.certificate\.(({_VALUE})\.).*$"),
    ("cipher_suite", rf"^cluster\.{_VALUE}\.ssl\.ciphers(\.([\w-]+))$"),
    ("envoy.health_check_name", rf"^cluster\.{_VALUE}\.health_check(\.name\.({_VALUE}))\..+"),
    ("envoy.grpc_bridge_service", _tokens("cluster.*.grpc.$.**")),
    ("envoy.tcp_prefix", _tokens("tcp.$.**")),
    ("envoy.udp_prefix", _tokens("udp.$.**")),
    ("envoy.clientssl_prefix", _tokens("auth.clientssl.$.**")),
    ("envoy.ratelimit_prefix", _tokens("ratelimit.$.**")),
    ("envoy.cluster_name", _tokens("cluster.$.**")),
    ("envoy.http_conn_manager_prefix", rf"^listener\..*?\.http\.(({_VALUE})\.)"),
    ("envoy.ext_authz_prefix", _tokens("cluster.*.ext_authz.$.**")),
    ("envoy.ext_authz_prefix", _tokens("http.*.ext_authz.$.**")),
    ("envoy.http_conn_manager_prefix", _tokens("http.$.**")),
    (
        "envoy.worker_id",
        rf"^(?:listener\.(?:{_ADDRESS}|{_VALUE})|server|listener_manager|thread_local_cluster_manager)"
        r"\.worker(_(\d+))\.",
    ),
    ("envoy.listener_address", rf"^listener\.((?!admin\.)({_ADDRESS}|{_VALUE})\.)"),
    ("envoy.virtual_host", _tokens("vhost.$.**")),
    ("envoy.rds_route_config", rf"^http\.{_VALUE}\.rds\.(([\w\-.]+)\.)\w+?$"),
    ("envoy.scoped_rds_config", rf"^http\.{_VALUE}\.scoped_rds\.(([\w\-.]+)\.)\w+?$"),
    ("envoy.route", _tokens("vhost.*.route.$.**")),
    ("envoy.local_http_ratelimit_prefix", _tokens("$.http_local_rate_limit.**")),
    ("envoy.local_network_ratelimit_prefix", _tokens("local_rate_limit.$.**")),
    ("envoy.local_listener_ratelimit_prefix", _tokens("listener_local_ratelimit.$.**")),
    ("envoy.connection_limit_prefix", _tokens("connection_limit.$.**")),
    ("envoy.rbac_prefix", _tokens("$.rbac.**")),
    (
        "envoy.rbac_policy_name",
        rf"^http\.{_VALUE}\.rbac\.(?:{_VALUE}\.)?policy\.(({_VALUE})\.)(?:shadow_)?(?:allowed|denied)$",
    ),
    ("envoy.rbac_http_prefix", rf"^http\.{_VALUE}\.rbac\.((?!policy\.)({_VALUE})\.)"),
    ("envoy.proxy_protocol_version", rf"^proxy_proto\.((?:{_VALUE}\.)?versions\.v(\d)\.)\w+$"),
    ("envoy.proxy_protocol_prefix", rf"^proxy_proto\.((?!versions\.)({_VALUE})\.).+$"),
    ("envoy.xds_resource_name", rf"^sds\.(({_VALUE})\.).+"),
)

_COMPILED = tuple((tag, re.compile(expression)) for tag, expression in _RULES)
_NOT_PROMETHEUS = re.compile(r"[^a-zA-Z0-9_]")


@lru_cache(maxsize=65536)
def extract_tags(name: str) -> TaggedName:
    """Take Envoy's default tags out of a full statistic name."""
    tags: dict[str, str] = {}
    removed: list[tuple[int, int]] = []
    for tag, expression in _COMPILED:
        if tag not in tags and (match := expression.search(name)):
            tags[tag] = match[2]
            removed.append(match.span(1))
    kept, end = [], 0
    for start, stop in sorted(removed):
        kept.append(name[end:start])
        end = max(end, stop)
    kept.append(name[end:])
    return TaggedName("".join(kept).rstrip("."), tuple(sorted(tags.items())))


def prometheus_name(name: str) -> str:
    """A name as Envoy gives it to Prometheus: "cluster.upstream_rq" becomes "envoy_cluster_upstream_rq"."""
    return "envoy_" + _NOT_PROMETHEUS.sub("_", name)


def prometheus_label(tag: str) -> str:
    """A tag's name as a label: "envoy.cluster_name" becomes "envoy_cluster_name"."""
    return _NOT_PROMETHEUS.sub("_", tag)
