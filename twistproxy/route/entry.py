"""One route as a table has it: what it asks of a request, and what it leads to."""

from __future__ import annotations

from typing import Any

from twistproxy.http.condition import Condition
from twistproxy.http.message import RequestHead
from twistproxy.model.route import RouteSettings, WeightedCluster
from twistproxy.observe.route_stats import RouteStatsRegistry
from twistproxy.primitives.described import Described
from twistproxy.route.action import Route, compile_route
from twistproxy.route.cluster_choice import ClusterChoice, compile_choice
from twistproxy.route.counting import Counting, VirtualClusters
from twistproxy.route.header_rules import OuterRules
from twistproxy.route.path_match import PathMatcher, compile_path


class Entry:
    """`order`: its place among the routes it stands with, from 0."""

    __slots__ = ("choice", "conditions", "name", "order", "path")

    def __init__(
        self,
        order: int,
        name: str,
        path: PathMatcher,
        conditions: tuple[Condition, ...],
        choice: ClusterChoice,
    ) -> None:
        self.order = order
        self.name = name
        self.path = path
        self.conditions = conditions
        self.choice = choice

    def first_failed(self, head: RequestHead, path: bytes, stream: Any) -> Described | None:
        """The first thing that the request is not; None if the route matches.  `path` as for `PathMatcher.matches`."""
        if not self.path.matches(head, path):
            return self.path
        return self.failed_condition(head, stream) if self.conditions else None

    def failed_condition(self, head: RequestHead, stream: Any) -> Condition | None:
        """The same of a request whose path matches."""
        for condition in self.conditions:
            if not condition.matches(head, stream):
                return condition
        return None


class Surroundings:
    """What a virtual host gives its routes.

    name      of the virtual host
    rules     the header rules around the routes
    clusters  its virtual clusters, None without any
    registry  where statistics are kept
    """

    __slots__ = ("clusters", "name", "registry", "rules")

    def __init__(
        self, name: str, rules: OuterRules, clusters: VirtualClusters | None, registry: RouteStatsRegistry
    ) -> None:
        self.name = name
        self.rules = rules
        self.clusters = clusters
        self.registry = registry

    def entry(self, order: int, settings: RouteSettings) -> Entry:
        counting: Counting | None = None
        if self.clusters is not None or settings.stat_prefix:
            prefix = settings.stat_prefix
            own = self.registry.of_route(self.name, prefix) if prefix else None
            counting = Counting(self.clusters, own, self.registry)

        def compile_one(one: RouteSettings, weighted: WeightedCluster) -> Route:
            route = compile_route(one, self.name, self.rules, weighted)
            route.counting = counting
            return route

        match = settings.match
        choice = compile_choice(settings, compile_one)
        return Entry(order, settings.name, compile_path(match), match.conditions, choice)
