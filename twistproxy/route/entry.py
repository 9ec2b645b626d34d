"""One route as a table has it: what it asks of a request, and what it leads to."""

from __future__ import annotations

from typing import Any

from twistproxy.http.condition import Condition
from twistproxy.http.message import RequestHead
from twistproxy.model.route import RouteSettings
from twistproxy.primitives.described import Described
from twistproxy.route.cluster_choice import ClusterChoice, compile_choice
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
        for condition in self.conditions:
            if not condition.matches(head, stream):
                return condition
        return None


def compile_entry(
    order: int, settings: RouteSettings, virtual_host: str, rules: OuterRules | None = None
) -> Entry:
    match = settings.match
    choice = compile_choice(settings, virtual_host, rules)
    return Entry(order, settings.name, compile_path(match), match.conditions, choice)
