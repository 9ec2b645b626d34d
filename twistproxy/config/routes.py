"""envoy.config.route.v3 to `model.route`."""

from __future__ import annotations

from collections.abc import Set

from twistproxy.config.fields import Reader
from twistproxy.config.header_rules import build_rule_level
from twistproxy.config.http_filters import build_filter_level, build_old_cors, with_outer
from twistproxy.config.match_tree import MatchTreeBuilder
from twistproxy.config.matchers import header_matchers
from twistproxy.config.mirrors import build_mirrors, inherit_mirrors
from twistproxy.config.path_rewrite import check_path_rewrite
from twistproxy.config.retry import VirtualHostPlan, build_virtual_host_plan
from twistproxy.config.route_action import build_action
from twistproxy.config.route_match import build_match
from twistproxy.config.values import filter_metadata
from twistproxy.model.http_filters import FilterLevel
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.route import RouteConfiguration, RouteSettings, VirtualCluster, VirtualHostSettings


class _Scope:
    """What all virtual hosts of one route configuration share.

    clusters    the names that exist; None if that is not to be checked
    body_limit  bytes of a direct response
    mirrors     for routes of virtual hosts that have none
    filters     what is said about filters around the virtual hosts
    domains     domain → name of the virtual host that has it
    """

    def __init__(self, reader: Reader, clusters: Set[str]) -> None:
        self.clusters = clusters if reader.boolean("validate_clusters", True) else None
        self.body_limit = reader.integer("max_direct_response_body_size_bytes", 4096)
        self.mirrors = build_mirrors(reader, self.clusters)
        self.filters = with_outer(build_filter_level(reader), ())
        self.domains: dict[str, str] = {}

    def routes(
        self,
        readers: list[Reader],
        plan: VirtualHostPlan,
        mirrors: tuple[MirrorSettings, ...],
        filters: tuple[FilterLevel, FilterLevel],
        clusters: Set[str] | None,
    ) -> tuple[RouteSettings, ...]:
        """`plan`, `mirrors` and `filters` (with the old fields behind): of their virtual host; `clusters`: the names
        that exist, as above."""
        outer = with_outer(filters[0], self.filters)
        routed = with_outer(filters[1], outer)
        built = tuple(
            self._route(one, plan, routed if one.has("route") else outer, clusters) for one in readers
        )
        return inherit_mirrors(built, mirrors or self.mirrors)

    def _route(
        self,
        reader: Reader,
        plan: VirtualHostPlan,
        outer: tuple[FilterLevel, ...],
        clusters: Set[str] | None,
    ) -> RouteSettings:
        match = build_match(reader.message_or_empty("match"))
        action = build_action(reader, clusters, plan, self.body_limit)
        routing = reader.message("route")
        if routing is not None:
            outer = with_outer(build_old_cors(routing), outer)
        # The operation is told to tracers and, of a traced request, to the next hop; nothing is traced.
        reader.message_or_empty("decorator").ignore("operation", "propagate")
        check_path_rewrite(reader, match, action)
        return RouteSettings(
            match,
            action,
            reader.string("name"),
            headers=build_rule_level(reader),
            stat_prefix=reader.string("stat_prefix"),
            filters=with_outer(build_filter_level(reader), outer),
            metadata=filter_metadata(reader),
        )


def build_routes(reader: Reader, clusters: Set[str]) -> RouteConfiguration:
    """`clusters`: the names that exist; others are refused unless `validate_clusters` is false."""
    scope = _Scope(reader, clusters)
    return RouteConfiguration(
        reader.string("name"),
        tuple(_virtual_host(one, scope) for one in reader.messages("virtual_hosts")),
        reader.boolean("ignore_port_in_host_matching"),
        reader.boolean("ignore_path_parameters_in_path_matching"),
        headers=build_rule_level(reader),
        most_specific_headers_win=reader.boolean("most_specific_header_mutations_wins"),
        virtual_host_header=reader.string("vhost_header").lower(),
        internal_only_headers=frozenset(name.lower() for name in reader.strings("internal_only_headers")),
    )


def _virtual_host(reader: Reader, scope: _Scope) -> VirtualHostSettings:
    name = reader.string("name")
    plan = build_virtual_host_plan(reader)
    mirrors = build_mirrors(reader, scope.clusters)
    filters = build_filter_level(reader), build_old_cors(reader)
    matcher = reader.message("matcher")
    tree = None
    if matcher is not None:
        # Envoy does not ask whether the clusters of these routes exist.
        tree = MatchTreeBuilder(lambda routes: scope.routes(routes, plan, mirrors, filters, None)).build(
            matcher
        )
        if reader.has("routes"):
            reader.problem("cannot set both matcher and routes on virtual host", "matcher")
    return VirtualHostSettings(
        name,
        _domains(reader, name, scope.domains),
        scope.routes(reader.messages("routes"), plan, mirrors, filters, scope.clusters),
        reader.enum("require_tls"),
        headers=build_rule_level(reader),
        virtual_clusters=tuple(_virtual_cluster(one) for one in reader.messages("virtual_clusters")),
        matcher=tree,
        metadata=filter_metadata(reader),
    )


def _domains(reader: Reader, name: str, seen: dict[str, str]) -> tuple[str, ...]:
    domains = []
    for at, domain in enumerate(reader.strings("domains")):
        lower = domain.lower()
        if lower in seen:
            what = (
                "only a single wildcard domain is permitted"
                if lower == "*"
                else f"duplicate domain {domain!r}"
            )
            reader.problem(f"{what}; virtual host {seen[lower]!r} has it too", f"domains[{at}]")
        seen[lower] = name
        domains.append(lower)
    return tuple(domains)


def _virtual_cluster(reader: Reader) -> VirtualCluster:
    headers = header_matchers(reader)
    if not headers:
        reader.problem("virtual clusters must define 'headers'", "headers")
    return VirtualCluster(reader.string("name"), headers)
