"""envoy.config.route.v3 to `model.route`."""

from __future__ import annotations

from collections.abc import Set

from twistproxy.config.fields import Reader
from twistproxy.config.header_rules import build_rule_level
from twistproxy.config.mirrors import build_mirrors, inherit_mirrors
from twistproxy.config.path_rewrite import check_path_rewrite
from twistproxy.config.retry import VirtualHostPlan, build_virtual_host_plan
from twistproxy.config.route_action import build_action
from twistproxy.config.route_match import build_match
from twistproxy.model.mirror import MirrorSettings
from twistproxy.model.route import RouteConfiguration, RouteSettings, VirtualHostSettings


def build_routes(reader: Reader, clusters: Set[str]) -> RouteConfiguration:
    """`clusters`: the names that exist; others are refused unless `validate_clusters` is false."""
    known = clusters if reader.boolean("validate_clusters", True) else None
    seen: dict[str, str] = {}
    mirrors = build_mirrors(reader, known)
    hosts = tuple(_virtual_host(one, known, seen, mirrors) for one in reader.messages("virtual_hosts"))
    return RouteConfiguration(
        reader.string("name"),
        hosts,
        reader.boolean("ignore_port_in_host_matching"),
        reader.boolean("ignore_path_parameters_in_path_matching"),
        headers=build_rule_level(reader),
        most_specific_headers_win=reader.boolean("most_specific_header_mutations_wins"),
    )


def _virtual_host(
    reader: Reader, known: Set[str] | None, seen: dict[str, str], outer_mirrors: tuple[MirrorSettings, ...]
) -> VirtualHostSettings:
    name = reader.string("name")
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
    plan = build_virtual_host_plan(reader)
    routes = tuple(_route(one, known, plan) for one in reader.messages("routes"))
    routes = inherit_mirrors(routes, build_mirrors(reader, known) or outer_mirrors)
    return VirtualHostSettings(
        name, tuple(domains), routes, reader.enum("require_tls"), headers=build_rule_level(reader)
    )


def _route(reader: Reader, known: Set[str] | None, plan: VirtualHostPlan) -> RouteSettings:
    match = build_match(reader.message_or_empty("match"))
    action = build_action(reader, known, plan)
    check_path_rewrite(reader, match, action)
    return RouteSettings(match, action, reader.string("name"), headers=build_rule_level(reader))
