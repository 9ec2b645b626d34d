"""One virtual host, compiled: its routes, and whether it wants TLS."""

from __future__ import annotations

from twistproxy.http.message import RequestHead
from twistproxy.model.route import RedirectAction, RouteMatch, RouteSettings, VirtualHostSettings
from twistproxy.observe.route_stats import RouteStatsRegistry
from twistproxy.primitives.described import Described
from twistproxy.route.action import Route, compile_route
from twistproxy.route.counting import VirtualClusters
from twistproxy.route.entry import Entry, Surroundings
from twistproxy.route.header_rules import OuterRules
from twistproxy.route.match_tree import Node, compile_tree
from twistproxy.route.path_index import PathIndex


class Considered:
    """A route that was looked at.  `failed`: the first thing it asks that the request is not; None if it matches."""

    __slots__ = ("entry", "failed")

    def __init__(self, entry: Entry, failed: Described | None) -> None:
        self.entry = entry
        self.failed = failed


class VirtualHost:
    """One virtual host.

    index   its routes
    tree    where they are if not there, None otherwise
    to_tls  the redirect for requests that `needs_tls`; None without `require_tls`
    """

    __slots__ = ("_external_only", "index", "name", "to_tls", "tree")

    def __init__(
        self, settings: VirtualHostSettings, rules: OuterRules, registry: RouteStatsRegistry
    ) -> None:
        name = settings.name
        self.name = name
        clusters = settings.virtual_clusters
        around = Surroundings(
            name, rules, VirtualClusters(name, clusters, registry) if clusters else None, registry
        )

        def compile_routes(routes: tuple[RouteSettings, ...]) -> PathIndex:
            return PathIndex([around.entry(order, route) for order, route in enumerate(routes)])

        self.index = compile_routes(settings.routes)
        self.tree: Node | None = None
        if settings.matcher is not None:
            self.tree = compile_tree(settings.matcher, compile_routes)
        self.to_tls: Route | None = None
        if settings.require_tls != "NONE":
            redirect = RedirectAction(https=True, keep_port=True)
            self.to_tls = compile_route(RouteSettings(RouteMatch(), redirect), name)
        self._external_only = settings.require_tls == "EXTERNAL_ONLY"

    def needs_tls(self, head: RequestHead) -> bool:
        """Whether this request came in plain text and must not (Envoy: VirtualHost.require_tls)."""
        if head.get(b"x-forwarded-proto") == b"https":
            return False
        return not self._external_only or head.get(b"x-envoy-internal") != b"true"
