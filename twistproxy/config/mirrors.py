"""`request_mirror_policies` of routes, virtual hosts and route configurations to `model.mirror`."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from twistproxy.config.fields import Reader
from twistproxy.config.filter_settings import build_mutation
from twistproxy.config.suggest import did_you_mean
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.route import ClusterAction, RouteSettings
from twistproxy.primitives.runtime import DENOMINATORS


def build_mirrors(owner: Reader, known: Set[str] | None) -> tuple[MirrorSettings, ...]:
    """`known`: the clusters that exist, None if that is not to be checked."""
    return tuple(_mirror(one, known) for one in owner.messages("request_mirror_policies"))


def inherit_mirrors(
    routes: tuple[RouteSettings, ...], mirrors: tuple[MirrorSettings, ...]
) -> tuple[RouteSettings, ...]:
    """The routes, with `mirrors` for those that forward and have none of their own."""
    if not mirrors:
        return routes
    return tuple(
        replace(route, action=replace(route.action, mirrors=mirrors))
        if isinstance(route.action, ClusterAction) and not route.action.mirrors
        else route
        for route in routes
    )


def _mirror(reader: Reader, known: Set[str] | None) -> MirrorSettings:
    cluster = reader.string("cluster")
    header = reader.string("cluster_header")
    if cluster and header:
        reader.problem(
            f"Only one of cluster '{cluster}' or cluster_header '{header}' in request mirror policy can be specified"
        )
    elif not cluster and not header:
        reader.problem(
            "Exactly one of cluster or cluster_header in request mirror policy need to be specified"
        )
    elif cluster and known is not None and cluster not in known:
        reader.problem(f"route: unknown shadow cluster {cluster!r}{did_you_mean(cluster, known)}", "cluster")
    # Whether the copy is traced; there is nothing to trace with.
    reader.ignore("trace_sampled")
    key, numerator, denominator = "", 100, 100
    fraction = reader.message("runtime_fraction")
    if fraction is not None:
        key = fraction.string("runtime_key")
        share = fraction.message_or_empty("default_value")
        numerator = share.integer("numerator", 0)
        denominator = DENOMINATORS[share.enum("denominator")]
    host = reader.string("host_rewrite_literal")
    return MirrorSettings(
        cluster,
        header,
        key,
        numerator,
        denominator,
        suffix=not reader.boolean("disable_shadow_host_suffix_append") and not host,
        host=host,
        mutations=tuple(build_mutation(one) for one in reader.messages("request_headers_mutations")),
    )
