"""The actions of envoy.config.route.v3.Route to `model.route`."""

from __future__ import annotations

from collections.abc import Set

from twistproxy.config.cluster_choice import build_cluster_choice
from twistproxy.config.direct_response import build_direct_response
from twistproxy.config.fields import Reader
from twistproxy.config.hash_policies import build_hash_policies
from twistproxy.config.host_rewrite import build_host_rewrite
from twistproxy.config.internal_redirects import build_internal_redirects
from twistproxy.config.mirrors import build_mirrors
from twistproxy.config.path_rewrite import build_path_format, build_path_rewrite
from twistproxy.config.retry import VirtualHostPlan, build_plan
from twistproxy.config.upgrades import build_route_upgrades
from twistproxy.config.values import match_criteria, regex_rewrite
from twistproxy.model.retry import RequestPlan
from twistproxy.model.route import (
    ClusterAction,
    DirectResponse,
    RedirectAction,
    RouteAction,
)

_REDIRECT_STATUS = {
    "MOVED_PERMANENTLY": 301,
    "FOUND": 302,
    "SEE_OTHER": 303,
    "TEMPORARY_REDIRECT": 307,
    "PERMANENT_REDIRECT": 308,
}


def build_action(
    reader: Reader, known: Set[str] | None, of_host: VirtualHostPlan, body_limit: int = 4096
) -> RouteAction:
    """What a route does.  `known`: the clusters that exist, None if that is not to be checked; `of_host`: what the
    virtual host says of attempts; `body_limit`: of direct responses, in bytes."""
    kind = reader.oneof("action")
    if kind == "route":
        action = reader.message_or_empty("route")
        return _cluster_action(action, known, build_plan(reader, action, of_host))
    if kind == "redirect":
        return _redirect(reader.message_or_empty("redirect"))
    if kind == "direct_response":
        return build_direct_response(reader.message_or_empty("direct_response"), body_limit)
    if kind == "non_forwarding_action":
        # For servers, which answer by themselves; a proxy has no cluster to forward to (Envoy: 503 or what is said).
        reader.message("non_forwarding_action")
        return ClusterAction("")
    if kind is not None:
        reader.refuse(kind)
    return DirectResponse(500)


def _cluster_action(reader: Reader, known: Set[str] | None, plan: RequestPlan | None) -> ClusterAction:
    cluster, choice = build_cluster_choice(reader, known)
    upgrades, connect = build_route_upgrades(reader)
    not_found = reader.enum("cluster_not_found_response_code")
    prefix = reader.string("prefix_rewrite")
    return ClusterAction(
        cluster=cluster,
        timeout=reader.duration("timeout", 15.0),
        prefix_rewrite=prefix or None,
        regex_rewrite=regex_rewrite(reader.message("regex_rewrite")),
        template_rewrite=build_path_rewrite(reader),
        path_format=build_path_format(reader),
        host_rewrite=build_host_rewrite(reader),
        append_forwarded_host=reader.boolean("append_x_forwarded_host"),
        cluster_not_found_status={"NOT_FOUND": 404, "INTERNAL_SERVER_ERROR": 500}.get(not_found, 503),
        choice=choice,
        high_priority=reader.enum("priority") == "HIGH",
        upgrades=upgrades,
        connect=connect,
        mirrors=build_mirrors(reader, known),
        internal_redirects=build_internal_redirects(reader),
        hash_policies=build_hash_policies(reader.messages("hash_policy")),
        plan=plan,
        metadata_match=match_criteria(reader),
    )


def _redirect(reader: Reader) -> RedirectAction:
    scheme_kind = reader.oneof("scheme_rewrite_specifier")
    path_kind = reader.oneof("path_rewrite_specifier")
    prefix = reader.string("prefix_rewrite") if path_kind == "prefix_rewrite" else ""
    return RedirectAction(
        status=_REDIRECT_STATUS[reader.enum("response_code")],
        host=reader.string("host_redirect"),
        path=reader.string("path_redirect") if path_kind == "path_redirect" else "",
        path_format=build_path_format(reader) if path_kind == "path_rewrite" else "",
        prefix_rewrite=prefix,
        regex_rewrite=regex_rewrite(reader.message("regex_rewrite"))
        if path_kind == "regex_rewrite"
        else None,
        scheme=reader.string("scheme_redirect") if scheme_kind == "scheme_redirect" else "",
        https=scheme_kind == "https_redirect" and reader.boolean("https_redirect"),
        port=reader.integer("port_redirect", 0),
        strip_query=reader.boolean("strip_query"),
    )
