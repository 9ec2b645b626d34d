"""The cluster_specifier of envoy.config.route.v3.RouteAction to `model.route`."""

from __future__ import annotations

from collections.abc import Set

from twistproxy.config.fields import Reader
from twistproxy.config.header_rules import build_rule_level
from twistproxy.config.http_filters import build_filter_level
from twistproxy.config.suggest import did_you_mean
from twistproxy.config.values import match_criteria
from twistproxy.model.route import ClusterHeader, WeightedCluster, WeightedClusters

_MOST_UINT32 = 0xFFFFFFFF


def build_cluster_choice(
    reader: Reader, known: Set[str] | None
) -> tuple[str, WeightedClusters | ClusterHeader | None]:
    """The cluster's name, or "" and how it is chosen.  `known`: the clusters that exist, None if that is not to be
    checked."""
    kind = reader.oneof("cluster_specifier")
    if kind == "cluster":
        cluster = reader.string("cluster")
        _check(reader, "cluster", cluster, known, "unknown cluster")
        return cluster, None
    if kind == "cluster_header":
        return "", ClusterHeader(reader.string("cluster_header"))
    if kind == "weighted_clusters":
        return "", _weighted(reader.message_or_empty("weighted_clusters"), known)
    if kind is not None:
        reader.refuse(kind)
    return "", None


def _weighted(reader: Reader, known: Set[str] | None) -> WeightedClusters:
    clusters = []
    for one in reader.messages("clusters"):
        name = one.string("name")
        header = one.string("cluster_header")
        if bool(name) == bool(header):
            one.problem(
                "Only one of name or cluster_header can be specified"
                if name
                else "At least one of name or cluster_header need to be specified"
            )
        elif name:
            _check(one, "name", name, known, "unknown weighted cluster")
        if not one.has("weight"):
            one.problem("Field 'weight' is missing", "weight")
        clusters.append(
            WeightedCluster(
                one.integer("weight", 0),
                name,
                header,
                build_rule_level(one),
                one.string("host_rewrite_literal") if one.oneof("host_rewrite_specifier") else "",
                build_filter_level(one),
                match_criteria(one),
            )
        )
    # `total_weight` is of the past: Envoy takes the sum, whatever it says.
    reader.ignore("total_weight")
    total = sum(one.weight for one in clusters)
    if total == 0:
        reader.problem("Sum of weights in the weighted_cluster must be greater than 0.")
    elif total > _MOST_UINT32:
        reader.problem(f"The sum of weights of all weighted clusters exceeds {_MOST_UINT32}")
    return WeightedClusters(
        tuple(clusters),
        reader.string("header_name") if reader.oneof("random_value_specifier") == "header_name" else "",
        reader.string("runtime_key_prefix"),
        reader.boolean("use_hash_policy"),
    )


def _check(reader: Reader, field: str, name: str, known: Set[str] | None, words: str) -> None:
    if known is not None and name not in known:
        reader.problem(f"{words} {name!r}{did_you_mean(name, known)}", field)
